"""Small books as earlier versions left them, each in a place and with a server of its own.

`schemas/` holds one archive per schema that was ever in use: a dump of a small book with its
history sealed, what the version kept outside the database, the digest it gave, and a day of files
that comes next. An archive is never made again; a new schema adds one.
"""

import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from brokerage import roles
from brokerage.postgres import SUPERUSER, Server, binaries
from tests import starter
from tests.conftest import beside

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
        return starter.run(
            "manage.py", *words, environment=environment | {"BROKERAGE_VAR": str(self.var)}
        )

    def answer(self, *words: str) -> dict[str, Any]:
        done = self.manage(*words)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def restore(self) -> None:
        """Put the dump into a new server, as a superuser would."""
        dump = (self.place / "dump.sql").read_bytes()
        if self.server.version() < 17:
            dump = dump.replace(b"SET transaction_timeout = 0;", b"")
        admin = self.server.conninfo(user=SUPERUSER, dbname="postgres")
        with psycopg.connect(admin, autocommit=True) as connection:
            roles.make_roles(connection, passwords={})
            roles.make_database(connection, database=DATABASE)
        book = self.server.conninfo(user=SUPERUSER, dbname=DATABASE)
        subprocess.run(
            [binaries() / "psql", "-qX", "-v", "ON_ERROR_STOP=1", "-d", book],
            input=dump,
            capture_output=True,
            check=True,
        )
        with psycopg.connect(book, autocommit=True) as connection:
            newest = connection.execute("SELECT max(xid)::text::bigint FROM accounts_act")
            (number,) = newest.fetchone() or (0,)
            connection.execute(PASS_TRANSACTIONS.format(newest=int(number)))


@contextmanager
def laid_out(archive: Path) -> Iterator[Old]:
    """The book of an archive, before its server is started; all of it is gone afterwards."""
    place = beside("upgrade")
    with tarfile.open(archive) as packed:
        packed.extractall(place, filter="data")
    found = Old(place, place / "var", Server(place / "var"))
    try:
        yield found
    finally:
        if found.server.data.exists():
            found.server.stop()
        shutil.rmtree(place)
