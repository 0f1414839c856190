"""Somebody else's task from the moment glass is broken, and roles that are over everywhere."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client as Browser

from accounts import emergencies
from accounts.audit import RefusedError, acting
from accounts.models import EmergencyTask, Operator, Role, RoleGrant, SavedView
from accounts.people import request_revocation
from accounts.saved_views import save_view
from brokerage.metrics import lines
from tests.accounts.people import Desk, found_desk, person, session_of, sign_in
from tests.accounts.raw import Connection, act, refused, rows_of
from tests.accounts.test_duties import WHY, agree, take

Connect = Callable[[str], Connection]


@pytest.fixture
def desk(db: None) -> Desk:
    return found_desk()


def end_by_the_clock(superuser: Connection, grant: int) -> None:
    """Let an emergency run out, which only a superuser can do to a test's clock."""
    with superuser.transaction():
        superuser.execute("ALTER TABLE accounts_rolegrant DISABLE TRIGGER emergency_stays_as_taken")
        superuser.execute("SELECT accounts.act('system:command:test', NULL, 'test', '', 'later')")
        superuser.execute(
            "UPDATE accounts_rolegrant SET expires_at = clock_timestamp() WHERE id = %s", [grant]
        )
        superuser.execute(
            "ALTER TABLE accounts_rolegrant ENABLE ALWAYS TRIGGER emergency_stays_as_taken"
        )


def test_broken_glass_is_somebody_elses_task_until_it_is_looked_at(
    desk: Desk, client: Browser
) -> None:
    grant = RoleGrant.objects.get(pk=take(desk, Role.PRINCIPAL, "risk"))
    task = EmergencyTask.objects.get()
    assert (task.grant, task.owner) == (grant, desk[Role.COMPLIANCE])
    assert task.due_at - task.opened_at == pytest.approx(
        timedelta(hours=4), abs=timedelta(seconds=1)
    )
    assert 'brokerage_open_tasks{kind="emergency"} 1' in list(lines())
    sign_in(client, desk[Role.COMPLIANCE])
    for page in ("/people/", "/emergency/", "/margin/tasks/"):
        assert "J. Moreau" in client.get(page).content.decode(), page
    client.post(f"/emergency/{grant.pk}/review/", {"words": "Risk was out; nothing was decided"})
    task.refresh_from_db()
    assert task.closed_at is not None
    assert 'brokerage_open_tasks{kind="emergency"} 0' in list(lines())
    assert not emergencies.open_tasks(desk.entity).exists()


def test_tasks_go_to_whoever_has_fewest_and_change_hands_among_reviewers_alone(
    desk: Desk, superuser: Connection
) -> None:
    first = RoleGrant.objects.get(pk=take(desk, Role.OPERATIONS, "risk"))
    take(desk, Role.TREASURY, "risk")
    owners = {each.owner for each in EmergencyTask.objects.select_related("owner")}
    assert owners == {desk[Role.COMPLIANCE], desk[Role.PRINCIPAL]}
    before = rows_of(superuser, "accounts_emergencytask", "accounts_act")

    def own(who: Operator) -> None:
        emergencies.own_task(first, actor=person(who))

    for who in (Role.OPERATIONS, Role.RISK, Role.ADMINISTRATOR, Role.AUDITOR):
        with pytest.raises(RefusedError) as caught:
            own(desk[who])
        assert caught.value.rule == "emergency_task_is_anothers"
    assert rows_of(superuser, "accounts_emergencytask", "accounts_act") == before
    for who in (Role.COMPLIANCE, Role.PRINCIPAL):
        own(desk[who])
        assert EmergencyTask.objects.get(grant=first).owner == desk[who]
    far = found_desk(code="EB-UK")
    with pytest.raises(RefusedError):
        own(far[Role.COMPLIANCE])


def test_the_owner_of_the_tables_closes_no_task_either(desk: Desk, owner: Connection) -> None:
    grant = take(desk, Role.PRINCIPAL, "risk")
    before = rows_of(owner, "accounts_emergencytask")
    for change, rule in (
        ("closed_at = now()", "emergency_task_closes_by_its_review"),
        ("due_at = due_at + interval '1 day'", "emergency_task_stays_as_opened"),
        ("owner_id = NULL", "emergency_task_is_anothers"),
        (f"owner_id = {desk[Role.PRINCIPAL].pk}", "emergency_task_is_anothers"),
    ):
        with refused(rule), act(owner):
            owner.execute(f"UPDATE accounts_emergencytask SET {change} WHERE grant_id = {grant}")
    with refused("row_is_kept"), act(owner):
        owner.execute("DELETE FROM accounts_emergencytask")
    assert rows_of(owner, "accounts_emergencytask") == before


def test_a_role_of_an_emergency_that_is_over_writes_no_view(
    desk: Desk, superuser: Connection
) -> None:
    """Its holder has no other role any more."""
    who = desk[Role.OPERATIONS]
    taken = take(desk, Role.OPERATIONS, "risk")
    base = RoleGrant.objects.get(operator=who, role="operations")
    asked = request_revocation(grant=base, reason=WHY, actor=person(desk.administrators[0]))
    agree(asked, desk.administrators[1])
    view = save_view(
        "Worst first", list_name="margin-calls", query="sort=-amount", is_shared=True,
        entity=desk.entity, owner=who, actor=person(who),
    )  # fmt: skip
    end_by_the_clock(superuser, taken)
    with pytest.raises(RefusedError) as caught, acting(person(who), reason="Changed a view"):
        SavedView.objects.filter(pk=view.pk).update(query="q=A")
    assert caught.value.rule == "view_is_its_owners"
    assert SavedView.objects.get().query == "sort=-amount"


def test_compliance_of_an_emergency_that_is_over_is_compliance_no_more(
    desk: Desk, owner: Connection, superuser: Connection
) -> None:
    with act(owner):
        owner.execute(
            "INSERT INTO accounts_emergencyrule (holder, role, minutes_max)"
            " VALUES ('operations', 'compliance', 9)"
        )
    taken = take(desk, Role.OPERATIONS, "compliance", minutes=5)
    key = session_of(desk[Role.OPERATIONS])

    def acts() -> object:
        with act(superuser, key=key):
            return superuser.execute(
                "SELECT brokerage.acts_as_compliance(%s)", [desk.entity.pk]
            ).fetchone()

    assert acts() == (True,)
    end_by_the_clock(superuser, taken)
    assert acts() == (False,)
