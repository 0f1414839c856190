"""The tables of a page as rows: amounts with all their digits, times in UTC, as the page says them.

Every figure of the desk stands in `<data value>` and every time in `<time datetime>`, so that a
page says exactly what it rounds for the eye; these are read here, and words where there are none.
"""

import re
from dataclasses import dataclass, field
from decimal import Decimal
from html.parser import HTMLParser

from accounts.exports import STRICT_DECIMAL

VOID = frozenset({"br", "hr", "img", "input", "link", "meta", "use", "path", "rect", "wbr"})
HEADINGS = frozenset({"h1", "h2", "h3"})
# Inside a row these are for the hand, not for the file.
LEFT_OUT = frozenset({"form", "svg", "script"})

Attributes = list[tuple[str, str | None]]


@dataclass
class PageTable:
    """One table of a page.

    Attributes:
        name: its caption, else the label of its region, else the heading above it.
        is_paged: the page shows a part of it only.
    """

    name: str
    heads: list[str] = field(default_factory=list)
    rows: list[list[object]] = field(default_factory=list)
    is_paged: bool = False

    @property
    def columns(self) -> list[str]:
        """The heads, each once: a second "Amount" is "Amount 2"; as many as the widest row has."""
        width = max([len(self.heads), *(len(row) for row in self.rows)], default=0)
        named = [*self.heads, *([""] * (width - len(self.heads)))]
        seen: dict[str, int] = {}
        columns = []
        for place, head in enumerate(named, start=1):
            word = head or f"Column {place}"
            seen[word] = seen.get(word, 0) + 1
            columns.append(word if seen[word] == 1 else f"{word} {seen[word]}")
        return columns

    @property
    def records(self) -> list[list[object]]:
        """The rows, all as wide as the columns."""
        width = len(self.columns)
        return [[*row, *([""] * (width - len(row)))] for row in self.rows]


class TableReader(HTMLParser):
    """Reads the tables of a page; `tables` holds them in the order of the page."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[PageTable] = []
        self.title = ""
        self._open: list[tuple[str, str]] = []  # tag, label
        self._table: PageTable | None = None
        self._part = "tbody"
        self._row: list[object] | None = None
        self._cell: list[str] | None = None
        self._span = 1
        self._hidden_at = 0
        self._heading = ""
        self._words: list[str] = []

    def handle_starttag(self, tag: str, attrs: Attributes) -> None:
        said = dict(attrs)
        if tag in VOID:
            return
        self._open.append((tag, said.get("aria-label") or ""))
        if self._hidden_at:
            return
        if tag in HEADINGS or tag in ("caption", "title"):
            self._words = []
        elif tag == "table":
            self._table = PageTable(self._label())
        elif self._table is not None:
            self._begin(tag, said)

    def _begin(self, tag: str, said: dict[str, str | None]) -> None:
        assert self._table is not None, "asked inside a table"
        if tag in ("thead", "tbody", "tfoot"):
            self._part = tag
            self._table.is_paged |= "data-paged" in said
        elif tag == "tr":
            self._row = []
        elif tag in ("td", "th") and self._row is not None:
            is_pick = "pick" in (said.get("class") or "").split()
            self._cell = None if is_pick else []
            self._span = int(said.get("colspan") or 1)
        elif self._cell is not None:
            if tag in LEFT_OUT or said.get("aria-hidden") == "true":
                self._hidden_at = len(self._open)
            elif tag == "data" or (tag == "time" and said.get("datetime")):
                exact = said.get("value") if tag == "data" else said.get("datetime")
                self._cell.append(f" {exact} ")
                self._hidden_at = len(self._open)

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID or not any(each == tag for each, _ in self._open):
            return
        while self._open:
            closed, _ = self._open.pop()
            if self._hidden_at > len(self._open):
                self._hidden_at = 0
            self._close(closed)
            if closed == tag:
                return

    def _close(self, tag: str) -> None:
        words = " ".join("".join(self._words).split())
        if tag in HEADINGS:
            self._heading = words
        elif tag == "title":
            self.title = words
        elif tag == "caption" and self._table is not None:
            self._table.name = words or self._table.name
        elif tag in ("td", "th") and self._cell is not None and self._row is not None:
            self._row += [value_of("".join(self._cell)), *([""] * (self._span - 1))]
            self._cell = None
        elif tag == "tr" and self._row is not None and self._table is not None:
            self._end_row(self._table, self._row)
            self._row = None
        elif tag == "table" and self._table is not None:
            self.tables.append(self._table)
            self._table, self._part = None, "tbody"

    def _end_row(self, table: PageTable, row: list[object]) -> None:
        if self._part == "thead":
            table.heads = table.heads or [str(each) for each in row]
        elif self._part == "tbody" and row:
            table.rows.append(row)

    def handle_data(self, data: str) -> None:
        if self._hidden_at:
            return
        self._words.append(data)
        if self._cell is not None:
            self._cell.append(data)

    def _label(self) -> str:
        """The nearest label around, else the last heading."""
        around = next((label for _, label in reversed(self._open) if label), "")
        return re.sub(r"\s+table$", "", around) or self._heading or "Table"


def value_of(text: str) -> object:
    """A cell: a number where it says nothing else, else its words."""
    words = " ".join(text.split())
    return Decimal(words) if STRICT_DECIMAL.fullmatch(words) else words


def tables_of(page: str) -> tuple[str, list[PageTable]]:
    """The title of a page and its tables that have rows."""
    reader = TableReader()
    reader.feed(page)
    reader.close()
    return reader.title.split(" · ")[0], [table for table in reader.tables if table.rows]
