"""Money whose haircut has tiers, as the parts of equity: what counts, and what each step takes."""

from decimal import Decimal
from typing import Final, NamedTuple

import numpy as np

from margin.engine.collateral import (
    CONCENTRATION,
    PEG,
    SCHEDULE,
    VOLATILITY,
    CollateralTerms,
    Counted,
    Detail,
    Fact,
    counted,
)
from margin.engine.components import ComponentKind, Part
from margin.engine.exact import ZERO, Exact, Flag, Index, column, plain, sums
from margin.engine.inputs import HouseRulesInput
from margin.engine.netting import netted

STEP_OF: Final = {
    ComponentKind.HAIRCUT_VOLATILITY: VOLATILITY,
    ComponentKind.HAIRCUT_CONCENTRATION: CONCENTRATION,
    ComponentKind.HAIRCUT_PEG: PEG,
}


class _Money(NamedTuple):
    """Claims as tiers count them, (N,) each: those of a group's members together.

    Attributes:
        place: of the first claim; row: of the only one, or none.
    """

    place: Index
    row: Index
    amount: Exact

    def of(self, chosen: list[int]) -> "_Money":
        return _Money(self.place[chosen], self.row[chosen], self.amount[chosen])


def has_tiers(inputs: HouseRulesInput) -> Flag:
    """(I,) whether an asset is money whose haircut has tiers."""
    return np.array([isinstance(terms, CollateralTerms) for terms in inputs.terms], dtype=bool)


def tiered_money(inputs: HouseRulesInput) -> list[Part]:
    """What claims of such money count for after the schedule, and what further steps take.

    Steps that take nothing are no parts; call inside `exact()`.
    """
    held = has_tiers(inputs)[inputs.claim_assets] & (inputs.claim_amounts != ZERO)
    rows: Index = np.flatnonzero(held)
    if not rows.size:
        return []
    pools = money_pools(inputs)
    net = netted(
        inputs.claim_scopes[rows], inputs.claim_assets[rows], inputs.claim_amounts[rows], rows
    )
    money = _Money(rows[net.first], net.row, net.amount)
    found = [
        _counted(inputs, int(place), amount=amount, pool=pools[inputs.claim_scopes[place]])
        for place, amount in zip(money.place, money.amount, strict=True)
    ]
    parts = [
        _part(
            inputs, ComponentKind.MONEY_CLAIM, money,
            amounts=column(each.value - each.taken(SCHEDULE) for each in found),
            details=[Detail(each.steps[SCHEDULE]) for each in found],
        )
    ]  # fmt: skip
    for kind, step in STEP_OF.items():
        taking = [n for n, each in enumerate(found) if each.steps[step]]
        if taking:
            parts.append(
                _part(
                    inputs, kind, money.of(taking),
                    amounts=column(-found[n].taken(step) for n in taking),
                    details=[
                        Detail(found[n].steps[step], _facts(inputs, int(money.place[n]), kind))
                        for n in taking
                    ],
                )
            )  # fmt: skip
    return parts


def money_pools(inputs: HouseRulesInput) -> Exact:
    """(A,) value of all money of each scope that is above 0, before any haircut."""
    values = inputs.claim_amounts * inputs.marks[inputs.claim_assets]
    above = values > ZERO
    return sums(values[above], groups=inputs.claim_scopes[above], count=len(inputs.scopes))


def _counted(inputs: HouseRulesInput, place: int, *, amount: Decimal, pool: Decimal) -> Counted:
    asset = inputs.claim_assets[place]
    price, terms = inputs.marks[asset], inputs.terms[asset]
    assert isinstance(terms, CollateralTerms), "the claim is of money with tiers"
    return counted(amount * price, price=price, pool=pool, terms=terms)


def _facts(inputs: HouseRulesInput, place: int, kind: ComponentKind) -> tuple[Fact, ...]:
    """What a step rests on beside its slices."""
    asset = inputs.claim_assets[place]
    terms = inputs.terms[asset]
    assert isinstance(terms, CollateralTerms), "the claim is of money with tiers"
    if kind is ComponentKind.HAIRCUT_PEG:
        tier = terms.peg_at(inputs.marks[asset])
        assert tier is not None, "a lost peg has a tier"
        said = {"multiplier": tier.multiplier, "below": tier.below, "least": tier.least}
        return tuple((name, plain(value)) for name, value in said.items())
    if kind is not ComponentKind.HAIRCUT_VOLATILITY or terms.volatility is None:
        return ()
    rule = terms.volatility
    facts = [
        ("haircut", plain(rule.haircut)),
        ("estimator", rule.estimator),
        ("multiple", plain(rule.multiple)),
        ("horizon_days", str(rule.horizon_days)),
        ("closes", str(len(rule.closes))),
        ("sigma", "too few closes" if rule.sigma is None else plain(rule.sigma)),
    ]
    if rule.closes:
        facts += [
            ("first_close", rule.closes[0].day.isoformat()),
            ("last_close", rule.closes[-1].day.isoformat()),
        ]
    return tuple(facts)


def _part(
    inputs: HouseRulesInput,
    kind: ComponentKind,
    money: "_Money",
    *,
    amounts: Exact,
    details: list[Detail],
) -> Part:
    asset = inputs.claim_assets[money.place]
    detail: Exact = np.empty(len(details), dtype=object)
    # One by one: an array of tuples would be taken for a table.
    for place, each in enumerate(details):
        detail[place] = each
    return Part(
        kind=kind,
        scope=inputs.claim_scopes[money.place],
        asset=asset,
        row=money.row,
        amount=amounts,
        quantity=money.amount,
        price=inputs.marks[asset],
        detail=detail,
    )
