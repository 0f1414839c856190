"""Value at risk and expected shortfall in plain loops: day by day, loss by loss."""

import math
from collections.abc import Callable

from margin.engine.books import Books
from margin.engine.history import Filtering, History, Scaling
from margin.engine.market import Market
from margin.engine.models.value_at_risk_parameters import (
    Combination,
    ExpectedShortfallParameters,
    TailParameters,
    ValueAtRiskParameters,
)
from margin.engine.slow.contracts import contract_of
from margin.engine.tails import QuantileConvention, ShortfallConvention

# Losses with the weights of their days, and the share of days in the tail.
Measure = Callable[[list[tuple[float, float]], float], float]
# 250 x (1 - 0.98) is 5, whatever floats make of it.
SMALL = 1e-9


def quantile_requirements(
    market: Market, parameters: ValueAtRiskParameters, books: Books
) -> list[tuple[float, float]]:
    """Initial and maintenance margin of every scope by value at risk."""
    linear = parameters.convention is QuantileConvention.LINEAR_PERCENTILE
    return _requirements(market, parameters, books, _percentile if linear else _border)


def shortfall_requirements(
    market: Market, parameters: ExpectedShortfallParameters, books: Books
) -> list[tuple[float, float]]:
    """Initial and maintenance margin of every scope by expected shortfall."""
    linear = parameters.convention is ShortfallConvention.LINEAR_PERCENTILE
    return _requirements(market, parameters, books, _counted_mean if linear else _tail_mean)


def _requirements(
    market: Market, parameters: TailParameters, books: Books, measure: Measure
) -> list[tuple[float, float]]:
    recent = _recent(market, parameters.history)
    ages = [parameters.history.age_decay ** (len(recent) - day) for day in range(len(recent))]
    weights = [age / sum(ages) for age in ages]
    stress = parameters.stress
    stressed = _compounded(market, stress.oldest_day, stress.newest_day)
    stressed = _joined(stressed, parameters.history)
    levels = (parameters.confidence, parameters.maintenance_confidence)
    requirements = []
    for scope in range(len(books)):
        losses = _losses(market, books, scope, recent)
        bad = _losses(market, books, scope, stressed)
        initial, maintenance = (
            parameters.multiplier
            * _together(
                parameters,
                max(measure(list(zip(losses, weights, strict=True)), 1 - level), 0.0),
                max(measure([(loss, 1 / len(bad)) for loss in bad], 1 - level), 0.0),
            )
            for level in levels
        )
        requirements.append((initial, maintenance))
    return requirements


def _together(parameters: TailParameters, recent: float, stressed: float) -> float:
    stress = parameters.stress
    if stress.combination is Combination.NONE:
        return recent
    if stress.combination is Combination.MAX:
        return max(recent, stressed)
    return (1 - stress.weight) * recent + stress.weight * stressed


def _compounded(market: Market, oldest_day: int, newest_day: int) -> list[list[float]]:
    days = len(market.returns)
    return [
        [math.log(1.0 + float(one)) for one in market.returns[day]]
        for day in range(days - oldest_day, days - newest_day + 1)
    ]


def _recent(market: Market, history: History) -> list[list[float]]:
    days = _compounded(market, history.lookback_days, 1)
    if history.filtering is Filtering.VOLATILITY:
        for asset in range(len(market.underlyings)):
            _scale_to_today([day[asset] for day in days], days, asset, history)
    return _joined(days, history)


def _scale_to_today(
    seen: list[float], days: list[list[float]], asset: int, history: History
) -> None:
    expected = [sum(one * one for one in seen) / len(seen)]
    for one in seen:
        expected.append(
            history.volatility_decay * expected[-1] + (1 - history.volatility_decay) * one * one
        )
    today = math.sqrt(expected[-1])
    for place, one in enumerate(seen):
        then = math.sqrt(expected[place])
        if then > 0:
            most = history.ratio_most
            days[place][asset] = one * (most if then * most <= today else today / then)


def _joined(days: list[list[float]], history: History) -> list[list[float]]:
    """Factors on the price of each underlying, scenario by scenario."""
    horizon = history.horizon_days
    if history.scaling is Scaling.SQUARE_ROOT:
        return [[math.exp(math.sqrt(horizon) * one) for one in day] for day in days]
    return [
        [math.exp(sum(day[asset] for day in days[first : first + horizon]))
         for asset in range(len(days[0]))]
        for first in range(len(days) - horizon + 1)
    ]  # fmt: skip


def _losses(market: Market, books: Books, scope: int, scenarios: list[list[float]]) -> list[float]:
    held = [
        (contract_of(market, int(place)), float(quantity))
        for place, quantity in zip(*books.of(scope), strict=True)
    ]
    before = [contract.value() for contract, _quantity in held]
    return [
        sum(
            quantity * (worth - contract.value(move=factors[contract.underlying]))
            for (contract, quantity), worth in zip(held, before, strict=True)
        )
        for factors in scenarios
    ]


def _percentile(losses: list[tuple[float, float]], tail: float) -> float:
    ordered = sorted((loss for loss, _weight in losses), reverse=True)
    exact = (len(ordered) - 1) * tail
    place = math.floor(exact + SMALL)
    beyond = ordered[min(place + 1, len(ordered) - 1)]
    return ordered[place] + max(exact - place, 0.0) * (beyond - ordered[place])


def _border(losses: list[tuple[float, float]], tail: float) -> float:
    """The first loss at which the worst days weigh as much as the tail."""
    weight = 0.0
    for loss, days in sorted(losses, reverse=True):
        weight += days
        if weight >= tail - SMALL:
            return loss
    return min(loss for loss, _weight in losses)


def _counted_mean(losses: list[tuple[float, float]], tail: float) -> float:
    count = math.floor((len(losses) - 1) * tail + SMALL) + 1
    ordered = sorted((loss for loss, _weight in losses), reverse=True)
    return sum(ordered[:count]) / count


def _tail_mean(losses: list[tuple[float, float]], tail: float) -> float:
    left, total = tail, 0.0
    for loss, days in sorted(losses, reverse=True):
        used = min(days, left)
        total += used * loss
        left -= used
        if left <= 0:
            break
    return total / (tail - max(left, 0.0))
