"""Parametric margin in plain loops."""

import math

from margin.engine.books import Books
from margin.engine.market import Market
from margin.engine.models.parametric import GammaAdjustment, ParametricParameters
from margin.engine.slow.contracts import contract_of
from margin.engine.slow.slopes import slopes
from margin.engine.slow.statistics import Matrix, covariance, deviations, quadratic


def requirements(
    market: Market, parameters: ParametricParameters, books: Books
) -> list[tuple[float, float]]:
    """Initial and maintenance margin of every scope."""
    matrix = covariance(market.returns.tolist(), parameters.covariance)
    far = deviations(parameters.deviations, parameters.deviations.confidence)
    near = deviations(parameters.deviations, parameters.deviations.maintenance_confidence)
    return [
        (
            _margin(market, parameters, books, scope, matrix, far, far),
            _margin(market, parameters, books, scope, matrix, near, far),
        )
        for scope in range(len(books))
    ]


def _margin(
    market: Market,
    parameters: ParametricParameters,
    books: Books,
    scope: int,
    matrix: Matrix,
    reach: float,
    farthest: float,
) -> float:
    delta, gamma = [0.0] * len(matrix), [0.0] * len(matrix)
    for place, quantity in zip(*books.of(scope), strict=True):
        contract = contract_of(market, int(place))
        slope, asset = slopes(contract), contract.underlying
        delta[asset] += float(quantity) * slope.delta
        move = farthest * math.sqrt(matrix[asset][asset])
        most = 2 * contract.multiplier * contract.forward / move if move > 0 else 0.0
        gamma[asset] += float(quantity) * min(slope.gamma, most)
    margin = reach * math.sqrt(max(quadratic(delta, matrix), 0.0))
    if parameters.gamma is GammaAdjustment.SHORT_GAMMA:
        for asset, net in enumerate(gamma):
            margin += max(-net, 0.0) / 2 * reach**2 * matrix[asset][asset]
    return parameters.deviations.multiplier * margin
