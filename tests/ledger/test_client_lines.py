"""What clients have over a period: it opens with what closed before, and pools owe its sum."""

from datetime import date, timedelta
from decimal import Decimal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Client, LegalEntity
from ledger.client_lines import BookLine, PoolOwes, client_lines, pools_owe
from ledger.horizons import store_horizon
from ledger.times import ReadingPoint, at_horizon, one_snapshot
from tests.ledger.book import NOON, Book

FIRST = NOON.date()
DAY = timedelta(days=1)
Key = tuple[str, str, str, str]


def lines(
    first: date, last: date, point: ReadingPoint, before: ReadingPoint | None = None
) -> dict[Key, BookLine]:
    """Every client's lines by account, bucket, class and asset."""
    with one_snapshot():
        found = client_lines(
            list(Client.objects.values_list("pk", flat=True)),
            first=first, last=last, point=point, before=before,
        )  # fmt: skip
    return {
        (line.account.account, line.account.bucket, line.account.account_class, line.account.asset):
        line
        for own in found.values()
        for line in own
    }  # fmt: skip


def totals(
    book: Book, found: dict[Key, BookLine], point: ReadingPoint, last: date
) -> list[PoolOwes]:
    closings = [(line.account, line.closing) for line in found.values()]
    entity: LegalEntity = book.desk.entity
    with one_snapshot():
        return pools_owe(closings, legal_entity_id=entity.pk, point=point, last=last)


def now() -> ReadingPoint:
    return at_horizon(store_horizon("test"))


def deposit(book: Book, who: str, cents: int, days: int) -> None:
    amount = str(Decimal(cents) / 100)
    bank = "carol_bank" if who == "carol" else "client_bank"
    book.post("deposit", (bank, amount), (who, f"-{amount}"), at=NOON + days * DAY)


def step(book: Book, what: str, cents: int, days: int) -> None:
    """Something that happens to a client, or to nobody yet, on a day."""
    amount, at = str(Decimal(cents) / 100), NOON + days * DAY
    if what == "fee":
        book.post("fee", ("alice", amount), ("residual", f"-{amount}"), at=at)
    elif what == "receipt":
        book.post("unidentified_receipt", ("client_bank", amount), ("unallocated", f"-{amount}"),
                  at=at)  # fmt: skip
    elif what == "loan":
        book.post(
            "borrow", ("client_bank", amount), ("bob", f"-{amount}"), ("house_bank", f"-{amount}"),
            ("loan/bob", amount), at=at,
        )  # fmt: skip
    elif what == "contracts":
        book.post(
            "derivative_trade", *book.contracts("alice/ISO", Decimal("0.0100"), "40000"), at=at
        )
    else:
        deposit(book, what, cents, days)


WHAT = st.sampled_from(["alice", "bob", "carol", "alice/ISO", "fee", "receipt", "loan"])
STEPS = st.lists(st.tuples(WHAT, st.integers(1, 500), st.integers(0, 5)), min_size=1, max_size=7)


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(early=STEPS, late=STEPS, cut=st.integers(0, 5))
def test_statements_follow_each_other_and_add_up_to_the_pools(
    book: Book, early: list[tuple[str, int, int]], late: list[tuple[str, int, int]], cut: int
) -> None:
    for one in early:
        step(book, *one)
    first_point = now()
    middle, end = FIRST + cut * DAY, FIRST + 6 * DAY
    one = lines(FIRST, middle, first_point)
    # Entries that come later may take effect before the first statement's end.
    for other in late:
        step(book, *other)
    second_point = now()
    two = lines(middle + DAY, end, second_point, first_point)
    for key in one.keys() | two.keys():
        closing = one[key].closing if key in one else Decimal(0)
        opening = two[key].opening if key in two else Decimal(0)
        assert closing == opening, key
    for line in (*one.values(), *two.values()):
        assert line.opening + sum(m.amount for m in line.movements) == line.closing
        assert not line.movements or line.movements[-1].balance == line.closing
    for found, point, last in ((one, first_point, middle), (two, second_point, end)):
        rows = totals(book, found, point, last)
        assert rows
        assert all(row.difference == 0 for row in rows)


def test_what_came_late_stands_among_the_movements_of_the_next_period(book: Book) -> None:
    deposit(book, "alice", 1000, 0)
    given_out = now()
    deposit(book, "alice", 250, 0)
    deposit(book, "alice", 7, 1)
    line = lines(FIRST + DAY, FIRST + DAY, now(), given_out)["alice", "FREE", "claim", "USD"]
    assert [(m.amount, m.is_late) for m in line.movements] == [
        (Decimal("2.50"), True), (Decimal("0.07"), False),
    ]  # fmt: skip
    assert (line.opening, line.closing) == (Decimal("1010.00"), Decimal("1012.57"))


def test_without_a_statement_before_the_period_opens_with_what_is_known_now(book: Book) -> None:
    deposit(book, "alice", 1000, 0)
    deposit(book, "alice", 250, 0)
    line = lines(FIRST + DAY, FIRST + DAY, now())["alice", "FREE", "claim", "USD"]
    assert (line.opening, line.movements) == (Decimal("1012.50"), ())


def test_a_movement_tells_its_trade_and_the_fee_in_it(book: Book) -> None:
    bought = book.post(
        "security_trade",
        book.leg("bob:SPY", "-2", price="300"), ("custodian:SPY", "2"),
        ("client_bank", "-600.00"), ("bob", "601.50"), ("residual", "-1.50"),
    )  # fmt: skip
    line = lines(FIRST, FIRST, now())["bob", "FREE", "position", "SPY"]
    (movement,) = line.movements
    assert (line.opening, line.closing) == (Decimal(10), Decimal(12))
    assert (movement.entry_id, movement.amount) == (bought, Decimal(2))
    assert (movement.price, movement.fee) == (Decimal(300), Decimal("1.50"))


def test_a_reversal_says_what_it_undoes(book: Book) -> None:
    fee = book.post("fee", ("alice", "1.10"), ("residual", "-1.10"))
    book.reverse(fee)
    line = lines(FIRST, FIRST, now())["alice", "FREE", "claim", "USD"]
    assert [(m.kind, m.moved_by, m.amount) for m in line.movements if m.moved_by == "fee"] == [
        ("fee", "fee", Decimal("-1.10")), ("reversal", "fee", Decimal("1.10")),
    ]  # fmt: skip


def test_a_loan_is_told_as_what_is_owed(book: Book) -> None:
    step(book, "loan", 5000, 0)
    found = lines(FIRST, FIRST, now())
    assert found["bob", "FREE", "loan_receivable", "USD"].closing == Decimal("50.00")
    (loans,) = [row for row in totals(book, found, now(), FIRST) if row.is_loan]
    assert (loans.pool, loans.of_clients, loans.liabilities, loans.difference) == (
        "HOUSE", Decimal("50.00"), Decimal("50.00"), 0,
    )  # fmt: skip


def test_what_has_no_owner_yet_is_named_apart(book: Book) -> None:
    step(book, "receipt", 3300, 0)
    rows = totals(book, lines(FIRST, FIRST, now()), now(), FIRST)
    (row,) = [each for each in rows if (each.pool, each.asset) == ("CLIENT", "USD")]
    assert (row.of_nobody, row.difference) == (Decimal("33.00"), 0)
    assert row.of_clients == Decimal("3800.00")


def test_a_statement_that_is_left_out_shows_as_a_difference(book: Book) -> None:
    found = lines(FIRST, FIRST, now())
    del found["carol", "FREE", "claim", "USD"]
    (row,) = [each for each in totals(book, found, now(), FIRST) if each.difference]
    assert (row.pool, row.asset, row.difference) == ("CLIENT", "USD", Decimal("300.00"))
