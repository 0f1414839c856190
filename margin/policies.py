"""Policies of instruments in force on a day: parameter sets that two people agreed to.

Values are stored. Where a later version of the program cannot read them any more, nothing is
computed by that policy: whoever it is about is an exception that says so, and nobody else is kept
from anything.
"""

from datetime import date
from typing import Any, NamedTuple

from ledger.models import Asset
from margin.engine.parameters import read_parameters
from margin.engine.policies import POLICIES
from margin.engine.rejected import RejectedInputError
from margin.known import known_at
from margin.models import ParameterSet


class InForce(NamedTuple):
    """A policy of an instrument, with its values."""

    asset: Asset
    parameter_set: ParameterSet
    policy: Any


class Unreadable(NamedTuple):
    """A policy of an instrument whose values cannot be read, and why."""

    asset: Asset
    parameter_set: ParameterSet
    why: str


def policies_decided(
    kind: str, *, day: date, horizon_id: int | None = None
) -> tuple[list[InForce], list[Unreadable]]:
    """The instruments that have such a policy on a day, by code, and those it cannot be read of.

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
    in_force: list[InForce] = []
    unreadable: list[Unreadable] = []
    for asset in Asset.objects.filter(code__in=found).order_by("code") if found else []:
        said = found[asset.code]
        try:
            policy = read_parameters(POLICIES[kind].parameters, said.values)
        except RejectedInputError as refused:
            why = f"{said} can no longer be read: {refused}."
            unreadable.append(Unreadable(asset, said, why))
        else:
            in_force.append(InForce(asset, said, policy))
    return in_force, unreadable


def policies_in_force(kind: str, *, day: date, horizon_id: int | None = None) -> list[InForce]:
    """Those that can be read."""
    return policies_decided(kind, day=day, horizon_id=horizon_id)[0]
