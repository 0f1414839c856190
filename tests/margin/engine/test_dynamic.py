"""Rates that follow volatility: within floor and cap, no faster than their step, protected."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from margin.engine.dynamic import (
    DynamicPolicy,
    Estimate,
    bounded,
    buffered,
    closing_days,
    estimate,
    greatest_rise,
    peak_to_trough,
    scaled,
    stepped,
    steps_of,
    used_volatility,
)
from margin.engine.parameters import read_parameters, written_parameters
from margin.engine.rejected import RejectedInputError
from margin.engine.volatility import (
    Estimator,
    daily_volatility,
    greatest_volatility,
    log_returns,
)
from tests.margin.engine.firm import numbers

D = Decimal
POLICY = DynamicPolicy(
    estimator=Estimator.EWMA, decay=0.94, lookback_days=20, multiple=3.0, horizon_days=2,
    daily_volume=0.0, participation=0.1, buffer=0.25, rising_days=5, stress_weight=0.0,
    long_days=0, floor=0.02, cap=0.5, rise_most=0.05, fall_most=0.02, notice_days=2,
)  # fmt: skip
BRACKETS = [(D(0), D("0.1"), D("0.05")), (D(50_000), D("0.2"), D("0.1"))]


def series(seed: int = 31, *, calm: int = 60, wild: int = 40) -> list[Decimal]:
    """Closes whose volatility doubles from 1 % to 2 % a day."""
    drawn = np.random.default_rng(seed).standard_normal(calm + wild)
    moves = drawn * np.where(np.arange(calm + wild) < calm, 0.01, 0.02)
    return [D(repr(round(float(price), 4))) for price in 100 * np.exp(np.cumsum(moves))]


def path(closes: Sequence[Decimal], policy: DynamicPolicy, *, rate: Decimal) -> list[Decimal]:
    """The rate day after day, each from the one before."""
    rates = [rate]
    for day in range(policy.lookback_days + policy.rising_days + 1, len(closes) + 1):
        said = estimate(closes[:day], policy=policy)
        rates.append(stepped(said, policy=policy, rate=rates[-1]).rate)
    return rates


@pytest.mark.parametrize(
    "protection", [{"buffer": 0.25}, {"stress_weight": 0.25}, {"long_days": 2_500}], ids=str
)
def test_volatility_doubles_and_the_rate_rises_no_faster_than_its_step(
    protection: dict[str, float],
) -> None:
    policy = replace(POLICY, **({"buffer": 0.0} | protection))
    rates = path(series(), policy, rate=D("0.05"))
    assert all(after <= before * D("1.05") for before, after in pairwise(rates))
    assert all(after >= before * D("0.98") for before, after in pairwise(rates))
    assert max(rates[60:]) > rates[30] * D("1.2"), "it does follow"
    assert greatest_rise(rates, days=1) <= D("0.05")
    free = path(series(), replace(policy, rise_most=100.0, fall_most=1.0), rate=D("0.05"))
    assert greatest_rise(free, days=5) > greatest_rise(rates, days=5)


def test_estimates_are_those_of_plain_loops() -> None:
    closes = series()
    returns = [log(float(b) / float(a)) for a, b in pairwise(closes)]
    exactly = log_returns(closes)
    mean = sum(returns) / len(returns)
    sample = (sum((r - mean) ** 2 for r in returns) / (len(returns) - 1)) ** 0.5
    assert float(daily_volatility(exactly, estimator=Estimator.SAMPLE)) == pytest.approx(sample)
    weights = [0.94**age for age in reversed(range(len(returns)))]
    squares = sum(w * r * r for w, r in zip(weights, returns, strict=True))
    ewma = (squares / sum(weights)) ** 0.5
    said = daily_volatility(exactly, estimator=Estimator.EWMA, decay=D("0.94"))
    assert float(said) == pytest.approx(ewma)
    stressed = greatest_volatility(exactly, days=20, estimator=Estimator.SAMPLE)
    assert float(stressed) == pytest.approx(
        max(float(np.std(returns[k : k + 20], ddof=1)) for k in range(len(returns) - 19))
    )


def test_the_buffer_is_used_up_while_volatility_rises_and_comes_back_after() -> None:
    # A target of 0.10 with its buffer asks for 0.125.
    quarter = D("0.25")
    assert buffered(D("0.10"), rate=D("0.125"), is_rising=False, buffer=quarter) == D("0.125")
    assert buffered(D("0.12"), rate=D("0.125"), is_rising=True, buffer=quarter) == D("0.125")
    assert buffered(D("0.13"), rate=D("0.125"), is_rising=True, buffer=quarter) == D("0.13")
    assert buffered(D("0.13"), rate=D("0.13"), is_rising=False, buffer=quarter) == D("0.1625")


def test_stress_has_its_weight_and_ten_years_are_a_floor() -> None:
    said = Estimate(D("0.01"), D("0.01"), D("0.05"), None, 100, 0)
    assert used_volatility(said, policy=replace(POLICY, stress_weight=0.25)) == D("0.02")
    floor = Estimate(D("0.01"), D("0.01"), None, D("0.03"), 3000, 2500)
    assert used_volatility(floor, policy=replace(POLICY, long_days=2_500)) == D("0.03")


def test_a_position_too_large_for_the_market_takes_longer_to_close() -> None:
    thin = replace(POLICY, daily_volume=1000.0)
    assert closing_days(D(100), policy=thin) == 2
    assert closing_days(D(201), policy=thin) == 3
    assert closing_days(D(10**9), policy=POLICY) == 2
    said = Estimate(D("0.01"), D("0.02"), None, None, 50, 0)
    # Nine days to close: three times the root of nine times a hundredth.
    assert stepped(said, policy=thin, rate=D("0.05"), largest=D(900)).target == D("0.09")


def test_all_rates_of_a_schedule_move_as_the_first() -> None:
    assert scaled(BRACKETS, rate=D("0.105")) == [
        (D(0), D("0.105"), D("0.0525")), (D(50_000), D("0.21"), D("0.105")),
    ]  # fmt: skip
    assert scaled([(D(0), D("0.6"), D("0.3")), (D(9), D("0.9"), D("0.6"))], rate=D("0.72"))[1] == (
        D(9), D(1), D("0.72"),
    )  # fmt: skip


def test_how_procyclical_a_path_is() -> None:
    path_ = [D("0.10"), D("0.12"), D("0.12"), D("0.15"), D("0.09")]
    assert peak_to_trough(path_) == D("1.6667")
    assert [greatest_rise(path_, days=n) for n in (1, 3, 30)] == [D("0.25"), D("0.5"), D(0)]
    assert steps_of(path_) == 3


# ---------------------------------------------------------------- laws

rates_of = numbers("0.02", "0.5", 6)
wishes = numbers("0", "5", 6)


@given(rates_of, wishes)
def test_within_floor_and_cap_the_rate_stays_there_and_moves_a_step_at_most(
    rate: Decimal, target: Decimal
) -> None:
    said = Estimate(target / 3, D(0), None, None, 50, 0)
    after = stepped(said, policy=replace(POLICY, horizon_days=1), rate=rate).rate
    assert D("0.02") <= after <= D("0.5")
    assert rate * D("0.98") <= after <= rate * D("1.05")


@given(rates_of, wishes, wishes)
def test_a_greater_wish_never_gives_a_smaller_rate(
    rate: Decimal, one: Decimal, other: Decimal
) -> None:
    low, high = (bounded(wish, rate=rate, policy=POLICY) for wish in sorted((one, other)))
    assert low <= high


@given(st.booleans(), rates_of, wishes, wishes)
def test_the_buffer_never_asks_for_less_than_the_target_and_rises_with_it(
    is_rising: bool, rate: Decimal, one: Decimal, other: Decimal
) -> None:
    low, high = (
        buffered(target, rate=rate, is_rising=is_rising, buffer=D("0.25"))
        for target in sorted((one, other))
    )
    assert min(one, other) <= low <= high


@given(numbers("0.6", "3", 6))
def test_a_rate_outside_floor_and_cap_comes_back_at_the_same_pace(rate: Decimal) -> None:
    said = Estimate(D("0.1"), D(0), None, None, 50, 0)
    after = stepped(said, policy=POLICY, rate=rate).rate
    assert rate * D("0.98") <= after <= rate


@given(st.lists(numbers("0.01", "1", 6), min_size=2, max_size=4), numbers("0.5", "1.5", 4))
def test_no_rate_of_a_schedule_moves_more_than_the_first(
    rates: list[Decimal], factor: Decimal
) -> None:
    brackets = [(D(n), rate, rate / 2) for n, rate in enumerate(rates)]
    moved = scaled(brackets, rate=rates[0] * factor)
    for (_, was, maintained), (_, initial, maintenance) in zip(brackets, moved, strict=True):
        assert maintenance <= initial <= 1
        low, high = sorted((D(1), factor))
        assert was * low <= initial <= was * high
        assert maintained * low <= maintenance <= maintained * high


@pytest.mark.parametrize(
    "wrong",
    [
        {"buffer": 0.2}, {"buffer": 0.0}, {"stress_weight": 0.1}, {"long_days": 2_499},
        {"floor": 0.6}, {"decay": 0.0}, {"estimator": Estimator.SAMPLE}, {"rise_most": -0.1},
        {"cap": 1.1}, {"notice_days": -1}, {"lookback_days": 1}, {"multiple": float("nan")},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_policy_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(RejectedInputError):
        replace(POLICY, **wrong)  # type: ignore[arg-type]


def test_a_policy_reads_back_and_too_few_closes_are_said() -> None:
    assert read_parameters(DynamicPolicy, written_parameters(POLICY)) == POLICY
    with pytest.raises(RejectedInputError, match="25 closes are known, 26"):
        estimate(series()[:25], policy=POLICY)
    with pytest.raises(RejectedInputError, match="above 0"):
        estimate([D(0), *series()], policy=POLICY)
