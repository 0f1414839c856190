"""Statements that took long, with the address or job that asked them; never with their values.

Lines of JSON in a file of the installation, with one file of before it: what is kept is bounded,
and nothing is written to the database about the database. The text is the statement with its
places for values; whatever was written into it as a literal is left out.
"""

import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from django.conf import settings

NOWHERE: Final = "a command"
BYTES_MOST: Final = 400_000
TEXT_MOST: Final = 2_000
# Strings, and numbers that stand by themselves.
LITERALS: Final = re.compile(
    r"\$(\w*)\$.*?\$\1\$|'(?:[^']|'')*'|(?<![\w.\"$])-?\d+(?:\.\d+)?", re.S
)
SPACE: Final = re.compile(r"\s+")

_where: ContextVar[str] = ContextVar("where", default=NOWHERE)


@dataclass(frozen=True, slots=True)
class Slow:
    """What is known of one text of a statement at one place.

    Attributes:
        where: name of the address, or `job` and its kind.
        count: how often it took long, of what is kept.
        milliseconds, most: together, and the longest.
        last: when, the last time.
    """

    where: str
    text: str
    count: int
    milliseconds: int
    most: int
    last: datetime

    @property
    def mean(self) -> int:
        return self.milliseconds // self.count


@contextmanager
def at_work_for(where: str) -> Iterator[None]:
    """Whatever takes long inside is said to be of this address or job."""
    token = _where.set(where)
    try:
        yield
    finally:
        _where.reset(token)


def watch(
    execute: Callable[..., Any], sql: object, params: object, many: bool, context: Mapping[str, Any]
) -> Any:  # noqa: ANN401 (whatever the statement gives)
    """Run a statement of Django's, and keep a line of it where it took long."""
    began = time.perf_counter()
    try:
        return execute(sql, params, many, context)
    finally:
        milliseconds = int((time.perf_counter() - began) * 1_000)
        if milliseconds >= settings.SLOW_STATEMENT_MS:
            keep(str(sql), milliseconds=milliseconds)


def keep(text: str, *, milliseconds: int) -> None:
    """Add a line; the log of today becomes that of before where it is full."""
    line = json.dumps(
        {
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "where": _where.get(),
            "ms": milliseconds,
            "text": without_values(text),
        }
    )
    path = file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, f"{line}\n".encode())
            is_full = os.fstat(handle).st_size > BYTES_MOST
        finally:
            os.close(handle)
        if is_full:
            path.replace(before())
    except OSError:
        # A disk that is full or read-only must not break the work that was only measured.
        return


def file() -> Path:
    return Path(settings.SLOW_STATEMENTS)


def before() -> Path:
    return file().with_suffix(".before.ndjson")


def without_values(text: str) -> str:
    """A statement as one line, without anything that could be a value."""
    return SPACE.sub(" ", LITERALS.sub("?", text)).strip()[:TEXT_MOST]


def lines() -> Iterator[dict[str, Any]]:
    """What is kept, the oldest first; a line that was cut off is passed over."""
    for path in (before(), file()):
        if not path.exists():
            continue
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                said = json.loads(line)
            except ValueError:
                continue
            yield said


def slowest() -> list[Slow]:
    """By place and text, what took most time together first."""
    found: dict[tuple[str, str], Slow] = {}
    for said in lines():
        key = said["where"], said["text"]
        at, ms = datetime.fromisoformat(said["at"]), int(said["ms"])
        known = found.get(key, Slow(*key, 0, 0, 0, at))
        found[key] = Slow(
            *key, known.count + 1, known.milliseconds + ms, max(known.most, ms), max(known.last, at)
        )
    return sorted(found.values(), key=lambda each: (-each.milliseconds, each.where, each.text))
