"""Interest of a day: exact to the last unit, whatever the balance, the rate or the calendar do."""

import random
from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest
from django.db import connection

from accounts.audit import acting
from ledger import accrual, posting
from ledger.accrual import AccrualRefusedError, accrue, days_due, preview
from ledger.models import Accrual, AccrualCorrection, AccrualRun, DailyRate
from ledger.rates import Rates
from tests.ledger.book import DESK, Book, digest
from tests.ledger.interest import (
    JOB,
    ONE_DAY,
    cumulative,
    entries_of_interest,
    flat,
    interest_on,
    line,
    noon,
    publish,
    rounded,
    run,
)
from tests.ledger.interest_oracle import Oracle, Terms

D = Decimal
START = date(2026, 2, 5)


def rates(side: str = "credit", rate: str = "0.05", **others: object) -> Rates:
    given: dict[str, object] = {
        "asset": "USD",
        "side": side,
        "effective_from": START,
        "day_count": "ACT/365F",
        "points": flat(rate),
    }
    return Rates(**{**given, **others})  # type: ignore[arg-type]


def lend(book: Book, who: str, amount: str, *, on: date = START, **draft: object) -> int:
    """The house lends to a client."""
    return book.post(
        "borrow", (who, f"-{amount}"), ("client_bank", amount), ("house_bank", f"-{amount}"),
        (f"loan/{who}", amount), at=noon(on), **draft,
    )  # fmt: skip


def pay_in(book: Book, who: str, amount: str, *, on: date) -> int:
    if amount.startswith("-"):
        return book.post("withdrawal", (who, amount[1:]), ("client_bank", amount), at=noon(on))
    return book.post("deposit", (who, f"-{amount}"), ("client_bank", amount), at=noon(on))


def fund(book: Book, amount: str) -> None:
    """The firm pays into the client pool, so that it can pay interest there."""
    book.post_approved(
        "residual_deposit", ("house_equity", amount), ("house_bank", f"-{amount}"),
        ("client_bank", amount), ("residual", f"-{amount}"), at=noon(START),
    )  # fmt: skip


# ---------------------------------------------------------------- the closed form


def test_a_balance_earns_its_rate_to_the_last_unit(book: Book) -> None:
    publish(book, rates())
    run(book, date(2026, 2, 9))
    assert cumulative(book, "bob") == -Fraction(2000) * Fraction(5, 100) * 5 / 365
    assert interest_on(book, "bob") == D("-1.37")
    assert interest_on(book, "residual") == D("0.68") + D("0.34") + D("1.37") + D("0.21")


@pytest.mark.parametrize(
    ("day_count", "first", "days", "year"),
    [
        ("ACT/365F", date(2027, 1, 1), 365, Fraction(1)),
        ("ACT/ACT", date(2028, 1, 1), 366, Fraction(1)),
    ],
)
def test_a_year_of_interest_is_the_closed_form(
    book: Book, day_count: str, first: date, days: int, year: Fraction
) -> None:
    publish(book, rates("borrow", "0.0725", day_count=day_count, effective_from=first))
    lend(book, "carol", "1234.56", on=first)
    run(book, date.fromordinal(first.toordinal() + days - 1))
    exact = Fraction("1234.56") * Fraction("0.0725") * year
    assert cumulative(book, "loan/carol") == exact
    charged = interest_on(book, "carol") + interest_on(book, "loan/carol")
    assert charged == rounded(exact, 2)
    assert Accrual.objects.filter(account_id=book["loan/carol"]).count() == days


def test_a_year_may_begin_and_end_on_any_day(book: Book) -> None:
    """ISDA's actual/actual parts a term at New Year: 184 days of 365 and 182 of 366."""
    first = date(2027, 7, 1)
    publish(book, rates("borrow", "0.10", day_count="ACT/ACT", effective_from=first))
    lend(book, "carol", "1000", on=first)
    run(book, date(2028, 6, 30))
    exact = 100 * (Fraction(184, 365) + Fraction(182, 366))
    assert cumulative(book, "loan/carol") == exact
    assert interest_on(book, "carol") == rounded(exact, 2)


def test_a_bond_basis_counts_from_the_day_the_loan_began(book: Book) -> None:
    first = date(2027, 1, 31)
    publish(book, rates("borrow", "0.12", day_count="30/360", effective_from=first))
    lend(book, "carol", "3000", on=first)
    run(book, date(2027, 3, 30))
    assert cumulative(book, "loan/carol") == 3000 * Fraction(12, 100) * Fraction(60, 360)


def test_a_rate_changes_between_two_nights(book: Book) -> None:
    publish(book, rates("borrow", "0.05"))
    publish(book, rates("borrow", "0.08", effective_from=date(2026, 2, 8)))
    lend(book, "carol", "1000")
    run(book, date(2026, 2, 10))
    exact = Fraction(1000, 365) * (3 * Fraction(5, 100) + 3 * Fraction(8, 100))
    assert cumulative(book, "loan/carol") == exact


def test_weekends_bear_interest_and_money_of_the_evening_counts_for_the_night(book: Book) -> None:
    publish(book, rates("borrow", "0.10"))
    lend(book, "carol", "1000", on=date(2026, 2, 6))
    run(book, date(2026, 2, 8))
    nights = Accrual.objects.filter(account_id=book["loan/carol"]).order_by("run_id")
    assert [n.numerator for n in nights] == [D(1000) * D("0.10") * 4392] * 3


def test_random_days_come_to_the_closed_form(book: Book, chance: random.Random) -> None:
    """Balances and rates change on any day, entries come late; every day is worked out apart."""
    counts = ("ACT/365F", "ACT/360", "ACT/ACT", "30/360", "30E/360")
    first = date(2027, 11, 20) + chance.randrange(40) * ONE_DAY
    changes = [0, *sorted(chance.sample(range(5, 80), 3))]
    loan_terms = [
        Terms(
            first + n * ONE_DAY, f"{chance.randrange(0, 2000) / 10000:.4f}",
            chance.choice(counts), chance.random() < 0.5,
        )
        for n in changes
    ]  # fmt: skip
    for terms in loan_terms:
        publish(
            book,
            rates(
                "borrow", terms.rate, effective_from=terms.first, day_count=terms.day_count,
                compounds=terms.compounds, paid_from="loan",
            ),
        )  # fmt: skip
    book.post("deposit", ("client_bank", "50000"), ("carol", "-50000"), at=noon(first))
    oracle = Oracle(loan_terms, sign=1)
    for n in range(90):
        day = first + n * ONE_DAY
        if chance.random() < 0.25:
            on = day - chance.choice((0, 0, 1, 3, 11)) * ONE_DAY
            on = max(on, first)
            amount = f"{chance.randrange(1, 40000) / 100:.2f}"
            if n % 3 == 0 and oracle.closing(day) > D(amount) and on == day:
                book.post(
                    "repay", ("carol", amount), ("client_bank", f"-{amount}"),
                    ("house_bank", amount), ("loan/carol", f"-{amount}"), at=noon(on),
                )  # fmt: skip
                oracle.moves.append((on, -D(amount)))
            elif book.balance("house_bank") > 500:
                lend(book, "carol", amount, on=on)
                oracle.moves.append((on, D(amount)))
        run(book, day)
        due = oracle.accrue(day)
        assert cumulative(book, "loan/carol") == oracle.cumulative, day
        oracle.posted(day, due)
        assert book.balance("loan/carol") == oracle.closing(day + ONE_DAY), day


# ---------------------------------------------------------------- who pays whom


def test_interest_of_a_loan_is_paid_from_the_clients_money(book: Book) -> None:
    publish(book, rates("borrow", "0.365"))
    lend(book, "carol", "1000")
    before = book.balances()
    run(book, START)
    assert book.moved(before) == {"carol": "1", "residual": "-1"}


def test_interest_of_a_loan_raises_the_loan_where_the_curve_says_so(book: Book) -> None:
    publish(book, rates("borrow", "0.365", paid_from="loan"))
    lend(book, "carol", "1000")
    before = book.balances()
    run(book, START)
    assert book.moved(before) == {"loan/carol": "1", "house_equity": "-1"}


def test_what_the_client_lacks_raises_the_loan(book: Book) -> None:
    publish(book, rates("borrow", "3.65"))
    lend(book, "carol", "1000")
    pay_in(book, "carol", "-1296", on=START)
    before = book.balances()
    run(book, START)
    assert book.moved(before) == {
        "carol": "4", "residual": "-4", "loan/carol": "6", "house_equity": "-6",
    }  # fmt: skip


def test_a_negative_rate_takes_from_a_balance_what_is_there_and_no_more(book: Book) -> None:
    publish(book, rates("credit", "-3.65"))
    run(book, START)
    assert book.balance("carol") == D(-297)
    pay_in(book, "carol", "-296.99", on=date(2026, 2, 6))
    run(book, date(2026, 2, 6))
    assert book.balance("carol") == 0
    run(book, date(2026, 2, 7))
    newest = Accrual.objects.filter(account_id=book["carol"]).order_by("-run_id")[0]
    assert newest.due == D("0.02"), "what was not taken is carried"
    pay_in(book, "carol", "5", on=date(2026, 2, 8))
    run(book, date(2026, 2, 8))
    assert book.balance("carol") < D(-4)


def test_the_firm_pays_on_a_loan_of_a_negative_rate(book: Book) -> None:
    publish(book, rates("borrow", "-0.365", paid_from="loan"))
    lend(book, "carol", "1000")
    before = book.balances()
    run(book, START)
    assert book.moved(before) == {"loan/carol": "-1", "house_equity": "1"}


def test_the_firm_pays_a_client_on_a_loan_of_a_negative_rate(book: Book) -> None:
    publish(book, rates("borrow", "-0.365"))
    lend(book, "carol", "1000")
    before = book.balances()
    run(book, START)
    assert book.moved(before) == {"carol": "-1", "residual": "1"}


def test_interest_to_clients_waits_for_the_firms_money(book: Book) -> None:
    publish(book, rates("credit", "9.99"))
    before = book.balances()
    with pytest.raises(AccrualRefusedError, match="residual interest lacks"):
        run(book, START)
    assert book.moved(before) == {}
    with pytest.raises(AccrualRefusedError):
        run(book, date(2026, 2, 6))
    assert AccrualRun.objects.count() == 1, "the next day waits for this one to be paid"
    fund(book, "900")
    run(book, date(2026, 2, 6))
    assert AccrualRun.objects.count() == 2
    assert interest_on(book, "alice") == D("-54.74")


def test_interest_bears_interest_only_where_the_curve_says_so(book: Book) -> None:
    publish(book, rates("borrow", "0.365", paid_from="loan"))
    lend(book, "carol", "1000")
    run(book, date(2026, 2, 7))
    assert book.balance("loan/carol") == D(1003)
    publish(
        book,
        rates("borrow", "0.365", paid_from="loan", compounds=True, effective_from=date(2026, 2, 8)),
    )
    run(book, date(2026, 2, 8))
    assert cumulative(book, "loan/carol") == 3 + Fraction("1.003")


def test_interest_charged_at_the_end_of_a_month_accrues_each_day(book: Book) -> None:
    publish(book, rates("borrow", "0.365", charged="monthly"))
    lend(book, "carol", "1000")
    run(book, date(2026, 2, 27))
    assert entries_of_interest() == 0
    assert cumulative(book, "loan/carol") == 23
    run(book, date(2026, 3, 1))
    assert interest_on(book, "carol") == D(24)
    assert entries_of_interest() == 1


# ---------------------------------------------------------------- late entries


def test_a_late_entry_is_made_up_for_and_nothing_is_rewritten(book: Book) -> None:
    publish(book, rates("borrow", "0.365"))
    lend(book, "carol", "1000")
    run(book, date(2026, 2, 9))
    before = list(Accrual.objects.order_by("run_id", "account_id").values_list())
    lend(book, "carol", "500", on=date(2026, 2, 7))
    run(book, date(2026, 2, 10))
    kept = Accrual.objects.filter(run__day__lte=date(2026, 2, 9))
    assert list(kept.order_by("run_id", "account_id").values_list()) == before
    corrections = AccrualCorrection.objects.order_by("day")
    assert [(c.day.day, c.numerator / 1_603_080) for c in corrections] == [
        (7, D("0.5")), (8, D("0.5")), (9, D("0.5")),
    ]  # fmt: skip
    assert interest_on(book, "carol") == D(5) + D("1.5") + D("1.5")


def test_a_late_entry_is_made_up_for_once(book: Book) -> None:
    publish(book, rates("borrow", "0.365"))
    lend(book, "carol", "1000")
    run(book, date(2026, 2, 9))
    lend(book, "carol", "500", on=date(2026, 2, 7))
    run(book, date(2026, 2, 12))
    assert AccrualCorrection.objects.count() == 3


# ---------------------------------------------------------------- again, cut off, missed


def test_a_second_run_changes_nothing(book: Book) -> None:
    publish(book, rates("borrow", "0.10"))
    lend(book, "carol", "1000")
    run(book, START)
    before = digest()
    assert run(book, START).days == ()
    assert digest() == before


def test_missed_days_are_caught_up_in_order(book: Book) -> None:
    publish(book, rates("borrow", "0.365"))
    lend(book, "carol", "1000")
    run(book, START)
    done = run(book, date(2026, 2, 8))
    assert done.days == (date(2026, 2, 6), date(2026, 2, 7), date(2026, 2, 8))
    assert interest_on(book, "carol") == D(4)


def test_a_day_is_not_skipped(book: Book) -> None:
    publish(book, rates())
    run(book, START)
    with book.refused("accruals_follow_one_another"), acting(DESK, reason="skips"):
        accrue_in_database(book, date(2026, 2, 7))


def test_a_run_that_was_cut_off_goes_on_where_it_stood(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(book, rates("credit", "0.365"))
    fund(book, "10")
    real = posting.post_entries
    calls = []

    def die_at_the_second(drafts: list[object]) -> object:
        calls.append(drafts)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(drafts)  # type: ignore[arg-type]

    monkeypatch.setattr(accrual, "post_entries", die_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        accrue(book.desk.entity, on=START, actor=JOB, chunk=1)
    monkeypatch.undo()
    assert entries_of_interest() == 1
    run(book, START)
    assert entries_of_interest() == 4
    assert interest_on(book, "alice") == D(-1)


def test_a_preview_is_what_the_run_then_accrues(book: Book) -> None:
    publish(book, rates("borrow", "0.10"))
    publish(book, rates("credit", "0.01"))
    lend(book, "carol", "1000")
    shown = preview(book.desk.entity, on=START)
    assert AccrualRun.objects.count() == 0
    run(book, START)
    accrued = Accrual.objects.order_by("account_id")
    assert [(a.account_id, a.due, a.cumulative) for a in accrued] == [
        (one.account_id, one.due, one.cumulative) for one in shown.lines
    ]
    with pytest.raises(AccrualRefusedError, match="nothing to preview"):
        preview(book.desk.entity, on=START)


def test_nothing_accrues_where_no_rates_hold(book: Book) -> None:
    assert days_due(book.desk.entity, on=START) == []
    assert run(book, START).days == ()


# ---------------------------------------------------------------- the lending pool


def test_the_rate_follows_the_use_of_the_lending_pool(book: Book) -> None:
    kinked = line(("0", "0.02"), ("0.8", "0.10"), ("1", "0.60"))
    publish(book, rates("borrow", points=kinked))
    lend(book, "carol", "1425")
    run(book, START)
    found = DailyRate.objects.get()
    assert (found.lent, found.lendable) == (D(1425), D(4275))
    assert found.utilisation == D("0.25")
    assert found.rate == D("0.045")


def test_an_old_loan_costs_more_where_the_curve_has_a_tenor(book: Book) -> None:
    publish(book, rates("borrow", "0.05", tenor=line(("0", "0"), ("10", "0.10")), cap=D("0.07")))
    lend(book, "carol", "1000")
    run(book, date(2026, 2, 8))
    found = Accrual.objects.filter(account_id=book["loan/carol"]).order_by("run_id")
    assert [one.rate for one in found] == [D("0.05"), D("0.06"), D("0.07"), D("0.07")]


@pytest.mark.parametrize("cap", [{"account_cap": D(999)}, {"pool_cap": D(1499)},
                                 {"utilisation_cap": D("0.17")}])  # fmt: skip
def test_a_loan_stays_in_its_cap(book: Book, cap: dict[str, Decimal]) -> None:
    lend(book, "alice", "500")
    publish(book, rates("borrow", **cap))  # type: ignore[arg-type]
    with book.refused("borrow_stays_in_its_cap"):
        lend(book, "carol", "1000")
    lend(book, "carol", "400")


# ---------------------------------------------------------------- what the database refuses


def accrue_in_database(book: Book, day: date) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT ledger.accrue_day(%s, %s)", [book.desk.entity.pk, day])


def test_interest_without_an_accrual_is_refused(book: Book) -> None:
    publish(book, rates("credit", "0.05"))
    run(book, START)
    for key in ("made up", f"accrual:2026-02-06:{book['carol']}", "accrual:2026-02-05:999999"):
        with book.refused("interest_follows_its_accrual"):
            book.post("credit_interest", ("residual", "1"), ("carol", "-1"), key=key)


def test_interest_is_posted_as_it_was_accrued(book: Book) -> None:
    publish(book, rates("credit", "0.365"))
    with acting(DESK, reason="accrues"):
        accrue_in_database(book, START)
    key = f"accrual:2026-02-05:{book['alice']}"
    midnight = noon(START).replace(hour=0) + ONE_DAY
    for legs, at in (
        ((("residual", "1.01"), ("alice", "-1.01")), midnight),
        ((("residual", "0.99"), ("alice", "-0.99")), midnight),
        ((("residual", "-1"), ("alice", "1")), midnight),
        ((("residual", "1"), ("carol", "-1")), midnight),
        ((("residual", "1"), ("alice", "-1")), noon(START)),
    ):
        with book.refused("interest_follows_its_accrual"):
            book.post("credit_interest", *legs, key=key, at=at)
    book.post("credit_interest", ("residual", "1"), ("alice", "-1"), key=key, at=midnight)


def test_a_loan_does_not_grow_while_the_client_can_pay(book: Book) -> None:
    publish(book, rates("borrow", "0.365"))
    lend(book, "carol", "1000")
    with acting(DESK, reason="accrues"):
        accrue_in_database(book, START)
    with book.refused("interest_follows_its_accrual"):
        book.post(
            "borrow_interest", ("loan/carol", "1"), ("house_equity", "-1"),
            key=f"accrual:2026-02-05:{book['loan/carol']}",
            at=noon(START).replace(hour=0) + ONE_DAY,
        )  # fmt: skip


def test_runtime_cannot_write_accruals(book: Book) -> None:
    with pytest.raises(Exception, match="permission denied"), acting(DESK, reason="forges"):
        AccrualRun.objects.create(legal_entity=book.desk.entity, day=START)
