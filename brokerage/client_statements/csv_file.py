"""A client's statement as one table of rows, each of the section it belongs to."""

from collections.abc import Iterator
from typing import Final

from accounts.exports import to_csv
from brokerage.client_statements.statement import HELD_AS, ClientStatement
from ledger.client_lines import BookAccount
from ledger.models import AccountClass

COLUMNS: Final = (
    "section", "account", "bucket", "held_as", "asset", "date", "entry", "kind", "reference",
    "text", "amount", "balance", "price", "average_cost", "fee", "value", "unrealised", "pool",
)  # fmt: skip
Cells = dict[str, object]


def statement_csv(statement: ClientStatement) -> bytes:
    """The statement as CSV: what it is, lines, movements, positions, margin, calls, totals."""
    sections = (
        _about, _openings, _movements, _closings, _positions, _margin, _calls, _charges, _totals,
        _pools,
    )  # fmt: skip
    rows = (
        [cells.get(column, "") for column in COLUMNS]
        for section in sections
        for cells in section(statement)
    )
    return to_csv(COLUMNS, rows)


def _about(statement: ClientStatement) -> Iterator[Cells]:
    facts = (
        ("legal_entity", statement.client.legal_entity.code),
        ("client", statement.client.code),
        ("client_name", statement.client.name),
        ("period", statement.period.code),
        ("through", statement.through),
        ("known_at", statement.point.known_at),
        ("opens_from", statement.opens_from),
        ("is_interim", statement.is_interim),
        ("content_sha256", statement.content_sha256),
    )
    for name, value in facts:
        yield {"section": "statement", "kind": name, "text": value}


def _openings(statement: ClientStatement) -> Iterator[Cells]:
    for line in statement.lines:
        yield {
            **_held("opening", line.account), "date": statement.period.first,
            "amount": line.opening, "balance": line.opening,
        }  # fmt: skip


def _movements(statement: ClientStatement) -> Iterator[Cells]:
    for movement in statement.movements:
        yield {
            **_held("late movement" if movement.is_late else "movement", movement.account),
            "date": movement.effective_at,
            "entry": movement.entry_id,
            "kind": movement.kind,
            "reference": movement.reference,
            "text": movement.narrative,
            "amount": movement.amount,
            "balance": movement.balance,
            "price": movement.price,
            "fee": movement.fee,
            "value": movement.realised,
        }


def _closings(statement: ClientStatement) -> Iterator[Cells]:
    for line in statement.lines:
        yield {
            **_held("closing", line.account), "date": statement.through,
            "amount": line.closing, "balance": line.closing, "average_cost": line.average_cost,
        }  # fmt: skip


def _held(section: str, account: BookAccount) -> Cells:
    return {
        "section": section,
        "account": account.account,
        "bucket": account.bucket,
        "held_as": HELD_AS[AccountClass(account.account_class)],
        "asset": account.asset,
        "pool": account.pool,
    }


def _positions(statement: ClientStatement) -> Iterator[Cells]:
    for line in statement.positions:
        yield {
            "section": "position",
            "account": line.account,
            "bucket": line.bucket,
            "held_as": "position",
            "asset": line.asset,
            "date": line.marked_on,
            "kind": line.mark_state,
            "text": line.currency,
            "amount": line.quantity,
            "price": line.mark,
            "average_cost": line.average_cost,
            "value": line.value,
            "unrealised": line.unrealised,
        }


def _margin(statement: ClientStatement) -> Iterator[Cells]:
    for line in statement.margins:
        figures = (
            ("equity", line.equity),
            ("initial_margin", line.initial_margin),
            ("maintenance_margin", line.maintenance_margin),
            ("equity_to_initial_margin", line.ratio),
        )
        for name, amount in figures:
            yield {
                "section": "margin",
                "account": line.account,
                "bucket": line.bucket,
                "asset": line.currency,
                "date": line.business_day,
                "kind": name,
                "reference": line.run,
                "text": f"{line.state}, {line.agreement}, {line.regime or 'no regime stated'}",
                "amount": amount,
            }


def _calls(statement: ClientStatement) -> Iterator[Cells]:
    for call in statement.calls:
        yield {
            "section": "call",
            "account": call.account,
            "bucket": call.bucket,
            "asset": call.currency,
            "date": call.issued_at,
            "kind": call.kind,
            "reference": call.number,
            "text": " ".join(filter(None, (call.state, call.end_reason))),
            "amount": call.amount,
        }


def _charges(statement: ClientStatement) -> Iterator[Cells]:
    for charge in statement.charges:
        yield {
            "section": "charge",
            "asset": charge.asset,
            "kind": charge.kind,
            "text": charge.group,
            "amount": charge.amount,
        }


def _totals(statement: ClientStatement) -> Iterator[Cells]:
    for total in statement.totals:
        for name in ("opening", "gained", "given", "closing"):
            yield {
                "section": "total",
                "held_as": total.held_as,
                "asset": total.asset,
                "kind": name,
                "amount": getattr(total, name),
            }


def _pools(statement: ClientStatement) -> Iterator[Cells]:
    for pool in statement.disclosures:
        yield {
            "section": "pool", "pool": pool.pool, "kind": pool.regime, "text": pool.text,
        }  # fmt: skip
