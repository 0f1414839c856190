"""Every action that needs two people, by every role: who asks, who decides, and nobody alone.

The actions are read from the database, so one that is added later is tried here too.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from json import dumps
from typing import Any
from uuid import UUID

import pytest

from accounts.approvals import _registered
from accounts.models import Approval, ApprovalAction, Operator, Role
from tests.accounts.people import Desk, found_desk, session_of
from tests.accounts.raw import Connection, act, one

Connect = Callable[[str], Connection]
WHY = "Agreed at the meeting of Monday"
ROLES = list(Role)


@pytest.fixture
def desk(db: None) -> Desk:
    return found_desk()


def asks(connection: Connection, desk: Desk, action: str, who: Operator) -> UUID:
    """Somebody asks for something harmless of the action."""
    with act(connection, key=session_of(who)):
        found: UUID = one(
            connection, "SELECT accounts.request_approval(%s, %s, 'x', %s::jsonb, %s)",
            desk.entity.pk, action, dumps({"legs": [], "for": action}), WHY,
        )  # fmt: skip
    return found


def decides(connection: Connection, approval: UUID, who: Operator) -> None:
    with act(connection, key=session_of(who)):
        connection.execute("SELECT accounts.decide_approval(%s, 'approved', %s)", [approval, WHY])


def rule_of(do: Callable[[], object]) -> str:
    """The rule that refuses it; "" where it is done."""
    try:
        do()
    except Exception as error:
        rule = getattr(getattr(error, "diag", None), "constraint_name", None)
        if rule is None:
            raise
        return str(rule)
    return ""


def test_every_action_is_shown_and_applied_by_some_app(desk: Desk) -> None:
    codes = set(ApprovalAction.objects.values_list("code", flat=True))
    assert sorted(codes - set(_registered)) == []


def test_every_action_by_every_role(desk: Desk, connect: Connect) -> None:
    runtime = connect("runtime")
    for action in ApprovalAction.objects.order_by("code"):
        for role in ROLES:
            said = rule_of(lambda a=action.code, r=role: asks(runtime, desk, a, desk[r]))  # type: ignore[misc]
            others = {r for r in action.checker_roles if desk[r] != desk[role]}
            if role == Role.ADMINISTRATOR and role in action.checker_roles:
                others.add(role.value)  # there are two of them
            wanted = "" if others else "approval_needs_two_people"
            if role not in action.maker_roles:
                wanted = "maker_holds_the_role"
            assert said == wanted, (action.code, role)


def test_every_request_is_decided_by_its_roles_and_never_by_its_maker(
    desk: Desk, connect: Connect
) -> None:
    runtime, owner = connect("runtime"), connect("owner")
    for action in ApprovalAction.objects.order_by("code"):
        maker = next(
            desk[role]
            for role in action.maker_roles
            if role == Role.ADMINISTRATOR or set(action.checker_roles) - {role}
        )
        pk = asks(runtime, desk, action.code, maker)
        assert rule_of(lambda p=pk, m=maker: decides(runtime, p, m)) == "approval_is_not_ones_own"  # type: ignore[misc]
        by_hand = (
            "UPDATE accounts_approval SET checker_id = maker_id, decision = 'approved',"
            " decision_reason = %s, decided_at = now() WHERE id = %s"
        )

        def alone(statement: str = by_hand, approval: UUID = pk, who: Operator = maker) -> None:
            with act(owner, key=session_of(who)):
                owner.execute(statement, [WHY, approval])

        assert rule_of(alone) == "approval_is_not_ones_own", action.code
        for role in ROLES:
            if role not in action.checker_roles and desk[role] != maker:
                said = rule_of(lambda p=pk, r=role: decides(runtime, p, desk[r]))  # type: ignore[misc]
                assert said == "checker_holds_the_role", (action.code, role)
        assert Approval.objects.get(pk=pk).decision == ""
        checker = next(
            (desk[r] for r in action.checker_roles if desk[r] != maker), desk.administrators[1]
        )
        assert rule_of(lambda p=pk, c=checker: decides(runtime, p, c)) == "", action.code  # type: ignore[misc]


def test_with_fewer_than_two_who_may_it_is_refused(
    desk: Desk, connect: Connect, superuser: Any
) -> None:
    """Everybody but the maker leaves; nothing is waived."""
    runtime = connect("runtime")
    for action in ApprovalAction.objects.order_by("code"):
        maker = desk[action.maker_roles[0]]
        with superuser.transaction():
            superuser.execute("SET LOCAL session_replication_role = replica")
            superuser.execute("ALTER TABLE accounts_operator DISABLE TRIGGER USER")
            superuser.execute("UPDATE accounts_operator SET is_active = (id = %s)", [maker.pk])
            said = superuser.execute(
                "SELECT tgname FROM pg_trigger WHERE tgrelid = 'accounts_operator'::regclass"
                " AND NOT tgisinternal"
            ).fetchall()
            for (trigger,) in said:
                superuser.execute(f"ALTER TABLE accounts_operator ENABLE ALWAYS TRIGGER {trigger}")
        said = rule_of(lambda a=action.code, m=maker: asks(runtime, desk, a, m))  # type: ignore[misc]
        assert said == "approval_needs_two_people", action.code
    assert not Approval.objects.exists()


@pytest.mark.parametrize("tries", [50])
def test_of_many_who_approve_at_once_exactly_one_does(
    desk: Desk, connect: Connect, tries: int
) -> None:
    pk = asks(connect("runtime"), desk, "entry.write_off", desk[Role.OPERATIONS])
    checkers = [desk[Role.TREASURY], desk[Role.RISK], desk[Role.COMPLIANCE]]
    keys = [session_of(checkers[n % 3]) for n in range(tries)]
    connections = [connect("runtime") for _ in range(10)]

    def decide_with(place: int) -> list[str]:
        connection = connections[place]

        def once(key: str) -> None:
            with act(connection, key=key):
                connection.execute("SELECT accounts.decide_approval(%s, 'approved', %s)", [pk, WHY])

        return [rule_of(lambda k=key: once(k)) for key in keys[place::10]]  # type: ignore[misc]

    with ThreadPoolExecutor(10) as pool:
        said = [rule for rules in pool.map(decide_with, range(10)) for rule in rules]
    assert sorted(said) == ["", *["approval_is_decided_once"] * (tries - 1)]
