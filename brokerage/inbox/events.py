"""A day's trades and transfers, decided in their order and posted in one act."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import localcontext
from uuid import UUID, uuid4

from accounts.bulk import copy_rows
from brokerage.inbox.daybook import DayBook
from brokerage.inbox.decisions import Decision, Event, RefusedEventError
from brokerage.inbox.rows import TradeRow, TransferRow
from brokerage.inbox.trades import decide_trade
from brokerage.inbox.transfers import decide_transfer
from brokerage.models import BusinessDay, InboxEvent
from ledger.exact import EXACT
from ledger.models import Release
from ledger.posting import AccountKey, Draft, post_entries
from margin.releases import InitialMarginGate

CHUNK = 50_000


@dataclass(frozen=True, slots=True)
class Decided:
    """An event and what becomes of it: a decision, or the reason it is refused for."""

    event: Event
    decision: Decision | None
    refusal: str


def in_order(trades: Iterable[TradeRow], transfers: Iterable[TransferRow]) -> list[Event]:
    """The readable rows of both files in one order."""
    events = [Event("trade", row.trade_id, row.executed_at, row) for row in trades]
    events += [Event("transfer", row.transfer_id, row.booked_at, row) for row in transfers]
    return sorted(events, key=lambda event: event.order)


def decide_events(
    events: Sequence[Event],
    *,
    book: DayBook,
    gate: InitialMarginGate,
    known_ids: set[str],
    opens_at: datetime,
    closes_at: datetime,
) -> list[Decided]:
    """Decide each event on the book as the ones before it left it; nothing is written.

    Args:
        book: the book before the first event; carried along.
        known_ids: ids of events of earlier days.
        opens_at: the first instant of the day.
        closes_at: the as-of instant, the last at which an event counts.
    """
    seen = set(known_ids)
    decided: list[Decided] = []
    with localcontext(EXACT):
        for event in events:
            try:
                if event.id in seen:
                    raise RefusedEventError("duplicate_id")
                if not opens_at <= event.at <= closes_at:
                    raise RefusedEventError("outside_window")
                decision = _decide(event, book=book, gate=gate)
            except RefusedEventError as refused:
                decided.append(Decided(event, None, refused.reason))
            else:
                book.apply(decision.moves)
                decided.append(Decided(event, decision, ""))
            seen.add(event.id)
    return decided


def _decide(event: Event, *, book: DayBook, gate: InitialMarginGate) -> Decision:
    if isinstance(event.row, TradeRow):
        return decide_trade(event.row, book=book)
    return decide_transfer(event.row, book=book, gate=gate)


def post_events(
    decided: Sequence[Decided],
    *,
    book: DayBook,
    business_day: BusinessDay,
    price_snapshot: str,
    progress: Callable[[int, int], None],
) -> None:
    """Post what was decided, with its releases, and keep every event; call inside an act."""
    ids = book.ledger_account_ids()
    assets = book.assets
    releases: list[Release] = []
    drafts: list[Draft] = []
    for item in decided:
        if item.decision is None:
            continue
        release_id: UUID | None = None
        if item.decision.release is not None:
            asked = item.decision.release
            release_id = uuid4()
            releases.append(
                Release(
                    id=release_id,
                    bucket_id=asked.bucket_id,
                    kind_id=item.decision.kind,
                    asset=assets[asked.asset],
                    amount=asked.amount,
                    price_snapshot=price_snapshot,
                    scope_version=asked.scope_version,
                    binding_term=asked.binding_term,
                    free_amount=asked.free_amount,
                )
            )
        drafts.append(_draft(item.event, item.decision, ids=ids, release_id=release_id))
    copy_rows(releases)
    entries: list[int] = []
    for start in range(0, len(drafts), CHUNK):
        entries += [posted.entry_id for posted in post_entries(drafts[start : start + CHUNK])]
        progress(len(entries), len(drafts))
    _keep_events(decided, entries=iter(entries), business_day=business_day)


def _draft(
    event: Event, decision: Decision, *, ids: dict[AccountKey, int], release_id: UUID | None
) -> Draft:
    return Draft(
        key=f"inbox:{event.id}",
        kind=decision.kind,
        effective_at=event.at,
        reference=event.id,
        legs=[move.leg(ids) for move in decision.moves],
        loss=decision.loss,
        release_id=release_id,
    )


def _keep_events(
    decided: Sequence[Decided], *, entries: "Iterable[int]", business_day: BusinessDay
) -> None:
    numbers = iter(entries)
    copy_rows(
        [
            InboxEvent(
                business_day=business_day,
                ordinal=ordinal,
                event_id=item.event.id,
                event_type=item.event.type,
                line=item.event.row.line,
                occurred_at=item.event.at,
                refusal=item.refusal,
                entry_id=None if item.decision is None else next(numbers),
                details={} if item.decision is None else dict(item.decision.details),
            )
            for ordinal, item in enumerate(decided, start=1)
        ]
    )
