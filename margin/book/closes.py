"""The last mark of every asset on every day, as models look back on them."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Final, NamedTuple, overload

import numpy as np
from django.db import connection

from margin.engine.given import Float
from margin.engine.past import Past

# So many days of closes are read for models that look back; five years of trading days.
CLOSES_DAYS_MAX: Final = 1_300


class Close(NamedTuple):
    """The last mark of an asset on a day."""

    asset_id: int
    day: date
    price: Decimal


class Closes(Sequence[Close]):
    """Closes by asset and day. They never change, so what was made of them is kept with them."""

    def __init__(self, rows: Iterable[Close] = ()) -> None:
        self._rows = tuple(rows)
        self._returns: dict[tuple[int, ...], Float] = {}
        self._pasts: dict[tuple[int, ...], Past] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Close]:
        return iter(self._rows)

    @overload
    def __getitem__(self, place: int) -> Close: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Close, ...]: ...
    def __getitem__(self, place: int | slice) -> Close | tuple[Close, ...]:
        return self._rows[place]

    def past(self, assets: Sequence[int]) -> Past:
        """Closes of some assets on the days on which any of them has one."""
        wanted = tuple(assets)
        if wanted not in self._pasts:
            self._pasts[wanted] = _past(self._rows, wanted)
        return self._pasts[wanted]

    def returns(self, underlyings: Sequence[int]) -> Float:
        """(T, U) simple returns between following days on which every underlying has a close.

        What runs of before looked back on. An underlying without any close of its own does not
        move.
        """
        wanted = tuple(underlyings)
        if wanted not in self._returns:
            made = _returns(self._rows, wanted)
            made.flags.writeable = False
            self._returns[wanted] = made
        return self._returns[wanted]


def _past(closes: Iterable[Close], assets: Sequence[int]) -> Past:
    column = {pk: n for n, pk in enumerate(assets)}
    known = [each for each in closes if each.asset_id in column]
    days = sorted({each.day for each in known})
    row = {day: n for n, day in enumerate(days)}
    table = np.full((len(days), len(assets)), np.nan)
    for asset_id, day, price in known:
        table[row[day], column[asset_id]] = float(price)
    table.flags.writeable = False
    return Past(tuple(day.isoformat() for day in days), table)


def _returns(closes: Iterable[Close], underlyings: Sequence[int]) -> Float:
    by_day: dict[date, dict[int, float]] = defaultdict(dict)
    asked = set(underlyings)
    for asset_id, day, price in closes:
        if asset_id in asked:
            by_day[day][asset_id] = float(price)
    known = {asset_id for prices in by_day.values() for asset_id in prices}
    whole = [by_day[day] for day in sorted(by_day) if known <= by_day[day].keys()]
    table = np.array(
        [[prices.get(pk, 1.0) for pk in underlyings] for prices in whole], dtype=np.float64
    ).reshape(len(whole), len(underlyings))
    returns: Float = table[1:] / table[:-1] - 1.0
    return returns


# The last mark of every asset and day; in a run only what its horizon knew. Of marks at instants
# inside days only those of the instant that is asked about.
CLOSES = """
    SELECT DISTINCT ON (m.asset_id, m.business_day) m.asset_id, m.business_day, m.price
    FROM margin_mark m
    WHERE m.as_of <= %(as_of)s AND (m.as_of = %(as_of)s OR NOT EXISTS (
        SELECT FROM margin_pricefile f WHERE f.as_of = m.as_of))
      AND m.business_day > (
        SELECT coalesce(min(d.business_day), '-infinity'::date) - 1 FROM (
            SELECT DISTINCT c.business_day FROM margin_mark c
            WHERE c.as_of <= %(as_of)s AND (c.as_of = %(as_of)s OR NOT EXISTS (
                SELECT FROM margin_pricefile f WHERE f.as_of = c.as_of))
            ORDER BY 1 DESC LIMIT %(days)s) d)
      AND (%(horizon)s::bigint IS NULL OR pg_visible_in_snapshot(m.xid, (
          SELECT h.snapshot FROM ledger_horizon h WHERE h.id = %(horizon)s)))
    ORDER BY m.asset_id, m.business_day, m.as_of DESC, m.revision DESC
"""


def closes_until(as_of: datetime, *, horizon_id: int | None = None) -> Closes:
    """The last mark of every asset and day up to an instant; as a horizon knew them, or as now."""
    with connection.cursor() as cursor:
        cursor.execute(CLOSES, {"horizon": horizon_id, "as_of": as_of, "days": CLOSES_DAYS_MAX})
        return Closes(Close(*row) for row in cursor.fetchall())
