"""The tree behind a number: parts that make it exactly, each with what it was made from.

Most numbers are the sum of their parts. Some are the least of their terms, or one divided by
another; what is beneath a part adds up to it, whatever the number itself is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final

from accounts.figures import WIDE
from accounts.states import Shown

ZERO: Final = Decimal(0)
SHARE_DECIMALS: Final = Decimal("1.000000")


class Made(StrEnum):
    """How a number comes from its parts."""

    SUM = "sum"
    LEAST = "least"
    QUOTIENT = "quotient"


@dataclass(frozen=True)
class Source:
    """Something a part rests on: a price with its state, a parameter, an agreement, a posting."""

    what: str
    text: str
    address: str = ""
    state: Shown | None = None


@dataclass(frozen=True)
class Part:
    """One part of a number; either its own parts add up to it, or `how` shows the product.

    Attributes:
        beside: what was compared and did not decide; part of no sum.
    """

    label: str
    amount: Decimal
    how: str = ""
    sources: tuple[Source, ...] = ()
    parts: tuple["Part", ...] = ()
    beside: tuple["Part", ...] = ()

    def leaves(self) -> Iterator["Part"]:
        """The parts that have no parts of their own."""
        if not self.parts:
            yield self
        for part in self.parts:
            yield from part.leaves()

    def adds_up(self) -> bool:
        """Whether every sum beneath is exact."""
        if not self.parts:
            return True
        return exact_sum(self.parts) == self.amount and all(p.adds_up() for p in self.parts)


@dataclass(frozen=True)
class Fact:
    """A line at the foot of an explanation: run, model, hash of the inputs, replay."""

    term: str
    text: str
    address: str = ""
    is_code: bool = False


@dataclass(frozen=True)
class Explanation:
    """Why a number is what it is, as the drawer of a page shows it.

    Attributes:
        question: "Why equity is 3,020.74 USD".
        about: scope and instant.
        close: address of the page without the drawer.
        decimals: how many the parts show; the total shows all.
        made: how the total comes from the parts. The least is never below 0; of two numbers that
            are divided the share is kept to a millionth.
        beside: what was not asked but belongs to it, under its own title; part of no sum.
    """

    question: str
    about: str
    total: Decimal
    unit: str
    parts: tuple[Part, ...]
    close: str
    decimals: int = 2
    facts: tuple[Fact, ...] = ()
    link: str = ""
    made: Made = Made.SUM
    beside_title: str = ""
    beside: tuple[Part, ...] = ()

    @property
    def difference(self) -> Decimal:
        """The total less what its parts make; zero, or something is wrong."""
        return WIDE.subtract(self.total, made_of(self.parts, self.made))

    @property
    def adds_up(self) -> bool:
        """Whether the parts, and all of theirs, make it to the last digit."""
        return self.difference == 0 and all(part.adds_up() for part in self.parts)

    @property
    def binding(self) -> Part | None:
        """Of terms the one that lets least through; of equals the first."""
        if self.made is not Made.LEAST:
            return None
        return min(self.parts, key=lambda part: part.amount)

    @property
    def leaf_count(self) -> int:
        """How many parts at the ends of the tree there are."""
        return sum(1 for part in self.parts for _ in part.leaves())


def made_of(parts: Sequence[Part], made: Made) -> Decimal:
    """What the parts make."""
    if made is Made.LEAST:
        return max(ZERO, min(part.amount for part in parts))
    if made is Made.QUOTIENT:
        above, below = parts
        return share_of(above.amount, below.amount)
    return exact_sum(parts)


def share_of(above: Decimal, below: Decimal) -> Decimal:
    """One number as part of another, to a millionth."""
    return WIDE.quantize(WIDE.divide(above, below), SHARE_DECIMALS)


def exact_sum(parts: Sequence[Part]) -> Decimal:
    """The parts' sum without losing a digit."""
    total = ZERO
    for part in parts:
        total = WIDE.add(total, part.amount)
    return total
