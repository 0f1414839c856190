"""Rules of rows about signing in and emergencies, whoever writes them."""

import pytest
from psycopg.errors import CheckViolation, UniqueViolation

from accounts import emergencies, sign_in_rules
from accounts.approvals import AskRefusedError
from accounts.models import RoleGrant, SecondFactor
from tests.accounts.four import Four
from tests.accounts.people import person, session_of
from tests.accounts.raw import act, refused
from tests.accounts.test_factors import enrolled

WHY = "Agreed at the meeting of Monday"


def inserted(four: Four, statement: str, *values: object) -> None:
    """As the owner of the tables, with the person behind it."""
    with act(four.owner, key=session_of(four.desk["risk"])):
        four.owner.execute(statement, values)


def named(four: Four, rule: str, statement: str, *values: object) -> None:
    """The statement breaks this constraint of the table, and nothing stands there afterwards."""
    with pytest.raises((CheckViolation, UniqueViolation)) as refusal:
        inserted(four, statement, *values)
    assert refusal.value.diag.constraint_name == rule


FACTOR = (
    "INSERT INTO accounts_secondfactor (id, operator_id, kind, label, secret, credential_id, step,"
    " added_at, confirmed_at) VALUES (gen_random_uuid(), %s, %s, 'Phone', %s, %s, 0, now(), now())"
)


def test_a_factor_is_of_one_kind_and_has_a_name_of_its_own(four: Four) -> None:
    who = four.desk["risk"].pk
    named(four, "factor_is_of_a_kind", FACTOR, who, "totp", None, b"1")
    named(four, "factor_is_of_a_kind", FACTOR, who, "passkey", b"1", b"2")
    named(four, "factor_is_of_a_kind", FACTOR, who, "charm", None, None)
    assert not SecondFactor.objects.exists()
    begin = "SELECT accounts.begin_factor('passkey', 'Phone', NULL, %s, '\\x01', 0)"
    with act(four.runtime, key=session_of(four.desk["risk"])):
        four.runtime.execute(begin, [b"1"])
        with pytest.raises(UniqueViolation) as refusal:
            four.runtime.execute(begin, [b"2"])
        assert refusal.value.diag.constraint_name == "factor_label_is_unique"
        four.runtime.execute("ROLLBACK")


def test_a_proof_lasts_a_minute_to_an_hour(four: Four) -> None:
    rule = (
        "INSERT INTO accounts_signinrule (legal_entity_id, second_factor_for, proof_minutes)"
        " VALUES (%s, '{}', %s)"
    )
    for minutes in (0, 61):
        named(four, "proof_lasts_one_to_sixty_minutes", rule, four.desk.entity.pk, minutes)


def test_a_conflict_names_two_rights_in_order(four: Four) -> None:
    row = (
        "INSERT INTO accounts_dutyconflict (legal_entity_id, first, second, is_forbidden, reason)"
        " VALUES (%s, 'role:risk', 'role:risk', true, 'x')"
    )
    named(four, "conflict_names_two_rights_in_order", row, four.desk.entity.pk)


def test_a_rule_of_emergencies_stands_once(four: Four) -> None:
    row = "INSERT INTO accounts_emergencyrule (holder, role, minutes_max) VALUES ('risk', %s, 9)"
    named(four, "emergency_rule_is_unique", row, "operations")


def test_an_emergency_and_a_recovery_code_stay_as_they_were(four: Four) -> None:
    enrolled(four.desk["risk"])
    grant = emergencies.break_glass(
        legal_entity=four.desk.entity, role="risk", minutes=5, reason=WHY,
        actor=person(four.desk["operations"]),
    )  # fmt: skip
    before = RoleGrant.objects.get(pk=grant)
    for change in ("expires_at = expires_at + interval '1 hour'", "reason = 'another reason'"):
        with refused("emergency_stays_as_taken"), act(four.owner):
            four.owner.execute(f"UPDATE accounts_rolegrant SET {change} WHERE id = {grant}")
    assert RoleGrant.objects.get(pk=grant).expires_at == before.expires_at
    with refused("recovery_code_stays_as_made"), act(four.owner):
        four.owner.execute(
            "UPDATE accounts_recoverycode SET digest = '\\x00' WHERE used_at IS NULL"
        )


def test_factors_of_a_stranger_are_not_taken_away(four: Four) -> None:
    with pytest.raises(AskRefusedError):
        sign_in_rules.request_reset(
            operator=four.newcomer, legal_entity=four.desk.entity, reason=WHY,
            actor=person(four.desk.administrators[0]),
        )  # fmt: skip
    asked = four.asks(action="role.factors")
    four.decides(asked)
    with refused("person_works_here"), act(four.runtime):
        four.runtime.execute("SELECT accounts.reset_factors(%s)", [asked])
