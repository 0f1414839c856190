"""Risk arrays in plain loops: one scope, one underlying, one scenario at a time."""

import math
from dataclasses import dataclass, field

from margin.engine.books import Books
from margin.engine.market import Kind, Market
from margin.engine.models.risk_array_parameters import CommodityTerms, RiskArrayParameters
from margin.engine.slow.contracts import Contract, contract_of, normal

THIRD = 1.0 / 3.0


@dataclass
class _Commodity:
    """What one scope holds of one underlying."""

    terms: CommodityTerms
    held: list[tuple[float, Contract]] = field(default_factory=list)
    credit: float = 0.0

    def delta(self, parameters: RiskArrayParameters, tier: int | None = None) -> float:
        return sum(
            quantity * _delta(contract)
            for quantity, contract in self.held
            if tier is None or _tier(contract, parameters) == tier
        )


def requirements(
    market: Market, parameters: RiskArrayParameters, books: Books
) -> list[tuple[float, float]]:
    """Initial and maintenance margin of every scope."""
    return [_requirement(market, parameters, books, scope) for scope in range(len(books))]


def _requirement(
    market: Market, parameters: RiskArrayParameters, books: Books, scope: int
) -> tuple[float, float]:
    own = {each.underlying: each.terms for each in parameters.named}
    commodities: dict[str, _Commodity] = {}
    value = 0.0
    for place, quantity in zip(*books.of(scope), strict=True):
        contract = contract_of(market, int(place))
        name = market.underlyings[contract.underlying]
        terms = own.get(name, parameters.default)
        commodities.setdefault(name, _Commodity(terms)).held.append((float(quantity), contract))
        if contract.kind is Kind.OPTION:
            value += float(quantity) * contract.multiplier * contract.price
    _give_credits(commodities, parameters)
    risk = 0.0
    for each in commodities.values():
        charge = _scan(each, parameters) + _calendar(each, parameters) - each.credit
        risk += max(charge, _minimum(each))
    if parameters.option_value == "in_equity":
        value = 0.0
    if parameters.option_value == "long_only":
        value = max(value, 0.0)
    maintenance = max(risk - value, 0.0)
    return parameters.initial_ratio * maintenance, maintenance


def _scan(commodity: _Commodity, parameters: RiskArrayParameters) -> float:
    """The largest loss of the sixteen scenarios, from 0."""
    terms, worst = commodity.terms, 0.0
    years = parameters.look_ahead_days / 365.0
    moves = [
        (1.0 + thirds * THIRD * terms.price_range, 1.0 + way * terms.volatility_range, 1.0)
        for thirds in (-3, -2, -1, 0, 1, 2, 3)
        for way in (1, -1)
    ]
    for way in (1, -1):
        far = 1.0 + way * parameters.extreme_multiple * terms.price_range
        moves.append((far, 1.0, parameters.extreme_cover))
    for price, volatility, cover in moves:
        profit = sum(
            quantity * _profit(contract, max(price, 0.0), max(volatility, 0.0), years)
            for quantity, contract in commodity.held
        )
        worst = max(worst, -cover * profit)
    return worst


def _profit(contract: Contract, move: float, volatility: float, years: float) -> float:
    then = contract.value(move=move, volatility=volatility, years=years)
    return then - contract.value()


def _calendar(commodity: _Commodity, parameters: RiskArrayParameters) -> float:
    left = [commodity.delta(parameters, tier) for tier in range(1, len(parameters.tier_days) + 2)]
    charge = 0.0
    for spread in parameters.calendar:
        near, far = left[spread.near - 1], left[spread.far - 1]
        if near * far < 0.0:
            matched = min(abs(near), abs(far))
            charge += matched * spread.multiple * commodity.terms.spread_rate
            left[spread.near - 1] = near - math.copysign(matched, near)
            left[spread.far - 1] = far - math.copysign(matched, far)
    return charge


def _give_credits(commodities: dict[str, _Commodity], parameters: RiskArrayParameters) -> None:
    left = {name: each.delta(parameters) for name, each in commodities.items()}
    for pair in parameters.credits:
        if pair.first not in commodities or pair.second not in commodities:
            continue
        one, other = left[pair.first], left[pair.second]
        if one * other >= 0.0:
            continue
        matched = min(abs(one), abs(other) / pair.delta_ratio)
        for name, used in ((pair.first, matched), (pair.second, matched * pair.delta_ratio)):
            leg = commodities[name]
            room = _scan(leg, parameters) - leg.credit
            leg.credit += min(pair.credit * leg.terms.price_range * used, room)
            left[name] -= math.copysign(used, left[name])


def _minimum(commodity: _Commodity) -> float:
    return sum(
        -quantity * contract.multiplier * contract.spot * commodity.terms.short_minimum
        for quantity, contract in commodity.held
        if quantity < 0 and contract.kind is Kind.OPTION
    )


def _tier(contract: Contract, parameters: RiskArrayParameters) -> int:
    days = round(contract.years * 365.0, 6)
    return 1 + sum(days > last for last in parameters.tier_days)


def _delta(contract: Contract) -> float:
    """Value of one contract per 1.00 of relative move of its forward."""
    if contract.kind is not Kind.OPTION:
        return contract.value()
    sign = 1.0 if contract.is_call else -1.0
    deviation = contract.volatility * math.sqrt(contract.years)
    if deviation > 0.0:
        upper = math.log(contract.forward / contract.strike) / deviation + deviation / 2
        share = normal(sign * upper)
    else:
        share = 1.0 if sign * (contract.forward - contract.strike) > 0.0 else 0.0
    discount = math.exp(-contract.rate * contract.years)
    return sign * discount * share * contract.forward * contract.multiplier
