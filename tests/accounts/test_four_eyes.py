"""Four eyes in the database: each refusal by its rule, beside what is permitted.

Every refusal proves that requests, roles and the trail are as they were. A statement as `runtime`
is what the product could do; one as `owner` is what whoever owns the schema could.
"""

from collections.abc import Callable
from json import dumps
from typing import Any
from uuid import UUID

import pytest

from accounts.models import Role
from tests.accounts.four import REASON, Four
from tests.accounts.people import found_desk, session_of
from tests.accounts.raw import Connection, act, one, refused

Connect = Callable[[str], Connection]

# ---------------------------------------------------------------- asking


def test_a_role_is_asked_for_decided_and_given_once(four: Four) -> None:
    asked = four.asks()
    four.decides(asked)
    grant = four.gives(asked)
    row = four.runtime.execute(
        "SELECT operator_id, role, legal_entity_id, granted_xid::text FROM accounts_rolegrant"
        " WHERE id = %s",
        [grant],
    ).fetchone()
    assert row is not None
    assert row[:3] == (four.newcomer.pk, "risk", four.desk.entity.pk)
    used = one(four.runtime, "SELECT used_xid::text FROM accounts_approval WHERE id = %s", asked)
    assert used == row[3]


def test_the_maker_is_who_acts_through_a_session(four: Four) -> None:
    four.asks()
    statement = "SELECT accounts.request_approval(%s, 'role.grant', 'a role', '{}'::jsonb, %s)"
    with four.nothing_moves(), refused("session_is_live"), act(four.runtime):
        four.runtime.execute(statement, [four.desk.entity.pk, REASON])


def test_a_session_that_ended_asks_for_nothing(four: Four) -> None:
    key = session_of(four.desk.administrators[0])
    four.asks(key=key)
    four.runtime.execute("SELECT accounts.end_session(%s)", [key])
    with four.nothing_moves(), refused("session_is_live"):
        four.asks(key=key)


def test_a_session_that_ends_inside_the_transaction_decides_nothing(
    four: Four, connect: Connect
) -> None:
    key = session_of(four.desk.administrators[1])
    asked = four.asks()
    with refused("session_is_live"), act(four.runtime, key=key):
        connect("runtime").execute("SELECT accounts.end_session(%s)", [key])
        four.runtime.execute("SELECT accounts.decide_approval(%s, 'approved', %s)", [asked, REASON])
    assert four.decision(asked) == ""


def test_an_expired_session_acts_no_more(four: Four) -> None:
    four.runtime.execute(
        "SELECT accounts.open_session(%s, 'past', interval '-1 second')",
        [four.desk.administrators[0].pk],
    )
    with four.nothing_moves(), refused("session_is_live"):
        four.asks(key="past")


def test_the_session_of_somebody_not_active_acts_no_more(four: Four) -> None:
    key = session_of(four.desk.administrators[0])
    with act(four.runtime):
        four.runtime.execute(
            "UPDATE accounts_operator SET is_active = false WHERE id = %s",
            [four.desk.administrators[0].pk],
        )
    with four.nothing_moves(), refused("session_is_live"):
        four.asks(key=key)
    with four.nothing_moves(), refused("session_is_live"):
        session_rows = "SELECT accounts.open_session(%s, 'new', interval '1 hour')"
        four.runtime.execute(session_rows, [four.desk.administrators[0].pk])


@pytest.mark.parametrize("role", [Role.OPERATIONS, Role.AUDITOR, Role.TREASURY])
def test_only_a_role_that_may_ask_asks(four: Four, role: Role) -> None:
    four.asks()
    with four.nothing_moves(), refused("maker_holds_the_role"):
        four.asks(key=session_of(four.desk[role]))


def test_a_role_at_another_legal_entity_does_not_count(four: Four) -> None:
    elsewhere = found_desk(code="EB-UK")
    with four.nothing_moves(), refused("maker_holds_the_role"):
        four.asks(key=session_of(elsewhere.administrators[0]))
    asked = four.asks()
    with four.nothing_moves(), refused("checker_holds_the_role"):
        four.decides(asked, key=session_of(elsewhere.administrators[1]))


def test_what_nobody_else_may_decide_is_not_asked_for(four: Four) -> None:
    # With both administrators there it is; with one of them away it is refused, never waived.
    four.asks()
    with act(four.runtime):
        four.runtime.execute(
            "UPDATE accounts_operator SET is_active = false WHERE id = %s",
            [four.desk.administrators[1].pk],
        )
    with four.nothing_moves(), refused("approval_needs_two_people"):
        four.asks()


def test_an_action_that_needs_no_two_people_is_not_known(four: Four) -> None:
    with four.nothing_moves(), refused("approval_has_an_action"):
        four.asks(action="role.invent")


def test_a_reason_has_ten_characters(four: Four) -> None:
    four.asks(reason="ten chars!")
    with four.nothing_moves(), refused("approval_has_a_reason"):
        four.asks(reason="too short")


# ---------------------------------------------------------------- deciding


def test_ones_own_request_is_for_another_to_decide(four: Four) -> None:
    asked = four.asks()
    with four.nothing_moves(), refused("approval_is_not_ones_own"):
        four.decides(asked, key=session_of(four.desk.administrators[0]))
    four.decides(asked)
    assert four.decision(asked) == "approved"


def test_a_machine_decides_nothing(four: Four) -> None:
    asked = four.asks()
    statement = "SELECT accounts.decide_approval(%s, 'approved', %s)"
    with four.nothing_moves(), refused("session_is_live"), act(four.runtime):
        four.runtime.execute(statement, [asked, REASON])
    with four.nothing_moves(), refused("session_is_live"):
        four.runtime.execute(statement, [asked, REASON])


def test_only_a_role_that_may_decide_decides(four: Four) -> None:
    asked = four.asks()
    with four.nothing_moves(), refused("checker_holds_the_role"):
        four.decides(asked, key=session_of(four.desk[Role.COMPLIANCE]))


def test_a_request_is_decided_once(four: Four) -> None:
    asked = four.asks()
    four.decides(asked, verdict="rejected")
    with four.nothing_moves(), refused("approval_is_decided_once"):
        four.decides(asked, verdict="approved")
    assert four.decision(asked) == "rejected"


def test_an_expired_request_is_not_decided(four: Four) -> None:
    four.decides(four.asks())
    asked = four.asks()
    four.ages(asked)
    with four.nothing_moves(), refused("approval_has_not_expired"):
        four.decides(asked)


@pytest.mark.parametrize(("verdict", "reason"), [("perhaps", REASON), ("approved", "yes")])
def test_a_decision_is_yes_or_no_with_a_reason(four: Four, verdict: str, reason: str) -> None:
    asked = four.asks()
    with four.nothing_moves(), refused("approval_has_a_reason"):
        four.decides(asked, verdict=verdict, reason=reason)


def test_a_request_that_is_not_there_is_not_decided(four: Four) -> None:
    with four.nothing_moves(), refused("approval_exists"):
        four.decides(UUID(int=1))


# ---------------------------------------------------------------- using


def test_an_approval_is_used_once(four: Four) -> None:
    asked = four.asks()
    four.decides(asked)
    four.gives(asked)
    with four.nothing_moves(), refused("approval_is_used_once"):
        four.gives(asked)


@pytest.mark.parametrize("verdict", [None, "rejected"])
def test_what_is_not_approved_is_not_used(four: Four, verdict: str | None) -> None:
    asked = four.asks()
    if verdict is not None:
        four.decides(asked, verdict=verdict)
    with four.nothing_moves(), refused("approval_is_given"):
        four.gives(asked)


def test_an_expired_approval_is_not_used(four: Four) -> None:
    asked = four.asks()
    four.decides(asked)
    four.ages(asked)
    with four.nothing_moves(), refused("approval_has_not_expired"):
        four.gives(asked)


@pytest.mark.parametrize(
    ("action", "payload"),
    [
        ("role.revoke", {"operator": 0, "role": "risk", "desk": ""}),
        ("role.grant", {"operator": 0, "role": "treasury", "desk": ""}),
        ("role.grant", {"operator": 1, "role": "risk", "desk": ""}),
        ("role.grant", {}),
    ],
    ids=["another action", "another role", "another person", "nothing"],
)
def test_an_approval_is_for_exactly_what_was_asked(
    four: Four, action: str, payload: dict[str, Any]
) -> None:
    asked = four.asks()
    four.decides(asked)
    if "operator" in payload:
        payload = payload | {"operator": four.newcomer.pk + payload["operator"]}
    statement = "SELECT accounts.use_approval(%s, %s, %s::jsonb)"
    with four.nothing_moves(), refused("approval_is_for_this"), act(four.runtime):
        four.runtime.execute(statement, [asked, action, dumps(payload)])
    right = {"operator": four.newcomer.pk, "role": "risk", "desk": ""}
    with act(four.runtime):
        four.runtime.execute(statement, [asked, "role.grant", dumps(right)])


def test_an_approval_is_used_by_somebody(four: Four) -> None:
    asked = four.asks()
    four.decides(asked)
    with four.nothing_moves(), refused("change_has_an_actor"):
        four.runtime.execute("SELECT accounts.grant_role(%s)", [asked])
