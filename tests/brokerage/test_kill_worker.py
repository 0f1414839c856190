"""Workers that are killed, messages that are lost: the day comes out as if nothing had happened."""

import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

import psycopg
import pytest

from brokerage.synthetic import ROUGH, write_firm
from tests.brokerage.workers import Desk, kill, open_desk
from tests.cluster import Cluster

STEPS = ("prices", "events", "margin", "calls", "statements", "result")
KILLS = 3


@pytest.fixture
def seed() -> int:
    """Chooses the firm and the moments of the kills; printed when the test fails."""
    chosen = int(os.environ.get("KILL_SEED") or random.randrange(10**6))
    print(f"KILL_SEED={chosen}")  # noqa: T201
    return chosen


@pytest.fixture
def day(tmp_path: Path, seed: int) -> Path:
    """The first day of an invented firm."""
    days = write_firm(
        tmp_path / "inbox", accounts=200, seed=seed, first_day=date(2031, 3, 3), days=1,
        profile=ROUGH,
    )  # fmt: skip
    return days[0]


@pytest.fixture
def desk(cluster: Cluster, tmp_path: Path) -> Iterator[Callable[[str], Desk]]:
    """Desks with a database of their own each."""
    opened: list[tuple[Desk, str]] = []

    def open_one(name: str) -> Desk:
        database = cluster.clone()
        opened.append((open_desk(cluster, database, tmp_path / name), database))
        return opened[-1][0]

    yield open_one
    for each, database in opened:
        each.book.close()
        cluster.drop(database)


def ask_for_day(desk: Desk, day: Path) -> int:
    """Ask for the day's job as a screen does, through the queue in the database."""
    script = (
        "from brokerage.jobs import ask_for_job\n"
        f"print(ask_for_job('inbox.day', key='the day', arguments={{'folder': {str(day)!r}}}).pk)"
    )
    done = desk.manage("shell", "--no-imports", "--command", script)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def state_of(desk: Desk, job: int) -> str:
    return str(desk.value("SELECT state FROM brokerage_job WHERE id = %s", job))


def steps_done(desk: Desk) -> int:
    return int(desk.value("SELECT count(*) FROM brokerage_daystep"))


def undisturbed(desk: Desk, day: Path) -> dict[str, Any]:
    """The day run in the foreground by nobody disturbed: its result."""
    done = desk.manage("cycle", "--inbox", str(day), "--json")
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def digest(desk: Desk) -> dict[str, Any]:
    """One hash per business table."""
    done = desk.manage("digest", "--json")
    assert done.returncode == 0, done.stderr
    tables: dict[str, Any] = json.loads(done.stdout)["tables"]
    return tables


def test_a_job_goes_through_the_queue_in_the_database_to_a_worker(
    desk: Callable[[str], Desk], day: Path
) -> None:
    here = desk("queue")
    job = ask_for_day(here, day)
    assert here.value("SELECT state FROM brokerage_job WHERE id = %s", job) == "waiting"
    with here.worker():
        here.wait_for(lambda: state_of(here, job) == "done", what="the job")
    assert here.value("SELECT attempt FROM brokerage_job WHERE id = %s", job) == 1
    assert here.value("SELECT result FROM brokerage_businessday") == undisturbed(
        desk("undisturbed"), day
    )


def test_a_wiped_broker_loses_no_job(
    desk: Callable[[str], Desk], day: Path, cluster: Cluster
) -> None:
    here = desk("wiped")
    job = ask_for_day(here, day)
    database = here.value("SELECT current_database()")
    with psycopg.connect(cluster.conninfo("bo_broker", database=database)) as broker:
        assert broker.execute("SELECT pgmq.purge_queue('celery')").fetchone() == (1,)
    here.book.execute("UPDATE brokerage_job SET dispatched_at = dispatched_at - interval '20 s'")
    with here.worker():
        here.wait_for(lambda: state_of(here, job) == "done", what="the job sent again")


def test_three_messages_for_one_job_at_once_are_one_run(
    desk: Callable[[str], Desk], day: Path
) -> None:
    here = desk("repeated")
    job = ask_for_day(here, day)
    again = f"from brokerage.jobs import dispatch\ndispatch({job})\ndispatch({job})"
    assert here.manage("shell", "--no-imports", "--command", again).returncode == 0
    with here.worker(processes=3):
        here.wait_for(lambda: state_of(here, job) == "done", what="the job")
    assert here.value("SELECT attempt FROM brokerage_job") == 1
    calm = desk("calm")
    assert here.value("SELECT result FROM brokerage_businessday") == undisturbed(calm, day)
    assert digest(here) == digest(calm)


BEGIN_DAY = """
from pathlib import Path
from brokerage.inbox.cycle import run_day
class Stop(Exception): pass
class StopAfterPrices:
    def report(self, done, total, step):
        if done == 1: raise Stop
try: run_day(Path({day!r}), progress=StopAfterPrices())
except Stop: pass
"""
GO_ON = """
from pathlib import Path
from brokerage.inbox.cycle import run_day
run_day(Path({day!r}))
"""


def test_three_workers_inside_one_day_leave_what_one_leaves(
    desk: Callable[[str], Desk], day: Path
) -> None:
    calm = desk("calm")
    expected = undisturbed(calm, day)
    here = desk("crowded")
    begun = here.manage("shell", "--no-imports", "--command", BEGIN_DAY.format(day=str(day)))
    assert begun.returncode == 0, begun.stderr
    assert steps_done(here) == 1
    with ThreadPoolExecutor(3) as pool:
        go_on = ("shell", "--no-imports", "--command", GO_ON.format(day=str(day)))
        ends = list(pool.map(lambda _: here.manage(*go_on), range(3)))
    assert [end.returncode for end in ends] == [0, 0, 0], [end.stderr for end in ends]
    assert here.value("SELECT result FROM brokerage_businessday") == expected
    assert digest(here) == digest(calm)


@pytest.mark.soak
def test_a_worker_that_slept_through_its_lease_changes_nothing_when_it_wakes(
    desk: Callable[[str], Desk], day: Path
) -> None:
    calm = desk("calm")
    expected = undisturbed(calm, day)
    here = desk("asleep")
    job = ask_for_day(here, day)
    with here.worker() as sleeper:
        here.wait_for(
            lambda: state_of(here, job) == "running" and steps_done(here) >= 1, what="a step"
        )
        os.killpg(sleeper.pid, signal.SIGSTOP)
        assert state_of(here, job) == "running"
        # If it fell asleep inside a step, its transaction holds the day for up to a minute.
        with here.worker():
            here.wait_for(lambda: state_of(here, job) == "done", what="the job taken over")
        before = digest(here)
        attempts = here.value("SELECT attempt FROM brokerage_job WHERE id = %s", job)
        assert attempts >= 2
        os.killpg(sleeper.pid, signal.SIGCONT)
        log = here.folder / "worker.log"
        here.wait_for(lambda: "no longer held" in log.read_text(), what="the worker to wake")
    assert here.value("SELECT attempt FROM brokerage_job WHERE id = %s", job) == attempts
    assert digest(here) == before == digest(calm)
    assert here.value("SELECT result FROM brokerage_businessday") == expected


def test_a_worker_killed_three_times_leaves_the_same_book_as_one_nobody_disturbed(
    desk: Callable[[str], Desk], day: Path, seed: int
) -> None:
    calm = desk("calm")
    expected = undisturbed(calm, day)
    here = desk("killed")
    job = ask_for_day(here, day)
    chance = Random(seed)
    for moment in sorted(chance.sample(range(len(STEPS) - 1), KILLS)):
        worker = here.start_worker()
        here.wait_for(
            lambda: state_of(here, job) == "running" and steps_done(here) >= moment,  # noqa: B023
            what=f"the end of step {moment}",
        )
        time.sleep(chance.uniform(0, 0.05))
        kill(worker)
        assert state_of(here, job) == "running", "it was killed in the middle"
    with here.worker():
        here.wait_for(lambda: state_of(here, job) == "done", what="the day's end")
    assert here.value("SELECT attempt FROM brokerage_job WHERE id = %s", job) == KILLS + 1
    assert here.value("SELECT result FROM brokerage_businessday") == expected
    assert digest(here) == digest(calm)
