"""The steps of a day's cycle. Each runs inside an act of its own and returns what it counted."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from typing import TYPE_CHECKING, Any

from accounts.audit import Actor, acting
from accounts.bulk import copy_rows
from brokerage.expiry import settle_expired
from brokerage.inbox.daybook import read_day_book
from brokerage.inbox.events import Decided, decide_events, in_order, post_events
from brokerage.inbox.folder import BANK_FILES
from brokerage.inbox.result import day_result
from brokerage.inbox.rows import (
    HOLDINGS,
    PRICES,
    TRADES,
    TRANSFERS,
    read_prices,
    read_trades,
    read_transfers,
)
from brokerage.inbox.trades import position_of
from brokerage.models import BusinessDay, DayFile, DayStep, InboxEvent, RejectedRow
from ledger.horizons import take_horizon
from ledger.matching import Movement
from ledger.models import DayClose, Horizon
from ledger.reconciliation import BankFile, import_holdings, import_statements, reconcile
from ledger.residual import state_segregation
from ledger.segregation import pool_assets
from ledger.statements.rows import RejectedRow as ReadRejectedRow
from ledger.statements.statement import StatementFormat
from margin.book import ReadInputs
from margin.book.columns import ColumnInputs
from margin.calls.decisions import send_notices
from margin.calls.settling import settle_run
from margin.close_only import Booked, ask_about, buckets_that_may_only_close, reduces
from margin.column_runs import read_for_run, record_columns
from margin.market.marks import ReceivedPrice, compose_day, priced_names, record_prices_of
from margin.models import MarginRun
from margin.notices.outbox import deliver_notices
from margin.payments.outcomes import settle_lines
from margin.releases import InitialMarginGate
from margin.run_rows import SETTLING, one_after_another
from margin.runs import record_run

if TYPE_CHECKING:
    from brokerage.inbox.cycle import Progress

END_OF_DAY = "end-of-day"
BANK_FORMATS = {
    ".xml": StatementFormat.CAMT053,
    ".mt940": StatementFormat.MT940,
    ".bai2": StatementFormat.BAI2,
}


def sha256(data: bytes) -> str:
    """Hex digest of bytes."""
    return hashlib.sha256(data).hexdigest()


@dataclass(slots=True)
class DayContext:
    """What the steps of a day share."""

    day: BusinessDay
    actor: Actor
    progress: "Progress"
    inputs: ColumnInputs | ReadInputs | None = None
    _files: dict[str, bytes] = field(default_factory=dict)

    def file(self, name: str) -> bytes:
        """A file of the day as it was kept when the day was opened."""
        if not self._files:
            rows = DayFile.objects.filter(business_day=self.day).values_list("name", "content")
            self._files = {n: bytes(content) for n, content in rows}
        return self._files[name]

    def prepare(self, step: str) -> None:
        """What must be committed or read before a step's own act begins."""
        if step == "margin":
            with acting(self.actor, reason=f"Horizon of the margin run, {self.day.day}"):
                horizon = Horizon.objects.create(purpose="margin-run")
            self.inputs = read_for_run(horizon_id=horizon.pk, as_of=self.day.as_of)
        elif step == "result":
            deliver_notices(business_day=self.day.day, actor=self.actor)
            send_notices()


def _keep_rejected(day: BusinessDay, rejected: "list[ReadRejectedRow]") -> None:
    copy_rows(
        [
            RejectedRow(
                business_day=day, file=row.file, line=row.line, field=row.field, reason=row.reason
            )
            for row in rejected
        ]
    )


def record_prices(context: DayContext) -> dict[str, Any]:
    """Keep every readable price as it came and compose the day's marks."""
    day = context.day
    data = context.file(PRICES)
    names = priced_names()
    read = read_prices(data, priced=names)
    _keep_rejected(day, list(read.rejected))
    record_prices_of(
        [
            ReceivedPrice(row.instrument, row.source, row.observed_at, row.price, row.line)
            for row in read.rows
        ],
        business_day=day.day,
        file_sha256=sha256(data),
    )
    marks = compose_day(business_day=day.day, as_of=day.as_of, file_sha256=sha256(data))
    return {
        "price_rows": read.row_count,
        "rejected": len(read.rejected),
        "marks": len(marks),
        "valid": sum(mark.state == "VALID" for mark in marks),
    }


def apply_events(context: DayContext) -> dict[str, Any]:
    """Decide the day's trades and transfers in their order and post what is accepted."""
    day = context.day
    trades = read_trades(context.file(TRADES))
    transfers = read_transfers(context.file(TRANSFERS))
    _keep_rejected(day, [*trades.rejected, *transfers.rejected])
    events = in_order(trades.rows, transfers.rows)
    known = InboxEvent.objects.filter(event_id__in={event.id for event in events})
    gate = InitialMarginGate.at_marks_before(day.day)
    book = read_day_book(day.day)
    asked = {(row.account, row.bucket) for row in transfers.rows} & book.buckets.keys()
    gate.portfolios.look_up(sorted({book.bucket(*name).account_id for name in asked}))
    decided = decide_events(
        events,
        book=book,
        gate=gate,
        known_ids=set(known.values_list("event_id", flat=True)),
        opens_at=datetime.combine(day.day, time.min, tzinfo=UTC),
        closes_at=day.as_of,
    )
    post_events(
        decided,
        book=book,
        business_day=day,
        price_snapshot=gate.price_snapshot,
        progress=lambda done, total: context.progress.report(done, total, "Apply events"),
    )
    ask_about(_added_while_closing(decided), business_day=day.day, at=day.as_of)
    refused = sum(bool(item.refusal) for item in decided)
    over = settle_expired(day=day.day, as_of=day.as_of)
    expired = {"expired": len(over.settlements), "waiting": len(over.waiting)}
    return {
        **(expired if over.settlements or over.waiting else {}),
        "trade_rows": trades.row_count,
        "transfer_rows": transfers.row_count,
        "rejected": len(trades.rejected) + len(transfers.rejected),
        "applied": len(decided) - refused,
        "refused": refused,
    }


def _added_while_closing(decided: Iterable[Decided]) -> Iterator[Booked]:
    """Trades that added to a position of a scope that may only close."""
    closing = buckets_that_may_only_close()
    if not closing:
        return
    for item in decided:
        if item.decision is None or item.event.type != "trade":
            continue
        bucket, before, after, instrument = position_of(item.decision)
        if bucket in closing and not reduces(before, after):
            yield Booked(item.event.id, bucket, instrument)


def run_margin(context: DayContext) -> dict[str, Any]:
    """Compute every requirement from the pinned inputs and keep the results."""
    assert context.inputs is not None, "the inputs were read before the act"
    one_after_another(SETTLING)
    day = context.day.day
    if isinstance(context.inputs, ReadInputs):
        run = record_run(context.inputs, business_day=day, purpose=END_OF_DAY)
    else:
        run = record_columns(context.inputs, business_day=day, purpose=END_OF_DAY)
    return {"run": run.number, "scopes": run.scope_count}


def settle_calls(context: DayContext) -> dict[str, Any]:
    """Issue, raise, lower or end calls as the run says, and open tasks where a person is needed."""
    one_after_another(SETTLING)
    run = MarginRun.objects.filter(business_day=context.day.day, purpose=END_OF_DAY).latest("pk")
    settled = settle_run(run)
    return {
        "issued": settled.issued,
        "changed": settled.changed,
        "ended": settled.ended,
        "below_minimum": settled.below_minimum,
        "tasks": settled.tasks_opened,
    }


def reconcile_statements(context: DayContext) -> dict[str, Any]:
    """Import the statements and holdings and compare them with the book."""
    day = context.day
    import_statements(
        [
            BankFile(
                location=location,
                name=name,
                format=BANK_FORMATS["." + name.rpartition(".")[2]],
                content=context.file(name),
            )
            for location, name in BANK_FILES.items()
        ],
        business_day=day.day,
    )
    rejected = import_holdings(
        context.file(HOLDINGS), name=HOLDINGS, as_of=day.as_of, business_day=day.day
    )
    _keep_rejected(day, rejected)
    settle_lines(day.day, at=day.as_of)
    totals = reconcile(day.day, unposted=_movements_of_nothing(day))
    return {
        "rejected": len(rejected),
        "banks": {
            code: {
                "ledger_movements": each.ledger_movements,
                "ledger_net": format(each.ledger_net, "f"),
                "statement_lines": each.statement_lines,
                "matched": each.matched,
                "ledger_balance": format(each.ledger_balance, "f"),
                "rejection": each.rejection,
            }
            for code, each in totals.items()
        },
    }


def _movements_of_nothing(day: BusinessDay) -> dict[str, list[Movement]]:
    """Trades whose cash rounds to 0.00: the bank still shows a line for them."""
    from decimal import Decimal

    expected: dict[str, list[Movement]] = {}
    for event in InboxEvent.objects.filter(
        business_day=day, refusal="", details__has_key="bank_movement"
    ).order_by("ordinal"):
        movement = Movement(reference=event.event_id, amount=Decimal("0.00"))
        expected.setdefault(event.details["bank_movement"], []).append(movement)
    return expected


def close_day(context: DayContext) -> dict[str, Any]:
    """Put the day's result together and close the day."""
    day = context.day
    outcomes = dict(DayStep.objects.filter(business_day=day).values_list("step", "outcome"))
    result = day_result(day, outcomes=outcomes, segregation=pool_assets())
    state_segregation(day.legal_entity_id, day=day.day)
    BusinessDay.objects.filter(pk=day.pk).update(result=result, closed_at=datetime.now(tz=UTC))
    DayClose.objects.create(
        legal_entity_id=day.legal_entity_id, day=day.day, horizon=take_horizon("day-close")
    )
    return {"breaks": result["control_totals"]["breaks"]}
