"""Margin rates that follow volatility and liquidity, but not at its pace.

From closes to a rate: an estimate of how much the price moves until positions are closed, one or
more of the three protections against procyclicality, then floor, cap and the most a rate may rise
or fall in a day. Rates are exact decimals; only `margin.engine.volatility` rounds on the way.

Source:
    Commission Delegated Regulation (EU) No 153/2013 (EMIR), article 28(1): (a) a buffer of at
    least 25 %, which may be used up while requirements rise; (b) at least 25 % weight to stressed
    observations; (c) no less than what ten years of volatility ask for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from itertools import pairwise
from typing import Final, NamedTuple

from margin.engine.exact import ONE, ZERO, exact, round_down, round_up
from margin.engine.parameters import check_parameters, parameter
from margin.engine.rejected import RejectedInputError
from margin.engine.volatility import (
    FIGURES,
    Estimator,
    daily_volatility,
    greatest_volatility,
    horizon_move,
    log_returns,
)

RATE_DECIMALS: Final = 6
LEAST_BUFFER: Final = 0.25  # article 28(1)(a)
LEAST_WEIGHT: Final = 0.25  # article 28(1)(b)
TEN_YEARS: Final = 2_500  # of trading days


@dataclass(frozen=True, slots=True)
class DynamicPolicy:
    """How the rates of an instrument follow its market, as two people set it.

    Raises:
        RejectedInputError: a value out of its bounds, or no protection at all.
    """

    estimator: Estimator = parameter("How volatility is made of daily returns")
    decay: float = parameter("Weight of a day as a share of the next one's", unit="share", most=1.0)
    lookback_days: int = parameter("Newest returns used", unit="days", least=2, most=1_250)
    multiple: float = parameter("Standard deviations covered", unit="multiple", least=0.1, most=20)
    horizon_days: int = parameter("Days until positions are closed", unit="days", least=1, most=60)
    daily_volume: float = parameter(
        "Traded in the market a day; 0 where unknown", unit="contracts", least=0.0
    )
    participation: float = parameter(
        "Share of it that one may close without moving it", unit="share", least=0.001, most=1.0
    )
    buffer: float = parameter("Buffer that may be used up; 0 for none", unit="share", least=0.0)
    rising_days: int = parameter(
        "Volatility rises if it is above that of so many days ago", unit="days", least=1, most=60
    )
    stress_weight: float = parameter(
        "Weight of the stressed stretch; 0 for none", unit="share", least=0.0, most=1.0
    )
    long_days: int = parameter(
        "Returns whose volatility is a floor; 0 for none", unit="days", least=0, most=10_000
    )
    floor: float = parameter("Initial rate never below", unit="share", least=0.0, most=1.0)
    cap: float = parameter("Initial rate never above", unit="share", least=0.0, most=1.0)
    rise_most: float = parameter("Most a rate rises in a day", unit="share of it", least=0.0)
    fall_most: float = parameter("Most it falls", unit="share of it", least=0.0, most=1.0)
    notice_days: int = parameter("Business days of notice", unit="days", least=0, most=60)

    def __post_init__(self) -> None:
        check_parameters(self)
        if not self.floor <= self.cap or not self.cap:
            raise RejectedInputError("floor: above the cap, or both are 0")
        if 0 < self.buffer < LEAST_BUFFER or 0 < self.stress_weight < LEAST_WEIGHT:
            raise RejectedInputError("buffer, stress_weight: 0, or at least a quarter")
        if 0 < self.long_days < TEN_YEARS:
            raise RejectedInputError(f"long_days: 0, or ten years, which are {TEN_YEARS} days")
        if not (self.buffer or self.stress_weight or self.long_days):
            raise RejectedInputError("buffer: one of the three protections is needed")
        if (self.estimator is Estimator.EWMA) != (0 < self.decay < 1):
            raise RejectedInputError("decay: between 0 and 1 for ewma, 0 for sample")

    @property
    def closes_wanted(self) -> int:
        """How many closes it looks back on at most."""
        return max(TEN_YEARS, self.long_days, self.lookback_days + self.rising_days) + 1


@dataclass(frozen=True, slots=True)
class Estimate:
    """What closes say; daily volatilities at 34 digits.

    Attributes:
        sigma: of the newest days; `before`: the same some days ago.
        stressed: the greatest of any stretch as long; None where it has no weight.
        long: of the ten years; None where it is no floor.
        days_known: returns there are; `long_known`: of them used for `long`.
    """

    sigma: Decimal
    before: Decimal
    stressed: Decimal | None
    long: Decimal | None
    days_known: int
    long_known: int

    @property
    def is_rising(self) -> bool:
        return self.sigma > self.before


class Step(NamedTuple):
    """A day's step of a rate, with what led to it.

    Attributes:
        used: volatility after weight and floor.
        days: horizon, or what it takes to close the largest position, if that is more.
        target: what it asks for, rounded up.
        wished: after the buffer, within floor and cap.
        rate: after the most a rate may move in a day.
    """

    used: Decimal
    days: int
    target: Decimal
    wished: Decimal
    rate: Decimal


Bracket = tuple[Decimal, Decimal, Decimal]


def estimate(closes: Sequence[Decimal], *, policy: DynamicPolicy) -> Estimate:
    """What the closes say of volatility.

    Args:
        closes: the oldest first.

    Raises:
        RejectedInputError: there are fewer than the policy looks back on.
    """
    returns = log_returns(closes)
    wanted = policy.lookback_days + policy.rising_days
    if len(returns) < wanted:
        raise RejectedInputError(f"{len(closes)} closes are known, {wanted + 1} are looked back on")
    how, decay = policy.estimator, number(policy.decay)
    newest = returns[-policy.lookback_days :]
    earlier = returns[-wanted : -policy.rising_days]
    long = returns[-policy.long_days :] if policy.long_days else []
    return Estimate(
        sigma=daily_volatility(newest, estimator=how, decay=decay),
        before=daily_volatility(earlier, estimator=how, decay=decay),
        stressed=greatest_volatility(returns, days=policy.lookback_days, estimator=how, decay=decay)
        if policy.stress_weight
        else None,
        long=daily_volatility(long, estimator=Estimator.SAMPLE) if long else None,
        days_known=len(returns),
        long_known=len(long),
    )


def stepped(
    said: Estimate, *, policy: DynamicPolicy, rate: Decimal, largest: Decimal = ZERO
) -> Step:
    """The next day's initial rate.

    Args:
        rate: in force on the day before, above 0.
        largest: the largest position of the book, in contracts.
    """
    used, days = used_volatility(said, policy=policy), closing_days(largest, policy=policy)
    move = horizon_move(used, multiple=number(policy.multiple), days=Decimal(days))
    target = round_up(move, RATE_DECIMALS)
    wished = within(
        buffered(target, rate=rate, is_rising=said.is_rising, buffer=number(policy.buffer)),
        policy=policy,
    )
    return Step(used, days, target, wished, bounded(wished, rate=rate, policy=policy))


def used_volatility(said: Estimate, *, policy: DynamicPolicy) -> Decimal:
    """The newest volatility with weight to the stressed one, never below that of ten years."""
    used = said.sigma
    if said.stressed is not None:
        weight = number(policy.stress_weight)
        used = FIGURES.add(
            FIGURES.multiply(ONE - weight, said.sigma), FIGURES.multiply(weight, said.stressed)
        )
    return used if said.long is None else max(used, said.long)


def closing_days(largest: Decimal, *, policy: DynamicPolicy) -> int:
    """Days until positions are closed: more where the largest is much of what is traded."""
    volume = number(policy.daily_volume) * number(policy.participation)
    if not volume:
        return policy.horizon_days
    days = FIGURES.divide(largest, volume).to_integral_value(rounding=ROUND_CEILING)
    return max(policy.horizon_days, int(days))


def buffered(target: Decimal, *, rate: Decimal, is_rising: bool, buffer: Decimal) -> Decimal:
    """The target with its buffer; while volatility rises the rate stays and the buffer is used up.

    Source:
        Article 28(1)(a): the buffer may be temporarily exhausted while calculated requirements
        are rising significantly.
    """
    with exact():
        whole = target * (ONE + buffer)
        return max(target, min(rate, whole)) if is_rising else whole


def within(rate: Decimal, *, policy: DynamicPolicy) -> Decimal:
    """The rate within floor and cap."""
    return min(max(rate, number(policy.floor)), number(policy.cap))


def bounded(wished: Decimal, *, rate: Decimal, policy: DynamicPolicy) -> Decimal:
    """The rate after a day: as wished, up to the most it may rise or fall.

    Where the rate in force lies outside floor and cap it comes back at the same pace.
    """
    with exact():
        most = round_down(rate * (ONE + number(policy.rise_most)), RATE_DECIMALS)
        least = round_up(rate * (ONE - number(policy.fall_most)), RATE_DECIMALS)
    wished = round_up(wished, RATE_DECIMALS)
    if wished >= rate:
        return max(rate, min(wished, most))
    return min(rate, max(wished, least))


def scaled(brackets: Sequence[Bracket], *, rate: Decimal) -> list[Bracket]:
    """All rates of a schedule moved as the first initial rate moves to `rate`; floors stay.

    A rate is rounded up where rates fall and down where they rise, so that none moves more than
    the first; none is above 1, and maintenance stays no more than initial.
    """
    first = brackets[0][1]
    if rate == first:
        return list(brackets)
    rounded = round_down if rate > first else round_up

    def moved(value: Decimal) -> Decimal:
        with exact():
            product = value * rate
        after = min(ONE, rounded(FIGURES.divide(product, first), RATE_DECIMALS))
        return max(value, after) if rate > first else min(value, after)

    return [(floor, moved(initial), moved(maintenance)) for floor, initial, maintenance in brackets]


def number(value: float) -> Decimal:
    """A declared number as the decimal that it was typed as."""
    return Decimal(repr(value))


# ---------------------------------------------------------------- how procyclical rates are


def peak_to_trough(rates: Sequence[Decimal]) -> Decimal:
    """The greatest rate over the smallest of a period, to four decimals.

    Source:
        Murphy, Vasios and Vause (2014), "An investigation into the procyclicality of risk-based
        initial margin models", Bank of England Financial Stability Paper 29.
    """
    return round_up(FIGURES.divide(max(rates), min(rates)), 4)


def greatest_rise(rates: Sequence[Decimal], *, days: int) -> Decimal:
    """The most that a rate rose over so many days, as a share of it; 0 where it never did.

    Source:
        As above: the n-day procyclicality measure.
    """
    found = [
        FIGURES.subtract(FIGURES.divide(after, before), ONE)
        for before, after in zip(rates, rates[days:], strict=False)
    ]
    return round_up(max([ZERO, *found]), 4)


def steps_of(rates: Sequence[Decimal]) -> int:
    """How often a rate changed."""
    return sum(before != after for before, after in pairwise(rates))
