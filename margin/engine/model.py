"""What a margin model is: a market is prepared once, then any number of scopes is asked.

A model is data: a name and version, the type of its parameters, the function that prepares a
market, and the laws that hold for it. Axes: A scopes, K parts. Figures are floats in the
settlement currency; requirements are positive.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import reduce
from typing import Any, Final, Generic, NamedTuple, TypeVar

import numpy as np

from margin.engine.books import Books, Change
from margin.engine.given import Float
from margin.engine.market import Index, Kind, Market
from margin.engine.option_equity import OptionEquity, all_options

NOTHING_BINDS: Final = -1
P = TypeVar("P")


class Law(StrEnum):
    """What is always so; `ALWAYS` holds for every model, of the others each says whether.

    SCALE: k times the book requires k times as much, k > 0. SUBADDITIVE: two books together
    require no more than apart, each of both requirements. MONOTONE: a greater shock never
    requires less.
    """

    PERMUTATION = "permutation"
    BATCH = "batch_is_one_by_one"
    ADDS_UP = "parts_add_up"
    ORDERED = "initial_is_not_below_maintenance_nor_that_below_zero"
    EMPTY = "nothing_held_nothing_required"
    SCALE = "scale"
    SUBADDITIVE = "sub_additive"
    MONOTONE = "monotone_in_each_shock"


ALWAYS: Final = frozenset({Law.PERMUTATION, Law.BATCH, Law.ADDS_UP, Law.ORDERED, Law.EMPTY})


@dataclass(frozen=True, slots=True, eq=False)
class Requirement:
    """What scopes are required.

    Attributes:
        initial, maintenance: (A,) not negative; initial is never below maintenance.
        initial_parts, maintenance_parts: (A, K) signed; added from left to right they are the
            totals, bit for bit.
        binding: (A,) index of what decided initial margin among `Prepared.bindings`, the first of
            equals; NOTHING_BINDS where nothing is required.
    """

    initial: Float
    maintenance: Float
    initial_parts: Float
    maintenance_parts: Float
    binding: Index


@dataclass(frozen=True, slots=True)
class Part:
    """A node of the tree behind a requirement, before rounding.

    Attributes:
        label: what it is, in the words of the desk.
        amount: signed.
        how: the sum as written, with its figures.
        inputs: where the factors come from: {"price": name}, {"parameter": name},
            {"instrument": name}, {"scenario": name}.
        children: what adds up to the amount within rounding; none for a product.
        beside: what was compared and did not bind, or was netted; adds up to nothing.
    """

    label: str
    amount: float
    how: str
    inputs: tuple[Mapping[str, str], ...] = ()
    children: tuple["Part", ...] = ()
    beside: tuple["Part", ...] = ()


class Explained(NamedTuple):
    """The trees of one scope."""

    initial: Part
    maintenance: Part


class WorstColumn(NamedTuple):
    """The scenario that decided what one unit of a scope loses.

    Attributes:
        unit: what is netted, an underlying or all of them.
        scenario: its name; `column` is its place among the model's scenarios.
        gains: by instrument what each position gains in it, signed, in the order of the books.
    """

    unit: str
    scenario: str
    column: int
    gains: tuple[tuple[str, float], ...]


class Prepared(ABC):
    """A market with everything worked out that does not depend on who holds what.

    Attributes:
        parts: (K,) names of the parts, in their order.
        bindings: names of what may decide: scenarios, rules.
    """

    parts: tuple[str, ...]
    bindings: tuple[str, ...]

    @abstractmethod
    def requirement(self, books: Books) -> Requirement:
        """What each scope is required.

        Raises:
            RejectedInputError: a position of an instrument that the market does not have.
        """

    @abstractmethod
    def explain(self, books: Books, *, scope: int) -> Explained:
        """Why one scope is required what it is; the roots are its requirements, bit for bit."""

    def worst(self, books: Books, *, scope: int) -> tuple[WorstColumn, ...]:
        """By unit of one scope the worst scenario; nothing of a model without scenarios."""
        return ()

    def of_columns(self, books: Books, *, scope: int, columns: Sequence[int]) -> Requirement:
        """What one scope is required where no scenario is looked at but these, one for each unit.

        Of the columns that `worst` names it is the requirement, bit for bit.
        """
        return self.requirement(books.select([scope]))

    def marginal(self, books: Books, *, scope: int, change: Change) -> Requirement:
        """What one scope would be required after a change; one row."""
        return self.requirement(books.changed(scope, change))


class Counterexample(NamedTuple):
    """Books for which a law does not hold, kept so that nobody relies on it.

    Attributes:
        why: in a sentence.
        world: arguments of `margin.engine.worlds.world_for` after the model, and the two scopes
            or the factor.
    """

    why: str
    world: Mapping[str, Any]


def of_today(parameters: object) -> bool:
    """A model that asks for nothing of past days."""
    return False


def of_past_days(parameters: object) -> bool:
    """A model that cannot do without returns."""
    return True


def of_each(parameters: object) -> bool:
    """A model that takes every underlying by itself."""
    return False


def of_all_together(parameters: object) -> bool:
    """A model that takes underlyings together: their covariance, or a mean of all."""
    return True


@dataclass(frozen=True, slots=True)
class Model(Generic[P]):
    """A margin model.

    Attributes:
        name, version: under which agreements and runs name it.
        title: for people.
        parameters: a frozen dataclass declared with `margin.engine.parameters`.
        standard: a set to start from, for previews; no recommendation.
        proven: the set that laws, counter-examples, the slow implementation and validation are
            asked of; the standard one, unless that leaves a part of the model idle.
        prepare: prices a market once.
        laws: those beside ALWAYS that hold.
        breaks: those that do not, each with a counter-example.
        source: where the method was published.
        looks_back: whether a requirement rests on returns of past days; a market without any gives
            the same where it does not.
        mixes: whether what it makes of one underlying's past depends on which others are in the
            market.
        option_equity: what of its options a scope's equity counts beside the requirement.
        busy: a set that uses every part of the model, where the standard one does not.
    """

    name: str
    version: str
    title: str
    parameters: type[P]
    standard: P
    prepare: Callable[[Market, P], Prepared]
    laws: frozenset[Law]
    source: str
    breaks: Mapping[Law, Counterexample] = field(default_factory=dict)
    kinds: frozenset[Kind] = frozenset(Kind)
    looks_back: Callable[[P], bool] = of_today
    mixes: Callable[[P], bool] = of_each
    option_equity: Callable[[P], OptionEquity] = all_options
    whole_contracts: bool = False
    busy: P | None = None

    @property
    def proven(self) -> P:
        return self.standard if self.busy is None else self.busy


def first_greatest(columns: Float) -> Index:
    """(A,) the greatest of the columns (A, N), the first of equals; NOTHING_BINDS of none."""
    if not columns.shape[1]:
        return np.full(len(columns), NOTHING_BINDS)
    place: Index = columns.argmax(axis=1)
    return place


def in_order(parts: Float) -> Float:
    """(A,) the sum of the columns (A, K), added from left to right: anyone can repeat it."""
    return reduce(np.add, parts.T, np.zeros(len(parts)))
