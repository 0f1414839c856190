"""The tree behind a number: parts that add up to it exactly, each with what it was made from."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from accounts.figures import WIDE
from accounts.states import Shown


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

    @property
    def difference(self) -> Decimal:
        """The total without its parts; zero, or something is wrong."""
        return WIDE.subtract(self.total, exact_sum(self.parts))

    @property
    def adds_up(self) -> bool:
        """Whether the parts, and all of theirs, add up to the last digit."""
        return self.difference == 0 and all(part.adds_up() for part in self.parts)

    @property
    def leaf_count(self) -> int:
        """How many parts at the ends of the tree there are."""
        return sum(1 for part in self.parts for _ in part.leaves())


def exact_sum(parts: tuple[Part, ...]) -> Decimal:
    """The parts' sum without losing a digit."""
    total = Decimal(0)
    for part in parts:
        total = WIDE.add(total, part.amount)
    return total
