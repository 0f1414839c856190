"""Every address, by every method, for every role, of one's own firm and desk and of others.

The addresses come from the resolver. What is expected of each stands in `route_rights.py`; an
address that does not stand there fails here.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.approvals import apply_approved, decide
from accounts.audit import Actor, acting
from accounts.duties import request_conflict
from accounts.models import Client, LegalEntity, Operator, Role
from accounts.people import request_grant
from accounts.roles import roles_for
from brokerage import step_up
from tests.accounts.people import Desk, add_operator, found_desk, person, sign_in
from tests.brokerage.route_rights import (
    ANSWERS_ANYBODY,
    COMMON,
    OF_A_CLIENT,
    OF_AUDITORS,
    OWN,
    READS,
    WRITES,
)
from tests.brokerage.routes import (
    Route,
    allowed_methods,
    arguments_of,
    objects,
    routes,
    writes,
)
from tests.stage import booked_days

ROLES = tuple(Role)
REFUSED, GONE, NOT_BY_THIS = 403, 404, 405
SAID = {"reason": "A reason that is long enough"}
CHANGES = re.compile(r"\s*(INSERT|UPDATE|DELETE|MERGE|TRUNCATE)\b|.*accounts\.act\(", re.I | re.S)
OF_THE_SESSION = ("django_session", "touch_session")
ENDS_SESSIONS = {"accounts:person-sessions"}


class World(NamedTuple):
    """A firm with days in its book, its people, those of another firm, and one of a desk alone."""

    own: dict[Role, Operator]
    foreign: dict[Role, Operator]
    of_a_desk: Operator
    known: dict[tuple[str, str], Any]


@pytest.fixture
def world(db: None, tmp_path: Path) -> World:
    booked_days(tmp_path, accounts=12, seed=5, days=2)
    own, foreign, limited = staged_people()
    return World(own.operators, foreign.operators, limited, objects())


def staged_people() -> tuple[Desk, Desk, Operator]:
    own = found_desk(entity=LegalEntity.objects.get())
    with acting(Actor.command("setup"), reason="A second firm"):
        limited = add_operator("d.limited")
    request_conflict(
        legal_entity=own.entity, first="role:risk", second="role:treasury", is_forbidden=True,
        reason=SAID["reason"], actor=person(own[Role.RISK]),
    )  # fmt: skip
    return own, found_desk(code="EB-UK"), limited


def client_of(operator: Operator) -> Browser:
    browser = Browser(raise_request_exception=False)
    sign_in(browser, operator)
    return browser


def written(queries: Iterable[dict[str, Any]]) -> list[str]:
    """Statements that change more than the session; some are composed by psycopg."""
    said = (
        query["sql"] if isinstance(query["sql"], str) else query["sql"].as_string(None)
        for query in queries
    )
    return [sql for sql in said if CHANGES.match(sql) and not any(t in sql for t in OF_THE_SESSION)]


def asked(browser: Browser, method: str, address: str) -> tuple[int, list[str]]:
    """Status, and what was written."""
    with CaptureQueriesContext(connection) as queries:
        said = SAID if method == "post" else None
        answer = getattr(browser, method)(address, said, headers={"HX-Request": "true"})
        if answer.streaming and not answer.is_async:  # the stream of news never ends
            b"".join(answer)
    return answer.status_code, written(queries.captured_queries)


def address_of(route: Route, known: dict[tuple[str, str], Any]) -> str:
    return reverse(route.name, kwargs=arguments_of(route, known))


def guard_of(route: Route) -> str | None:
    """The act that the view's own guard asks for; None where there is no guard."""
    view: Any = route.view
    while view is not None:
        names = getattr(getattr(view, "__code__", None), "co_freevars", ())
        if "act" in names:
            return str(view.__closure__[names.index("act")].cell_contents)
        view = getattr(view, "__wrapped__", None)
    for permission in getattr(getattr(route.view, "cls", None), "permission_classes", ()):
        asks = permission.__dict__.get("has_permission")
        names = getattr(getattr(asks, "__code__", None), "co_freevars", ())
        if "act" in names:
            return str(asks.__closure__[names.index("act")].cell_contents)
    return None


# ---------------------------------------------------------------- what is declared


def test_every_address_of_the_resolver_is_listed_and_guarded_as_listed() -> None:
    found = {route.name: guard_of(route) for route in routes()}
    assert found == {**READS, **dict.fromkeys(OWN | ANSWERS_ANYBODY, None)}


def test_every_address_that_writes_says_who_may_and_whether_it_needs_a_proof() -> None:
    names = {route.name for route in routes() if writes(route)}
    assert names == set(WRITES) | {name for name in OWN if name in step_up.DECLARED}
    assert names == set(step_up.DECLARED)
    for name, rule in step_up.DECLARED.items():
        assert rule == step_up.STEP_UP or rule.startswith("none, because "), name


def test_money_and_parameters_always_need_a_proof() -> None:
    """What asks a second person, decides, or applies, is never exempt."""
    for name, roles in WRITES.items():
        if step_up.DECLARED[name] != step_up.STEP_UP:
            assert name not in MOVES, name
        assert "auditor" not in roles.split() or name in OF_AUDITORS, name


MOVES = {
    "accounts:approval-decide", "accounts:approval-apply", "approval-decide", "withdrawal-list",
    "ledger:transfer-new", "bucket-move-list", "margin:move", "agreement-haircut", "limit-list",
    "ledger:entry-reverse", "ledger:break-book", "ledger:receipt-allocate", "receipt-allocate",
    "receipt-give-back", "ledger:receipt-return", "margin:override-new", "margin:parameter-new",
    "margin-mode-list", "ledger:rates-new", "price-file-list", "margin:parameters-new",
}  # fmt: skip


def test_no_administrator_has_a_business_route() -> None:
    of_people = (
        "accounts:people-", "accounts:person-", "accounts:factors-", "accounts:sign-in-",
        "accounts:identity-",
    )  # fmt: skip
    for name, roles in WRITES.items():
        if "administrator" in roles.split():
            assert name.startswith(of_people) or name in (
                "accounts:approval-decide", "accounts:approval-apply", "approval-decide",
                "accounts:emergency-end",
            ), name  # fmt: skip


# ---------------------------------------------------------------- as it is answered


def chosen(chance: Random, *, all_of_them: bool) -> tuple[Role, ...]:
    """Roles for one address: the auditor, and two that chance names; or all."""
    if all_of_them:
        return ROLES
    return (Role.AUDITOR, *chance.sample([r for r in ROLES if r != Role.AUDITOR], 1))


@pytest.mark.parametrize(
    "all_of_them", [False, pytest.param(True, marks=pytest.mark.soak)], ids=["some", "all"]
)
def test_each_address_answers_each_role_as_listed(
    world: World, chance: Random, all_of_them: bool
) -> None:
    wrong: list[str] = []
    browsers = {role: client_of(operator) for role, operator in world.own.items()}
    for route in routes():
        if route.name in OWN | ANSWERS_ANYBODY:
            continue
        address = address_of(route, world.known)
        methods = route.methods or allowed_methods(route.view) or {"GET"}
        for role in chosen(chance, all_of_them=all_of_them):
            if "GET" in methods:
                wrong += faults_of_get(browsers[role], route, address, role)
            if "POST" in methods:
                wrong += faults_of_post(browsers[role], route, address, role)
        if route.name in ENDS_SESSIONS:
            browsers = {role: client_of(operator) for role, operator in world.own.items()}
    assert wrong == [], "\n".join(wrong)


def faults_of_get(browser: Browser, route: Route, address: str, role: Role) -> list[str]:
    """A page opens to whoever may read it, says 403 to others, and never writes."""
    status, changes = asked(browser, "get", address)
    where = f"GET {route.name} as {role.value}: {status}"
    act = READS[route.name]
    may = act is None or role in roles_for(act)
    if changes:
        return [f"{where} wrote {changes[0][:80]}"]
    if status >= 500:
        return [where]
    is_form = route.name in WRITES  # which another right opens besides
    if may:
        return [where] if status == REFUSED and not is_form and act is not None else []
    return [] if status == REFUSED else [where]


def faults_of_post(browser: Browser, route: Route, address: str, role: Role) -> list[str]:
    """Who may not is refused, and nothing is written."""
    may = role.value in WRITES[route.name].split()
    status, changes = asked(browser, "post", address)
    where = f"POST {route.name} as {role.value}: {status}"
    if may:
        return [where] if status == REFUSED or status >= 500 else []
    if changes:
        return [f"{where} wrote {changes[0][:80]}"]
    return [] if status in (REFUSED, GONE) else [where]


@pytest.mark.parametrize(
    "all_of_them", [False, pytest.param(True, marks=pytest.mark.soak)], ids=["some", "all"]
)
def test_what_is_of_another_firm_does_not_exist(
    world: World, chance: Random, all_of_them: bool
) -> None:
    wrong = []
    browsers = {role: client_of(operator) for role, operator in world.foreign.items()}
    for route in routes():
        names_a_thing = route.arguments not in ((), ("form",))
        if not names_a_thing or route.name in OWN | ANSWERS_ANYBODY | COMMON:
            continue
        address = address_of(route, world.known)
        methods = route.methods or allowed_methods(route.view) or {"GET"}
        for role in chosen(chance, all_of_them=all_of_them):
            for method in sorted(methods & {"GET", "POST"}):
                status, changes = asked(browsers[role], method.lower(), address)
                if changes or status not in (GONE, REFUSED):
                    wrong.append(f"{method} {route.name} as {role.value}: {status} {changes[:1]}")
                act = READS[route.name]
                lacks = act is None or role not in roles_for(act)
                if status == REFUSED and method == "GET" and not lacks:
                    wrong.append(f"{method} {route.name} as {role.value}: 403 tells that it exists")
    assert wrong == [], "\n".join(wrong)


def test_what_is_of_another_desk_does_not_exist(world: World) -> None:
    client = Client.objects.select_related("legal_entity").first()
    assert client is not None
    entity = client.legal_entity
    holders = Operator.objects.filter(grants__legal_entity=entity, grants__role="administrator")
    asked_for = request_grant(
        operator=world.of_a_desk, role=Role.OPERATIONS, legal_entity=entity, desk="nobody's",
        reason="Only of another desk", actor=person(holders[0]),
    )  # fmt: skip
    second = person(holders[1])
    apply_approved(
        decide(asked_for, verdict="approved", reason="Only of another desk", actor=second),
        actor=person(holders[1]),
    )
    browser, wrong = client_of(world.of_a_desk), []
    for route in routes():
        if route.name in OF_A_CLIENT:
            methods = route.methods or allowed_methods(route.view) or {"GET"}
            for method in sorted(methods & {"GET", "POST"}):
                status, changes = asked(browser, method.lower(), address_of(route, world.known))
                if status not in (GONE, REFUSED) or changes:
                    wrong.append(f"{method} {route.name}: {status}")
    assert wrong == [], "\n".join(wrong)


def test_no_address_answers_to_a_method_that_it_does_not_name(db: None) -> None:
    desk = found_desk()
    known, wrong = objects(), []
    browser = client_of(desk[Role.OPERATIONS])
    for route in routes():
        allowed = route.methods or allowed_methods(route.view)
        if allowed is None or route.name == "accounts:sign-out":
            continue
        address = address_of(route, known)
        for method in {"PUT", "PATCH", "DELETE"} - allowed:
            status, changes = asked(browser, method.lower(), address)
            if status not in (NOT_BY_THIS, REFUSED, GONE) or changes:
                wrong.append(f"{method} {route.name}: {status} {changes[:1]}")
    assert wrong == [], "\n".join(wrong)


def test_a_stranger_finds_only_the_door(db: None) -> None:
    known, wrong = objects(), []
    for route in routes():
        if route.name in ANSWERS_ANYBODY:
            continue
        for method in ("get", "post"):
            browser = Browser(raise_request_exception=False)
            with CaptureQueriesContext(connection) as queries:
                answer = getattr(browser, method)(address_of(route, known))
            to_door = answer.status_code == 302 and answer["Location"].startswith("/sign-in/")
            if not (to_door or answer.status_code == REFUSED) or written(queries.captured_queries):
                wrong.append(f"{method} {route.name}: {answer.status_code}")
    assert wrong == [], "\n".join(wrong)
