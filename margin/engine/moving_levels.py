"""How far the levels of an agreement stand above what it says: by session and by volatility.

Both are additions to every level of the ladder, times maintenance margin. The one is there while a
market is outside its session. The other follows the volatility of one asset, but not at its pace.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

from margin.engine.call_terms import CallRules
from margin.engine.exact import ZERO, exact, round_up
from margin.engine.trading_calendar import TradingCalendar
from margin.engine.volatility import FIGURES, Estimator, daily_volatility, log_returns

LEVEL_DECIMALS: Final = 4


class VolatilityStep(NamedTuple):
    """The addition of a day, with what led to it.

    Attributes:
        sigma: a day's volatility; None where the closes give none.
        target: what it asks for, up to the cap; None where `sigma` is.
        addition: after the most that it may move in a day.
    """

    sigma: Decimal | None
    target: Decimal | None
    addition: Decimal


def is_in_session(calendar: TradingCalendar, at: datetime) -> bool:
    """Whether a session is on; at the instant of its close it is over."""
    here = at.astimezone(calendar.zone).date()
    sessions = (calendar.session(here), calendar.session(here + timedelta(days=1)))
    return any(each is not None and each[0] <= at < each[1] for each in sessions)


def session_addition(rules: CallRules, *, is_open: bool) -> Decimal:
    """What the session adds: nothing while it is on."""
    return ZERO if is_open else rules.session_addition


def volatility_step(
    closes: Sequence[Decimal], *, rules: CallRules, before: Decimal
) -> VolatilityStep:
    """What volatility adds on a day: (volatility - normal) x factor, rounded up, within bounds.

    Args:
        closes: those before the day, the oldest first; the newest `volatility_days` returns count.
        before: what it added on the newest day before.

    Returns:
        As far towards the target as a day's step goes, never below 0. Where too few closes are
        known, or one is not above 0, it stays as it was.
    """
    counted = closes[-rules.volatility_days - 1 :]
    if len(closes) <= rules.volatility_days or min(counted) <= ZERO:
        return VolatilityStep(None, None, before)
    sigma = daily_volatility(log_returns(counted), estimator=Estimator.SAMPLE)
    above = max(ZERO, FIGURES.subtract(sigma, rules.volatility_normal))
    wished = round_up(FIGURES.multiply(above, rules.volatility_factor), LEVEL_DECIMALS)
    target = min(wished, rules.volatility_cap)
    with exact():
        least, most = before - rules.volatility_step, before + rules.volatility_step
    return VolatilityStep(sigma, target, max(ZERO, least, min(most, target)))
