"""Real workers: processes of their own over the message queue in the test's database."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests import starter
from tests.cluster import Cluster
from tests.starter import Started

SECONDS_MAX = 120


@dataclass(frozen=True)
class Desk:
    """One database with the processes that work on it.

    Attributes:
        environment: of every process of this desk.
        book: a connection that sees what has been committed.
        folder: for logs and schedules.
    """

    environment: dict[str, str]
    book: psycopg.Connection[Any]
    folder: Path

    def value(self, query: str, *arguments: object) -> Any:
        """The first column of the first row."""
        row = self.book.execute(query, arguments).fetchone()
        return None if row is None else row[0]

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `manage.py` to its end."""
        return starter.run("manage.py", *arguments, environment=self.environment)

    def start_worker(self, *, processes: int = 1) -> Started:
        """A worker with the scheduler in it, in a process group of its own."""
        schedule = self.folder / f"schedule-{time.monotonic_ns()}"
        with (self.folder / "worker.log").open("a") as log:
            return starter.start(
                "-m", "celery", "--quiet", "--app=brokerage", "worker", "--beat",
                f"--schedule={schedule}", "--pool=prefork", f"--concurrency={processes}",
                "--loglevel=WARNING", "--without-gossip", "--without-mingle",
                "--without-heartbeat",
                environment=self.environment, log=log, start_new_session=True,
            )  # fmt: skip

    @contextmanager
    def worker(self, *, processes: int = 1) -> Iterator[Started]:
        """A worker that is ended at the end."""
        process = self.start_worker(processes=processes)
        try:
            yield process
        finally:
            kill(process)

    def wait_for(self, happened: Callable[[], bool], *, what: str) -> None:
        """Look until something has happened."""
        deadline = time.monotonic() + SECONDS_MAX
        while not happened():
            if time.monotonic() > deadline:
                log = self.folder / "worker.log"
                pytest.fail(f"Waited in vain for {what}:\n{log.read_text()}")
            time.sleep(0.002)


def open_desk(cluster: Cluster, database: str, folder: Path, *, lease_seconds: int = 3) -> Desk:
    """The desk on a database of the cluster; its message queue is in the same database."""
    folder.mkdir(parents=True, exist_ok=True)
    address = cluster.conninfo("bo_runtime", database=database)
    environment = os.environ | {
        "DATABASE_URL": address,
        "JOB_LEASE_SECONDS": str(lease_seconds),
    }
    for name in ("BROKER_URL", "DJANGO_ALLOW_ASYNC_UNSAFE"):
        environment.pop(name, None)
    return Desk(environment, psycopg.connect(address, autocommit=True), folder)


def kill(worker: Started) -> None:
    """kill -9 of the worker and everything it started."""
    if worker.poll() is None:
        os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
