"""The guards stay on; where somebody could switch one off, it is found."""

import json
from collections.abc import Callable
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from accounts.guards import (
    GuardsChangedError,
    changed_guards,
    event_trigger_is_on,
    found_guards,
    pinned_guards,
    refuse_to_start_unguarded,
)

Connect = Callable[[str], psycopg.Connection[Any]]

# What an owner could try: the statement, and what the check calls it where nothing stops it.
ATTACKS = {
    "drop a trigger": (
        "DROP TRIGGER posting_1_is_sound ON ledger_posting",
        "trigger posting_1_is_sound of table public.ledger_posting is gone",
    ),
    "disable a trigger": (
        "ALTER TABLE ledger_posting DISABLE TRIGGER history_is_append_only",
        "trigger history_is_append_only of table public.ledger_posting was changed",
    ),
    "let a trigger be skipped": (
        "ALTER TABLE accounts_client ENABLE TRIGGER audit_update",
        "trigger audit_update of table public.accounts_client was changed",
    ),
    "rename a trigger": (
        "ALTER TRIGGER entry_1_is_sound ON ledger_entry RENAME TO entry_1_too",
        "trigger entry_1_is_sound of table public.ledger_entry is gone",
    ),
    "replace a function": (
        "CREATE OR REPLACE FUNCTION accounts.require_act() RETURNS void"
        " LANGUAGE plpgsql STABLE AS 'BEGIN END'",
        "function require_act() of schema accounts was changed",
    ),
    "replace the list of guards": (
        "CREATE OR REPLACE FUNCTION accounts.guards()"
        " RETURNS TABLE (object text, guard text, definition text)"
        " LANGUAGE sql STABLE AS 'SELECT object, guard, definition FROM accounts.guards() LIMIT 0'",
        "the list of guards itself, accounts.guards(), was changed",
    ),
    "overload a function": (
        "CREATE FUNCTION accounts.refuse(rule text, message varchar) RETURNS void"
        " LANGUAGE plpgsql AS 'BEGIN END'",
        "function refuse(rule text, message character varying) of schema accounts was added",
    ),
    "take a function's search path away": (
        "ALTER FUNCTION ledger.post_entries(jsonb) RESET search_path",
        "function post_entries(batch jsonb) of schema ledger was changed",
    ),
    "drop a constraint": (
        "ALTER TABLE accounts_approval DROP CONSTRAINT approval_is_not_ones_own",
        "constraint approval_is_not_ones_own of table public.accounts_approval is gone",
    ),
    "drop a primary key": (
        "ALTER TABLE ledger_dailymovement DROP CONSTRAINT ledger_dailymovement_pkey",
        "constraint ledger_dailymovement_pkey of table public.ledger_dailymovement is gone",
    ),
    "drop a table": (
        "DROP TABLE ledger_releaseuse",
        "columns of table public.ledger_releaseuse is gone",
    ),
    "drop a column's NOT NULL": (
        "ALTER TABLE ledger_posting ALTER COLUMN amount DROP NOT NULL",
        "columns of table public.ledger_posting was changed",
    ),
    "change a default": (
        "ALTER TABLE ledger_entry ALTER COLUMN recorded_at SET DEFAULT '2020-01-01'",
        "columns of table public.ledger_entry was changed",
    ),
    "give a right": (
        "GRANT UPDATE ON ledger_balance TO bo_runtime",
        "rights of table public.ledger_balance was changed",
    ),
    "give a right on a column": (
        "GRANT UPDATE (amount) ON ledger_posting TO bo_runtime",
        "rights on amount of table public.ledger_posting was added",
    ),
    "give a right on a sequence": (
        "GRANT ALL ON SEQUENCE ledger_entry_id TO bo_runtime",
        "rights of sequence public.ledger_entry_id was changed",
    ),
    "let everybody call a function": (
        "GRANT EXECUTE ON FUNCTION ledger.balance_at(bigint, bigint) TO PUBLIC",
        "rights on balance_at(account bigint, entry bigint) of schema ledger was added",
    ),
    "hide rows": (
        "ALTER TABLE ledger_posting ENABLE ROW LEVEL SECURITY",
        "table of table public.ledger_posting was changed",
    ),
    "forget rows at a crash": (
        "ALTER TABLE accounts_signinfailure SET UNLOGGED",
        "table of table public.accounts_signinfailure was changed",
    ),
    "swallow rows": (
        "CREATE RULE swallow AS ON INSERT TO accounts_auditrow DO INSTEAD NOTHING",
        "rule swallow of table public.accounts_auditrow was added",
    ),
    "add a trigger": (
        "CREATE TRIGGER more BEFORE INSERT ON margin_price"
        " FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "trigger more of table public.margin_price was added",
    ),
    "slip rows in from another table": (
        "CREATE TABLE more () INHERITS (ledger_pool)",
        "child public.more of table public.ledger_pool was added",
    ),
}  # fmt: skip


def guards_now() -> list[str]:
    with connection.cursor() as cursor:
        return changed_guards(cursor)


def test_the_pin_is_that_of_the_migrations(db: None) -> None:
    with connection.cursor() as cursor:
        found = found_guards(cursor)
    assert found == pinned_guards(), "run `manage.py guards --pin` on a fresh database"


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_owner_cannot_change_a_guard(
    db: None, owner: psycopg.Connection[Any], attack: str
) -> None:
    statement, _ = ATTACKS[attack]
    with pytest.raises(psycopg.errors.CheckViolation) as refused:
        owner.execute(statement)
    assert refused.value.diag.constraint_name == "guards_stay_on"
    assert guards_now() == []


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_changed_guard_is_found_where_the_server_keeps_none_on(
    db: None, owner: psycopg.Connection[Any], superuser: psycopg.Connection[Any], attack: str
) -> None:
    statement, found = ATTACKS[attack]
    superuser.execute("DROP EVENT TRIGGER guards_stay_on")
    refuse_to_start_unguarded()
    owner.execute(statement)
    assert found in guards_now()
    with pytest.raises(GuardsChangedError, match="not guarded as it must be"):
        refuse_to_start_unguarded()


def test_a_table_that_a_superuser_gave_away_is_found(
    db: None, superuser: psycopg.Connection[Any]
) -> None:
    superuser.execute("ALTER TABLE ledger_pool OWNER TO bo_runtime")
    assert "table of table public.ledger_pool was changed" in guards_now()


def test_a_foreign_key_that_a_superuser_put_to_sleep_is_found(
    db: None, superuser: psycopg.Connection[Any]
) -> None:
    superuser.execute("ALTER TABLE margin_resultcomponent DISABLE TRIGGER ALL")
    changed = guards_now()
    assert any(line.startswith("constraint margin_resultcomponent_asset_id") for line in changed)


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("owner", "CREATE TABLE scratch (id bigint)"),
        ("owner", "CREATE TEMPORARY TABLE scratch (id bigint)"),
        ("owner", "CREATE INDEX posting_by_reference ON ledger_posting (reference)"),
        ("owner", "COMMENT ON TABLE ledger_pool IS 'closed books'"),
        ("broker", "SELECT pgmq.create('errands')"),
        ("broker", "SELECT pgmq.drop_queue('errands')"),
    ],
)
def test_what_is_no_guard_may_be_made(
    db: None, connect: Connect, superuser: psycopg.Connection[Any], role: str, statement: str
) -> None:
    if "drop_queue" in statement:
        connect("broker").execute("SELECT pgmq.create('errands')")
    database = superuser.info.dbname
    superuser.execute(f'GRANT TEMPORARY ON DATABASE "{database}" TO bo_owner')
    connect(role).execute(statement)
    assert guards_now() == []


def test_the_owner_cannot_reach_what_keeps_the_guards_on(
    db: None, owner: psycopg.Connection[Any]
) -> None:
    for statement in (
        "DROP EVENT TRIGGER guards_stay_on",
        "ALTER EVENT TRIGGER guards_stay_on DISABLE",
        "SET event_triggers = off",
        "SET session_replication_role = replica",
        "DELETE FROM guard.pinned",
        "DROP SCHEMA guard CASCADE",
        "CREATE OR REPLACE FUNCTION guard.keep_on() RETURNS event_trigger"
        " LANGUAGE plpgsql AS 'BEGIN END'",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            owner.execute(statement)
    with connection.cursor() as cursor:
        assert event_trigger_is_on(cursor)


def test_the_command_lists_what_differs_and_exits_1(
    db: None, superuser: psycopg.Connection[Any]
) -> None:
    out = StringIO()
    call_command("guards", stdout=out)
    assert out.getvalue() == "All guards are as they must be, and the server keeps them on.\n"
    superuser.execute("ALTER TABLE ledger_posting DISABLE TRIGGER posting_1_is_sound")
    out = StringIO()
    with pytest.raises(CommandError) as refused:
        call_command("guards", stdout=out)
    assert refused.value.returncode == 1
    assert (
        out.getvalue() == "trigger posting_1_is_sound of table public.ledger_posting was changed\n"
    )


def test_the_pin_names_no_machine(db: None) -> None:
    text = json.dumps(pinned_guards())
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_database()")
        (name,) = cursor.fetchone()
    assert name not in text
