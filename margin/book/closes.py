"""The last mark of every asset on every day, as models look back on them."""

from datetime import date, datetime
from decimal import Decimal
from typing import Final, NamedTuple

from django.db import connection

# So many days of closes are read for models that look back; five years of trading days.
CLOSES_DAYS_MAX: Final = 1_300


class Close(NamedTuple):
    """The last mark of an asset on a day."""

    asset_id: int
    day: date
    price: Decimal


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


def closes_until(as_of: datetime, *, horizon_id: int | None = None) -> list[Close]:
    """The last mark of every asset and day up to an instant; as a horizon knew them, or as now."""
    with connection.cursor() as cursor:
        cursor.execute(CLOSES, {"horizon": horizon_id, "as_of": as_of, "days": CLOSES_DAYS_MAX})
        return [Close(*row) for row in cursor.fetchall()]
