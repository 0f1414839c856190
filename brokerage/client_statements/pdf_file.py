"""A client's statement as a PDF: the same statement gives the same bytes.

Nothing is taken from the clock or the machine: the fonts lie beside this file, and the date of
the file is that of what was known. Characters that the fonts do not have show as a replacement.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Final, NamedTuple

from fpdf import FPDF
from fpdf.enums import Align

from accounts.figures import grouped
from brokerage.client_statements.statement import HELD_AS, ClientStatement
from ledger.client_lines import Movement
from ledger.models import AccountClass

FONTS: Final = Path(__file__).with_name("fonts")
FAMILY: Final = "statement"
REGULAR: Final = "DejaVuSansCondensed.ttf"
BOLD: Final = "DejaVuSansCondensed-Bold.ttf"
MARGIN: Final = 14.0
SMALL: Final = 7.0
LINE: Final = 3.6
GREY: Final = (96, 96, 96)
NONE: Final = "\u2013"
REPLACEMENT: Final = "\ufffd"
# What stands for the number of pages; nobody's text may say it.
PAGES: Final = "{nb}"
UNPRINTED: Final = (
    "Letters of the name are of an alphabet that this file does not print; the CSV of this"
    " statement has them all."
)


class PdfColumn(NamedTuple):
    """A column of a table: its head, its share of the width, whether it holds numbers."""

    head: str
    share: float
    is_number: bool = False


class StatementPdf(FPDF):
    """Pages of one statement: every page names it, and says which page of how many it is."""

    def __init__(self, statement: ClientStatement) -> None:
        super().__init__(orientation="P", unit="mm", format="A4")
        self.statement = statement
        self.content_sha256 = statement.content_sha256
        self.table_head: Sequence[PdfColumn] | None = None
        self.add_font(FAMILY, "", FONTS / REGULAR)
        self.add_font(FAMILY, "B", FONTS / BOLD)
        self.set_creation_date(statement.point.known_at or datetime(1980, 1, 1, tzinfo=UTC))
        self.set_producer("Brokerage back office")
        self.set_title(f"Statement {statement.client.code} {statement.period.code}")
        self.set_lang("en")
        self.set_margins(MARGIN, MARGIN, MARGIN)
        self.set_auto_page_break(True, margin=MARGIN + 6)
        self.alias_nb_pages(PAGES)

    def header(self) -> None:
        """Whose statement this is, of which period."""
        statement = self.statement
        self.set_font(FAMILY, "B", 9)
        entity = statement.client.legal_entity
        self.cell(0, 5, self.printable(entity.name), new_x="LMARGIN", new_y="NEXT")
        self.set_font(FAMILY, "", SMALL)
        self.set_text_color(*GREY)
        said = f"Statement of account · client {statement.client.code} · {statement.period.title}"
        self.cell(0, 4, self.printable(said), new_x="LMARGIN", new_y="NEXT")
        self.line(MARGIN, self.get_y() + 1, self.w - MARGIN, self.get_y() + 1)
        self.ln(3)
        self.set_text_color(0)
        if self.table_head is not None:
            self.draw_head(self.table_head)

    def footer(self) -> None:
        """The hash of the content, and page x of y."""
        self.set_y(-MARGIN)
        self.set_font(FAMILY, "", 6)
        self.set_text_color(*GREY)
        self.cell(0, 4, f"sha256 of the content {self.content_sha256}")
        self.set_x(MARGIN)
        self.cell(0, 4, f"Page {self.page_no()} of {PAGES}", align=Align.R)
        self.set_text_color(0)

    def printable(self, text: str) -> str:
        """The text in characters that the fonts have, on one line."""
        glyphs = self.fonts[FAMILY].cmap  # type: ignore[union-attr]
        flat = " ".join(text.split()).replace(PAGES, "{nb\u00a0}")
        return "".join(each if ord(each) in glyphs else REPLACEMENT for each in flat)

    # ------------------------------------------------------------ parts

    def title_of(self, text: str, *, note: str = "") -> None:
        """The head of a section, never alone at the foot of a page."""
        if self.will_page_break(22):
            self.add_page()
        self.ln(3)
        self.set_font(FAMILY, "B", 10)
        self.cell(0, 6, text, new_x="LMARGIN", new_y="NEXT")
        if note:
            self.paragraph(note)

    def paragraph(self, text: str) -> None:
        """Running text."""
        self.set_font(FAMILY, "", SMALL)
        self.multi_cell(0, LINE, self.printable(text), new_x="LMARGIN", new_y="NEXT", align="L")
        self.ln(0.6)

    def facts(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Names with their values."""
        for name, value in pairs:
            self.set_font(FAMILY, "", SMALL)
            self.set_text_color(*GREY)
            self.cell(38, LINE + 0.4, name)
            self.set_text_color(0)
            self.multi_cell(
                0, LINE + 0.4, self.printable(value), new_x="LMARGIN", new_y="NEXT", align="L"
            )

    def draw_head(self, columns: Sequence[PdfColumn]) -> None:
        """The names of the columns; drawn again on every page that the table goes on to."""
        self.set_font(FAMILY, "B", SMALL)
        for column in columns:
            align = Align.R if column.is_number else Align.L
            self.cell(column.share * self.epw, LINE + 0.6, column.head, align=align, border="B")
        self.ln(LINE + 1.2)
        self.set_font(FAMILY, "", SMALL)

    def table_of(self, columns: Sequence[PdfColumn], rows: Iterable[Sequence[str]]) -> None:
        """A table whose head stands on every page it is on."""
        self.draw_head(columns)
        self.table_head = columns
        for row in rows:
            self._draw_row(columns, row)
        self.table_head = None

    def _draw_row(self, columns: Sequence[PdfColumn], row: Sequence[str]) -> None:
        self.set_font(FAMILY, "", SMALL)
        cells = [
            self._wrapped(self.printable(text), column.share * self.epw)
            for column, text in zip(columns, row, strict=True)
        ]
        for place in range(max(len(lines) for lines in cells)):
            if self.will_page_break(LINE):
                self.add_page()
                self.set_font(FAMILY, "", SMALL)
            for column, lines in zip(columns, cells, strict=True):
                align = Align.R if column.is_number else Align.L
                text = lines[place] if place < len(lines) else ""
                self.cell(column.share * self.epw, LINE, text, align=align)
            self.ln(LINE)

    def _wrapped(self, text: str, width: float) -> list[str]:
        """A cell's lines; what has no blank where the line is full is broken there."""
        room = width - 2 * self.c_margin
        if self.get_string_width(text) <= room:
            return [text]
        lines, line = [], ""
        for word in text.split(" "):
            tried = f"{line} {word}" if line else word
            if self.get_string_width(tried) <= room:
                line = tried
                continue
            if line:
                lines.append(line)
            line = word
            while self.get_string_width(line) > room:
                cut = next(
                    at for at in range(len(line) - 1, 0, -1)
                    if at == 1 or self.get_string_width(line[:at]) <= room
                )  # fmt: skip
                lines.append(line[:cut])
                line = line[cut:]
        return [*lines, line]


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
