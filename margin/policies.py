"""Policies of instruments in force on a day: parameter sets that two people agreed to."""

from datetime import date
from typing import Any

from ledger.models import Asset
from margin.engine.parameters import read_parameters
from margin.engine.policies import POLICIES
from margin.known import known_at
from margin.models import ParameterSet


def policies_in_force(
    kind: str, *, day: date, horizon_id: int | None = None
) -> list[tuple[Asset, ParameterSet, Any]]:
    """The instruments that have such a policy on a day, with its values; by code.

    Args:
        kind: a name of `margin.engine.policies`.
        horizon_id: as that committed horizon knew them; as they are known now if None.
    """
    sets = (
        known_at(ParameterSet.objects.filter(model=kind, effective_from__lte=day), horizon_id)
        .order_by("code", "-effective_from")
        .distinct("code")
    )
    found = {each.code: each for each in sets}
    assets = Asset.objects.filter(code__in=found).order_by("code") if found else []
    return [
        (
            asset,
            found[asset.code],
            read_parameters(POLICIES[kind].parameters, found[asset.code].values),
        )
        for asset in assets
    ]
