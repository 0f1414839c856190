"""The throw-away PostgreSQL of one test session: set up once, cloned for every test."""

import fcntl
import itertools
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from brokerage import roles
from brokerage.postgres import SUPERUSER, Server

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = "brokerage"
_numbers = itertools.count(1)


class SetupFailedError(Exception):
    """`manage.py setup` refused; the message is what it printed."""


@dataclass(frozen=True)
class Cluster:
    """One server, shared by every worker of the session; whoever comes first sets it up."""

    server: Server

    def prepare(self) -> None:
        """Start the server and make the template unless another worker has."""
        self.server.hold()
        done = self.server.root / "template-ready"
        with (self.server.root / "template.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if done.exists():
                return
            result = subprocess.run(
                [sys.executable, "manage.py", "setup"],
                cwd=ROOT, capture_output=True, text=True, check=False,
            )  # fmt: skip
            if result.returncode != 0:
                raise SetupFailedError(result.stdout + result.stderr)
            with self.maintenance() as connection:
                # A test that forgot to ask for its own database gets an error, not this one.
                connection.execute(f"ALTER DATABASE {TEMPLATE} ALLOW_CONNECTIONS false")
                # Every clone is written to the log, which may lie in memory.
                connection.execute("ALTER SYSTEM SET max_wal_size = '256MB'")
                connection.execute("SELECT pg_reload_conf()")
            done.touch()

    def maintenance(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            self.server.conninfo(user=SUPERUSER, dbname="postgres"), autocommit=True
        )

    def clone(self, template: str = TEMPLATE, *, name: str | None = None) -> str:
        """A fresh database like another one, to which nobody is connected; returns its name."""
        name = name or f"test_{os.getpid()}_{next(_numbers)}"
        with self.maintenance() as connection:
            connection.execute(
                # Files are copied, which takes half as long as going through the log.
                sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER bo_owner STRATEGY file_copy").format(
                    sql.Identifier(name), sql.Identifier(template)
                )
            )
            roles.close_database(connection, database=name)
        return name

    def drop(self, name: str) -> None:
        with self.maintenance() as connection:
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )

    def conninfo(self, user: str, *, database: str) -> str:
        return self.server.conninfo(user=user, dbname=database)


def remove(var: Path) -> None:
    """Stop the session's server, if it was ever started, and delete everything of it."""
    server = Server(var)
    if server.data.exists():
        server.stop()
    if server.socket_directory.parent != var:
        shutil.rmtree(server.socket_directory, ignore_errors=True)
    shutil.rmtree(var)


def remove_abandoned(place: Path) -> None:
    """Clear away what sessions left that were killed before they could."""
    for note in place.glob("brokerage-test-*/session.pid"):
        mine = note.stat().st_uid == os.geteuid()
        if mine and not Path("/proc", note.read_text()).exists():
            remove(note.parent)
