"""How times are written for people: in their zone with its label, UTC beside.

A person reads the desk's clock unless they chose another. Business days and what is agreed by
the day follow the desk's clock (`desk_zone`), whoever looks.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, date, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.conf import settings

# What a person may choose to read times in, beside the desk's own zone.
ZONES = (
    "UTC", "America/Chicago", "America/Los_Angeles", "America/New_York", "America/Sao_Paulo",
    "America/Toronto", "Asia/Dubai", "Asia/Hong_Kong", "Asia/Kolkata", "Asia/Seoul",
    "Asia/Shanghai", "Asia/Singapore", "Asia/Tokyo", "Australia/Sydney", "Europe/Amsterdam",
    "Europe/Berlin", "Europe/Dublin", "Europe/London", "Europe/Paris", "Europe/Zurich",
    "Pacific/Auckland",
)  # fmt: skip

_chosen: ContextVar[str] = ContextVar("chosen_zone", default="")

# The ways to write an instant. A table's header carries the label for its whole column.
INSTANT_FORMS = {
    "time": "{t:%H:%M:%S} {label}",
    "minute": "{t:%H:%M} {label}",
    "clock": "{t:%H:%M:%S}",
    "short": "{t.day} {t:%b} {t:%H:%M}",
    "second": "{t.day} {t:%b} {t:%H:%M:%S}",
    "full": "{t.day} {t:%b} {t.year} {t:%H:%M:%S} {label}",
}
DAY_FORMS = {
    "short": "{d.day} {d:%b}",
    "medium": "{d:%a} {d.day} {d:%b} {d.year}",
    "long": "{d:%A} {d.day} {d:%B} {d.year}",
}


class Distance(NamedTuple):
    """How far off a deadline is, in words, and whether it has passed."""

    text: str
    is_over: bool


def desk_zone() -> ZoneInfo:
    """The zone in which this desk reads its clock."""
    return ZoneInfo(settings.DESK_TIME_ZONE)


@contextmanager
def read_in(zone: str) -> Iterator[None]:
    """Write times in a zone for as long as this lasts; "" is the desk's."""
    before = _chosen.set(zone)
    try:
        yield
    finally:
        _chosen.reset(before)


def shown_zone() -> ZoneInfo:
    """The zone in which times are written for whoever reads now."""
    try:
        return ZoneInfo(_chosen.get() or settings.DESK_TIME_ZONE)
    except (ZoneInfoNotFoundError, ValueError):  # a name that this machine does not know
        return desk_zone()


def city(zone: str) -> str:
    """A zone as people call it: "New York"."""
    return zone.rpartition("/")[2].replace("_", " ")


def zone_label(instant: datetime) -> str:
    """The label of the shown zone at an instant: "EST", or "UTC+03" where it has no name."""
    label = instant.astimezone(shown_zone()).strftime("%Z")
    return f"UTC{label}" if label[:1] in "+-" else label


def shown_instant(instant: datetime, *, form: str) -> str:
    """An instant on the reader's clock, in one of `INSTANT_FORMS`."""
    local = instant.astimezone(shown_zone())
    return INSTANT_FORMS[form].format(t=local, label=zone_label(instant))


def shown_day(day: date, *, form: str) -> str:
    """A calendar day, in one of `DAY_FORMS`."""
    return DAY_FORMS[form].format(d=day)


def utc_stamp(instant: datetime) -> str:
    """An instant as exports and machines have it: "2018-02-06T21:00:00Z"."""
    universal = instant.astimezone(UTC)
    whole = universal.replace(microsecond=0, tzinfo=None).isoformat()
    return f"{whole}.{universal:%f}Z" if universal.microsecond else f"{whole}Z"


def utc_text(instant: datetime) -> str:
    """An instant in UTC for people: "2018-02-06 21:00:00 UTC"."""
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def distance(until: datetime, *, now: datetime) -> Distance:
    """How long until a deadline, or how long it is over: "54 min", "24 h 54", "4 d over".

    From two days on it counts calendar days of the reader, as people do.
    """
    is_over = until < now
    text = span(abs(until - now).total_seconds())
    if abs(until - now).total_seconds() >= 48 * 3600:
        days = until.astimezone(shown_zone()).date() - now.astimezone(shown_zone()).date()
        text = f"{abs(days.days):,} d"
    return Distance(f"{text} over" if is_over else text, is_over)


def span(seconds: float) -> str:
    """A length of time in its two largest units: "20 s", "54 min", "3 h 12", "4 d"."""
    minutes, rest = divmod(int(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02}"
    return f"{minutes // 1440:,} d"
