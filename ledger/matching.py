"""Matching: which lines of a statement confirm our own movements, and where the two differ.

A line and a movement belong together by their reference. Nothing is matched within a tolerance,
and nothing is carried to another day.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from ledger.statements.statement import StatementLine


class BreakKind(StrEnum):
    """The ways in which the book and a statement differ."""

    MISSING_IN_STATEMENT = "missing_in_statement"
    MISSING_IN_LEDGER = "missing_in_ledger"
    AMOUNT_DIFFERS = "amount_differs"
    DUPLICATE_IN_STATEMENT = "duplicate_in_statement"
    QUANTITY_DIFFERS = "quantity_differs"


@dataclass(frozen=True, slots=True)
class Movement:
    """One movement of a bank account in our book.

    Attributes:
        amount: increases positive, as on the statement.
        key: the caller's own mark, such as the number of the posting; carried along unread.
    """

    reference: str
    amount: Decimal
    key: int | None = None


@dataclass(frozen=True, slots=True)
class BreakFinding:
    """One difference. What a kind has no use for is None.

    Attributes:
        ledger: our amount or quantity.
        statement: the other side's, with the decimals it was written with.
        line: the statement line found to differ.
        movement: the movement it differs from, or which no line confirms.
    """

    kind: BreakKind
    reference: str | None = None
    ledger: Decimal | None = None
    statement: Decimal | None = None
    location: str | None = None
    asset: str | None = None
    line: StatementLine | None = None
    movement: Movement | None = None


class Matching(NamedTuple):
    """Movements with the line that confirms each to the last digit, and all that differs."""

    matches: list[tuple[Movement, StatementLine]]
    breaks: list[BreakFinding]


def match_lines(movements: Sequence[Movement], lines: Sequence[StatementLine]) -> Matching:
    """Compare a bank's movements of one day with the lines of its statement.

    Every line and every movement ends up in exactly one match or break, except that a line too
    many is shown with the movement it repeats. A line without a reference matches nothing.
    Breaks come in the order of the movements, then of the lines nothing is known of.
    """
    lines_by_reference: dict[str, list[StatementLine]] = {}
    movements_by_reference: dict[str, list[Movement]] = {}
    for movement in movements:
        movements_by_reference.setdefault(movement.reference, []).append(movement)
    unknown: list[BreakFinding] = []
    for line in lines:
        if line.reference is not None and line.reference in movements_by_reference:
            lines_by_reference.setdefault(line.reference, []).append(line)
        else:
            unknown.append(_missing_in_ledger(line))
    matching = Matching([], [])
    for reference, booked in movements_by_reference.items():
        found = _match_reference(booked, lines_by_reference.get(reference, []))
        matching.matches.extend(found.matches)
        matching.breaks.extend(found.breaks)
    matching.breaks.extend(unknown)
    return matching


def compare_holdings(
    custody: Mapping[tuple[str, str], Decimal], held: Mapping[tuple[str, str], Decimal]
) -> list[BreakFinding]:
    """Differences of custody and reported holdings, by (location, asset), in that order.

    `custody` names every asset each location carries, also those of which it holds nothing. What
    nobody reports, or nobody booked, is 0.
    """
    return [
        BreakFinding(
            kind=BreakKind.QUANTITY_DIFFERS,
            location=location,
            asset=asset,
            ledger=custody.get((location, asset), Decimal(0)),
            statement=held.get((location, asset), Decimal(0)),
        )
        for location, asset in sorted(custody.keys() | held.keys())
        if custody.get((location, asset), 0) != held.get((location, asset), 0)
    ]


def _match_reference(booked: Sequence[Movement], lines: Sequence[StatementLine]) -> Matching:
    """Match the movements and lines of one reference.

    References are unique in the book of a bank, so there is one movement. Should there be more,
    each takes a line of its own, so that no line confirms two payments.
    """
    matches: list[tuple[Movement, StatementLine]] = []
    unmatched: list[Movement] = []
    left = list(lines)
    # Equal amounts first, wherever they stand: a differing line before them takes nothing away.
    for movement in booked:
        line = next((line for line in left if line.amount == movement.amount), None)
        if line is None:
            unmatched.append(movement)
        else:
            left.remove(line)
            matches.append((movement, line))
    breaks = [_differs(movement, line) for movement, line in zip(unmatched, left, strict=False)]
    breaks += [_missing_in_statement(movement) for movement in unmatched[len(left) :]]
    breaks += [_duplicate(booked[0], line) for line in left[len(unmatched) :]]
    return Matching(matches, breaks)


def _missing_in_statement(movement: Movement) -> BreakFinding:
    return BreakFinding(
        kind=BreakKind.MISSING_IN_STATEMENT,
        reference=movement.reference,
        ledger=movement.amount,
        movement=movement,
    )


def _missing_in_ledger(line: StatementLine) -> BreakFinding:
    return BreakFinding(
        kind=BreakKind.MISSING_IN_LEDGER,
        reference=line.reference,
        statement=line.amount,
        line=line,
    )


def _differs(movement: Movement, line: StatementLine) -> BreakFinding:
    return BreakFinding(
        kind=BreakKind.AMOUNT_DIFFERS,
        reference=movement.reference,
        ledger=movement.amount,
        statement=line.amount,
        line=line,
        movement=movement,
    )


def _duplicate(movement: Movement, line: StatementLine) -> BreakFinding:
    return BreakFinding(
        kind=BreakKind.DUPLICATE_IN_STATEMENT,
        reference=movement.reference,
        ledger=movement.amount,
        statement=line.amount,
        line=line,
        movement=movement,
    )
