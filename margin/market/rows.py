"""Market data beside prices: files in, rows as they came, and what is known of them at an instant.

One CSV file for all kinds; the inbox has no place for it, since a day's files are fixed, so it
comes by `manage.py load_market` or the API. A file is taken whole or refused whole.
"""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Final

from accounts.audit import Actor, acting
from accounts.bulk import copy_rows
from ledger.models import Asset, AssetKind
from ledger.statements.rows import MalformedFileError, Row, parse_number, parse_time, read_rows
from margin.engine.price_choice import quotient
from margin.known import known_at
from margin.models import MarketRow
from margin.models.market import BASE

Kind = MarketRow.Kind
HEADER: Final = (
    "kind", "source", "observed_at", "name", "expires_at", "strike", "tenor_days", "value", "bid",
    "ask",
)  # fmt: skip
# Which columns a kind has beside the first four; one of bid and ask is enough.
COLUMNS: Final[Mapping[str, frozenset[str]]] = {
    Kind.VOLATILITY: frozenset({"expires_at", "strike", "bid", "ask"}),
    Kind.RATE: frozenset({"tenor_days", "value"}),
    **dict.fromkeys(
        (Kind.VOLUME, Kind.OPEN_INTEREST, Kind.DEPTH, Kind.FUNDING, Kind.CONFIDENCE),
        frozenset({"value"}),
    ),
}
SIGNED: Final = frozenset({Kind.RATE, Kind.FUNDING})
SOURCE_LENGTH_MAX: Final = 60
DIGITS_MAX: Final = 60
# What was said longer ago says nothing of now.
KNOWN_FOR: Final = timedelta(days=5)
SAID_FOR: Final = timedelta(days=1)
USUAL_OVER: Final = timedelta(days=30)
SHARES_DECIMALS: Final = 8


class MarketFileRefusedError(Exception):
    """A file that cannot be taken: where it is wrong, and how; nothing was written."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What became of a file; a file that was taken before adds nothing."""

    rows: int
    added: int
    file_sha256: str


@dataclass(frozen=True, slots=True)
class Volumes:
    """Value traded on the day, and on an average day of the thirty before; None: not known."""

    today: Decimal | None
    usual: Decimal | None


def load_market(data: bytes, *, actor: Actor, request_id: str = "") -> Loaded:
    """Keep the rows of a file as they came, in an act of their own; again changes nothing.

    Raises:
        MarketFileRefusedError: a row is not what it should be; it names line and column.
    """
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        rows = list(read_rows(data, HEADER))
    except MalformedFileError as error:
        raise MarketFileRefusedError(f"{error}.") from error
    assets = {asset.code: asset for asset in Asset.objects.all()}
    read = [_market_row(row, assets, sha256) for row in rows]
    with acting(actor, reason=f"Market data of file {sha256[:8]}", request_id=request_id):
        if MarketRow.objects.filter(file_sha256=sha256).exists():
            return Loaded(len(read), 0, sha256)
        copy_rows(read)
    return Loaded(len(read), len(read), sha256)


def _market_row(row: Row, assets: Mapping[str, Asset], sha256: str) -> MarketRow:
    if len(row.fields) != len(HEADER):
        raise MarketFileRefusedError(f"line {row.line}: {len(HEADER)} columns are expected.")
    said = dict(zip(HEADER, row.fields, strict=True))

    def refuse(column: str, why: str) -> MarketFileRefusedError:
        return MarketFileRefusedError(f"line {row.line}, {column}: {why}.")

    kind = said["kind"]
    if kind not in COLUMNS:
        raise refuse("kind", f"{kind!r} is none of {', '.join(sorted(COLUMNS))}")
    if not said["source"] or len(said["source"]) > SOURCE_LENGTH_MAX:
        raise refuse("source", "a name of at most 60 characters is needed")
    asset = assets.get(said["name"])
    if asset is None or (kind == Kind.RATE) > (asset.kind == AssetKind.MONEY):
        raise refuse("name", f"{said['name']!r} is nothing that has a {kind}")
    observed_at = parse_time(said["observed_at"])
    if observed_at is None:
        raise refuse("observed_at", "no time YYYY-MM-DDTHH:MM:SSZ")
    for column in HEADER[4:]:
        is_side = column in ("bid", "ask")
        if said[column] and column not in COLUMNS[kind]:
            raise refuse(column, f"a {kind} has none")
        if not said[column] and column in COLUMNS[kind] and not is_side:
            raise refuse(column, f"a {kind} has one")
    expires_at = parse_time(said["expires_at"]) if said["expires_at"] else None
    if said["expires_at"] and (expires_at is None or expires_at <= observed_at):
        raise refuse("expires_at", "no time after it was observed")
    numbers: dict[str, Decimal | None] = {}
    for column in ("strike", "tenor_days", "value", "bid", "ask"):
        numbers[column] = _number(said[column], column, kind=kind, refuse=refuse)
    if kind == Kind.VOLATILITY and numbers["bid"] is None and numbers["ask"] is None:
        raise refuse("bid", "a volatility has a bid or an ask")
    tenor = numbers.pop("tenor_days")
    return MarketRow(
        kind=kind, source=said["source"], observed_at=observed_at, asset=asset,
        expires_at=expires_at, tenor_days=None if tenor is None else int(tenor),
        file_sha256=sha256, line=row.line, **numbers,
    )  # fmt: skip


def _number(text: str, column: str, *, kind: str, refuse: object) -> Decimal | None:
    """A number as its column may have it; None where nothing is written."""
    assert callable(refuse)
    if not text:
        return None
    number = parse_number(text) if len(text) <= DIGITS_MAX else None
    if number is None:
        raise refuse(column, "not a number")
    if column == "value":
        if number < 0 and kind not in SIGNED:
            raise refuse(column, "it is not below 0")
        if number > 1 and kind == Kind.CONFIDENCE:
            raise refuse(column, "a confidence is a share, at most 1")
    elif number <= 0 or (column == "tenor_days" and number != int(number)):
        raise refuse(column, "it is above 0" if column != "tenor_days" else "whole days above 0")
    return number


# ---------------------------------------------------------------- what is known at an instant


def newest_rows(
    as_of: datetime,
    *,
    kinds: Collection[str],
    known_for: timedelta = KNOWN_FOR,
    horizon_id: int | None = None,
) -> list[MarketRow]:
    """The newest row of every source and thing it speaks of, observed by an instant; one query.

    Args:
        known_for: what is older than that is not known any more.
        horizon_id: as that committed horizon knew them; as they are known now if None.
    """
    what = ("kind", "asset_id", "source", "expires_at", "strike", "tenor_days")
    rows = MarketRow.objects.filter(
        kind__in=kinds, observed_at__lte=as_of, observed_at__gt=as_of - known_for
    )
    return list(known_at(rows, horizon_id).order_by(*what, "-observed_at", "-pk").distinct(*what))


def by_source(
    as_of: datetime, *, kind: str, assets: Iterable[int]
) -> dict[int, dict[str, Decimal]]:
    """By asset and source, what was said of a kind on the last day."""
    wanted = set(assets)
    found: dict[int, dict[str, Decimal]] = defaultdict(dict)
    for row in newest_rows(as_of, kinds=[kind], known_for=SAID_FOR):
        if row.asset_id in wanted and row.value is not None:
            found[row.asset_id][row.source] = row.value
    return found


def volumes(as_of: datetime, *, day: date, assets: Iterable[int]) -> dict[int, Volumes]:
    """Value traded by asset, the sources' newest figures of each day added up."""
    rows = (
        MarketRow.objects.filter(
            kind=Kind.VOLUME, asset_id__in=set(assets), observed_at__lte=as_of,
            observed_at__gt=as_of - USUAL_OVER,
        )
        .order_by("observed_at", "pk")
    )  # fmt: skip
    newest: dict[tuple[int, date, str], Decimal] = {}
    for row in rows:
        assert row.value is not None, "a volume has a value"
        newest[row.asset_id, row.observed_at.astimezone(UTC).date(), row.source] = row.value
    days: dict[int, dict[date, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for (asset, on, _), value in newest.items():
        days[asset][on] += value
    return {asset: _volumes(by_day, day=day) for asset, by_day in days.items()}


def _volumes(by_day: Mapping[date, Decimal], *, day: date) -> Volumes:
    before = [value for on, value in by_day.items() if on < day]
    if not before:
        return Volumes(by_day.get(day), None)
    usual = quotient(sum(before, Decimal(0)), Decimal(len(before)), decimals=SHARES_DECIMALS)
    return Volumes(by_day.get(day), usual)


__all__ = [
    "BASE", "HEADER", "KNOWN_FOR", "Kind", "Loaded", "MarketFileRefusedError", "Volumes",
    "by_source", "load_market", "newest_rows", "volumes",
]  # fmt: skip
