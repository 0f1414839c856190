"""A firm whose four agreements name portfolio models, with a year of marks behind it."""

import random
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from accounts.agreements import request_version
from accounts.audit import Actor, acting
from accounts.bulk import copy_rows
from accounts.models import Agreement, Approval, Bucket, LegalEntity, Role
from brokerage.inbox.cycle import run_day
from brokerage.synthetic import DEMO, write_firm
from ledger.models import Asset
from margin.contracts import request_contract
from margin.engine.models import MODELS
from margin.engine.parameters import written_parameters
from margin.model_registry import request_decision, request_parameters
from margin.models import MarginResult, Mark, ModelDecision
from tests.accounts.people import Desk, found_desk, person
from tests.ledger.agreeing import agreed
from tests.stage import FIRST_DAY, staged

SECOND_DAY, THIRD_DAY = FIRST_DAY + timedelta(days=1), FIRST_DAY + timedelta(days=2)
CODE, WHY = "STANDARD", "Measured beside house rules for a month"
PERPETUAL = "BTC-PERP"
# What each agreement names from the second day on; all other models are watched.
NAMED = {"STD": "scenario", "EARLY": "value-at-risk", "STRICT": "tiers", "BIGMTA": "delta"}
PAST_DAYS = 300


class FirmUnderModels(NamedTuple):
    """The desk, and the day folders; two days are booked, the second under models."""

    desk: Desk
    days: list[Path]


def firm_under_models(folder: Path, *, accounts: int = 36, seed: int = 7) -> FirmUnderModels:
    """Two days in the book, the second with agreements that name models."""
    days = write_firm(
        folder, accounts=accounts, seed=seed, first_day=FIRST_DAY, days=3, profile=DEMO
    )

    def book() -> Desk:
        run_day(days[0])
        desk = found_desk(entity=LegalEntity.objects.get())
        give_past(seed)
        for name in MODELS:
            register_model(desk, name, SECOND_DAY, is_used=name in NAMED.values())
        for code, model in NAMED.items():
            put_under(desk, code, model, SECOND_DAY)
        on_coin(desk)
        give_targets(desk)
        run_day(days[1])
        return desk

    return FirmUnderModels(staged(f"under models, {accounts}, seed {seed}", book), days)


def give_past(seed: int) -> None:
    """A close of everything on each of many days before the first."""
    draw = random.Random(seed)
    marks = []
    oldest = Mark.objects.earliest("business_day").business_day
    at = Mark.objects.latest("as_of").as_of
    for first in Mark.objects.filter(as_of=at).select_related("asset").order_by("asset__code"):
        price = first.price
        for back in range(1, PAST_DAYS + 1):
            price = round(price * (1 + Decimal(draw.randint(-400, 400)) / 10_000), 8)
            day = oldest - timedelta(days=back)
            closed_at = datetime.combine(day, time(21), tzinfo=UTC)
            close = Mark(asset=first.asset, as_of=closed_at, business_day=day, price=price)
            close.state, close.used, close.dropped = Mark.State.VALID, [], []
            marks.append(close)
    with acting(Actor.command("setup"), reason="A past for a test"):
        copy_rows(marks)


def register_model(
    desk: Desk, name: str, day: date, *, is_used: bool, code: str = CODE, **changes: float
) -> None:
    """Have two people agree to a model's standard parameters, and to what it is used for."""
    asked = request_parameters(
        model=name, code=code, values=written_parameters(MODELS[name].standard) | changes,
        effective_from=day, legal_entity=desk.entity, reason=WHY, actor=person(desk[Role.RISK]),
    )  # fmt: skip
    agreed(asked, desk[Role.COMPLIANCE])
    standing = ModelDecision.Standing.PRODUCTION if is_used else ModelDecision.Standing.SHADOW
    decide(desk, name, standing, day, code=code)


def decide(desk: Desk, name: str, standing: str, day: date, *, code: str = CODE) -> Approval:
    """Have two people decide what a model is used for from a day on."""
    asked = request_decision(
        model=name, code=code, standing=standing, owner="Head of risk", effective_from=day,
        legal_entity=desk.entity, reason=WHY, actor=person(desk[Role.RISK]),
    )  # fmt: skip
    return agreed(asked, desk[Role.COMPLIANCE])


def put_under(
    desk: Desk, code: str, model: str, day: date, *, of: str = "", parameters: str = CODE
) -> Approval:
    """Have an agreement name a model from a day on; a new one takes its other terms from `of`."""
    old = Agreement.objects.get(code=of or code).versions.latest("version")
    asked = request_version(
        legal_entity=desk.entity, code=code,
        terms={
            "model": model, "parameters": "v1" if model == "house-rules" else parameters,
            "currency": old.currency, "effective_from": day.isoformat(),
            "call_level": format(old.call_level, "f"),
            "liquidation_level": format(old.liquidation_level, "f"),
            "minimum_transfer_amount": format(old.minimum_transfer_amount, "f"),
            "call_due_for": "1 day", "eligible_collateral": old.eligible_collateral,
            "segregation_regime": "", "jurisdiction": "", "document_sha256": "",
        },
        reason=WHY, actor=person(desk[Role.RISK]),
    )  # fmt: skip
    return agreed(asked, desk[Role.COMPLIANCE])


def give_targets(desk: Desk) -> None:
    """Three agreements that nobody is under, from the third day on."""
    put_under(desk, "PLAIN", "house-rules", THIRD_DAY, of="STD")
    put_under(desk, "PM", "delta", THIRD_DAY, of="STD")
    register_model(
        desk, "delta", THIRD_DAY, is_used=True, code="HARSH",
        shock=1.0, residual=1.0, maintenance_share=1.0,
    )  # fmt: skip
    put_under(desk, "HARSH", "delta", THIRD_DAY, of="STD", parameters="HARSH")


def on_coin(desk: Desk) -> None:
    """The perpetual is written on the coin, so that one covers the other."""
    assets = {asset.code: asset for asset in Asset.objects.all()}
    asked = request_contract(
        asset=assets[PERPETUAL], form="perpetual", underlying=assets["BTC"],
        multiplier=Decimal(1), legal_entity=desk.entity, reason=WHY,
        actor=person(desk[Role.RISK]),
    )  # fmt: skip
    agreed(asked, desk[Role.COMPLIANCE])


def results_of(day: date) -> dict[Bucket, MarginResult]:
    """What the day's run says, by bucket."""
    found = MarginResult.objects.filter(run__business_day=day).select_related(
        "scope__bucket__account", "agreement_version", "parameter_set"
    )
    results: dict[Bucket, MarginResult] = {}
    for result in found.order_by("scope__bucket__account__code", "scope__bucket__code"):
        assert result.scope.bucket is not None
        results[result.scope.bucket] = result
    return results
