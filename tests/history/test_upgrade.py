"""A book that an earlier version kept is brought forward with all that is in it.

`schemas/` holds one archive per schema that was ever in use: a dump of a small book with its
history sealed, what the version kept outside the database, the digest it gave, and a day of files
that comes next. An archive is never made again; a new schema adds one.
"""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from brokerage import roles
from brokerage.postgres import SUPERUSER, Server, binaries
from tests.conftest import swift_place

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = sorted(Path(__file__).with_name("schemas").glob("*.tar.xz"))
DATABASE = "brokerage"
# Transaction ids go on above those that the dump holds, as they do where the server goes on.
PASS_TRANSACTIONS = """
    DO $$ BEGIN
        WHILE pg_current_xact_id()::text::bigint <= {newest} LOOP COMMIT; END LOOP;
    END $$
"""


@dataclass(frozen=True)
class Old:
    """A book as the earlier version left it, in a place of its own."""

    place: Path
    var: Path
    server: Server

    def said(self) -> dict[str, Any]:
        digest: dict[str, Any] = json.loads((self.place / "digest.json").read_text())
        return digest

    def manage(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {
            name: value for name, value in os.environ.items() if name != "BROKERAGE_DB_ROLE"
        }
        return subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=ROOT,
            env=environment | {"BROKERAGE_VAR": str(self.var)},
            capture_output=True,
            text=True,
            check=False,
        )

    def answer(self, *words: str) -> dict[str, Any]:
        done = self.manage(*words)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def restore(self) -> None:
        """Put the dump into a new server, as a superuser would."""
        admin = self.server.conninfo(user=SUPERUSER, dbname="postgres")
        with psycopg.connect(admin, autocommit=True) as connection:
            roles.make_roles(connection, passwords={})
            roles.make_database(connection, database=DATABASE)
        book = self.server.conninfo(user=SUPERUSER, dbname=DATABASE)
        subprocess.run(
            [binaries() / "psql", "-qX", "-v", "ON_ERROR_STOP=1", "-d", book],
            input=(self.place / "dump.sql").read_bytes(),
            capture_output=True,
            check=True,
        )
        with psycopg.connect(book, autocommit=True) as connection:
            newest = connection.execute("SELECT max(xid)::text::bigint FROM accounts_act")
            (number,) = newest.fetchone() or (0,)
            connection.execute(PASS_TRANSACTIONS.format(newest=int(number)))


@pytest.fixture(params=SCHEMAS, ids=[path.name.removesuffix(".tar.xz") for path in SCHEMAS])
def old(request: pytest.FixtureRequest) -> Iterator[Old]:
    place = Path(tempfile.mkdtemp(prefix="upgrade-", dir=swift_place()))
    place.chmod(0o711)
    with tarfile.open(request.param) as archive:
        archive.extractall(place, filter="data")
    found = Old(place, place / "var", Server(place / "var"))
    try:
        found.server.start()
        found.restore()
        yield found
    finally:
        found.server.stop()
        shutil.rmtree(place)


def test_there_is_a_book_of_every_schema_that_was_in_use() -> None:
    assert [path.name for path in SCHEMAS] == ["0.1.tar.xz"]


def test_a_book_of_an_earlier_schema_is_brought_forward(old: Old) -> None:
    done = old.manage("setup")
    assert done.returncode == 0, done.stderr
    assert old.answer("verify", "--json")["sound"]

    # Every row is there still; where columns were added, the old ones say what they said.
    before, after = old.said()["tables"], old.answer("digest", "--json")["tables"]
    assert {name: table["rows"] for name, table in before.items()} == {
        name: after[name]["rows"] for name in before
    }
    for name in ("ledger_entry", "ledger_posting", "ledger_balance", "margin_marginresult"):
        assert after[name] == before[name], name

    # And the book goes on: the next day of files is run, and sealed after the old blocks.
    (day,) = (path for path in (old.place / "inbox").iterdir() if path.is_dir())
    assert old.answer("cycle", "--inbox", str(day), "--json")
    last = old.answer("verify", "--json")
    assert last["sound"], last["first_wrong"]
    assert len(after) <= len(old.answer("digest", "--json")["tables"])
