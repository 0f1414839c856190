"""What somebody tries at the door and with a session: each attack, and that it gains nothing."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.auth.hashers import make_password
from django.test import Client as Browser

from accounts import factors
from accounts.audit import Actor, acting
from accounts.models import (
    Operator,
    OperatorSession,
    RecoveryCode,
    Role,
    RoleGrant,
    SecondFactor,
)
from accounts.people import request_revocation
from tests.accounts.people import PASSWORD, Desk, found_desk, person, session_of, sign_in
from tests.accounts.raw import Connection, act
from tests.accounts.test_duties import WHY, agree
from tests.accounts.test_factors import enrolled
from tests.accounts.test_passkeys import Device, enrol, half_in, options_in
from tests.accounts.test_step_up import ASKED, grow_old

Connect = Callable[[str], Connection]


class Countless(Device):
    """An authenticator that keeps no count, as most of those in telephones."""

    def data(self, host: str, *, with_key: bool) -> bytes:
        self.count = -1
        return super().data(host, with_key=with_key)


@pytest.fixture
def desk(db: None) -> Desk:
    return found_desk()


def test_what_a_passkey_without_a_count_said_is_good_once_in_two_requests_at_once(
    desk: Desk, client: Browser
) -> None:
    sign_in(client, desk[Role.RISK])
    device = Countless()
    assert enrol(client, device).status_code == 200
    entering = half_in()
    said = device.show(options_in(entering.get("/sign-in/second/")))
    as_both_read_it = dict(entering.session)
    assert entering.post("/sign-in/second/", {"credential": said}).status_code == 302
    second = half_in()
    session = second.session
    session.update(as_both_read_it)
    session.save()
    assert second.post("/sign-in/second/", {"credential": said}).status_code == 403
    assert second.get("/approvals/").status_code == 302
    assert OperatorSession.objects.filter(factors="password,passkey").count() == 1


def test_of_ten_who_use_a_recovery_code_at_once_one_does(desk: Desk, connect: Connect) -> None:
    operator = desk[Role.RISK]
    _, codes = enrolled(operator)
    digest = factors.digest_of(codes[0], operator_id=operator.pk)

    def use(connection: Connection) -> str:
        try:
            with act(connection, actor="system:sign-in"):
                connection.execute(
                    "SELECT accounts.use_recovery_code(%s, %s)", [operator.pk, digest]
                )
        except Exception as refusal:
            return str(getattr(refusal, "diag").constraint_name)  # noqa: B009
        return ""

    with ThreadPoolExecutor(10) as pool:
        said = sorted(pool.map(use, [connect("runtime") for _ in range(10)]))
    assert said == ["", *["recovery_code_is_used_once"] * 9]
    assert RecoveryCode.objects.filter(used_at__isnull=False).count() == 1


def test_one_device_is_not_the_passkey_of_two_names(desk: Desk, client: Browser) -> None:
    """Else one person who signs in as two could ask and decide."""
    device, other = Device(), Browser()
    sign_in(client, desk[Role.RISK])
    sign_in(other, desk[Role.TREASURY])
    assert enrol(client, device).status_code == 200
    assert enrol(other, device).status_code == 409
    assert SecondFactor.objects.get().operator == desk[Role.RISK]
    assert not factors.factors_of(desk[Role.TREASURY]).exists()


def test_a_passkey_set_up_here_is_asked_for_at_the_next_proof(
    desk: Desk, client: Browser, superuser: Connection
) -> None:
    """The password alone is less from then on; the session ends instead of going on with it."""
    sign_in(client, desk[Role.ADMINISTRATOR])
    assert enrol(client, Device()).status_code == 200
    grow_old(superuser, minutes=16)
    answer = client.post("/people/grant/", {**ASKED, "proof": PASSWORD})
    assert answer.status_code == 403
    assert "second factor" in answer.content.decode()
    assert client.get("/people/").status_code == 302
    assert not RoleGrant.objects.filter(reason=ASKED["reason"]).exists()


def test_a_proof_is_of_the_session_in_which_it_was_given(
    desk: Desk, client: Browser, superuser: Connection
) -> None:
    other = Browser()
    for browser in (client, other):
        sign_in(browser, desk[Role.ADMINISTRATOR])
    grow_old(superuser, minutes=16)
    assert client.post("/api/proof/", {"proof": PASSWORD}).status_code == 200
    assert other.post("/people/grant/", ASKED).status_code == 403
    assert client.post("/people/grant/", ASKED).status_code == 302


def test_another_password_ends_the_sessions_of_before(desk: Desk, client: Browser) -> None:
    operator = desk[Role.RISK]
    sign_in(client, operator)
    assert client.get("/approvals/").status_code == 200
    with acting(Actor.command("test"), reason="A new password"):
        Operator.objects.filter(pk=operator.pk).update(password=make_password("another one here"))
    assert client.get("/approvals/").status_code == 302
    assert client.get("/api/approvals/").status_code in (401, 403)


def test_a_role_that_is_taken_is_gone_at_the_next_request(desk: Desk, client: Browser) -> None:
    operator = desk[Role.COMPLIANCE]
    sign_in(client, operator)
    assert client.get("/people/").status_code == 200
    asked = request_revocation(
        grant=RoleGrant.objects.get(operator=operator), reason=WHY,
        actor=person(desk.administrators[0]),
    )  # fmt: skip
    agree(asked, desk.administrators[1])
    assert client.get("/people/").status_code == 404
    assert client.get("/api/approvals/").status_code == 403


def test_cookies_are_out_of_reach_and_pages_out_of_caches(desk: Desk, client: Browser) -> None:
    client.get("/sign-in/")
    answer = client.post("/sign-in/", {"username": "m.okafor", "password": PASSWORD})
    session, token = answer.cookies["sessionid"], client.cookies["csrftoken"]
    assert (session["httponly"], session["samesite"]) == (True, "Lax")
    assert (token["httponly"], token["samesite"]) == (True, "Strict")
    for address in ("/me/", "/approvals/", "/api/approvals/", "/sign-in/"):
        page = client.get(address)
        assert "no-store" in page["Cache-Control"], address
        assert page["Referrer-Policy"] == "same-origin"


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "localhost@evil"])
def test_no_page_answers_under_a_name_that_is_not_its_own(db: None, host: str) -> None:
    answer = Browser(headers={"host": host}, raise_request_exception=False).get("/sign-in/")
    assert answer.status_code == 400
    assert "evil" not in answer.content.decode()


def test_a_session_of_nobody_active_opens_nothing(desk: Desk, client: Browser) -> None:
    operator = desk[Role.RISK]
    sign_in(client, operator)
    key = session_of(operator)
    with acting(Actor.command("test"), reason="Has left the firm"):
        Operator.objects.filter(pk=operator.pk).update(is_active=False)
    assert client.get("/approvals/").status_code == 302
    thief = Browser()
    thief.cookies["sessionid"] = key
    assert thief.get("/api/approvals/").status_code in (302, 401, 403)
