"""Published cases against the engine: which it gives, which it does not, which it cannot."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from margin.engine.rejected import RejectedInputError
from margin.published import KINDS, SCHEDULES
from margin.published.agreement import (
    ABSENT,
    Tolerance,
    disagreements,
    figure_count,
    tolerance,
)

# What a function may raise for inputs of another kind's shape; anything else is our own mistake.
UNREADABLE_INPUTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A case that was not matched: the figures that differ, or why there are none."""

    id: str
    expected: Any
    got: Any
    reason: str | None = None


@dataclass(slots=True)
class FileReport:
    """What came of one file; `error` says in a sentence why it could not be read as cases."""

    file: str
    kind: str | None = None
    cases: int = 0
    matched: int = 0
    unsupported: int = 0
    mismatches: list[Mismatch] = field(default_factory=list)
    error: str | None = None

    @property
    def mismatched(self) -> int:
        """How many cases were not matched."""
        return len(self.mismatches)

    @property
    def is_matched(self) -> bool:
        """Every case was, and there is one."""
        return self.error is None and 0 < self.cases == self.matched


class Case(NamedTuple):
    """One case as it stands in a file."""

    id: str
    inputs: Mapping[str, Any]
    expected: Mapping[str, Any]


class MalformedError(ValueError):
    """A file or a case that is not of the format; the message is a sentence."""


def check_path(path: Path) -> list[FileReport]:
    """A file, or every `*.json` of a folder in the order of their names."""
    if not path.is_dir():
        return [check_file(path)]
    files = sorted(path.glob("*.json"))
    if not files:
        return [FileReport(str(path), error="The folder has no file of cases.")]
    return [check_file(file) for file in files]


def check_file(path: Path) -> FileReport:
    """All cases of one file."""
    report = FileReport(str(path))
    try:
        document = _read(path)
        report.kind = _kind(document)
        within, listed = tolerance(document.get("tolerance")), _listed(document)
    except (MalformedError, RejectedInputError) as error:
        report.error = _sentence(str(error))
        return report
    report.cases = len(listed)
    if report.kind in KINDS:
        checked = _one_by_one(listed, kind=report.kind, within=within)
    elif report.kind in SCHEDULES:
        checked = _as_one_schedule(listed, kind=report.kind, within=within)
    else:
        report.unsupported = len(listed)
        return report
    report.mismatches = [mismatch for mismatch in checked if mismatch is not None]
    report.matched = report.cases - report.mismatched
    return report


def totals(reports: Iterable[FileReport]) -> dict[str, int]:
    """The sums over files; `unreadable` counts the files that are none of cases."""
    listed = list(reports)
    return {
        "cases": sum(report.cases for report in listed),
        "matched": sum(report.matched for report in listed),
        "mismatched": sum(report.mismatched for report in listed),
        "unsupported": sum(report.unsupported for report in listed),
        "unreadable": sum(report.error is not None for report in listed),
    }


def as_json(report: FileReport) -> dict[str, Any]:
    """One file's report as JSON knows it."""
    return {
        "file": report.file,
        "kind": report.kind,
        "cases": report.cases,
        "matched": report.matched,
        "mismatched": report.mismatched,
        "unsupported": report.unsupported,
        "mismatches": [
            {
                "id": mismatch.id,
                "expected": _plain(mismatch.expected),
                "got": _plain(mismatch.got),
                "reason": mismatch.reason,
            }
            for mismatch in report.mismatches
        ],
        "error": report.error,
    }


def _one_by_one(listed: list[Any], *, kind: str, within: Tolerance) -> Iterator[Mismatch | None]:
    for place, entry in enumerate(listed):
        try:
            case = _case(entry, place=place)
        except MalformedError as error:
            yield _not_read(entry, place=place, why=error)
            continue
        try:
            with np.errstate(all="ignore"):
                got = KINDS[kind](case.inputs)
        except UNREADABLE_INPUTS as error:
            yield Mismatch(case.id, dict(case.expected), None, _why(error))
            continue
        yield _compared(case, got, within=within)


def _as_one_schedule(
    listed: list[Any], *, kind: str, within: Tolerance
) -> Iterator[Mismatch | None]:
    """Cases that mean something only together: one that cannot be read leaves none of them."""
    cases: list[Case | Mismatch] = []
    for place, entry in enumerate(listed):
        try:
            cases.append(_case(entry, place=place))
        except MalformedError as error:
            cases.append(_not_read(entry, place=place, why=error))
    read = [case for case in cases if isinstance(case, Case)]
    got: Sequence[Mapping[str, Any]] = ()
    reason: str | None = "Another case of the same schedule cannot be read."
    if len(read) == len(cases):
        try:
            with np.errstate(all="ignore"):
                got, reason = SCHEDULES[kind]([case.inputs for case in read]), None
        except UNREADABLE_INPUTS as error:
            reason = _why(error)
    for place, case in enumerate(cases):
        if isinstance(case, Mismatch):
            yield case
        elif reason is not None:
            yield Mismatch(case.id, dict(case.expected), None, reason)
        else:
            yield _compared(case, got[place], within=within)


def _compared(case: Case, got: Mapping[str, Any], *, within: Tolerance) -> Mismatch | None:
    nearly = within.beside(case.expected)
    differing = list(disagreements(got, expected=case.expected, within=nearly))
    if not differing:
        return None
    absent = [each.name for each in differing if each.got is ABSENT]
    return Mismatch(
        case.id,
        {each.name: each.expected for each in differing},
        {each.name: each.got for each in differing if each.got is not ABSENT},
        f"The engine does not give {', '.join(absent)}." if absent else None,
    )


def _read(path: Path) -> Mapping[str, Any]:
    try:
        document = json.loads(path.read_bytes().decode(), object_pairs_hook=_without_twins)
    except OSError as error:
        raise MalformedError(f"it cannot be opened ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"it is not JSON ({error})") from error
    if not isinstance(document, dict):
        raise MalformedError("it is not an object with kind, tolerance and cases")
    return document


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; a name given twice would hide one of its two values."""
    read = dict(pairs)
    if len(read) != len(pairs):
        raise ValueError("an object gives one name twice")
    return read


def _kind(document: Mapping[str, Any]) -> str:
    kind = document.get("kind")
    if not isinstance(kind, str) or not kind:
        raise MalformedError("it names no kind")
    return kind


def _listed(document: Mapping[str, Any]) -> list[Any]:
    listed = document.get("cases")
    if not isinstance(listed, list) or not listed:
        raise MalformedError("it has no list of cases")
    return listed


def _case(entry: object, *, place: int) -> Case:
    if not isinstance(entry, dict):
        raise MalformedError(f"case {place} is not an object")
    name, inputs, expected = entry.get("id"), entry.get("inputs"), entry.get("expected")
    if not isinstance(name, str) or not name:
        raise MalformedError(f"case {place} has no id")
    if not isinstance(inputs, dict):
        raise MalformedError("its inputs are not an object")
    if not isinstance(expected, dict):
        raise MalformedError("its expected is not an object")
    try:
        if not figure_count(expected, name=""):
            raise MalformedError("it expects no figure")
    except RejectedInputError as error:
        raise MalformedError(str(error)) from error
    return Case(name, inputs, expected)


def _not_read(entry: object, *, place: int, why: MalformedError) -> Mismatch:
    """A case that is none: its sentence, and what can be said of it."""
    known = entry if isinstance(entry, dict) else {}
    return Mismatch(
        str(known.get("id", f"case {place}")), known.get("expected"), None, _sentence(str(why))
    )


def _why(error: Exception) -> str:
    if isinstance(error, RejectedInputError):
        return _sentence(str(error))
    return _sentence(f"its inputs are not those of this kind ({type(error).__name__}: {error})")


def _sentence(text: str) -> str:
    """The text as one line that begins large and ends with a stop."""
    line = " ".join(text.split())
    return f"{line[:1].upper()}{line[1:].rstrip('.')}."


def _plain(value: Any) -> Any:  # noqa: ANN401
    """A value as JSON can hold it: what is no finite number becomes its name."""
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, Fraction):
        return float(value)
    if isinstance(value, float):
        return value if isfinite(value) else str(value)
    return value if value is None or isinstance(value, bool | int | str) else str(value)
