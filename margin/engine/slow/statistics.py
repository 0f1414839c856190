"""Covariances and tails in plain loops: every sum written out, quantiles by halving."""

import math
from collections.abc import Sequence
from functools import cache
from statistics import NormalDist

from margin.engine.covariance import CovarianceParameters, Estimate, Target
from margin.engine.tail_factors import Deviations, Distribution, Measure

Matrix = list[list[float]]
STEPS = 1_000


def covariance(returns: Sequence[Sequence[float]], parameters: CovarianceParameters) -> Matrix:
    """Of one day's returns, the oldest first; drawn towards its target."""
    days = [[float(one) for one in day] for day in returns][-parameters.lookback_days :]
    count, size = len(days), len(days[0])
    if parameters.estimate is Estimate.SAMPLE:
        weights = [1.0 / count] * count
        means = [sum(day[u] for day in days) / count for u in range(size)]
        days = [[day[u] - means[u] for u in range(size)] for day in days]
    else:
        ages = [parameters.decay ** (count - 1 - place) for place in range(count)]
        weights = [age / sum(ages) for age in ages]
    return towards_target(days, weights, parameters.target)


def towards_target(days: Matrix, weights: list[float], target: Target) -> Matrix:
    """The weighted covariance of days around 0, drawn towards its target."""
    size = len(days[0])
    sample = [[_mean(days, weights, u, v) for v in range(size)] for u in range(size)]
    if target is Target.NONE:
        return sample
    if target is Target.SCALED_IDENTITY:
        aim, error = _identity(days, weights, sample)
    else:
        aim, error = _constant(days, weights, sample)
    distance = sum((aim[u][v] - sample[u][v]) ** 2 for u in range(size) for v in range(size))
    if distance <= 1e-24 * sum(one * one for row in sample for one in row):
        return sample
    share = min(max(error / distance, 0.0), 1.0)
    return [
        [share * aim[u][v] + (1 - share) * sample[u][v] for v in range(size)] for u in range(size)
    ]


def quadratic(values: Sequence[float], matrix: Matrix) -> float:
    """v' M v."""
    return sum(
        one * matrix[u][v] * other for u, one in enumerate(values) for v, other in enumerate(values)
    )


def deviations(parameters: Deviations, confidence: float) -> float:
    """Standard deviations of one day that the tail and the horizon make."""
    factor = (
        _normal_factor(confidence, parameters.measure)
        if parameters.distribution is Distribution.NORMAL
        else _student_factor(confidence, parameters.measure, parameters.degrees_of_freedom)
    )
    return factor * math.sqrt(parameters.horizon_days)


def _mean(days: Matrix, weights: list[float], u: int, v: int) -> float:
    return sum(weight * day[u] * day[v] for weight, day in zip(weights, days, strict=True))


def _error(
    days: Matrix, weights: list[float], sample: Matrix, one: tuple[int, int], other: tuple[int, int]
) -> float:
    """How the errors of two covariances go together."""
    (a, b), (c, d) = one, other
    return sum(
        weight * weight * (day[a] * day[b] - sample[a][b]) * (day[c] * day[d] - sample[c][d])
        for weight, day in zip(weights, days, strict=True)
    )


def _identity(days: Matrix, weights: list[float], sample: Matrix) -> tuple[Matrix, float]:
    size = len(sample)
    mean = sum(sample[u][u] for u in range(size)) / size
    aim = [[mean if u == v else 0.0 for v in range(size)] for u in range(size)]
    pairs = [(u, v) for u in range(size) for v in range(size)]
    return aim, sum(_error(days, weights, sample, pair, pair) for pair in pairs)


def _constant(days: Matrix, weights: list[float], sample: Matrix) -> tuple[Matrix, float]:
    size = len(sample)
    pairs = [(u, v) for u in range(size) for v in range(size) if u != v]
    moving = [(u, v) for u, v in pairs if sample[u][u] > 0 and sample[v][v] > 0]
    each = [sample[u][v] / math.sqrt(sample[u][u] * sample[v][v]) for u, v in moving]
    mean = sum(each) / len(each) if each else 0.0
    aim = [
        [sample[u][u] if u == v else mean * math.sqrt(sample[u][u] * sample[v][v])
         for v in range(size)]
        for u in range(size)
    ]  # fmt: skip
    error = 0.0
    for u, v in pairs:
        error += _error(days, weights, sample, (u, v), (u, v))
    for u, v in moving:
        ratio = math.sqrt(sample[v][v] / sample[u][u])
        error -= mean * ratio * _error(days, weights, sample, (u, u), (u, v))
    return aim, error


def _normal_factor(confidence: float, measure: Measure) -> float:
    border = NormalDist().inv_cdf(confidence)
    if measure is Measure.VALUE_AT_RISK:
        return border
    return NormalDist().pdf(border) / (1 - confidence)


@cache
def _student_factor(confidence: float, measure: Measure, degrees: float) -> float:
    """The border by halving; the mean beyond it in closed form of its own integral."""
    low, high = 0.0, 200.0
    for _step in range(48):
        middle = (low + high) / 2
        low, high = (middle, high) if _below(middle, degrees) < confidence else (low, middle)
    scale = math.sqrt((degrees - 2) / degrees)
    if measure is Measure.VALUE_AT_RISK:
        return scale * low
    # x times the density is the slope of -(degrees + x^2) / (degrees - 1) times the density.
    beyond = _density(low, degrees) * (degrees + low * low) / (degrees - 1)
    return scale * beyond / (1 - confidence)


def _below(place: float, degrees: float) -> float:
    """Share of a Student distribution below a place from 0, by Simpson's rule."""
    step = place / STEPS
    total = _density(0.0, degrees) + _density(place, degrees)
    for count in range(1, STEPS):
        total += (4 if count % 2 else 2) * _density(count * step, degrees)
    return 0.5 + total * step / 3


def _density(place: float, degrees: float) -> float:
    top = math.gamma((degrees + 1) / 2) / math.gamma(degrees / 2)
    return top / math.sqrt(degrees * math.pi) * math.pow(1 + place**2 / degrees, -(degrees + 1) / 2)
