"""Positions as house rules look at them: by kind, at their marks, net where a group is charged."""

from typing import NamedTuple

import numpy as np

from margin.engine.components import ComponentKind, Part
from margin.engine.exact import ZERO, Exact, Flag, Index
from margin.engine.inputs import AssetKind, HouseRulesInput
from margin.engine.netting import netted


class HeldPositions(NamedTuple):
    """Positions, other than zero, side by side."""

    row: Index
    scope: Index
    asset: Index
    quantity: Exact
    price: Exact
    average_cost: Exact
    is_margined: Flag


def positions_of(inputs: HouseRulesInput, kind: AssetKind) -> HeldPositions:
    """Positions in assets of one kind."""
    return chosen_positions(inputs, inputs.kinds[inputs.position_assets] == kind)


def chosen_positions(inputs: HouseRulesInput, chosen: Flag) -> HeldPositions:
    """The chosen positions (P,) that are other than zero."""
    row: Index = np.flatnonzero(chosen & (inputs.quantities != ZERO))
    scope, asset = inputs.position_scopes[row], inputs.position_assets[row]
    return HeldPositions(
        row=row,
        scope=scope,
        asset=asset,
        quantity=inputs.quantities[row],
        price=inputs.marks[asset],
        average_cost=inputs.average_costs[row],
        is_margined=~inputs.is_cash_account[scope],
    )


def where(held: HeldPositions, chosen: Flag | Index) -> HeldPositions:
    """Some of them."""
    return HeldPositions._make(values[chosen] for values in held)


def margined(held: HeldPositions) -> HeldPositions:
    """Positions that are charged margin, not those of cash accounts; of a group, net."""
    charged = where(held, held.is_margined)
    net = netted(charged.scope, charged.asset, charged.quantity, charged.row)
    if len(net.row) == len(charged.row):
        return charged
    return where(charged, net.first)._replace(quantity=net.amount, row=net.row)


def part_of(kind: ComponentKind, held: HeldPositions, *, amount: Exact) -> Part:
    """A part of a result for each of them."""
    return Part(
        kind=kind,
        scope=held.scope,
        asset=held.asset,
        row=held.row,
        amount=amount,
        quantity=held.quantity,
        price=held.price,
    )
