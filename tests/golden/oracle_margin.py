"""Marks, equity, requirements and states: section 7 of the format."""

from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

from tests.golden.oracle_reading import instant, number, written

CENTS = 100
Marks = dict[str, Fraction]


def median(prices: list[Fraction]) -> Fraction:
    prices = sorted(prices)
    middle = len(prices) // 2
    if len(prices) % 2:
        return prices[middle]
    return (prices[middle - 1] + prices[middle]) / 2


def mark_of(
    name: str, rows: list[dict[str, Any]], *, as_of: datetime, previous: Fraction
) -> tuple[Fraction, dict[str, Any]]:
    """The exact mark of one priced name, and its entry in `marks`."""
    left, dropped = [], []

    def drop(row: dict[str, Any], reason: str) -> None:
        dropped.append(
            {"source": row["source"], "observed_at": row["observed_at"], "reason": reason}
        )

    for row in rows:
        price, observed_at = number(row["price"]), instant(row["observed_at"])
        assert price is not None
        assert observed_at is not None
        if price <= 0:
            drop(row, "not_positive")
        elif observed_at > as_of:
            drop(row, "future")
        elif as_of - observed_at > timedelta(seconds=900):
            drop(row, "stale")
        else:
            left.append({**row, "exact": price})

    for row in list(left):
        same_source = [other for other in left if other["source"] == row["source"]]
        # The times are texts of one fixed width, so they sort as times.
        if row is not max(same_source, key=lambda other: (other["observed_at"], other["line"])):
            left.remove(row)
            drop(row, "superseded")

    if left:
        middle = median([row["exact"] for row in left])
        for row in list(left):
            if abs(row["exact"] - middle) > middle * Fraction(5, 100):
                left.remove(row)
                drop(row, "outlier")

    valid = len(left) >= 2
    if not valid:
        for row in left:
            drop(row, "too_few")
    mark = median([row["exact"] for row in left]) if valid else previous
    return mark, {
        "instrument": name,
        "mark": written(mark, 8),
        "state": "VALID" if valid else "INSUFFICIENT",
        "used": sorted(row["source"] for row in left) if valid else [],
        "dropped": sorted(dropped, key=lambda d: (d["source"], d["observed_at"], d["reason"])),
    }


def scopes(reference: dict[str, Any]) -> list[tuple[str, str]]:
    """(account, bucket) of every margin scope, by account."""
    return [
        (code, "ISO-BTC-PERP" if account["mode"] == "isolated" else "FREE")
        for code, account in sorted(reference["accounts"].items())
    ]


def bracket_requirement(
    notional: Fraction, brackets: list[dict[str, Fraction]], rate: str
) -> Fraction:
    """notional x rate_k - d_k of the last bracket whose floor is reached."""
    deduction = Fraction(0)
    requirement = Fraction(0)
    previous_rate = brackets[0][rate]
    for bracket in brackets:
        deduction += bracket["floor"] * (bracket[rate] - previous_rate)
        previous_rate = bracket[rate]
        if bracket["floor"] <= notional:
            requirement = notional * bracket[rate] - deduction
    return requirement


def measure(state: dict[str, Any], marks: Marks, account: str, bucket: str) -> dict[str, Fraction]:
    """Equity, initial and maintenance margin of one scope, exact."""
    reference = state["reference"]
    equity = initial = maintenance = Fraction(0)
    for code, asset in reference["assets"].items():
        claim = state["claims"].get((account, bucket, code), Fraction(0))
        mark = Fraction(1) if code == "USD" else marks[code]
        equity += claim * mark * (1 - asset["haircut"])
    for code, instrument in reference["instruments"].items():
        position = state["positions"].get((account, bucket, code))
        if position is None:
            continue
        quantity, average = position
        value = abs(quantity) * marks[code]
        if instrument["kind"] == "security":
            equity += quantity * marks[code]
            initial += value * instrument["initial_rate"]
            maintenance += value * instrument["maintenance_rate"]
        else:
            equity += quantity * (marks[code] - average)
            initial += bracket_requirement(value, instrument["brackets"], "initial_rate")
            maintenance += bracket_requirement(value, instrument["brackets"], "maintenance_rate")
    if bucket == "FREE":
        equity -= state["loans"].get(account, Fraction(0))
    if reference["accounts"][account]["mode"] == "cash":
        initial = maintenance = Fraction(0)
    return {"equity": equity, "initial": initial, "maintenance": maintenance}


def state_of(measured: dict[str, Fraction], agreement: dict[str, Any]) -> str:
    equity, maintenance = measured["equity"], measured["maintenance"]
    if equity < 0:
        return "DEFICIT"
    if equity >= measured["initial"]:
        return "OK"
    if equity >= agreement["call_level"] * maintenance:
        return "BELOW_INITIAL"
    if equity >= agreement["liquidation_level"] * maintenance:
        return "CALL"
    return "LIQUIDATE"


def margin_of(
    state: dict[str, Any], marks: Marks, insufficient: set[str], account: str, bucket: str
) -> dict[str, Any]:
    """The scope's entry in `margin`."""
    reference = state["reference"]
    agreement = reference["agreements"][reference["accounts"][account]["agreement"]]
    measured = measure(state, marks, account, bucket)
    result, flags = state_of(measured, agreement), []
    if insufficient & held_names(state, account, bucket):
        flags.append("insufficient_mark")
        if result in {"LIQUIDATE", "DEFICIT"}:
            result = "CALL"
    call = Fraction(0)
    if result in {"CALL", "LIQUIDATE", "DEFICIT"}:
        missing = (measured["initial"] - measured["equity"]) * CENTS
        call = Fraction(-(-missing.numerator // missing.denominator), CENTS)  # up to cents
        if call < agreement["minimum_transfer_amount"]:
            call = Fraction(0)
            flags.append("below_mta")
    return {
        "account": account,
        "bucket": bucket,
        "equity": written(measured["equity"], 8),
        "initial_margin": written(measured["initial"], 8),
        "maintenance_margin": written(measured["maintenance"], 8),
        "state": result,
        "call_amount": written(call, 2),
        "flags": sorted(flags),
    }


def held_names(state: dict[str, Any], account: str, bucket: str) -> set[str]:
    """Names of which the bucket holds a non-zero position or money claim."""
    reference = state["reference"]
    money = {c for c in reference["assets"] if state["claims"].get((account, bucket, c))}
    return money | {
        c for c in reference["instruments"] if (account, bucket, c) in state["positions"]
    }
