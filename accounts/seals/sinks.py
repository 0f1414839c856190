"""Copies of the file of heads elsewhere: a second folder, a program, a function of one's own.

A sink that fails raises an alarm and is tried again with every seal until it has taken all lines;
it never stops sealing. A line may come twice after a crash, so a sink takes it as it comes.
"""

import json
import logging
import os
import shlex
import subprocess
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from django.conf import settings
from django.utils.module_loading import import_string

from accounts.seals.published import TAIL_BYTES, alone, heads_file

logger = logging.getLogger(__name__)

KINDS = ("folder", "command", "python")
COMMAND_SECONDS_MAX = 30
ERROR_CHARACTERS_MAX = 300
BYTES_AT_ONCE = 1_000_000
NO_LINE = sha256(b"").hexdigest()


class SinkFailedError(Exception):
    """A sink did not take the lines; the message says why."""


@dataclass(frozen=True)
class SinkState:
    """How far a sink has come.

    Attributes:
        sink: as the setting names it.
        delivered: bytes of the file of heads that it has taken.
        last_line: sha256 of the last line it took, by which a file that was replaced is noticed.
        failed_since: when it first failed since it last took something; "" while it does.
        error: what it said.
    """

    sink: str
    delivered: int = 0
    last_line: str = NO_LINE
    failed_since: str = ""
    error: str = ""

    @property
    def is_failing(self) -> bool:
        return self.failed_since != ""


def deliver_missing() -> list[SinkState]:
    """Hand every sink the lines that it has not taken; raises nothing for a sink that fails."""
    if not heads_file().exists():
        return states()
    return [_deliver(sink) for sink in settings.SEAL_SINKS]


def states() -> list[SinkState]:
    """How far each sink has come."""
    return [_read_state(sink) for sink in settings.SEAL_SINKS]


def copies_kept() -> list[Path]:
    """The copies of the file of heads that can be read here, those in other folders."""
    folders = (Path(sink.partition(":")[2]) for sink in settings.SEAL_SINKS if _is_folder(sink))
    return [copy for folder in folders if (copy := folder / heads_file().name).exists()]


def _is_folder(sink: str) -> bool:
    return sink.partition(":")[0] == "folder"


def _deliver(sink: str) -> SinkState:
    state_file = _state_file(sink)
    state_file.parent.mkdir(parents=True, exist_ok=True)
    with alone(state_file):
        state = _read_state(sink)
        try:
            while lines := _lines_from(state):
                _hand_over(sink, lines)
                state = _after(state, lines)
                _write_state(state_file, state)
        except Exception as error:  # a firm's own function may throw anything
            now = datetime.now(UTC).isoformat(timespec="seconds")
            said = f"{type(error).__name__}: {error}"[:ERROR_CHARACTERS_MAX]
            state = replace(state, failed_since=state.failed_since or now, error=said)
            _write_state(state_file, state)
            logger.error(
                "heads were not written to %s since %s: %s", sink, state.failed_since, said
            )
        else:
            if state.is_failing:
                state = replace(state, failed_since="", error="")
                _write_state(state_file, state)
    return state


def _after(state: SinkState, lines: list[str]) -> SinkState:
    start = state.delivered if _is_same_file(state) else 0
    size = sum(len(line.encode()) for line in lines)
    return SinkState(state.sink, start + size, sha256(lines[-1].encode()).hexdigest())


def _lines_from(state: SinkState) -> list[str]:
    """Whole lines after what was delivered; all of them where the file is no longer that one."""
    start = state.delivered if _is_same_file(state) else 0
    with heads_file().open("rb") as file:
        file.seek(start)
        text = file.read(BYTES_AT_ONCE).decode(errors="ignore")  # may end within a character
    return [line for line in text.splitlines(keepends=True) if line.endswith("\n")]


def _is_same_file(state: SinkState) -> bool:
    """Whether the file has, where delivery ended, the line that was delivered last."""
    if heads_file().stat().st_size < state.delivered:
        return False
    with heads_file().open("rb") as file:
        start = max(0, state.delivered - TAIL_BYTES)
        file.seek(start)
        before = file.read(state.delivered - start)
    last = before.removesuffix(b"\n").rpartition(b"\n")[2] + b"\n" if before else b""
    return sha256(last).hexdigest() == state.last_line


# ---------------------------------------------------------------- the kinds


def _hand_over(sink: str, lines: list[str]) -> None:
    kind, _, target = sink.partition(":")
    if kind == "folder":
        _add_to_copy(Path(target), lines)
    elif kind == "command":
        _tell_command(target, lines)
    elif kind == "python":
        import_string(target)(lines)
    else:
        raise SinkFailedError(f"{kind!r} is no kind of sink; there are {', '.join(KINDS)}")


def _add_to_copy(folder: Path, lines: list[str]) -> None:
    """Append to the copy and wait until the disk has it; the folder is not made here, so that
    one that is not mounted is noticed."""
    with (folder / heads_file().name).open("ab+") as copy:
        size = copy.seek(0, os.SEEK_END)
        copy.seek(max(0, size - TAIL_BYTES))
        # A line without its end was cut off by a crash; it comes again, whole.
        copy.truncate(size - len(copy.read().rpartition(b"\n")[2]))
        copy.write("".join(lines).encode())
        copy.flush()
        os.fsync(copy.fileno())


def _tell_command(command: str, lines: list[str]) -> None:
    """Run a program with the lines as its input; it has taken them when it exits 0."""
    done = subprocess.run(  # noqa: S603 - the operator's own setting
        shlex.split(command),
        input="".join(lines),
        capture_output=True,
        text=True,
        check=False,
        timeout=COMMAND_SECONDS_MAX,
    )
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise SinkFailedError(f"exit {done.returncode}{': ' + said[-1] if said else ''}")


# ---------------------------------------------------------------- what a sink has taken


def _state_file(sink: str) -> Path:
    name = sha256(f"{heads_file().name} {sink}".encode()).hexdigest()[:16]
    return heads_file().parent / "sinks" / f"{name}.json"


def _read_state(sink: str) -> SinkState:
    try:
        said = json.loads(_state_file(sink).read_text())
        return SinkState(**{**said, "sink": sink})
    except FileNotFoundError:
        return SinkState(sink)


def _write_state(path: Path, state: SinkState) -> None:
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(asdict(state)) + "\n")
    draft.replace(path)
