"""One mapping of reference.yaml, read field by field; every wrong field is refused by its path."""

from collections.abc import Container, Iterator
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal

from brokerage.inbox.reference.tree import Fields, Items, Node, Text, refused, shown
from brokerage.inbox.refusal import FolderRefusedError, quoted
from ledger.statements.rows import parse_number, parse_time

# What a numeric column of the book holds; a longer number is a slip of the pen or an attack.
MOST_DIGITS_BEFORE_POINT = 20
MOST_DECIMALS = 18
LONGEST_CODE = 64
LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Record:
    """A mapping with its place in the file; every reader below refuses what it cannot read."""

    fields: dict[str, Node]
    path: str
    line: int

    def check_keys(self, *required: str, optional: tuple[str, ...] = ()) -> None:
        """Refuse a key the format does not have, and the lack of one it needs."""
        for key, node in self.fields.items():
            if key not in required and key not in optional:
                raise refused("the key is unknown", line=node.line, path=self.below(shown(key)))
        self.check_has(*required)

    def check_has(self, *keys: str) -> None:
        """Refuse the lack of a key."""
        for key in keys:
            if key not in self.fields:
                raise refused("the key is missing", line=self.line, path=self.below(key))

    def text(self, key: str, *, longest: int = LONGEST_NAME) -> str:
        """Text for people: one line, not empty."""
        node = self._string(key)
        if not node.text.strip() or not node.text.isprintable():
            raise self.refused(key, f"{quoted(node.text)} is not a line of text")
        if len(node.text) > longest:
            raise self.refused(key, f"the text has {len(node.text):,} characters, above {longest}")
        return node.text

    def code(self, key: str, *, among: Container[str] | None = None, what: str = "a code") -> str:
        """A code; with `among` it must be one of them, of which `what` is the name."""
        text = self._string(key).text
        if among is not None and text in among:
            return text
        if among is not None or text != text.strip() or not text or not text.isprintable():
            raise self.refused(key, f"{quoted(text)} is not {what}")
        if len(text) > LONGEST_CODE:
            raise self.refused(key, f"the code has {len(text):,} characters, above {LONGEST_CODE}")
        return text

    def codes(self, key: str, *, among: Container[str], what: str) -> tuple[str, ...]:
        """A list of different codes."""
        node = self.fields[key]
        if not isinstance(node, Items):
            raise self.refused(key, "a list belongs here")
        items = {f"{key}[{at}]": item for at, item in enumerate(node.items)}
        listed = Record(items, self.path, node.line)
        codes: list[str] = []
        for at in items:
            code = listed.code(at, among=among, what=what)
            if code in codes:
                raise listed.refused(at, f"{quoted(code)} is listed twice")
            codes.append(code)
        return tuple(codes)

    def number(self, key: str) -> Decimal:
        """A quoted decimal of either sign."""
        node = self.fields[key]
        if not isinstance(node, Text):
            raise self.refused(key, "a number in quotes belongs here")
        number = parse_number(node.text)
        if number is None:
            raise self.refused(key, f"{quoted(node.text)} is not a number")
        if not node.is_quoted:
            raise self.refused(key, f"a number stands in quotes; {quoted(node.text)} does not")
        if number.adjusted() >= MOST_DIGITS_BEFORE_POINT:
            raise self.refused(key, f"{quoted(node.text)} has too many digits")
        if decimals_of(number) > MOST_DECIMALS:
            raise self.refused(key, f"{quoted(node.text)} has more than {MOST_DECIMALS} decimals")
        return number if number else number.copy_abs()

    def number_from(self, key: str, *, floor: int, ceiling: int | None = None) -> Decimal:
        """A number not below `floor` and, if given, not above `ceiling`."""
        number = self.number(key)
        if number < floor:
            raise self.refused(key, f"{number:f} is below {floor}")
        if ceiling is not None and number > ceiling:
            raise self.refused(key, f"{number:f} is above {ceiling}")
        return number

    def scale(self, key: str) -> int:
        """A count of decimals."""
        number = self.number_from(key, floor=0, ceiling=MOST_DECIMALS)
        if number != number.to_integral_value():
            raise self.refused(key, f"{number:f} is not a whole number")
        return int(number)

    def amount(self, key: str, *, unit: str, scale: int, signed: bool = False) -> Decimal:
        """An amount of `unit` with no more decimals than it has; below 0 only if `signed`."""
        amount = self.number(key)
        decimals = decimals_of(amount)
        if decimals > scale:
            has = f"{unit} has {scale} decimal{'' if scale == 1 else 's'}"
            raise self.refused(key, f"{has}; {amount:f} has {decimals}")
        if amount < 0 and not signed:
            raise self.refused(key, f"{amount:f} is below 0")
        return amount

    def day(self, key: str) -> date:
        """A calendar date, YYYY-MM-DD."""
        text = self._string(key).text
        midnight = parse_time(f"{text}T00:00:00Z")
        if midnight is None:
            raise self.refused(key, f"{quoted(text)} is not a date")
        return midnight.date()

    def time_of_day(self, key: str) -> time:
        """A time of the day, HH:MM:SS."""
        text = self._string(key).text
        instant = parse_time(f"2000-01-01T{text}Z")
        if instant is None:
            raise self.refused(key, f"{quoted(text)} is not a time")
        return instant.time()

    def records(self, key: str) -> Iterator["Record"]:
        """The mappings of a list; a key with nothing after it, or no key, lists nothing."""
        node = self.fields.get(key)
        if node is None or (isinstance(node, Text) and node.is_empty):
            return
        if not isinstance(node, Items):
            raise self.refused(key, "a list belongs here")
        for at, item in enumerate(node.items):
            path = self.below(f"{key}[{at}]")
            if not isinstance(item, Fields):
                raise refused("a mapping belongs here", line=item.line, path=path)
            yield Record(item.fields, path, item.line)

    def record(self, key: str) -> "Record":
        """The mapping under a key."""
        node = self.fields[key]
        if not isinstance(node, Fields):
            raise self.refused(key, "a mapping belongs here")
        return Record(node.fields, self.below(key), node.line)

    def below(self, key: str) -> str:
        """The path of a key of this mapping."""
        return f"{self.path}.{key}" if self.path else key

    def refused(self, key: str, what: str) -> FolderRefusedError:
        """The refusal of one field of this mapping."""
        return refused(what, line=self.fields[key].line, path=self.below(key))

    def _string(self, key: str) -> Text:
        node = self.fields[key]
        if not isinstance(node, Text):
            raise self.refused(key, "text belongs here")
        if node.is_empty:
            raise self.refused(key, "there is no value")
        if not node.is_string:
            raise self.refused(key, f"{quoted(node.text)} is not text; put it in quotes")
        return node


def decimals_of(number: Decimal) -> int:
    """Decimals as written; trailing zeros count."""
    return max(0, -int(number.as_tuple().exponent))
