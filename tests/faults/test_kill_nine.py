"""kill -9 while clients post: what was acknowledged is there, whole, once, and nothing else."""

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

import psycopg
import pytest

from brokerage.postgres import SUPERUSER, Server
from brokerage.synthetic import DEMO, write_firm
from tests import starter
from tests.conftest import beside
from tests.faults.writer import Sides, operation, said
from tests.starter import Started

WRITERS = 3
VICTIMS = ("server", "postmaster", "backend", "client")
# How long the product has to serve again; whoever is slower than that is not merely busy.
SERVING_SECONDS = 5.0
SERVING_SECONDS_MAX = 60.0
SIDES = """
    SELECT l.id, l.account_class FROM ledger_ledgeraccount l
    JOIN ledger_pool p ON p.id = l.pool_id AND p.owner_class = 'CLIENT'
    JOIN ledger_asset a ON a.id = l.asset_id AND a.code = 'USD'
    JOIN ledger_balance b ON b.account_id = l.id
    LEFT JOIN accounts_bucket u ON u.id = l.bucket_id
    WHERE l.account_class = 'residual_interest'
       OR l.account_class = 'claim' AND u.code = 'FREE' AND b.amount < -1000
       OR l.account_class = 'custody' AND b.amount > 1000
    ORDER BY l.id
"""
POSTED = """
    SELECT k.key, e.kind_id, e.effective_at,
           array_agg(p.account_id || ' ' || trim_scale(p.amount) ORDER BY p.account_id, p.amount)
    FROM ledger_entrykey k JOIN ledger_entry e ON e.id = k.entry_id
    JOIN ledger_posting p ON p.entry_id = e.id
    WHERE k.key LIKE 'fault:%' GROUP BY 1, 2, 3
"""


@dataclass
class Scene:
    """A server of its own, a firm in its book, and clients that post to it."""

    place: Path
    seed: int
    sides: Sides
    clients: dict[int, Started] = field(default_factory=dict)
    serving_seconds: list[tuple[str, float]] = field(default_factory=list)

    @property
    def server(self) -> Server:
        return Server(self.place / "var")

    def log(self, writer: int) -> Path:
        return self.place / f"client-{writer}.ndjson"

    def start(self, writer: int) -> None:
        with (self.place / f"client-{writer}.err").open("a") as errors:
            self.clients[writer] = starter.start(
                "-m", "tests.faults.writer", str(self.log(writer)), str(self.seed), str(writer),
                json.dumps(vars(self.sides)),
                environment=environment(self.place), log=errors,
            )  # fmt: skip

    def progress(self) -> list[int]:
        """The operation that each client has reached."""
        logs = [self.log(writer) for writer in self.clients]
        return [said(log)[0] if log.exists() else -1 for log in logs]

    def await_progress(self, since: list[int], *, operations: int) -> None:
        """Wait until every client has done so many more."""
        deadline = time.monotonic() + SERVING_SECONDS_MAX
        while any(now < was + operations for now, was in zip(self.progress(), since, strict=True)):
            if time.monotonic() > deadline:
                told = [path.read_text()[-1500:] for path in self.place.glob("client-*.err")]
                pytest.fail("A client does not get on: " + "\n".join(told))
            time.sleep(0.01)

    def end(self) -> None:
        """Ask the clients to finish what they began, and wait."""
        for client in self.clients.values():
            client.terminate()
        assert [client.wait(timeout=120) for client in self.clients.values()] == [0] * WRITERS

    # ------------------------------------------------------------------ kills

    def kill(self, victim: str, *, chance: Random) -> None:
        """kill -9 of one of the parties, and what the world does then: nothing, or a new client."""
        if victim == "client":
            writer = chance.choice(list(self.clients))
            self.clients[writer].kill()
            self.clients[writer].wait()
            self.start(writer)
            return
        postmaster = self.server.postmaster()
        assert postmaster is not None, "the server runs"
        for pid in {"backend": [chance.choice(self.backends())], "postmaster": [postmaster]}.get(
            victim, [postmaster, *self.children(postmaster)]
        ):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def backends(self) -> list[int]:
        with psycopg.connect(self.address(SUPERUSER)) as connection:
            rows = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE usename = 'bo_runtime'"
            ).fetchall()
        return [pid for (pid,) in rows]

    def children(self, postmaster: int) -> list[int]:
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        return [int(pid) for pid in children]

    def address(self, user: str) -> str:
        return self.server.conninfo(user=user, dbname="brokerage")

    def manage(self, *words: str) -> Any:
        done = starter.run("manage.py", *words, environment=environment(self.place))
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return json.loads(done.stdout) if "--json" in words else None


def environment(place: Path) -> dict[str, str]:
    left = {name: value for name, value in os.environ.items() if name != "BROKERAGE_DB_ROLE"}
    return left | {"BROKERAGE_VAR": str(place / "var")}


@pytest.fixture
def scene(chance: Random) -> Iterator[Scene]:
    place = beside("faults")
    seed = chance.randrange(10**9)
    (day,) = write_firm(
        place / "firm", accounts=12, seed=seed, first_day=date(2031, 3, 3), days=1, profile=DEMO
    )
    found = Scene(place, seed, Sides((), (), 0))
    server = found.server
    try:
        found.manage("setup")
        found.manage("cycle", "--inbox", str(day), "--json")
        server.hold()
        with psycopg.connect(found.address(SUPERUSER)) as connection:
            rows = connection.execute(SIDES).fetchall()
        of = {name: [pk for pk, c in rows if c == name] for name in {c for _, c in rows}}
        found.sides = Sides(of["claim"], of["custody"], of["residual_interest"][0])
        yield found
    finally:
        for client in found.clients.values():
            client.kill()
            client.wait()
        server.release()
        server.stop()
        shutil.rmtree(place)


def go_through(scene: Scene, *, rounds: int, chance: Random) -> None:
    """Kill one party after the other, each at a moment of its own."""
    for writer in range(WRITERS):
        scene.start(writer)
    scene.await_progress([-1] * WRITERS, operations=1)
    victims = [VICTIMS[number % len(VICTIMS)] for number in range(rounds)]
    chance.shuffle(victims)
    for victim in victims:
        scene.await_progress(scene.progress(), operations=3)
        time.sleep(chance.uniform(0, 0.2))
        scene.kill(victim, chance=chance)
        killed = time.monotonic()
        scene.await_progress(scene.progress(), operations=2)
        scene.serving_seconds.append((victim, time.monotonic() - killed))
    scene.end()


def check_what_is_there(scene: Scene) -> int:
    """The book holds what was acknowledged, all of it, once, and nothing else; returns entries."""
    expected = {}
    for writer in range(WRITERS):
        last, is_done = said(scene.log(writer))
        assert is_done, "a client ends when everything it asked for was acknowledged"
        for number in range(last + 1):
            for draft in operation(
                scene.sides, seed=scene.seed, writer=writer, number=number
            ).drafts:
                legs = sorted((leg.account_id, leg.amount) for leg in draft.legs)
                expected[draft.key] = (
                    draft.kind,
                    draft.effective_at,
                    [f"{account} {amount.normalize():f}" for account, amount in legs],
                )
    with psycopg.connect(scene.address(SUPERUSER)) as connection:
        found = {key: tuple(rest) for key, *rest in connection.execute(POSTED).fetchall()}
    assert found == expected
    assert scene.manage("verify", "--json")["sound"]
    return len(found)


def report(scene: Scene, entries: int) -> None:
    slowest = max(scene.serving_seconds, key=lambda row: row[1])
    print(  # noqa: T201
        f"{len(scene.serving_seconds)} kills, {entries} entries, seed {scene.seed}, "
        f"serving again after {slowest[1]:.2f} s at most ({slowest[0]})"
    )


def test_what_was_acknowledged_outlives_five_kills(scene: Scene, chance: Random) -> None:
    go_through(scene, rounds=5, chance=chance)
    report(scene, check_what_is_there(scene))


@pytest.mark.soak
def test_what_was_acknowledged_outlives_thirty_kills(scene: Scene, chance: Random) -> None:
    go_through(scene, rounds=30, chance=chance)
    report(scene, check_what_is_there(scene))
    assert max(seconds for _, seconds in scene.serving_seconds) <= SERVING_SECONDS
