"""Database roles: who may do what, before any table exists.

`bo_owner` owns the database, its schema and everything migrations make, and cannot sign in.
`bo_migrator` signs in for migrations and acts as `bo_owner`. `bo_runtime` is the product at work:
it reads everything and writes only what a migration grants it. `bo_auditor` reads. `bo_broker`
owns the message queue's schema and sees nothing of the book.
"""

from collections.abc import Mapping
from typing import Any

import psycopg
from pgmq.install import get_embedded_install_sql
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

OWNER = "bo_owner"
SIGN_IN_ROLES = {
    "runtime": "bo_runtime",
    "migrator": "bo_migrator",
    "auditor": "bo_auditor",
    "broker": "bo_broker",
}

# A transaction that stays open holds back the seal, so whoever writes has a minute.
RUNTIME_LIMITS = ("statement_timeout", "idle_in_transaction_session_timeout")
RUNTIME_LIMIT = "60s"

# Django's own tables that the product writes while it works.
FRAMEWORK_TABLES_WRITTEN = ("django_session",)


def prepare(admin: str, *, passwords: Mapping[str, str]) -> None:
    """Make roles, database, schemas and the message queue; running it again changes nothing.

    Args:
        admin: connection string of a superuser, naming the database to prepare.
        passwords: by role name, for servers that ask for one.
    """
    database = str(conninfo_to_dict(admin)["dbname"])
    with psycopg.connect(make_conninfo(admin, dbname="postgres"), autocommit=True) as connection:
        make_roles(connection, passwords=passwords)
        make_database(connection, database=database)
    with psycopg.connect(admin) as connection:
        close_database(connection, database=database)
        close_schema(connection)
        install_queue(connection, database=database)


def make_roles(connection: psycopg.Connection[Any], *, passwords: Mapping[str, str]) -> None:
    """Make the five roles, or put right what differs."""
    found = {row[0] for row in connection.execute("SELECT rolname FROM pg_roles")}
    for role in (OWNER, *SIGN_IN_ROLES.values()):
        name = sql.Identifier(role)
        if role not in found:
            connection.execute(sql.SQL("CREATE ROLE {}").format(name))
        attributes = "NOLOGIN" if role == OWNER else "LOGIN"
        attributes += " NOINHERIT" if role == "bo_migrator" else " INHERIT"
        connection.execute(
            sql.SQL("ALTER ROLE {} NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS ")
            .format(name) + sql.SQL(attributes)
        )  # fmt: skip
        if role in passwords:
            connection.execute(
                sql.SQL("ALTER ROLE {} PASSWORD {}").format(name, sql.Literal(passwords[role]))
            )
    connection.execute("GRANT bo_owner TO bo_migrator WITH INHERIT FALSE, SET TRUE")
    for limit in RUNTIME_LIMITS:
        connection.execute(f"ALTER ROLE bo_runtime SET {limit} = '{RUNTIME_LIMIT}'")


def make_database(connection: psycopg.Connection[Any], *, database: str) -> None:
    """Make the database unless it is there, and give it to the owner role."""
    name = sql.Identifier(database)
    known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database])
    if known.fetchone() is None:
        connection.execute(
            sql.SQL("CREATE DATABASE {} OWNER bo_owner TEMPLATE template0 ENCODING 'UTF8'")
            .format(name)
        )  # fmt: skip
    else:
        connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO bo_owner").format(name))


def close_database(connection: psycopg.Connection[Any], *, database: str) -> None:
    """Take from everybody what PostgreSQL gives by default; temporary tables go with it."""
    name = sql.Identifier(database)
    connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
    connection.execute(
        sql.SQL(
            "GRANT CONNECT ON DATABASE {} TO bo_runtime, bo_migrator, bo_auditor, bo_broker"
        ).format(name)
    )


def close_schema(connection: psycopg.Connection[Any]) -> None:
    """Give the schema to the owner role; new tables may be read, new functions not called."""
    for statement in (
        "ALTER SCHEMA public OWNER TO bo_owner",
        "REVOKE ALL ON SCHEMA public FROM PUBLIC",
        "GRANT USAGE ON SCHEMA public TO bo_runtime, bo_auditor",
        "ALTER DEFAULT PRIVILEGES FOR ROLE bo_owner IN SCHEMA public "
        "GRANT SELECT ON TABLES TO bo_runtime, bo_auditor",
        "ALTER DEFAULT PRIVILEGES FOR ROLE bo_owner IN SCHEMA public "
        "GRANT SELECT ON SEQUENCES TO bo_runtime, bo_auditor",
        # Who may not insert into a table gains nothing by the next number of its rows.
        "ALTER DEFAULT PRIVILEGES FOR ROLE bo_owner IN SCHEMA public "
        "GRANT USAGE ON SEQUENCES TO bo_runtime",
        # A new function is callable by nobody until a migration says by whom.
        "ALTER DEFAULT PRIVILEGES FOR ROLE bo_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC",
    ):
        connection.execute(statement)


def grant_framework_tables(connection: psycopg.Connection[Any]) -> None:
    """Let the product write Django's own tables that it works with, such as sessions."""
    for table in FRAMEWORK_TABLES_WRITTEN:
        connection.execute(
            sql.SQL("GRANT INSERT, UPDATE, DELETE ON {} TO bo_runtime").format(
                sql.Identifier(table)
            )
        )


def install_queue(connection: psycopg.Connection[Any], *, database: str) -> None:
    """Install the message queue's schema, owned by the one role that uses it."""
    known = connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = 'pgmq'")
    if known.fetchone() is not None:
        return
    name = sql.Identifier(database)
    connection.execute("CREATE SCHEMA pgmq AUTHORIZATION bo_broker")
    # The script asks for its schema again, which needs this right even though it exists.
    connection.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO bo_broker").format(name))
    connection.execute("SET LOCAL ROLE bo_broker")
    connection.execute(get_embedded_install_sql())
    connection.execute("RESET ROLE")
    connection.execute(sql.SQL("REVOKE CREATE ON DATABASE {} FROM bo_broker").format(name))
