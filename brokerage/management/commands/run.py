"""The whole product on this machine: web, worker and scheduler, until Ctrl-C."""

import sys
import time
import urllib.error
import urllib.request
from importlib import import_module
from importlib.util import find_spec

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, connection
from django.db.migrations.executor import MigrationExecutor

from accounts.guards import GuardsChangedError, refuse_to_start_unguarded
from brokerage.server_user import ServerRefusedError
from brokerage.supervisor import ChildSpec, StartRefusedError, Supervisor, sole_run

ANSWER_SECONDS_MAX = 60
NOT_READY = "The database is not ready: run `make setup` first."


class Command(BaseCommand):
    help = "Run the web server, the worker and the scheduler until Ctrl-C."

    def handle(self, *args: object, **options: object) -> None:
        try:
            with sole_run(settings.VAR, port=settings.PORT):
                supervisor = Supervisor(children(), settings.EMBEDDED_SERVER, sys.stdout)
                refuse_unprepared()
                supervisor.run(when_up=lambda: self.announce(supervisor))
        except (StartRefusedError, ServerRefusedError) as refusal:
            raise CommandError(str(refusal), returncode=2) from refusal

    def announce(self, supervisor: Supervisor) -> None:
        """Say where to go, once there is somebody to answer."""
        address = f"http://127.0.0.1:{settings.PORT}/"
        if await_answer(f"{address}health", supervisor):
            self.stdout.write(f"The back office is at {address}")
            for line in sign_ins():
                self.stdout.write(f"  {line}")
            self.stdout.write("Ctrl-C stops everything.")
            self.stdout.flush()


def children() -> list[ChildSpec]:
    """What runs all day, in starting order."""
    celery = [sys.executable, "-m", "celery", "--quiet", "--app=brokerage"]
    numbers = {"PYTHONUNBUFFERED": "1"}
    return [
        ChildSpec(
            "The web server",
            [
                sys.executable, "-m", "granian", "--interface=asginl", "--host=127.0.0.1",
                f"--port={settings.PORT}", f"--workers={settings.WEB_WORKERS}",
                "--workers-kill-timeout=3", "--respawn-failed-workers", "--respawn-interval=0.5",
                "--log-level=warning", "brokerage.asgi:application",
            ],
            numbers,
        ),
        ChildSpec(
            "The worker",
            [
                *celery, "worker", "--pool=prefork", f"--concurrency={settings.JOB_WORKERS}",
                "--loglevel=WARNING", "--without-gossip", "--without-mingle",
                "--without-heartbeat",
            ],
            numbers,
        ),
        ChildSpec(
            "The scheduler",
            [
                *celery, "beat", "--loglevel=WARNING", "--pidfile=",
                f"--schedule={settings.CELERY_BEAT_SCHEDULE_FILENAME}",
            ],
            numbers,
        ),
    ]  # fmt: skip


def refuse_unprepared() -> None:
    """Refuse a database that lacks migrations or a guard, before anything starts on it."""
    try:
        executor = MigrationExecutor(connection)
        is_behind = bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    except OperationalError as error:
        why = str(error).strip().rpartition("FATAL:")[2].strip()
        raise StartRefusedError(f"{NOT_READY} PostgreSQL says: {why}.") from error
    if is_behind:
        connection.close()
        raise StartRefusedError(NOT_READY)
    try:
        refuse_to_start_unguarded()
    except GuardsChangedError as changed:
        raise StartRefusedError(str(changed)) from changed
    finally:
        connection.close()


def await_answer(url: str, supervisor: Supervisor) -> bool:
    """Whether the web server answers before the patience or the day ends."""
    deadline = time.monotonic() + ANSWER_SECONDS_MAX
    while time.monotonic() < deadline and not supervisor.stopping.wait(0.1):
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - our own address
                return True
        except OSError:
            continue
    return False


def sign_ins() -> list[str]:
    """Lines that tell how to sign in to the demo firm, where there is one."""
    if find_spec("brokerage.demo") is None:
        return []
    lines: list[str] = import_module("brokerage.demo").sign_ins()
    connection.close()
    return lines
