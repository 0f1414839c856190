"""An old proof: who it stops, what stays typed, and that one effect follows."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client as Browser

from accounts.models import Act, Approval, OperatorSession, Role, RoleGrant, SignInFailure
from tests.accounts.people import PASSWORD, Desk, found_desk, session_of, sign_in
from tests.accounts.raw import Connection, act, refused, rows_of

Connect = Callable[[str], Connection]
ASKED = {"operator": "s.iyer", "role": "risk", "desk": "", "reason": "Covers for a colleague"}
HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')


@pytest.fixture
def desk(db: None) -> Desk:
    return found_desk()


def grow_old(superuser: Connection, *, minutes: int) -> None:
    """Let every session's proof be so much older, which only a superuser can do."""
    with superuser.transaction():
        superuser.execute("SET LOCAL session_replication_role = replica")
        triggers = ("session_stays_as_opened", "session_keeps_its_proof")
        for name in triggers:
            superuser.execute(f"ALTER TABLE accounts_operatorsession DISABLE TRIGGER {name}")
        superuser.execute(
            "UPDATE accounts_operatorsession SET proved_at = proved_at - make_interval(mins => %s)",
            [minutes],
        )
        for name in triggers:
            superuser.execute(f"ALTER TABLE accounts_operatorsession ENABLE ALWAYS TRIGGER {name}")


def hidden(page: str) -> dict[str, str]:
    """What the page carries in its form, but the token."""
    found = dict(HIDDEN.findall(page.partition("<main")[2]))
    return {name: value for name, value in found.items() if name != "csrfmiddlewaretoken"}


def test_an_act_with_an_old_proof_asks_again_and_then_goes_on_once(
    desk: Desk, client: Browser, superuser: Connection
) -> None:
    key = sign_in(client, desk[Role.ADMINISTRATOR])
    grow_old(superuser, minutes=14)
    grow_old(superuser, minutes=2)
    asked = client.post("/people/grant/", ASKED)
    page = asked.content.decode()
    assert asked.status_code == 403
    assert "Say again who you are" in page
    assert not Approval.objects.exists()
    carried = hidden(page)
    assert {name: carried[name] for name in ASKED} == ASKED
    wrong = client.post("/people/grant/", {**carried, "proof": "wrong"})
    assert (wrong.status_code, Approval.objects.count()) == (403, 0)
    assert {name: hidden(wrong.content.decode())[name] for name in ASKED} == ASKED
    done = client.post("/people/grant/", {**carried, "proof": PASSWORD})
    assert done.status_code == 302
    assert Approval.objects.get().reason == ASKED["reason"]
    assert client.cookies["sessionid"].value != key
    stolen = Browser()
    stolen.cookies["sessionid"] = key
    assert stolen.get("/approvals/").status_code == 302
    assert client.get("/approvals/").status_code == 200
    assert not SignInFailure.objects.exists()


def test_a_young_proof_asks_nothing(desk: Desk, client: Browser, superuser: Connection) -> None:
    sign_in(client, desk[Role.ADMINISTRATOR])
    grow_old(superuser, minutes=14)
    assert client.post("/people/grant/", ASKED).status_code == 302
    assert Approval.objects.count() == 1


def test_what_moves_nothing_asks_nothing(
    desk: Desk, client: Browser, superuser: Connection
) -> None:
    sign_in(client, desk[Role.ADMINISTRATOR])
    grow_old(superuser, minutes=600)
    assert client.post("/theme/", {"theme": "dark"}).status_code == 302
    assert client.get("/people/").status_code == 200


def test_the_api_says_by_name_what_it_wants(
    desk: Desk, client: Browser, superuser: Connection
) -> None:
    key = sign_in(client, desk[Role.RISK])
    grow_old(superuser, minutes=16)
    refusal = client.post("/api/limits/", {"role": "risk"})
    assert (refusal.status_code, refusal.json()["rule"]) == (403, "proof_is_recent")
    assert client.post("/api/proof/", {"proof": "wrong"}).status_code == 403
    answer = client.post("/api/proof/", {"proof": PASSWORD})
    assert (answer.status_code, answer.json()["good_for_minutes"]) == (200, 15)
    assert client.cookies["sessionid"].value != key
    assert client.post("/api/limits/", {"role": "risk"}).status_code == 422


def test_the_last_wrong_proof_ends_the_session(
    desk: Desk, client: Browser, superuser: Connection
) -> None:
    sign_in(client, desk[Role.ADMINISTRATOR])
    grow_old(superuser, minutes=16)
    for _ in range(5):
        client.post("/people/grant/", {**ASKED, "proof": "wrong"})
    assert client.get("/people/").status_code == 302
    assert OperatorSession.objects.get().ended_at is not None
    assert not Approval.objects.exists()


def test_the_database_asks_for_a_proof_too(
    desk: Desk, connect: Connect, superuser: Connection
) -> None:
    maker, checker = desk.administrators
    runtime = connect("runtime")
    ask = "SELECT accounts.request_approval(%s, 'role.grant', 'x', %s::jsonb, 'Agreed on Monday')"
    values = [desk.entity.pk, f'{{"operator": {desk[Role.RISK].pk}, "role": "treasury"}}']
    with act(runtime, key=session_of(maker)):
        row = runtime.execute(ask, values).fetchone()
    assert row is not None
    keys = {who: session_of(who) for who in (maker, checker)}
    grow_old(superuser, minutes=17)
    before = rows_of(superuser, "accounts_approval", "accounts_act", "accounts_auditrow")
    with refused("proof_is_recent"), act(runtime, key=keys[maker]):
        runtime.execute(ask, values)
    with refused("proof_is_recent"), act(runtime, key=keys[checker]):
        runtime.execute(
            "SELECT accounts.decide_approval(%s, 'approved', 'Agreed on Monday')", [row[0]]
        )
    after = rows_of(superuser, "accounts_approval", "accounts_act", "accounts_auditrow")
    assert after == before


def test_a_form_whose_session_had_ended_is_kept_and_sent_once(
    desk: Desk, client: Browser, superuser: Connection
) -> None:
    strict = Browser(enforce_csrf_checks=True)
    sign_in(strict, desk[Role.ADMINISTRATOR])
    strict.get("/people/")
    token = strict.cookies["csrftoken"].value
    superuser.execute("UPDATE accounts_operatorsession SET ended_at = now()")
    sent = strict.post("/people/grant/", {**ASKED, "csrfmiddlewaretoken": token})
    assert sent.status_code == 401
    page = sent.content.decode()
    assert "What you typed is kept" in page
    assert not Approval.objects.exists()
    from html import unescape

    kept = unescape(hidden(page)["kept"])
    sign_in_form = {
        "username": "a.novak", "password": PASSWORD, "kept": kept,
        "csrfmiddlewaretoken": strict.cookies["csrftoken"].value,
    }  # fmt: skip
    into = strict.post("/sign-in/", sign_in_form)
    assert into["Location"] == "/sign-in/kept/"
    shown = strict.get("/sign-in/kept/").content.decode()
    assert {name: hidden(shown)[name] for name in ASKED if ASKED[name]} == {
        name: value for name, value in ASKED.items() if value
    }
    assert not Approval.objects.exists()
    strict_token = strict.cookies["csrftoken"].value
    done = strict.post("/people/grant/", {**hidden(shown), "csrfmiddlewaretoken": strict_token})
    assert done.status_code == 302
    assert Approval.objects.count() == 1
    assert strict.get("/sign-in/kept/").status_code == 302, "nothing waits any more"


@pytest.mark.parametrize(
    "kept",
    ['["https://evil.example/", []]', '["//evil.example/", []]', '["/no-such-page", []]', "x",
     '["/people/\\r\\nX: y", []]', "[1]", '["\\\\/evil.example", []]', '["javascript:x", []]'],
)  # fmt: skip
def test_nothing_is_kept_for_another_place(desk: Desk, client: Browser, kept: str) -> None:
    answer = client.post("/sign-in/", {"username": "a.novak", "password": PASSWORD, "kept": kept})
    assert answer["Location"] == "/approvals/"


def test_a_stranger_without_a_token_keeps_nothing(desk: Desk) -> None:
    strict = Browser(enforce_csrf_checks=True)
    sign_in(strict, desk[Role.ADMINISTRATOR])
    assert strict.post("/people/grant/", ASKED).status_code == 403
    assert not Approval.objects.exists()
    assert RoleGrant.objects.count() == 8
    assert not Act.objects.filter(reason=ASKED["reason"]).exists()


def test_no_secret_is_carried(desk: Desk, client: Browser, superuser: Connection) -> None:
    sign_in(client, desk[Role.ADMINISTRATOR])
    grow_old(superuser, minutes=16)
    said: dict[str, Any] = {**ASKED, "password": "my own secret", "proof": "nearly right"}
    page = client.post("/people/grant/", said).content.decode()
    assert "my own secret" not in page
    assert "nearly right" not in page
