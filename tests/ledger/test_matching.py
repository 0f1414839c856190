"""Matching: every line and every movement ends up in one match or one break."""

from collections import Counter
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.matching import BreakKind, Movement, compare_holdings, match_lines
from ledger.statements.statement import StatementLine

DAY = date(2018, 2, 1)


def movements(*given: tuple[str, str]) -> list[Movement]:
    return [
        Movement(reference, Decimal(amount), key)
        for key, (reference, amount) in enumerate(given, start=1)
    ]


def lines(*given: tuple[str | None, str]) -> list[StatementLine]:
    return [
        StatementLine(reference, Decimal(amount), "USD", DAY, ordinal)
        for ordinal, (reference, amount) in enumerate(given, start=1)
    ]


def outcome(
    booked: list[Movement], stated: list[StatementLine]
) -> tuple[list[tuple[int | None, int]], list[tuple[str, str | None, str | None, str | None]]]:
    """Matches as (key, ordinal); breaks as (kind, reference, ledger, statement) in plain text."""
    matching = match_lines(booked, stated)
    return (
        [(movement.key, line.ordinal) for movement, line in matching.matches],
        [
            (
                found.kind,
                found.reference,
                None if found.ledger is None else str(found.ledger),
                None if found.statement is None else str(found.statement),
            )
            for found in matching.breaks
        ],
    )


@pytest.mark.parametrize(
    ("booked", "stated", "matches", "breaks"),
    [
        ([], [], [], []),
        ([("A", "1.00")], [("A", "1.00")], [(1, 1)], []),
        ([("A", "1.00")], [("A", "1.000")], [(1, 1)], []),
        ([("A", "1.00")], [], [], [("missing_in_statement", "A", "1.00", None)]),
        ([], [("A", "1.00")], [], [("missing_in_ledger", "A", None, "1.00")]),
        (
            [],
            [("A", "1.00"), ("A", "1.00")],
            [],
            [("missing_in_ledger", "A", None, "1.00"), ("missing_in_ledger", "A", None, "1.00")],
        ),
        ([("A", "1.00")], [("A", "1.500")], [], [("amount_differs", "A", "1.00", "1.500")]),
        ([("A", "-1.00")], [("A", "1.00")], [], [("amount_differs", "A", "-1.00", "1.00")]),
        (
            [("A", "1.00")],
            [("A", "1.00"), ("A", "1.00")],
            [(1, 1)],
            [("duplicate_in_statement", "A", "1.00", "1.00")],
        ),
        (
            [("A", "1.00")],
            [("A", "2.00"), ("A", "1.00"), ("A", "3.00")],
            [(1, 2)],
            [
                ("duplicate_in_statement", "A", "1.00", "2.00"),
                ("duplicate_in_statement", "A", "1.00", "3.00"),
            ],
        ),
        (
            [("A", "1.00")],
            [("A", "2.00"), ("A", "3.00"), ("A", "2.00")],
            [],
            [
                ("amount_differs", "A", "1.00", "2.00"),
                ("duplicate_in_statement", "A", "1.00", "3.00"),
                ("duplicate_in_statement", "A", "1.00", "2.00"),
            ],
        ),
        (
            [("A", "1.00")],
            [(None, "1.00"), (None, "1.00")],
            [],
            [
                ("missing_in_statement", "A", "1.00", None),
                ("missing_in_ledger", None, None, "1.00"),
                ("missing_in_ledger", None, None, "1.00"),
            ],
        ),
        (
            [("A", "1.00"), ("B", "2.00")],
            [("B", "1.00"), ("A", "2.00")],
            [],
            [("amount_differs", "A", "1.00", "2.00"), ("amount_differs", "B", "2.00", "1.00")],
        ),
        (
            [("A", "1.00")],
            [("a", "1.00"), ("A ", "1.00")],
            [],
            [
                ("missing_in_statement", "A", "1.00", None),
                ("missing_in_ledger", "a", None, "1.00"),
                ("missing_in_ledger", "A ", None, "1.00"),
            ],
        ),
        ([("A", "0.00")], [("A", "0")], [(1, 1)], []),
    ],
)
def test_lines_are_matched_by_reference_and_equal_amount(
    booked: list[tuple[str, str]],
    stated: list[tuple[str | None, str]],
    matches: list[tuple[int, int]],
    breaks: list[tuple[str, str | None, str | None, str | None]],
) -> None:
    assert outcome(movements(*booked), lines(*stated)) == (matches, breaks)


def test_two_payments_of_one_reference_are_never_confirmed_by_one_line() -> None:
    twice = movements(("A", "1.00"), ("A", "1.00"))
    assert outcome(twice, lines(("A", "1.00"), ("A", "1.00"))) == ([(1, 1), (2, 2)], [])
    assert outcome(twice, lines(("A", "1.00"))) == (
        [(1, 1)],
        [("missing_in_statement", "A", "1.00", None)],
    )


def test_a_break_knows_its_line_and_its_movement() -> None:
    (movement,), stated = movements(("A", "1.00")), lines(("A", "2.00"), ("B", "3.00"))
    differs, unknown = match_lines([movement], stated).breaks
    assert (differs.movement, differs.line) == (movement, stated[0])
    assert (unknown.movement, unknown.line) == (None, stated[1])


references = st.sampled_from(["A", "B", "C", "D"])
amounts = st.sampled_from(["-1.00", "0.00", "1.00", "2.00"])


@given(
    st.dictionaries(references, amounts),
    st.lists(st.tuples(st.one_of(st.none(), references), amounts), max_size=12),
)
def test_nothing_is_lost_and_nothing_is_counted_twice(
    booked: dict[str, str], stated: list[tuple[str | None, str]]
) -> None:
    matching = match_lines(movements(*booked.items()), lines(*stated))
    seen = [line.ordinal for _, line in matching.matches]
    seen += [found.line.ordinal for found in matching.breaks if found.line is not None]
    assert sorted(seen) == list(range(1, len(stated) + 1))
    settled = [movement.reference for movement, _ in matching.matches]
    settled += [
        found.movement.reference
        for found in matching.breaks
        if found.movement is not None and found.kind != BreakKind.DUPLICATE_IN_STATEMENT
    ]
    assert sorted(settled) == sorted(booked)
    for movement, line in matching.matches:
        assert (movement.reference, movement.amount) == (line.reference, line.amount)
    counts = Counter(reference for reference, _ in stated)
    for found in matching.breaks:
        if found.kind == BreakKind.MISSING_IN_STATEMENT:
            assert counts[found.reference] == 0


@given(
    st.dictionaries(references, amounts),
    st.lists(st.tuples(references, amounts), max_size=12),
)
def test_ledger_and_statement_differ_by_what_the_breaks_say(
    booked: dict[str, str], stated: list[tuple[str | None, str]]
) -> None:
    matching = match_lines(movements(*booked.items()), lines(*stated))
    explained = Decimal(0)
    for found in matching.breaks:
        explained += found.statement or 0
        if found.kind != BreakKind.DUPLICATE_IN_STATEMENT:
            explained -= found.ledger or 0
    total = sum((Decimal(amount) for _, amount in stated), Decimal(0))
    assert total - sum(map(Decimal, booked.values())) == explained


def test_holdings_that_agree_give_no_break_whatever_their_decimals() -> None:
    custody = {("v", "USD"): Decimal("5.00"), ("v", "BTC-PERP"): Decimal("0.0000")}
    assert compare_holdings(custody, {("v", "USD"): Decimal(5)}) == []


def test_holdings_that_differ_are_found_for_every_asset_carried() -> None:
    found = compare_holdings(
        {
            ("v", "USD"): Decimal("5.00"),
            ("v", "BTC-PERP"): Decimal("-1.0000"),
            ("c", "SPY"): Decimal("0"),
            ("c", "IBM"): Decimal("7"),
        },
        {
            ("v", "USD"): Decimal("5.001"),
            ("v", "BTC-PERP"): Decimal("1.0000"),
            ("c", "SPY"): Decimal("3"),
        },
    )
    assert [(each.location, each.asset, each.ledger, each.statement) for each in found] == [
        ("c", "IBM", Decimal("7"), Decimal("0")),
        ("c", "SPY", Decimal("0"), Decimal("3")),
        ("v", "BTC-PERP", Decimal("-1.0000"), Decimal("1.0000")),
        ("v", "USD", Decimal("5.00"), Decimal("5.001")),
    ]
    assert {each.kind for each in found} == {BreakKind.QUANTITY_DIFFERS}


def test_a_holding_nobody_booked_differs_from_nothing() -> None:
    (found,) = compare_holdings({}, {("v", "USD"): Decimal("0.01")})
    assert (found.ledger, found.statement) == (Decimal(0), Decimal("0.01"))
