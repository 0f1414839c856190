"""Second factors: codes of the published vectors, used once, sealed, and asked for at the door."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from cryptography.exceptions import InvalidTag
from django.test import Client as Browser
from django.utils import timezone

from accounts import factors, operators
from accounts.audit import Actor, RefusedError
from accounts.factors import WrongCodeError, code_at, step_of
from accounts.models import (
    AuditRow,
    Operator,
    OperatorSession,
    RecoveryCode,
    Role,
    SecondFactor,
    SignInFailure,
)
from tests.accounts.people import PASSWORD, Desk, found_desk, person, session_of, sign_in
from tests.accounts.raw import Connection, act, not_permitted, refused, rows_of

Connect = Callable[[str], Connection]
SECRET = b"12345678901234567890"


@pytest.fixture
def desk(db: None) -> Desk:
    return found_desk()


def enrolled(operator: Operator, *, at: datetime | None = None) -> tuple[bytes, list[str]]:
    """A code generator taken into use three steps ago; its secret, and the recovery codes."""
    actor = person(operator)
    before = (at or timezone.now()) - timedelta(seconds=90)
    begun = factors.begin_totp(operator, label="Phone", actor=actor)
    secret = factors.open_secret(SecondFactor.objects.get(pk=begun.factor))
    code = code_at(secret, step_of(before))
    factors.confirm_totp(operator, begun.factor, code=code, now=before, actor=actor)
    return secret, factors.new_recovery_codes(operator, actor=actor)


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (59, "94287082"), (1111111109, "07081804"), (1111111111, "14050471"),
        (1234567890, "89005924"), (2000000000, "69279037"), (20000000000, "65353130"),
    ],
)  # fmt: skip
def test_codes_are_those_that_rfc_6238_publishes(seconds: int, code: str) -> None:
    step = step_of(datetime.fromtimestamp(seconds, UTC))
    assert code_at(SECRET, step, digits=8) == code


def test_a_clock_may_be_half_a_minute_off_and_no_more() -> None:
    now = datetime(2031, 3, 3, 12, 0, 15, tzinfo=UTC)
    step = step_of(now)
    for around in (-1, 0, 1):
        assert factors.step_with(SECRET, code_at(SECRET, step + around), now=now) == step + around
    for around in (-2, 2):
        assert factors.step_with(SECRET, code_at(SECRET, step + around), now=now) is None


def test_a_code_is_good_once_and_an_older_one_no_more(desk: Desk) -> None:
    operator, now = desk[Role.RISK], timezone.now()
    secret, _ = enrolled(operator, at=now)
    earlier = code_at(secret, step_of(now) - 1)
    code = code_at(secret, step_of(now))
    assert factors.spend_code(operator, code, now=now) == "totp"
    kept = SecondFactor.objects.get()
    for replayed in (code, f"{code[:3]} {code[3:]}", earlier):
        with pytest.raises(WrongCodeError):
            factors.spend_code(operator, replayed, now=now)
    assert SecondFactor.objects.get().step == kept.step == step_of(now)


def test_of_ten_who_use_a_code_at_once_one_does(desk: Desk, connect: Connect) -> None:
    secret, _ = enrolled(desk[Role.RISK])
    factor, step = SecondFactor.objects.get(), step_of(timezone.now())
    assert secret

    def use(connection: Connection) -> str:
        try:
            with act(connection, actor="system:sign-in"):
                connection.execute("SELECT accounts.use_code(%s, %s)", [factor.pk, step])
        except Exception as refusal:
            return str(getattr(refusal, "diag").constraint_name)  # noqa: B009
        return ""

    with ThreadPoolExecutor(10) as pool:
        said = sorted(pool.map(use, [connect("runtime") for _ in range(10)]))
    assert said == ["", *["code_is_used_once"] * 9]


def test_a_step_never_goes_back_whoever_writes(desk: Desk, owner: Connection) -> None:
    enrolled(desk[Role.RISK])
    before = rows_of(owner, "accounts_secondfactor")
    for change, rule in (
        ("step = step - 1", "code_is_used_once"),
        ("secret = '\\x00'", "factor_stays_as_enrolled"),
        ("operator_id = operator_id + 1", "factor_stays_as_enrolled"),
        ("confirmed_at = now()", "code_is_used_once"),
    ):
        with refused(rule), act(owner):
            owner.execute(f"UPDATE accounts_secondfactor SET {change}")
    with refused("factor_is_removed_by_its_owner_or_two"), act(owner):
        owner.execute("UPDATE accounts_secondfactor SET removed_at = now(), secret = NULL")
    with refused("row_is_kept"), act(owner):
        owner.execute("DELETE FROM accounts_secondfactor")
    assert rows_of(owner, "accounts_secondfactor") == before


def test_the_program_writes_factors_through_their_functions_alone(
    desk: Desk, connect: Connect
) -> None:
    enrolled(desk[Role.RISK])
    runtime = connect("runtime")
    for table in ("accounts_secondfactor", "accounts_recoverycode"):
        for statement in (f"DELETE FROM {table}", f"UPDATE {table} SET operator_id = operator_id"):
            with not_permitted():
                runtime.execute(statement)
    auditor = connect("auditor")
    for column in ("accounts_secondfactor.secret", "accounts_recoverycode.digest"):
        with not_permitted():
            auditor.execute(f"SELECT {column} FROM {column.partition('.')[0]}")


def test_nobody_sets_up_the_factor_of_another(desk: Desk, owner: Connection) -> None:
    mine, other = desk[Role.RISK], desk[Role.TREASURY]
    with refused("factor_is_enrolled_by_its_owner"), act(owner, key=session_of(other)):
        owner.execute(
            "INSERT INTO accounts_recoverycode (operator_id, digest, made_at)"
            " VALUES (%s, '\\x00', now())",
            [mine.pk],
        )
    assert not RecoveryCode.objects.exists()


def test_secrets_stand_sealed_and_the_trail_says_only_that_they_changed(desk: Desk) -> None:
    secret, codes = enrolled(desk[Role.RISK])
    factor = SecondFactor.objects.get()
    assert factor.secret is not None
    assert secret not in bytes(factor.secret)
    rows = AuditRow.objects.filter(
        table_name__in=["accounts_secondfactor", "accounts_recoverycode"]
    )
    said = " ".join(f"{row.before} {row.after}" for row in rows)
    assert rows.count() >= 12
    assert secret.hex() not in said
    assert bytes(factor.secret).hex() not in said
    for code in codes:
        assert code not in said
    assert {(row.after or {}).get("secret", "hidden") for row in rows} <= {"hidden", "changed"}


def test_a_sealed_secret_opens_for_its_person_alone(desk: Desk) -> None:
    sealed = factors.seal_secret(SECRET, operator_id=1)
    mine = SecondFactor(operator_id=1, secret=sealed)
    assert factors.open_secret(mine) == SECRET
    with pytest.raises(InvalidTag):
        factors.open_secret(SecondFactor(operator_id=2, secret=sealed))


# The rule is `recovery_code_is_used_once`.
def test_a_recovery_code_is_good_once_however_it_is_typed(desk: Desk) -> None:
    operator = desk[Role.RISK]
    _, codes = enrolled(operator)
    assert len({*codes}) == 10
    now = timezone.now()
    assert factors.spend_code(operator, codes[0].upper().replace("-", " "), now=now) == "recovery"
    with pytest.raises(WrongCodeError):
        factors.spend_code(operator, codes[0], now=now)
    with pytest.raises(WrongCodeError):
        factors.spend_code(desk[Role.TREASURY], codes[1], now=now)
    assert factors.recovery_codes_left(operator) == 9
    factors.new_recovery_codes(operator, actor=person_with_factor(operator))
    with pytest.raises(WrongCodeError):
        factors.spend_code(operator, codes[1], now=now)
    assert factors.recovery_codes_left(operator) == 10


def person_with_factor(operator: Operator) -> Actor:
    """The operator acting through a session that a second factor opened."""
    from secrets import token_hex

    from django.db import connection

    key = token_hex(16)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT accounts.open_proved_session(%s, %s, interval '1 hour', 'password,totp', '',"
            " '')",
            [operator.pk, key],
        )
    return Actor.person(key)


def test_what_is_removed_takes_its_secret_and_its_codes_along(desk: Desk) -> None:
    operator = desk[Role.RISK]
    _, codes = enrolled(operator)
    factor = SecondFactor.objects.get()
    with pytest.raises(RefusedError) as refusal:
        factors.remove_factor(desk[Role.TREASURY], factor.pk, actor=person(desk[Role.TREASURY]))
    assert refusal.value.rule == "factor_is_known"
    factors.remove_factor(operator, factor.pk, actor=person_with_factor(operator))
    factor.refresh_from_db()
    assert (factor.secret, factor.removed_at is None) == (None, False)
    with pytest.raises(WrongCodeError):
        factors.spend_code(operator, codes[0], now=timezone.now())


# ---------------------------------------------------------------- at the door


def enter(client: Browser) -> Any:
    return client.post("/sign-in/", {"username": "m.okafor", "password": PASSWORD, "next": "/me/"})


def test_a_password_alone_lets_nobody_in_who_has_a_second_factor(
    desk: Desk, client: Browser
) -> None:
    secret, _ = enrolled(desk[Role.RISK])
    before = OperatorSession.objects.count()
    assert enter(client)["Location"] == "/sign-in/second/"
    half_key = client.cookies["sessionid"].value
    assert OperatorSession.objects.count() == before
    assert client.get("/approvals/").status_code == 302
    with pytest.raises(RefusedError) as refusal, refusing():
        session_of(desk[Role.RISK])
    assert refusal.value.rule == "session_has_its_second_factor"
    code = code_at(secret, step_of(timezone.now()))
    answer = client.post("/sign-in/second/", {"code": code})
    assert (answer.status_code, answer["Location"]) == (302, "/me/")
    assert client.cookies["sessionid"].value != half_key
    session = OperatorSession.objects.latest("opened_at")
    assert (session.factors, session.operator) == ("password,totp", desk[Role.RISK])
    assert not SignInFailure.objects.exists()
    other = Browser()
    enter(other)
    replayed = other.post("/sign-in/second/", {"code": code})
    assert replayed.status_code == 403
    assert "That code is wrong." in replayed.content.decode()
    assert other.get("/approvals/").status_code == 302


def refusing() -> Any:
    from accounts.audit import refusals

    return refusals()


def test_wrong_codes_lock_the_name_like_wrong_passwords(desk: Desk, client: Browser) -> None:
    enrolled(desk[Role.RISK])
    enter(client)
    said = [client.post("/sign-in/second/", {"code": "000000"}).content.decode() for _ in range(4)]
    assert "One try is left" in said[2]
    assert "now locked for 15 minutes" in said[3]
    assert client.get("/approvals/").status_code == 302


def test_the_second_step_without_the_first_leads_to_the_door(desk: Desk, client: Browser) -> None:
    secret, _ = enrolled(desk[Role.RISK])
    code = code_at(secret, step_of(timezone.now()))
    assert client.post("/sign-in/second/", {"code": code})["Location"] == "/sign-in/"
    enter(client)
    session = client.session
    session[operators.HALF_WAY] = [desk[Role.RISK].pk, timezone.now().timestamp() - 301]
    session.save()
    assert client.post("/sign-in/second/", {"code": code})["Location"] == "/sign-in/"


def test_a_person_sets_up_and_removes_a_generator_on_screen(desk: Desk, client: Browser) -> None:
    sign_in(client, desk[Role.RISK])
    assert client.post("/me/factors/begin/", {"label": "Phone"}).status_code == 302
    page = client.get("/me/").content.decode()
    begun = factors.unconfirmed(desk[Role.RISK])
    assert begun is not None
    assert begun.secret in page
    wrong = client.post(f"/me/factors/{begun.factor}/confirm/", {"code": "000000"})
    assert wrong.status_code == 400
    secret = factors.open_secret(SecondFactor.objects.get())
    code = code_at(secret, step_of(timezone.now()))
    done = client.post(f"/me/factors/{begun.factor}/confirm/", {"code": code})
    codes = re.findall(r"<code>((?:[a-z2-7]{4}-){3}[a-z2-7]{4})</code>", done.content.decode())
    assert len(codes) == 10
    again = client.get("/me/").content.decode()
    assert begun.secret not in again
    assert not any(code in again for code in codes)
    assert client.post(f"/me/factors/{begun.factor}/remove/").status_code == 302
    assert not factors.factors_of(desk[Role.RISK]).exists()


def test_nobody_touches_the_factor_of_another_on_screen(desk: Desk, client: Browser) -> None:
    enrolled(desk[Role.RISK])
    factor = SecondFactor.objects.get()
    sign_in(client, desk[Role.TREASURY])
    assert client.post(f"/me/factors/{factor.pk}/remove/").status_code == 409
    assert client.post(f"/me/factors/{UUID(int=7)}/confirm/", {"code": "1"}).status_code == 400
    factor.refresh_from_db()
    assert factor.removed_at is None
