"""How calls are counted and timed under an agreement: the terms, due times, parts of a call.

Everything here is a pure function of its arguments. The rules of the house are what stands where
an agreement says nothing: up to the cent, due after the agreement's own period, nothing netted,
and no call expires before a person says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from margin.engine.exact import ZERO, exact
from margin.engine.holidays import exchange_holidays
from margin.engine.rejected import RejectedInputError

CENT: Final = Decimal("0.01")
SATURDAY: Final = 5
DAYS_MOST: Final = 60
HOURS_MOST: Final = 24 * 60
# More than so many times maintenance margin no level moves.
ADDITION_MOST: Final = 10
RETURNS_LEAST: Final = 2
HOLIDAYS: Final = ("none", "nyse")
FLAGS: Final = ("counts_in_transit", "nets_pending", "expires")
WHOLE: Final = ("due_days", "initial_days", "extension_days_max", "volatility_days")
TEXTS: Final = (
    "zone", "holidays", "due_at", "cut_off", "session_calendar", "volatility_asset",
)  # fmt: skip
OPTIONAL: Final = (
    "due_days", "extension_amount_max", "waiver_amount_max", "notice_level", "close_only_level",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CallRules:
    """The terms of the calls of an agreement.

    Attributes:
        zone: time zone of `due_at` and `cut_off`, and of business days.
        holidays: whose holidays are no business days, besides weekends: "none" or "nyse".
        due_days: business days after the day of the call; None: after the agreement's own period.
        due_at: time of that day, HH:MM.
        cut_off: a call made later on a day counts as made on the next business day; "" for never.
        initial_days: business days after the trade in which an initial call is due.
        initial_ignored_up_to: a deficiency up to here makes no initial call.
        rounding: calls are multiples of it, rounded up.
        counts_in_transit: whether collateral announced and on its way is not called again.
        nets_pending: whether what another open call of the scope asks for is not called again.
        expires: whether the clock lets unpaid calls expire and escalates them.
        delivery_hours: a call that is not delivered for so long is undelivered.
        answer_hours: a call that is not answered for so long after delivery needs somebody.
        escalation_hours: an expired or undelivered call is escalated after so long.
        dispute_tolerance: differences up to here are no dispute.
        extension_days_max: most days that the desk may extend a call by.
        extension_amount_max, waiver_amount_max: most that it may extend or waive; None: by the
            limits of roles alone.
        notice_level, close_only_level: times maintenance margin, as the levels of the agreement.
        hysteresis: a level is restored only this far above where it fires.
        session_calendar: all levels are higher while this calendar is outside its session.
        session_addition: by so much.
        volatility_asset: all levels follow the volatility of this asset.
        volatility_days: out of so many of its newest daily returns.
        volatility_normal: a day's volatility up to here adds nothing.
        volatility_factor: what is above it, times this, is added.
        volatility_cap: no more than this is added.
        volatility_step: from day to day the addition moves no further.
    """

    zone: str = "UTC"
    holidays: str = "none"
    due_days: int | None = None
    due_at: str = "17:00"
    cut_off: str = ""
    initial_days: int = 3
    initial_ignored_up_to: Decimal = Decimal(1000)
    rounding: Decimal = CENT
    counts_in_transit: bool = False
    nets_pending: bool = False
    expires: bool = False
    delivery_hours: Decimal = Decimal(1)
    answer_hours: Decimal = Decimal(24)
    escalation_hours: Decimal = Decimal(1)
    dispute_tolerance: Decimal = ZERO
    extension_days_max: int = 5
    extension_amount_max: Decimal | None = None
    waiver_amount_max: Decimal | None = None
    notice_level: Decimal | None = None
    close_only_level: Decimal | None = None
    hysteresis: Decimal = ZERO
    session_calendar: str = ""
    session_addition: Decimal = ZERO
    volatility_asset: str = ""
    volatility_days: int = 20
    volatility_normal: Decimal = ZERO
    volatility_factor: Decimal = ZERO
    volatility_cap: Decimal = ZERO
    volatility_step: Decimal = ZERO

    @property
    def moves_levels(self) -> bool:
        """Whether the levels are not the same at all times."""
        return bool(self.session_calendar or self.volatility_asset)


HOUSE: Final = CallRules()


def read_rules(values: Mapping[str, Any]) -> CallRules:
    """The terms that JSON says; what is left out is as the house does it.

    Args:
        values: numbers as texts, days as whole numbers, flags as flags.

    Raises:
        RejectedInputError: naming the term that is unknown or out of its bounds.
    """
    known = {each.name for each in fields(CallRules)}
    for name in values:
        if name not in known:
            raise RejectedInputError(f"{name}: there is no such term")
    rules = CallRules(**{name: _value(name, value) for name, value in values.items()})
    _check(rules)
    return rules


def written_rules(rules: CallRules) -> dict[str, Any]:
    """Terms as JSON holds them."""
    found = {each.name: getattr(rules, each.name) for each in fields(CallRules)}
    return {
        name: format(value, "f") if isinstance(value, Decimal) else value
        for name, value in found.items()
    }


def _value(name: str, value: object) -> Any:  # noqa: ANN401 - whatever the term is
    if value is None and name in OPTIONAL:
        return None
    if name in FLAGS:
        if isinstance(value, bool):
            return value
    elif name in WHOLE:
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= DAYS_MOST:
            return value
    elif isinstance(value, str):
        return value if name in TEXTS else _number(name, value)
    raise RejectedInputError(f"{name}: {value!r} is not what it takes")


def _number(name: str, text: str) -> Decimal:
    try:
        found = Decimal(text)
    except InvalidOperation:
        raise RejectedInputError(f"{name}: {text!r} is no number") from None
    if not found.is_finite() or found < 0:
        raise RejectedInputError(f"{name}: {text!r} is no number from 0 on")
    return found


def _check(rules: CallRules) -> None:
    try:
        ZoneInfo(rules.zone)
    except (KeyError, OSError, ValueError) as error:
        raise RejectedInputError(f"zone: there is no time zone {rules.zone!r}") from error
    if rules.holidays not in HOLIDAYS:
        raise RejectedInputError(f"holidays: {rules.holidays!r} is none of {HOLIDAYS}")
    for name in ("due_at", "cut_off"):
        text = getattr(rules, name)
        if text or name == "due_at":
            _time(name, text)
    if not rules.rounding:
        raise RejectedInputError("rounding: it is above 0")
    for name in ("delivery_hours", "answer_hours", "escalation_hours"):
        if getattr(rules, name) > HOURS_MOST:
            raise RejectedInputError(f"{name}: at most {HOURS_MOST}")
    _check_moves(rules)


def _check_moves(rules: CallRules) -> None:
    """What moves levels is said whole, or not at all."""
    if bool(rules.session_calendar) != bool(rules.session_addition):
        raise RejectedInputError("session_addition: a calendar and an addition go together")
    for name in ("volatility_factor", "volatility_cap", "volatility_step"):
        if bool(rules.volatility_asset) != bool(getattr(rules, name)):
            raise RejectedInputError(f"{name}: asset, factor, cap and step go together")
    for name in ("session_addition", "volatility_cap"):
        if getattr(rules, name) > ADDITION_MOST:
            raise RejectedInputError(f"{name}: at most {ADDITION_MOST}")
    if rules.volatility_days < RETURNS_LEAST:
        raise RejectedInputError(f"volatility_days: at least {RETURNS_LEAST}")


def _time(name: str, text: str) -> time:
    try:
        found = time.fromisoformat(text)
    except ValueError as error:
        raise RejectedInputError(f"{name}: {text!r} is no time HH:MM") from error
    if len(text) != len("HH:MM"):
        raise RejectedInputError(f"{name}: {text!r} is no time HH:MM")
    return found


# ---------------------------------------------------------------- clocks


def is_business_day(day: date, rules: CallRules) -> bool:
    """Whether a day is one by the calendar of the terms."""
    is_kept = rules.holidays == "nyse" and day in exchange_holidays(day.year)
    return day.weekday() < SATURDAY and not is_kept


def business_days_after(day: date, count: int, *, rules: CallRules) -> date:
    """The business day that is `count` of them after a day; with 0 the day or the next one."""
    found = day
    while count or not is_business_day(found, rules):
        found += timedelta(days=1)
        if count and is_business_day(found, rules):
            count -= 1
    return found


def due_time(issued_at: datetime, rules: CallRules, *, otherwise: timedelta) -> datetime:
    """When a maintenance call, or an increment of one, is due.

    Args:
        issued_at: with its zone.
        otherwise: the agreement's own period, where the terms name no business days.

    Returns:
        In UTC. The local time of the due day counts, whatever clocks were changed in between.
    """
    if rules.due_days is None:
        return issued_at + otherwise
    here = issued_at.astimezone(ZoneInfo(rules.zone))
    day = here.date()
    if rules.cut_off and here.time() > _time("cut_off", rules.cut_off):
        day += timedelta(days=1)
    day = business_days_after(day, 0, rules=rules)
    return _due_on(business_days_after(day, rules.due_days, rules=rules), rules)


def initial_due_time(trade_day: date, rules: CallRules) -> datetime:
    """When an initial call for a trade is due.

    Source:
        12 CFR 220.4(c)(3): the payment period of 220.2, the standard settlement cycle and two
        business days; one and two since 28 May 2024.
    """
    return _due_on(business_days_after(trade_day, rules.initial_days, rules=rules), rules)


def _due_on(day: date, rules: CallRules) -> datetime:
    at = _time("due_at", rules.due_at)
    return datetime.combine(day, at, tzinfo=ZoneInfo(rules.zone)).astimezone(UTC)


# ---------------------------------------------------------------- amounts


def amount_to_call(
    missing: Decimal,
    rules: CallRules,
    *,
    minimum: Decimal,
    in_transit: Decimal = ZERO,
    pending: Decimal = ZERO,
) -> Decimal:
    """What a new call, or an increment, asks for.

    Args:
        missing: what restores the target, unrounded.
        minimum: the minimum transfer amount; what is below it is not called.
        in_transit: collateral announced and on its way.
        pending: what other open calls of the scope ask for already.

    Returns:
        A multiple of the rounding, at least what is missing after netting; 0 for no call.
    """
    with exact():
        net = missing
        if rules.counts_in_transit:
            net -= in_transit
        if rules.nets_pending:
            net -= pending
        if net <= 0:
            return ZERO
        called = (net / rules.rounding).to_integral_value(ROUND_CEILING) * rules.rounding
    return called if called >= minimum else ZERO


class Part(NamedTuple):
    """What is left of one part of a call; number 0 is the call as it was made."""

    number: int
    amount: Decimal
    due_at: datetime


def parts_left(amount: Decimal, parts: Sequence[Part]) -> list[Part]:
    """How what is still called divides among the parts; what came in pays the oldest first.

    Args:
        amount: still called.
        parts: as they were made, in their order.

    Returns:
        Those with something left, in their order; they add up to the amount. What no part covers
        (a call that was amended upwards) belongs to the first.
    """
    left, found = amount, []
    for part in reversed(parts):
        takes = left if part.number == 0 else min(part.amount, left)
        if takes > 0:
            found.append(part._replace(amount=takes))
            left -= takes
    return found[::-1]


def initial_call(deficiency: Decimal, rules: CallRules) -> Decimal:
    """What a deficiency of initial margin is called for; one up to the threshold is not."""
    if deficiency <= rules.initial_ignored_up_to:
        return ZERO
    with exact():
        return (deficiency / rules.rounding).to_integral_value(ROUND_CEILING) * rules.rounding


def to_cover(called: Decimal, deficiency: Decimal) -> Decimal:
    """What is liquidated for an unmet initial call: the lesser of it and what is missing then."""
    return min(called, max(deficiency, ZERO))


def sale_to_cover(amount: Decimal, rate: Decimal) -> Decimal:
    """Market value to sell so that an amount of initial margin at a rate is freed."""
    return amount / rate


def loan_value(cash: Decimal, securities: Decimal, rate: Decimal) -> Decimal:
    """What a deposit of cash and of fully paid securities counts for towards an initial call."""
    with exact():
        return cash + securities * (1 - rate)
