"""A change that is only thought of, against the run that follows when it is booked."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from accounts.models import Bucket
from brokerage.digest import digest
from ledger.models import Asset, Entry
from margin.engine.liquidation_points import Balance
from margin.holding import balances_of
from margin.models import Mark
from margin.scope_standing import balance_at
from margin.what_if import Change, ThoughtTrade, what_if
from margin.what_if_ground import WhatIfRefusedError
from tests.margin.thinking import PERPETUAL, thought_then_booked
from tests.stage import booked_days

D = Decimal
FIRST_DAY, SECOND_DAY = date(2031, 3, 3), date(2031, 3, 4)


def firm_of(folder: Path, *, accounts: int, seed: int) -> Path:
    """Book the first day; returns the folder of the second."""
    _, second = booked_days(folder, accounts=accounts, seed=seed, days=2, booked=1)
    return second


@pytest.fixture
def second_day(db: None, tmp_path: Path) -> Path:
    return firm_of(tmp_path / "firm", accounts=40, seed=11)


def scope(account: str, bucket: str = "FREE") -> Bucket:
    return Bucket.objects.select_related("account").get(account__code=account, code=bucket)


# ---------------------------------------------------------------- equal to the next run


def test_what_is_shown_is_what_the_next_run_says(second_day: Path) -> None:
    assert len(thought_then_booked(second_day, seed=3, day=SECOND_DAY)) >= 35


@pytest.mark.soak
@pytest.mark.parametrize("seed", [1, 2])
def test_five_hundred_changes_are_what_the_next_run_says(
    db: None, tmp_path: Path, seed: int
) -> None:
    second = firm_of(tmp_path / "firm", accounts=330, seed=seed)
    assert len(thought_then_booked(second, seed=seed, day=SECOND_DAY)) >= 250


# ---------------------------------------------------------------- what it moves


def test_thinking_leaves_the_book_as_it_is(second_day: Path) -> None:
    before, entries = digest(), Entry.objects.count()
    change = Change(
        trades=(ThoughtTrade(PERPETUAL, D("-1.5")),),
        money={"USD": D(500)},
        prices={"BTC": D(5000)},
        haircuts={"BTC": D("0.5")},
    )
    what_if(cross_scope(), change)
    assert (digest(), Entry.objects.count()) == (before, entries)


def cross_scope() -> Bucket:
    """A margined scope with bitcoin and a perpetual."""
    found = (
        bucket
        for bucket in Bucket.objects.filter(account__mode="cross", code="FREE").select_related(
            "account"
        )
        if {"BTC"} <= {c for c, amount in balances_of(bucket).claims.items() if amount}
        and balances_of(bucket).positions.get(PERPETUAL, (D(0), D(0)))[0]
    )
    return next(found)


def test_money_counts_after_its_haircut(second_day: Path) -> None:
    bucket = cross_scope()
    price = what_if(bucket, Change()).now
    said = what_if(bucket, Change(money={"BTC": D("0.1")}, prices={"BTC": D(10_000)}))
    plain = what_if(bucket, Change(prices={"BTC": D(10_000)}))
    assert said.after.equity - plain.after.equity == D("0.1") * 10_000 * D("0.8")
    assert said.now.equity == price.equity


def test_a_haircut_changes_equity_by_its_arithmetic(second_day: Path) -> None:
    bucket = cross_scope()
    held = balances_of(bucket).claims["BTC"]
    said = what_if(bucket, Change(haircuts={"BTC": D("0.30")}))
    mark = Mark.objects.filter(asset__code="BTC").latest("as_of").price
    assert said.after.equity - said.now.equity == -held * mark * D("0.10")


def test_what_could_not_be_booked_is_refused(second_day: Path) -> None:
    security = Asset.objects.filter(kind="security").order_by("code")[0].code
    before, bucket = digest(), cross_scope()
    for change, rule in (
        (Change(trades=(ThoughtTrade("NOTHING", D(1)),)), "unknown_asset"),
        (Change(trades=(ThoughtTrade("USD", D(1)),)), "invalid"),
        (Change(trades=(ThoughtTrade(PERPETUAL, D(0)),)), "invalid"),
        (Change(trades=(ThoughtTrade(PERPETUAL, D(1), D(-1)),)), "invalid"),
        (Change(trades=(ThoughtTrade(PERPETUAL, D(1), None, D(-1)),)), "invalid"),
        (Change(money={PERPETUAL: D(1)}), "invalid"),
        (Change(money={"USD": D(-10_000_000)}), "claim_below_zero"),
        (Change(prices={"BTC": D(0)}), "invalid"),
        (Change(prices={"USD": D(2)}), "invalid"),
        (Change(haircuts={"BTC": D("1.01")}), "invalid"),
        (Change(trades=(ThoughtTrade(security, D(-1_000_000)),)), "claim_below_zero"),
    ):
        with pytest.raises(WhatIfRefusedError) as refused:
            what_if(bucket, change)
        assert refused.value.rule == rule, change
    assert digest() == before


def test_without_marks_nothing_is_said(db: None) -> None:
    with pytest.raises(WhatIfRefusedError) as refused:
        what_if(Bucket(pk=0), Change())
    assert refused.value.rule == "no_mark"


# ---------------------------------------------------------------- liquidation points


def test_every_point_leaves_equity_at_the_level_of_maintenance(second_day: Path) -> None:
    seen = 0
    buckets = Bucket.objects.exclude(account__mode="cash").select_related("account")
    for bucket in buckets:
        said = what_if(bucket, Change())
        for code, points in said.now.liquidation.items():
            for price in filter(None, (points.below, points.above)):
                moved = what_if(bucket, Change(prices={code: price})).after
                level = said.agreement.liquidation_level * moved.maintenance_margin
                assert abs(moved.equity - level) <= D("1e-9") * max(abs(moved.equity), level)
                seen += 1
    assert seen > 20


def test_a_scope_that_is_reached_has_no_points(second_day: Path) -> None:
    bucket = cross_scope()
    crashed = what_if(bucket, Change(money={"USD": D(0)}, prices=wiped_out(bucket))).after
    assert crashed.state in ("LIQUIDATE", "DEFICIT")
    assert all(points.is_reached for points in crashed.liquidation.values())
    assert {p.below for p in crashed.liquidation.values()} == {None}


def wiped_out(bucket: Bucket) -> dict[str, Decimal]:
    """Prices that leave the scope nothing."""
    quantity, _ = balances_of(bucket).positions[PERPETUAL]
    return {PERPETUAL: D("0.01") if quantity > 0 else D(1_000_000), "BTC": D("0.01")}


def test_the_balance_at_the_mark_is_the_scope_as_it_stands(second_day: Path) -> None:
    bucket = cross_scope()
    said = what_if(bucket, Change())
    at: Any = balance_at("BTC", said.now.holding, said.ground, said.agreement)
    level = said.agreement.liquidation_level
    mark = said.ground.marks["BTC"]
    assert at(mark) == Balance(said.now.equity, level * said.now.maintenance_margin)
