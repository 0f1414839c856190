"""The result of a day in the layout `golden-day/1`: read from the book, printed exactly."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from brokerage.models import BusinessDay, InboxEvent, RejectedRow
from ledger.exact import EXACT
from ledger.models import Balance, Break
from ledger.segregation import PoolAsset
from margin.models import MarginResult, MarginState, Mark
from margin.option_listing import listed_options

FORMAT = "golden-day/1"
PRICE_DECIMALS = 8
CASH_DECIMALS = 2
ONE = Decimal(1)


def printed(value: Decimal, decimals: int) -> str:
    """A number with exactly these decimals, half-even; never an exponent, never minus zero."""
    rounded = value.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_EVEN, context=EXACT)
    return format(rounded if rounded else abs(rounded), "f")


def at_least(text: str, decimals: int) -> str:
    """A number as a file wrote it, with at least these decimals and no needless ones lost."""
    value = Decimal(text)
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    return printed(value, max(decimals, -exponent))


def utc(instant: datetime) -> str:
    """An instant as the files write it."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def day_result(
    day: BusinessDay, *, outcomes: Mapping[str, Any], segregation: Sequence[PoolAsset]
) -> dict[str, Any]:
    """Everything the day came to.

    Args:
        outcomes: what the steps counted, by step.
        segregation: every pool and asset as the day left them.
    """
    marks = list(
        Mark.objects.composed()
        .filter(business_day=day.day, as_of=day.as_of)
        .select_related("asset")
        .order_by("asset__code")
    )
    events = list(InboxEvent.objects.filter(business_day=day).order_by("ordinal"))
    margin = _margin(day)
    breaks = _breaks(day)
    rejected_rows = _rejected_rows(day)
    positions = _positions({mark.asset_id: mark.price for mark in marks})
    result: dict[str, Any] = {
        "format": FORMAT,
        "business_day": day.day.isoformat(),
        "as_of": utc(day.as_of),
        "marks": [_mark(mark) for mark in marks],
        "rejected_rows": rejected_rows,
        "rejected": [
            {"id": e.event_id, "type": e.event_type, "reason": e.refusal}
            for e in events
            if e.refusal
        ],
        "balances": _balances(),
        "positions": positions,
        "loans": _loans(),
        "deficits": [_deficit(e) for e in events if "shortfall" in e.details],
        "fees_waived": [
            {
                "trade_id": e.event_id,
                "amount": printed(Decimal(e.details["waived"]), CASH_DECIMALS),
            }
            for e in events
            if "waived" in e.details
        ],
        "margin": margin,
        "segregation": [segregation_line(row) for row in segregation if row.asset_kind == "money"],
        "breaks": breaks,
    }
    result["control_totals"] = _control_totals(events, result=result, outcomes=outcomes)
    return result


def _mark(mark: Mark) -> dict[str, Any]:
    return {
        "instrument": mark.asset.code,
        "mark": printed(mark.price, PRICE_DECIMALS),
        "state": mark.state,
        "used": sorted(used["source"] for used in mark.used),
        "dropped": [
            {key: dropped[key] for key in ("source", "observed_at", "reason")}
            for dropped in mark.dropped
        ],
    }


def _rejected_rows(day: BusinessDay) -> list[dict[str, Any]]:
    rows = RejectedRow.objects.filter(business_day=day).values("file", "line", "field", "reason")
    return sorted(map(dict, rows), key=lambda row: (row["file"], row["line"]))


def _owned(account_class: str, *columns: str) -> Iterable[tuple[Any, ...]]:
    rows = (
        Balance.objects.filter(account__account_class=account_class)
        .exclude(amount=0)
        .values_list(
            "account__margin_account__code",
            "account__bucket__code",
            "account__asset__code",
            *columns,
        )
    )
    return sorted(rows, key=lambda row: row[:3])


def _balances() -> list[dict[str, str]]:
    return [
        {
            "account": account,
            "bucket": bucket,
            "asset": asset,
            "amount": printed(amount.copy_negate(), scale),
        }
        for account, bucket, asset, amount, scale in _owned("claim", "amount", "account__scale")
    ]


def _loans() -> list[dict[str, str]]:
    return [
        {"account": account, "amount": printed(amount, CASH_DECIMALS)}
        for account, _, _, amount in _owned("loan_receivable", "amount")
    ]


def _positions(marks: Mapping[int, Decimal]) -> list[dict[str, str | None]]:
    """Positions; of an option, cost and gain are of whole contracts, none without a mark."""
    rows = _owned("position", "amount", "average_cost", "account__scale", "account__asset_id")
    options = {each.asset_id: each.multiplier for each in listed_options().values()}

    def gain(amount: Decimal, average: Decimal, asset_id: int) -> str | None:
        mark = marks.get(asset_id) if asset_id in options else marks[asset_id]
        if mark is None:
            return None
        price = EXACT.multiply(mark, options.get(asset_id, ONE))
        held = amount.copy_negate()
        return printed(EXACT.multiply(held, EXACT.subtract(price, average)), PRICE_DECIMALS)

    return [
        {
            "account": account,
            "bucket": bucket,
            "instrument": instrument,
            "quantity": printed(amount.copy_negate(), scale),
            "average_cost": printed(average, PRICE_DECIMALS),
            "unrealised": gain(amount, average, asset_id),
        }
        for account, bucket, instrument, amount, average, scale, asset_id in rows
    ]


def _deficit(event: InboxEvent) -> dict[str, str]:
    parts = ("realised", "shortfall", "insurance", "house", "uncovered")
    return {
        "trade_id": event.event_id,
        "account": event.details["account"],
        "bucket": event.details["bucket"],
        **{part: printed(Decimal(event.details[part]), CASH_DECIMALS) for part in parts},
    }


def _margin(day: BusinessDay) -> list[dict[str, Any]]:
    rows = MarginResult.objects.filter(
        run__business_day=day.day, run__purpose="end-of-day"
    ).select_related("scope__bucket__account")
    return sorted(
        (
            {
                "account": row.scope.bucket.account.code,
                "bucket": row.scope.bucket.code,
                "equity": printed(row.equity, PRICE_DECIMALS),
                "initial_margin": printed(row.initial_margin, PRICE_DECIMALS),
                "maintenance_margin": printed(row.maintenance_margin, PRICE_DECIMALS),
                "state": row.state,
                "call_amount": printed(row.call_amount, CASH_DECIMALS),
                "flags": sorted(row.flags),
            }
            for row in rows
            if row.scope.bucket is not None
        ),
        key=lambda row: (row["account"], row["bucket"]),
    )


def segregation_line(row: PoolAsset) -> dict[str, Any]:
    def amount(value: Decimal) -> str:
        return printed(value, row.scale)

    return {
        "pool": row.pool,
        "asset": row.asset,
        "client_claims": amount(row.claims + row.unallocated if row.is_client else Decimal(0)),
        "residual_interest": amount(row.net_residual_interest) if row.is_client else None,
        "own_equity": None if row.is_client else amount(row.own_equity + row.claims),
        "loans_receivable": amount(row.loans_receivable),
        "custody": {place: amount(held) for place, held in row.custody.items()},
        "requirement": amount(row.requirement),
        "resource": amount(row.resource),
        "excess": amount(row.excess),
    }


def _breaks(day: BusinessDay) -> list[dict[str, Any]]:
    rows = [
        {
            "kind": row.kind,
            "location": row.location.code,
            "asset": None if row.asset is None else row.asset.code,
            "reference": row.reference,
            "ledger": _in_units(row.ledger_amount, row),
            "statement": _as_read(row),
            "detail": row.detail or None,
        }
        for row in Break.objects.filter(business_day=day.day).select_related("location", "asset")
    ]
    keys = ("location", "kind", "asset", "reference", "statement")
    return sorted(rows, key=lambda row: tuple(row[key] or "" for key in keys))


def _in_units(value: Decimal | None, row: Break) -> str | None:
    return None if value is None or row.asset is None else printed(value, row.asset.scale)


def _as_read(row: Break) -> str | None:
    if not row.statement_amount_as_read or row.asset is None:
        return None
    return at_least(row.statement_amount_as_read, row.asset.scale)


def _sum(values: Iterable[str]) -> Decimal:
    total = Decimal(0)
    for value in values:
        total = EXACT.add(total, Decimal(value))
    return total


def _control_totals(
    events: Sequence[InboxEvent], *, result: Mapping[str, Any], outcomes: Mapping[str, Any]
) -> dict[str, Any]:
    applied = [event for event in events if not event.refusal]
    states = Counter(row["state"] for row in result["margin"])
    calls = [row for row in result["margin"] if Decimal(row["call_amount"]) > 0]
    fees = _sum(e.details["fee"] for e in applied if "fee" in e.details)
    realised = _sum(e.details["realised"] for e in applied if "realised" in e.details)
    called = _sum(row["call_amount"] for row in calls)
    return {
        "price_rows": outcomes["prices"]["price_rows"],
        "trade_rows": outcomes["events"]["trade_rows"],
        "transfer_rows": outcomes["events"]["transfer_rows"],
        "rejected_rows": len(result["rejected_rows"]),
        "trades_applied": sum(e.event_type == "trade" for e in applied),
        "transfers_applied": sum(e.event_type == "transfer" for e in applied),
        "events_rejected": len(events) - len(applied),
        "fees_usd": printed(fees, CASH_DECIMALS),
        "realised_usd": printed(realised, CASH_DECIMALS),
        "deficits": len(result["deficits"]),
        "breaks": len(result["breaks"]),
        "bank": {
            code: {
                "ledger_movements": bank["ledger_movements"],
                "ledger_net": printed(Decimal(bank["ledger_net"]), CASH_DECIMALS),
                "statement_lines": bank["statement_lines"],
                "matched": bank["matched"],
                "ledger_balance": printed(Decimal(bank["ledger_balance"]), CASH_DECIMALS),
            }
            for code, bank in outcomes["statements"]["banks"].items()
        },
        "states": {state: states[state] for state in MarginState.values},
        "calls": len(calls),
        "call_amount_usd": printed(called, CASH_DECIMALS),
    }
