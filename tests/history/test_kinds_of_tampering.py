"""Every kind of tampering, on every sealed table, is found and its place named."""

import random
from collections.abc import Callable
from typing import NamedTuple

import psycopg
import pytest

from accounts.models import SealBlock
from accounts.table_classes import table_classes
from brokerage.verify import verify
from tests.history.book import Book
from tests.history.tampering import Superuser, filled_in, named, tamper, triggers_off


class Target(NamedTuple):
    """A table under attack: its key, its other columns, and its rows below the head, oldest
    first."""

    table: str
    key: list[str]
    others: list[str]
    rows: list[str]


def target_of(superuser: Superuser, table: str) -> Target:
    columns = superuser.execute(
        "SELECT a.attname, coalesce(a.attnum = ANY (i.indkey), false) FROM pg_attribute a"
        " LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary"
        " WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY attnum",
        [table],
    ).fetchall()
    end = SealBlock.objects.latest("number").to_xid
    rows = superuser.execute(
        f"SELECT ctid::text FROM {table} WHERE xid < '{end}' ORDER BY xid, ctid"
    ).fetchall()
    return Target(
        table,
        [name for name, is_key in columns if is_key],
        [name for name, is_key in columns if not is_key and name != "xid"],
        [row for (row,) in rows],
    )


def sealed_tables() -> list[str]:
    classes = table_classes()
    return [*classes.sealed, *(part.table for part in classes.parts)]


# ---------------------------------------------------------------- what can be done to any table

# Each is a statement over {t} and rows; rows are named by where they stand, oldest first.
Attack = Callable[[Target, random.Random], str | None]


def delete_one(t: Target, chance: random.Random) -> str | None:
    return f"DELETE FROM {t.table} WHERE ctid = '{chance.choice(t.rows)}'"


def delete_the_oldest(t: Target, chance: random.Random) -> str | None:
    return f"DELETE FROM {t.table} WHERE ctid = '{t.rows[0]}'"


def truncate_the_tail(t: Target, chance: random.Random) -> str | None:
    return f"DELETE FROM {t.table} WHERE ctid = '{t.rows[-1]}'"


def delete_all(t: Target, chance: random.Random) -> str | None:
    return f"DELETE FROM {t.table}"


def copy_one(t: Target, chance: random.Random) -> str | None:
    """The same row again under another key, with what was unique told apart."""
    return (
        f"INSERT INTO {t.table} SELECT (jsonb_populate_record(w, ("
        " SELECT jsonb_object_agg(k, CASE jsonb_typeof(v) WHEN 'number' THEN"
        "   to_jsonb(v::text::numeric + 7000) ELSE to_jsonb((v #>> '{}') || 'x') END)"
        f"  FROM jsonb_each(to_jsonb(w)) e(k, v) WHERE k = ANY ('{{{','.join(t.key)}}}')))).*"
        f" FROM {t.table} w WHERE ctid = '{chance.choice(t.rows)}'"
    )


def swap_two(t: Target, chance: random.Random) -> str | None:
    """What two rows say, under each other's key."""
    if len(t.rows) < 2 or not t.others:
        return None
    one, two = chance.sample(t.rows, 2)
    said = ", ".join(t.others)
    values = ", ".join(f"o.{column}" for column in t.others)
    row = f"ROW({values})" if len(t.others) == 1 else f"({values})"
    return (
        f"UPDATE {t.table} w SET ({said}) = {row} FROM {t.table} o"
        f" WHERE w.ctid IN ('{one}', '{two}') AND o.ctid IN ('{one}', '{two}')"
        " AND w.ctid <> o.ctid"
    )


def to_another_transaction(t: Target, chance: random.Random) -> str | None:
    return (
        f"UPDATE {t.table} SET xid = (SELECT xid FROM accounts_act WHERE xid <> {t.table}.xid"
        f" ORDER BY xid LIMIT 1) WHERE ctid = '{t.rows[-1]}'"
    )


def to_a_transaction_before_all(t: Target, chance: random.Random) -> str | None:
    return f"UPDATE {t.table} SET xid = '2' WHERE ctid = '{chance.choice(t.rows)}'"


def to_a_transaction_to_come(t: Target, chance: random.Random) -> str | None:
    return f"UPDATE {t.table} SET xid = '99999999999' WHERE ctid = '{chance.choice(t.rows)}'"


def another_key(t: Target, chance: random.Random) -> str | None:
    column = t.key[-1]
    return (
        f"UPDATE {t.table} w SET {column} = (jsonb_populate_record(w, jsonb_build_object("
        f"'{column}', CASE jsonb_typeof(to_jsonb(w.{column})) WHEN 'number'"
        f" THEN to_jsonb((to_jsonb(w.{column}) #>> '{{}}')::numeric + 7000)"
        f" ELSE to_jsonb((to_jsonb(w.{column}) #>> '{{}}') || 'x') END))).{column}"
        f" WHERE ctid = '{chance.choice(t.rows)}'"
    )


ON_ANY_TABLE: dict[str, Attack] = {
    "a row deleted": delete_one,
    "the oldest row deleted": delete_the_oldest,
    "the tail cut off": truncate_the_tail,
    "all rows deleted": delete_all,
    "a row put in": copy_one,
    "two rows swapped": swap_two,
    "a row moved to another transaction": to_another_transaction,
    "a row moved before the beginning": to_a_transaction_before_all,
    "a row moved into the future": to_a_transaction_to_come,
    "a row under another key": another_key,
}


def missed(superuser: Superuser, attack: Attack, table: str, chance: random.Random) -> str:
    """Attack one table and put it back; what `verify` should have said and did not."""
    target = target_of(superuser, table)
    if not target.rows:
        return ""
    statement = attack(target, chance)
    if statement is None:
        return ""
    superuser.execute("DROP TABLE IF EXISTS pg_temp.kept")
    superuser.execute(f"CREATE TEMPORARY TABLE kept AS TABLE {table}")
    try:
        with triggers_off(superuser, table):
            changed = superuser.execute(statement).rowcount
    except (psycopg.errors.IntegrityError, psycopg.errors.DataError):
        return ""  # a constraint that no superuser is above
    said = verify().as_json()["first_wrong"]
    with triggers_off(superuser, table):
        superuser.execute(f"DELETE FROM {table}")
        superuser.execute(f"INSERT INTO {table} SELECT * FROM pg_temp.kept")
    if not changed or (said is not None and said["table"] and said["key"]):
        return ""
    return f"{table}: {statement}"


def test_each_kind_of_tampering_is_found_on_some_table(
    book: Book, superuser: Superuser, chance: random.Random
) -> None:
    filled = [table for table in sealed_tables() if target_of(superuser, table).rows]
    for kind, attack in ON_ANY_TABLE.items():
        assert missed(superuser, attack, chance.choice(filled), chance) == "", kind
    assert verify().is_sound


@pytest.mark.soak
@pytest.mark.parametrize("kind", ON_ANY_TABLE)
def test_tampering_with_any_table_is_found(
    firm: None, superuser: Superuser, chance: random.Random, kind: str
) -> None:
    found = [missed(superuser, ON_ANY_TABLE[kind], table, chance) for table in sealed_tables()]
    assert [line for line in found if line] == []
    assert verify().is_sound


# ---------------------------------------------------------------- what is aimed at something

SWAPPED = (  # of two clients: their postings, their balances, their movements
    "UPDATE ledger_posting SET account_id = CASE account_id WHEN {one} THEN -{two} ELSE -{one} END"
    " WHERE account_id IN ({one}, {two})",
    "UPDATE ledger_posting SET account_id = -account_id WHERE account_id < 0",
    "UPDATE ledger_balance SET account_id = CASE account_id WHEN {one} THEN -{two} ELSE -{one} END"
    " WHERE account_id IN ({one}, {two})",
    "UPDATE ledger_balance SET account_id = -account_id WHERE account_id < 0",
    "UPDATE ledger_dailymovement SET account_id ="
    " CASE account_id WHEN {one} THEN -{two} ELSE -{one} END WHERE account_id IN ({one}, {two})",
    "UPDATE ledger_dailymovement SET account_id = -account_id WHERE account_id < 0",
)

# The statements, and the table of the place that is named.
AIMED: dict[str, tuple[tuple[str, ...], str]] = {
    "two clients' postings swapped with all that follows from them": (SWAPPED, "ledger_posting"),
    "the amount of both legs with balances and movements": (
        (
            "UPDATE ledger_posting SET amount = amount * 2, balance_after = balance_after + amount"
            " WHERE entry_id = {d-3}",
            "UPDATE ledger_balance b SET amount = p.balance_after FROM ledger_posting p"
            " WHERE p.account_id = b.account_id AND p.account_seq = b.seq",
            "UPDATE ledger_dailymovement m SET debit = s.debit, credit = s.credit FROM ("
            " SELECT account_id, coalesce(sum(amount) FILTER (WHERE amount > 0), 0) AS debit,"
            "  coalesce(-sum(amount) FILTER (WHERE amount < 0), 0) AS credit"
            "  FROM ledger_posting GROUP BY 1) s WHERE s.account_id = m.account_id",
        ),
        "ledger_posting",
    ),
    "an average cost": (
        ("UPDATE ledger_posting SET average_after = 11 WHERE price = 13 AND average_after > 0",
         "UPDATE ledger_balance SET average_cost = 11 WHERE average_cost > 0"),
        "ledger_posting",
    ),
    "the digest of a key": (
        ("UPDATE ledger_entrykey SET digest = sha256('') WHERE entry_id = {d-2}",),
        "ledger_entrykey",
    ),
    "who acted, and in which channel": (
        ("UPDATE accounts_act SET channel = 'screen' WHERE xid ="
         " (SELECT xid FROM ledger_entry WHERE id = {d-2})",),
        "accounts_act",
    ),
    "when it was recorded": (
        ("UPDATE ledger_entry SET recorded_at = recorded_at - interval '1 day' WHERE id = {d-1}",),
        "ledger_entry",
    ),
    "a change and its line in the trail": (
        ("UPDATE accounts_client SET code = 'C-9' WHERE code = 'C-1'",
         "UPDATE accounts_auditrow SET after = jsonb_set(after, '{{code}}', '\"C-9\"')"
         " WHERE table_name = 'accounts_client' AND after ->> 'code' = 'C-1'"),
        "accounts_auditrow",
    ),
    "a line of the trail with its row": (
        ("DELETE FROM accounts_auditrow WHERE table_name = 'accounts_bucket' AND row_key ="
         " (SELECT min(id)::text FROM accounts_bucket)",
         "DELETE FROM accounts_bucket WHERE id = (SELECT min(id) FROM accounts_bucket)"),
        "accounts_auditrow",
    ),
    "leaves in another order": (
        ("UPDATE accounts_sealleaf SET position = 900000 + position WHERE block_id = 1"
         " AND position < 2",
         "UPDATE accounts_sealleaf SET position = 900001 - position WHERE block_id = 1"
         " AND position >= 900000"),
        "accounts_sealleaf",
    ),
    "leaves further apart": (
        ("UPDATE accounts_sealleaf SET position = position + 1000 WHERE block_id = 2"
         " AND position = (SELECT max(position) FROM accounts_sealleaf WHERE block_id = 2)",),
        "accounts_sealblock",
    ),
    "a leaf less": (
        ("DELETE FROM accounts_sealleaf WHERE block_id = 1 AND position = 0",),
        "",
    ),
    "leaves of a block that is not there": (
        ("INSERT INTO accounts_sealleaf (block_id, position, source, row_key, leaf, marks)"
         " SELECT 77, position, source, row_key, leaf, marks"
         " FROM accounts_sealleaf WHERE block_id = 1",),
        "accounts_sealleaf",
    ),
    "a block deleted": (
        ("DELETE FROM accounts_sealblock WHERE number = 1",
         "DELETE FROM accounts_sealleaf WHERE block_id = 1"),
        "accounts_sealblock",
    ),
    "the newest block deleted": (
        ("DELETE FROM accounts_sealblock WHERE number = 2",
         "DELETE FROM accounts_sealleaf WHERE block_id = 2"),
        "accounts_sealblock",
    ),
    "blocks renumbered": (
        ("UPDATE accounts_sealblock SET number = number + 1 WHERE number = 2",
         "UPDATE accounts_sealleaf SET block_id = 3 WHERE block_id = 2"),
        "accounts_sealblock",
    ),
    "two blocks swapped": (
        ("UPDATE accounts_sealblock SET number = 9 - number",
         "UPDATE accounts_sealblock SET number = number - 6",
         "UPDATE accounts_sealleaf SET block_id = 9 - block_id",
         "UPDATE accounts_sealleaf SET block_id = block_id - 6"),
        "accounts_sealblock",
    ),
    "all seals deleted": (
        ("DELETE FROM accounts_sealblock", "DELETE FROM accounts_sealleaf"),
        "accounts_sealblock",
    ),
    "where a block ends": (
        ("UPDATE accounts_sealblock SET to_xid = (to_xid::text::bigint - 1)::text::xid8"
         " WHERE number = 2",),
        "accounts_sealblock",
    ),
    "in which transaction the newest block was made": (
        ("UPDATE accounts_sealblock SET xid = (SELECT max(xid) FROM accounts_act"
         " WHERE actor NOT LIKE '%seal') WHERE number = 2",),
        "",
    ),
    "the epoch of a block": (
        ("UPDATE accounts_sealblock SET epoch = 2 WHERE number = 2",),
        "accounts_sealblock",
    ),
    "an epoch more": (
        ("INSERT INTO accounts_sealepoch SELECT 2, 'restore', began_at, 2, after_head, '9', '[]',"
         " '', '', '', xid FROM accounts_sealepoch",),
        "accounts_sealepoch",
    ),
    "a count that cannot be": (
        ("UPDATE accounts_sealblock SET leaf_count = -1 WHERE number = 2",), "accounts_sealblock",
    ),
    "a transaction that cannot be": (
        ("UPDATE accounts_sealblock SET to_xid = '18446744073709551615' WHERE number = 2",),
        "",
    ),
    "a layout that is none": (
        ("UPDATE accounts_sealblock SET layout = '[]' WHERE number = 2",), "accounts_sealblock",
    ),
    "no epoch": (("DELETE FROM accounts_sealepoch",), "accounts_sealepoch"),
}  # fmt: skip


@pytest.mark.parametrize("kind", AIMED)
def test_tampering_that_is_aimed_is_found(book: Book, superuser: Superuser, kind: str) -> None:
    statements, table = AIMED[kind]
    names = {
        "one": str(book.accounts["A-1", "USD"]),
        "two": str(book.accounts["A-2", "USD"]),
    }
    filled = []
    for statement in statements:
        for name, value in names.items():
            statement = statement.replace(f"{{{name}}}", value)
        filled.append(filled_in(statement, book, superuser) if "{" in statement else statement)
    tamper(superuser, *filled)
    found, _, _ = named(verify())
    assert found == table or not table


def test_a_guard_switched_off_is_found_and_switched_on_again_hides_nothing(
    book: Book, superuser: Superuser
) -> None:
    superuser.execute("ALTER TABLE ledger_posting DISABLE TRIGGER history_is_append_only")
    assert named(verify())[0] == "pg_catalog"
    with triggers_off(superuser, "ledger_posting"):
        superuser.execute("UPDATE ledger_posting SET reference = 'x' WHERE account_seq = 1")
    superuser.execute("ALTER TABLE ledger_posting ENABLE ALWAYS TRIGGER history_is_append_only")
    assert named(verify())[0] == "ledger_posting"


def test_another_schema_does_not_stand_in_for_tampered_tables(
    book: Book, superuser: Superuser
) -> None:
    superuser.execute("CREATE SCHEMA bo_runtime")
    for table in ("ledger_balance", "ledger_posting", "accounts_sealleaf", "accounts_sealblock"):
        superuser.execute(f"CREATE TABLE bo_runtime.{table} AS TABLE public.{table}")
        superuser.execute(f"GRANT SELECT ON bo_runtime.{table} TO bo_runtime")
    superuser.execute("GRANT USAGE ON SCHEMA bo_runtime TO bo_runtime")
    tamper(
        superuser,
        "UPDATE public.ledger_balance SET amount = amount + 1"
        f" WHERE account_id = {book.accounts['bank', 'USD']}",
    )
    assert named(verify())[0] == "ledger_balance"
