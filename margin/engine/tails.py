"""Tails of losses as weights on their ranks: the same few sums for any number of scopes.

A measure of a history is a weighted sum of its losses, the worst first. Where every day weighs the
same, the weights are known before any loss is; where days weigh by their age, they follow the order
of the losses. Axes: A scopes, T days, K ranks.
"""

from enum import StrEnum

import numpy as np

from margin.engine.given import Float
from margin.engine.market import Index
from margin.engine.model import in_order
from margin.engine.value_at_risk import PLACES, order_place, percentile_place


class QuantileConvention(StrEnum):
    """Which loss is value at risk."""

    LINEAR_PERCENTILE = "linear_percentile"  # between two losses, as `percentile_tail`
    ORDER_STATISTIC = "order_statistic"  # one of the losses, as `order_statistic_tail`


class ShortfallConvention(StrEnum):
    """Which losses are the tail that expected shortfall is the mean of.

    The tail of `order_statistic_tail`, losses worse than the one at its border, is not among them:
    how many those are depends on ties, and their mean is not sub-additive.
    """

    LINEAR_PERCENTILE = "linear_percentile"  # all up to the percentile, as `percentile_tail`
    TAIL_MEAN = "tail_mean"  # the worst T x (1 - confidence), the last of them in part


def quantile_weights(count: int, *, confidence: float, convention: QuantileConvention) -> Float:
    """(K,) weights of the worst losses that make value at risk; they add up to 1.

    Args:
        count: days, at least one.
        confidence: from 0, below 1.
    """
    if convention is QuantileConvention.ORDER_STATISTIC:
        weights = np.zeros(order_place(count, confidence=confidence))
        weights[-1] = 1.0
        return weights
    place, way = percentile_place(count, cutoff=1 - confidence)
    weights = np.zeros(min(place + 2, count))
    weights[place] = 1.0 - way
    if place + 1 < count:
        weights[place + 1] = way
    return weights


def shortfall_weights(count: int, *, confidence: float, convention: ShortfallConvention) -> Float:
    """(K,) weights of the worst losses that make expected shortfall; they add up to 1.

    Args:
        count: days, at least one.
        confidence: from 0, below 1.

    Source:
        TAIL_MEAN: Acerbi and Tasche (2002), "On the coherence of expected shortfall": the share of
        the last day that belongs to the tail keeps the measure sub-additive at any level.
    """
    if convention is ShortfallConvention.LINEAR_PERCENTILE:
        place, _way = percentile_place(count, cutoff=1 - confidence)
        return np.full(place + 1, 1.0 / (place + 1))
    days = count * (1 - confidence)
    weights = np.ones(order_place(count, confidence=confidence))
    if len(weights) > 1:
        weights[-1] = days - (len(weights) - 1)
        weights /= days
    return weights


def worst_first(losses: Float, *, ranks: int) -> Float:
    """(A, K) the worst losses of each row (A, T), sorted."""
    days = losses.shape[1]
    if ranks < days:
        losses = np.partition(losses, days - ranks, axis=1)[:, days - ranks :]
    worst: Float = np.sort(losses, axis=1)[:, ::-1]
    return worst


def measured(worst: Float, *, weights: Float) -> Float:
    """(A,) the weighted sum of the worst losses, in their order.

    It lies between the losses that it is made of; rounding is not let past them, so that the mean
    of a tail is never below the loss at its border.

    Args:
        worst: (A, at least K) the worst losses first.
        weights: (1 or A, K) their weights, which add up to 1.
    """
    counts = weights > 0
    first = counts.argmax(axis=1)
    last = counts.shape[1] - 1 - counts[:, ::-1].argmax(axis=1)
    rows = np.arange(len(worst))
    mean = in_order(worst[:, : weights.shape[1]] * weights)
    bounded: Float = np.clip(mean, worst[rows, last], worst[rows, first])
    return bounded


def aged_weights(count: int, *, decay: float) -> Float:
    """(T,) weights of days, the oldest first, each `decay` times that of the next; sum 1.

    Source:
        Boudoukh, Richardson and Whitelaw (1998), "The best of both worlds".
    """
    weights = decay ** np.arange(count - 1, -1, -1.0)
    normal: Float = weights / weights.sum()
    return normal


def aged_quantile(ordered: Float, *, confidence: float) -> Index:
    """(A,) the rank at which the days of the tail weigh 1 - confidence.

    Args:
        ordered: (A, T) weights of the days, the day of the worst loss first.
    """
    reached = np.round(np.cumsum(ordered, axis=1), PLACES) >= round(1 - confidence, PLACES)
    reached[:, -1] = True  # all days together, whatever rounding made of their weights
    rank: Index = reached.argmax(axis=1)
    return rank


def aged_tail(ordered: Float, *, confidence: float) -> Float:
    """(A, T) weights that make expected shortfall of days that weigh differently.

    Args:
        ordered: (A, T) weights of the days, the day of the worst loss first.
    """
    before = np.cumsum(ordered, axis=1) - ordered
    weights: Float = np.clip((1 - confidence) - before, 0.0, ordered) / (1 - confidence)
    return weights
