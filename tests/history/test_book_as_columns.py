"""The book read as columns proves what its queries would find sound, and nothing else."""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from django.db import DataError, IntegrityError, connections
from django.db.backends.utils import CursorWrapper
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg.types.numeric import DecimalBinaryDumper

from accounts.checks import Check
from accounts.reading import one_state
from brokerage.verify import _answer, verify
from ledger.verify import PROVABLE, proven, unproven
from ledger.verify.lookups import read_accounts
from ledger.verify.proven import Book as Columns
from ledger.verify.stretch import Runs
from ledger.verify.units import WIRE, as_units
from tests.history.book import Book, seal
from tests.history.tampering import Superuser, filled_in, tamper

LEDGER = (
    "ledger_entry", "ledger_entrykey", "ledger_posting", "ledger_balance", "ledger_dailymovement",
    "ledger_checkpoint",
    "ledger_ledgeraccount", "ledger_entrykind", "ledger_kindleg", "ledger_asset",
)  # fmt: skip


def by_queries(cursor: CursorWrapper) -> list[Check]:
    """What the queries of the whole book find, by themselves."""
    return [check for each in PROVABLE for check in _answer(cursor, each)]


def by_columns(cursor: CursorWrapper) -> tuple[dict[str, int], list[Check]]:
    """What is proven without queries, and what is found beside that."""
    book = Columns()
    for read in book.stretches(cursor):
        assert read(cursor) == []
    left = [check for each in PROVABLE for check in _answer(cursor, unproven(each, book.proven))]
    return book.proven, left


@contextmanager
def past_the_guards(superuser: Superuser) -> Iterator[CursorWrapper]:
    """A cursor that may damage the book; nothing of it stays."""
    own = connections.create_connection("default")
    own.settings_dict = own.settings_dict | {"USER": superuser.info.user}
    try:
        with own.cursor() as cursor:
            cursor.execute("BEGIN")
            for table in LEDGER:
                cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
            yield cursor
            cursor.execute("ROLLBACK")
    finally:
        own.close()


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stretches of two entries, and movements of one account at a time."""
    monkeypatch.setattr(proven, "ENTRIES_AT_ONCE", 2)
    monkeypatch.setattr(proven, "MOVEMENTS_AT_ONCE", 1)


@pytest.fixture
def long(book: Book) -> Book:
    """Nine entries: deposits, trades that realise something, and a day that comes too late."""
    book.trade("A-1", "-1", "14", key="t-3", realised="3")
    book.deposit("A-2", "0.01", key="d-4")
    book.trade("A-2", "4", "14", key="t-4")
    seal()
    return book


# ---------------------------------------------------------------- a sound book


@pytest.mark.parametrize("at_once", [1, 2, 4, 100])
def test_a_sound_book_is_proven_without_its_queries(
    long: Book, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(proven, "ENTRIES_AT_ONCE", at_once)
    with one_state() as cursor:
        rows, found = by_columns(cursor)
        assert found == by_queries(cursor)
    assert rows == {
        "postings_follow_one_another": 18,
        "postings_keep_their_account_and_its_floor": 18,
        "entries_balance_in_each_pool": 8,
        "entries_touch_one_owner_unless_their_kind_allows_more": 8,
        "entries_have_one_key": 8,
        "postings_fit_their_kind": 18,
        "balances_are_the_sum_of_their_postings": 9,
        "daily_movements_are_their_postings": 7,
        "checkpoints_are_the_postings": 0,
        "entries_touch_no_more_than_their_kind_allows": 0,
        "entries_have_their_approvals": 0,
        "interest_was_posted_as_it_was_accrued": 0,
    }


def test_an_empty_book_is_proven_too(db: None) -> None:
    with one_state() as cursor:
        rows, found = by_columns(cursor)
        assert found == by_queries(cursor)
    assert rows["postings_follow_one_another"] == 0
    assert verify().is_sound


# ---------------------------------------------------------------- what does not fit


def test_amounts_beyond_64_bits_are_left_to_the_queries(
    book: Book, short: None, superuser: Superuser
) -> None:
    for n, amount in enumerate(["1e17", "12345678901234567890.12"]):
        book.deposit("A-1", str(Decimal(amount)), key=f"w-{n}")
    with one_state() as cursor:
        rows, found = by_columns(cursor)
        assert rows == {}
        assert found == by_queries(cursor)
    assert verify().is_sound


def test_sums_beyond_64_bits_are_left_to_the_queries(book: Book, short: None) -> None:
    for n in range(6):
        book.deposit("A-1", "9000000000000000", key=f"w-{n}")  # 9e17 cents on either side
    with one_state() as cursor:
        rows, found = by_columns(cursor)
        assert rows == {}
        assert found == by_queries(cursor)
    assert verify().is_sound


def test_a_wide_account_that_is_damaged_is_named_by_the_queries(
    book: Book, superuser: Superuser
) -> None:
    entry = book.deposit("A-1", "12345678901234567890.12", key="w")
    tamper(
        superuser,
        f"UPDATE ledger_posting SET balance_after = balance_after + 1 WHERE entry_id = {entry}"
        " AND amount < 0",
    )
    wrong = {check.name: check.wrong for check in verify().checks if check.wrong}
    at = wrong["postings_follow_one_another"]
    assert at is not None
    assert at.key == f"{book.accounts['A-1', 'USD']}/3"
    assert at.detail == "it leaves -12345678901234567996.62, not -12345678901234567997.62"


amounts = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**24), max_value=10**24)


@given(numbers=st.lists(st.tuples(amounts, st.integers(0, 24)), max_size=8))
@example(numbers=[(Decimal("-0.00"), 2), (Decimal("1E+3"), 0), (Decimal("999999999999999.999"), 3)])
@example(numbers=[(Decimal("0.0001"), 3), (Decimal("100000000000000000000000"), 0)])
def test_units_are_the_numbers_or_do_not_fit(numbers: list[tuple[Decimal, int]]) -> None:
    dumper = DecimalBinaryDumper(Decimal)
    sent = b"".join(bytes(dumper.dump(n) or b"").ljust(18, b"\0")[:18] for n, _ in numbers)
    found = as_units(sent, np.array([scale for _, scale in numbers], np.int64))
    for (number, scale), units, fits in zip(numbers, *found, strict=True):
        exact = int(number * Decimal(10) ** scale) if number else 0
        if fits:
            assert Decimal(int(units)) == number.scaleb(scale)
        else:
            assert units == 0
            whole = number.scaleb(scale)
            assert whole != whole.to_integral_value() or abs(exact) >= 10**14


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_number_does_not_fit(number: str) -> None:
    sent = bytes(DecimalBinaryDumper(Decimal).dump(Decimal(number)) or b"").ljust(18, b"\0")
    assert len(sent) == WIRE.itemsize
    assert not as_units(sent, np.zeros(1, np.int64)).fits.any()


# ---------------------------------------------------------------- damage

# Each is done to one entry, {e}; the entry is the last of a stretch or the first of the next.
DAMAGE = {
    "an amount": "UPDATE ledger_posting SET amount = amount + 1 WHERE entry_id = {e}"
    " AND amount > 0",
    "both amounts": "UPDATE ledger_posting SET amount = amount * 2 WHERE entry_id = {e}",
    "a balance after": "UPDATE ledger_posting SET balance_after = balance_after - 1"
    " WHERE entry_id = {e} AND amount < 0",
    "a number that leaves a gap": "UPDATE ledger_posting SET account_seq = account_seq + 90"
    " WHERE entry_id = {e} AND amount < 0",
    "decimals beyond the asset": "UPDATE ledger_posting SET amount = amount + sign(amount) * 0.001,"
    " balance_after = balance_after + sign(amount) * 0.001 WHERE entry_id = {e}",
    "another account": "UPDATE ledger_posting SET account_id = {bank}, account_seq = 70"
    " WHERE entry_id = {e} AND amount < 0",
    "an account that is not there": "UPDATE ledger_posting SET account_id = 987654"
    " WHERE entry_id = {e} AND amount < 0",
    "another asset": "UPDATE ledger_posting SET asset_id = asset_id + 1 WHERE entry_id = {e}"
    " AND amount < 0",
    "another pool": "UPDATE ledger_posting SET pool_id = pool_id + 1 WHERE entry_id = {e}",
    "another transaction": "UPDATE ledger_posting SET xid = (xid::text::bigint - 1)::text::xid8"
    " WHERE entry_id = {e} AND amount < 0",
    "no postings": "DELETE FROM ledger_posting WHERE entry_id = {e}",
    "a posting less": "DELETE FROM ledger_posting WHERE entry_id = {e} AND amount < 0",
    "no entry": "DELETE FROM ledger_entry WHERE id = {e}",
    "another count": "UPDATE ledger_entry SET posting_count = 3 WHERE id = {e}",
    "another kind": "UPDATE ledger_entry SET kind_id = 'adjustment' WHERE id = {e}",
    "a kind that is not there": "UPDATE ledger_entry SET kind_id = 'nothing' WHERE id = {e}",
    "another day": "UPDATE ledger_entry SET effective_at = effective_at + interval '1 day'"
    " WHERE id = {e}",
    "a day before": "UPDATE ledger_entry SET effective_at = effective_at - interval '12:00:00.001'"
    " WHERE id = {e}",
    "no key": "DELETE FROM ledger_entrykey WHERE entry_id = {e}",
    "the key of no entry": "UPDATE ledger_entrykey SET entry_id = 987654 WHERE entry_id = {e}",
    "a side its kind does not move": "UPDATE ledger_posting SET amount = -amount,"
    " balance_after = balance_after - 2 * amount WHERE entry_id = {e}",
    "no number": "UPDATE ledger_posting SET amount = 'NaN' WHERE entry_id = {e} AND amount < 0",
}


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("key", ["d-2", "d-3"])
def test_damage_at_either_end_of_a_stretch_is_said_as_the_queries_say_it(
    long: Book, short: None, superuser: Superuser, kind: str, key: str
) -> None:
    names = superuser.execute("SELECT key, entry_id FROM ledger_entrykey").fetchall()
    entry = dict(names)[key]
    with past_the_guards(superuser) as cursor:
        statement = DAMAGE[kind].format(e=entry, bank=long.accounts["bank", "USD"])
        cursor.execute(statement)
        assert cursor.rowcount > 0
        rows, found = by_columns(cursor)
        expected = by_queries(cursor)
    assert found == expected
    broken = {check.name for check in expected if check.wrong}
    assert broken
    assert not broken & set(rows)


BESIDE = {
    "an amount of a balance": "UPDATE ledger_balance SET amount = amount + 1"
    " WHERE account_id = {bank}",
    "a count of a balance": "UPDATE ledger_balance SET seq = seq - 1 WHERE account_id = {bank}",
    "a cost of a balance": "UPDATE ledger_balance SET average_cost = 1 WHERE account_id = {bank}",
    "no balance": "DELETE FROM ledger_balance WHERE account_id = {bank}",
    "a balance of no account": "INSERT INTO ledger_balance (account_id, amount, seq)"
    " VALUES (987654, 0, 0)",
    "a movement": "UPDATE ledger_dailymovement SET debit = debit + 1, credit = credit + 1"
    " WHERE account_id = {bank}",
    "the first of a day": "UPDATE ledger_dailymovement SET first_seq = 2 WHERE account_id = {bank}",
    "no first of a day": "UPDATE ledger_dailymovement SET first_seq = NULL"
    " WHERE account_id = {bank}",
    "nought as the first of a day": "UPDATE ledger_dailymovement SET first_seq = 0"
    " WHERE account_id = {bank}",
    "what an account stood at": "UPDATE ledger_dailymovement SET amount_before = amount_before + 1"
    " WHERE account_id = {bank}",
    "nothing to have stood at": "UPDATE ledger_dailymovement SET amount_before = NULL"
    " WHERE account_id = {bank}",
    "the transaction of the first of a day": "UPDATE ledger_dailymovement SET first_xid = '7'"
    " WHERE account_id = {bank}",
    "no transaction of the first of a day": "UPDATE ledger_dailymovement SET first_xid = NULL"
    " WHERE account_id = {bank}",
    "no movement": "DELETE FROM ledger_dailymovement WHERE account_id = {bank}",
    "a movement of no day": "INSERT INTO ledger_dailymovement (account_id, effective_on, debit,"
    " credit) VALUES ({bank}, '2020-01-01', 0, 0)",
    "a movement of endless days": "UPDATE ledger_dailymovement SET effective_on = 'infinity'"
    " WHERE account_id = {bank}",
    "a movement of no account": "UPDATE ledger_dailymovement SET account_id = 987654"
    " WHERE account_id = {bank}",
    "a scale of an account": "UPDATE ledger_ledgeraccount SET scale = 3 WHERE id = {bank}",
    "a class that no kind moves": "UPDATE ledger_ledgeraccount SET account_class = 'delegated'"
    " WHERE id = {bank}",
    "an asset of an account": "UPDATE ledger_ledgeraccount SET asset_id = 987654 WHERE id = {bank}",
    "an owner": "UPDATE ledger_ledgeraccount SET client_id = (SELECT max(id) FROM accounts_client)"
    " WHERE id = {bank}",
    "no leg for a kind": "DELETE FROM ledger_kindleg WHERE kind_id = 'deposit'",
    "no owner for a kind": "UPDATE ledger_entrykind SET clients_max = 0 WHERE code = 'deposit'",
    "no account for a kind": "UPDATE ledger_entrykind SET accounts_max = 0 WHERE code = 'deposit'",
    "no bucket for a kind": "UPDATE ledger_entrykind SET buckets_max = 0 WHERE code = 'deposit'",
    "an approval for a kind": "UPDATE ledger_entrykind SET needs_approval = true"
    " WHERE code = 'deposit'",
    "a wide kind": "UPDATE ledger_entrykind SET pools_max = 2, clients_max = 0"
    " WHERE code = 'deposit'",
}


@pytest.mark.parametrize("kind", BESIDE)
def test_damage_beside_the_postings_is_said_as_the_queries_say_it(
    long: Book, short: None, superuser: Superuser, kind: str
) -> None:
    with past_the_guards(superuser) as cursor:
        cursor.execute(BESIDE[kind].format(bank=long.accounts["bank", "USD"]))
        assert cursor.rowcount > 0
        rows, found = by_columns(cursor)
        expected = by_queries(cursor)
    assert found == expected
    broken = {check.name for check in expected if check.wrong}
    assert broken
    assert not broken & set(rows)


@pytest.mark.parametrize(
    ("who", "asset", "least", "greatest", "is_kept"),
    [
        ("A-1", "USD", -500, 0, True),
        ("A-1", "USD", -500, 1, False),
        ("bank", "USD", 0, 1, True),
        ("bank", "USD", -1, 1, False),
        ("A-1", "PERP", -3, 3, True),  # a derivative may be sold short
    ],
)
def test_floors_are_kept_by_the_least_and_the_greatest_balance(
    book: Book, who: str, asset: str, least: int, greatest: int, is_kept: bool
) -> None:
    with one_state() as cursor:
        accounts = read_accounts(cursor)
        at = accounts.find(np.array([book.accounts[who, asset]]))
        nought = np.zeros(1, np.int64)
        runs = Runs(
            at, nought, nought, nought, nought, np.array([least]), np.array([greatest])
        )  # fmt: skip
        assert proven.keeps_floors(cursor, accounts, runs) == is_kept


def test_damage_that_evens_out_over_two_stretches_is_found(
    long: Book, short: None, superuser: Superuser
) -> None:
    """Two entries of one account swap what they moved: every sum of the account stays."""
    for key, amount in (("d-1", "7.5"), ("d-3", "100")):
        tamper(
            superuser,
            filled_in(
                f"UPDATE ledger_posting SET amount = sign(amount) * {amount}"
                f" WHERE entry_id = {{{key}}}",
                long, superuser,
            ),
        )  # fmt: skip
    found = {check.name for check in verify().checks if check.wrong}
    assert "postings_follow_one_another" in found
    assert "balances_are_the_sum_of_their_postings" not in found


# ---------------------------------------------------------------- at random

CELLS = {
    "ledger_posting": ("account_id", "account_seq", "entry_id", "pool_id", "asset_id", "amount",
                       "balance_after", "average_after", "xid"),
    "ledger_entry": ("id", "kind_id", "effective_at", "posting_count", "xid"),
    "ledger_entrykey": ("entry_id",),
    "ledger_balance": ("account_id", "amount", "seq", "average_cost"),
    "ledger_dailymovement": ("account_id", "effective_on", "debit", "credit", "first_seq",
                             "amount_before", "first_xid"),
    "ledger_ledgeraccount": ("pool_id", "asset_id", "account_class", "owner_class", "asset_kind",
                             "scale", "client_id", "margin_account_id", "bucket_id"),
    "ledger_entrykind": ("pools_max", "clients_max", "accounts_max", "buckets_max",
                         "keeps_custody", "needs_approval"),
}  # fmt: skip
NUMBERS = {
    "amount", "balance_after", "debit", "credit", "seq", "account_seq", "scale", "first_seq",
    "posting_count", "pools_max", "clients_max", "accounts_max", "buckets_max", "entry_id",
    "amount_before",
}  # fmt: skip
damages = st.sampled_from(
    [(table, column) for table, columns in CELLS.items() for column in columns]
)


def damaged(cursor: CursorWrapper, table: str, column: str, chance: Any) -> None:
    """Give a row the value that another row has there, or one close to its own."""
    where = "code IN ('deposit', 'derivative_trade')" if table == "ledger_entrykind" else "true"
    cursor.execute(f"SELECT ctid::text FROM {table} WHERE {where} ORDER BY 1")
    rows = [row for (row,) in cursor.fetchall()]
    one, two = chance.choice(rows), chance.choice(rows)
    value = f"(SELECT {column} FROM {table} WHERE ctid = '{two}')"
    if column in NUMBERS and chance.random() < 0.5:
        value = f"{column} + {chance.choice(['1', '-1', '2'])}"
    cursor.execute("SAVEPOINT damage")
    try:
        cursor.execute(f"UPDATE {table} SET {column} = {value} WHERE ctid = '{one}'")
    except (IntegrityError, DataError):  # a key that is taken, a column that must have a value
        cursor.execute("ROLLBACK TO SAVEPOINT damage")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(cells=st.lists(damages, min_size=1, max_size=3), chance=st.randoms(use_true_random=False))
def test_columns_and_queries_say_the_same_of_a_book_damaged_at_random(
    long: Book, short: None, superuser: Superuser, cells: list[tuple[str, str]], chance: Any
) -> None:
    with past_the_guards(superuser) as cursor:
        for table, column in cells:
            damaged(cursor, table, column, chance)
        _, found = by_columns(cursor)
        assert found == by_queries(cursor)
