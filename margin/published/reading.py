"""Values of a published case, by name; one that is missing or of another sort is refused."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from margin.engine.rejected import RejectedInputError


def given(inputs: Mapping[str, Any], name: str) -> object:
    """The value under this name."""
    if name not in inputs:
        raise RejectedInputError(f"the inputs have no {name}")
    value: object = inputs[name]
    return value


def number(inputs: Mapping[str, Any], name: str) -> float:
    """A number, as a float."""
    value = given(inputs, name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RejectedInputError(f"{name} is not a number")
    try:
        return float(value)
    except OverflowError as error:
        raise RejectedInputError(f"{name} is beyond every number in use") from error


def decimal(inputs: Mapping[str, Any], name: str) -> Decimal:
    """A number, as the decimal that was written down."""
    return Decimal(repr(number(inputs, name)))


def whole(inputs: Mapping[str, Any], name: str) -> int:
    """A whole number of any size."""
    value = given(inputs, name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise RejectedInputError(f"{name} is not a whole number")
    return value


def word(inputs: Mapping[str, Any], name: str) -> str:
    """A text."""
    value = given(inputs, name)
    if not isinstance(value, str):
        raise RejectedInputError(f"{name} is not a text")
    return value


def flag(inputs: Mapping[str, Any], name: str) -> bool:
    """True or false."""
    value = given(inputs, name)
    if not isinstance(value, bool):
        raise RejectedInputError(f"{name} is neither true nor false")
    return value


def numbers(values: object, *, name: str) -> list[float]:
    """A list of numbers, as floats."""
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise RejectedInputError(f"{name} is not a list of numbers")
    return [number({name: value}, name) for value in values]
