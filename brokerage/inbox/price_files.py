"""Prices inside a day: a file with the columns of a day's prices, taken whenever it comes.

Taking one makes marks as of its instant and asks for the scopes they touch to be margined again.
The command, the watched folder and the API take files by this one function.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import localcontext
from typing import Any, Final

from django.utils import timezone

from accounts.audit import Actor, acting
from accounts.news import announce
from brokerage.inbox.folder import check_csv
from brokerage.inbox.refusal import FolderRefusedError
from brokerage.inbox.rows import HEADERS, PRICES, read_prices
from brokerage.models import BusinessDay, Firm
from ledger.exact import EXACT
from margin.market.marks import ReceivedPrice, priced_names
from margin.market.price_files import (
    PriceFileRefusedError,
    ReadPrices,
    keep_prices,
    known_file,
    require_next,
)
from margin.models import Mark, PriceFile
from margin.run_rows import TAKING, one_after_another

NAME_LENGTH_MAX: Final = 200
KEY_LENGTH_MAX: Final = 120
# A book whose days are ahead of the clock, as one for practice may be, takes prices so far on.
AHEAD_MAX: Final = timedelta(days=4)


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a price file.

    Attributes:
        is_new: whether this request took it; the same file again changes nothing.
    """

    file: PriceFile
    is_new: bool

    def as_json(self) -> dict[str, Any]:
        """For programs: what was read, what was not, and what the marks came to."""
        marks = Mark.objects.composed().filter(as_of=self.file.as_of)
        rejected = self.file.rejected.order_by("line").values("line", "field", "reason")
        return {
            "sha256": self.file.sha256,
            "name": self.file.name,
            "key": self.file.key,
            "as_of": self.file.as_of.isoformat().replace("+00:00", "Z"),
            "business_day": self.file.business_day.isoformat(),
            "rows": self.file.row_count,
            "rejected": list(rejected),
            "marks": marks.count(),
            "valid": marks.filter(state=Mark.State.VALID).count(),
            "is_new": self.is_new,
        }


def take_prices(
    content: bytes,
    *,
    name: str,
    actor: Actor,
    as_of: datetime | None = None,
    key: str = "",
    request_id: str = "",
) -> Taken:
    """Keep a price file and compose the marks of its instant; the same content again is a no-op.

    Args:
        content: the file as it came.
        name: what the sender calls the file.
        actor: who hands it in.
        as_of: the instant of the marks; now if None.
        key: idempotency key, "" where the sender has none; other content under it is refused.
        request_id: of the web request.

    Raises:
        FolderRefusedError: it is not a file of prices as a whole; nothing was kept.
        PriceFileRefusedError: its instant, its key, or the book does not allow it; nothing was.
        RefusedError: the session has ended.
    """
    if not name or len(name) > NAME_LENGTH_MAX or not name.isprintable():
        raise PriceFileRefusedError(f"A file has a name of at most {NAME_LENGTH_MAX} characters.")
    if len(key) > KEY_LENGTH_MAX:
        raise PriceFileRefusedError(f"A key has at most {KEY_LENGTH_MAX} characters.")
    sha256 = hashlib.sha256(content).hexdigest()
    read = _read(content, sha256=sha256, name=name, key=key)
    reason = f"Prices of {name}"
    with localcontext(EXACT), acting(actor, reason=reason, request_id=request_id):
        one_after_another(TAKING)
        known = known_file(sha256, key=key)
        if known is not None:
            return Taken(known, is_new=False)
        instant = as_of or timezone.now()
        require_next(instant)
        _require_fitting(instant)
        file, _ = keep_prices(read, as_of=instant)
    announce("prices")
    return Taken(file, is_new=True)


def _read(content: bytes, *, sha256: str, name: str, key: str) -> ReadPrices:
    check_csv(content, name=PRICES, header=HEADERS[PRICES])
    read = read_prices(content, priced=priced_names())
    if not read.rows:
        raise FolderRefusedError("there is no row that can be read", file=PRICES)
    return ReadPrices(
        content=content,
        sha256=sha256,
        name=name,
        key=key,
        row_count=read.row_count,
        rows=[
            ReceivedPrice(row.instrument, row.source, row.observed_at, row.price, row.line)
            for row in read.rows
        ],
        rejected=[(row.line, row.field or "", row.reason) for row in read.rejected],
    )


def _require_fitting(as_of: datetime) -> None:
    """An instant that a price may have now, and no day's own.

    Raises:
        PriceFileRefusedError: it has not come yet, or a day will be measured at it.
    """
    last = BusinessDay.objects.order_by("-day").values_list("as_of", flat=True).first()
    latest = timezone.now() if last is None else max(timezone.now(), last + AHEAD_MAX)
    if as_of > latest:
        raise PriceFileRefusedError("Prices of an instant that has not come yet are not taken.")
    firm = Firm.objects.first()
    if firm is not None and as_of.astimezone(UTC).time() == firm.as_of_time:
        raise PriceFileRefusedError(
            f"The firm measures its days at {firm.as_of_time:%H:%M:%S} UTC; that day's files say"
            " what holds then."
        )


__all__ = ["PriceFileRefusedError", "Taken", "take_prices"]
