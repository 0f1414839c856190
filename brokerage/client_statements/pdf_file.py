"""A client's statement as a PDF: the same statement gives the same bytes.

Nothing is taken from the clock or the machine: the fonts lie beside this file, and the date of
the file is that of what was known. Characters that the fonts do not have show as a replacement.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Final

from accounts.figures import grouped
from brokerage.client_statements.pdf_pages import FAMILY, NONE, REPLACEMENT, PdfColumn, StatementPdf
from brokerage.client_statements.statement import HELD_AS, ClientStatement
from ledger.client_lines import Movement
from ledger.models import AccountClass

UNPRINTED: Final = (
    "Letters of the name are of an alphabet that this file does not print; the CSV of this"
    " statement has them all."
)


def statement_pdf(statement: ClientStatement) -> bytes:
    """The statement as PDF."""
    pdf = StatementPdf(statement)
    pdf.add_page()
    _front(pdf)
    for section in (_totals, _lines, _movements, _positions, _margin, _calls, _charges, _pools):
        section(pdf)
    return bytes(pdf.output())


def _front(pdf: StatementPdf) -> None:
    statement = pdf.statement
    pdf.set_font(FAMILY, "B", 14)
    pdf.cell(0, 8, "Statement of account", new_x="LMARGIN", new_y="NEXT")
    known_at = statement.point.known_at
    opens = statement.opens_from
    through = f", through {statement.through} (interim)" if statement.is_interim else ""
    pdf.facts(
        [
            ("Client", f"{statement.client.name} ({statement.client.code})"),
            *([("", UNPRINTED)] if REPLACEMENT in pdf.printable(statement.client.name) else []),
            ("Period", f"{statement.period.title}{through}"),
            ("Known at", "now" if known_at is None else _instant(known_at)),
            (
                "Opens with",
                "the book as it is known"
                if opens is None
                else f"the closing of the statement before, known at {_instant(opens)}",
            ),
            ("Amounts", "what you have is positive; a loan is what you owe; times in UTC"),
        ]
    )


def _totals(pdf: StatementPdf) -> None:
    pdf.title_of("Summary", note="All accounts and buckets together, by asset.")
    columns = (
        PdfColumn("Asset", 0.2), PdfColumn("Held as", 0.16), PdfColumn("Opening", 0.16, True),
        PdfColumn("In", 0.16, True), PdfColumn("Out", 0.16, True), PdfColumn("Closing", 0.16, True),
    )  # fmt: skip
    _table(
        pdf, columns,
        (
            (t.asset, t.held_as, *(_amount(a, t.scale) for a in (t.opening, t.gained, t.given)),
             _amount(t.closing, t.scale))
            for t in pdf.statement.totals
        ),
        empty="Nothing was held and nothing moved.",
    )  # fmt: skip


def _lines(pdf: StatementPdf) -> None:
    pdf.title_of("Accounts and buckets")
    columns = (
        PdfColumn("Account", 0.16), PdfColumn("Bucket", 0.14), PdfColumn("Held as", 0.1),
        PdfColumn("Asset", 0.15), PdfColumn("Opening", 0.15, True), PdfColumn("Moved", 0.15, True),
        PdfColumn("Closing", 0.15, True),
    )  # fmt: skip
    rows = (
        (
            line.account.account, line.account.bucket,
            HELD_AS[AccountClass(line.account.account_class)], line.account.asset,
            *(_amount(a, line.account.scale) for a in (line.opening, line.moved, line.closing)),
        )
        for line in pdf.statement.lines
    )  # fmt: skip
    _table(pdf, columns, rows, empty="Nothing was held and nothing moved.")


def _movements(pdf: StatementPdf) -> None:
    late = any(movement.is_late for movement in pdf.statement.movements)
    note = (
        "Lines marked “late” take effect before this period and came to be known after the "
        "statement before was given out."
    )
    pdf.title_of("Movements", note=note if late else "")
    columns = (
        PdfColumn("Value date", 0.14), PdfColumn("Entry", 0.08), PdfColumn("Account, bucket", 0.16),
        PdfColumn("Kind and text", 0.26), PdfColumn("Asset", 0.1), PdfColumn("Amount", 0.13, True),
        PdfColumn("Balance", 0.13, True),
    )  # fmt: skip
    rows = (
        (
            f"{movement.effective_at.astimezone(UTC):%Y-%m-%d %H:%M}",
            str(movement.entry_id),
            f"{movement.account.account}, {movement.account.bucket}",
            _movement_text(movement),
            movement.account.asset,
            _amount(movement.amount, movement.account.scale, sign=True),
            _amount(movement.balance, movement.account.scale),
        )
        for movement in pdf.statement.movements
    )
    _table(pdf, columns, rows, empty="Nothing moved.")


def _movement_text(movement: Movement) -> str:
    parts = [
        "late" if movement.is_late else "",
        movement.kind.replace("_", " "),
        movement.reference,
        movement.narrative,
        "" if movement.price is None else f"at {_price(movement.price)}",
        "" if not movement.realised else f"realised {_price(movement.realised)}",
        "" if not movement.fee else f"fee {_price(movement.fee)}",
    ]
    return ", ".join(filter(None, parts))


def _positions(pdf: StatementPdf) -> None:
    pdf.title_of("Positions")
    columns = (
        PdfColumn("Account, bucket", 0.18), PdfColumn("Asset", 0.14),
        PdfColumn("Quantity", 0.12, True), PdfColumn("Average cost", 0.13, True),
        PdfColumn("Mark", 0.13, True), PdfColumn("Value", 0.15, True),
        PdfColumn("Unrealised", 0.15, True),
    )  # fmt: skip
    rows = (
        (
            f"{line.account}, {line.bucket}", f"{line.asset} {line.currency}".strip(),
            _amount(line.quantity, line.scale), _price(line.average_cost),
            f"{_price(line.mark)} {line.mark_state if line.mark_state != 'Valid' else ''}".strip(),
            _price(line.value), _price(line.unrealised),
        )
        for line in pdf.statement.positions
    )  # fmt: skip
    _table(pdf, columns, rows, empty="No open position.")


def _margin(pdf: StatementPdf) -> None:
    margins = pdf.statement.margins
    note = (
        f"By run {margins[0].run} of {margins[0].business_day}; the ratio is equity to initial "
        "margin."
        if margins
        else ""
    )
    pdf.title_of("Margin", note=note)
    columns = (
        PdfColumn("Account, bucket", 0.2), PdfColumn("Agreement", 0.16), PdfColumn("State", 0.1),
        PdfColumn("Equity", 0.16, True), PdfColumn("Initial", 0.14, True),
        PdfColumn("Maintenance", 0.14, True), PdfColumn("Ratio", 0.1, True),
    )  # fmt: skip
    rows = (
        (
            f"{line.account}, {line.bucket}", line.agreement, line.state,
            f"{_amount(line.equity, 2)} {line.currency}", _amount(line.initial_margin, 2),
            _amount(line.maintenance_margin, 2), _share(line.ratio),
        )
        for line in margins
    )  # fmt: skip
    _table(pdf, columns, rows, empty="No requirement was computed.")


def _calls(pdf: StatementPdf) -> None:
    pdf.title_of("Margin calls")
    columns = (
        PdfColumn("Call", 0.2), PdfColumn("Account, bucket", 0.2), PdfColumn("State", 0.2),
        PdfColumn("Amount", 0.14, True), PdfColumn("Issued", 0.13), PdfColumn("Due", 0.13),
    )  # fmt: skip
    rows = (
        (
            f"{call.number} ({call.kind})", f"{call.account}, {call.bucket}",
            ", ".join(filter(None, (call.state.replace("_", " "), call.end_reason))),
            f"{_amount(call.amount, 2)} {call.currency}",
            f"{call.issued_at.astimezone(UTC):%Y-%m-%d %H:%M}",
            f"{call.due_at.astimezone(UTC):%Y-%m-%d %H:%M}",
        )
        for call in pdf.statement.calls
    )  # fmt: skip
    _table(pdf, columns, rows, empty="No call was open in the period.")


def _charges(pdf: StatementPdf) -> None:
    pdf.title_of("Fees, interest and financing", note="Already in the movements; here apart.")
    columns = (
        PdfColumn("Group", 0.25), PdfColumn("Kind", 0.3), PdfColumn("Asset", 0.15),
        PdfColumn("Entries", 0.1, True), PdfColumn("Amount", 0.2, True),
    )  # fmt: skip
    rows = (
        (each.group, each.kind.replace("_", " "), each.asset, str(each.count),
         _amount(each.amount, each.scale, sign=True))
        for each in pdf.statement.charges
    )  # fmt: skip
    _table(pdf, columns, rows, empty="None in the period.")


def _pools(pdf: StatementPdf) -> None:
    pdf.title_of("How your assets are held")
    for pool in pdf.statement.disclosures:
        regime = f", regime {pool.regime}" if pool.regime else ""
        pdf.paragraph(f"Pool {pool.pool}{regime}. {pool.text}")
    if not pdf.statement.disclosures:
        pdf.paragraph("Nothing was held in the period.")


def _table(
    pdf: StatementPdf, columns: Sequence[PdfColumn], rows: Iterable[Sequence[str]], *, empty: str
) -> None:
    listed = list(rows)
    if listed:
        pdf.table_of(columns, listed)
    else:
        pdf.paragraph(empty)


def _amount(value: Decimal, scale: int, *, sign: bool = False) -> str:
    return grouped(value, decimals=scale, sign=sign)


def _price(value: Decimal | None) -> str:
    return NONE if value is None else grouped(value)


def _share(value: Decimal | None) -> str:
    return NONE if value is None else f"{grouped(value * 100, decimals=2)} %"


def _instant(at: datetime | date) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
