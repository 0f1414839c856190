"""Whether a figure is the published one: numbers within a tolerance, all else exactly.

Compared as fractions: a tolerance of 0 means the very number, also where it has forty digits.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from math import isfinite
from typing import Any

import numpy as np

from margin.engine.rejected import RejectedInputError

DIGITS_MAX = 400  # a figure beyond 10^400 or below 10^-400 is none
DEPTH_MAX = 20
NO_NUMBERS = frozenset({"nan", "snan", "inf", "infinity"})


# What adding up amounts in binary leaves of them where they cancel out.
ROUNDING = Fraction(1, 10**14)


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far a figure may lie from the published one: at most so much, or so much of it.

    Attributes:
        rounding: what of a figure is rounding of larger ones beside it, whatever the tolerance.
    """

    amount: Fraction
    is_relative: bool
    rounding: Fraction = Fraction(0)

    def allows(self, got: Fraction, *, expected: Fraction) -> bool:
        """Whether the figure is near enough."""
        limit = self.amount * abs(expected) if self.is_relative else self.amount
        return abs(got - expected) <= max(limit, self.rounding)

    def beside(self, expected: object) -> "Tolerance":
        """For the figures of one case: a relative one passes over rounding of its largest."""
        if not self.is_relative or not self.amount:
            return self
        largest = max((abs(number) for number in _numbers(expected)), default=Fraction(0))
        return replace(self, rounding=largest * ROUNDING)


class Among(tuple[Any, ...]):
    """Answers of which any will do, since nothing but rounding tells them apart."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One figure that is not the published one; `name` is its path in `expected`."""

    name: str
    expected: Any
    got: Any


class Absent:
    """What the engine does not give."""

    def __repr__(self) -> str:
        return "nothing"


ABSENT = Absent()


def tolerance(given: object) -> Tolerance:
    """The tolerance that a file names.

    Raises:
        RejectedInputError: it is not one of `abs` and `rel` with a number from 0.
    """
    if isinstance(given, Mapping) and len(given) == 1 and ({*given} <= {"abs", "rel"}):
        (name, value), *_ = given.items()
        amount = None if isinstance(value, str) else as_number(value)
        if amount is not None and amount >= 0:
            return Tolerance(amount, is_relative=name == "rel")
    raise RejectedInputError("the tolerance is neither abs nor rel with a number from 0")


def as_number(value: object) -> Fraction | None:
    """The exact value of a number, also of one that is written as a text; None for all else."""
    if isinstance(value, bool | np.bool_):
        return None
    if isinstance(value, int | Fraction):
        return Fraction(value)
    if isinstance(value, float | np.floating):
        return Fraction(float(value)) if isfinite(value) else None
    if isinstance(value, np.integer):
        return Fraction(int(value))
    if isinstance(value, str | Decimal):
        try:
            read = Decimal(value)
        except InvalidOperation:
            return None
        return Fraction(read) if read.is_finite() and abs(read.adjusted()) < DIGITS_MAX else None
    return None


def figure_count(expected: object, *, name: str, depth: int = 0) -> int:
    """How many numbers and nones `expected` has, also in its lists and maps.

    Raises:
        RejectedInputError: it has what no figure can be compared to.
    """
    if depth > DEPTH_MAX:
        raise RejectedInputError("expected is nested too deeply")
    if isinstance(expected, Mapping | list):
        inside = _parts(expected, name=name)
        return sum(figure_count(value, name=path, depth=depth + 1) for _, path, value in inside)
    if expected is None or as_number(expected) is not None:
        return 1
    if not isinstance(expected, str) or expected.strip().lstrip("+-").lower() in NO_NUMBERS:
        raise RejectedInputError(f"expected gives {name} as what is no finite number")
    return 0


def disagreements(
    got: object, *, expected: object, within: Tolerance, name: str = ""
) -> Iterator[Disagreement]:
    """Every figure of `expected` that `got` does not have within the tolerance.

    What `got` has besides is not looked at. NaN is no number, and so never the published one.
    """
    answers = got.tolist() if isinstance(got, np.ndarray) else got
    if isinstance(answers, Among):
        each = [
            list(disagreements(answer, expected=expected, within=within, name=name))
            for answer in answers
        ]
        yield from min(each, key=len, default=[Disagreement(name, expected, ABSENT)])
    elif isinstance(expected, Mapping) and isinstance(answers, Mapping):
        for key, path, value in _parts(expected, name=name):
            answer = answers.get(key, ABSENT)
            yield from disagreements(answer, expected=value, within=within, name=path)
    elif isinstance(expected, list) and isinstance(answers, list | tuple):
        if len(answers) != len(expected):
            yield Disagreement(name, expected, answers)
            return
        for key, path, value in _parts(expected, name=name):
            yield from disagreements(answers[key], expected=value, within=within, name=path)
    elif not _agree(answers, expected=expected, within=within):
        yield Disagreement(name, expected, answers)


def _agree(got: object, *, expected: object, within: Tolerance) -> bool:
    if expected is None:
        return got is None
    published, answer = as_number(expected), as_number(got)
    if published is not None:
        return answer is not None and within.allows(answer, expected=published)
    return isinstance(expected, str) and isinstance(got, str) and got == expected


def _numbers(expected: object) -> Iterator[Fraction]:
    if isinstance(expected, Mapping | list):
        for _, _, part in _parts(expected, name=""):
            yield from _numbers(part)
    elif (number := as_number(expected)) is not None:
        yield number


def _parts(value: Mapping[str, Any] | list[Any], *, name: str) -> Iterator[tuple[Any, str, Any]]:
    """What is inside: its key or place, its path, itself."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield key, f"{name}.{key}" if name else key, part
    else:
        for place, part in enumerate(value):
            yield place, f"{name}[{place}]", part
