"""The period of a client's statement: a day or a month of business dates."""

import calendar
import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

MONTH: Final = re.compile(r"(\d{4})-(\d{2})", re.ASCII)
DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
FIRST_YEAR: Final = 1971
LAST_YEAR: Final = 2199


class StatementRefusedError(Exception):
    """A statement cannot be written; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class Period:
    """A day or a month; `code` is how it is written: 2031-03-04 or 2031-03."""

    code: str
    first: date
    last: date

    @property
    def is_month(self) -> bool:
        return len(self.code) == len("2031-03")

    @property
    def before(self) -> "Period":
        """The period of the same kind that ends where this one begins."""
        ended = self.first - timedelta(days=1)
        return period_of(f"{ended:%Y-%m}" if self.is_month else ended.isoformat())

    @property
    def title(self) -> str:
        """As people say it: "March 2031" or "Tue 4 March 2031"."""
        if self.is_month:
            return f"{calendar.month_name[self.first.month]} {self.first.year}"
        weekday = calendar.day_abbr[self.first.weekday()]
        return f"{weekday} {self.first.day} {calendar.month_name[self.first.month]} {self.first:%Y}"


def period_of(code: str) -> Period:
    """The period of this code.

    Raises:
        StatementRefusedError: it is no day and no month of which the book keeps entries.
    """
    refused = StatementRefusedError(f"{code!r} is no period; one is 2031-03-04 or 2031-03.")
    try:
        if DAY.fullmatch(code):
            first = last = date.fromisoformat(code)
        elif found := MONTH.fullmatch(code):
            year, month = int(found[1]), int(found[2])
            first = date(year, month, 1)
            last = date(year, month, calendar.monthrange(year, month)[1])
        else:
            raise refused
    except (ValueError, calendar.IllegalMonthError) as error:
        raise refused from error
    if not FIRST_YEAR <= first.year <= LAST_YEAR:
        raise StatementRefusedError(f"The book keeps no entries of {code}.")
    return Period(code, first, last)
