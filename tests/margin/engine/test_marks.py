"""Marks: every reason to drop a price, every edge, and the laws of the median."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from margin.engine.marks import (
    PRICE_STATES,
    Mark,
    MarkError,
    MarkPolicy,
    PriceObservation,
    compose_marks,
    median,
)

D = Decimal
AS_OF = datetime(2018, 3, 5, 21, tzinfo=UTC)


def seen(
    source: str, price: str, *, age: int = 60, line: int = 2, name: str = "SPY"
) -> PriceObservation:
    return PriceObservation(name, source, AS_OF - timedelta(seconds=age), D(price), line)


def compose(*rows: PriceObservation, previous: str | None = "100", **policy: object) -> Mark:
    before = {} if previous is None else {"SPY": D(previous)}
    (mark,) = compose_marks(
        rows, as_of=AS_OF, names=["SPY"], previous=before, policy=MarkPolicy(**policy)
    )
    return mark


def reasons(mark: Mark) -> list[tuple[str, str]]:
    return [(dropped.source, dropped.reason) for dropped in mark.dropped]


def test_worked_example() -> None:
    spy, perp = compose_marks(
        [
            seen("primary", "262.00", age=120, line=2),
            seen("second", "262.10", age=60, line=3),
            seen("third", "170.00", age=180, line=4),
            seen("primary", "7600.00", line=5, name="BTC-PERP"),
            seen("second", "7601.00", age=901, line=6, name="BTC-PERP"),
            seen("third", "0", line=7, name="BTC-PERP"),
        ],
        as_of=AS_OF,
        names=["SPY", "BTC-PERP"],
        previous={"SPY": D(280), "BTC-PERP": D(9000)},
    )
    assert (spy.price, spy.state, spy.used) == (D("262.05"), "VALID", ("primary", "second"))
    assert reasons(spy) == [("third", "outlier")]
    assert [row.line for row in spy.used_prices] == [2, 3]
    assert (perp.price, perp.state, perp.used) == (D(9000), "INSUFFICIENT", ())
    assert reasons(perp) == [
        ("primary", "too_few"),
        ("second", "stale"),
        ("third", "not_positive"),
    ]


@pytest.mark.parametrize(("age", "kept"), [(900, True), (901, False), (0, True), (-1, False)])
def test_a_price_counts_from_exactly_900_seconds_before_to_the_instant(
    age: int, kept: bool
) -> None:
    mark = compose(seen("a", "100"), seen("b", "100", age=age))
    assert mark.state == ("VALID" if kept else "INSUFFICIENT")
    assert ("b", "future" if age < 0 else "stale") in reasons(mark) or kept


def test_the_first_reason_is_the_one_given() -> None:
    mark = compose(
        seen("a", "0", age=-5), seen("b", "-1", age=5000), seen("c", "0.00"), previous="7"
    )
    assert reasons(mark) == [(source, "not_positive") for source in "abc"]


@pytest.mark.parametrize(("price", "kept"), [("105", True), ("105.0000001", False)])
def test_exactly_five_percent_from_the_median_is_kept(price: str, kept: bool) -> None:
    mark = compose(seen("a", "100"), seen("b", "100"), seen("c", price))
    assert mark.used == (("a", "b", "c") if kept else ("a", "b"))
    low = str(2 * D(100) - D(price))
    mark = compose(seen("a", "100"), seen("b", "100"), seen("c", low))
    assert mark.used == (("a", "b", "c") if kept else ("a", "b"))


def test_outliers_are_dropped_in_one_pass() -> None:
    # Of the second pass's median 100, 105.5 would be an outlier; of the first's, 102, it is not.
    mark = compose(
        seen("a", "100"), seen("b", "100"), seen("c", "104"), seen("d", "105.5"), seen("e", "500"),
        seen("f", "1"),
    )  # fmt: skip
    assert reasons(mark) == [("e", "outlier"), ("f", "outlier")]
    assert mark.price == D(102)


def test_two_prices_far_apart_drop_each_other() -> None:
    mark = compose(seen("a", "100"), seen("b", "120"), previous="99")
    assert (mark.price, mark.state) == (D(99), "INSUFFICIENT")
    assert reasons(mark) == [("a", "outlier"), ("b", "outlier")]


def test_of_one_source_the_latest_counts_and_at_equal_times_the_later_line() -> None:
    mark = compose(
        seen("a", "90", age=10, line=9),
        seen("a", "101", age=5, line=2),
        seen("a", "102", age=5, line=3),
        seen("b", "102", line=4),
    )
    assert mark.price == D(102)
    assert [(d.reason, d.line) for d in mark.dropped] == [("superseded", 9), ("superseded", 2)]


def test_a_future_price_supersedes_nothing() -> None:
    mark = compose(seen("a", "100"), seen("a", "101", age=-1, line=3), seen("b", "100", line=4))
    assert (mark.price, mark.state) == (D(100), "VALID")
    assert reasons(mark) == [("a", "future")]


def test_a_name_nobody_saw_keeps_its_mark() -> None:
    mark = compose(previous="12.5")
    assert (mark.price, mark.state, mark.dropped) == (D("12.5"), "INSUFFICIENT", ())


def test_dropped_prices_are_listed_by_source_time_and_reason() -> None:
    mark = compose(
        seen("b", "100", age=1000, line=2),
        seen("a", "0", age=10, line=3),
        seen("a", "100", age=2000, line=4),
    )
    assert reasons(mark) == [("a", "stale"), ("a", "not_positive"), ("b", "stale")]


def test_the_policy_is_data() -> None:
    rows = [seen("a", "100", age=30), seen("b", "101", age=31), seen("c", "103", age=30)]
    assert compose(*rows).used == ("a", "b", "c")
    strict = compose(*rows, max_age_seconds=30, outlier_fraction=D("0.01"), sources_min=1)
    assert reasons(strict) == [("a", "outlier"), ("b", "stale"), ("c", "outlier")]
    assert compose(rows[0], sources_min=1).price == D(100)


def test_a_mark_that_cannot_be_is_refused() -> None:
    assert compose(seen("a", "1"), seen("b", "1"), previous=None).price == D(1)
    with pytest.raises(MarkError) as refused:
        compose(seen("a", "1"), previous=None)
    assert refused.value.rule == "mark_exists"
    with pytest.raises(MarkError) as refused:
        compose(seen("a", "1", name="QQQ"))
    assert refused.value.rule == "name_is_priced"


def test_nothing_is_liquidated_on_a_price_that_is_not_valid() -> None:
    assert [state for state, acts in PRICE_STATES.items() if acts.liquidate] == ["VALID"]
    assert all(acts.value for acts in PRICE_STATES.values())


def test_every_state_a_mark_can_have_has_its_acts() -> None:
    from margin.models import Mark as StoredMark

    assert set(PRICE_STATES) == set(StoredMark.State.values)


prices = st.lists(st.decimals("0.01", "20000", places=6), min_size=1, max_size=9)


@given(prices)
def test_half_of_the_prices_are_on_either_side_of_the_median(drawn: list[Decimal]) -> None:
    middle = median(drawn)
    assert 2 * sum(price <= middle for price in drawn) >= len(drawn)
    assert 2 * sum(price >= middle for price in drawn) >= len(drawn)
    assert median(reversed(drawn)) == middle
    assert median([2 * price for price in drawn]) == 2 * middle


def test_the_median_of_an_even_count_is_the_exact_mean_of_the_middle_two() -> None:
    assert median([D("1.0001"), D(9), D("1.0002"), D("0.5")]) == D("1.00015")
    many = "1234567890123456789012345678901"
    assert median([D(many), D(many[:-1] + "2")]) == D(many + ".5")


@st.composite
def observations(draw: st.DrawFn) -> list[PriceObservation]:
    count = draw(st.integers(0, 8))
    return [
        seen(
            draw(st.sampled_from("abcd")),
            str(draw(st.decimals("-1", "120", places=2))),
            age=draw(st.sampled_from([-1, 0, 5, 899, 900, 901])),
            line=line + 2,
        )
        for line in range(count)
    ]


@given(observations(), st.randoms())
def test_every_price_is_used_or_dropped_once_whatever_the_order(
    rows: list[PriceObservation], random: object
) -> None:
    mark = compose(*rows)
    lines = [row.line for row in mark.used_prices] + [row.line for row in mark.dropped]
    assert sorted(lines) == [row.line for row in rows]
    assert len(set(mark.used)) == len(mark.used) == len(mark.used_prices)
    assert (mark.state == "VALID") == (len(mark.used) >= 2)
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert compose(*shuffled) == mark
