"""Price files through real workers: taken by the command, run once whatever happens to them."""

import json
import random
import subprocess
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from brokerage.synthetic import DEMO, write_firm
from tests.brokerage.intraday import SOURCES, csv, plain, stamp
from tests.brokerage.workers import Desk, kill, open_desk
from tests.cluster import Cluster

NEWEST = """
    SELECT DISTINCT ON (m.asset_id) a.code, m.price, m.as_of
    FROM margin_mark m JOIN ledger_asset a ON a.id = m.asset_id ORDER BY m.asset_id, m.as_of DESC
"""
SAID = """
    SELECT a.code, b.code, c.number, c.state, c.amount, c.issued_at, c.ended_at, e.event,
           e.occurred_at, e.amount_after
    FROM margin_margincall c JOIN accounts_scope s ON s.id = c.scope_id
    JOIN accounts_bucket b ON b.id = s.bucket_id
    JOIN accounts_marginaccount a ON a.id = b.account_id
    JOIN margin_callevent e ON e.call_id = c.id
    ORDER BY c.number, e.id
"""
# Each run in its turn, in one process.
REPLAY = """
from django.core.management import call_command
for number in {numbers}: call_command("replay", number)
"""


@pytest.fixture
def day(tmp_path: Path) -> Path:
    """The first day of an invented firm."""
    firm = tmp_path / "inbox"
    return write_firm(firm, accounts=40, seed=4, first_day=date(2031, 3, 3), days=1, profile=DEMO)[
        0
    ]


@pytest.fixture
def desk(cluster: Cluster, tmp_path: Path, day: Path) -> Iterator[Callable[[str], Desk]]:
    """Desks after their first day, with a database of their own each; books kept in columns."""
    opened: list[tuple[Desk, str]] = []

    def open_one(name: str) -> Desk:
        database = cluster.clone()
        here = open_desk(cluster, database, tmp_path / name)
        here.environment["MARGIN_COLUMNS_FROM"] = "0"
        opened.append((here, database))
        assert done(here.manage("cycle", "--inbox", str(day), "--json"))
        return here

    yield open_one
    for each, database in opened:
        each.book.close()
        cluster.drop(database)


def done(process: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    assert process.returncode == 0, process.stderr
    said: dict[str, Any] = json.loads(process.stdout)
    return said


def send(desk: Desk, *, minutes: int, **times: str) -> int:
    """Every name quoted so long after the newest marks, those named moved; the job asked for."""
    marks = desk.book.execute(NEWEST).fetchall()
    at: datetime = max(as_of for _, _, as_of in marks) + timedelta(minutes=minutes)
    rows = [
        (code, source, stamp(at), plain(price * Decimal(times.get(code.replace("-", "_"), "1"))))
        for code, price, _ in marks
        for source in SOURCES
    ]
    file = desk.folder / f"{at:%H%M}.csv"
    file.write_bytes(csv(rows))
    said = done(desk.manage("prices", str(file), "--as-of", stamp(at), "--json"))
    assert said["is_new"]
    return int(said["job"])


def state_of(desk: Desk, job: int) -> str:
    return str(desk.value("SELECT state FROM brokerage_job WHERE id = %s", job))


def outcome_of(desk: Desk, job: int) -> dict[str, Any]:
    found: dict[str, Any] = desk.value("SELECT outcome FROM brokerage_job WHERE id = %s", job)
    return found


def wait_for(desk: Desk, job: int) -> dict[str, Any]:
    desk.wait_for(lambda: state_of(desk, job) == "done", what=f"job {job}")
    return outcome_of(desk, job)


def all_replay(desk: Desk) -> None:
    numbers = [number for (number,) in desk.book.execute("SELECT number FROM margin_marginrun")]
    assert numbers
    said = desk.manage("shell", "--no-imports", "--command", REPLAY.format(numbers=numbers))
    assert said.returncode == 0, said.stderr
    assert len(said.stdout.splitlines()) == len(numbers)


def test_a_worker_runs_what_prices_touch_and_keeps_the_book_between_files(
    desk: Callable[[str], Desk],
) -> None:
    here = desk("one")
    with here.worker():
        first = wait_for(here, send(here, minutes=30, BTC_PERP="0.5"))
        second = wait_for(here, send(here, minutes=5, BTC_PERP="0.9"))
    assert (first["purpose"], second["purpose"]) == ("incremental", "incremental")
    assert first["issued"] > 0
    scopes = here.value("SELECT count(*) FROM accounts_scope")
    assert 0 < second["scopes"] < scopes
    undelivered = here.value("SELECT count(*) FROM margin_margincall WHERE state = 'issued'")
    assert undelivered == 0, "notices went out"
    all_replay(here)


def test_two_workers_make_one_run_of_each_file(desk: Callable[[str], Desk]) -> None:
    here = desk("two")
    with here.worker(processes=2), here.worker(processes=1):
        for times in ("0.8", "0.9", "1.1"):
            wait_for(here, send(here, minutes=5, BTC_PERP=times))
    runs = here.value("SELECT count(*) FROM margin_marginrun WHERE purpose = 'incremental'")
    assert runs == here.value("SELECT count(*) FROM margin_remargin") == 3
    all_replay(here)
    assert done(here.manage("verify", "--json"))


def test_a_worker_killed_in_the_middle_leaves_one_run_and_the_same_calls(
    desk: Callable[[str], Desk],
) -> None:
    calm, rough = desk("calm"), desk("rough")
    with calm.worker():
        wait_for(calm, send(calm, minutes=30, BTC_PERP="0.5", BTC="0.6"))
    job = send(rough, minutes=30, BTC_PERP="0.5", BTC="0.6")
    worker = rough.start_worker()
    rough.wait_for(lambda: state_of(rough, job) != "waiting", what="the job to be taken")
    if random.getrandbits(1):
        written = "SELECT count(*) FROM margin_remargin"
        rough.wait_for(lambda: bool(rough.value(written)), what="the run")
    kill(worker)
    with rough.worker():
        wait_for(rough, job)
    assert rough.value("SELECT count(*) FROM margin_remargin") == 1
    assert rough.book.execute(SAID).fetchall() == calm.book.execute(SAID).fetchall()
    all_replay(rough)
