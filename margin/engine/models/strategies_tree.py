"""The tree behind a strategy margin: shares by their rates, options group by group."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from margin.engine.books import Books
from margin.engine.explain import MINUS, TIMES, figure_of
from margin.engine.given import Float
from margin.engine.market import Kind
from margin.engine.model import Explained, Part
from margin.engine.strategies import (
    LEAST_RATE,
    LONG_DATED_RATE,
    NINE_MONTHS_DAYS,
    SHORT_RATE,
    Underlying,
)
from margin.engine.strategy_names import GroupLeg, StrategyGroup

if TYPE_CHECKING:
    from margin.engine.models.strategies import Listed, PreparedStrategies

Series = tuple[str, float, int]


class Quoted(NamedTuple):
    """What the sums of a group are written with.

    Attributes:
        underlying: with its price.
        units: of the underlying in one contract.
        premiums: of each series held.
        names: instruments of each series held.
        premium_required: of short options.
    """

    underlying: Underlying
    units: float
    premiums: Mapping[Series, float]
    names: Mapping[Series, list[str]]
    premium_required: bool

    def premium(self, leg: GroupLeg) -> float:
        """The premium of one leg per unit."""
        return self.premiums[series_of(leg)]


def series_of(leg: GroupLeg) -> Series:
    """What tells a series from others of its underlying."""
    return leg.right, leg.strike, leg.expires_in_days


def explained(prepared: "PreparedStrategies", *, one: Books) -> Explained:
    """The trees of books of one scope."""
    said = prepared.requirement(one)
    options = _options(prepared, one)
    return Explained(
        _root("Initial", said.initial, said.initial_parts, _shares(prepared, one, True), options),
        _root(
            "Maintenance",
            said.maintenance,
            said.maintenance_parts,
            _shares(prepared, one, False),
            options,
        ),
    )


def _root(
    name: str, total: Float, parts: Float, shares: tuple[Part, ...], options: tuple[Part, ...]
) -> Part:
    children = (
        Part("Shares", float(parts[0, 0]), "each by its rate", children=shares),
        Part("Options", float(parts[0, 1]), "the cheapest legal grouping", children=options),
    )
    how = "shares and groups of options"
    return Part(f"{name} margin by strategies", float(total[0]), how, children=children)


def _shares(prepared: "PreparedStrategies", one: Books, is_initial: bool) -> tuple[Part, ...]:
    contract, market = prepared.market.instruments, prepared.market
    rates = prepared.rates.initial if is_initial else prepared.rates.maintenance
    leaves = []
    for place, quantity in zip(one.instruments, one.quantities, strict=True):
        if contract.kinds[place] != Kind.SECURITY:
            continue
        side = int(quantity < 0)
        each = float(rates[place, side] / contract.multipliers[place])
        size = float(abs(quantity) * contract.multipliers[place])
        price = float(market.prices[place])
        how = (
            f"{figure_of(size)} {'short' if side else 'long'} shares {TIMES} {figure_of(each)},"
            f" at a price of {figure_of(price)}"
        )
        if is_initial:
            parameters = ["initial_rate"]
        elif not side:
            parameters = ["long_rate"]
        else:
            low = "low_" if price < prepared.parameters.low_price else ""
            parameters = [f"{low}short_rate", f"{low}short_least"]
        references = (
            {"price": contract.names[place]},
            *({"parameter": each} for each in parameters),
        )
        amount = float(abs(quantity) * rates[place, side])
        leaves.append(Part(contract.names[place], amount, how, references))
    return tuple(leaves)


def _options(prepared: "PreparedStrategies", one: Books) -> tuple[Part, ...]:
    """One node for each underlying and size of contracts, with its groups."""
    nodes = []
    for _, listed in prepared.listed(one):
        quoted = _quoted(prepared, listed)
        # Shares that cover nothing are a group too; what they require is with the shares.
        groups = tuple(_group(each, quoted) for each in prepared.groups(listed) if each.legs)
        name = prepared.market.underlyings[listed.underlying]
        nodes.append(
            Part(
                f"{name}, contracts of {figure_of(listed.units)}",
                sum(group.amount for group in groups),
                "sum of its groups",
                children=groups,
            )
        )
    return tuple(nodes)


def _quoted(prepared: "PreparedStrategies", listed: "Listed") -> Quoted:
    contract, market = prepared.market.instruments, prepared.market
    paid: dict[Series, list[tuple[int, float]]] = {}
    names: dict[Series, list[str]] = {}
    for place, count in zip(listed.instruments, listed.contracts, strict=True):
        right = "call" if contract.rights[place] > 0 else "put"
        series = (right, float(contract.strikes[place]), int(prepared.days[place]))
        paid.setdefault(series, []).append((count, float(market.prices[place])))
        names.setdefault(series, []).append(contract.names[place])
    name = market.underlyings[listed.underlying]
    spot = float(market.spots[listed.underlying])
    return Quoted(
        prepared.parameters.underlying(name, price=spot),
        listed.units,
        {series: _average(lots) for series, lots in paid.items()},
        names,
        prepared.parameters.premium_required,
    )


def _average(lots: list[tuple[int, float]]) -> float:
    """The price of the side that remains, where instruments of one series are one position."""
    net = sum(count for count, _ in lots)
    side = [(count, price) for count, price in lots if count * net > 0]
    held = sum(count for count, _ in side)
    return sum(count * price for count, price in side) / held if held else 0.0


def _group(group: StrategyGroup, quoted: Quoted) -> Part:
    label = f"{group.strategy}: {', '.join(_leg_text(leg) for leg in group.legs)}"
    if group.shares:
        label += f", {figure_of(group.shares * quoted.units)} shares"
    names = [name for leg in group.legs for name in quoted.names[series_of(leg)]]
    references = tuple({"price": name} for name in names)
    amount = group.requirement * quoted.units
    return Part(label, amount, f"{_sum(group, quoted)} {_times(quoted)}", references)


def _sum(group: StrategyGroup, quoted: Quoted) -> str:
    """The rule of a group in figures, for contracts of one unit."""
    longs = [leg for leg in group.legs if leg.contracts > 0]
    shorts = [leg for leg in group.legs if leg.contracts < 0]
    if group.shares:
        covered = "covered by shares: 0" if shorts else ""
        bought = " + ".join(_long(leg, quoted) for leg in longs)
        return f"({' + '.join(each for each in (covered, bought) if each) or '0'})"
    if not longs and len(shorts) == 2:
        return _pair(shorts, quoted)
    if len(group.legs) == 1:
        (leg,) = group.legs
        if longs:
            return _long(leg, quoted)
        return f"{figure_of(-leg.contracts)} {TIMES} ({_short(leg, quoted)[1]})"
    net = sum(leg.contracts * quoted.premium(leg) for leg in group.legs)
    sign = f"+ net premium {figure_of(net)}" if net >= 0 else f"{MINUS} premium {figure_of(-net)}"
    least = ", not below 0" if group.requirement == 0 else ""
    return f"(worst loss {figure_of(worst_loss(group.legs))} {sign}{least})"


def _long(leg: GroupLeg, quoted: Quoted) -> str:
    is_long_dated = leg.expires_in_days > NINE_MONTHS_DAYS
    rate = f" {TIMES} {LONG_DATED_RATE} beyond nine months" if is_long_dated else ""
    return f"{figure_of(leg.contracts)} {TIMES} premium {figure_of(quoted.premium(leg))}{rate}"


def _short(leg: GroupLeg, quoted: Quoted) -> tuple[float, str]:
    """What one short option requires by itself with its premium, and how it is written."""
    is_call, spot = leg.right == "call", quoted.underlying.price
    times = max(1.0, abs(quoted.underlying.leverage))
    rate, least = SHORT_RATE[quoted.underlying.breadth] * times, LEAST_RATE * times
    away = max(leg.strike - spot if is_call else spot - leg.strike, 0.0)
    base = spot if is_call else leg.strike
    premium = quoted.premium(leg)
    before = f"premium {figure_of(premium)} + " if quoted.premium_required else ""
    written = (
        f"{before}the greater of {figure_of(rate)} {TIMES} {figure_of(spot)} {MINUS}"
        f" {figure_of(away)} out of the money and {figure_of(least)} {TIMES} {figure_of(base)}"
    )
    return premium + max(rate * spot - away, least * base), written


def _pair(shorts: list[GroupLeg], quoted: Quoted) -> str:
    """The side that requires more (premium counted), and the premium of the other."""
    dear, other = sorted(shorts, key=lambda leg: -_short(leg, quoted)[0])
    count = figure_of(-dear.contracts)
    premium = f" + the other premium {figure_of(quoted.premium(other))}"
    added = premium if quoted.premium_required else ""
    return f"{count} {TIMES} ({dear.right}: {_short(dear, quoted)[1]}{added})"


def worst_loss(legs: tuple[GroupLeg, ...]) -> float:
    """What a spread loses at most when all of it is exercised, per unit; at one of its strikes."""
    strikes = np.array([leg.strike for leg in legs])
    counts = np.array([leg.contracts for leg in legs], dtype=np.float64)
    sides = np.array([1.0 if leg.right == "call" else -1.0 for leg in legs])
    payoffs = np.maximum(sides * (strikes[:, None] - strikes), 0.0) @ counts
    return max(0.0, -float(payoffs.min()))


def _leg_text(leg: GroupLeg) -> str:
    return f"{leg.contracts:+d} {leg.right} {figure_of(leg.strike)} in {leg.expires_in_days} days"


def _times(quoted: Quoted) -> str:
    return f"{TIMES} {figure_of(quoted.units)} units"
