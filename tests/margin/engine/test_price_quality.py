"""Marks of assets with rules: every state, how prices become one, and what doubt adds."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from margin.engine.marks import MarkError, PriceObservation, compose_marks
from margin.engine.parameters import read_parameters, written_parameters
from margin.engine.price_quality import Known, QualifiedMark, qualified_mark
from margin.engine.price_rules import (
    STANDARD_RULES,
    AddOn,
    ConfidenceRules,
    IndexRules,
    Method,
    MoveRules,
    PriceRules,
    SourceRules,
)
from margin.engine.rejected import RejectedInputError
from margin.engine.trading_calendar import STANDARD_CALENDARS, calendar_of

D = Decimal
AS_OF = datetime(2018, 2, 5, 21, tzinfo=UTC)
BEFORE = Known(previous=D(100), previous_at=AS_OF - timedelta(days=1))
THREE = ("a", "b", "c")


def seen(source: str, price: str, *, age: float = 60, line: int = 2) -> PriceObservation:
    return PriceObservation("X", source, AS_OF - timedelta(seconds=age), D(price), line)


def marked(
    *rows: PriceObservation, known: Known = BEFORE, as_of: datetime = AS_OF, **changes: Any
) -> QualifiedMark:
    rules = replace(STANDARD_RULES, **changes)
    calendar = calendar_of(STANDARD_CALENDARS[rules.calendar])
    return qualified_mark("X", rows, as_of=as_of, rules=rules, calendar=calendar, known=known)


def at(*prices: str, age: float = 60) -> list[PriceObservation]:
    return [seen(source, price, age=age, line=n) for n, (source, price) in
            enumerate(zip("abcdefgh", prices, strict=False), start=2)]  # fmt: skip


def move(**changes: Any) -> MoveRules:
    return replace(STANDARD_RULES.move, **changes)


def sure(**changes: Any) -> ConfidenceRules:
    return replace(STANDARD_RULES.confidence, **changes)


rows = st.lists(
    st.builds(
        seen,
        st.sampled_from("abcd"),
        st.decimals("-1", "200", places=2).map(str),
        age=st.integers(-5, 1000),
        line=st.integers(2, 99),
    ),
    max_size=8,
    unique_by=lambda row: row.line,
)


@given(rows)
def test_standard_rules_are_house_rules_to_the_last_digit(drawn: list[PriceObservation]) -> None:
    (plain,) = compose_marks(drawn, as_of=AS_OF, names=["X"], previous={"X": D(100)})
    found = marked(*drawn)
    is_stale = found.state == "STALE"
    if not is_stale:
        assert (found.price, found.state, found.used) == (
            plain.price, plain.state, plain.used_prices,
        )  # fmt: skip
        assert found.is_carried == (plain.state == "INSUFFICIENT")
        assert [(d.line, d.reason) for d in found.dropped] == [
            (d.line, d.reason) for d in plain.dropped
        ]
    assert not is_stale or plain.state == "INSUFFICIENT"
    assert (found.confidence, found.contingency) == (D(1), D(0))
    assert len(found.used) + len(found.dropped) == len(drawn)


def test_prices_that_are_too_old_still_value_and_nothing_more() -> None:
    found = marked(*at("50", "52", "51", age=5000), add_ons=(AddOn("STALE", 0.05),))
    assert (found.price, found.state, found.is_carried) == (D(51), "STALE", False)
    assert found.contingency == D("0.05")
    older = replace(BEFORE, previous_at=AS_OF - timedelta(seconds=4000))
    found = marked(*at("50", "52", "51", age=5000), known=older)
    assert (found.price, found.state, found.is_carried, found.used) == (100, "STALE", True, ())
    assert {each.reason for each in found.dropped} == {"stale"}


def test_one_limit_for_an_asset_and_another_for_one_of_its_sources() -> None:
    slow = (SourceRules("c", "c", 1.0, 7200.0),)
    old = seen("c", "101", age=7200, line=9)
    assert marked(seen("a", "100"), old).state == "STALE"
    found = marked(seen("a", "100"), old, sources=slow)
    assert (found.price, found.state) == (D("100.5"), "VALID")
    too_old = replace(old, observed_at=old.observed_at - timedelta(seconds=1))
    assert marked(seen("a", "100"), too_old, sources=slow).state == "STALE"


def test_age_is_counted_while_the_market_trades() -> None:
    monday = datetime(2018, 4, 2, 13, 40, tzinfo=UTC)  # after Good Friday
    thursday = [replace(r, observed_at=datetime(2018, 3, 29, 19, 58, tzinfo=UTC))
                for r in at("100", "101")]  # fmt: skip
    assert marked(*thursday, as_of=monday, calendar="NYSE").state == "VALID"
    assert marked(*thursday, as_of=monday, calendar="ALWAYS").state == "STALE"
    sunday = monday - timedelta(days=1)
    closed = marked(*thursday, as_of=sunday, calendar="NYSE")
    assert (closed.state, closed.price) == ("MARKET_CLOSED", D("100.5"))


def test_zero_and_below_are_prices_where_two_people_say_so() -> None:
    assert marked(*at("0", "0")).state == "INSUFFICIENT"
    zero = marked(*at("0", "0"), may_be_non_positive=True)
    assert (zero.price, zero.state) == (D(0), "NON_POSITIVE")
    below = marked(*at("-37.63", "-37.60", "-37.66"), may_be_non_positive=True)
    assert (below.price, below.state, len(below.used)) == (D("-37.63"), "NON_POSITIVE", 3)


def test_one_venue_far_from_the_others_moves_nothing_and_is_named() -> None:
    found = marked(*at("0.65", "1.001", "0.999"), dislocated_beyond=0.1,
                   known=replace(BEFORE, previous=D(1)))  # fmt: skip
    assert (found.price, found.state) == (D("1.000"), "DISLOCATED")
    assert [(f.what, f.source, f.amount) for f in found.facts] == [
        ("dislocated", "a", D("-0.35000000"))
    ]
    exactly_so_far = marked(*at("1.1", "1", "1"), dislocated_beyond=0.1, outlier_fraction=0.2)
    assert exactly_so_far.state == "VALID"


def test_a_thin_book_does_not_count() -> None:
    known = replace(BEFORE, depths={"a": D(5000), "b": D(5000), "c": D("4999.99")})
    found = marked(*at("100", "101", "150"), depth_least=5000.0, known=known)
    assert (found.price, [(d.source, d.reason) for d in found.dropped]) == (
        D("100.5"), [("c", "thin")],
    )  # fmt: skip
    assert marked(*at("100", "101"), depth_least=1.0).state == "INSUFFICIENT"


def test_sources_of_one_venue_are_one_venue() -> None:
    same = tuple(SourceRules(each, "venue", 1.0, 0.0) for each in "ab")
    assert marked(*at("100", "101"), sources=same, venues_min=2).state == "INSUFFICIENT"
    assert marked(*at("100", "101", "102"), sources=same, venues_min=2).state == "VALID"


@pytest.mark.parametrize(
    ("today", "state"), [("110", "VALID"), ("110.02", "TOO_VOLATILE"), ("89.97", "TOO_VOLATILE")]
)
def test_a_move_beyond_the_limit_is_too_volatile(today: str, state: str) -> None:
    assert marked(*at(today, today), move=move(limit=0.1)).state == state


def test_a_move_is_measured_by_the_usual_one_and_borne_out_by_volume() -> None:
    closes = [D(100), D(101), D(100), D(101), D(100)]
    known = replace(BEFORE, closes=closes)
    rules = move(sigmas=4.0, closes_min=5)
    assert marked(*at("104", "104"), move=rules, known=known).state == "VALID"
    assert marked(*at("105", "105"), move=rules, known=known).state == "TOO_VOLATILE"
    assert marked(*at("105", "105"), move=rules, known=replace(known, closes=closes[1:])).state == (
        "VALID"
    )
    busy = replace(known, volume=D(300), usual_volume=D(100))
    with_volume = replace(rules, volume_multiple=3.0)
    assert marked(*at("105", "105"), move=with_volume, known=busy).state == "VALID"
    quiet = replace(busy, volume=D("299.99"))
    assert marked(*at("105", "105"), move=with_volume, known=quiet).state == "TOO_VOLATILE"
    flat = replace(known, closes=[D(1)] * 9)
    assert marked(*at("100.01", "100.01"), move=rules, known=flat).state == "VALID"


def test_killing_sources_takes_confidence_and_then_the_price() -> None:
    full = sure(sources_full=3, rate=0.3)
    of_three, of_two, of_one = (
        marked(*at("100", "101", "102")[:n], confidence=full) for n in (3, 2, 1)
    )
    assert (of_three.state, of_three.confidence, of_three.contingency) == ("VALID", D(1), D(0))
    assert (of_two.state, of_two.price, of_two.confidence) == ("VALID", D("100.5"), D("0.66666666"))
    assert of_two.contingency == D("0.100000002")
    assert (of_one.state, of_one.price, of_one.confidence) == ("INSUFFICIENT", D(100), D(0))


@pytest.mark.parametrize(
    ("stated", "contingency", "state"),
    [("1", "0", "VALID"), ("0.8", "0.10", "VALID"), ("0.79", "0.105", "TOO_UNCERTAIN")],
)
def test_a_stated_confidence_costs_exactly_its_share(
    stated: str, contingency: str, state: str
) -> None:
    known = replace(BEFORE, stated={"a": D(stated)})
    found = marked(*at("100", "101"), known=known, confidence=sure(rate=0.5, least=0.8))
    assert (found.contingency, found.state) == (D(contingency), state)


def test_distance_between_sources_takes_confidence() -> None:
    rules = sure(spread_tight=0.01, spread_wide=0.03, rate=1.0)
    found = [marked(*at("100", high), confidence=rules) for high in ("101", "102", "103", "104")]
    assert [each.confidence for each in found] == [D(1), D("0.5"), D(0), D(0)]


def test_weights_decide_and_a_source_without_one_only_bears_out() -> None:
    weights = (SourceRules("a", "", 3.0, 0.0), SourceRules("b", "", 1.0, 0.0))
    found = marked(*at("100", "102", "104"), method=Method.WEIGHTED, sources=weights)
    assert (found.price, found.state, len(found.used)) == (D("100.5"), "VALID", 3)
    thirds = (SourceRules("a", "", 2.0, 0.0), SourceRules("b", "", 1.0, 0.0))
    found = marked(*at("100", "101"), method=Method.WEIGHTED, sources=thirds)
    assert found.price == D("100.333333333333")
    nobody = marked(seen("c", "1"), seen("d", "1"), method=Method.WEIGHTED, sources=weights)
    assert nobody.state == "INSUFFICIENT"


def test_a_derivative_is_its_index_and_the_smoothed_distance_from_it() -> None:
    index = IndexRules("Y", 0.25, 0.01)
    first = marked(*at("102", "102"), index=index, known=replace(BEFORE, index=D(101)))
    assert (first.price, first.basis) == (D(102), D(1))
    later = replace(BEFORE, index=D(101), basis=D("0.2"))
    assert marked(*at("102", "102"), index=index, known=later).price == D("101.4")
    held = marked(*at("109", "109"), index=index, known=later)
    assert (held.price, held.basis) == (D("102.01"), D("1.01"))
    alone = marked(seen("a", "1"), index=index, known=later)
    assert (alone.price, alone.state, alone.is_carried) == (D("101.2"), "INSUFFICIENT", False)
    assert marked(*at("109", "109"), index=index).price == D(109)


def test_redemption_values_what_the_market_bears_out() -> None:
    nav = {"nav_source": "n", "nav_band": 0.02}
    stated = seen("n", "1.00", line=9)
    found = marked(*at("0.99", "0.98"), stated, **nav, known=replace(BEFORE, previous=D(1)))
    assert (found.price, found.state, len(found.used)) == (D("1.00"), "VALID", 3)
    assert marked(*at("0.97", "0.97"), stated, **nav).state == "DISLOCATED"
    alone = marked(stated, **nav)
    assert (alone.price, alone.state) == (D("1.00"), "INSUFFICIENT")
    without = marked(*at("0.99", "0.98"), **nav)
    assert (without.price, [f.what for f in without.facts]) == (D("0.985"), ["no_nav"])


def test_with_nothing_to_carry_there_is_no_mark() -> None:
    with pytest.raises(MarkError) as refused:
        marked(seen("a", "100"), known=Known())
    assert refused.value.rule == "mark_exists"


def changed(path: str, value: object) -> Mapping[str, Any]:
    values = written_parameters(STANDARD_RULES)
    name, _, inner = path.partition(".")
    return values | {name: values[name] | {inner: value} if inner else value}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("sources_min", 1), ("sources_min", 2.0), ("max_age_seconds", -1), ("method", "mean"),
        ("method", "weighted"), ("confidence.rate", 1.5), ("confidence.least", float("nan")),
        ("add_ons", [{"state": "VALID", "share": 0.1}]), ("add_ons", [{"state": "X", "share": 1}]),
        ("index.smoothing", 0.0), ("move.closes_min", 2), ("more", 1),
    ],
)  # fmt: skip
def test_rules_that_cannot_be_are_refused(path: str, value: object) -> None:
    assert read_parameters(PriceRules, written_parameters(STANDARD_RULES)) == STANDARD_RULES
    with pytest.raises(RejectedInputError):
        read_parameters(PriceRules, changed(path, value))
