"""Days on which the New York Stock Exchange does not trade, or closes early, by its own rules.

Source:
    NYSE Rule 7.2 (holidays, and when one on a weekend is kept) and the exchange's list of special
    closings. Short days follow the practice since 2013.
"""

from collections.abc import Mapping
from datetime import date, time, timedelta
from functools import cache
from types import MappingProxyType
from typing import Final

MONDAY, THURSDAY, FRIDAY, SATURDAY, SUNDAY = 0, 3, 4, 5, 6
EARLY: Final = time(13, 0)
KING_DAY_SINCE: Final = 1998
JUNETEENTH_SINCE: Final = 2022

# Mourning, storms and attacks: no rule gives these.
SPECIAL: Final = frozenset(
    {
        date(2001, 9, 11), date(2001, 9, 12), date(2001, 9, 13), date(2001, 9, 14),
        date(2004, 6, 11), date(2007, 1, 2), date(2012, 10, 29), date(2012, 10, 30),
        date(2018, 12, 5), date(2025, 1, 9),
    }
)  # fmt: skip


def easter(year: int) -> date:
    """Easter Sunday of the Gregorian calendar.

    Source:
        The anonymous algorithm in J. Meeus, "Astronomical Algorithms", chapter 8.
    """
    century, place = divmod(year, 100)
    golden = year % 19
    leaps, rest = divmod(century, 4)
    moon = (19 * golden + century - leaps - (century - (century + 8) // 25 + 1) // 3 + 15) % 30
    week = (32 + 2 * rest + 2 * (place // 4) - moon - place % 4) % 7
    late = (golden + 11 * moon + 22 * week) // 451
    month, day = divmod(moon + week - 7 * late + 114, 31)
    return date(year, month, day + 1)


@cache
def exchange_holidays(year: int) -> frozenset[date]:
    """Weekdays of a year without trading."""
    days = {
        _nth(year, 2, weekday=MONDAY, n=3),
        easter(year) - timedelta(days=2),
        _last(year, 5, weekday=MONDAY),
        _kept(date(year, 7, 4)),
        _nth(year, 9, weekday=MONDAY, n=1),
        _nth(year, 11, weekday=THURSDAY, n=4),
        _kept(date(year, 12, 25)),
    }
    # New Year's Day on a Saturday is not kept: the Friday before ends the accounts of a year.
    if date(year, 1, 1).weekday() != SATURDAY:
        days.add(_kept(date(year, 1, 1)))
    if year >= KING_DAY_SINCE:
        days.add(_nth(year, 1, weekday=MONDAY, n=3))
    if year >= JUNETEENTH_SINCE:
        days.add(_kept(date(year, 6, 19)))
    return frozenset(days | {each for each in SPECIAL if each.year == year})


@cache
def early_closes(year: int) -> Mapping[date, time]:
    """Days of a year that end at one o'clock."""
    days = [
        date(year, 7, 3),
        _nth(year, 11, weekday=THURSDAY, n=4) + timedelta(days=1),
        date(year, 12, 24),
    ]
    holidays = exchange_holidays(year)
    return MappingProxyType(
        {day: EARLY for day in days if day.weekday() <= FRIDAY and day not in holidays}
    )


def _kept(day: date) -> date:
    """The weekday on which a holiday is kept: Friday for a Saturday, Monday for a Sunday."""
    return day + timedelta(days={SATURDAY: -1, SUNDAY: 1}.get(day.weekday(), 0))


def _nth(year: int, month: int, *, weekday: int, n: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (n - 1))


def _last(year: int, month: int, *, weekday: int) -> date:
    last = date(year, month + 1, 1) - timedelta(days=1)
    return last - timedelta(days=(last.weekday() - weekday) % 7)
