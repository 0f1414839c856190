"""Roles are given and taken by two people, and some are not held together.

Every refusal proves that requests, roles and the trail are as they were. A statement as `runtime`
is what the product could do; one as `owner` is what whoever owns the schema could.
"""

from collections.abc import Callable
from json import dumps
from uuid import UUID

import pytest
from psycopg.errors import UniqueViolation

from accounts.models import Operator, Role
from tests.accounts.four import REASON, Four
from tests.accounts.people import session_of
from tests.accounts.raw import Connection, act, not_permitted, one, refused

Connect = Callable[[str], Connection]

# ---------------------------------------------------------------- roles


GRANT = (
    "INSERT INTO accounts_rolegrant (operator_id, role, legal_entity_id, desk, granted_xid)"
    " VALUES (%s, 'treasury', %s, '', pg_current_xact_id())"
)
REVOKE = "UPDATE accounts_rolegrant SET revoked_xid = pg_current_xact_id() WHERE operator_id = %s"


def test_no_role_is_given_by_hand(four: Four) -> None:
    values = (four.newcomer.pk, four.desk.entity.pk)
    with four.nothing_moves(), not_permitted(), act(four.runtime):
        four.runtime.execute(GRANT, values)
    with four.nothing_moves(), refused("role_is_given_by_two"), act(four.owner):
        four.owner.execute(GRANT, values)


def test_an_approval_gives_no_other_role_than_it_was_for(four: Four) -> None:
    asked = four.asks(role="risk")
    four.decides(asked)
    with four.nothing_moves(), refused("role_is_given_by_two"), act(four.owner):
        four.owner.execute("SELECT accounts.grant_role(%s)", [asked])
        four.owner.execute(GRANT, (four.newcomer.pk, four.desk.entity.pk))


def test_no_role_is_taken_by_hand(four: Four) -> None:
    treasurer = four.desk[Role.TREASURY].pk
    with four.nothing_moves(), not_permitted(), act(four.runtime):
        four.runtime.execute(REVOKE, [treasurer])
    with four.nothing_moves(), refused("role_is_taken_by_two"), act(four.owner):
        four.owner.execute(REVOKE, [treasurer])


def asks_to_take(four: Four, operator: Operator) -> UUID:
    grant = one(
        four.runtime, "SELECT id FROM accounts_rolegrant WHERE operator_id = %s"
        " AND revoked_xid IS NULL", operator.pk,
    )  # fmt: skip
    with act(four.runtime, key=session_of(four.desk.administrators[0])):
        found = one(
            four.runtime,
            "SELECT accounts.request_approval(%s, 'role.revoke', 'a role', %s::jsonb, %s)",
            four.desk.entity.pk, dumps({"grant": grant}), REASON,
        )  # fmt: skip
    assert isinstance(found, UUID)
    four.decides(found)
    return found


def test_a_role_is_taken_once(four: Four) -> None:
    first, second = (asks_to_take(four, four.desk[Role.TREASURY]) for _ in range(2))
    with act(four.runtime):
        four.runtime.execute("SELECT accounts.revoke_role(%s)", [first])
    with four.nothing_moves(), refused("role_is_held"), act(four.runtime):
        four.runtime.execute("SELECT accounts.revoke_role(%s)", [second])
    with four.nothing_moves(), refused("role_grant_stays_as_given"), act(four.owner):
        four.owner.execute(
            "UPDATE accounts_rolegrant SET revoked_xid = NULL WHERE operator_id = %s",
            [four.desk[Role.TREASURY].pk],
        )


def test_two_administrators_remain(four: Four) -> None:
    asked = asks_to_take(four, four.desk.administrators[0])
    with four.nothing_moves(), refused("desk_has_two_administrators"), act(four.runtime):
        four.runtime.execute("SELECT accounts.revoke_role(%s)", [asked])
    third = four.asks(role="administrator")
    four.decides(third)
    four.gives(third)
    with act(four.runtime):
        four.runtime.execute("SELECT accounts.revoke_role(%s)", [asked])


@pytest.mark.parametrize(
    ("holder", "role"),
    [(Role.TREASURY, "administrator"), (Role.AUDITOR, "operations"), (Role.RISK, "auditor")],
)
def test_duties_that_conflict_are_not_held_together(four: Four, holder: Role, role: str) -> None:
    changed = Four(four.desk, four.runtime, four.owner, four.superuser, four.desk[holder])
    asked = changed.asks(role=role)
    changed.decides(asked)
    with four.nothing_moves(), refused("roles_do_not_conflict"):
        changed.gives(asked)


def test_the_same_role_is_held_once(four: Four) -> None:
    first, second = four.asks(), four.asks()
    four.decides(first)
    four.decides(second)
    four.gives(first)
    with four.nothing_moves(), pytest.raises(UniqueViolation) as refusal:
        four.gives(second)
    assert refusal.value.diag.constraint_name == "role_is_held_once"


def test_a_role_that_no_desk_knows_is_not_given(four: Four) -> None:
    asked = four.asks(role="king")
    four.decides(asked)
    with four.nothing_moves(), refused("role_is_known"):
        four.gives(asked)


FOUND = "SELECT accounts.found_desk(%s, %s::jsonb)"


def test_a_desk_is_founded_once_by_two_administrators(four: Four) -> None:
    with act(four.runtime):
        new = one(
            four.runtime, "INSERT INTO accounts_legalentity (code, name) VALUES ('EB-FR', 'Paris')"
            " RETURNING id",
        )  # fmt: skip
    pair = [
        {"operator": operator.pk, "role": "administrator"} for operator in four.desk.administrators
    ]
    with four.nothing_moves(), refused("desk_has_two_administrators"), act(four.runtime):
        four.runtime.execute(FOUND, [new, dumps([pair[0], pair[0] | {"desk": "x"}])])
    with four.nothing_moves(), refused("change_has_an_actor"):
        four.runtime.execute(FOUND, [new, dumps(pair)])
    with act(four.runtime):
        four.runtime.execute(FOUND, [new, dumps(pair)])
    with four.nothing_moves(), refused("desk_is_founded_once"), act(four.runtime):
        four.runtime.execute(FOUND, [new, dumps(pair)])
    with four.nothing_moves(), refused("role_is_given_by_two"), act(four.owner):
        four.owner.execute(GRANT, (four.newcomer.pk, new))


def test_a_role_limited_to_a_desk_does_not_decide_for_all(four: Four) -> None:
    payload = {"operator": four.newcomer.pk, "role": "administrator", "desk": "futures"}
    with act(four.runtime, key=session_of(four.desk.administrators[0])):
        limited = one(
            four.runtime,
            "SELECT accounts.request_approval(%s, 'role.grant', 'a role', %s::jsonb, %s)",
            four.desk.entity.pk, dumps(payload), REASON,
        )  # fmt: skip
    four.decides(limited)
    four.gives(limited)
    asked = four.asks(role="operations")
    with four.nothing_moves(), refused("checker_holds_the_role"):
        four.decides(asked, key=session_of(four.newcomer))
