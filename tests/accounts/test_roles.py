"""Who may do what, and what is said to who may not."""

from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest
from django.test import Client as Browser

from accounts import roles
from accounts.models import ApprovalAction, Role
from accounts.roles import RIGHTS, Held, Roles
from tests.accounts.people import Desk, found_desk, sign_in

ROLES = list(Role)
MATRIX = {
    #                     operations, risk, treasury, compliance, principal, auditor, administrator
    "read": "yes yes yes yes yes yes no",
    "approval.read": "yes yes yes yes yes yes yes",
    "audit.read": "yes yes yes yes yes yes yes",
    "audit.export": "no no no yes no yes yes",
    "people.read": "no no no yes no yes yes",
    "retention.read": "yes no no yes no yes no",
    "role.manage": "no no no no no no yes",
    "call.acknowledge": "yes yes no no no no no",
    "call.carry": "yes yes no no no no no",
    "notice.deliver": "yes yes no no no no no",
    "task.take": "yes yes no no no no no",
    "break.take": "yes no yes no no no no",
    "break.explain": "yes no yes no no no no",
    "break.close": "yes no yes no no no no",
    "period.close": "no no yes yes no no no",
    "receipt.book": "yes no yes no no no no",
    "segregation.state": "yes no yes yes no no no",
    "release.withdrawal": "yes no yes no no no no",
    "bucket.move": "yes no yes no no no no",
    "payment.file": "yes no yes no no no no",
    "client.reconcile": "yes no yes no no no no",
    "block.set": "yes yes no yes no no no",
    "block.lift": "no yes no yes no no no",
    "job.start": "yes yes yes no no no no",
    "job.cancel": "yes yes no no no no no",
    "report.export": "yes yes yes yes yes yes no",
    "external.import": "yes yes no no no no no",
    "price.take": "yes yes no no no no no",
    "trade.book": "yes yes no no no no no",
    "view.keep": "yes yes yes yes yes no no",
    "model.audit": "no yes no yes no yes no",
    "case.read": "no no no yes no yes no",
    "case.write": "no no no yes no no no",
}
READING = {
    "read", "approval.read", "audit.read", "audit.export", "people.read", "retention.read",
    "report.export", "model.audit", "case.read",
}  # fmt: skip


@pytest.fixture
def desk(db: None) -> Desk:
    return found_desk()


def request_of(desk: Desk, role: Role) -> HttpRequest:
    request = HttpRequest()
    request.roles = roles.roles_of(desk[role])  # type: ignore[attr-defined]
    request.legal_entity = desk.entity  # type: ignore[attr-defined]
    return request


def test_the_matrix_names_every_act() -> None:
    assert set(MATRIX) == set(RIGHTS)


@pytest.mark.parametrize("act", MATRIX)
def test_each_role_may_what_the_matrix_says(desk: Desk, act: str) -> None:
    allowed = dict(zip(ROLES, MATRIX[act].split(), strict=True))
    for role, word in allowed.items():
        assert roles.may(desk[role], act, desk.entity) is (word == "yes"), role
        assert roles.may(request_of(desk, role), act, desk.entity.pk) is (word == "yes"), role


def test_an_auditor_only_reads(desk: Desk) -> None:
    held = roles.roles_of(desk[Role.AUDITOR])
    assert {act for act in RIGHTS if held.may(act, desk.entity.pk)} == READING
    for code in ApprovalAction.objects.values_list("code", flat=True):
        assert not held.entities(f"approval.request:{code}")
        assert not held.entities(f"approval.decide:{code}")


def test_an_administrator_has_no_hand_in_money(desk: Desk) -> None:
    held = roles.roles_of(desk[Role.ADMINISTRATOR])
    for code in ApprovalAction.objects.values_list("code", flat=True):
        may = held.may(f"approval.request:{code}", desk.entity.pk)
        assert may is code.startswith("role."), code


def test_who_may_ask_and_decide_stands_in_the_table_of_actions(desk: Desk) -> None:
    for action in ApprovalAction.objects.all():
        for role in ROLES:
            held = roles.roles_of(desk[role])
            asks = held.may(f"approval.request:{action.code}", desk.entity.pk)
            decides = held.may(f"approval.decide:{action.code}", desk.entity.pk)
            assert asks is (role in action.maker_roles)
            assert decides is (role in action.checker_roles)


def test_nobody_may_what_nobody_has_written_down(desk: Desk) -> None:
    assert roles.roles_for("approval.decide:nothing") == frozenset()
    with pytest.raises(KeyError):
        roles.roles_for("no.such.act")


def test_who_may_not_is_told_who_can(desk: Desk) -> None:
    with pytest.raises(PermissionDenied) as refused:
        roles.check(request_of(desk, Role.TREASURY), "call.acknowledge", desk.entity)
    assert str(refused.value) == (
        "You may not acknowledge a margin call. L. Brandt or M. Okafor can."
    )
    roles.check(request_of(desk, Role.RISK), "call.acknowledge", desk.entity)


def test_three_people_are_named_as_people_name_them() -> None:
    assert roles.one_of([]) == ""
    assert roles.one_of(["A"]) == "A"
    assert roles.one_of(["A", "B"]) == "A or B"
    assert roles.one_of(["A", "B", "C"]) == "A, B or C"


def test_what_is_outside_ones_legal_entity_does_not_exist(desk: Desk) -> None:
    elsewhere = found_desk(code="EB-UK")
    with pytest.raises(Http404):
        roles.check(request_of(elsewhere, Role.RISK), "read", desk.entity)
    assert not roles.may(elsewhere[Role.RISK], "read", desk.entity)
    with pytest.raises(Http404):
        roles.check(HttpRequest(), "read", desk.entity)


def test_a_role_for_one_desk_reaches_that_desk_and_no_approval() -> None:
    held = Roles((Held("treasury", 1, "futures"), Held("risk", 2, ""), Held("risk", 2, "spot")))
    assert held.entities("read") == {1, 2}
    assert held.desks("read", 1) == frozenset({"futures"})
    assert held.desks("read", 2) is None
    assert held.desks("call.acknowledge", 1) == frozenset()


@pytest.mark.parametrize(
    ("page", "allowed"),
    [
        ("/approvals/", set(ROLES)),
        ("/audit/", set(ROLES)),
        ("/people/", {Role.COMPLIANCE, Role.AUDITOR, Role.ADMINISTRATOR}),
        ("/audit/export.csv", {Role.COMPLIANCE, Role.AUDITOR, Role.ADMINISTRATOR}),
    ],
)
def test_each_page_opens_to_the_roles_that_may(desk: Desk, page: str, allowed: set[Role]) -> None:
    for role in ROLES:
        client = Browser()
        sign_in(client, desk[role])
        assert client.get(page).status_code == (200 if role in allowed else 403), role


def test_who_holds_no_role_finds_no_page(
    desk: Desk, client: Browser, add_newcomer: Callable[[], object]
) -> None:
    add_newcomer()
    for page in ("/approvals/", "/audit/", "/people/"):
        assert client.get(page).status_code == 404


@pytest.fixture
def add_newcomer(client: Browser) -> Callable[[], object]:
    from accounts.audit import Actor, acting
    from tests.accounts.people import add_operator

    def add() -> None:
        with acting(Actor.command("setup"), reason="A newcomer"):
            newcomer = add_operator("j.adeyemi")
        sign_in(client, newcomer)

    return add


def test_the_documented_table_is_the_one_in_force() -> None:
    page = (Path(__file__).parents[2] / "docs" / "roles.md").read_text()
    for act, words in MATRIX.items():
        cells = " | ".join("yes" if word == "yes" else "\N{EN DASH}" for word in words.split())
        assert f"| `{act}` | {cells} |" in page, act
