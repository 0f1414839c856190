"""Pages of a statement's PDF: fonts, heads and feet, sections, tables that go on overleaf.

The same text gives the same bytes: nothing is taken from the clock or the machine.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from fpdf import FPDF
from fpdf.enums import Align

from brokerage.client_statements.statement import ClientStatement

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
