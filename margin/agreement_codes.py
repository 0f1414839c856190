"""Codes of agreements that margin knows: models, their parameters, money that may be given."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Final

from ledger.models import Asset, AssetKind
from margin.engine.house_rules import MODEL as HOUSE_RULES
from margin.model_registry import models_in_use, unknown_codes
from margin.models import Haircut, ModelDecision

# House rules have their parameters asset by asset; this is the one set of them.
HOUSE_PARAMETERS: Final = ("v1",)


def codes_in_use(day: date) -> list[tuple[str, str]]:
    """Models and codes of parameters that an agreement may name on a day."""
    used = models_in_use(day, standing=ModelDecision.Standing.PRODUCTION)
    return [*((HOUSE_RULES, code) for code in HOUSE_PARAMETERS), *sorted(used)]


def check_terms(row: Mapping[str, Any]) -> list[str]:
    """What is wrong with the codes of an agreement's terms; nothing if margin knows them all."""
    model, parameters = row["model"], row["parameters"]
    day = date.fromisoformat(str(row["effective_from"]))
    if model == HOUSE_RULES:
        known = parameters in HOUSE_PARAMETERS
        wrong = [] if known else [f"Model {model} has no parameters {parameters}."]
    else:
        wrong = unknown_codes(model, parameters, day=day)
    money = set(
        Asset.objects.filter(
            kind=AssetKind.MONEY, code__in=[row["currency"], *row["eligible_collateral"]]
        ).values_list("code", flat=True)
    )
    if row["currency"] not in money:
        wrong.append(f"{row['currency']} is no currency of the book.")
    has_haircut = set(
        Haircut.objects.filter(effective_from__lte=day, asset__code__in=money).values_list(
            "asset__code", flat=True
        )
    )
    unknown = [code for code in row["eligible_collateral"] if code not in money & has_haircut]
    if unknown:
        wrong.append(f"{', '.join(unknown)}: no money with a haircut on that day.")
    call, liquidation = Decimal(str(row["call_level"])), Decimal(str(row["liquidation_level"]))
    if not 0 <= liquidation <= call:
        wrong.append("The call level is no lower than the liquidation level, and none is negative.")
    return wrong
