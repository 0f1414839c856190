"""Conflicts of duties, glass that is broken, sessions that are ended, and what a firm asks."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from django.test import Client as Browser

from accounts import duties, emergencies, roles, sessions, sign_in_rules
from accounts.approvals import AskRefusedError, apply_approved, decide
from accounts.audit import Actor, RefusedError
from accounts.models import (
    Act,
    Approval,
    ApprovalAction,
    DutyConflict,
    EmergencyReview,
    Operator,
    OperatorSession,
    Role,
    RoleGrant,
    SignInRule,
)
from accounts.people import request_grant
from brokerage.verify import verify
from tests.accounts.people import Desk, found_desk, person, session_of, sign_in
from tests.accounts.raw import Connection, act, not_permitted, refused, rows_of

Connect = Callable[[str], Connection]
WHY = "Agreed at the meeting of Monday"


@pytest.fixture
def desk(db: None) -> Desk:
    return found_desk()


def agree(asked: UUID, checker: Operator) -> None:
    """A second person decides, and it is applied."""
    apply_approved(
        decide(asked, verdict="approved", reason=WHY, actor=person(checker)),
        actor=person(checker),
    )


def forbid(desk: Desk, first: str, second: str, *, is_forbidden: bool = True) -> None:
    agree(
        duties.request_conflict(
            legal_entity=desk.entity, first=first, second=second, is_forbidden=is_forbidden,
            reason=WHY, actor=person(desk[Role.RISK]),
        ),
        desk[Role.COMPLIANCE],
    )  # fmt: skip


def give(desk: Desk, operator: Operator, role: Role) -> None:
    first, second = desk.administrators
    agree(
        request_grant(
            operator=operator, role=role, legal_entity=desk.entity, reason=WHY,
            actor=person(first),
        ),
        second,
    )  # fmt: skip


def rule_of(attempt: Callable[[], Any]) -> str:
    """The name of the rule that refuses; "" where nothing does."""
    try:
        attempt()
    except RefusedError as refusal:
        return refusal.rule
    return ""


# ---------------------------------------------------------------- conflicts


def test_the_conflicts_of_before_are_rows(desk: Desk) -> None:
    pairs = {(c.first, c.second) for c in duties.conflicts_in_force(desk.entity)}
    others = [r for r in Role.values if r not in ("administrator", "auditor")]
    assert pairs == {
        ("role:administrator", "role:auditor"),
        *(("role:administrator", f"role:{r}") for r in others),
        *(tuple(sorted(("role:auditor", f"role:{r}"))) for r in others),
    }
    for role in others:
        assert rule_of(lambda r=role: give(desk, desk[Role.AUDITOR], Role(r))) == (  # type: ignore[misc]
            "roles_do_not_conflict"
        )
    assert rule_of(lambda: give(desk, desk[Role.RISK], Role.ADMINISTRATOR)) == (
        "roles_do_not_conflict"
    )


def test_two_people_forbid_two_rights_and_permit_them_again(desk: Desk) -> None:
    pair = ("ask:rates.publish", "decide:duty.conflict")
    forbid(desk, *pair)
    before = RoleGrant.objects.count()
    assert rule_of(lambda: give(desk, desk[Role.TREASURY], Role.COMPLIANCE)) == (
        "roles_do_not_conflict"
    )
    assert RoleGrant.objects.count() == before
    forbid(desk, *pair, is_forbidden=False)
    give(desk, desk[Role.TREASURY], Role.COMPLIANCE)
    assert RoleGrant.objects.count() == before + 1
    assert rule_of(lambda: forbid(desk, *pair)) == "roles_do_not_conflict"


def test_what_came_with_the_product_cannot_be_permitted(desk: Desk) -> None:
    said = rule_of(lambda: forbid(desk, "role:administrator", "role:risk", is_forbidden=False))
    assert said == "conflict_of_the_product_stays"
    assert rule_of(lambda: forbid(desk, "ask:nothing", "role:risk")) == "conflict_names_rights"
    with pytest.raises(AskRefusedError):
        forbid(desk, "role:risk", "role:risk")
    assert not DutyConflict.objects.filter(legal_entity=desk.entity).exists()


def test_a_conflict_is_never_written_by_one_person(
    desk: Desk, owner: Connection, connect: Connect
) -> None:
    row = (
        "INSERT INTO accounts_dutyconflict (legal_entity_id, first, second, is_forbidden, reason)"
        " VALUES (%s, 'role:risk', 'role:treasury', true, 'x')"
    )
    with refused("conflict_is_changed_by_two"), act(owner):
        owner.execute(row, [desk.entity.pk])
    with refused("sign_in_is_changed_by_two"), act(owner):
        owner.execute(
            "INSERT INTO accounts_signinrule (legal_entity_id, second_factor_for, proof_minutes)"
            " VALUES (%s, '{}', 60)",
            [desk.entity.pk],
        )
    with not_permitted():
        connect("runtime").execute(row, [desk.entity.pk])
    assert not SignInRule.objects.exists()


# ---------------------------------------------------------------- effective rights


def test_the_report_names_every_right_of_everybody(desk: Desk, client: Browser) -> None:
    rows = duties.effective_rights(desk.entity)
    for operator in (desk[Role.RISK], desk[Role.AUDITOR], desk.administrators[0]):
        held = roles.roles_of(operator)
        acts = {
            row.right for row in rows if row.username == operator.username and row.kind == "act"
        }
        assert acts == {a for a in roles.RIGHTS if held.may(a, desk.entity.pk)}
        for action in ApprovalAction.objects.all():
            for kind, verb in (("ask", "request"), ("decide", "decide")):
                said = any(
                    row.username == operator.username
                    and (row.right, row.kind) == (action.code, kind)
                    for row in rows
                )
                may = held.may(f"approval.{verb}:{action.code}", desk.entity.pk)
                assert said is may, (operator.username, action.code, kind)
    of_administrators = {r.right for r in rows if r.role == "administrator" and r.kind == "ask"}
    assert of_administrators == {
        "role.grant", "role.revoke", "role.sign_in", "role.factors", "role.identity",
    }  # fmt: skip
    sign_in(client, desk[Role.COMPLIANCE])
    file = client.get("/people/rights.csv").content.decode().splitlines()
    assert file[0] == "username,name,active,right,kind,words,by_role,desk,until"
    assert len(file) == len(rows) + 1
    told = client.get("/people/rights.json").json()
    assert told["count"] == len(rows)
    assert "Rights of each person" in client.get("/people/rights/").content.decode()


# ---------------------------------------------------------------- emergencies


def take(desk: Desk, who: Role, role: str, minutes: int = 60, reason: str = WHY) -> int:
    return emergencies.break_glass(
        legal_entity=desk.entity, role=role, minutes=minutes, reason=reason,
        actor=person(desk[who]),
    )  # fmt: skip


def test_a_role_is_taken_for_minutes_and_everybody_sees_it(desk: Desk, client: Browser) -> None:
    assert not roles.may(desk[Role.OPERATIONS], "block.lift", desk.entity)
    grant = RoleGrant.objects.get(pk=take(desk, Role.OPERATIONS, "risk"))
    assert roles.may(desk[Role.OPERATIONS], "block.lift", desk.entity)
    assert grant.expires_at is not None
    assert list(emergencies.alarms(desk.entity)) == [grant]
    said = Act.objects.latest("recorded_at").reason
    assert said == f"Emergency: took risk for 60 minutes. {WHY}"
    sign_in(client, desk[Role.COMPLIANCE])
    for page in ("/people/", "/emergency/"):
        assert "L. Brandt took risk" in client.get(page).content.decode()
    client.post(f"/emergency/{grant.pk}/review/", {"words": "Risk was out; nothing was decided"})
    assert not emergencies.alarms(desk.entity).exists()
    assert EmergencyReview.objects.get().operator == desk[Role.COMPLIANCE]
    assert faults_of_roles() == []


def faults_of_roles() -> list[Any]:
    """What `verify` says of how roles were given."""
    return [each for each in verify().checks if each.wrong and "roles" in each.name]


def test_an_emergency_ends_by_the_clock_in_program_and_database(
    desk: Desk, superuser: Connection
) -> None:
    taken = take(desk, Role.OPERATIONS, "risk")
    holds = "SELECT accounts.holds_role(%s, '{risk}', %s)"
    values = [desk[Role.OPERATIONS].pk, desk.entity.pk]
    assert superuser.execute(holds, values).fetchone() == (True,)
    with superuser.transaction():
        superuser.execute("SET LOCAL session_replication_role = replica")
        superuser.execute("ALTER TABLE accounts_rolegrant DISABLE TRIGGER emergency_stays_as_taken")
        superuser.execute("SELECT accounts.act('system:command:test', NULL, 'test', '', 'later')")
        superuser.execute(
            "UPDATE accounts_rolegrant SET expires_at = clock_timestamp() WHERE id = %s", [taken]
        )
        superuser.execute(
            "ALTER TABLE accounts_rolegrant ENABLE ALWAYS TRIGGER emergency_stays_as_taken"
        )
    assert superuser.execute(holds, values).fetchone() == (False,)
    assert not roles.may(desk[Role.OPERATIONS], "block.lift", desk.entity)
    assert emergencies.alarms(desk.entity).exists(), "it is seen until somebody looked at it"
    again = take(desk, Role.OPERATIONS, "risk")
    assert again != taken


@pytest.mark.parametrize(
    ("who", "role", "minutes", "reason", "rule"),
    [
        (Role.OPERATIONS, "risk", 241, WHY, "emergency_is_within_its_rule"),
        (Role.OPERATIONS, "risk", 0, WHY, "emergency_is_within_its_rule"),
        (Role.OPERATIONS, "compliance", 5, WHY, "emergency_is_within_its_rule"),
        (Role.OPERATIONS, "administrator", 5, WHY, "emergency_is_within_its_rule"),
        (Role.AUDITOR, "risk", 5, WHY, "emergency_is_within_its_rule"),
        (Role.ADMINISTRATOR, "treasury", 5, WHY, "emergency_is_within_its_rule"),
        (Role.OPERATIONS, "risk", 5, "short", "emergency_has_a_reason"),
        (Role.OPERATIONS, "operations", 5, WHY, "role_is_held_once"),
    ],
)
def test_glass_is_broken_by_its_rule_or_not_at_all(
    desk: Desk, superuser: Connection, who: Role, role: str, minutes: int, reason: str, rule: str
) -> None:
    before = rows_of(superuser, "accounts_rolegrant", "accounts_act", "accounts_auditrow")
    assert rule_of(lambda: take(desk, who, role, minutes, reason)) == rule
    assert rows_of(superuser, "accounts_rolegrant", "accounts_act", "accounts_auditrow") == before


def test_an_emergency_does_not_open_the_next(desk: Desk) -> None:
    take(desk, Role.OPERATIONS, "risk")
    chosen = {
        choice.role
        for choice in emergencies.choices_of(roles.roles_of(desk[Role.OPERATIONS]), desk.entity)
    }
    assert chosen <= {"treasury", "operations"}


def test_nobody_reviews_their_own_emergency(desk: Desk) -> None:
    grant = RoleGrant.objects.get(pk=take(desk, Role.PRINCIPAL, "risk"))

    def look(who: Operator, words: str = WHY) -> str:
        return rule_of(lambda: emergencies.review(grant, words=words, actor=person(who)))

    assert look(desk[Role.PRINCIPAL]) == "emergency_is_reviewed_by_another"
    assert look(desk[Role.TREASURY]) == "emergency_is_reviewed_by_another"
    assert look(desk[Role.COMPLIANCE], "ok") == "emergency_is_reviewed_by_another"
    assert not EmergencyReview.objects.exists()
    emergencies.end_emergency(grant, actor=person(desk[Role.PRINCIPAL]))
    assert not roles.may(desk[Role.PRINCIPAL], "block.lift", desk.entity)
    assert look(desk[Role.COMPLIANCE]) == ""


def test_with_a_role_of_an_emergency_two_people_are_still_two(desk: Desk) -> None:
    take(desk, Role.OPERATIONS, "risk")
    actor = person(desk[Role.OPERATIONS])
    asked = duties.request_conflict(
        legal_entity=desk.entity, first="role:risk", second="role:treasury", is_forbidden=True,
        reason=WHY, actor=actor,
    )  # fmt: skip
    assert (
        rule_of(lambda: decide(asked, verdict="approved", reason=WHY, actor=actor))
        == "approval_is_not_ones_own"
    )
    assert Approval.objects.get().decision == ""


# ---------------------------------------------------------------- sessions


def test_one_ends_ones_own_sessions_and_an_administrator_ends_anybodys(
    desk: Desk, client: Browser
) -> None:
    elsewhere, here = Browser(), client
    sign_in(elsewhere, desk[Role.RISK])
    sign_in(here, desk[Role.RISK])
    assert here.post("/me/sessions/end/").status_code == 302
    assert elsewhere.get("/approvals/").status_code == 302
    assert here.get("/approvals/").status_code == 200
    boss = Browser()
    sign_in(boss, desk.administrators[0])
    assert "m.okafor" in boss.get("/people/of/m.okafor/sessions/").content.decode()
    assert boss.post("/people/of/m.okafor/sessions/").status_code == 302
    assert here.get("/approvals/").status_code == 302
    said = Act.objects.filter(reason="Ended all sessions of M. Okafor")
    assert {each.actor for each in said} == {"operator:m.okafor", "operator:a.novak"}


def test_nobody_else_ends_a_session(desk: Desk, client: Browser) -> None:
    session_of(desk[Role.RISK])
    far = found_desk(code="EB-UK")
    for who in (desk[Role.COMPLIANCE], far.administrators[0]):
        actor = person(who)
        said = rule_of(lambda a=actor: sessions.end_sessions(desk[Role.RISK], actor=a))  # type: ignore[misc]
        assert said == "session_is_ended_by_its_owner_or_an_administrator"
        sign_in(client, who)
        assert client.post("/people/of/m.okafor/sessions/").status_code in (403, 404)
    assert OperatorSession.objects.get(operator=desk[Role.RISK]).ended_at is None


# ---------------------------------------------------------------- what a firm asks


def change_rule(desk: Desk, *, roles_: list[str], minutes: int) -> None:
    first, second = desk.administrators
    agree(
        sign_in_rules.request_rule(
            legal_entity=desk.entity, second_factor_for=roles_, proof_minutes=minutes, reason=WHY,
            actor=person(first),
        ),
        second,
    )  # fmt: skip


def test_two_administrators_make_a_second_factor_a_must(desk: Desk, client: Browser) -> None:
    sign_in(client, desk[Role.RISK])
    assert client.get("/approvals/").status_code == 200
    change_rule(desk, roles_=["risk", "treasury"], minutes=5)
    assert client.get("/approvals/")["Location"] == "/me/"
    assert client.get("/api/approvals/").json()["rule"] == "second_factor_is_asked"
    assert "Your roles need a second factor" in client.get("/me/").content.decode()
    with pytest.raises(RefusedError) as refusal:
        duties.request_conflict(
            legal_entity=desk.entity, first="role:risk", second="role:treasury",
            is_forbidden=True, reason=WHY, actor=person(desk[Role.RISK]),
        )  # fmt: skip
    assert refusal.value.rule == "second_factor_is_asked"
    other = Browser()
    sign_in(other, desk[Role.OPERATIONS])
    assert other.get("/approvals/").status_code == 200
    change_rule(desk, roles_=[], minutes=15)
    assert client.get("/approvals/").status_code == 200


def test_one_administrator_changes_nothing_alone(desk: Desk) -> None:
    asked = sign_in_rules.request_rule(
        legal_entity=desk.entity, second_factor_for=list(Role.values), proof_minutes=60,
        reason=WHY, actor=person(desk.administrators[0]),
    )  # fmt: skip
    actor: Actor = person(desk.administrators[0])
    assert (
        rule_of(lambda: decide(asked, verdict="approved", reason=WHY, actor=actor))
        == "approval_is_not_ones_own"
    )
    assert not SignInRule.objects.exists()
    with pytest.raises(AskRefusedError):
        change_rule(desk, roles_=[], minutes=61)


def test_two_administrators_take_lost_factors_away(desk: Desk) -> None:
    from tests.accounts.test_factors import enrolled

    enrolled(desk[Role.RISK])
    assert rule_of(lambda: session_of_refused(desk[Role.RISK])) == "session_has_its_second_factor"
    first, second = desk.administrators
    agree(
        sign_in_rules.request_reset(
            operator=desk[Role.RISK], legal_entity=desk.entity, reason=WHY, actor=person(first)
        ),
        second,
    )
    assert not OperatorSession.objects.filter(
        operator=desk[Role.RISK], ended_at__isnull=True
    ).exists()
    assert session_of(desk[Role.RISK])


def session_of_refused(operator: Operator) -> str:
    from accounts.audit import refusals

    with refusals():
        return session_of(operator)
