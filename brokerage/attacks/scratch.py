"""A scratch copy of the database: all that guards the book, and nothing of what stands in it.

Tables, functions, triggers, constraints, owners and rights are copied as they are now, with the
rows that the rules themselves are made of. No client's data is copied, so it takes seconds however
large the book is, and the operators' database is only read from.
"""

import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from brokerage.postgres import binaries

# Rows that migrations write and rules read. A fresh database has rows in these tables, and in
# those of the trail and the framework, alone.
RULE_TABLES = (
    "ledger_entrykind",
    "ledger_kindleg",
    "ledger_moverule",
    "ledger_blockrule",
    "ledger_transitrule",
    "ledger_conductrule",
    "ledger_paymentstep",
    "accounts_dutyconflict",
    "accounts_emergencyrule",
    "accounts_instructionrule",
    "accounts_approvalaction",
    "accounts_approvallimit",
    "accounts_retentionclass",
    "accounts_retentionrule",
    "margin_calltransition",
    "margin_deliverytransition",
    "margin_noticetemplate",
    "django_migrations",
)


class AttackRefusedError(Exception):
    """The attacks cannot be made here; the message is one sentence for people."""


@contextmanager
def scratch_copy(admin: str) -> Iterator[str]:
    """Make the copy on the same server; yields its name and drops it, whatever happens.

    Args:
        admin: connection string of a superuser, naming the database to copy.

    Raises:
        AttackRefusedError: PostgreSQL's own programs could not make the copy.
    """
    name = f"attack_{os.getpid()}_{secrets.token_hex(4)}"
    database = str(conninfo_to_dict(admin)["dbname"])
    with psycopg.connect(make_conninfo(admin, dbname="postgres"), autocommit=True) as server:
        try:
            _create(server, name, like=database)
            _fill(admin, name)
            yield name
        finally:
            server.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )


def _create(server: psycopg.Connection[tuple[object, ...]], name: str, *, like: str) -> None:
    """An empty database with the owner and the rights that the copied one has."""
    found = server.execute(
        "SELECT d.datdba::regrole::text, d.datacl IS NOT NULL FROM pg_database d"
        " WHERE d.datname = %s",
        [like],
    ).fetchone()
    if found is None:
        raise AttackRefusedError(f"There is no database {like}; `make setup` makes it.")
    owner, has_rights = str(found[0]), bool(found[1])
    database = sql.Identifier(name)
    server.execute(
        sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0").format(
            database, sql.Identifier(owner)
        )
    )
    if not has_rights:
        return
    rights = server.execute(
        "SELECT g.privilege_type, CASE WHEN g.grantee = 0 THEN 'PUBLIC'"
        " ELSE quote_ident(g.grantee::regrole::text) END"
        " FROM pg_database d CROSS JOIN LATERAL aclexplode(d.datacl) g WHERE d.datname = %s",
        [like],
    ).fetchall()
    server.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
    for right, who in rights:
        server.execute(
            sql.SQL("GRANT {} ON DATABASE {} TO {}").format(
                sql.SQL(str(right)), database, sql.SQL(str(who).strip('"'))
            )
        )


def _fill(admin: str, name: str) -> None:
    with psycopg.connect(admin) as source:
        rows = source.execute(
            "SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname NOT IN"
            " ('pg_catalog', 'information_schema', 'guard') AND tablename <> ALL (%s)",
            [list(RULE_TABLES)],
        ).fetchall()
    left_out = [f"--exclude-table-data={table}" for (table,) in rows]
    dump = _start("pg_dump", admin, *left_out, stdout=subprocess.PIPE)
    load = _start(
        "psql", make_conninfo(admin, dbname=name), "--no-psqlrc", "--quiet", "--single-transaction",
        "--set=ON_ERROR_STOP=1", "--output=/dev/null", stdin=dump.stdout,
    )  # fmt: skip
    assert dump.stdout is not None
    dump.stdout.close()
    _, said_by_load = load.communicate()
    _, said_by_dump = dump.communicate()
    for program, said in ((dump, said_by_dump), (load, said_by_load)):
        if program.returncode != 0:
            last = said.decode(errors="replace").strip().splitlines() or ["it said nothing"]
            raise AttackRefusedError(f"The database could not be copied: {last[-1]}")


def _start(
    program: str,
    address: str,
    *arguments: str,
    stdin: IO[bytes] | None = None,
    stdout: int | None = None,
) -> "subprocess.Popen[bytes]":
    """One of PostgreSQL's programs; the password goes by its environment, where none can see it."""
    parts: dict[str, Any] = dict(conninfo_to_dict(address))
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
    password = parts.pop("password", None)
    if password is not None:
        environment["PGPASSWORD"] = str(password)
    command = [str(binaries() / program), f"--dbname={make_conninfo(**parts)}", *arguments]
    return subprocess.Popen(  # noqa: S603 - fixed programs, an address of our own
        command, env=environment, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE
    )
