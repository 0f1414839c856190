"""What the tables around an entry cannot hold, written by hand by their owner."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from accounts.audit import acting
from accounts.table_classes import table_classes
from tests.ledger.book import DESK, Book, found_book
from tests.ledger.raw import Owner, Raw, insert, refused_by_hand, run

DEPOSIT = Raw("deposit", (("client_bank", "5"), ("alice", "-5")))
KEEPERS = table_classes()
LEDGER = [name for name in KEEPERS.every() if name.startswith("ledger_")]
BOOKS = [n for n in KEEPERS.every() if n.startswith(("ledger_", "accounts_"))]
FROZEN = [n for n in (*KEEPERS.sealed, *(p.table for p in KEEPERS.parts)) if n in BOOKS]


# ---------------------------------------------------------------- every table


@pytest.mark.parametrize("table", FROZEN)
def test_history_only_grows(book: Book, owner: Owner, table: str) -> None:
    for statement in (
        f"UPDATE {table} SET xid = xid",
        f"DELETE FROM {table}",
        f"TRUNCATE {table} CASCADE",
    ):
        with refused_by_hand(book, "history_is_append_only"):
            run(owner, "SET CONSTRAINTS ALL IMMEDIATE", statement)


@pytest.mark.parametrize(
    "table", [n for n in KEEPERS.editable if n in LEDGER or n == "accounts_bucket"]
)
def test_rows_that_may_change_are_never_deleted(book: Book, owner: Owner, table: str) -> None:
    with refused_by_hand(book, "row_is_kept"):
        run(owner, f"DELETE FROM {table}")
    with refused_by_hand(book, "history_is_append_only"):
        run(owner, "SET CONSTRAINTS ALL IMMEDIATE", f"TRUNCATE {table} CASCADE")


# ---------------------------------------------------------------- balances and movements


def test_a_balance_is_its_last_posting(book: Book, owner: Owner) -> None:
    DEPOSIT.write(owner, book)
    alice = f"WHERE account_id = {book['alice']}"
    run(owner, f"UPDATE ledger_balance SET amount = -1005 {alice}")
    for forged in ("amount = -9999", "amount = -1000, seq = 1", "seq = 0", "average_cost = 1"):
        with refused_by_hand(book, "balance_is_its_last_posting"):
            run(owner, f"UPDATE ledger_balance SET {forged} {alice}")
    with refused_by_hand(book, "balance_stays_with_its_account"):
        run(owner, f"UPDATE ledger_balance SET account_id = {book['bob/HOLD']} {alice}")


@pytest.mark.parametrize("table", ["ledger_balance", "ledger_dailymovement"])
def test_what_is_derived_is_kept(book: Book, owner: Owner, table: str) -> None:
    for statement in (f"DELETE FROM {table}", f"TRUNCATE {table}"):
        with refused_by_hand(book, "balance_is_kept"):
            run(owner, "SET CONSTRAINTS ALL IMMEDIATE", statement)


def test_a_new_balance_is_zero(book: Book, owner: Owner) -> None:
    account = claim_account(book, account_class="in_transit", bucket_id=None) | {
        "pool_id": book.pools["INSURANCE"].pk, "owner_class": "INSURANCE",
        "margin_account_id": None, "client_id": None,
    }  # fmt: skip
    run(owner, insert("ledger_ledgeraccount", account))
    (new,) = owner.execute("SELECT max(id) FROM ledger_ledgeraccount").fetchone() or (0,)
    balance = {"account_id": new, "amount": 0, "seq": 0}
    for forged in ({"amount": 5}, {"amount": 5, "seq": 1}):
        with refused_by_hand(book, "balance_is_its_last_posting"):
            run(owner, insert("ledger_balance", balance | forged))
    run(owner, insert("ledger_balance", balance))


def test_movements_come_from_postings_alone(book: Book, owner: Owner) -> None:
    DEPOSIT.write(owner, book)
    forged = {
        "account_id": book["alice"], "effective_on": "2026-01-01", "debit": 5, "credit": 0,
    }  # fmt: skip
    with refused_by_hand(book, "movements_come_from_postings"):
        run(owner, insert("ledger_dailymovement", forged))
    with refused_by_hand(book, "movements_come_from_postings"):
        run(owner, "UPDATE ledger_dailymovement SET credit = credit + 1")


# ---------------------------------------------------------------- where accounts hang


def claim_account(book: Book, **changed: Any) -> dict[str, Any]:
    """A ledger account that is not there yet: what Bob's HOLD bucket is owed in a new asset."""
    bucket = book.buckets["bob/HOLD"]
    return {
        "pool_id": book.pools["CLIENT"].pk, "asset_id": book.assets["EUR"].pk,
        "account_class": "claim", "bucket_id": bucket.pk, "location_id": None,
        "owner_class": "CLIENT", "asset_kind": "money", "scale": 2,
        "margin_account_id": bucket.account_id, "client_id": book.clients["bob"].pk, **changed,
    }  # fmt: skip


@pytest.fixture
def book(db: None) -> Book:
    """The firm, which begins to count euros."""
    opened = found_book(db)
    with acting(DESK, reason="Counts euros"):
        euro = type(opened.assets["USD"]).objects.create(code="EUR", kind="money", scale=2)
    return replace(opened, assets={**opened.assets, "EUR": euro})


class Wrong(NamedTuple):
    rule: str
    changed: Callable[[Book], Mapping[str, Any]]


ACCOUNTS = {
    "another pool": Wrong(
        "ledger_account_is_truthful", lambda b: {"pool_id": b.pools["HOUSE"].pk}
    ),
    "another pool and its class": Wrong(
        "ledger_account_is_truthful",
        lambda b: {"pool_id": b.pools["HOUSE"].pk, "owner_class": "HOUSE"},
    ),
    "another firm": Wrong(
        "ledger_account_is_truthful",
        lambda b: {"pool_id": b.pools["OTHER"].pk, "owner_class": "HOUSE"},
    ),
    "another client": Wrong(
        "ledger_account_is_truthful", lambda b: {"client_id": b.clients["alice"].pk}
    ),
    "another account": Wrong(
        "ledger_account_is_truthful",
        lambda b: {"margin_account_id": b.buckets["alice"].account_id},
    ),
    "nobody's": Wrong("ledger_account_is_truthful", lambda b: {"client_id": None}),
    "another kind of asset": Wrong(
        "ledger_account_is_truthful", lambda b: {"asset_kind": "derivative"}
    ),
    "more decimals": Wrong("ledger_account_is_truthful", lambda b: {"scale": 8}),
    "a class there is not": Wrong(
        "ledger_account_is_truthful",
        lambda b: {"account_class": "gift", "bucket_id": None, "margin_account_id": None,
                   "client_id": None},
    ),
    "at a location that does not carry it": Wrong(
        "ledger_account_is_truthful",
        lambda b: {"account_class": "custody", "bucket_id": None, "margin_account_id": None,
                   "client_id": None, "location_id": b.locations["client_bank"].pk},
    ),
    "a claim on no bucket": Wrong(
        "ledger_account_hangs_where_its_class_says",
        lambda b: {"bucket_id": None, "margin_account_id": None, "client_id": None},
    ),
    "equity of the firm among clients": Wrong(
        "firm_money_classes_stay_in_firm_pools",
        lambda b: {"account_class": "own_equity", "bucket_id": None, "margin_account_id": None,
                   "client_id": None},
    ),
    "a shortfall of the house": Wrong(
        "client_money_classes_stay_in_client_pools",
        lambda b: {"account_class": "shortfall", "bucket_id": None, "margin_account_id": None,
                   "client_id": None, "pool_id": b.pools["HOUSE"].pk, "owner_class": "HOUSE"},
    ),
    "an account that is there": Wrong(
        "ledger_account_is_unique", lambda b: {"asset_id": b.assets["USD"].pk}
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ACCOUNTS)
def test_an_account_hangs_where_its_owner_does(book: Book, owner: Owner, name: str) -> None:
    rule, changed = ACCOUNTS[name]
    with refused_by_hand(book, rule):
        run(owner, insert("ledger_ledgeraccount", claim_account(book) | changed(book)))
    run(owner, insert("ledger_ledgeraccount", claim_account(book)))


@pytest.mark.parametrize(
    ("rule", "statement"),
    [
        ("account_stays_in_its_pool", "accounts_marginaccount SET owner_class = 'HOUSE'"),
        ("account_stays_in_its_pool", "accounts_marginaccount SET client_id = {client}"),
        ("bucket_stays_in_its_account", "accounts_bucket SET account_id = {account}"),
        ("bucket_stays_in_its_account", "accounts_bucket SET is_margined = NOT is_margined"),
        ("location_stays_in_its_pool", "ledger_location SET pool_id = {pool}"),
        ("location_stays_in_its_pool", "ledger_location SET individual_client_id = {client}"),
        ("client_location_has_a_letter", "ledger_location SET letter_reference = ''"),
    ],
)
def test_what_belongs_to_one_owner_never_moves_to_another(
    book: Book, owner: Owner, rule: str, statement: str
) -> None:
    with refused_by_hand(book, "location_shows_its_letter"):
        run(owner, "UPDATE ledger_location SET letter_reference = 'letter 2'")
    told = statement.format(
        client=book.clients["carol"].pk,
        account=book.buckets["alice"].account_id,
        pool=book.pools["HOUSE"].pk,
    )
    with refused_by_hand(book, rule):
        run(owner, f"UPDATE {told}")


PLACE = {
    "code": "new", "kind": "bank", "title": "omnibus", "individual_client_id": None,
    "account_number": "", "venue": "", "chain": "", "letter_reference": "letter",
}  # fmt: skip
ROWS: dict[str, tuple[str, str, Mapping[str, Any], Callable[[Book], Mapping[str, Any]]]] = {
    "a location without a letter": (
        "client_location_has_a_letter", "ledger_location", PLACE,
        lambda b: {"letter_reference": ""},
    ),
    "client assets in the firm's own name": (
        "client_location_has_a_letter", "ledger_location", PLACE, lambda b: {"title": "own"},
    ),
    "an individual location of nobody": (
        "individual_location_names_its_client", "ledger_location", PLACE,
        lambda b: {"title": "individual"},
    ),
    "a security paid for in nothing": (
        "asset_settles_in_money", "ledger_asset",
        {"code": "X", "kind": "security", "scale": 0, "settles_in_id": 1},
        lambda b: {"settles_in_id": None},
    ),
    "a derivative paid for in shares": (
        "asset_settles_in_money", "ledger_asset",
        {"code": "X", "kind": "derivative", "scale": 0, "settles_in_id": 1},
        lambda b: {"settles_in_id": b.assets["SPY"].pk},
    ),
    "an asset of no kind": (
        "asset_is_of_a_known_kind", "ledger_asset",
        {"code": "X", "kind": "security", "scale": 0, "settles_in_id": 1},
        lambda b: {"kind": "thing"},
    ),
    "a pool of no class": (
        "pool_is_of_a_known_class", "ledger_pool",
        {"code": "NEW", "regime": "", "owner_class": "CLIENT", "legal_entity_id": 1},
        lambda b: {"owner_class": "OURS"},
    ),
    "a second pool of one name": (
        "pool_code_is_unique", "ledger_pool",
        {"code": "NEW", "regime": "", "owner_class": "CLIENT", "legal_entity_id": 1},
        lambda b: {"code": "CLIENT", "legal_entity_id": b.desk.entity.pk},
    ),
    "an asset carried twice": (
        "location_carries_an_asset_once", "ledger_locationasset",
        {"location_id": 1, "asset_id": 5},
        lambda b: {"asset_id": b.assets["USD"].pk},
    ),
    "a release of nothing": (
        "release_names_an_amount", "ledger_release",
        {"id": "00000000-0000-0000-0000-000000000001", "kind_id": "withdrawal", "asset_id": 1,
         "bucket_id": 1, "amount": 5, "price_snapshot": "", "scope_version": 0, "binding_term": ""},
        lambda b: {"amount": 0},
    ),
    "a leg permitted twice": (
        "kind_permits_a_leg_once", "ledger_kindleg",
        {"kind_id": "fee", "account_class": "claim", "owner_class": "SUSPENSE",
         "asset_kind": "money", "side": "debit", "is_required": False},
        lambda b: {"owner_class": "CLIENT"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_places_and_assets_are_what_they_say(book: Book, owner: Owner, name: str) -> None:
    rule, table, row, changed = ROWS[name]
    right = dict(row)
    if table == "ledger_location":
        right["pool_id"] = book.pools["CLIENT"].pk
    wrong = right | dict(changed(book))
    with refused_by_hand(book, rule):
        run(owner, insert(table, wrong))
    if table == "ledger_location":
        with refused_by_hand(book, "location_is_opened_by_two"):
            run(owner, insert(table, right))
    else:
        run(owner, insert(table, right))


def test_a_kind_keeps_its_code(book: Book, owner: Owner) -> None:
    with refused_by_hand(book, "kind_keeps_its_code"):
        run(owner, "UPDATE ledger_entrykind SET code = 'charge' WHERE code = 'fee'")
    run(owner, "UPDATE ledger_entrykind SET needs_approval = true WHERE code = 'fee'")


@pytest.mark.parametrize("parts", [("key",), ("entry", "postings"), ("key", "entry", "postings")])
def test_whoever_writes_an_entry_says_who_acts(
    book: Book, owner: Owner, parts: tuple[str, ...]
) -> None:
    rows = {
        "key": insert("ledger_entrykey", DEPOSIT._key(900)),
        "entry": insert("ledger_entry", DEPOSIT._entry(900)),
        "postings": insert("ledger_posting", *DEPOSIT._postings(900, book)),
    }
    written = [rows[part] for part in parts]
    text = ", ".join(f"part_{n} AS ({part})" for n, (part, _) in enumerate(written[:-1]))
    statement = f"WITH {text} {written[-1][0]}" if text else written[-1][0]
    with refused_by_hand(book, "change_has_an_actor"):
        run(owner, (statement, [value for _, values in written for value in values]), acts=False)
    DEPOSIT.write(owner, book)


# ---------------------------------------------------------------- releases


def test_a_release_is_not_hung_on_an_entry_later(book: Book, owner: Owner) -> None:
    release = book.release("bob", "withdrawal", "5")
    entry = DEPOSIT.write(owner, book)
    drawn = book.post("withdrawal", ("alice", "5"), ("client_bank", "-5"))
    for other in (entry, drawn):
        use = insert("ledger_releaseuse", {"release_id": release, "entry_id": other})
        with refused_by_hand(book, "release_is_for_this"):
            run(owner, use)
    Raw("withdrawal", (("bob", "5"), ("client_bank", "-5")), release=release).write(owner, book)


# ---------------------------------------------------------------- openings


def test_a_pool_is_open_when_its_opening_adds_up(book: Book, owner: Owner) -> None:
    half = Raw("opening", (("other_bank", "50"), ("opening/OTHER", "-50")))
    rest = Raw("opening", (("other_equity", "-50"), ("opening/OTHER", "50")))
    income = Raw("house_income", (("other_bank", "5"), ("other_equity", "-5")))
    half.write(owner, book)
    with refused_by_hand(book, "opening_is_complete"):
        income.write(owner, book)
    rest.write(owner, book)
    income.write(owner, book)
    with refused_by_hand(book, "opening_comes_first"):
        half.write(owner, book)


# ---------------------------------------------------------------- headers


@pytest.mark.parametrize(
    ("rule", "changed"),
    [
        ("row_carries_its_transaction", {"xid": "3"}),
        ("person_acts_through_a_session", {"actor": "operator:l.brandt"}),
        ("person_acts_through_a_session", {"operator_id": 1}),
        ("session_is_live", {"session_id": "00000000-0000-0000-0000-000000000001"}),
    ],
)
def test_a_header_is_of_now_and_of_who_acts(
    book: Book, owner: Owner, rule: str, changed: dict[str, Any]
) -> None:
    header = {"actor": "system:job:x", "channel": "job", "request_id": "", "reason": "x"}
    with refused_by_hand(book, rule):
        run(owner, insert("accounts_act", header | changed), acts=False)
    run(owner, insert("accounts_act", header), acts=False)
