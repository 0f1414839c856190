"""Every reason for which value may move, and the key under which it moves once."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection

from accounts.audit import acting
from ledger.models import DailyMovement, Entry, EntryKey, EntryKind, Posting
from ledger.posting import AccountKey, Leg, open_accounts, plain, post_entries
from tests.ledger.book import DESK, NOON, Book

Legs = tuple[tuple[str, str], ...]

# Each kind as the last of some steps; trades, losses and reversals stand in files of their own.
KINDS: dict[str, tuple[tuple[str, Legs], ...]] = {
    "deposit": (("deposit", (("client_bank", "5.25"), ("alice", "-5.25"))),),
    "withdrawal": (("withdrawal", (("alice", "5.25"), ("client_bank", "-5.25"))),),
    "custody_move": (
        ("custody_move", (("client_wallet:BTC", "-0.5"), ("client_vault:BTC", "0.5"))),
    ),
    "bucket_move": (("bucket_move", (("alice", "200"), ("alice/ISO", "-200"))),),
    "borrow": (
        (
            "borrow",
            (("client_bank", "50"), ("bob", "-50"), ("house_bank", "-50"), ("loan/bob", "50")),
        ),
    ),
    "fee": (("fee", (("alice", "1.10"), ("residual", "-1.10"))),),
    "interest": (("interest", (("residual", "2"), ("alice", "-2"))),),
    "refund": (("refund", (("residual", "100"), ("bob", "-100"))),),
    "compensation": (("compensation", (("residual", "3"), ("carol", "-3"))),),
    "residual_withdrawal": (
        (
            "residual_withdrawal",
            (
                ("residual", "25"), ("client_bank", "-25"),
                ("house_bank", "25"), ("house_equity", "-25"),
            ),
        ),
    ),
    "residual_deposit": (
        (
            "residual_deposit",
            (
                ("house_equity", "40"), ("house_bank", "-40"),
                ("client_bank", "40"), ("residual", "-40"),
            ),
        ),
    ),
    "bank_error": (("bank_error", (("shortfall", "7"), ("client_bank", "-7"))),),
    "shortfall_funding": (
        ("bank_error", (("shortfall", "7"), ("client_bank", "-7"))),
        (
            "shortfall_funding",
            (
                ("house_equity", "7"), ("house_bank", "-7"),
                ("client_bank", "7"), ("shortfall", "-7"),
            ),
        ),
    ),
    "insurance_funding": (
        (
            "insurance_funding",
            (
                ("house_equity", "9"), ("house_bank", "-9"),
                ("insurance_bank", "9"), ("insurance_equity", "-9"),
            ),
        ),
    ),
    "house_expense": (("house_expense", (("house_equity", "12"), ("house_bank", "-12"))),),
    "house_income": (("house_income", (("house_bank", "12"), ("house_equity", "-12"))),),
    "unidentified_receipt": (
        ("unidentified_receipt", (("client_bank", "33"), ("unallocated", "-33"))),
    ),
    "receipt_allocation": (
        ("unidentified_receipt", (("client_bank", "33"), ("unallocated", "-33"))),
        ("receipt_allocation", (("unallocated", "33"), ("bob", "-33"))),
    ),
    "receipt_return": (
        ("unidentified_receipt", (("client_bank", "33"), ("unallocated", "-33"))),
        ("receipt_return", (("unallocated", "33"), ("client_bank", "-33"))),
    ),
    "client_transfer": (("client_transfer", (("alice", "25"), ("bob", "-25"))),),
    "write_off": (("write_off", (("house_equity", "0.01"), ("house_bank", "-0.01"))),),
    "transit_out": (("transit_out", (("client_transit", "9"), ("client_bank", "-9"))),),
    "transit_in": (
        ("transit_out", (("client_transit", "9"), ("client_bank", "-9"))),
        ("transit_in", (("client_bank", "9"), ("client_transit", "-9"))),
    ),
    "manual_journal": (("manual_journal", (("house_savings", "2"), ("house_equity", "-2"))),),
}  # fmt: skip
# The others: test_trades.py, test_releases.py, test_accrual.py, the book's own opening, and
# tests/margin/test_option_rules.py.
ELSEWHERE = {
    "opening", "security_trade", "derivative_trade", "covered_loss", "uncovered_loss",
    "internal_trade", "deleveraging", "repay", "reversal", "position_move", "agreed_move",
    "segregation_move", "delegation", "mirroring", "mirror_settlement", "borrow_in_transit",
    "residual_deposit_in_transit", "shortfall_funding_in_transit", "borrow_interest",
    "credit_interest", "option_trade", "option_settlement",
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_moves_what_its_legs_say_and_nothing_else(book: Book, kind: str) -> None:
    *first, (last, legs) = KINDS[kind]
    key = None
    for earlier, its_legs in first:
        key = f"receipt:{book.settle(earlier, *its_legs)}:test"
    before = book.balances()
    book.settle(last, *legs, key=key)
    assert book.moved(before) == {name: plain(Decimal(amount)) for name, amount in legs}


def test_every_kind_of_the_book_is_worked_somewhere(db: None) -> None:
    assert set(EntryKind.objects.values_list("code", flat=True)) == KINDS.keys() | ELSEWHERE


def test_a_posting_keeps_the_order_and_the_balance_of_its_account(book: Book) -> None:
    book.post_drafts(
        book.draft("deposit", ("client_bank", "5"), ("alice", "-5")),
        book.draft("withdrawal", ("alice", "2"), ("client_bank", "-2")),
    )
    rows = Posting.objects.filter(account_id=book["alice"]).order_by("account_seq")
    assert [(r.account_seq, r.amount, r.balance_after) for r in rows] == [
        (1, Decimal("-1000"), Decimal("-1000")),
        (2, Decimal("-5"), Decimal("-1005")),
        (3, Decimal("2"), Decimal("-1003")),
    ]


def test_movements_add_up_by_the_day_on_which_they_count(book: Book) -> None:
    book.post("deposit", ("client_bank", "5"), ("alice", "-5"))
    book.post("withdrawal", ("alice", "2"), ("client_bank", "-2"))
    book.post("fee", ("alice", "1"), ("residual", "-1"), at=NOON - timedelta(hours=20))
    days = DailyMovement.objects.filter(account_id=book["alice"]).order_by("effective_on")
    assert [(d.effective_on.day, d.debit, d.credit) for d in days] == [
        (4, Decimal(1), Decimal(1000)),
        (5, Decimal(2), Decimal(5)),
    ]


def test_accounts_are_opened_once(book: Book) -> None:
    key = book.key("bob/HOLD:BTC")
    with acting(DESK, reason="Opens accounts twice"):
        first = open_accounts([key, key])
        second = open_accounts([key])
    assert first == second == {key: book["bob/HOLD:BTC"]}


def test_an_account_of_an_unknown_pool_is_not_opened(book: Book) -> None:
    wanted = AccountKey(32_000, book.assets["USD"].pk, "residual_interest")
    with book.refused("ledger_account_is_truthful"), acting(DESK, reason="Opens an account"):
        open_accounts([wanted])


# ---------------------------------------------------------------- keys


def test_the_same_key_and_content_give_the_first_entry(book: Book) -> None:
    draft = book.draft("deposit", ("client_bank", "5"), ("alice", "-5"), key="same")
    with acting(DESK, reason="Posts"):
        (first,) = post_entries([draft])
    before = book.balances()
    with acting(DESK, reason="Posts again"):
        (again,) = post_entries([draft])
    assert (first.is_new, again) == (True, (first.entry_id, False))
    assert book.moved(before) == {}


def test_the_same_key_twice_in_a_batch_is_one_entry(book: Book) -> None:
    draft = book.draft("deposit", ("client_bank", "5"), ("alice", "-5"), key="same")
    other = book.draft("deposit", ("client_bank", "1"), ("bob", "-1"))
    before = book.balances()
    with acting(DESK, reason="Posts"):
        one, between, two = post_entries([draft, other, draft])
    assert (one.is_new, between.is_new, two.is_new) == (True, True, False)
    assert one.entry_id == two.entry_id
    assert book.moved(before) == {"alice": "-5", "bob": "-1", "client_bank": "6"}


@pytest.mark.parametrize("with_a_retry", [False, True], ids=["in a batch", "later"])
def test_the_same_key_with_other_content_is_refused(book: Book, with_a_retry: bool) -> None:
    draft = book.draft("deposit", ("client_bank", "5"), ("alice", "-5"), key="same")
    other = replace(draft, reference="R-2")
    if with_a_retry:
        book.post_drafts(draft)
    with book.refused("key_names_one_content"):
        book.post_drafts(draft, other)


def test_a_retry_needs_neither_its_approval_nor_its_release_again(book: Book) -> None:
    paid = book.draft("interest", ("residual", "2"), ("alice", "-2"))
    drawn = book.draft("withdrawal", ("bob", "50"), ("client_bank", "-50"))
    approved = book.approved(paid)
    released = replace(drawn, release_id=book.release("bob", "withdrawal", "50"))
    first = book.post_drafts(approved, released)
    before = book.balances()
    assert book.post_drafts(paid, drawn) == book.post_drafts(approved, released) == first
    assert book.moved(before) == {}


def test_a_batch_is_posted_whole_or_not_at_all(book: Book) -> None:
    good = book.draft("deposit", ("client_bank", "5"), ("alice", "-5"))
    with book.refused("claim_not_below_zero"):
        book.post_drafts(good, book.draft("fee", ("bob", "2000.01"), ("residual", "-2000.01")))
    book.post_drafts(good, book.draft("fee", ("bob", "2000"), ("residual", "-2000")))


def test_a_key_that_was_refused_may_be_used_again(book: Book) -> None:
    too_much = book.draft("fee", ("bob", "2001"), ("residual", "-2001"), key="retried")
    with book.refused("claim_not_below_zero"):
        book.post_drafts(too_much)
    assert not EntryKey.objects.filter(key="retried").exists()
    book.post_drafts(book.draft("deposit", ("client_bank", "1"), ("bob", "-1")), too_much)


# ---------------------------------------------------------------- numbers and texts


@pytest.mark.parametrize("digits", [1, 30, 99])
def test_no_digit_is_lost_however_long_the_amount(book: Book, digits: int) -> None:
    amount = "1" * digits + ".01"
    before = book.balance("alice")
    book.post("deposit", ("client_bank", amount), ("alice", f"-{amount}"))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT amount = -%s::numeric - %s FROM ledger_balance WHERE account_id = %s",
            [amount, -before, book["alice"]],
        )
        assert cursor.fetchone() == (True,)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("5", "5"), ("5.00", "5"), ("-0.50", "-0.5"), ("-0", "0"), ("0E+3", "0"), ("1E+3", "1000"),
        ("100", "100"), ("1E-8", "0.00000001"),
        ("12345678901234567890123456789.123456789", "12345678901234567890123456789.123456789"),
    ],
)  # fmt: skip
def test_a_number_is_written_plainly(value: str, text: str) -> None:
    assert plain(Decimal(value)) == text


@pytest.mark.parametrize("text", ["nul \0", "half \ud800"])
def test_text_that_no_database_holds_is_refused(book: Book, text: str) -> None:
    legs = ("client_bank", "5"), ("alice", "-5")
    book.post("deposit", *legs, reference="Grüße, “ok” \\u0000 \t", narrative="日本 🏦")
    with book.refused("draft_is_complete"):
        book.post("deposit", *legs, narrative=text)
    with book.refused("draft_is_complete"):
        book.post("deposit", Leg(book["client_bank"], Decimal(5), reference=text), legs[1])


def test_texts_have_room_and_no_more(book: Book) -> None:
    legs = ("client_bank", "5"), ("alice", "-5")
    book.post("deposit", *legs, key="k" * 200, reference="r" * 120)
    with book.refused("draft_is_complete"):
        book.post("deposit", *legs, key="k" * 201)
    with book.refused("draft_is_complete"):
        book.post("deposit", *legs, reference="r" * 121)
    with book.refused("draft_is_complete"):
        book.post("deposit", *legs, key="")


def test_five_thousand_entries_are_one_batch(book: Book) -> None:
    legs = ("client_bank", "0.01"), ("alice", "-0.01")
    before = book.balances()
    book.post_drafts(*(book.draft("deposit", *legs) for _ in range(5_000)))
    assert book.moved(before) == {"client_bank": "50", "alice": "-50"}
    assert Entry.objects.filter(kind="deposit").count() == 5_000


def test_an_entry_may_have_a_thousand_legs_and_more(book: Book) -> None:
    legs = [("client_bank", "0.01")] * 1_200
    before = book.balances()
    book.post("deposit", *legs, ("alice", "-12"))
    assert book.moved(before) == {"client_bank": "12", "alice": "-12"}
