"""Backtests: the tables of the literature, figures by hand, and a forecast that is too low."""

import csv
from dataclasses import replace
from itertools import pairwise
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from margin.engine.backtest import (
    Zone,
    backtest,
    christoffersen,
    kupiec,
    traffic_light,
    walk_forward,
)
from margin.engine.history import Filtering
from margin.engine.market import Market
from margin.engine.model import Model, Prepared
from margin.engine.models.value_at_risk import VALUE_AT_RISK
from margin.engine.models.value_at_risk_parameters import Combination
from margin.engine.rejected import RejectedInputError
from tests.margin.engine.coin_markets import coin_market, holdings

CRITICAL = 3.841458820694124  # chi-square, one degree of freedom, at 95 %


@pytest.mark.parametrize(
    ("confidence", "days", "more_than", "less_than"),
    [
        (0.99, 255, None, 7),
        (0.99, 510, 1, 11),
        (0.99, 1000, 4, 17),
        (0.975, 255, 2, 12),
        (0.975, 510, 6, 21),
        (0.975, 1000, 15, 36),
        (0.95, 255, 6, 21),
        (0.95, 510, 16, 36),
        (0.95, 1000, 37, 65),
        (0.90, 255, 16, 36),
        (0.90, 510, 38, 65),
        (0.90, 1000, 81, 120),
    ],
)
def test_the_table_of_kupiec(
    confidence: float, days: int, more_than: int | None, less_than: int
) -> None:
    """Exceptions at which the forecast is not rejected; the table leaves out the least at 99 %."""
    statistics = kupiec(days, exceptions=np.arange(days + 1), confidence=confidence).statistic
    kept = np.flatnonzero(statistics < CRITICAL)
    assert kept[-1] == less_than - 1
    assert kept[0] == (1 if more_than is None else more_than + 1)
    assert (np.diff(kept) == 1).all()


def test_a_published_failure_rate() -> None:
    """Jorion, "Value at Risk": 20 exceptions in 252 days at 95 % give 3.91."""
    found = kupiec(252, exceptions=20, confidence=0.95)
    assert round(float(found.statistic), 2) == 3.91
    assert float(found.p_value) == pytest.approx(0.0479, abs=1e-4)


def test_no_exception_and_all_of_them_by_hand() -> None:
    none, every = kupiec(100, exceptions=[0, 100], confidence=0.99).statistic
    assert none == pytest.approx(-200 * log(0.99))
    assert every == pytest.approx(-200 * log(0.01))
    assert float(kupiec(100, exceptions=1, confidence=0.99).statistic) == pytest.approx(
        0, abs=1e-12
    )


def test_the_zones_of_the_committee() -> None:
    """250 days at 99 %: green up to 4, yellow from 5 to 9, red from 10."""
    zones = traffic_light(250, exceptions=np.arange(12), confidence=0.99)
    expected = [Zone.GREEN] * 5 + [Zone.YELLOW] * 5 + [Zone.RED] * 2
    assert zones.tolist() == expected


@pytest.mark.parametrize(
    ("days", "confidence", "yellow", "red"), [(500, 0.99, 9, 15), (1000, 0.99, 15, 24)]
)
def test_zones_of_other_lengths(days: int, confidence: float, yellow: int, red: int) -> None:
    zones = traffic_light(days, exceptions=np.arange(days), confidence=confidence).tolist()
    assert (zones.index(Zone.YELLOW), zones.index(Zone.RED)) == (yellow, red)


def test_independence_by_hand() -> None:
    """0 0 1 1 0 0 0 1 0: three of five days stay calm, one of three exceptions is followed by one.

    Eight pairs: calm-calm 3, calm-hit 2, hit-calm 2, hit-hit 1.
    """
    found = christoffersen([0, 0, 1, 1, 0, 0, 0, 1, 0])
    apart = 3 * log(3 / 5) + 2 * log(2 / 5) + 2 * log(2 / 3) + log(1 / 3)
    one = 5 * log(5 / 8) + 3 * log(3 / 8)
    assert float(found.statistic) == pytest.approx(2 * (apart - one), rel=1e-12)


def test_exceptions_one_after_another_are_not_independent() -> None:
    hits = np.zeros((250, 2), dtype=bool)
    hits[100:105, 0] = True
    hits[::50, 1] = True
    together, spread = christoffersen(hits).p_value
    assert together < 1e-6
    assert spread > 0.5


def test_no_exceptions_are_independent() -> None:
    assert float(christoffersen(np.zeros(20)).statistic) == 0.0


@given(arrays(np.bool_, (30, 3)), st.sampled_from([0.5, 0.9, 0.99]))
def test_many_series_are_the_same_as_one_at_a_time(hits: np.ndarray, confidence: float) -> None:
    forecasts, losses = np.ones(hits.shape), np.where(hits, 2.0, 1.0)
    together = backtest(forecasts, losses, confidence=confidence)
    assert together.exceptions.tolist() == hits.sum(axis=0).tolist()
    for place in range(3):
        alone = backtest(forecasts[:, place], losses[:, place], confidence=confidence)
        assert alone.coverage.statistic == together.coverage.statistic[place]
        assert alone.independence.statistic == together.independence.statistic[place]
        assert alone.both.p_value == together.both.p_value[place]
        assert alone.zones == together.zones[place]
        slow = _slow_independence(hits[:, place].tolist())
        assert float(alone.independence.statistic) == pytest.approx(slow, abs=1e-9)


def _slow_independence(hits: list[bool]) -> float:
    counts = {(one, other): 0 for one in (False, True) for other in (False, True)}
    for one, other in pairwise(hits):
        counts[one, other] += 1
    apart = 0.0
    for before in (False, True):
        days = counts[before, False] + counts[before, True]
        for after in (False, True):
            if counts[before, after]:
                apart += counts[before, after] * log(counts[before, after] / days)
    one_rate = 0.0
    for after in (False, True):
        count = counts[False, after] + counts[True, after]
        if count:
            one_rate += count * log(count / (len(hits) - 1))
    return 2 * (apart - one_rate)


MODEL: Model[Any] = VALUE_AT_RISK
DAILY = replace(
    VALUE_AT_RISK.standard,
    history=replace(VALUE_AT_RISK.standard.history, horizon_days=1, filtering=Filtering.NONE),
    stress=replace(VALUE_AT_RISK.standard.stress, combination=Combination.NONE),
)


def forecaster(**changes: Any) -> Any:
    def prepare(market: Market) -> Prepared:
        return MODEL.prepare(market, replace(DAILY, **changes))

    return prepare


def test_a_forecast_sees_nothing_of_its_own_day() -> None:
    """Ten quiet days and then a fall: what was forecast for it is the worst of the quiet ones."""
    history = replace(DAILY.history, lookback_days=10)
    market = coin_market([*[-0.01] * 10, -0.5, -0.02], prices=[100.0])
    walk = walk_forward(forecaster(history=history), market, holdings([1.0], [-1.0]), days=2)
    np.testing.assert_allclose(walk.forecasts, [[1.0, 0.0], [50.0, 0.0]], rtol=1e-12)
    np.testing.assert_allclose(walk.losses, [[50.0, -50.0], [2.0, -2.0]], rtol=1e-12)
    one = walk_forward(forecaster(history=history), market, holdings([1.0]), days=1, horizon_days=2)
    np.testing.assert_allclose(one.losses, [[51.0]], rtol=1e-12)


def test_a_right_forecast_passes_and_one_that_is_too_low_is_red() -> None:
    draw = np.random.Generator(np.random.PCG64(1))
    market = coin_market(draw.normal(0, 0.02, (750, 1)), prices=[100.0])
    books = holdings([1.0], [-1.0])
    walk = walk_forward(forecaster(), market, books, days=500)
    right = backtest(walk.forecasts, walk.losses, confidence=0.99)
    assert right.zones.tolist() == [Zone.GREEN, Zone.GREEN]
    assert (right.coverage.p_value > 0.05).all()
    walk = walk_forward(forecaster(multiplier=0.5), market, books, days=500)
    low = backtest(walk.forecasts, walk.losses, confidence=0.99)
    assert low.zones.tolist() == [Zone.RED, Zone.RED]
    assert (low.coverage.p_value < 1e-6).all()


def test_scaling_to_volatility_survives_2008(shared_dir: Path) -> None:
    """SPY, 250 days to June 2009: 14 exceptions of days as seen are red, 4 once scaled green."""
    with (shared_dir / "market" / "closes.csv").open() as file:
        closes = [float(row["SPY"]) for row in csv.DictReader(file) if row["date"] < "2009-07-01"]
    returns = np.diff(closes) / closes[:-1]
    market = coin_market(returns[-750:, None], prices=[100.0])
    found = {}
    for filtering in Filtering:
        history = replace(DAILY.history, lookback_days=500, filtering=filtering)
        walk = walk_forward(forecaster(history=history), market, holdings([1.0]), days=250)
        tested = backtest(walk.forecasts, walk.losses, confidence=0.99)
        found[filtering] = (int(tested.exceptions[0]), Zone(tested.zones[0]))
    assert found == {Filtering.NONE: (14, Zone.RED), Filtering.VOLATILITY: (4, Zone.GREEN)}


@pytest.mark.parametrize(
    ("forecasts", "losses", "confidence"),
    [
        ([1.0], [1.0], 0.99),
        ([1.0, 2.0], [1.0, 2.0, 3.0], 0.99),
        ([1.0, np.nan], [1.0, 2.0], 0.99),
        ([1.0, 2.0], [1.0, 2.0], 1.0),
    ],
)
def test_what_cannot_be_tested_is_refused(
    forecasts: list[float], losses: list[float], confidence: float
) -> None:
    with pytest.raises(RejectedInputError):
        backtest(forecasts, losses, confidence=confidence)


def test_more_exceptions_than_days_and_walks_without_a_past_are_refused() -> None:
    with pytest.raises(RejectedInputError):
        kupiec(10, exceptions=11, confidence=0.99)
    market = coin_market([0.1, 0.2], prices=[100.0])
    with pytest.raises(RejectedInputError):
        walk_forward(forecaster(), market, holdings([1.0]), days=2)
