"""The trail of every table: what changes needs an actor and leaves before and after.

The loops take each table as it stands in the database. To reach its triggers with the simplest
row, a superuser first lifts, in this test's own database, the rules that are not of the trail.
"""

from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps

from accounts.models import Role
from accounts.table_classes import table_classes
from tests.accounts.people import Desk, found_desk, session_of
from tests.accounts.raw import Connection, act, not_permitted, one, refused, rows_of

Connect = Callable[[str], Connection]
CLASSES = table_classes()
EDITABLE = CLASSES.editable
APPEND_ONLY = (*CLASSES.sealed, *(part.table for part in CLASSES.parts))
OF_THE_TRAIL = {
    "audit_insert", "audit_update", "audit_delete", "change_has_an_actor", "history_is_append_only",
    "row_carries_its_transaction",
}  # fmt: skip


def key_of(table: str) -> str:
    """The column by which the trail knows a row."""
    model = next(m for m in apps.get_models() if m._meta.db_table == table)
    assert model._meta.pk is not None
    return str(model._meta.pk.column)


def primary_key(connection: Connection, table: str) -> list[tuple[str, str]]:
    """Columns of the primary key, with their types."""
    found: list[tuple[str, str]] = connection.execute(
        "SELECT a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_index i"
        " JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)"
        " WHERE i.indrelid = %s::regclass AND i.indisprimary",
        [table],
    ).fetchall()
    return found


def bare(superuser: Connection, table: str) -> None:
    """Lift what is not of the trail: checks, empty columns, links, and other triggers."""
    for (name,) in superuser.execute(
        "SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass AND contype IN ('c', 'f')",
        [table],
    ).fetchall():
        superuser.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')
    for (column,) in superuser.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
        " AND attnotnull AND attidentity = '' AND NOT attisdropped AND attname <> ALL (%s)",
        [table, [name for name, _ in primary_key(superuser, table)]],
    ).fetchall():
        superuser.execute(f'ALTER TABLE {table} ALTER COLUMN "{column}" DROP NOT NULL')
    for (name,) in superuser.execute(
        "SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal", [table]
    ).fetchall():
        if name not in OF_THE_TRAIL:
            superuser.execute(f'ALTER TABLE {table} DISABLE TRIGGER "{name}"')


def simplest_row(owner: Connection, table: str) -> tuple[str, str]:
    """A statement that adds one row, and the text of its key."""
    key = key_of(table)
    kind = one(
        owner, "SELECT format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = %s::regclass AND attname = %s", table, key,
    )  # fmt: skip
    value = "00000000-0000-0000-0000-000000000007" if kind == "uuid" else "777"
    identity = one(
        owner, "SELECT attidentity::text FROM pg_attribute WHERE attrelid = %s::regclass"
        " AND attname = %s", table, key,
    )  # fmt: skip
    overriding = "OVERRIDING SYSTEM VALUE " if identity == "a" else ""
    return f"INSERT INTO {table} ({key}) {overriding}VALUES ('{value}')", value


@pytest.mark.parametrize("table", EDITABLE)
def test_an_editable_table_leaves_before_and_after(
    db: None, owner: Connection, superuser: Connection, table: str
) -> None:
    bare(superuser, table)
    statement, key = simplest_row(owner, table)
    column = key_of(table)
    trail = (
        "SELECT operation, before ->> %s, after ->> %s FROM accounts_auditrow"
        " WHERE table_name = %s AND row_key = %s ORDER BY id"
    )
    with refused("change_has_an_actor"):
        owner.execute(statement)
    with act(owner):
        owner.execute(statement)
    changeable = owner.execute(
        "SELECT attname, atttypid::regtype::text FROM pg_attribute WHERE attrelid = %s::regclass"
        " AND attnum > 1 AND NOT attisdropped AND attname <> %s"
        " AND atttypid IN ('text'::regtype, 'varchar'::regtype, 'bigint'::regtype,"
        " 'timestamptz'::regtype) LIMIT 1",
        [table, column],
    ).fetchone()
    assert changeable is not None
    values = {"bigint": "8", "timestamp with time zone": "2018-02-06"}
    value = values.get(changeable[1], "changed")
    update = f"UPDATE {table} SET \"{changeable[0]}\" = '{value}' WHERE {column} = '{key}'"
    with refused("change_has_an_actor"):
        owner.execute(update)
    with act(owner):
        owner.execute(update)
    with refused("change_has_an_actor"):
        owner.execute(f"DELETE FROM {table} WHERE {column} = '{key}'")
    with act(owner):
        owner.execute(f"DELETE FROM {table} WHERE {column} = '{key}'")
    assert owner.execute(trail, [column, column, table, key]).fetchall() == [
        ("insert", None, key),
        ("update", key, key),
        ("delete", key, None),
    ]
    with refused("history_is_append_only"):
        owner.execute(f"TRUNCATE {table} CASCADE")


@pytest.mark.parametrize("table", APPEND_ONLY)
def test_an_append_only_table_is_never_changed(
    db: None, owner: Connection, connect: Connect, table: str
) -> None:
    column = one(
        owner, "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum = 1",
        table,
    )  # fmt: skip
    before = rows_of(owner, table)
    for statement in (
        f'UPDATE {table} SET "{column}" = "{column}"',
        f"DELETE FROM {table}",
        f"TRUNCATE {table} CASCADE",
    ):
        with refused("history_is_append_only"):
            owner.execute(statement)
        with not_permitted():
            connect("runtime").execute(statement)
    assert rows_of(owner, table) == before


# Tables whose own guard asks have a test of their own, tests/ledger/test_forbidden_rows.py.
@pytest.mark.parametrize("table", sorted({*APPEND_ONLY} - {"accounts_act", *CLASSES.guarded}))
def test_a_row_of_history_has_an_actor(
    db: None, owner: Connection, superuser: Connection, table: str
) -> None:
    bare(superuser, table)
    columns = primary_key(superuser, table)
    samples = {
        "uuid": "gen_random_uuid()",
        "text": "'7'",
        "date": "date '2031-03-03'",
        "pg_snapshot": "pg_current_snapshot()",
    }
    names = ", ".join(f'"{name}"' for name, _ in columns)
    values = ", ".join(
        samples.get(kind, "'7'" if kind.startswith("character") else "777") for _, kind in columns
    )
    statement = f"INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE VALUES ({values})"
    before = rows_of(owner, table)
    with refused("change_has_an_actor"):
        owner.execute(statement)
    assert rows_of(owner, table) == before
    with act(owner):
        owner.execute(statement)
    assert len(rows_of(owner, table)[table]) == len(before[table]) + 1


def test_only_changed_tables_write_the_trail(db: None, owner: Connection, connect: Connect) -> None:
    statement = (
        "INSERT INTO accounts_auditrow (table_name, operation, row_key, after)"
        " VALUES ('accounts_operator', 'insert', '1', '{}')"
    )
    before = rows_of(owner, "accounts_auditrow")
    with refused("trail_writes_itself"), act(owner):
        owner.execute(statement)
    runtime = connect("runtime")
    with not_permitted(), act(runtime):
        runtime.execute(statement)
    assert rows_of(owner, "accounts_auditrow") == before


# ---------------------------------------------------------------- what a row of it says


@pytest.fixture
def desk(db: None) -> Desk:
    return found_desk()


@pytest.fixture
def runtime(connect: Connect) -> Connection:
    return connect("runtime")


def trail_of(connection: Connection, table: str) -> list[tuple[Any, ...]]:
    """What the newest transaction did to a table."""
    return connection.execute(
        "SELECT operation, before, after FROM accounts_auditrow WHERE table_name = %s"
        " AND xid = (SELECT max(xid) FROM accounts_act) ORDER BY id",
        [table],
    ).fetchall()


def test_a_statement_of_many_rows_leaves_each(desk: Desk, runtime: Connection) -> None:
    with act(runtime):
        runtime.execute(
            "INSERT INTO accounts_legalentity (code, name)"
            " SELECT 'E' || n, 'Entity ' || n FROM generate_series(1, 50) n"
        )
    added = trail_of(runtime, "accounts_legalentity")
    assert [row[0] for row in added] == ["insert"] * 50
    with act(runtime):
        runtime.execute("UPDATE accounts_legalentity SET name = upper(name) WHERE code LIKE 'E_'")
    changed = trail_of(runtime, "accounts_legalentity")
    assert [(b["name"], a["name"]) for _, b, a in changed] == [
        (f"Entity {n}", f"ENTITY {n}") for n in range(1, 10)
    ]


def test_a_copy_from_a_file_leaves_each_row(desk: Desk, runtime: Connection) -> None:
    into = "COPY accounts_legalentity (code, name) FROM STDIN"
    with act(runtime), runtime.cursor() as cursor, cursor.copy(into) as copy:
        copy.write_row(("C1", "One"))
        copy.write_row(("C2", "Two"))
    assert [after["code"] for _, _, after in trail_of(runtime, "accounts_legalentity")] == [
        "C1",
        "C2",
    ]


def test_a_statement_that_changes_nothing_leaves_nothing(desk: Desk, runtime: Connection) -> None:
    with act(runtime):
        runtime.execute("UPDATE accounts_legalentity SET name = name")
        runtime.execute("UPDATE accounts_legalentity SET name = 'x' WHERE code = 'nobody'")
    assert trail_of(runtime, "accounts_legalentity") == []


def test_a_password_is_never_in_the_trail(desk: Desk, runtime: Connection) -> None:
    operator = desk[Role.RISK]
    with act(runtime):
        runtime.execute(
            "UPDATE accounts_operator SET password = 'pbkdf2$secret' WHERE id = %s", [operator.pk]
        )
    ((operation, before, after),) = trail_of(runtime, "accounts_operator")
    assert (operation, before["password"], after["password"]) == ("update", "hidden", "changed")
    assert after["last_login"] == "hidden"
    found = runtime.execute(
        "SELECT count(*) FROM accounts_auditrow WHERE before::text || after::text LIKE %s",
        ["%pbkdf2%"],
    ).fetchone()
    assert found == (0,)


def test_the_key_of_a_person_is_never_in_the_trail(desk: Desk, runtime: Connection) -> None:
    with act(runtime):
        runtime.execute(
            "INSERT INTO accounts_personkey (id, key) VALUES (gen_random_uuid(), '\\xdeadbeef')"
        )
    ((_, _, after),) = trail_of(runtime, "accounts_personkey")
    assert after["key"] == "hidden"


def test_a_transaction_has_one_actor(desk: Desk, runtime: Connection) -> None:
    key = session_of(desk[Role.RISK])
    before = rows_of(runtime, "accounts_act")
    with refused("transaction_has_one_actor"), act(runtime):
        runtime.execute("SELECT accounts.act(NULL, %s, 'test', '', '')", [key])
    assert rows_of(runtime, "accounts_act") == before


@pytest.mark.parametrize("name", [None, "", "l.brandt", "operator:l.brandt", "system:"])
def test_only_a_machine_acts_without_a_session(
    desk: Desk, runtime: Connection, name: str | None
) -> None:
    before = rows_of(runtime, "accounts_act")
    with refused("person_acts_through_a_session"), runtime.transaction():
        runtime.execute("SELECT accounts.act(%s, NULL, 'test', '', '')", [name])
    with refused("session_is_live"), runtime.transaction():
        runtime.execute("SELECT accounts.act(NULL, 'no such key', 'test', '', '')")
    assert rows_of(runtime, "accounts_act") == before


@pytest.mark.parametrize(
    ("rule", "statement"),
    [
        ("legal_entity_stays_itself", "UPDATE accounts_legalentity SET code = 'X'"),
        ("operator_stays_itself", "UPDATE accounts_operator SET username = username || 'x'"),
        ("row_is_kept", "DELETE FROM accounts_legalentity"),
        ("row_is_kept", "DELETE FROM accounts_operator"),
        ("row_is_kept", "DELETE FROM accounts_rolegrant"),
    ],
)
def test_who_somebody_is_stays(desk: Desk, owner: Connection, rule: str, statement: str) -> None:
    before = rows_of(owner, "accounts_legalentity", "accounts_operator", "accounts_rolegrant")
    with refused(rule), act(owner):
        owner.execute(statement)
    after = rows_of(owner, "accounts_legalentity", "accounts_operator", "accounts_rolegrant")
    assert after == before
