"""The throw-away PostgreSQL of one test session: set up once, cloned for every test."""

import fcntl
import itertools
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from brokerage import roles
from brokerage.postgres import SUPERUSER, Server

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = "brokerage"
_numbers = itertools.count(1)
_spare: list[str] = []  # clones of the template that a test gave back as it had got them
# Databases that somebody has signed in to since they were cloned.
used: set[str] = set()
_connections: dict[int, psycopg.Connection[Any]] = {}


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
            packed = self.conninfo(SUPERUSER, database=TEMPLATE)
            with psycopg.connect(packed, autocommit=True) as connection:
                connection.execute("VACUUM (FULL, FREEZE)")  # there is less to copy
            with self.maintenance() as connection:
                # A test that forgot to ask for its own database gets an error, not this one.
                connection.execute(f"ALTER DATABASE {TEMPLATE} ALLOW_CONNECTIONS false")
                # Every clone is written to the log, which may lie in memory.
                connection.execute("ALTER SYSTEM SET max_wal_size = '256MB'")
                connection.execute("SELECT pg_reload_conf()")
            done.touch()

    def maintenance(self) -> psycopg.Connection[Any]:
        return psycopg.connect(
            self.server.conninfo(user=SUPERUSER, dbname="postgres"), autocommit=True
        )

    def execute(self, statement: sql.Composed) -> psycopg.Cursor[Any]:
        """Run a statement as the superuser, over one connection for the whole session."""
        connection = _connections.get(os.getpid())
        if connection is None or connection.closed or connection.broken:
            connection = _connections[os.getpid()] = self.maintenance()
        try:
            return connection.execute(statement)
        except psycopg.OperationalError:
            connection.close()
            raise

    def fresh(self) -> str:
        """A database like the template, of which nobody has made use; returns its name."""
        if not _spare:
            return self.clone()
        name = new_name()
        self._rename(_spare.pop(), name)
        return name

    def give_back(self, name: str) -> None:
        """Keep a database for later that is still as `fresh` gave it, and is now nobody's."""
        spare = new_name()
        self._rename(name, spare)
        _spare.append(spare)

    def clone(self, template: str = TEMPLATE, *, name: str | None = None) -> str:
        """A database like another one, to which nobody is connected; returns its name."""
        name = name or new_name()
        self.execute(
            # Files are copied, which takes half as long as going through the log.
            sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER bo_owner STRATEGY file_copy").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
        roles.close_database(_connections[os.getpid()], database=name)
        return name

    def drop(self, name: str) -> None:
        used.discard(name)
        self.execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        )

    def _rename(self, old: str, new: str) -> None:
        names = sql.Identifier(old), sql.Identifier(new)
        self.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(*names))

    def is_as_cloned(self, name: str) -> bool:
        """Nobody has signed in to a database, and so nothing in it is changed."""
        inside = sql.SQL(
            "SELECT EXISTS (SELECT FROM pg_stat_activity"
            " WHERE datname = {} AND backend_type = 'client backend')"
        )
        return name not in used and self.execute(inside.format(name)).fetchone() == (False,)

    def conninfo(self, user: str, *, database: str) -> str:
        """Where a role signs in to a database, which from then on counts as used."""
        used.add(database)
        return self.server.conninfo(user=user, dbname=database)


def new_name() -> str:
    return f"test_{os.getpid()}_{next(_numbers)}"


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
