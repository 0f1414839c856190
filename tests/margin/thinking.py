"""Changes that are thought of, and the day files that then book them."""

import csv
import random
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from accounts.models import Bucket
from brokerage.inbox.cycle import run_day
from ledger.models import Asset
from margin.holding import balances_of
from margin.models import MarginResult, MarginRun, Mark
from margin.scope_standing import Side
from margin.what_if import Change, ThoughtTrade, what_if
from margin.what_if_ground import WhatIfRefusedError
from tests.margin.kept import code_of, parts_of_results

D = Decimal
PERPETUAL = "BTC-PERP"
SOURCES = ("primary", "second", "third")
TRADE_HEAD = (
    "trade_id", "executed_at", "account", "bucket", "instrument", "side", "quantity", "price",
    "fee_usd", "location",
)  # fmt: skip


def newest_marks() -> list[Mark]:
    """The marks of the newest instant, by code."""
    newest = Mark.objects.latest("as_of").as_of
    return list(Mark.objects.filter(as_of=newest).select_related("asset").order_by("asset__code"))


def next_marks(draw: random.Random) -> dict[str, Decimal]:
    """A price for everything, up to a tenth away from the day before."""
    marks = {}
    for mark in newest_marks():
        factor = D(draw.randint(900, 1100)) / 1000
        places = mark.asset.price_scale or 4
        marks[mark.asset.code] = round(mark.price * factor, places)
    return marks


def drawn_changes(
    draw: random.Random, marks: dict[str, Decimal]
) -> Iterator[tuple[Bucket, ThoughtTrade]]:
    """A trade for every bucket that may trade, of what it holds or of something new."""
    securities = [a.code for a in Asset.objects.filter(kind="security").order_by("code")]
    for bucket in Bucket.objects.select_related("account").order_by("pk"):
        account = bucket.account
        if account.owner_class != "CLIENT":
            continue
        if bucket.role == "ISOLATED" or (account.mode == "cross" and draw.random() < 0.5):
            quantity, asset = D(draw.randint(-60_000, 60_000) or 1) / 10_000, PERPETUAL
        elif account.mode in ("cash", "cross") and bucket.code == "FREE":
            held = [
                c for c, (q, _) in balances_of(bucket).positions.items() if c in securities and q
            ]
            asset = draw.choice(held or securities)
            most = int(balances_of(bucket).positions.get(asset, (D(0), D(0)))[0])
            sells = most and draw.random() < 0.6
            quantity = D(-draw.randint(1, most)) if sells else D(draw.randint(1, 8))
        else:
            continue
        places = Asset.objects.get(code=asset).price_scale or 2
        price = round(marks[asset] * D(draw.randint(980, 1020)) / 1000, places)
        yield bucket, ThoughtTrade(asset, quantity, price, D(draw.randint(0, 900)) / 100)


def write_day(
    folder: Path,
    marks: dict[str, Decimal],
    trades: list[tuple[Bucket, ThoughtTrade]],
    *,
    day: date,
) -> None:
    """The day's files: every source says the mark, nothing else happens but the trades."""
    with (folder / "prices.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["instrument", "source", "observed_at", "price"])
        for code, price in marks.items():
            writer.writerows([code, each, f"{day}T20:58:00Z", price] for each in SOURCES)
    with (folder / "trades.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(TRADE_HEAD)
        for place, (bucket, trade) in enumerate(trades):
            is_security = trade.asset != PERPETUAL
            writer.writerow([
                f"W{place:05d}", f"{day}T12:00:00Z", bucket.account.code, bucket.code,
                trade.asset, "buy" if trade.quantity > 0 else "sell", abs(trade.quantity),
                trade.price, trade.fee, "custodian:client-sec" if is_security else "venue:client",
            ])  # fmt: skip
    head = (folder / "transfers.csv").read_text().splitlines()[0]
    (folder / "transfers.csv").write_text(head + "\n")


def anything(bucket: Bucket) -> bool:
    """Every bucket."""
    return True


def thought_then_booked(
    folder: Path, *, seed: int, day: date, of: Callable[[Bucket], bool] = anything
) -> dict[Bucket, Side]:
    """Think of every change, book all of them by files and compare; returns what was equal.

    Args:
        folder: the day's.
        of: of which buckets changes are thought.
    """
    draw = random.Random(seed)
    marks = next_marks(draw)
    thought: dict[Bucket, tuple[ThoughtTrade, Side]] = {}
    refused: list[tuple[Bucket, ThoughtTrade]] = []
    for bucket, trade in drawn_changes(draw, marks):
        if not of(bucket):
            continue
        try:
            change = Change(trades=(trade,), prices=marks)
            said = what_if(bucket, change, has_points=False)
        except WhatIfRefusedError:
            refused.append((bucket, trade))
            continue
        thought[bucket] = trade, said.after
    trades = [(bucket, trade) for bucket, (trade, _) in thought.items()]
    write_day(folder, marks, [*trades, *refused], day=day)
    outcome = run_day(folder)
    assert len(outcome["rejected"]) == len(refused)
    run = MarginRun.objects.get(business_day=day)
    results = {
        result.scope.bucket_id: result
        for result in MarginResult.objects.filter(run=run).select_related("scope", "parameter_set")
    }
    for bucket, (trade, after) in thought.items():
        assert_same(after, results[bucket.pk], (bucket, trade))
    return {bucket: after for bucket, (_, after) in thought.items()}


def assert_same(after: Side, booked: MarginResult, why: Any) -> None:
    """A side that was thought of says what a run says, to its parts."""
    said = (
        after.equity, after.initial_margin, after.maintenance_margin, after.state,
        after.call_amount, list(after.flags), after.binding,
    )  # fmt: skip
    assert said == (
        booked.equity, booked.initial_margin, booked.maintenance_margin, booked.state,
        booked.call_amount, booked.flags, booked.binding,
    ), why  # fmt: skip
    named = "" if booked.parameter_set is None else str(booked.parameter_set)
    assert after.parameter_set == named, why
    kept = parts_of_results([booked])
    parts = ((part.kind, part.terms, part.amount) for part in kept)
    said_parts = ((part.kind.name.lower(), part.terms(), part.amount) for part in after.components)
    assert sorted(parts, key=_by_name) == sorted(said_parts, key=_by_name), why
    assert [code_of(part) for part in kept if part.total == "equity"] == [
        part.asset for part in after.components if part.total == "equity"
    ], why


def _by_name(part: tuple[str, Any, Decimal]) -> str:
    return f"{part[0]} {sorted(part[1].items())}"
