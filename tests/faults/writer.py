"""One client that posts without end and writes down what it asked for and what was acknowledged.

`python -m tests.faults.writer LOG SEED NUMBER ACCOUNTS` works on the server of BROKERAGE_VAR.
Operation n of a seed is always the same, so a client that was killed goes on where its log ends:
first it asks again, under the same keys, for what was not acknowledged.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import IO

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "brokerage.settings")
django.setup()

from django.db import InterfaceError, OperationalError, connection  # noqa: E402

from accounts.audit import Actor, acting  # noqa: E402
from brokerage.server_user import ServerRefusedError  # noqa: E402
from ledger.posting import Draft, Leg, post_entries  # noqa: E402
from ledger.staging import post_staged  # noqa: E402

ACTOR = Actor.job("fault-writer")
START = datetime(2031, 3, 4, 9, tzinfo=UTC)
CENT = Decimal("0.01")
BATCH = 20
STAGED = 300
CHUNK = 100


@dataclass(frozen=True)
class Sides:
    """Ledger accounts that the operations move money between: all USD of the client pool."""

    claims: Sequence[int]
    banks: Sequence[int]
    residual: int


@dataclass(frozen=True)
class Operation:
    """Drafts that are asked for together, and how: `one`, `batch` or `staged`."""

    path: str
    drafts: list[Draft]

    def post(self) -> None:
        """Post them; what was posted before under the same keys stays as it is."""
        if self.path == "staged":
            post_staged(self.drafts, actor=ACTOR, reason="Posts through faults", chunk=CHUNK)
            return
        with acting(ACTOR, reason="Posts through faults"):
            post_entries(self.drafts)


def operation(sides: Sides, *, seed: int, writer: int, number: int) -> Operation:
    """What a writer does as its n-th operation."""
    chance = Random(f"{seed} {writer} {number}")
    path = chance.choices(("one", "batch", "staged"), weights=(12, 6, 1))[0]
    count = {"one": 1, "batch": BATCH, "staged": STAGED}[path]
    return Operation(
        path, [_draft(sides, chance, f"{writer}:{number}:{part}") for part in range(count)]
    )


def _draft(sides: Sides, chance: Random, name: str) -> Draft:
    amount = Decimal(chance.randrange(1, 10**6)) * CENT
    kind = chance.choices(("deposit", "custody_move", "fee"), weights=(8, 1, 1))[0]
    if kind == "deposit":
        legs = [Leg(chance.choice(sides.banks), amount), Leg(chance.choice(sides.claims), -amount)]
    elif kind == "fee":
        # As little as any client can pay who has received anything at all.
        legs = [Leg(chance.choice(sides.claims), CENT), Leg(sides.residual, -CENT)]
    else:
        gives, takes = chance.sample(list(sides.banks), 2)
        legs = [Leg(takes, CENT), Leg(gives, -CENT)]
    return Draft(
        key=f"fault:{name}",
        kind=kind,
        effective_at=START + timedelta(seconds=chance.randrange(3600)),
        reference=name,
        legs=legs,
    )


def said(log: Path) -> tuple[int, bool]:
    """The operation that a log ends with, and whether it was acknowledged."""
    whole = [line for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
    if not whole:
        return -1, True
    last = json.loads(whole[-1])
    return last["number"], last["said"] == "ack"


def work(log: Path, sides: Sides, *, seed: int, writer: int) -> None:
    """Post until somebody asks for an end; then finish what was begun."""
    asked_to_end: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked_to_end.append(number))
    log.touch()
    number, is_done = said(log)
    with log.open("a") as file:
        while not (is_done and asked_to_end):
            if is_done:
                number += 1
                note(file, "ask", number)
            persist(operation(sides, seed=seed, writer=writer, number=number))
            note(file, "ack", number)
            is_done = True


def persist(asked: Operation) -> None:
    """Post it, however often the connection is lost meanwhile."""
    while True:
        try:
            return asked.post()
        except (OperationalError, InterfaceError, ServerRefusedError):
            connection.close()
            time.sleep(0.02)


def note(file: IO[str], what: str, number: int) -> None:
    """Write a whole line at once: a killed process leaves all of it or nothing."""
    os.write(
        file.fileno(),
        (json.dumps({"said": what, "number": number, "at": time.time()}) + "\n").encode(),
    )


if __name__ == "__main__":
    path, seed_text, number_text, accounts = sys.argv[1:]
    work(
        Path(path),
        Sides(**json.loads(accounts)),
        seed=int(seed_text),
        writer=int(number_text),
    )
