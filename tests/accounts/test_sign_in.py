"""Signing in, the lock after wrong tries, and sessions that end."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.hashers import make_password
from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpRequest
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from accounts import operators
from accounts.audit import Actor, acting
from accounts.models import Act, AuditRow, Operator, OperatorSession, Role, SignInFailure
from accounts.operators import SignInRefusedError
from tests.accounts.people import PASSWORD, Desk, encoded_password, found_desk, sign_in
from tests.accounts.raw import Connection

SIGN_IN = "/sign-in/"
Connect = Callable[[str], Connection]


@pytest.fixture
def desk(db: None, settings: Any) -> Desk:
    """A desk whose passwords are hashed quickly, for there are many to check."""
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.MD5PasswordHasher",
        "django.contrib.auth.hashers.PBKDF2PasswordHasher",
    ]
    desk = found_desk()
    with acting(Actor.command("test"), reason="Quick passwords"):
        Operator.objects.update(password=make_password(PASSWORD))
    for operator in desk.operators.values():
        operator.refresh_from_db()
    return desk


def enter(client: Browser, username: str, password: str = PASSWORD, **more: str) -> Any:
    return client.post(SIGN_IN, {"username": username, "password": password, **more})


def test_the_right_password_opens_a_session_under_a_new_key(desk: Desk, client: Browser) -> None:
    client.get(SIGN_IN)
    answer = enter(client, "l.brandt", next="/approvals/?list=made")
    assert (answer.status_code, answer["Location"]) == (302, "/approvals/?list=made")
    session = OperatorSession.objects.get()
    assert session.operator == desk[Role.OPERATIONS]
    assert session.expires_at - session.opened_at == timedelta(hours=12)
    key = client.cookies["sessionid"].value
    assert operators.live_session(key, now=timezone.now()) == session
    assert client.get("/approvals/").status_code == 200


@pytest.mark.parametrize(("username", "page"), [("k.lindqvist", "/"), ("a.novak", "/approvals/")])
def test_everybody_begins_on_a_page_they_may_read(
    desk: Desk, client: Browser, username: str, page: str
) -> None:
    assert enter(client, username)["Location"] == page


def test_signing_in_is_an_act_of_the_door(desk: Desk, client: Browser) -> None:
    enter(client, "l.brandt")
    act = Act.objects.get(actor="system:sign-in")
    assert act.reason == "L. Brandt signed in from 127.0.0.1"
    row = AuditRow.objects.filter(xid=act.pk).first()
    assert row is not None
    assert row.after is not None
    assert (row.table_name, row.after["last_login"]) == ("accounts_operator", "changed")


@pytest.mark.parametrize("page", ["/approvals/", "/audit/", "/people/", "/no-such-page"])
def test_a_stranger_sees_only_the_door(desk: Desk, client: Browser, page: str) -> None:
    answer = client.get(page)
    if page == "/no-such-page":
        assert answer.status_code == 404
    else:
        assert answer["Location"] == f"{SIGN_IN}?next={page}"


def test_a_fragment_is_sent_to_the_door_as_a_whole_page(desk: Desk, client: Browser) -> None:
    headers = {"HX-Request": "true", "HX-Current-URL": "http://testserver/audit/?actor=x"}
    answer = client.get("/audit/", headers=headers)
    assert answer.status_code == 204
    assert answer["HX-Redirect"] == f"{SIGN_IN}?next=%2Faudit%2F%3Factor%3Dx"


@pytest.mark.parametrize("address", ["https://elsewhere.example/", "//elsewhere.example", "no"])
def test_nobody_is_sent_to_another_site(desk: Desk, client: Browser, address: str) -> None:
    answer = enter(client, "l.brandt", next=address)
    assert answer["Location"] == "/"


@pytest.mark.parametrize("username", ["l.brandt", "nobody.here"])
def test_a_wrong_password_and_an_unknown_name_read_the_same(
    desk: Desk, client: Browser, username: str
) -> None:
    answer = enter(client, username, "wrong")
    assert answer.status_code == 403
    page = answer.content.decode()
    assert (
        "User name or password is wrong. Four tries are left before this name is locked for 15"
        " minutes." in page
    )
    assert not OperatorSession.objects.exists()
    assert list(SignInFailure.objects.values_list("username", flat=True)) == [username]


@pytest.mark.parametrize("username", ["l.brandt", "nobody.here"])
def test_every_try_costs_one_hash(
    desk: Desk, username: str, monkeypatch: pytest.MonkeyPatch, rf: Any
) -> None:
    hashed: list[str] = []

    def counted(name: str) -> Callable[..., Any]:
        real = getattr(operators, name)

        def hash_once(*values: Any) -> Any:
            hashed.append(name)
            return real(*values)

        return hash_once

    for name in ("make_password", "verify_password"):
        monkeypatch.setattr(operators, name, counted(name))
    with pytest.raises(SignInRefusedError):
        operators.sign_in(rf.post(SIGN_IN), username=username, password="wrong")
    assert len(hashed) == 1


def test_somebody_not_active_is_not_let_in(desk: Desk, client: Browser) -> None:
    with acting(Actor.command("test"), reason="Leaves"):
        Operator.objects.filter(username="l.brandt").update(is_active=False)
    assert enter(client, "l.brandt").status_code == 403
    assert not OperatorSession.objects.exists()


def test_five_wrong_tries_lock_the_name_even_for_the_right_password(
    desk: Desk, client: Browser
) -> None:
    left = ["Four tries are", "Three tries are", "Two tries are", "One try is"]
    for words in left:
        assert f"{words} left" in enter(client, "l.brandt", "wrong").content.decode()
    assert "now locked for 15 minutes" in enter(client, "l.brandt", "wrong").content.decode()
    refused = enter(client, "l.brandt")
    assert refused.status_code == 403
    assert "Try again in 15 minutes." in refused.content.decode()
    assert not OperatorSession.objects.exists()
    locked = Act.objects.get(actor="system:sign-in")
    assert locked.reason == "Locked l.brandt for 15 minutes after 5 wrong tries"
    assert enter(client, "m.okafor").status_code == 302, "another name is not locked"


def tried(username: str, password: str, *, at: Any) -> Operator:
    request = HttpRequest()
    request.session = SessionStore()
    return operators.sign_in(request, username=username, password=password, now=at)


def test_the_lock_ends_after_15_minutes_and_is_not_prolonged_by_trying(desk: Desk) -> None:
    start = timezone.now()
    for _ in range(5):
        with pytest.raises(SignInRefusedError):
            tried("l.brandt", "wrong", at=start)
    almost = start + timedelta(minutes=14, seconds=59)
    with pytest.raises(SignInRefusedError) as refused:
        tried("l.brandt", PASSWORD, at=almost)
    assert refused.value.rule == "name_is_not_locked"
    assert refused.value.detail.endswith("Try again in 1 minute.")
    assert SignInFailure.objects.count() == 5
    after = start + timedelta(minutes=15)
    assert tried("l.brandt", PASSWORD, at=after) == desk[Role.OPERATIONS]
    assert not SignInFailure.objects.exists()


def test_a_name_nobody_has_is_locked_and_not_kept_in_the_trail(desk: Desk) -> None:
    for _ in range(5):
        with pytest.raises(SignInRefusedError):
            tried("my secret by mistake", "wrong", at=timezone.now())
    with pytest.raises(SignInRefusedError) as refused:
        tried("my secret by mistake", "wrong", at=timezone.now())
    assert refused.value.rule == "name_is_not_locked"
    assert not Act.objects.filter(reason__contains="my secret").exists()


def test_a_right_password_forgets_the_wrong_ones(desk: Desk) -> None:
    for _ in range(4):
        with pytest.raises(SignInRefusedError):
            tried("l.brandt", "wrong", at=timezone.now())
    tried("l.brandt", PASSWORD, at=timezone.now())
    with pytest.raises(SignInRefusedError) as refused:
        tried("l.brandt", "wrong", at=timezone.now())
    assert "Four tries are left" in refused.value.detail


def test_an_outdated_hash_is_renewed_when_its_owner_signs_in(desk: Desk) -> None:
    with acting(Actor.command("test"), reason="A hash of another time"):
        Operator.objects.filter(username="l.brandt").update(password=encoded_password())
    tried("l.brandt", PASSWORD, at=timezone.now())
    after = Operator.objects.get(username="l.brandt").password
    assert after.startswith("md5$")
    assert not AuditRow.objects.filter(after__password=after).exists()


@pytest.mark.parametrize("field", ["username", "password"])
def test_a_name_or_password_without_end_is_not_read(
    desk: Desk, client: Browser, field: str
) -> None:
    said = {"username": "l.brandt", "password": PASSWORD, field: "x" * 5000}
    assert client.post(SIGN_IN, said).status_code == 400
    assert client.post(SIGN_IN, {"username": "a\0b", "password": "x"}).status_code == 400
    assert not SignInFailure.objects.exists()


def test_signing_out_ends_the_session_everywhere(desk: Desk, client: Browser) -> None:
    key = sign_in(client, desk[Role.RISK])
    stolen = Browser()
    stolen.cookies["sessionid"] = key
    assert stolen.get("/approvals/").status_code == 200
    assert client.post(reverse("accounts:sign-out"))["Location"] == SIGN_IN
    assert stolen.get("/approvals/").status_code == 302
    assert OperatorSession.objects.get().ended_at is not None


def test_signing_in_again_ends_the_session_before(desk: Desk, client: Browser) -> None:
    enter(client, "l.brandt")
    enter(client, "m.okafor")
    first, second = OperatorSession.objects.order_by("opened_at")
    assert (first.operator, second.operator) == (desk[Role.OPERATIONS], desk[Role.RISK])
    assert (first.ended_at is None, second.ended_at is None) == (False, True)


def left_alone(superuser: Connection, *, minutes: int) -> None:
    superuser.execute(
        "UPDATE accounts_operatorsession"
        " SET last_seen_at = last_seen_at - make_interval(mins => %s)",
        [minutes],
    )


def test_fifteen_minutes_without_a_request_end_the_session(
    desk: Desk, client: Browser, superuser: Connection
) -> None:
    sign_in(client, desk[Role.RISK])
    left_alone(superuser, minutes=14)
    assert client.get("/approvals/").status_code == 200
    left_alone(superuser, minutes=15)
    assert client.get("/approvals/").status_code == 302
    assert OperatorSession.objects.get().ended_at is not None
    assert b"Your session has ended. Sign in to go on." in client.get(SIGN_IN).content


def test_a_page_that_refreshes_itself_does_not_keep_a_left_desk_signed_in(
    desk: Desk, client: Browser, superuser: Connection
) -> None:
    sign_in(client, desk[Role.RISK])
    left_alone(superuser, minutes=5)
    seen = OperatorSession.objects.get().last_seen_at
    client.get("/approvals/", headers={"X-Live": "1"})
    assert OperatorSession.objects.get().last_seen_at == seen
    client.get("/approvals/")
    assert OperatorSession.objects.get().last_seen_at > seen


def test_a_session_ends_after_its_hours_whatever_happens(desk: Desk, client: Browser) -> None:
    key = sign_in(client, desk[Role.RISK])
    later = timezone.now() + timedelta(hours=12)
    session = OperatorSession.objects.get()
    session.last_seen_at = later
    assert operators.live_session(key, now=session.expires_at - timedelta(hours=11, minutes=50))
    assert operators.live_session(key, now=session.expires_at) is None


def test_who_is_made_inactive_is_out_at_once(desk: Desk, client: Browser) -> None:
    sign_in(client, desk[Role.RISK])
    with acting(Actor.command("test"), reason="Leaves"):
        Operator.objects.filter(username="m.okafor").update(is_active=False)
    assert client.get("/approvals/").status_code == 302


def test_a_form_without_its_token_is_refused(desk: Desk) -> None:
    strict = Browser(enforce_csrf_checks=True)
    assert enter(strict, "l.brandt").status_code == 403
    assert not OperatorSession.objects.exists()
    assert not SignInFailure.objects.exists()


def test_tries_at_once_never_number_more_than_five(desk: Desk, connect: Connect) -> None:
    # Ten tries that are all counted before any password is looked at.
    now = timezone.now()
    refused = 0
    for _ in range(10):
        try:
            operators.count_try("l.brandt", address="", now=now)
        except SignInRefusedError:
            refused += 1
    assert refused == 5
    assert SignInFailure.objects.count() == 5
