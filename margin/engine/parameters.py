"""Parameters of models: declared once with meaning, unit and bounds; read, written and hashed.

A parameter set is a frozen dataclass whose fields are made with `parameter`. It is stored as JSON
and refused where a value is missing, unknown, of another type or out of its bounds. Where the type
of a field depends on the value of another, the set says so by a static method `field_types`, which
takes the values and gives the types.
"""

import json
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from enum import StrEnum
from functools import cache, lru_cache
from hashlib import sha256
from math import isfinite
from types import GenericAlias
from typing import Any, Final, TypeVar, cast, get_args, get_origin, get_type_hints

from margin.engine.rejected import RejectedInputError

P = TypeVar("P")
DECLARED: Final = "parameter"
# A firm has few sets; each question reads those of its scope.
SETS_KEPT: Final = 256


@dataclass(frozen=True, slots=True)
class Declared:
    """What is said of a parameter.

    Attributes:
        meaning: one line in the words of a risk manager.
        unit: "share", "per year", "days", "settlement currency"; empty for a name or a flag.
        least, most: bounds, both allowed.
        is_shock: a greater value never requires less where positions do not offset.
    """

    meaning: str
    unit: str
    least: float | None
    most: float | None
    is_shock: bool


@dataclass(frozen=True, slots=True)
class Field:
    """A parameter in its set; `path` leads into nested sets: "tails.0.dampening"."""

    path: str
    declared: Declared
    value: Any


def parameter(
    meaning: str,
    *,
    unit: str = "",
    least: float | None = None,
    most: float | None = None,
    is_shock: bool = False,
) -> Any:  # noqa: ANN401 (what the field is annotated as)
    """Declare a field of a parameter set; a sequence is bounded element by element."""
    return field(metadata={DECLARED: Declared(meaning, unit, least, most, is_shock)})


def check_parameters(parameters: object) -> None:
    """Refuse a set with a value out of its bounds; call from `__post_init__`.

    Raises:
        RejectedInputError: naming the parameter.
    """
    for each in parameter_fields(parameters):
        if isinstance(each.value, bool | str):
            continue
        value, declared = float(each.value), each.declared
        if not isfinite(value):
            raise RejectedInputError(f"{each.path}: a finite number is needed")
        if declared.least is not None and value < declared.least:
            raise RejectedInputError(f"{each.path}: {value:g} is below {declared.least:g}")
        if declared.most is not None and value > declared.most:
            raise RejectedInputError(f"{each.path}: {value:g} is above {declared.most:g}")


def parameter_fields(parameters: object) -> Iterator[Field]:
    """Every single value of a set, nested ones and elements of sequences included."""
    assert is_dataclass(parameters), "a parameter set is a dataclass"
    for each in fields(parameters):
        value, declared = getattr(parameters, each.name), each.metadata.get(DECLARED)
        yield from _fields(each.name, value, declared)


def read_parameters(kind: type[P], values: Mapping[str, Any]) -> P:
    """A parameter set out of JSON.

    Raises:
        RejectedInputError: a value is missing, not known, of another type or out of bounds.
    """
    try:
        text = json.dumps(values)
    except (TypeError, ValueError):  # not JSON: what is wrong with it is said below
        return _read("", kind, values)  # type: ignore[no-any-return]
    found: P = _read_text(cast("Hashable", kind), text)
    return found


@lru_cache(SETS_KEPT)
def _read_text(kind: Any, text: str) -> Any:  # noqa: ANN401 (a type, and a set of it)
    """The set that a text says; sets cannot be changed, so whoever asks again gets the same."""
    return _read("", kind, json.loads(text))


def written_parameters(parameters: object) -> dict[str, Any]:
    """A parameter set as JSON; `read_parameters` gives the same set back."""
    assert is_dataclass(parameters), "a parameter set is a dataclass"
    return {each.name: _written(getattr(parameters, each.name)) for each in fields(parameters)}


def parameters_sha256(parameters: object) -> str:
    """The sha256 of a parameter set, in hex; 1 and 1.0 are one number."""
    text = json.dumps(written_parameters(parameters), sort_keys=True, separators=(",", ":"))
    return sha256(text.encode()).hexdigest()


def _fields(path: str, value: object, declared: Declared | None) -> Iterator[Field]:
    if is_dataclass(value):
        for inner in parameter_fields(value):
            yield Field(f"{path}.{inner.path}", inner.declared, inner.value)
    elif isinstance(value, tuple):
        for place, element in enumerate(value):
            yield from _fields(f"{path}.{place}", element, declared)
    else:
        assert declared is not None, f"{path} is declared with `parameter`"
        yield Field(path, declared, value)


def _read(path: str, kind: Any, value: Any) -> Any:  # noqa: ANN401 (types and JSON)
    if get_origin(kind) is tuple:
        return _read_tuple(path, kind, value)
    if is_dataclass(kind):
        return _read_set(path, kind, value)
    if kind is float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise RejectedInputError(f"{path}: a number is needed, not {value!r}")
        return float(value)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        if value not in set(kind):
            raise RejectedInputError(f"{path}: {value!r} is none of {', '.join(kind)}")
        return kind(value)
    if type(value) is not kind:
        raise RejectedInputError(f"{path}: {kind.__name__} is needed, not {value!r}")
    return value


def _read_tuple(path: str, kind: GenericAlias, value: Any) -> tuple[Any, ...]:  # noqa: ANN401
    if not isinstance(value, list | tuple):
        raise RejectedInputError(f"{path}: a list is needed, not {value!r}")
    (element, *_rest) = get_args(kind)
    return tuple(_read(f"{path}.{place}", element, each) for place, each in enumerate(value))


def _read_set(path: str, kind: Any, value: Any) -> Any:  # noqa: ANN401
    if not isinstance(value, Mapping):
        raise RejectedInputError(f"{path or kind.__name__}: named values are needed")
    names = [each.name for each in fields(kind)]
    strange = [name for name in value if name not in names]
    missing = [name for name in names if name not in value]
    if strange or missing:
        said = [f"{name} is missing" for name in missing] + [f"{n} is not known" for n in strange]
        raise RejectedInputError(f"{path or kind.__name__}: {'; '.join(said)}")
    # A set that holds the parameters of whatever model it names knows their type only then.
    chosen = getattr(kind, "field_types", None)
    types = _types_of(kind) if chosen is None else chosen(value)
    prefix = f"{path}." if path else ""
    return kind(**{name: _read(prefix + name, types[name], value[name]) for name in names})


@cache
def _types_of(kind: type) -> Mapping[str, Any]:
    return get_type_hints(kind)


def _written(value: Any) -> Any:  # noqa: ANN401
    if is_dataclass(value):
        return written_parameters(value)
    if isinstance(value, tuple):
        return [_written(each) for each in value]
    if isinstance(value, StrEnum):
        return str(value)
    return value
