"""How much of an asset may leave a scope that keeps its initial margin.

House rules require nothing of money, so what is spare divides by what a unit is worth. A portfolio
model may require something of money too, a coin against a short position for one: there the
largest amount is searched, and what is found has been put to the model.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import ROUND_DOWN, Decimal
from typing import Final

from accounts.figures import WIDE
from accounts.models import Bucket
from ledger.models import Asset
from margin.engine.collateral import CollateralTerms
from margin.engine.exact import ZERO, exact
from margin.holding import (
    NOTHING_KNOWN,
    ScopeBalances,
    others_of,
    pooled_balances,
    standing_of,
)
from margin.market.marks import BASE
from margin.releases import InitialMarginGate

# So many amounts are looked at in each step of a search.
LOOKS: Final = 8


def spare_of(
    bucket: Bucket,
    held: ScopeBalances,
    *,
    gate: InitialMarginGate,
    others: Mapping[int, ScopeBalances] = NOTHING_KNOWN,
) -> Decimal:
    """Equity beyond initial margin with these balances; negative where it is short.

    Args:
        others: as `standing_of` has it.

    Raises:
        ModelRefusedError: a portfolio model decides and does not say.
    """
    standing = standing_of(bucket, held, gate=gate, others=others)
    with exact():
        return standing.equity - standing.initial_margin


def without(held: ScopeBalances, code: str, amount: Decimal) -> ScopeBalances:
    """The balances after so much of an asset has left."""
    with exact():
        return replace(held, claims={**held.claims, code: held.claims.get(code, ZERO) - amount})


def spare_units(
    bucket: Bucket,
    asset: Asset,
    held: ScopeBalances,
    *,
    gate: InitialMarginGate,
    beside: Decimal = ZERO,
) -> Decimal:
    """How much of an asset may leave so that what is spare stays at zero or above.

    Zero or less where nothing may. Under a model never more than is held, and an amount that the
    model has looked at; smaller ones it has not all looked at.

    Args:
        beside: what linked accounts have spare; it counts as if it were this scope's.

    Raises:
        ModelRefusedError: a portfolio model decides and does not say.
    """
    is_scope = bucket.is_margined
    others = others_of(bucket, gate=gate)
    with exact():
        own = spare_of(bucket, held, gate=gate, others=others) if is_scope else ZERO
        spare = beside + own
    claim = held.claims.get(asset.code, ZERO)
    if spare <= 0 or not (is_scope and gate.is_under_model(gate.pools.stands_for(bucket))):
        together = pooled_balances([held, *others.values()]) if others else held
        return units_of(spare, together, asset, gate)

    def left(amount: Decimal) -> Decimal:
        after = spare_of(bucket, without(held, asset.code, amount), gate=gate, others=others)
        with exact():
            return beside + after

    if asset.code == BASE:
        most = min(spare, claim)
        if most <= 0 or left(most) == WIDE.subtract(spare, most):
            return spare
    if claim <= 0 or left(claim) >= 0:
        return claim

    def amount_of(units: int) -> Decimal:
        with exact():
            return Decimal(units).scaleb(-asset.scale)

    with exact():
        all_units = int(claim.scaleb(asset.scale))
    return amount_of(largest(lambda units: left(amount_of(units)) >= 0, below=all_units))


def largest(holds: Callable[[int], bool], *, below: int) -> int:
    """The largest whole number of the last stretch found to hold; 0 holds and `below` does not.

    Each step looks at a few numbers between the two and goes on above the last that holds, so
    that the one after what is returned does not hold.
    """
    low, high = 0, below
    while high - low > 1:
        stride = max(1, (high - low) // LOOKS)
        for number in reversed(range(low + stride, high, stride)):
            if holds(number):
                low, high = number, min(high, number + stride)
                break
        else:
            high = low + stride
    return low


def units_of(spare: Decimal, held: ScopeBalances, asset: Asset, gate: InitialMarginGate) -> Decimal:
    """How much of an asset is worth no more than `spare` after its haircut, rounded down."""
    if spare <= 0:
        return spare
    if any(isinstance(gate.terms.get(code), CollateralTerms) for code in held.claims):
        return _tiered_units(spare, held, asset, gate)
    if asset.code == BASE:
        return spare
    claim = held.claims.get(asset.code, ZERO)
    worth = gate.after(
        claims={asset.code: Decimal(1)}, positions={}, loan=ZERO, is_cash_account=True
    ).equity
    if worth <= 0:
        return claim
    units = WIDE.divide(spare, worth) if spare < worth * claim else claim
    return units.quantize(Decimal(1).scaleb(-asset.scale), rounding=ROUND_DOWN)


def _tiered_units(
    spare: Decimal, held: ScopeBalances, asset: Asset, gate: InitialMarginGate
) -> Decimal:
    """The most of an asset that can go before what all money counts for falls by `spare`.

    Whatever leaves, nothing counts for more without it: the first amount that is too much is found
    by halving, in units of the asset's scale.
    """

    claim, scale = held.claims.get(asset.code, ZERO), asset.scale
    with exact():
        whole = _counts(held.claims, gate)
        low, high = 0, max(0, int(claim.scaleb(scale)))
        while low < high:
            middle = (low + high + 1) // 2
            left = claim - Decimal(middle).scaleb(-scale)
            lost = whole - _counts({**held.claims, asset.code: left}, gate)
            low, high = (middle, high) if lost <= spare else (low, middle - 1)
        return Decimal(low).scaleb(-scale)


def _counts(claims: Mapping[str, Decimal], gate: InitialMarginGate) -> Decimal:
    """What money counts for, by itself."""
    return gate.after(claims=claims, positions={}, loan=ZERO, is_cash_account=True).equity
