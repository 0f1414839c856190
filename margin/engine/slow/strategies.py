"""Strategy margin in plain loops: options of one underlying grouped by an integer programme."""

import math
from dataclasses import dataclass
from itertools import product

from margin.engine.books import Books
from margin.engine.market import Kind, Market
from margin.engine.models.strategies_terms import StrategiesParameters, UnderlyingTerms
from margin.engine.slow.contracts import Contract, contract_of
from margin.engine.slow.integer_programme import Rule, least_whole
from margin.engine.strategies import Breadth


@dataclass(frozen=True, slots=True)
class Leg:
    """So many options of one series, all long or all short."""

    is_call: bool
    strike: float
    premium: float
    days: int
    count: int
    is_short: bool

    def payoff(self, price: float) -> float:
        """What one unit brings when it is exercised at a price, to whom it is long."""
        gained = price - self.strike if self.is_call else self.strike - price
        return max(gained, 0.0) * (-1.0 if self.is_short else 1.0)

    @property
    def paid(self) -> float:
        """Premium of one unit, negative when it was received."""
        return -self.premium if self.is_short else self.premium


def requirements(
    market: Market, parameters: StrategiesParameters, books: Books
) -> list[tuple[float, float]]:
    """Initial and maintenance margin of every scope."""
    return [_requirement(market, parameters, books, scope) for scope in range(len(books))]


def _requirement(
    market: Market, parameters: StrategiesParameters, books: Books, scope: int
) -> tuple[float, float]:
    initial = maintenance = 0.0
    shares: dict[int, float] = {}
    options: dict[tuple[int, float], list[tuple[Contract, int]]] = {}
    for place, quantity in zip(*books.of(scope), strict=True):
        contract = contract_of(market, int(place))
        if contract.kind is Kind.OPTION:
            held = options.setdefault((contract.underlying, contract.multiplier), [])
            held.append((contract, round(float(quantity))))
            continue
        size = float(quantity) * contract.multiplier
        shares[contract.underlying] = shares.get(contract.underlying, 0.0) + size
        terms = _terms(market, parameters, contract.underlying)
        first, kept = _share(parameters, contract.price, terms.leverage, is_short=size < 0)
        initial, maintenance = initial + abs(size) * first, maintenance + abs(size) * kept
    for (underlying, units), held in options.items():
        lots = 0
        if units == parameters.cover_units:
            lots = int(shares.get(underlying, 0.0) / units)
        terms = _terms(market, parameters, underlying)
        spot = float(market.spots[underlying])
        needed = units * _least(
            _series(held), spot=spot, lots=lots, terms=terms, premium=parameters.premium_required
        )
        initial, maintenance = initial + needed, maintenance + needed
    return initial, maintenance


def _terms(market: Market, parameters: StrategiesParameters, underlying: int) -> UnderlyingTerms:
    name = market.underlyings[underlying]
    for terms in parameters.underlyings:
        if terms.underlying == name:
            return terms
    return UnderlyingTerms(name, Breadth.SINGLE, 1.0)


def _share(
    parameters: StrategiesParameters, price: float, leverage: float, *, is_short: bool
) -> tuple[float, float]:
    times = max(abs(leverage), 1.0)
    if not is_short:
        kept = price * min(parameters.long_rate * times, 1.0)
    else:
        is_low = price < parameters.low_price
        rate = parameters.low_short_rate if is_low else parameters.short_rate
        least = parameters.low_short_least if is_low else parameters.short_least
        kept = max(least, price * (rate if rate >= 1.0 else min(rate * times, 1.0)))
    return max(price * parameters.initial_rate, kept), kept


def _series(held: list[tuple[Contract, int]]) -> list[Leg]:
    """Options of one series as one leg, at the average premium of the side that remains."""
    lots: dict[tuple[bool, float, int], list[tuple[Contract, int]]] = {}
    for contract, count in held:
        series = (contract.is_call, contract.strike, round(contract.years * 365.0))
        lots.setdefault(series, []).append((contract, count))
    legs = []
    for (is_call, strike, days), rows in lots.items():
        net = sum(count for _, count in rows)
        side = [(contract, count) for contract, count in rows if count * net > 0]
        if net:
            total = sum(count for _, count in side)
            premium = sum(contract.price * count for contract, count in side) / total
            legs.append(Leg(is_call, strike, premium, days, abs(net), net < 0))
    return legs


def _least(
    legs: list[Leg], *, spot: float, lots: int, terms: UnderlyingTerms, premium: bool
) -> float:
    """The cheapest way to carry the legs of one underlying, per unit; prices in spots."""
    alone = [_alone(leg, spot=spot, terms=terms) for leg in legs]
    free = [leg.premium if leg.is_short and not premium else 0.0 for leg in legs]
    costs = [(cost - less) / spot for cost, less in zip(alone, free, strict=True)]
    carried: list[dict[int, float]] = [{place: 1.0} for place in range(len(legs))]
    covers: dict[int, float] = {}
    for place, leg in enumerate(legs):
        if leg.is_short and (lots > 0 if leg.is_call else lots < 0):
            carried[place][len(costs)] = covers[len(costs)] = 1.0
            costs.append(0.0)
    for call, put in product(range(len(legs)), repeat=2):
        pair = (legs[call], legs[put])
        if pair[0].is_call and not pair[1].is_call and pair[0].is_short and pair[1].is_short:
            greater = max(alone[call], alone[put])
            others = [
                other.premium
                for cost, other in ((alone[call], pair[1]), (alone[put], pair[0]))
                if cost == greater
            ]
            carried[call][len(costs)] = carried[put][len(costs)] = 1.0
            costs.append((greater + max(others) - free[call] - free[put]) / spot)
    members: dict[int, list[tuple[int, int]]] = {}
    for day in sorted({leg.days for leg in legs if leg.is_short}):
        for place, leg in enumerate(legs):
            if leg.days <= day if leg.is_short else leg.days >= day:
                carried[place][len(costs)] = 1.0
                members.setdefault(day, []).append((len(costs), place))
                costs.append(0.0)
    whole = len(costs)
    rules = [
        Rule(ways, float(leg.count), is_exact=True) for ways, leg in zip(carried, legs, strict=True)
    ]
    rules.append(Rule(covers, float(abs(lots))))
    for inside in members.values():
        rules += _spread(legs, inside, spot=spot, loss=len(costs))
        costs += [0.0, 1.0]
    ways = least_whole(costs, rules, whole=whole)
    total = sum(cost * round(count) for cost, count in zip(costs[:whole], ways, strict=False))
    for inside in members.values():
        total += _spread_cost(legs, inside, ways) / spot
    return total * spot


def _spread(
    legs: list[Leg], inside: list[tuple[int, int]], *, spot: float, loss: int
) -> list[Rule]:
    """As many long as short of either right; the loss at any strike, and the cost after it."""
    rules = [
        Rule(
            {
                way: -1.0 if legs[place].is_short else 1.0
                for way, place in inside
                if legs[place].is_call == is_call
            },
            0.0,
            is_exact=True,
        )
        for is_call in (True, False)
    ]
    for price in sorted({leg.strike for leg in legs}):
        losses = {way: -legs[place].payoff(price) / spot for way, place in inside}
        rules.append(Rule(losses | {loss: -1.0}, 0.0))
    paid = {way: legs[place].paid / spot for way, place in inside}
    rules.append(Rule(paid | {loss: 1.0, loss + 1: -1.0}, 0.0))
    return rules


def _spread_cost(legs: list[Leg], inside: list[tuple[int, int]], ways: list[float]) -> float:
    counts = [(round(ways[way]), legs[place]) for way, place in inside]
    worst = min(
        (sum(count * leg.payoff(at.strike) for count, leg in counts) for _, at in counts),
        default=0.0,
    )
    paid = math.fsum(count * leg.paid for count, leg in counts)
    return max(0.0, max(0.0, -worst) + paid)


def _alone(leg: Leg, *, spot: float, terms: UnderlyingTerms) -> float:
    if not leg.is_short:
        return leg.premium * (0.75 if leg.days > 276 else 1.0)
    times = max(abs(terms.leverage), 1.0)
    rate = 0.15 if terms.breadth is Breadth.BROAD else 0.20
    away = leg.strike - spot if leg.is_call else spot - leg.strike
    least = 0.10 * times * (spot if leg.is_call else leg.strike)
    return leg.premium + max(rate * times * spot - max(away, 0.0), least)
