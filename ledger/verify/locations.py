"""Locations may be used as their letters and closings say."""

from django.db.backends.utils import CursorWrapper

from accounts.checks import Check, Query

USE = Query(
    "locations_are_used_as_their_letters_say",
    "ledger_locationuse",
    """
    SELECT 'ledger_locationuse', coalesce(u.location_id, l.id)::text,
           format('its letters and its closing say %%s to %%s, closed from %%s',
                  w.usable_from, w.usable_until, w.closed_from)
    FROM ledger_locationuse u FULL JOIN ledger_location l ON l.id = u.location_id
    LEFT JOIN LATERAL ledger.location_window(l.id) w ON true
    WHERE (u.location_id, u.usable_from, u.usable_until, u.closed_from)
        IS DISTINCT FROM (w.location_id, w.usable_from, w.usable_until, w.closed_from)
    """,
)


def check_locations(cursor: CursorWrapper) -> list[Check]:
    """When value may come to a location follows from what is on file."""
    return [USE.run(cursor, {})]
