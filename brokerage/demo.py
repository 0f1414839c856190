"""The demo firm: invented people, clients and days, run through the product's own code.

Everything is labelled synthetic. The firm's files stay under `var/demo`, so that its days can be
looked at, and run again, like any others.
"""

import json
import secrets
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.db import connection
from django.utils import timezone

from accounts.approvals import apply_approved, decide
from accounts.audit import Actor, acting
from accounts.models import LegalEntity, Operator, Role
from brokerage.demo_desk import work_of_the_desk
from brokerage.inbox.day_job import run_day_here
from brokerage.synthetic import DEMO, write_firm
from ledger.breaks import explain_break, take_break
from ledger.models import Asset, Break, Location
from ledger.transfers import TRANSFERS, request_transfer
from margin.calls.settling import acknowledge_call
from margin.contracts import request_contract
from margin.engine.models import MODELS
from margin.engine.parameters import written_parameters
from margin.model_registry import request_decision, request_parameters
from margin.models import MarginCall

ACCOUNTS = 240
DAYS = 5
SEED = 7
SETUP = Actor.command("demo")


class DemoPerson(NamedTuple):
    """Somebody who works at the demo desk."""

    username: str
    full_name: str
    role: Role


PEOPLE = (
    DemoPerson("l.brandt", "L. Brandt", Role.OPERATIONS),
    DemoPerson("j.adeyemi", "J. Adeyemi", Role.OPERATIONS),
    DemoPerson("m.okafor", "M. Okafor", Role.RISK),
    DemoPerson("s.iyer", "S. Iyer", Role.TREASURY),
    DemoPerson("j.moreau", "J. Moreau", Role.COMPLIANCE),
    DemoPerson("p.castellan", "P. Castellan", Role.PRINCIPAL),
    DemoPerson("k.lindqvist", "K. Lindqvist", Role.AUDITOR),
    DemoPerson("a.novak", "A. Novak", Role.ADMINISTRATOR),
    DemoPerson("r.haddad", "R. Haddad", Role.ADMINISTRATOR),
)


def password_file() -> Path:
    """Where the demo password of this installation is kept, for its owner only."""
    return Path(settings.VAR) / "demo" / "password"


def sign_ins() -> list[str]:
    """One line per role: how to sign in to the demo firm; empty where there is none."""
    if not password_file().exists():
        return []
    password = password_file().read_text().strip()
    seen: dict[Role, DemoPerson] = {}
    for person in PEOPLE:
        seen.setdefault(person.role, person)
    return [f"{role.label:<14} {person.username:<12} {password}" for role, person in seen.items()]


def load() -> None:
    """Make the demo firm on an empty database: its days, its people, and some of their work."""
    folder = Path(settings.VAR) / "demo" / "inbox"
    days = _business_days(DAYS, before=timezone.now().date())
    if not folder.exists():
        write_firm(
            folder,
            accounts=ACCOUNTS,
            seed=SEED,
            first_day=days[0],
            days=DAYS,
            profile=DEMO,
        )
    first, *others = sorted(path for path in folder.iterdir() if path.is_dir())
    run_day_here(first)
    entity = LegalEntity.objects.get()
    _found_desk(entity)
    _watch_a_model(entity, day=days[1])
    for day in others:
        run_day_here(day)
        _acknowledge_some(share=3)
    _take_breaks()
    _ask_for_approvals(entity)
    work_of_the_desk(entity, _as_person)


def _business_days(count: int, *, before: date) -> list[date]:
    days: list[date] = []
    day = before
    while len(days) < count:
        day -= timedelta(days=1)
        if day.weekday() < 5:
            days.insert(0, day)
    return days


def _found_desk(entity: LegalEntity) -> None:
    """The first people of the firm, two administrators among them, with one demo password."""
    path = password_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text("-".join(secrets.token_hex(2) for _ in range(4)))
    stored = make_password(path.read_text())
    with acting(SETUP, reason="The people of the demo firm"):
        people = [
            (
                Operator.objects.create(
                    username=person.username, full_name=person.full_name, password=stored
                ),
                person.role,
            )
            for person in PEOPLE
        ]
        grants = [{"operator": operator.pk, "role": role.value} for operator, role in people]
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT accounts.found_desk(%s, %s::jsonb)", [entity.pk, json.dumps(grants)]
            )


def _as_person(username: str) -> Actor:
    """A short session of one of the demo people, opened as a sign-in would."""
    key = secrets.token_hex(16)
    operator = Operator.objects.get(username=username)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT accounts.open_session(%s, %s, interval '5 minutes')", [operator.pk, key]
        )
    return Actor.person(key)


def _watch_a_model(entity: LegalEntity, *, day: date) -> None:
    """Have delta margin run beside house rules, as two people decided."""
    maker, checker = _as_person("m.okafor"), _as_person("j.moreau")
    asked: dict[str, Any] = {
        "model": "delta", "code": "WATCH", "effective_from": day, "legal_entity": entity,
        "reason": "Compare with house rules for a month", "actor": maker,
    }  # fmt: skip
    perpetual, coin = (Asset.objects.get(code=code) for code in ("BTC-PERP", "BTC"))
    shared = {name: asked[name] for name in ("legal_entity", "reason", "actor")}
    _agree(
        request_contract(
            asset=perpetual, form="perpetual", underlying=coin, multiplier=Decimal(1), **shared
        ),
        checker,
    )
    standard = written_parameters(MODELS["delta"].standard)
    _agree(request_parameters(values=standard, **asked), checker)
    _agree(request_decision(standing="shadow", owner="M. Okafor", **asked), checker)


def _agree(approval_id: UUID, checker: Actor) -> None:
    """A second person approves a request, which is then applied."""
    reason = "Agreed in the risk committee"
    approved = decide(approval_id, verdict="approved", reason=reason, actor=checker)
    apply_approved(approved, actor=checker)


def _acknowledge_some(*, share: int) -> None:
    """Every `share`-th delivered call is answered by its client."""
    actor = _as_person("l.brandt")
    delivered = MarginCall.objects.filter(state=MarginCall.State.DELIVERED).order_by("number")
    for call in delivered[::share]:
        acknowledge_call(call.number, actor=actor, words="The client pays this afternoon.")


def _take_breaks() -> None:
    """The oldest breaks are somebody's, and one of them is explained."""
    actor = _as_person("j.adeyemi")
    oldest = Break.objects.unresolved().order_by("business_day", "pk")[:4]
    for found in oldest:
        take_break(found.pk, seen_owner_id=None, actor=actor)
    for found in oldest[:1]:
        explain_break(found.pk, text="Asked by telephone; the answer is due tomorrow", actor=actor)


def _ask_for_approvals(entity: LegalEntity) -> None:
    """A request that waits for a second person: a withdrawal of residual interest."""
    places = Location.objects.select_related("pool").in_bulk(field_name="code")
    request_transfer(
        kind=TRANSFERS["residual_withdrawal"],
        asset=Asset.objects.get(code="USD"),
        amount=Decimal("2500.00"),
        gives=places["bank:client-usd"],
        takes=places["bank:house-usd"],
        reference="",
        reason="Fees of the month, agreed with finance",
        effective_at=timezone.now(),
        legal_entity=entity,
        actor=_as_person("s.iyer"),
        recipients="The firm, at bank:house-usd",
        complies=True,
    )
