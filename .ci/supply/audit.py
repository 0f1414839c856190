"""Known vulnerabilities of every locked package, from published advisories (`make audit`).

Exits 0 where there is none, 1 where there is one or where what is ignored has to be looked at
again, and 2 where nobody answered. With --report it exits 0 in any case: what a run of the tests
says depends on the code alone, not on what was published this morning.
"""

import argparse
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from supply.lock import DEVELOPMENT, SHIPPED, Locked, locked

IGNORED = Path(__file__).with_name("ignored.toml")
# One answer is waited for so long; the others bound the whole, also on a machine with other work.
ANSWER_SECONDS_MAX, FIRST_SECONDS_MAX, ALL_SECONDS_MAX = 4, 30, 120
TITLE = "Audit of dependencies"


class NoAnswerError(Exception):
    """Nobody said what is known of the packages, or not of all of them."""


@dataclass(frozen=True)
class Ignored:
    """An advisory that somebody has looked at."""

    id: str
    package: str
    reason: str
    until: date


@dataclass
class Outcome:
    """What is to be said, a line each.

    Attributes:
        found: vulnerabilities that nobody has looked at.
        stale: what is ignored and has to be looked at again.
        quiet: what is ignored.
    """

    found: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    quiet: list[str] = field(default_factory=list)


def read_ignored(text: str) -> list[Ignored]:
    """The advisories that are ignored.

    Raises:
        ValueError: one lacks its package, reason or end.
    """
    found = []
    for each in tomllib.loads(text).get("ignored", []):
        if set(each) != {"id", "package", "reason", "until"} or len(each["reason"]) < 10:
            raise ValueError(f"{each.get('id')}: say id, package, reason (in words) and until")
        if type(each["until"]) is not date:
            raise ValueError(f"{each['id']}: until is a day, as in 2027-01-31")
        found.append(Ignored(**each))
    return found


def judged(
    said: Iterable[Mapping[str, Any]], ignored: Sequence[Ignored], *, shipped: Iterable[str],
    today: date,
) -> Outcome:  # fmt: skip
    """Sort what is known of the packages by what somebody has to do.

    Args:
        said: packages as pip-audit names them, each with its `vulns`.

    Raises:
        NoAnswerError: of some packages it was not said what is known.
    """
    outcome, used = Outcome(), set()
    said, ships = list(said), set(shipped)
    unknown = [each["name"] for each in said if "skip_reason" in each]
    if len(unknown) == len(said):
        raise NoAnswerError("the registry that is reached from here serves no advisories")
    if unknown:
        raise NoAnswerError(f"no advisories are served for {', '.join(unknown)}")
    for each in said:
        for known in each["vulns"]:
            names = {known["id"], *known["aliases"]}
            looked_at = next(
                (i for i in ignored if i.package == each["name"] and i.id in names), None
            )
            line = described(each, known, is_shipped=each["name"] in ships)
            if looked_at is None:
                outcome.found.append(line)
                continue
            used.add(looked_at)
            if looked_at.until >= today:
                outcome.quiet.append(f"{line}; ignored until {looked_at.until}: {looked_at.reason}")
    outcome.stale = expired(ignored, today=today) + [
        f"{i.package}: {i.id}, nobody says so any more; take it out of supply/ignored.toml"
        for i in ignored
        if i not in used and i.until >= today
    ]
    return outcome


def expired(ignored: Iterable[Ignored], *, today: date) -> list[str]:
    """What was ignored until a day that is over, whether or not anybody answers."""
    over = [i for i in ignored if i.until < today]
    return [f"{i.package}: {i.id} was ignored until {i.until}; look again" for i in over]


def described(package: Mapping[str, Any], known: Mapping[str, Any], *, is_shipped: bool) -> str:
    """One vulnerability in one line."""
    aliases = ", ".join(sorted(known["aliases"]))
    mended = ", ".join(known["fix_versions"]) or "no version yet"
    place = "is shipped" if is_shipped else "for development alone"
    return (
        f"{package['name']} {package['version']} ({place}): {known['id']}"
        + (f" ({aliases})" if aliases else "")
        + f", mended in {mended}"
    )


def asked(packages: Sequence[Locked], *, seconds_max: int) -> list[dict[str, Any]]:
    """What is known of each package, on whatever platform it is installed.

    Raises:
        NoAnswerError: nobody answers in time.
    """
    with TemporaryDirectory() as folder:
        pins = Path(folder, "pins.txt")
        pins.write_text("".join(
            f"{each.name}=={each.version} --hash=sha256:{each.hashes[0]}\n" for each in packages
        ))  # fmt: skip
        command = [
            sys.executable, "-m", "pip_audit", "--requirement", str(pins), "--require-hashes",
            "--disable-pip", "--format", "json", "--aliases", "on", "--desc", "off",
            "--progress-spinner", "off", "--timeout", str(ANSWER_SECONDS_MAX),
            "--cache-dir", str(Path(folder, "cache")),
        ]  # fmt: skip
        environment = {k: v for k, v in os.environ.items() if k != "PIP_AUDIT_OUTPUT"}
        try:
            run = subprocess.run(  # noqa: S603 - our own words
                command, capture_output=True, text=True, timeout=seconds_max, check=False,
                env=environment,
            )  # fmt: skip
        except subprocess.TimeoutExpired as late:
            raise NoAnswerError(f"no answer within {seconds_max} seconds") from late
    try:
        found: list[dict[str, Any]] = json.loads(run.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError) as error:
        last = [line for line in run.stderr.splitlines() if line.strip()][-1:] or ["no answer"]
        raise NoAnswerError(last[0][:200]) from error
    if len(found) != len(packages):
        raise NoAnswerError(f"an answer for {len(found)} of {len(packages)} packages")
    return found


def audit(
    packages: Sequence[Locked], ignored: Sequence[Ignored], *, shipped: Iterable[str], today: date
) -> Outcome:
    """What has to be done; one package is asked for first, so that silence costs little.

    Raises:
        NoAnswerError: nobody says what is known.
    """
    judged(asked(packages[:1], seconds_max=FIRST_SECONDS_MAX), (), shipped=(), today=today)
    said = asked(packages, seconds_max=ALL_SECONDS_MAX)
    return judged(said, ignored, shipped=shipped, today=today)


def told(outcome: Outcome, *, count: int) -> str:
    """The lines for people; the last says what it comes to."""
    wrong = len(outcome.found) + len(outcome.stale)
    lines = [*outcome.quiet, *outcome.stale, *outcome.found]
    names = "entry needs" if wrong == 1 else "entries need"
    last = f"{wrong} {names} somebody" if wrong else "no known vulnerability"
    return "\n".join([*(f"  {line}" for line in lines), f"{TITLE}: {count} packages, {last}."])


def main(arguments: Sequence[str]) -> int:
    """Say what is known; see the module for the exit codes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--report", action="store_true", help="say it, and exit 0 in any case")
    parser.add_argument("--lock", type=Path, default=DEVELOPMENT)
    parser.add_argument("--ignored", type=Path, default=IGNORED)
    said = parser.parse_args(arguments)
    packages, today = list(locked(said.lock.read_text()).values()), datetime.now(UTC).date()
    ignored, code = read_ignored(said.ignored.read_text()), 0
    try:
        shipped = locked(SHIPPED.read_text())
        outcome = audit(packages, ignored, shipped=shipped, today=today)
        last = told(outcome, count=len(packages))
    except NoAnswerError as silence:
        outcome, code = Outcome(stale=expired(ignored, today=today)), 2
        lines = [*(f"  {line}" for line in outcome.stale), f"{TITLE}: LEFT OUT, {silence}."]
        last = "\n".join(lines)
    if outcome.found or outcome.stale:
        code = 1
    sys.stdout.write(last + "\n")
    if code == 1 and said.report:
        sys.stdout.write(f"{TITLE}: THIS RUN DOES NOT FAIL BY IT; `make audit` does.\n")
    return 0 if said.report else code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
