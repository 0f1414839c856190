"""An independent, slow and obvious implementation of the inbox format's house rules v1.

It judges the product on days nobody prepared by hand: `run_day` returns the object the day's
expected.json would hold. It knows the format alone and imports no module of the product.
"""

from datetime import UTC, date, datetime, time
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.golden.oracle_events import Draft, in_order, take_event
from tests.golden.oracle_margin import margin_of, mark_of, scopes
from tests.golden.oracle_reading import (
    HEADERS,
    STATEMENT_FILES,
    CsvFile,
    FolderRefusedError,
    check_files,
    instant,
    number,
    read_csv,
    reject_rows,
    written,
)
from tests.golden.oracle_reconciliation import holding_breaks, reconcile_banks
from tests.golden.oracle_reference import POOLS, identity, load_state

State = dict[str, Any]
ZERO = Fraction(0)
STATES = ("OK", "BELOW_INITIAL", "CALL", "LIQUIDATE", "DEFICIT")

__all__ = ["FolderRefusedError", "load_reference", "run_day"]


def load_reference(path: Path) -> State:
    """Reference data and opening state of a golden folder.

    Raises:
        FolderRefusedError: the file is malformed or contradicts itself.
    """
    return load_state(path)


def run_day(state: State, day_folder: Path) -> tuple[dict[str, Any], State]:
    """The expected result of one day, and the state after it; the given state is left alone.

    Raises:
        FolderRefusedError: the folder is refused as a whole.
    """
    business_day = day_folder.name
    check_files(day_folder)
    content = sha256()
    for name in [*HEADERS, *STATEMENT_FILES.values()]:
        content.update((day_folder / name).read_bytes() + b"\0")
    files = {name: read_csv(day_folder, name) for name in HEADERS}
    if business_day in state["results"]:
        digest, result = state["results"][business_day]
        if digest != content.hexdigest():
            raise FolderRefusedError(f"{business_day} was processed with other content")
        return result, state
    if date.fromisoformat(business_day) <= date.fromisoformat(state["day"]):
        raise FolderRefusedError(f"{business_day} does not follow {state['day']}")
    state = {
        name: part.copy() if isinstance(part, dict | set) else part for name, part in state.items()
    }
    result = process(state, day_folder, files)
    state["day"] = business_day
    state["results"][business_day] = (content.hexdigest(), result)
    return result, state


def process(state: State, folder: Path, files: dict[str, CsvFile]) -> dict[str, Any]:
    reference = state["reference"]
    as_of = datetime.combine(
        date.fromisoformat(folder.name),
        time.fromisoformat(reference["as_of_time"]),
        tzinfo=UTC,
    )
    files = with_codes_checked(reference, files, as_of)
    done = run_events(state, files, as_of)
    marks = run_marks(state, files["prices.csv"].rows, as_of)
    insufficient = {mark["instrument"] for mark in marks if mark["state"] == "INSUFFICIENT"}
    margin = [
        margin_of(state, state["marks"], insufficient, account, bucket)
        for account, bucket in scopes(reference)
    ]
    breaks, bank_totals = reconcile_banks(state, folder, done["bank"])
    breaks += holding_breaks(state, files["statements/holdings.csv"].rows)
    breaks.sort(
        key=lambda b: (
            b["location"],
            b["kind"],
            b["asset"],
            b["reference"] or "",
            b["statement"] or "",
        )
    )
    rejected_rows = sorted(
        (row for file in files.values() for row in file.rejected),
        key=lambda row: (row["file"], row["line"]),
    )
    assert not any(identity(reference, state).values()), "the oracle's own book does not close"
    return {
        "format": "golden-day/1",
        "business_day": folder.name,
        "as_of": as_of.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "marks": marks,
        "rejected_rows": rejected_rows,
        "rejected": done["rejected"],
        **listed_balances(state),
        "deficits": done["deficits"],
        "fees_waived": done["fees_waived"],
        "margin": margin,
        "segregation": segregation(state),
        "breaks": breaks,
        "control_totals": {
            "price_rows": files["prices.csv"].row_count,
            "trade_rows": files["trades.csv"].row_count,
            "transfer_rows": files["transfers.csv"].row_count,
            "rejected_rows": len(rejected_rows),
            **done["totals"],
            "deficits": len(done["deficits"]),
            "breaks": len(breaks),
            "bank": bank_totals,
            **margin_totals(margin),
        },
    }


def with_codes_checked(
    reference: State, files: dict[str, CsvFile], as_of: datetime
) -> dict[str, CsvFile]:
    places = reference["locations"]

    def price_fault(row: dict[str, Any]) -> tuple[str, str] | None:
        known = row["instrument"] in reference["priced"]
        return None if known else ("instrument", "unknown_code")

    def holding_fault(row: dict[str, Any]) -> tuple[str, str] | None:
        place = places.get(row["location"])
        if place is None or place["kind"] == "bank":
            return "location", "unknown_code"
        if row["asset"] not in place["assets"]:
            return "asset", "unknown_code"
        return None if instant(row["as_of"]) == as_of else ("as_of", "wrong_as_of")

    checked = dict(files)
    for name, fault in (("prices.csv", price_fault), ("statements/holdings.csv", holding_fault)):
        checked[name] = reject_rows(files[name], name, fault)
    return checked


def run_events(state: State, files: dict[str, CsvFile], as_of: datetime) -> dict[str, Any]:
    window = (as_of.replace(hour=0, minute=0, second=0), as_of)
    rejected, deficits, waived = [], [], []
    bank: dict[str, list[tuple[str, Fraction]]] = {name: [] for name in STATEMENT_FILES}
    applied = {"trade": 0, "transfer": 0}
    fees = realised = ZERO
    for event in in_order(files["trades.csv"].rows, files["transfers.csv"].rows):
        done = take_event(state, event, window)
        if not isinstance(done, Draft):
            rejected.append({"id": event["id"], "type": event["type"], "reason": done})
            continue
        applied[event["type"]] += 1
        fees += done.fee
        realised += done.realised
        for place, reference, amount in done.bank:
            bank[place].append((reference, amount))
        if done.deficit:
            parts = {"realised": done.realised, **done.deficit}
            deficits.append(
                {
                    "trade_id": event["id"],
                    "account": event["account"],
                    "bucket": event["bucket"],
                    **{name: written(amount, 2) for name, amount in parts.items()},
                }
            )
        if done.waived:
            waived.append({"trade_id": event["id"], "amount": written(done.waived, 2)})
    return {
        "rejected": rejected,
        "deficits": deficits,
        "fees_waived": waived,
        "bank": bank,
        "totals": {
            "trades_applied": applied["trade"],
            "transfers_applied": applied["transfer"],
            "events_rejected": len(rejected),
            "fees_usd": written(fees, 2),
            "realised_usd": written(realised, 2),
        },
    }


def run_marks(state: State, rows: list[dict[str, Any]], as_of: datetime) -> list[dict[str, Any]]:
    """Replace the marks of the day before by today's; return their entries."""
    by_name: dict[str, list[dict[str, Any]]] = {name: [] for name in state["reference"]["priced"]}
    for row in rows:
        by_name[row["instrument"]].append(row)
    entries = []
    for name in sorted(by_name):
        mark, entry = mark_of(name, by_name[name], as_of=as_of, previous=state["marks"][name])
        state["marks"][name] = mark
        entries.append(entry)
    return entries


def listed_balances(state: State) -> dict[str, Any]:
    scales, marks = state["reference"]["scales"], state["marks"]
    return {
        "balances": [
            {
                "account": account,
                "bucket": bucket,
                "asset": asset,
                "amount": written(amount, scales[asset]),
            }
            for (account, bucket, asset), amount in sorted(state["claims"].items())
            if amount
        ],
        "positions": [
            {
                "account": account,
                "bucket": bucket,
                "instrument": code,
                "quantity": written(quantity, scales[code]),
                "average_cost": written(average, 8),
                "unrealised": written(quantity * (marks[code] - average), 8),
            }
            for (account, bucket, code), (quantity, average) in sorted(state["positions"].items())
            if quantity
        ],
        "loans": [
            {"account": account, "amount": written(amount, 2)}
            for account, amount in sorted(state["loans"].items())
            if amount
        ],
    }


def segregation(state: State) -> list[dict[str, Any]]:
    reference = state["reference"]
    owed: dict[tuple[str, str], Fraction] = {}
    for (account, _, asset), amount in state["claims"].items():
        key = (reference["accounts"][account]["pool"], asset)
        owed[key] = owed.get(key, ZERO) + amount
    lines = []
    for pool in POOLS:
        places = {n: p for n, p in reference["locations"].items() if p["pool"] == pool}
        carried = {asset for place in places.values() for asset in place["assets"]}
        lines += [
            segregation_line(state, pool, asset, places, owed.get((pool, asset), ZERO))
            for asset in sorted(carried & set(reference["assets"]))
        ]
    return lines


def segregation_line(
    state: State, pool: str, asset: str, places: dict[str, Any], claims: Fraction
) -> dict[str, Any]:
    scale = state["reference"]["scales"][asset]
    firm = state["firm"].get((pool, asset), ZERO)
    custody = {
        name: state["custody"].get((name, asset), ZERO)
        for name, place in places.items()
        if asset in place["assets"]
    }
    client = pool == "CLIENT"
    requirement = claims if client else ZERO
    resource = sum(custody.values(), ZERO)
    lent = sum(state["loans"].values(), ZERO) if (pool, asset) == ("HOUSE", "USD") else ZERO
    return {
        "pool": pool,
        "asset": asset,
        "client_claims": written(requirement, scale),
        "residual_interest": written(firm, scale) if client else None,
        "own_equity": None if client else written(firm + claims, scale),
        "loans_receivable": written(lent, scale),
        "custody": {name: written(amount, scale) for name, amount in custody.items()},
        "requirement": written(requirement, scale),
        "resource": written(resource, scale),
        "excess": written(resource - requirement, scale),
    }


def margin_totals(margin: list[dict[str, Any]]) -> dict[str, Any]:
    calls = [amount for one in margin if (amount := number(one["call_amount"])) and amount > 0]
    return {
        "states": {state: sum(one["state"] == state for one in margin) for state in STATES},
        "calls": len(calls),
        "call_amount_usd": written(sum(calls, ZERO), 2),
    }
