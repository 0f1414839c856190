"""Multi-factor margin in plain loops."""

import math
from typing import NamedTuple

from margin.engine.books import Books
from margin.engine.covariance import Estimate
from margin.engine.market import Kind, Market
from margin.engine.models.factors import FactorParameters
from margin.engine.slow.contracts import contract_of
from margin.engine.slow.slopes import slopes
from margin.engine.slow.statistics import Matrix, deviations, quadratic, towards_target


class _Estimated(NamedTuple):
    """Betas, own variances and sector of each underlying; covariance of all factors."""

    betas: list[float]
    own: list[float]
    sector: list[int]
    matrix: Matrix


def requirements(
    market: Market, parameters: FactorParameters, books: Books
) -> list[tuple[float, float]]:
    """Initial and maintenance margin of every scope."""
    estimated = _estimated(market, parameters)
    tail = parameters.deviations
    far = tail.multiplier * deviations(tail, tail.confidence)
    near = tail.multiplier * deviations(tail, tail.maintenance_confidence)
    found = []
    for scope in range(len(books)):
        deviation = _deviation(market, parameters, books, scope, estimated)
        found.append((far * deviation, near * deviation))
    return found


def _deviation(
    market: Market, parameters: FactorParameters, books: Books, scope: int, estimated: _Estimated
) -> float:
    size = len(estimated.matrix)
    exposed, net = [0.0] * size, [0.0] * len(estimated.betas)
    for place, quantity in zip(*books.of(scope), strict=True):
        contract = contract_of(market, int(place))
        slope, asset = slopes(contract), contract.underlying
        delta = float(quantity) * slope.delta
        net[asset] += delta
        exposed[0] += delta * estimated.betas[asset]
        exposed[1 + estimated.sector[asset]] += delta
        if contract.kind in (Kind.PERPETUAL, Kind.FUTURE, Kind.OPTION):
            exposed[size - 3] += delta
        exposed[size - 2] += float(quantity) * slope.vega * contract.volatility
        exposed[size - 1] += float(quantity) * slope.rho
        if contract.kind is Kind.PERPETUAL:
            exposed[size - 1] -= delta * parameters.funding_days / 365.0
        elif contract.kind in (Kind.FUTURE, Kind.OPTION):
            exposed[size - 1] += delta * contract.years
    variance = quadratic(exposed, estimated.matrix)
    variance += sum(one * one * own for one, own in zip(net, estimated.own, strict=True))
    return math.sqrt(max(variance, 0.0))


def _estimated(market: Market, parameters: FactorParameters) -> _Estimated:
    days, weights = _days(market, parameters)
    assets, names = range(len(market.underlyings)), market.underlyings
    sector = []
    for name in names:
        inside = [g for g, each in enumerate(parameters.sectors) if name in each.underlyings]
        sector.append(inside[0] if inside else len(parameters.sectors))
    means = [sum(day) / len(day) for day in days]
    variance = sum(weight * one * one for weight, one in zip(weights, means, strict=True))
    betas = []
    for asset in assets:
        both = sum(
            weight * one * day[asset] for weight, one, day in zip(weights, means, days, strict=True)
        )
        betas.append(both / variance if variance > 0 else 0.0)
    own, factors = [0.0 for _asset in assets], []
    for weight, mean, day in zip(weights, means, days, strict=True):
        left = [day[asset] - betas[asset] * mean for asset in assets]
        common = []
        for group in range(len(parameters.sectors) + 1):
            members = [left[asset] for asset in assets if sector[asset] == group]
            common.append(sum(members) / len(members) if members else 0.0)
        factors.append([mean, *common])
        for asset in assets:
            own[asset] += weight * (left[asset] - common[sector[asset]]) ** 2
    matrix = towards_target(factors, weights, parameters.covariance.target)
    return _Estimated(betas, own, sector, _with_declared(matrix, parameters))


def _days(market: Market, parameters: FactorParameters) -> tuple[Matrix, list[float]]:
    count = parameters.covariance.lookback_days
    days = [[float(one) for one in day] for day in market.returns][-count:]
    if parameters.covariance.estimate is Estimate.SAMPLE:
        means = [sum(day[asset] for day in days) / count for asset in range(len(days[0]))]
        around = [[one - mean for one, mean in zip(day, means, strict=True)] for day in days]
        return around, [1.0 / count] * count
    ages = [parameters.covariance.decay ** (count - 1 - place) for place in range(count)]
    return days, [age / sum(ages) for age in ages]


def _with_declared(matrix: Matrix, parameters: FactorParameters) -> Matrix:
    known = len(matrix)
    full = [[*row, 0.0, 0.0, 0.0] for row in matrix] + [[0.0] * (known + 3) for _each in range(3)]
    for place, deviation in enumerate(
        (parameters.basis_deviation, parameters.volatility_deviation, parameters.rate_deviation)
    ):
        full[known + place][known + place] = deviation * deviation
    if matrix[0][0] > 0:
        for place in range(known):
            shared = parameters.volatility_correlation * parameters.volatility_deviation
            shared *= matrix[0][place] / math.sqrt(matrix[0][0])
            full[known + 1][place] = full[place][known + 1] = shared
    return full
