"""Prices inside a day for tests: files in the columns of a day's prices, one name moved."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from accounts.audit import Actor
from brokerage.inbox.price_files import Taken, take_prices
from margin.day_runs import Memory, Remargined, remargin
from margin.market.marks import known_marks
from margin.models import MarginResult, MarginRun, Mark

DESK = Actor.command("test")
HEADER = "instrument,source,observed_at,price"
SOURCES = ("primary", "second", "third")
Row = tuple[str, str, str, str]


def after(minutes: int) -> datetime:
    """So long after the newest mark there is."""
    return Mark.objects.latest("as_of").as_of + timedelta(minutes=minutes)


def stamp(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def quotes(at: datetime, **times: str) -> list[Row]:
    """Every priced name by three sources as it was marked, those named moved by a factor."""
    return [
        (
            code,
            source,
            stamp(at),
            plain(mark.price * Decimal(times.get(code.replace("-", "_"), "1"))),
        )
        for code, mark in sorted(known_marks().items())
        for source in SOURCES
    ]


def plain(price: Decimal) -> str:
    """Every digit, no exponent."""
    return f"{price.normalize():f}"


def csv(rows: Iterable[Row]) -> bytes:
    return "\n".join([HEADER, *(",".join(row) for row in rows), ""]).encode()


def taken(as_of: datetime, rows: Iterable[Row]) -> Taken:
    return take_prices(csv(rows), name="prices.csv", actor=DESK, as_of=as_of)


def moved(as_of: datetime, **times: str) -> Taken:
    """Every name quoted, those named moved."""
    return taken(as_of, quotes(as_of, **times))


def run_here(memory: Memory | None = None) -> Remargined:
    return remargin(memory or Memory(), actor=DESK)


def said(run: MarginRun) -> Mapping[int, tuple[Any, ...]]:
    """What a run says, by scope."""
    rows = MarginResult.objects.filter(run=run).values_list(
        "scope", "equity", "initial_margin", "maintenance_margin", "state", "call_amount", "flags"
    )
    return {scope: (*rest, tuple(flags)) for scope, *rest, flags in rows}
