"""Entries the book cannot hold, written by hand by the owner of its tables.

Each first shows its permitted twin, so that what is refused is refused for what differs.
"""

from dataclasses import replace
from decimal import Decimal
from typing import NamedTuple
from uuid import uuid4

import psycopg
import pytest

from tests.ledger.book import Book
from tests.ledger.raw import ACT, Owner, Raw, insert, refused_by_hand, run


class Twins(NamedTuple):
    """An entry the book refuses by a rule, and one it takes, as alike as can be."""

    rule: str
    permitted: Raw
    forbidden: Raw


FROM_HOUSE = ("house_bank", "-5"), ("loan/bob", "5")
LOAN = Raw("borrow", (("client_bank", "5"), ("bob", "-5"), *FROM_HOUSE))
DEPOSIT = Raw("deposit", (("client_bank", "5"), ("alice", "-5")))
FEE = Raw("fee", (("alice", "5"), ("residual", "-5")))
MOVE = Raw("custody_move", (("client_wallet:BTC", "-1"), ("client_vault:BTC", "1")))
LONG = {"price": Decimal(900), "average_after": Decimal(900)}
OPEN = Raw(
    "derivative_trade", (("alice/ISO:BTC-PERP", "-1"), ("venue:BTC-PERP", "1")), rows={0: LONG}
)
SALE = {"price": Decimal(100), "average_after": Decimal(280), "realised": Decimal(-360)}
BUY = {"price": Decimal(100), "average_after": Decimal(100)}
BETWEEN = Raw(
    "internal_trade",
    (("bob:SPY", "2"), ("alice:SPY", "-2"), ("alice", "200"), ("bob", "-200")),
    rows={0: SALE, 1: BUY},
)


def legs(*pairs: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return pairs


TWINS = {
    # ------------------------------------------------------------ whole, and in balance
    "debits above credits": Twins(
        "entry_balances_in_each_pool",
        DEPOSIT,
        replace(DEPOSIT, legs=legs(("client_bank", "5"), ("alice", "-4"))),
    ),
    "a client's money to the house in two legs": Twins(
        "entry_balances_in_each_pool",
        FEE,
        replace(FEE, legs=legs(("alice", "5"), ("house_equity", "-5"))),
    ),
    "dollars for coins": Twins(
        "entry_balances_in_each_pool",
        DEPOSIT,
        replace(DEPOSIT, legs=legs(("client_bank", "5"), ("alice:BTC", "-5"))),
    ),
    "an entry without postings": Twins(
        "entry_is_written_whole", DEPOSIT, replace(DEPOSIT, legs=(), entry={"posting_count": 2})
    ),
    "an entry that counts more postings than it has": Twins(
        "entry_is_written_whole", DEPOSIT, replace(DEPOSIT, entry={"posting_count": 3})
    ),
    "an entry of one posting": Twins(
        "entry_has_two_postings",
        DEPOSIT,
        replace(DEPOSIT, legs=legs(("client_bank", "5"))),
    ),
    "an entry without a key": Twins("entry_has_its_key", DEPOSIT, replace(DEPOSIT, has_key=False)),
    "an entry nobody made": Twins("change_has_an_actor", DEPOSIT, replace(DEPOSIT, has_act=False)),
    "an entry dated to another transaction": Twins(
        "entry_is_written_whole", DEPOSIT, replace(DEPOSIT, entry={"xid": "3"})
    ),
    "a posting dated to another transaction": Twins(
        "row_carries_its_transaction", DEPOSIT,
        replace(DEPOSIT, rows={0: {"xid": "3"}, 1: {"xid": "3"}}),
    ),
    "an entry outside of all calendars": Twins(
        "entry_has_a_business_time", DEPOSIT, replace(DEPOSIT, entry={"effective_at": "infinity"})
    ),
    # ------------------------------------------------------------ postings
    "a posting in another pool than its account": Twins(
        "posting_names_its_account", DEPOSIT, replace(DEPOSIT, rows={1: {"pool_id": 2}})
    ),
    "a posting in another asset than its account": Twins(
        "posting_names_its_account", DEPOSIT, replace(DEPOSIT, rows={1: {"asset_id": 2}})
    ),
    "a posting on no account": Twins(
        "posting_names_its_account", DEPOSIT, replace(DEPOSIT, rows={1: {"account_id": 10**9}})
    ),
    "a posting of nothing": Twins(
        "posting_moves_something", DEPOSIT,
        replace(DEPOSIT, legs=legs(("client_bank", "0"), ("alice", "0"))),
    ),
    "a tenth of a cent": Twins(
        "amount_fits_its_asset",
        replace(DEPOSIT, legs=legs(("client_bank", "5.01"), ("alice", "-5.01"))),
        replace(DEPOSIT, legs=legs(("client_bank", "5.001"), ("alice", "-5.001"))),
    ),
    "a number that is none": Twins(
        "amount_fits_its_asset", DEPOSIT,
        replace(DEPOSIT, legs=legs(("client_bank", "NaN"), ("alice", "NaN"))),
    ),
    "an infinite amount": Twins(
        "amount_fits_its_asset", DEPOSIT,
        replace(DEPOSIT, legs=legs(("client_bank", "Infinity"), ("alice", "-Infinity"))),
    ),
    "a running balance that runs away": Twins(
        "running_balance_follows", DEPOSIT, replace(DEPOSIT, rows={1: {"balance_after": -9999}})
    ),
    "a gap in the order of an account": Twins(
        "running_balance_follows", DEPOSIT, replace(DEPOSIT, rows={1: {"account_seq": 7}})
    ),
    # ------------------------------------------------------------ floors
    "a claim below zero": Twins(
        "claim_not_below_zero",
        replace(FEE, legs=legs(("alice", "900"), ("residual", "-900"))),
        replace(FEE, legs=legs(("alice", "200"), ("residual", "-200"))),
    ),
    "custody below zero": Twins("custody_not_below_zero", MOVE, MOVE),
    "a security sold short": Twins(
        "position_not_below_zero",
        BETWEEN,
        replace(
            BETWEEN,
            legs=legs(("bob:SPY", "11"), ("alice:SPY", "-11"), ("alice", "300"), ("bob", "-300")),
        ),
    ),
    "money arrived that nobody sent": Twins(
        "transit_not_below_zero", DEPOSIT,
        Raw("transit_in", (("client_bank", "1"), ("client_transit", "-1"))),
    ),
    # ------------------------------------------------------------ kinds
    "a leg its kind does not have": Twins(
        "entry_fits_its_kind", DEPOSIT,
        replace(DEPOSIT, legs=legs(("client_bank", "5"), ("residual", "-5"))),
    ),
    "the other side of a leg": Twins(
        "entry_fits_its_kind", DEPOSIT,
        replace(DEPOSIT, legs=legs(("client_bank", "-5"), ("alice", "5"))),
    ),
    "no kind at all": Twins("entry_fits_its_kind", DEPOSIT, replace(DEPOSIT, kind="gift")),
    "two clients in a deposit": Twins(
        "entry_fits_its_kind",
        replace(DEPOSIT, legs=legs(("client_bank", "10"), ("alice", "-5"), ("alice", "-5"))),
        replace(DEPOSIT, legs=legs(("client_bank", "10"), ("alice", "-5"), ("bob", "-5"))),
    ),
    "two buckets in a deposit": Twins(
        "entry_fits_its_kind",
        DEPOSIT,
        replace(DEPOSIT, legs=legs(("client_bank", "10"), ("alice", "-5"), ("alice/ISO", "-5"))),
    ),
    "a client's money at another client's own bank": Twins(
        "entry_fits_its_kind",
        replace(DEPOSIT, legs=legs(("carol_bank", "5"), ("carol", "-5"))),
        replace(DEPOSIT, legs=legs(("carol_bank", "5"), ("alice", "-5"))),
    ),
    "a house bill from client custody through the residual interest": Twins(
        "entry_fits_its_kind",
        Raw("house_expense", (("house_equity", "5"), ("house_bank", "-5"))),
        Raw("house_expense", (("residual", "5"), ("client_bank", "-5"))),
    ),
    "from one client through the residual interest to another": Twins(
        "entry_fits_its_kind",
        FEE,
        replace(FEE, legs=(*FEE.legs, ("residual", "5"), ("bob", "-5"))),
    ),
    "a bill of the insurance fund": Twins(
        "entry_fits_its_kind",
        Raw("house_expense", (("house_equity", "5"), ("house_bank", "-5"))),
        Raw("house_expense", (("insurance_equity", "5"), ("insurance_bank", "-5"))),
    ),
    "a trade without a position": Twins(
        "entry_fits_its_kind", OPEN,
        Raw("derivative_trade", (("alice", "5"), ("residual", "-5"))),
    ),
    "a loan that nobody lends": Twins(
        "entry_fits_its_kind",
        LOAN,
        replace(LOAN, legs=LOAN.legs[:2]),
    ),
    "a loan to another client than who gets the money": Twins(
        "entry_fits_its_kind",
        LOAN,
        replace(LOAN, legs=(*LOAN.legs[:3], ("loan/alice", "5"))),
    ),
    "a loan of more than the house lends": Twins(
        "custody_follows_the_trade",
        LOAN,
        replace(LOAN, legs=(("client_bank", "6"), ("bob", "-6"), *FROM_HOUSE)),
    ),
    # ------------------------------------------------------------ trades
    "custody the trade does not speak of": Twins(
        "custody_follows_the_trade", OPEN,
        replace(OPEN, legs=(*OPEN.legs, ("venue", "-5"), ("alice/ISO", "5"))),
    ),
    "a profit that was not made": Twins(
        "position_is_valued", OPEN,
        replace(
            OPEN, legs=(*OPEN.legs, ("venue", "5"), ("alice/ISO", "-5")),
            rows={0: {**LONG, "realised": Decimal(5)}},
        ),
    ),
    "an average cost of one's own": Twins(
        "position_is_valued", OPEN, replace(OPEN, rows={0: {**LONG, "average_after": Decimal(1)}})
    ),
    "an average cost on money": Twins(
        "position_is_valued", DEPOSIT, replace(DEPOSIT, rows={1: {"average_after": Decimal(1)}})
    ),
    "a trade without a price": Twins(
        "position_has_a_price", OPEN, replace(OPEN, rows={0: {"average_after": Decimal(0)}})
    ),
    "a trade at an infinite price": Twins(
        "position_has_a_price", OPEN,
        replace(OPEN, rows={0: {"price": Decimal("Infinity"), "average_after": Decimal(0)}}),
    ),
    "one position traded twice": Twins(
        "entry_trades_a_position_once", OPEN,
        replace(
            OPEN,
            legs=(OPEN.legs[0], OPEN.legs[0], ("venue:BTC-PERP", "2")),
            rows={0: LONG, 1: LONG},
        ),
    ),
    "a seller who gets more than the price": Twins(
        "client_gets_what_the_trade_says", BETWEEN,
        replace(
            BETWEEN,
            legs=legs(("bob:SPY", "2"), ("alice:SPY", "-2"), ("alice", "250"), ("bob", "-250")),
        ),
    ),
    # ------------------------------------------------------------ leave to post
    "residual interest withdrawn by one person": Twins(
        "entry_has_its_approval", FEE,
        Raw(
            "residual_withdrawal",
            (("residual", "5"), ("client_bank", "-5"), ("house_bank", "5"), ("house_equity", "-5")),
        ),
    ),
    "a margined bucket lowered without a release": Twins(
        "entry_has_its_release",
        Raw("withdrawal", (("alice", "5"), ("client_bank", "-5"))),
        Raw("withdrawal", (("bob", "5"), ("client_bank", "-5"))),
    ),
    "a release that was never given": Twins(
        "release_is_given",
        Raw("withdrawal", (("alice", "5"), ("client_bank", "-5"))),
        Raw("withdrawal", (("bob", "5"), ("client_bank", "-5")), release=uuid4()),
    ),
    # ------------------------------------------------------------ beginnings and ends
    "an opening after the opening": Twins(
        "opening_comes_first", DEPOSIT,
        Raw("opening", (("client_bank", "5"), ("opening/CLIENT", "-5"))),
    ),
    "a deposit that says it undoes another": Twins(
        "reversal_mirrors_its_entry", DEPOSIT, replace(DEPOSIT, entry={"reverses_id": 1})
    ),
    "a loss without its record": Twins(
        "loss_is_recorded", OPEN, replace(OPEN, kind="covered_loss")
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TWINS)
def test_what_the_book_cannot_hold(book: Book, owner: Owner, name: str) -> None:
    rule, permitted, forbidden = TWINS[name]
    permitted.write(owner, book)
    with refused_by_hand(book, rule):
        forbidden.write(owner, book)


def test_a_firm_does_not_pay_for_another(book: Book, owner: Owner) -> None:
    Raw("house_income", (("other_bank", "50"), ("other_equity", "-50"))).write(owner, book)
    paid_by_another = ("client_bank", "5"), ("bob", "-5"), ("other_bank", "-5")
    loan = insert(
        "ledger_ledgeraccount",
        {
            "pool_id": book.pools["OTHER"].pk, "asset_id": book.assets["USD"].pk,
            "account_class": "loan_receivable", "bucket_id": book.buckets["bob"].pk,
            "owner_class": "HOUSE", "asset_kind": "money", "scale": 2,
            "margin_account_id": book.buckets["bob"].account_id,
            "client_id": book.clients["bob"].pk,
        },
    )  # fmt: skip
    with refused_by_hand(book, "ledger_account_is_truthful"):
        run(owner, loan)
    funding = Raw(
        "shortfall_funding",
        (
            ("other_equity", "5"), ("other_bank", "-5"),
            ("client_bank", "5"), ("shortfall", "-5"),
        ),
    )  # fmt: skip
    Raw("borrow", (*paid_by_another[:2], ("house_bank", "-5"), ("loan/bob", "5"))).write(
        owner, book
    )
    book.post_approved("bank_error", ("shortfall", "5"), ("client_bank", "-5"))
    with refused_by_hand(book, "entry_fits_its_kind"):
        funding.write(owner, book)


def test_no_posting_joins_an_entry_later(book: Book, owner: Owner) -> None:
    entry = DEPOSIT.write(owner, book)
    later = [row | {"entry_id": entry} for row in DEPOSIT._postings(entry, book)]
    with refused_by_hand(book, "entry_is_written_whole"):
        run(owner, insert("ledger_posting", *later))
    DEPOSIT.write(owner, book)


def test_no_posting_joins_an_entry_in_a_second_statement(book: Book, owner: Owner) -> None:
    first = DEPOSIT._postings(900, book)
    second = [
        row
        | {
            "account_seq": row["account_seq"] + 1,
            "balance_after": row["balance_after"] + row["amount"],
        }
        for row in first
    ]
    header = insert("ledger_entry", DEPOSIT._entry(900) | {"posting_count": 4})
    whole = header[0] + " RETURNING 1", header[1]
    with refused_by_hand(book, "entry_is_written_whole"):
        run(owner, insert("ledger_entrykey", DEPOSIT._key(900)), whole)
    with refused_by_hand(book, "entry_is_written_whole"), owner.transaction():
        DEPOSIT.write(owner, book)
        (entry,) = owner.execute("SELECT max(id) FROM ledger_entry").fetchone() or (0,)
        owner.execute(*insert("ledger_posting", *(row | {"entry_id": entry} for row in second)))
    DEPOSIT.write(owner, book)


def test_two_halves_of_a_statement_are_one_entry(book: Book, owner: Owner) -> None:
    halves = replace(DEPOSIT, legs=(*DEPOSIT.legs, ("carol_bank", "5"), ("carol", "-5")))
    rows = halves._postings(900, book)
    parts = [
        insert("ledger_entry", halves._entry(900)),
        insert("ledger_entrykey", halves._key(900)),
        insert("ledger_posting", *rows[:2]),
        insert("ledger_posting", *rows[2:]),
    ]
    text = ", ".join(f"part_{n} AS ({part})" for n, (part, _) in enumerate(parts[:-1]))
    with refused_by_hand(book, "entry_fits_its_kind"):
        run(owner, (f"WITH {text} {parts[-1][0]}", [v for _, values in parts for v in values]))
    DEPOSIT.write(owner, book)


def test_a_key_is_not_taken_without_its_entry(book: Book, owner: Owner) -> None:
    DEPOSIT.write(owner, book)
    with refused_by_hand(book, "key_has_its_entry"):
        run(owner, insert("ledger_entrykey", DEPOSIT._key(900)))


def test_somebody_answers_for_every_key(book: Book, owner: Owner) -> None:
    DEPOSIT.write(owner, book)
    one, another = DEPOSIT._key(900), DEPOSIT._key(901) | {"key": "another"}
    with refused_by_hand(book, "key_is_watched"):
        run(owner, insert("ledger_entrykey", one | {"watches_to": None}))
    with refused_by_hand(book, "key_is_watched"):
        watched = one | {"watches_to": 900}, another | {"watches_to": None}
        run(owner, insert("ledger_entrykey", *watched))
    # Where the first answers for both, what it answers for has to be there.
    with refused_by_hand(book, "key_has_its_entry"):
        watched = one | {"watches_to": 901}, another | {"watches_to": None}
        run(owner, insert("ledger_entrykey", *watched))


def test_a_key_is_used_once(book: Book, owner: Owner) -> None:
    entry = DEPOSIT.write(owner, book)
    with refused_by_hand(book, "key_is_used_once"):
        run(owner, insert("ledger_entrykey", DEPOSIT._key(entry) | {"entry_id": 900}))


def test_a_copy_of_postings_is_guarded_too(book: Book, owner: Owner) -> None:
    entry = DEPOSIT.write(owner, book)
    rows = DEPOSIT._postings(entry, book)
    with refused_by_hand(book, "entry_is_written_whole"), owner.transaction():
        owner.execute(ACT)
        columns = ", ".join(rows[0])
        with owner.cursor().copy(f"COPY ledger_posting ({columns}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(tuple(row.values()))


def test_a_superuser_who_plays_replica_is_guarded_too(
    book: Book, superuser: psycopg.Connection[object]
) -> None:
    superuser.execute("SET session_replication_role = replica")
    for name in (
        "debits above credits",
        "an entry without postings",
        "an entry without a key",
        "residual interest withdrawn by one person",
        "a margined bucket lowered without a release",
    ):
        rule, permitted, forbidden = TWINS[name]
        permitted.write(superuser, book)
        with refused_by_hand(book, rule):
            forbidden.write(superuser, book)


def test_a_reversal_undoes_one_entry_whole(book: Book) -> None:
    entry = book.post("deposit", ("client_bank", "5"), ("alice", "-5"))
    undone = book.reversal(entry)
    wrongs = (
        replace(undone, reverses=None),
        replace(undone, reverses=10**9),
        replace(undone, legs=[book.leg("client_bank", "-4"), book.leg("alice", "4")]),
        replace(undone, legs=[*undone.legs, *undone.legs]),
    )
    for number, wrong in enumerate(wrongs):
        approved = book.approved(replace(wrong, key=f"wrong {number}"))
        with book.refused("reversal_mirrors_its_entry"):
            book.post_drafts(approved)
    book.post_drafts(undone)
