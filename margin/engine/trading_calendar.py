"""When a market trades: sessions in its own time zone, and how much trading time a price is old."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

from margin.engine.holidays import early_closes, exchange_holidays
from margin.engine.parameters import check_parameters, parameter
from margin.engine.rejected import RejectedInputError

MONDAY_TO_FRIDAY: Final = (0, 1, 2, 3, 4)
# A price of before so many days has no age worth counting: it is too old for anything.
DAYS_COUNTED_MOST: Final = 400
DAYS_AHEAD_MOST: Final = 30


class Holidays(StrEnum):
    """Whose holidays are kept."""

    NONE = "none"
    NYSE = "nyse"


@dataclass(frozen=True, slots=True)
class ShortDay:
    """A day on which a market closes at another time."""

    day: str = parameter("Day, YYYY-MM-DD")
    closes: str = parameter("When it closes, HH:MM in the market's zone")


@dataclass(frozen=True, slots=True)
class CalendarRules:
    """The hours of a market as people write them down; `calendar_of` makes them usable."""

    zone: str = parameter("Time zone, by its name in the IANA database")
    opens: str = parameter("When a session opens, HH:MM; not before the close: the evening before")
    closes: str = parameter("When it closes, HH:MM; opening and closing alike: all day")
    weekdays: tuple[int, ...] = parameter(
        "Days with a session, by the day it closes; Monday is 0", least=0, most=6
    )
    holidays: Holidays = parameter("Whose holidays and short days are kept")
    closed: tuple[str, ...] = parameter("Further days without a session, YYYY-MM-DD")
    short: tuple[ShortDay, ...] = parameter("Further days with another close")

    def __post_init__(self) -> None:
        check_parameters(self)
        calendar_of(self)


@dataclass(frozen=True, slots=True)
class TradingCalendar:
    """The sessions of one market.

    Attributes:
        zone: in which its hours are.
        opens, closes: of a session; it opens the evening before unless it closes after it opens.
        weekdays: of closing days, Monday is 0.
        closed: days without a session, holidays apart.
        short: days with another close, those of the holidays apart.
    """

    zone: ZoneInfo
    opens: time
    closes: time
    weekdays: frozenset[int]
    holidays: Holidays
    closed: frozenset[date]
    short: dict[date, time]

    def session(self, day: date) -> tuple[datetime, datetime] | None:
        """When the session that closes on a day opens and closes, in UTC; None without one."""
        is_kept = self.holidays is Holidays.NYSE
        if (
            day.weekday() not in self.weekdays
            or day in self.closed
            or (is_kept and day in exchange_holidays(day.year))
        ):
            return None
        closes = self.short.get(day) or (early_closes(day.year).get(day) if is_kept else None)
        begins = day if self.opens < self.closes else day - timedelta(days=1)
        return (
            datetime.combine(begins, self.opens, tzinfo=self.zone).astimezone(UTC),
            datetime.combine(day, closes or self.closes, tzinfo=self.zone).astimezone(UTC),
        )

    def is_open(self, at: datetime) -> bool:
        """Whether it trades at an instant; the close counts, since it has the closing price."""
        here = at.astimezone(self.zone).date()
        sessions = (self.session(here), self.session(here + timedelta(days=1)))
        return any(each is not None and each[0] <= at <= each[1] for each in sessions)

    def open_time(self, start: datetime, *, end: datetime) -> timedelta:
        """How long it traded between two instants; none where the end is not after the start.

        Of more than `DAYS_COUNTED_MOST` days only the newest are counted.
        """
        first = start.astimezone(self.zone).date()
        last = end.astimezone(self.zone).date() + timedelta(days=1)
        first = max(first, last - timedelta(days=DAYS_COUNTED_MOST))
        total, day = timedelta(0), first
        while day <= last:
            session = self.session(day)
            if session is not None:
                total += max(min(session[1], end) - max(session[0], start), timedelta(0))
            day += timedelta(days=1)
        return total

    def next_open(self, at: datetime) -> datetime | None:
        """The first instant from `at` on at which it trades; None within `DAYS_AHEAD_MOST` days."""
        here = at.astimezone(self.zone).date()
        for ahead in range(DAYS_AHEAD_MOST + 1):
            session = self.session(here + timedelta(days=ahead))
            if session is not None and session[1] > at:
                return max(session[0], at)
        return None


def calendar_of(rules: CalendarRules) -> TradingCalendar:
    """The calendar that rules describe.

    Raises:
        RejectedInputError: there is no such zone, or something is no time or no day.
    """
    try:
        zone = ZoneInfo(rules.zone)
    except (KeyError, OSError, ValueError) as error:
        raise RejectedInputError(f"zone: there is no time zone {rules.zone!r}") from error
    return TradingCalendar(
        zone=zone,
        opens=_time("opens", rules.opens),
        closes=_time("closes", rules.closes),
        weekdays=frozenset(rules.weekdays),
        holidays=rules.holidays,
        closed=frozenset(_day("closed", each) for each in rules.closed),
        short={_day("short", each.day): _time("short", each.closes) for each in rules.short},
    )


def _time(name: str, text: str) -> time:
    try:
        found = time.fromisoformat(text)
    except ValueError as error:
        raise RejectedInputError(f"{name}: {text!r} is no time HH:MM") from error
    if len(text) != len("HH:MM"):
        raise RejectedInputError(f"{name}: {text!r} is no time HH:MM")
    return found


def _day(name: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise RejectedInputError(f"{name}: {text!r} is no day YYYY-MM-DD") from error


def _rules(
    zone: str,
    opens: str,
    closes: str,
    *,
    weekdays: tuple[int, ...] = MONDAY_TO_FRIDAY,
    holidays: Holidays = Holidays.NONE,
) -> CalendarRules:
    return CalendarRules(zone, opens, closes, weekdays, holidays, (), ())


# What stands until two people say something else under the same name.
STANDARD_CALENDARS: Final = {
    "ALWAYS": _rules("UTC", "00:00", "00:00", weekdays=(0, 1, 2, 3, 4, 5, 6)),
    "FX": _rules("America/New_York", "17:00", "17:00"),
    "NYSE": _rules("America/New_York", "09:30", "16:00", holidays=Holidays.NYSE),
}
