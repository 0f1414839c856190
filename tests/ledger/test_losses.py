"""A loss beyond a bucket: who pays, in which order, and what is visible when nobody can."""

from dataclasses import replace
from decimal import Decimal

import pytest

from ledger.models import Balance, Loss
from ledger.posting import Draft, LossParts, plain
from tests.ledger.book import Book
from tests.ledger.raw import Owner, Raw, insert, refused_by_hand, run

PAYERS = (("insurance_bank", "insurance_equity"), ("house_bank", "house_equity"))


def long_one(book: Book) -> None:
    """Alice's isolated bucket, which is owed 500, buys one perpetual at 10,000."""
    book.post("custody_move", ("client_bank", "-2000"), ("venue", "2000"))
    book.post("derivative_trade", *book.contracts("alice/ISO", Decimal(1), "10000"))


def loss(
    book: Book, *, insurance: str, house: str, uncovered: str = "0", bucket: str = "500"
) -> Draft:
    """It closes at a loss that the bucket pays as far as `bucket`, and others beyond."""
    parts = [Decimal(part) for part in (insurance, house, uncovered)]
    missing = sum(parts, Decimal(0))
    lost = Decimal(bucket) + missing
    legs = [
        leg
        for part, (bank, equity) in zip(parts, PAYERS, strict=False)
        if part
        for leg in ((bank, plain(-part)), (equity, plain(part)), ("client_bank", plain(part)))
    ]
    if parts[2]:
        legs.append(("shortfall", uncovered))
    if Decimal(bucket):
        legs.append(("alice/ISO", bucket))
    return book.draft(
        "uncovered_loss" if parts[2] else "covered_loss",
        *book.contracts("alice/ISO", Decimal(-1), plain(10_000 - lost)),
        ("venue", plain(-lost)),
        *legs,
        loss=LossParts(book.buckets["alice/ISO"].pk, -lost, missing, *parts),
    )


def test_the_insurance_fund_pays_what_the_bucket_cannot(book: Book) -> None:
    long_one(book)
    (entry,) = book.post_drafts(loss(book, insurance="99.99", house="0"))
    assert (book.balance("alice/ISO"), book.balance("insurance_bank")) == (0, Decimal("0.01"))
    kept = Loss.objects.get(pk=entry)
    assert (kept.realised, kept.insurance, kept.house) == (Decimal("-599.99"), Decimal("99.99"), 0)


def test_the_house_pays_when_the_fund_is_empty(book: Book) -> None:
    long_one(book)
    book.post_drafts(loss(book, insurance="100", house="428.22"))
    assert (book.balance("insurance_bank"), book.balance("house_bank")) == (0, Decimal("4571.78"))
    assert book.balance("alice") == -1000, "her other bucket does not pay"


def test_what_nobody_can_pay_is_one_visible_number(book: Book) -> None:
    long_one(book)
    book.post("house_expense", ("house_equity", "4900"), ("house_bank", "-4900"))
    book.post_drafts(loss(book, insurance="100", house="100", uncovered="7.50"))
    assert (book.balance("shortfall"), book.balance("house_bank")) == (Decimal("7.5"), 0)


def test_a_reversed_loss_gives_everything_back(book: Book) -> None:
    long_one(book)
    before = book.balances()
    (entry,) = book.post_drafts(loss(book, insurance="100", house="428.22"))
    book.reverse(entry)
    assert book.moved(before) == {}
    assert Balance.objects.get(account_id=book["alice/ISO:BTC-PERP"]).average_cost == 10_000


def test_two_losses_of_one_batch_find_the_fund_as_the_first_left_it(book: Book) -> None:
    long_one(book)
    book.post("derivative_trade", *book.contracts("alice/HOLD", Decimal(1), "10000"))
    first = loss(book, insurance="100", house="0")
    second = book.draft(
        "covered_loss",
        *book.contracts("alice/HOLD", Decimal(-1), "9990"),
        ("venue", "-10"), ("house_bank", "-10"), ("house_equity", "10"), ("client_bank", "10"),
        loss=LossParts(
            book.buckets["alice/HOLD"].pk, *map(Decimal, ("-10", "10", "0", "10", "0"))
        ),
    )  # fmt: skip
    with book.refused("loss_is_settled_in_order"):
        book.post_drafts(second, first)
    book.post_drafts(first, second)


@pytest.mark.parametrize(
    "parts",
    [
        {"insurance": "99.99", "house": "1"},
        {"insurance": "0", "house": "1"},
        {"insurance": "100", "house": "1", "uncovered": "1"},
        {"insurance": "0", "house": "0", "uncovered": "1"},
        {"insurance": "1", "house": "0", "bucket": "499.99"},
        {"insurance": "1", "house": "0", "bucket": "0"},
    ],
    ids=[
        "the fund keeps a cent", "the fund keeps everything", "the house keeps something",
        "all keep everything", "the bucket keeps a cent", "the bucket keeps everything",
    ],
)  # fmt: skip
def test_who_pays_later_pays_only_what_who_pays_earlier_lacks(
    book: Book, parts: dict[str, str]
) -> None:
    long_one(book)
    wrong = loss(book, **parts)
    with book.refused("loss_is_settled_in_order"):
        book.post_drafts(wrong)
    book.post_drafts(loss(book, insurance="100", house="1"))


@pytest.mark.parametrize(
    ("rule", "changed"),
    [
        ("loss_is_settled_in_order", {"insurance": "99", "house": "2"}),
        ("loss_is_settled_in_order", {"realised": "-600"}),
        ("loss_is_settled_in_order", {"bucket_id": 1}),
        ("loss_is_paid_in_full_or_uncovered", {"shortfall": "100"}),
        ("loss_is_paid_in_full_or_uncovered", {"realised": "NaN"}),
        ("loss_is_paid_in_full_or_uncovered", {"insurance": "102", "house": "-1"}),
    ],
)
def test_the_record_of_a_loss_says_what_its_legs_say(
    book: Book, rule: str, changed: dict[str, str | int]
) -> None:
    long_one(book)
    right = loss(book, insurance="100", house="1")
    assert right.loss is not None
    numbers = {name: Decimal(value) for name, value in changed.items() if name != "bucket_id"}
    wrong = {**vars(right.loss), **numbers}
    if "bucket_id" in changed:
        wrong["bucket_id"] = book.buckets["alice"].pk
    with book.refused(rule):
        book.post_drafts(replace(right, loss=LossParts(**wrong)))
    book.post_drafts(right)


def test_a_loss_is_recorded_and_nothing_else_is(book: Book, owner: Owner) -> None:
    long_one(book)
    right = loss(book, insurance="100", house="1")
    with book.refused("loss_is_recorded"):
        book.post_drafts(replace(right, loss=None))
    (entry,) = book.post_drafts(right)
    deposit = Raw("deposit", (("client_bank", "5"), ("alice", "-5"))).write(owner, book)
    record = dict.fromkeys(("shortfall", "insurance"), 1) | {"house": 0, "uncovered": 0}
    record |= {"entry_id": deposit, "bucket_id": book.buckets["alice"].pk, "realised": -1}
    with refused_by_hand(book, "loss_is_settled_in_order"):
        run(owner, insert("ledger_loss", record))
    with refused_by_hand(book, "loss_is_recorded_once"):
        run(owner, insert("ledger_loss", record | {"entry_id": entry}))


def test_the_firm_takes_nothing_out_of_a_pool_that_lacks_it(book: Book) -> None:
    def taken(amount: str) -> Draft:
        minus = f"-{amount}"
        sides = ("residual", amount), ("client_bank", minus), ("house_bank", amount)
        return book.approved(book.draft("residual_withdrawal", *sides, ("house_equity", minus)))

    book.post_approved("bank_error", ("shortfall", "80"), ("client_bank", "-80"))
    too_much, enough = taken("20.01"), taken("20")
    with book.refused("residual_interest_covers_shortfall"):
        book.post_drafts(too_much)
    book.post_drafts(enough)
