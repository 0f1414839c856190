"""Covariances of returns: estimated, shrunk, and proven to be covariances.

Axes: T days, U underlyings (or factors). Sums are not left to BLAS, so that the same days give the
same bits whatever it is built for.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

import numpy as np

from margin.engine.given import Float, finite
from margin.engine.parameters import check_parameters, parameter
from margin.engine.rejected import RejectedInputError

# Eigenvalues below 0 by less than this share of the greatest are rounding.
ROUNDING: Final = 1e-12
PROJECTIONS_MOST: Final = 5_000
# How far the last step of a repair, which sets the diagonal, may move a correlation past a bound.
BEYOND_MOST: Final = 1e-6


class Estimate(StrEnum):
    """How days are weighed."""

    SAMPLE = "sample"  # all alike, around their mean
    EWMA = "ewma"  # newer days more, around 0


class Target(StrEnum):
    """What an estimate is drawn towards, to tame what is chance in it."""

    NONE = "none"
    SCALED_IDENTITY = "scaled_identity"
    CONSTANT_CORRELATION = "constant_correlation"


@dataclass(frozen=True, slots=True)
class CovarianceParameters:
    """How a covariance is estimated."""

    lookback_days: int = parameter(
        "How many of the newest days are used", unit="days", least=2, most=100_000
    )
    estimate: Estimate = parameter("How days are weighed")
    decay: float = parameter(
        "Weight of a day as a share of the next one's, where newer days weigh more",
        unit="share", least=0.5, most=1.0,
    )  # fmt: skip
    target: Target = parameter("What the estimate is drawn towards")

    def __post_init__(self) -> None:
        check_parameters(self)


STANDARD_COVARIANCE: Final = CovarianceParameters(
    lookback_days=250, estimate=Estimate.EWMA, decay=0.97, target=Target.CONSTANT_CORRELATION
)


class Shrunk(NamedTuple):
    """An estimate drawn towards its target.

    Attributes:
        covariance: (U, U).
        intensity: the share of the target in it, from 0 to 1.
    """

    covariance: Float
    intensity: float


class Repaired(NamedTuple):
    """The nearest matrix without a negative eigenvalue.

    Attributes:
        matrix: (U, U).
        distance: root of the sum of squared changes (Frobenius).
    """

    matrix: Float
    distance: float


def estimated(returns: Float, *, parameters: CovarianceParameters) -> Shrunk:
    """The covariance of one day's returns.

    Args:
        returns: (T, U), the oldest day first.

    Raises:
        RejectedInputError: fewer days are known than are looked back on.
    """
    days, weights = weighted_days(returns, parameters=parameters)
    return shrunk(days, weights=weights, target=parameters.target)


def weighted_days(returns: Float, *, parameters: CovarianceParameters) -> tuple[Float, Float]:
    """The days that are looked back on (T, U), around what is their middle, and weights (T,).

    Raises:
        RejectedInputError: fewer days are known than are looked back on.
    """
    if len(returns) < parameters.lookback_days:
        raise RejectedInputError(
            f"returns: {len(returns)} days are known, {parameters.lookback_days} are looked back on"
        )
    days = returns[len(returns) - parameters.lookback_days :]
    if parameters.estimate is Estimate.SAMPLE:
        return days - days.mean(axis=0), np.full(len(days), 1.0 / len(days))
    ages = parameters.decay ** np.arange(len(days) - 1, -1, -1.0)
    return days, ages / ages.sum()


def shrunk(days: Float, *, weights: Float, target: Target) -> Shrunk:
    """The weighted covariance of days around 0, drawn towards a target by the closed form.

    With equal weights the intensity is that of the sources; with others the days count by the
    squares of their weights, as fewer days do.

    Args:
        days: (T, U) around their mean.
        weights: (T,) from 0, sum 1.

    Source:
        SCALED_IDENTITY: Ledoit and Wolf (2004), "A well-conditioned estimator for large-dimensional
        covariance matrices". CONSTANT_CORRELATION: Ledoit and Wolf (2004), "Honey, I shrunk the
        sample covariance matrix", appendix B.
    """
    sample = _products(days, days, weights)
    # Either order of a product is rounded differently.
    sample = (sample + sample.T) / 2.0
    if target is Target.NONE:
        return Shrunk(sample, 0.0)
    squares = weights**2
    # (U, U) squared standard error of each covariance.
    errors = (
        _products(days**2, days**2, squares)
        - 2.0 * sample * _products(days, days, squares)
        + sample**2 * squares.sum()
    )
    if target is Target.SCALED_IDENTITY:
        aim = np.eye(len(sample)) * np.trace(sample) / len(sample)
        error = float(errors.sum())
    else:
        aim, error = _constant_correlation(days, sample, errors, squares)
    distance = float(((aim - sample) ** 2).sum())
    # An estimate that is its target already has nothing to be drawn to, beyond rounding.
    if distance <= ROUNDING**2 * float((sample**2).sum()):
        return Shrunk(sample, 0.0)
    intensity = min(max(error / distance, 0.0), 1.0)
    return Shrunk(intensity * aim + (1.0 - intensity) * sample, intensity)


def correlations_of(covariance: Float) -> Float:
    """(U, U) correlations; 0 beside what never moves, and 1 with itself."""
    deviations = np.sqrt(np.diag(covariance))
    scale = np.outer(deviations, deviations)
    correlations = np.divide(covariance, scale, out=np.zeros_like(scale), where=scale > 0)
    np.fill_diagonal(correlations, 1.0)
    bounded: Float = np.clip(correlations, -1.0, 1.0)
    return bounded


def psd_root(covariance: Float) -> Float:
    """(U, U) the root R with R R' = covariance: the proof that it has no negative eigenvalue.

    Raises:
        RejectedInputError: it is not symmetric, or has an eigenvalue below 0 beyond rounding.
    """
    values, vectors = _eigen(covariance)
    if len(values) and values[0] < -ROUNDING * max(float(np.abs(values).max()), 0.0) * len(values):
        raise RejectedInputError(f"covariance: an eigenvalue is {values[0]:g}, below 0")
    root: Float = vectors * np.sqrt(np.maximum(values, 0.0))
    return root


def nearest_covariance(matrix: Float, *, tolerance: float) -> Repaired:
    """The nearest matrix without a negative eigenvalue: those are set to 0.

    Args:
        tolerance: distance up to which it is repaired, as a share of the matrix's own size.

    Raises:
        RejectedInputError: it is not symmetric, or farther than that.
    """
    values, vectors = _eigen(matrix)
    if len(values) == 0 or values[0] >= 0:
        return Repaired(np.array(matrix, dtype=np.float64), 0.0)
    return _within(matrix, _composed(np.maximum(values, 0.0), vectors), tolerance=tolerance)


def nearest_correlations(
    matrix: Float, *, tolerance: float, floors: Float | float = -1.0, caps: Float | float = 1.0
) -> Repaired:
    """The nearest correlations without a negative eigenvalue, 1 on the diagonal.

    Args:
        tolerance: distance up to which it is repaired, as a share of the matrix's own size.
        floors, caps: (U, U) or one for all; between which the others stay.

    Raises:
        RejectedInputError: it is not symmetric, or there are none within tolerance and bounds.

    Source:
        Higham (2002), "Computing the nearest correlation matrix", algorithm 3.3, by alternating
        projections with the correction of Dykstra; here of both sets, as bounds are no plane.
    """
    values, _vectors = _eigen(matrix)
    start = np.array(matrix, dtype=np.float64)
    bounded = _bounded(start, floors, caps)
    if (values >= -ROUNDING * len(start)).all() and (bounded == start).all():
        return Repaired(start, 0.0)
    nearest, off_cone, off_bounds = start, np.zeros_like(start), np.zeros_like(start)
    for _round in range(PROJECTIONS_MOST):
        corrected = nearest - off_cone
        positive = _without_negative(corrected)
        off_cone = positive - corrected
        corrected = positive - off_bounds
        former, nearest = nearest, _bounded(corrected, floors, caps)
        off_bounds = nearest - corrected
        if np.abs(nearest - former).max() <= ROUNDING:
            break
    found = correlations_of(_without_negative(nearest))
    if np.abs(found - _bounded(found, floors, caps)).max() > BEYOND_MOST:
        raise RejectedInputError(
            "correlations: none within their bounds has no negative eigenvalue"
        )
    return _within(start, found, tolerance=tolerance)


def _bounded(matrix: Float, floors: Float | float, caps: Float | float) -> Float:
    bounded: Float = np.clip(matrix, floors, caps)
    np.fill_diagonal(bounded, 1.0)
    return bounded


def _without_negative(matrix: Float) -> Float:
    values, vectors = np.linalg.eigh(matrix)
    return _composed(np.maximum(values, 0.0), vectors)


def _within(matrix: Float, repaired: Float, *, tolerance: float) -> Repaired:
    distance = float(np.sqrt(((repaired - matrix) ** 2).sum()))
    if distance > tolerance * float(np.sqrt((matrix**2).sum())):
        raise RejectedInputError(
            f"matrix: the nearest without a negative eigenvalue is {distance:g} away"
        )
    return Repaired(repaired, distance)


def _eigen(matrix: Float) -> tuple[Float, Float]:
    square = finite("matrix", matrix)
    if square.ndim != 2 or square.shape[0] != square.shape[1]:
        raise RejectedInputError("matrix: as many rows as columns are needed")
    if not (square == square.T).all():
        raise RejectedInputError("matrix: it is not symmetric")
    values, vectors = np.linalg.eigh(square)
    return values, vectors


def _composed(values: Float, vectors: Float) -> Float:
    product = np.einsum("uk,k,vk->uv", vectors, values, vectors)
    symmetric: Float = (product + product.T) / 2.0
    return symmetric


def _products(one: Float, other: Float, weights: Float) -> Float:
    """(U, U) weighted sums over the days of products."""
    products: Float = np.einsum("tu,tv->uv", one * weights[:, None], other)
    return products


def _constant_correlation(
    days: Float, sample: Float, errors: Float, squares: Float
) -> tuple[Float, float]:
    """The target, and the squared error of the sample less what the target shares with it."""
    variances = np.diag(sample)
    deviations = np.sqrt(variances)
    moving = int((variances > 0).sum())
    pairs = moving * (moving - 1)
    correlations = correlations_of(sample)
    mean = float(correlations.sum() - len(sample)) / pairs if pairs else 0.0
    aim = mean * np.outer(deviations, deviations)
    np.fill_diagonal(aim, variances)
    # (U, V) covariance of the errors of variance U and of covariance U, V.
    shared = (
        _products(days**3, days, squares)
        - variances[:, None] * _products(days, days, squares)
        - sample * _products(days**2, np.ones_like(days), squares)
        + variances[:, None] * sample * squares.sum()
    )
    ratios = np.divide(
        deviations[None, :], deviations[:, None], out=np.zeros_like(sample),
        where=deviations[:, None] > 0,
    )  # fmt: skip
    beside = ratios * shared
    np.fill_diagonal(beside, 0.0)
    common = float(np.trace(errors)) + mean * float(beside.sum())
    return aim, float(errors.sum()) - common
