"""What the program itself may not do: the book has one door, and it is not beside it."""

import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.db import ProgrammingError, connection

from accounts.audit import acting, refusals
from accounts.table_classes import table_classes
from ledger.models import Balance, Entry, LedgerAccount, Posting
from ledger.posting import Draft, open_accounts, post_entries
from tests.ledger.book import DESK, NOON, Book
from tests.ledger.raw import Raw, insert, not_permitted

Connect = Callable[[str], psycopg.Connection[Any]]
CLASSES = table_classes()
# Written by the posting functions alone; of the others the program adds or changes some columns.
POSTED = [
    "ledger_balance", "ledger_dailymovement", "ledger_entry", "ledger_entrykey",
    "ledger_ledgeraccount", "ledger_loss", "ledger_posting", "ledger_releaseuse",
    "ledger_entrykind", "ledger_kindleg", "accounts_act", "accounts_auditrow",
    "accounts_approval", "accounts_approvalaction", "accounts_rolegrant",
    "accounts_operatorsession",
]  # fmt: skip
KEPT = [name for name in CLASSES.every() if name.startswith(("ledger_", "accounts_"))]
KEPT = [name for name in KEPT if name not in CLASSES.transient]


@pytest.fixture
def runtime(connect: Connect) -> psycopg.Connection[Any]:
    """A connection with exactly the rights of the program."""
    return connect("runtime")


@pytest.mark.parametrize("table", KEPT)
def test_no_row_of_the_book_is_removed(
    book: Book, runtime: psycopg.Connection[Any], table: str
) -> None:
    assert runtime.execute(f"SELECT count(*) FROM {table}").fetchone() is not None
    for statement in (
        f"DELETE FROM {table}",
        f"TRUNCATE {table}",
        f"ALTER TABLE {table} DISABLE TRIGGER ALL",
        f"DROP TABLE {table} CASCADE",
        f"CREATE TRIGGER mine BEFORE INSERT ON {table} EXECUTE FUNCTION accounts.rows_stay()",
    ):
        with not_permitted(book):
            runtime.execute(statement)


@pytest.mark.parametrize("table", POSTED)
def test_what_functions_write_is_written_by_nobody_else(
    book: Book, runtime: psycopg.Connection[Any], table: str
) -> None:
    column = runtime.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum = 1", [table]
    ).fetchone()
    assert column is not None
    for statement in (
        f"INSERT INTO {table} SELECT * FROM {table}",
        f"UPDATE {table} SET {column[0]} = {column[0]}",
        f"COPY {table} FROM STDIN",
        f"SELECT * FROM {table} FOR UPDATE",
    ):
        with not_permitted(book):
            runtime.execute(statement)
    with not_permitted(book), runtime.transaction():
        runtime.execute(f"LOCK TABLE {table} IN ROW EXCLUSIVE MODE")


@pytest.mark.parametrize(
    "statement",
    [
        "SET ROLE bo_owner",
        "SET SESSION AUTHORIZATION postgres",
        "SET session_replication_role = replica",
        "ALTER SYSTEM SET fsync = off",
        "SELECT nextval('ledger_entry_id')",
        "SELECT setval('ledger_entry_id', 1)",
        "SELECT setval('ledger_ledgeraccount_id_seq', 1)",
        "CREATE TEMPORARY TABLE ledger_balance (account_id bigint, amount numeric)",
        "CREATE TABLE public.mine (id bigint)",
        "CREATE SCHEMA mine",
        "CREATE FUNCTION public.mine() RETURNS void LANGUAGE sql AS 'SELECT'",
        "CREATE OR REPLACE FUNCTION ledger.half_even(value numeric, decimals integer)"
        " RETURNS numeric LANGUAGE sql IMMUTABLE AS 'SELECT value'",
        "ALTER FUNCTION ledger.post_entries(jsonb) SET search_path = mine",
        "DROP FUNCTION ledger.posting_is_sound() CASCADE",
        "SELECT ledger.post_drafts(NULL, NULL, NULL)",
        "SELECT ledger.read_drafts('[]')",
        "SELECT ledger.balance_at(1, 1)",
        "SELECT accounts.make_append_only('ledger_break')",
        "SELECT lo_import('/etc/hostname')",
        "SELECT pg_read_file('/etc/hostname')",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "UPDATE ledger_location SET pool_id = 2",
        "UPDATE ledger_break SET ledger_amount = 0",
        "UPDATE ledger_release SET amount = 0",
        "DELETE FROM django_migrations",
        "ALTER ROLE bo_runtime SUPERUSER",
        "GRANT bo_owner TO bo_runtime",
    ],
)
def test_the_program_has_no_way_around(
    book: Book, runtime: psycopg.Connection[Any], statement: str
) -> None:
    with not_permitted(book):
        runtime.execute(statement)


def test_the_program_writes_an_entry_through_the_door_alone(
    book: Book, runtime: psycopg.Connection[Any]
) -> None:
    by_hand = Raw("deposit", (("client_bank", "5"), ("alice", "-5")))
    with not_permitted(book), runtime.transaction():
        runtime.execute("SELECT accounts.act('system:job:x', NULL, 'job', '', 'x')")
        runtime.execute(*insert("ledger_entry", by_hand._entry(10**6)))
    batch = json.dumps([book.draft("deposit", *by_hand.legs).content()])
    with runtime.transaction():
        runtime.execute("SELECT accounts.act('system:job:x', NULL, 'job', '', 'x')")
        runtime.execute("SELECT ledger.post_entries(%s::jsonb)", [batch])
    assert book.balance("alice") == -1005


def test_a_model_has_no_door_either(book: Book) -> None:
    account = LedgerAccount.objects.get(pk=book["alice"])
    for change in (
        lambda: Balance.objects.filter(account=account).update(amount=0),
        lambda: Posting.objects.filter(account=account).delete(),
        lambda: Entry.objects.create(
            id=1, kind_id="deposit", effective_at=NOON, reference="", posting_count=2
        ),
        lambda: Balance.objects.select_for_update().get(account=account),
    ):
        before = book.digest()
        with pytest.raises(ProgrammingError), acting(DESK, reason="Goes past the door"):
            change()
        assert book.digest() == before


def test_the_auditor_reads_and_does_nothing_else(book: Book, connect: Connect) -> None:
    auditor = connect("auditor")
    assert auditor.execute("SELECT count(*) FROM ledger_posting").fetchone() == (34,)
    for statement in (
        "SELECT ledger.post_entries('[]')",
        "SELECT ledger.open_accounts('[]')",
        "SELECT ledger.lock_balances('{}', '{}')",
        "INSERT INTO ledger_horizon (purpose) VALUES ('x')",
    ):
        with not_permitted(book):
            auditor.execute(statement)


def test_the_broker_does_not_see_the_book(book: Book, connect: Connect) -> None:
    with not_permitted(book):
        connect("broker").execute("SELECT count(*) FROM public.ledger_posting")


# ---------------------------------------------------------------- through the door


def ask(book: Book, batch: Any) -> None:
    """Say to the posting function what no program of ours would."""
    with acting(DESK, reason="Asks"), refusals(), connection.cursor() as cursor:
        cursor.execute("SELECT * FROM ledger.post_entries(%s::jsonb)", [json.dumps(batch)])


def content(book: Book, **changed: Any) -> dict[str, Any]:
    said = book.draft("deposit", ("client_bank", "5"), ("alice", "-5")).content()
    return {name: value for name, value in (said | changed).items() if value is not None}


@pytest.mark.parametrize(
    ("rule", "changed"),
    [
        ("draft_is_complete", {"key": None}),
        ("draft_is_complete", {"key": ""}),
        ("draft_is_complete", {"kind": None}),
        ("draft_is_complete", {"effective_at": None}),
        ("draft_is_complete", {"legs": None}),
        ("draft_is_complete", {"legs": "none"}),
        ("entry_has_two_postings", {"legs": []}),
        ("entry_has_two_postings", {"legs": [{"account": 1, "amount": "5"}]}),
        ("entry_fits_its_kind", {"kind": "gift"}),
        ("entry_has_a_business_time", {"effective_at": "infinity"}),
        ("entry_has_a_business_time", {"effective_at": "9999-12-31T00:00:00Z"}),
    ],
)
def test_an_entry_that_says_too_little_is_refused(
    book: Book, rule: str, changed: dict[str, Any]
) -> None:
    with book.refused(rule):
        ask(book, [content(book), content(book, **changed)])
    ask(book, [content(book)])


@pytest.mark.parametrize(
    ("rule", "leg"),
    [
        ("posting_names_its_account", {"account": 10**9}),
        ("posting_names_its_account", {"account": None}),
        ("posting_names_its_account", {"account": "alice"}),
        ("amount_fits_its_asset", {"amount": "five"}),
        ("amount_fits_its_asset", {"amount": None}),
        ("amount_fits_its_asset", {"amount": "NaN"}),
        ("amount_fits_its_asset", {"amount": "-Infinity"}),
        ("amount_fits_its_asset", {"amount": "-5e0"}),
        ("amount_fits_its_asset", {"amount": "-5.001"}),
        ("amount_fits_its_asset", {"amount": "-" + "9" * 101}),
        ("posting_moves_something", {"amount": "0"}),
        ("position_is_valued", {"price": "1"}),
        ("position_has_a_price", {"price": "NaN"}),
        ("position_has_a_price", {"average": "Infinity"}),
        ("draft_is_complete", {"reference": "r" * 121}),
    ],
)
def test_a_leg_that_says_it_wrongly_is_refused(book: Book, rule: str, leg: dict[str, Any]) -> None:
    said = content(book)
    said["legs"][1] = said["legs"][1] | leg
    if leg.get("amount") in ("0", "-5.001") or len(leg.get("amount") or "") > 99:
        opposite = leg["amount"].removeprefix("-")
        said["legs"][0] = said["legs"][0] | {"amount": opposite}
    with book.refused(rule):
        ask(book, [said])
    ask(book, [content(book)])


def test_an_amount_may_be_a_number_of_json(book: Book) -> None:
    said = content(book)
    said["legs"] = [leg | {"amount": float(leg["amount"])} for leg in said["legs"]]
    ask(book, [said])
    assert book.balance("alice") == -1005


@pytest.mark.parametrize("batch", [{}, "deposit", None, 5])
def test_a_batch_is_a_list(book: Book, batch: Any) -> None:
    with book.refused("draft_is_complete"):
        ask(book, batch)
    ask(book, [])


def test_a_trade_does_not_bring_its_own_average(book: Book) -> None:
    legs = (
        book.leg("bob:BTC-PERP", "-1", price="100", average="1"),
        book.leg("venue:BTC-PERP", "1"),
    )
    with book.refused("position_is_valued"):
        book.post("derivative_trade", *legs)
    with book.refused("position_has_a_price"):
        book.post("derivative_trade", book.leg("bob:BTC-PERP", "-1"), legs[1])
    book.post("derivative_trade", book.leg("bob:BTC-PERP", "-1", price="100"), legs[1])


@pytest.mark.parametrize(
    ("rule", "kind", "first", "too_much"),
    [
        ("residual_interest_not_below_zero", "interest", None,
         (("residual", "100.01"), ("alice", "-100.01"))),
        ("shortfall_not_below_zero", "shortfall_funding",
         ("bank_error", (("shortfall", "7"), ("client_bank", "-7"))),
         (("house_equity", "8"), ("house_bank", "-8"), ("client_bank", "8"), ("shortfall", "-8"))),
        ("claim_not_below_zero", "receipt_return",
         ("unidentified_receipt", (("client_bank", "7"), ("unallocated", "-7"))),
         (("unallocated", "8"), ("client_bank", "-8"))),
    ],
)  # fmt: skip
def test_two_people_do_not_move_what_is_not_there(
    book: Book, rule: str, kind: str, first: Any, too_much: Any
) -> None:
    if first is not None:
        book.settle(first[0], *first[1])
    draft: Draft = book.approved(book.draft(kind, *too_much))
    with book.refused(rule):
        book.post_drafts(draft)


def test_a_loan_is_not_overpaid(book: Book) -> None:
    book.post(
        "borrow", ("client_bank", "50"), ("bob", "-50"), ("house_bank", "-50"), ("loan/bob", "50")
    )
    legs = ("bob", "51"), ("client_bank", "-51"), ("house_bank", "51"), ("loan/bob", "-51")
    release = book.release("bob", "repay", "51")
    with book.refused("loan_not_below_zero"):
        book.post("repay", *legs, release=release)


def test_nothing_moves_without_somebody_who_acts(book: Book) -> None:
    draft = book.draft("deposit", ("client_bank", "5"), ("alice", "-5"))
    with book.refused("change_has_an_actor"):
        post_entries([draft])
    with book.refused("change_has_an_actor"):
        open_accounts([book.key("alice")])
