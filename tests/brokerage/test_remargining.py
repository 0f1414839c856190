"""Margin inside a day: each price file is run once, and columns say what rows say."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from accounts.audit import acting
from accounts.models import Bucket
from brokerage import remargining
from brokerage.inbox.cycle import Silent, run_day
from brokerage.inbox.price_files import take_prices
from brokerage.synthetic import DEMO
from ledger.horizons import store_horizon
from margin import day_runs
from margin.book import read_inputs
from margin.calls.settling import settle_run
from margin.collateral import deposit
from margin.day_runs import Memory
from margin.models import CallEvent, MarginCall, MarginResult, MarginRun, Mark, Remargin, Task
from margin.releases import InitialMarginGate
from margin.runs import record_run, replay
from margin.standing_results import standing_results
from tests.brokerage.intraday import DESK, after, moved, quotes, run_here, said, stamp, taken
from tests.golden.generated import generated_days
from tests.margin.test_collateral import payment
from tests.margin.test_runs import open_account_without_agreement
from tests.stage import booked_days

LIQUIDATED = {"LIQUIDATE", "DEFICIT"}


@pytest.fixture
def days(db: None, tmp_path: Path) -> list[Path]:
    """A small firm after its second day."""
    return booked_days(tmp_path / "firm", accounts=40, seed=4, days=3, booked=2)


@pytest.fixture
def columns(settings: Any) -> None:
    """Every book is kept in columns."""
    settings.MARGIN_COLUMNS_FROM = 0


def by_rows(run: MarginRun) -> MarginRun:
    """Everything as of the same instant, by the ordinary code and unsettled."""
    read = read_inputs(horizon_id=store_horizon("test").pk, as_of=run.as_of)
    with acting(DESK, reason="Run everything"):
        return record_run(read, business_day=run.business_day, purpose="test")


def test_a_small_book_is_run_whole_and_its_calls_are_settled(days: list[Path]) -> None:
    moved(after(30), BTC_PERP="0.5", BTC="0.5")
    done = run_here()
    assert done.run is not None
    assert done.settled is not None
    assert (done.run.purpose, done.run.layout, done.is_new) == ("intraday", "rows", True)
    assert done.settled.issued > 0
    called = {scope for scope, row in said(done.run).items() if row[4] > 0}
    assert called <= set(MarginCall.objects.open().values_list("scope", flat=True))
    assert replay(done.run.number).is_same


def test_run_again_it_is_found_done(days: list[Path]) -> None:
    moved(after(30), BTC_PERP="0.5")
    first = run_here()
    counts = [model.objects.count() for model in (MarginRun, Remargin, CallEvent, Task)]
    again = run_here()
    assert (again.run, again.is_new) == (first.run, False)
    assert [model.objects.count() for model in (MarginRun, Remargin, CallEvent, Task)] == counts


def test_columns_run_what_moved_and_say_what_rows_say(days: list[Path], columns: None) -> None:
    memory = Memory()
    moved(after(30))
    run_here(memory)
    moved(after(5))
    assert run_here(memory).run is None, "nothing moved"
    for times in ({"BTC_PERP": "0.8"}, {"BTC": "0.7"}, {"BTC_PERP": "1.3", "BTC": "1.2"}):
        moved(after(5), **times)
        done = run_here(memory)
        assert done.run is not None
        assert done.run.purpose == "incremental"
        everyone = said(by_rows(done.run))
        assert said(done.run) == {scope: everyone[scope] for scope in said(done.run)}
        now = {r.scope_id: r for r in standing_results()}
        assert now.keys() == everyone.keys()
        for scope, row in everyone.items():
            newest = now[scope]
            assert (newest.equity, newest.initial_margin, newest.state) == (row[0], row[1], row[3])
        assert replay(done.run.number).is_same


def test_a_process_that_was_not_there_follows_the_runs_of_others(
    days: list[Path], columns: None
) -> None:
    here, there = Memory(), Memory()
    moved(after(30), BTC_PERP="0.9")
    assert run_here(here).is_new
    moved(after(5), BTC_PERP="0.5")
    assert run_here(there).is_new
    moved(after(5), BTC_PERP=str(Decimal(2)))
    # Back at the price that `here` knows: what `there` ran at the other one must not stay.
    done = run_here(here)
    assert done.run is not None
    everyone = said(by_rows(done.run))
    assert said(done.run).items() <= everyone.items()
    assert {r.scope_id: r.equity for r in standing_results()} == {
        scope: row[0] for scope, row in everyone.items()
    }


def test_what_only_a_whole_run_knows_is_run_whole(days: list[Path], columns: None) -> None:
    memory = Memory()
    moved(after(30), BTC_PERP="0.9")
    assert run_here(memory).is_new
    open_account_without_agreement()
    moved(after(5), BTC_PERP="0.9")
    done = run_here(memory)
    assert done.run is not None
    assert (done.run.purpose, done.run.layout) == ("intraday", "columns")
    assert done.run.exceptions.count() == 1


def test_prices_between_two_runs_come_to_one(days: list[Path], columns: None) -> None:
    moved(after(30), BTC_PERP="0.9")
    second = moved(after(5), BTC_PERP="0.9").file
    done = run_here()
    assert done.file == second
    assert Remargin.objects.get().price_file == second


@pytest.mark.parametrize("pattern", ["zero", "negative", "stale", "future", "one venue", "apart"])
@pytest.mark.parametrize("kept", ["rows", "columns"])
def test_bad_prices_inside_a_day_liquidate_nobody(
    days: list[Path], settings: Any, pattern: str, kept: str
) -> None:
    settings.MARGIN_COLUMNS_FROM = 0 if kept == "columns" else 1_000_000
    at = after(30)
    crash = {
        (code, source): Decimal(price) * Decimal("0.2")
        for code, source, _, price in quotes(at)
        if code in ("BTC", "BTC-PERP")
    }
    rows = []
    for (code, source), price in crash.items():
        when, shown = at, f"{price:.4f}"
        if pattern in ("zero", "negative"):
            shown = "0" if pattern == "zero" else f"-{shown}"
        elif pattern in ("stale", "future"):
            when = at + timedelta(minutes=-16 if pattern == "stale" else 1)
        elif pattern == "one venue" and source != "primary":
            continue
        elif pattern == "apart":
            shown = {"primary": shown, "second": f"{price * 20:.4f}"}.get(source, "0")
        rows.append((code, source, stamp(when), shown))
    others = [row for row in quotes(at) if row[0] not in ("BTC", "BTC-PERP")]
    was = {m.asset.code: m.price for m in Mark.objects.filter(as_of=after(0))}
    liquidated = set(
        MarginResult.objects.filter(
            run=MarginRun.objects.latest("pk"), state__in=LIQUIDATED
        ).values_list("scope", flat=True)
    )
    taken(at, [*rows, *others])
    assert {m.asset.code: m.price for m in Mark.objects.filter(as_of=at)} == was
    done = run_here()
    assert done.run is not None
    touched = MarginResult.objects.filter(run=done.run, flags__contains=["insufficient_mark"])
    assert touched.exists()
    assert not touched.filter(state__in=LIQUIDATED).exists()
    now = set(standing_results().filter(state__in=LIQUIDATED).values_list("scope", flat=True))
    assert now <= liquidated
    open_prices = Task.objects.filter(kind=Task.Kind.PRICE, closed_at__isnull=True)
    assert {"price:BTC", "price:BTC-PERP"} <= set(open_prices.values_list("key", flat=True))


def test_the_day_from_files_comes_out_as_if_no_prices_had_come_inside_it(
    db: None, tmp_path: Path, columns: None
) -> None:
    days = generated_days(tmp_path, 4, 40, 3, profile=DEMO)
    for day in days[:2]:
        assert run_day(day.folder) == day.expected
    moved(after(30), BTC_PERP="0.6", BTC="0.6")  # the evening of the second day
    assert run_here().is_new
    moved(after(60 * 14), BTC_PERP="1.2")  # the third day before its end
    assert run_here().is_new
    assert run_day(days[2].folder) == days[2].expected
    assert MarginRun.objects.filter(purpose="incremental").count() == 2
    assert all(replay(run.number).is_same for run in MarginRun.objects.all())


def test_the_days_own_prices_may_have_been_taken_inside_it(days: list[Path]) -> None:
    content = (days[2] / "prices.csv").read_bytes()
    at = MarginRun.objects.latest("pk").as_of + timedelta(hours=23)
    take_prices(content, name="prices.csv", actor=DESK, as_of=at)
    run_here()
    assert run_day(days[2])["business_day"] == days[2].name


def test_prices_newer_than_a_day_are_run_again_on_what_it_left(days: list[Path]) -> None:
    at = MarginRun.objects.latest("pk").as_of + timedelta(hours=24, minutes=10)
    moved(at, BTC_PERP="0.5", BTC="0.5")
    remargining.MEMORY.forget()
    first = remargining.run_remargin({}, Silent())
    assert first["new"]
    run_day(days[2])
    remargining.run_after_day(Silent())
    last = MarginRun.objects.latest("pk")
    assert (last.as_of, last.purpose) == (at, "intraday")
    assert Remargin.objects.count() == 2
    remargining.run_after_day(Silent())
    assert Remargin.objects.count() == 2


def test_what_is_posted_meanwhile_is_in_the_run(
    days: list[Path], columns: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = moved(after(30), BTC_PERP="0.5", BTC="0.5").file.as_of
    call = MarginCall.objects.open().select_related("scope__bucket__account").order_by("number")[0]
    bucket, read, times = call.scope.bucket, day_runs._to_run, []
    assert bucket is not None
    coming = replace(payment(bucket, Decimal(10_000_000), key="D1"), effective_at=at)

    def read_and_post(*arguments: Any, **more: Any) -> Any:
        found = read(*arguments, **more)
        if not times:
            deposit(coming, actor=DESK, reason="Wire")
        times.append(at)
        return found

    monkeypatch.setattr(day_runs, "_to_run", read_and_post)
    done = run_here()
    assert len(times) == 2
    assert done.run is not None
    assert done.run.results.get(scope=call.scope_id).equity > 9_000_000
    call.refresh_from_db()
    assert (call.state, call.end_reason) == ("met", "collateral_received")
    assert not MarginCall.objects.open().filter(scope=call.scope_id).exists()


def test_calls_of_scopes_that_a_run_does_not_know_enough_of_stay_as_they_are(
    days: list[Path],
) -> None:
    moved(after(30), BTC_PERP="0.5", BTC="0.5")
    before = list(MarginCall.objects.order_by("pk").values())
    read = read_inputs(horizon_id=store_horizon("test").pk, as_of=after(0))
    with acting(DESK, reason="Run it, and settle nobody"):
        run = record_run(read, business_day=read.business_day, purpose="intraday")
        settled = settle_run(run, besides=set(Bucket.objects.values_list("pk", flat=True)))
    assert run.results.filter(call_amount__gt=0).exists()
    assert (settled.issued, settled.changed, settled.ended) == (0, 0, 0)
    assert list(MarginCall.objects.order_by("pk").values()) == before


def test_money_does_not_leave_by_an_older_requirement(days: list[Path]) -> None:
    before = InitialMarginGate.newest()
    moved(after(30), BTC="0.5")
    now = InitialMarginGate.newest()
    assert now.price_snapshot != before.price_snapshot
    assert now.marks["BTC"] == before.marks["BTC"] / 2
