"""Views of lists: kept by their owner, shared with their legal entity, found by their name."""

from collections.abc import Callable

import pytest
from django.http import QueryDict
from django.test import Client as Browser
from django.urls import reverse

from accounts.audit import RefusedError, acting
from accounts.models import Role, SavedView
from accounts.saved_views import ViewError, free_slug, kept_query, save_view, slug_of
from tests.accounts.people import Desk, found_desk, person, sign_in
from tests.accounts.raw import Connection, refused

Connect = Callable[[str], Connection]


@pytest.fixture
def desk(db: None) -> Desk:
    return found_desk()


def kept(
    desk: Desk, role: Role = Role.OPERATIONS, *, title: str = "Worst first",
    query: str = "sort=-amount&page=3", is_shared: bool = False,
) -> SavedView:  # fmt: skip
    return save_view(
        title, list_name="margin-calls", query=query, is_shared=is_shared, entity=desk.entity,
        owner=desk[role], actor=person(desk[role]),
    )  # fmt: skip


def test_a_view_keeps_the_filter_and_not_the_moment(desk: Desk) -> None:
    view = kept(desk, query="page=3&q=A0&live=off&format=csv&filter=x&sort=-amount&owner=")
    assert (view.slug, view.query) == ("worst-first", "q=A0&sort=-amount")


def test_a_view_with_the_same_name_is_changed_and_one_of_another_gets_a_number(desk: Desk) -> None:
    first = kept(desk)
    again = kept(desk, query="q=B", is_shared=True)
    other = kept(desk, Role.RISK)
    assert (again.pk, again.query, again.is_shared) == (first.pk, "q=B", True)
    assert (other.slug, SavedView.objects.count()) == ("worst-first-2", 2)


@pytest.mark.parametrize(
    ("title", "slug"),
    [("Worst calls, treasury", "worst-calls-treasury"), ("…", "view"), ("Ä 1", "1")],
)
def test_a_title_becomes_a_name_of_an_address(title: str, slug: str) -> None:
    assert slug_of(title) == slug


def test_a_name_that_is_taken_gets_the_first_free_number() -> None:
    assert free_slug("a", taken=["a", "a-2", "b"]) == "a-3"
    with pytest.raises(ViewError, match="Too many"):
        free_slug("a", taken=["a", *(f"a-{n}" for n in range(2, 100))])


@pytest.mark.parametrize(("title", "query"), [("", ""), ("x" * 81, ""), ("x", "q=" + "y" * 2000)])
def test_a_view_without_a_name_or_too_long_is_refused(desk: Desk, title: str, query: str) -> None:
    with pytest.raises(ViewError):
        kept(desk, title=title, query=query)
    assert not SavedView.objects.exists()


def test_two_addresses_of_one_filter_are_one_view() -> None:
    assert kept_query("b=2&a=1&a=0") == kept_query(QueryDict("a=1&a=0&b=2")) == "a=1&a=0&b=2"


def test_nobody_changes_or_removes_the_view_of_another(desk: Desk) -> None:
    view = kept(desk, is_shared=True)
    for change in ({"query": "q=B"}, {"is_removed": True}, {"title": "Mine"}):
        with (
            pytest.raises(RefusedError) as caught,
            acting(person(desk[Role.RISK]), reason="Took it over"),
        ):
            SavedView.objects.filter(pk=view.pk).update(**change)
        assert caught.value.rule == "view_is_its_owners"
    view.refresh_from_db()
    assert (view.query, view.is_removed, view.title) == ("sort=-amount", False, "Worst first")


def test_a_view_is_kept_only_where_its_owner_works(desk: Desk) -> None:
    there = found_desk(code="EB-UK")
    with pytest.raises(RefusedError) as caught:
        save_view(
            "Far away", list_name="margin-calls", query="", is_shared=True, entity=there.entity,
            owner=desk[Role.RISK], actor=person(desk[Role.RISK]),
        )  # fmt: skip
    assert caught.value.rule == "view_is_its_owners"
    assert not SavedView.objects.exists()


def test_a_view_is_never_deleted_and_stays_what_it_is(desk: Desk, connect: Connect) -> None:
    view, runtime, owner = kept(desk), connect("runtime"), connect("owner")
    assert runtime.execute("SELECT count(*) FROM accounts_savedview").fetchone() == (1,)
    with refused("row_is_kept"):
        owner.execute("DELETE FROM accounts_savedview")
    with (
        pytest.raises(RefusedError) as caught,
        acting(person(desk[Role.OPERATIONS]), reason="Renamed"),
    ):
        SavedView.objects.filter(pk=view.pk).update(slug="other")
    assert caught.value.rule == "view_stays_itself"
    assert SavedView.objects.get().slug == "worst-first"


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"slug": "worst-first"}, "view_name_is_unique"),
        ({"slug": "Worst First"}, "view_name_fits_an_address"),
        ({"slug": "other", "title": ""}, "view_name_fits_an_address"),
        ({"slug": "other", "list_name": "Margin calls"}, "view_name_fits_an_address"),
    ],
)
def test_a_view_that_no_address_could_name_is_refused(
    desk: Desk, change: dict[str, str], rule: str
) -> None:
    view = kept(desk)
    same = {"list_name": view.list_name, "title": view.title, "query": view.query}
    with (
        pytest.raises(RefusedError) as caught,
        acting(person(desk[Role.OPERATIONS]), reason="By hand"),
    ):
        SavedView.objects.create(
            legal_entity=desk.entity, owner=desk[Role.OPERATIONS], **{**same, **change}
        )
    assert caught.value.rule == rule
    assert SavedView.objects.get() == view


def test_a_removed_view_does_not_come_back(desk: Desk) -> None:
    view, actor = kept(desk), person(desk[Role.OPERATIONS])
    with acting(actor, reason="Removed"):
        SavedView.objects.filter(pk=view.pk).update(is_removed=True)
    with pytest.raises(RefusedError) as caught, acting(actor, reason="Taken back"):
        SavedView.objects.filter(pk=view.pk).update(is_removed=False)
    assert caught.value.rule == "view_is_removed_once"
    assert SavedView.objects.get().is_removed


def test_a_view_is_kept_and_removed_on_the_screen(desk: Desk, client: Browser) -> None:
    sign_in(client, desk[Role.OPERATIONS])
    asked = {
        "list": "margin-calls", "title": "Of A0", "query": "q=A0", "shared": "yes",
        "next": "/margin/calls/?q=A0",
    }  # fmt: skip
    answer = client.post(reverse("accounts:view-save"), asked)
    assert answer["Location"] == "/margin/calls/?filter=of-a0"
    view = SavedView.objects.get()
    assert (view.is_shared, view.query) == (True, "q=A0")
    sign_in(client, desk[Role.RISK])
    remove = reverse("accounts:view-remove", args=[view.pk])
    assert client.post(remove).status_code == 404
    assert not SavedView.objects.get().is_removed
    sign_in(client, desk[Role.OPERATIONS])
    assert client.post(remove, {"next": "/margin/calls/?filter=of-a0"})["Location"] == (
        "/margin/calls/"
    )
    assert SavedView.objects.get().is_removed


def test_a_list_shows_what_its_view_keeps_and_only_to_whom_it_is_shared(
    desk: Desk, client: Browser
) -> None:
    kept(desk, title="Mine", query="q=A0")
    kept(desk, title="Ours", query="q=A0&owner=nobody", is_shared=True)
    address = reverse("margin:calls")
    sign_in(client, desk[Role.RISK])
    ours = client.get(f"{address}?filter=ours").content.decode()
    assert "Remove filter Account, client or call A0" in ours
    assert "Remove filter Owner Nobody yet" in ours
    mine = client.get(f"{address}?filter=mine").content.decode()
    assert "There is no view “mine” of this list" in mine
    narrowed = client.get(f"{address}?filter=ours&owner=me").content.decode()
    assert "Remove filter Owner Me" in narrowed


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.ADMINISTRATOR])
def test_who_changes_nothing_keeps_no_view(desk: Desk, client: Browser, role: Role) -> None:
    sign_in(client, desk[role])
    answer = client.post(reverse("accounts:view-save"), {"list": "margin-calls", "title": "X"})
    assert answer.status_code == 403
    assert not SavedView.objects.exists()
