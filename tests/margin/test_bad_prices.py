"""Prices that nobody should be liquidated on: what they look like, and what the scopes say."""

import csv
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from brokerage.inbox.cycle import run_day
from margin.models import MarginResult, MarginRun, Mark
from tests.margin.kept import holders_of
from tests.stage import booked_days

D = Decimal
SECOND_DAY = "2031-03-04"
IN_TIME, TOO_OLD, TOO_EARLY = (f"{SECOND_DAY}T{at}Z" for at in ("20:58:00", "20:00:00", "21:00:01"))
SOURCES = ("primary", "second", "third")
MOVED = ("BTC", "BTC-PERP")
# Somebody has to be liquidated where this is the price, so that a test can fail.
CRASH = D("0.35")
LIQUIDATED = {"LIQUIDATE", "DEFICIT"}

Rows = Iterator[tuple[str, str, str]]  # source, time, price
Pattern = Callable[[Decimal], Rows]


def everywhere(price: Decimal) -> Rows:
    yield from ((source, IN_TIME, f"{price:.2f}") for source in SOURCES)


def crash(price: Decimal) -> Rows:
    yield from everywhere(price * CRASH)


def one_venue(price: Decimal) -> Rows:
    yield SOURCES[0], IN_TIME, f"{price * CRASH:.2f}"


def zero(price: Decimal) -> Rows:
    yield from ((source, IN_TIME, "0") for source in SOURCES)


def negative(price: Decimal) -> Rows:
    yield from ((source, IN_TIME, f"-{price:.2f}") for source in SOURCES)


def no_number(price: Decimal) -> Rows:
    yield from ((source, IN_TIME, "NaN") for source in SOURCES)


def stale(price: Decimal) -> Rows:
    yield from ((source, TOO_OLD, f"{price * CRASH:.2f}") for source in SOURCES)


def of_the_future(price: Decimal) -> Rows:
    yield from ((source, TOO_EARLY, f"{price * CRASH:.2f}") for source in SOURCES)


def none_at_all(price: Decimal) -> Rows:
    yield from ()


def far_apart(price: Decimal) -> Rows:
    """Two venues, neither of which anybody else confirms."""
    yield SOURCES[0], IN_TIME, f"{price * CRASH:.2f}"
    yield SOURCES[1], IN_TIME, f"{price * 3:.2f}"


def one_dislocated(price: Decimal) -> Rows:
    """One venue at 0.65 of the price while two others stay within 0.3 % of it."""
    yield SOURCES[0], IN_TIME, f"{price * D('0.65'):.2f}"
    yield SOURCES[1], IN_TIME, f"{price * D('0.999'):.2f}"
    yield SOURCES[2], IN_TIME, f"{price * D('1.002'):.2f}"


def run_with(folder: Path, pattern: Pattern) -> MarginRun:
    """Run the second day, with the pattern for what moves and the old marks for all else."""
    _, second = booked_days(folder, accounts=40, seed=5, days=2, booked=1)
    write_prices(second, pattern)
    run_day(second)
    return MarginRun.objects.get(business_day=SECOND_DAY)


def write_prices(second: Path, pattern: Pattern) -> None:
    """The second day: the pattern for what moves, the old marks for all else, no events."""
    marks = dict(Mark.objects.order_by("asset__code").values_list("asset__code", "price"))
    with (second / "prices.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["instrument", "source", "observed_at", "price"])
        for code, price in marks.items():
            rows = pattern(price) if code in MOVED else everywhere(price)
            writer.writerows([code, *row] for row in rows)
    for name in ("trades.csv", "transfers.csv"):
        head = (second / name).read_text().splitlines()[0]
        (second / name).write_text(head + "\n")


def touched(run: MarginRun) -> list[MarginResult]:
    """Results of scopes that hold what moved."""
    return holders_of(run, MOVED)


def test_a_crash_that_every_venue_sees_liquidates(db: None, tmp_path: Path) -> None:
    run = run_with(tmp_path / "firm", crash)
    states = [result.state for result in touched(run)]
    assert sum(state in LIQUIDATED for state in states) >= 5
    assert not any(result.flags for result in touched(run) if "insufficient_mark" in result.flags)


@pytest.mark.parametrize(
    "pattern",
    [one_venue, zero, negative, no_number, stale, of_the_future, none_at_all, far_apart],
    ids=lambda each: each.__name__,
)
def test_nobody_is_liquidated_on_a_price_that_is_not_valid(
    db: None, tmp_path: Path, pattern: Pattern
) -> None:
    run = run_with(tmp_path / "firm", pattern)
    found = touched(run)
    assert len(found) > 5
    for result in found:
        assert result.state not in LIQUIDATED
        assert "insufficient_mark" in result.flags
    marks = Mark.objects.filter(as_of=run.as_of, asset__code__in=MOVED)
    assert set(marks.values_list("state", flat=True)) == {"INSUFFICIENT"}
    for mark in marks.select_related("carried_from"):
        assert mark.carried_from is not None
        assert mark.price == mark.carried_from.price


def test_one_venue_that_falls_alone_moves_no_mark(db: None, tmp_path: Path) -> None:
    run = run_with(tmp_path / "firm", one_dislocated)
    before = MarginRun.objects.exclude(pk=run.pk).get()
    for code in MOVED:
        mark, was = (Mark.objects.get(as_of=each.as_of, asset__code=code) for each in (run, before))
        assert mark.state == "VALID"
        assert abs(mark.price / was.price - 1) <= D("0.003")
        assert [row["reason"] for row in mark.dropped] == ["outlier"]
    assert not any(result.state in LIQUIDATED for result in touched(run))
