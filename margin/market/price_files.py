"""Prices taken inside a day: the file kept as it came, and marks as of its instant.

Marks are composed by the code that composes a day's, from the file and from what other files said
shortly before; so whatever may not move a day's mark moves none of these.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from django.db.models import Q

from accounts.bulk import copy_rows
from margin.market.marks import ReceivedPrice, compose, known_marks, record_prices_of
from margin.models import Mark, Price, PriceFile, RejectedPrice

# What other files said longer ago is too old under house rules v1, and not looked at.
KNOWN_FOR: Final = timedelta(minutes=15)


class PriceFileRefusedError(Exception):
    """A price file is not taken, and nothing of it is kept; the message is for people."""


@dataclass(frozen=True, slots=True)
class ReadPrices:
    """A price file as it was read.

    Attributes:
        key: what its sender calls it; "" where it has no name of its own.
        rejected: line, column and reason of each row that could not be read.
    """

    content: bytes
    sha256: str
    name: str
    key: str
    row_count: int
    rows: Sequence[ReceivedPrice]
    rejected: Sequence[tuple[int, str, str]]


def known_file(sha256: str, *, key: str) -> PriceFile | None:
    """The file with this content that was taken before.

    Raises:
        PriceFileRefusedError: another was taken under this key.
    """
    named = Q(key=key) if key else Q(pk__in=[])
    found = list(PriceFile.objects.defer("content").filter(Q(sha256=sha256) | named))
    same = next((each for each in found if each.sha256 == sha256), None)
    if any(each.sha256 != sha256 for each in found):
        raise PriceFileRefusedError(f"Other prices were taken under the key {key!r} before.")
    return same


def require_next(as_of: datetime) -> None:
    """An instant after every mark there is.

    Raises:
        PriceFileRefusedError: it is not, or there are no marks yet.
    """
    newest = Mark.objects.order_by("-business_day", "-as_of").first()
    if newest is None:
        raise PriceFileRefusedError("The book has no marks yet; the first day's files bring them.")
    if as_of <= newest.as_of:
        raise PriceFileRefusedError(
            f"Prices as of {_words(as_of)} come too late: there are marks of {_words(newest.as_of)}"
            " already."
        )


def keep_prices(read: ReadPrices, *, as_of: datetime) -> tuple[PriceFile, list[Mark]]:
    """Keep a file and compose every asset's mark as of its instant; call inside an act.

    Raises:
        RefusedError: the instant is not after every mark there is.
    """
    day = as_of.astimezone(UTC).date()
    file = PriceFile.objects.create(
        sha256=read.sha256,
        key=read.key,
        name=read.name,
        as_of=as_of,
        business_day=day,
        row_count=read.row_count,
        content=read.content,
    )
    copy_rows(
        [
            RejectedPrice(price_file=file, line=line, field=field, reason=reason)
            for line, field, reason in read.rejected
        ]
    )
    record_prices_of(read.rows, business_day=day, file_sha256=read.sha256, price_file=file)
    previous = known_marks(before=as_of, besides=Mark.State.OVERRIDDEN)
    by_place = dict(enumerate(prices_for(file), start=1))
    return file, compose(by_place, previous=previous, business_day=day, as_of=as_of)


def prices_for(file: PriceFile) -> list[Price]:
    """What marks of a file's instant are composed of, later files and lines behind earlier ones.

    Every row of the file, and of each source the newest that earlier files brought shortly before,
    unless the file has a later one of that source that may count. A price that is not positive
    never hides one that is.
    """
    own = list(Price.objects.filter(price_file=file).select_related("asset").order_by("line"))
    said = {
        (p.asset_id, p.source): p.observed_at
        for p in sorted(own, key=lambda each: each.observed_at)
        if p.price > 0 and p.observed_at <= file.as_of
    }
    lately = (
        PriceFile.objects.filter(as_of__gt=file.as_of - KNOWN_FOR, as_of__lt=file.as_of)
        .order_by("pk")
        .values_list("pk", flat=True)
    )
    earlier = Price.objects.filter(
        price_file__in=list(lately),
        observed_at__lte=file.as_of,
        observed_at__gte=file.as_of - KNOWN_FOR,
    ).order_by("asset_id", "source", "-observed_at", "-pk")
    kept = [
        price
        for is_positive in (Q(price__gt=0), Q(price__lte=0))
        for price in earlier.filter(is_positive)
        .distinct("asset_id", "source")
        .select_related("asset")
        if (price.asset_id, price.source) not in said
        or said[price.asset_id, price.source] < price.observed_at
    ]
    return sorted(kept, key=lambda price: price.pk) + own


def _words(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
