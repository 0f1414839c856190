"""Statements against the day's movements, holdings against custody: section 8 of the format."""

from fractions import Fraction
from pathlib import Path
from typing import Any

from tests.golden.oracle_reading import STATEMENT_FILES, decimals, number, written
from tests.golden.oracle_statements import READERS, UnreadableError, fault_of

ZERO = Fraction(0)
Movements = list[tuple[str, Fraction]]


def break_of(kind: str, location: str, asset: str, **found: str | None) -> dict[str, Any]:
    unused = {"reference": None, "ledger": None, "statement": None, "detail": None}
    return {"kind": kind, "location": location, "asset": asset, **unused, **found}


def reconcile_banks(
    state: dict[str, Any], folder: Path, movements: dict[str, Movements]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The breaks of the three banks and their control totals; notes the closing balances."""
    breaks: list[dict[str, Any]] = []
    totals = {}
    for bank, file_name in STATEMENT_FILES.items():
        fault: str | None = "unreadable"
        lines: list[dict[str, Any]] = []
        closing = None
        try:
            statement = READERS[bank](folder / file_name)
        except UnreadableError:
            pass  # the fault says so
        else:
            lines = statement["lines"]
            closing = statement["closing"]
            fault = fault_of(
                statement,
                account_id=state["reference"]["locations"][bank]["account_id"],
                business_day=folder.name,
                previous_closing=state["closing"].get(bank, ZERO),
            )
        matched = 0
        if fault:
            breaks.append(break_of("statement_rejected", bank, "USD", detail=fault))
        else:
            found, matched = compare(bank, movements[bank], lines)
            breaks += found
        state["closing"][bank] = None if fault else closing
        totals[bank] = {
            "ledger_movements": len(movements[bank]),
            "ledger_net": written(sum((amount for _, amount in movements[bank]), ZERO), 2),
            "statement_lines": len(lines),
            "matched": matched,
            "ledger_balance": written(state["custody"].get((bank, "USD"), ZERO), 2),
        }
    return breaks, totals


def compare(
    bank: str, movements: Movements, lines: list[dict[str, Any]]
) -> tuple[list[dict[str, Any]], int]:
    breaks, matched = [], 0
    by_reference: dict[str | None, list[dict[str, Any]]] = {}
    for line in lines:
        by_reference.setdefault(line["reference"], []).append(line)
    for reference, amount in movements:
        ledger = written(amount, 2)
        same = by_reference.get(reference, [])
        equal = [line for line in same if line["amount"] == amount]
        if not same:
            breaks.append(
                break_of("missing_in_statement", bank, "USD", reference=reference, ledger=ledger)
            )
            continue
        counted = equal[0] if equal else same[0]
        matched += bool(equal)
        for line in same:
            if line is counted and equal:
                continue
            kind = "amount_differs" if line is counted else "duplicate_in_statement"
            shown = statement_amount(line)
            breaks.append(
                break_of(kind, bank, "USD", reference=reference, ledger=ledger, statement=shown)
            )
    known = {reference for reference, _ in movements}
    assert len(known) == len(movements), f"{bank}: a reference is not unique"
    breaks += [
        break_of(
            "missing_in_ledger",
            bank,
            "USD",
            reference=line["reference"],
            statement=statement_amount(line),
        )
        for line in lines
        if line["reference"] not in known
    ]
    return breaks, matched


def statement_amount(line: dict[str, Any]) -> str:
    return written(line["amount"], max(2, line["places"]))


def holding_breaks(state: dict[str, Any], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    reference, breaks = state["reference"], []
    for place in reference["locations"].values():
        if place["kind"] == "bank":
            continue
        for asset in place["assets"]:
            texts = [
                row["quantity"]
                for row in rows
                if (row["location"], row["asset"]) == (place["location"], asset)
            ]
            held = sum((number(text) or ZERO for text in texts), ZERO)
            custody = state["custody"].get((place["location"], asset), ZERO)
            scale = reference["scales"][asset]
            if held != custody:
                breaks.append(
                    break_of(
                        "quantity_differs",
                        place["location"],
                        asset,
                        ledger=written(custody, scale),
                        statement=written(held, max([scale, *map(decimals, texts)])),
                    )
                )
    return breaks
