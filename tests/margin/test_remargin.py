"""What a price or a posting touches, run again by itself, is what a run of everything says."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from accounts.audit import Actor, acting
from accounts.bulk import copy_rows
from accounts.models import LegalEntity
from brokerage.inbox.cycle import run_day
from ledger.horizons import store_horizon
from margin.book.columns import NotInColumnsError, read_columns
from margin.calls.acts import become
from margin.calls.affected import affected_calls
from margin.calls.settling import settle_run
from margin.column_runs import record_columns
from margin.engine.policies import CROWDING
from margin.models import CallEvent, MarginCall, MarginRun, Mark, Task
from margin.remargin import (
    Standing,
    WholeRunNeededError,
    read_touched,
    record_touched,
    standing_of,
)
from margin.restatement import differing_exceptions, differing_results
from margin.run_rows import INCREMENTAL, whole_runs
from margin.runs import replay
from tests.accounts.people import found_desk
from tests.margin.restating import correct, restated
from tests.margin.test_column_runs import exceptions_said, parts_said, said
from tests.margin.test_dynamic_margin import HERD, set_policy
from tests.margin.test_runs import open_account_without_agreement, set_stricter_levels
from tests.stage import booked_days

DESK = Actor.command("test")


@pytest.fixture
def days(db: None, tmp_path: Path) -> list[Path]:
    """A small firm after its second day."""
    return booked_days(tmp_path / "firm", accounts=40, seed=4, days=3, booked=2)


def stand() -> Standing:
    run = MarginRun.objects.latest("pk")
    return standing_of(read_columns(horizon_id=run.horizon_id, as_of=run.as_of))


def marked_again(
    code: str, times: str, *, without: str = "", later: timedelta = timedelta(hours=1)
) -> datetime:
    """All marks once more some time later, one of them moved, and one left out if asked."""
    newest = MarginRun.objects.latest("pk").as_of
    as_of = newest + later
    with acting(DESK, reason="Another price"):
        copy_rows(
            [
                Mark(
                    asset=mark.asset,
                    as_of=as_of,
                    business_day=mark.business_day,
                    price=mark.price * (Decimal(times) if mark.asset.code == code else 1),
                    state=mark.state,
                    used=[],
                    dropped=[],
                )
                for mark in Mark.objects.filter(as_of=newest).select_related("asset")
                if mark.asset.code != without
            ]
        )
    return as_of


def run_of(touched: Any) -> MarginRun:
    with acting(DESK, reason="Run what was touched"):
        run = record_touched(touched)
    assert run is not None
    return run


def whole_run(as_of: datetime) -> MarginRun:
    horizon = store_horizon("test")
    read = read_columns(horizon_id=horizon.pk, as_of=as_of)
    with acting(DESK, reason="Run everything"):
        return record_columns(read, business_day=read.business_day, purpose="test")


def test_a_moved_price_runs_its_holders_again_and_nobody_else(days: list[Path]) -> None:
    standing = stand()
    as_of = marked_again("BTC-PERP", "0.9")
    horizon = store_horizon("test")
    touched = read_touched(standing, horizon_id=horizon.pk, as_of=as_of)
    run = run_of(touched)
    assert (run.purpose, run.layout) == (INCREMENTAL, "columns")
    whole = whole_run(as_of)
    assert 0 < run.scope_count < whole.scope_count
    everyone, parts = said(whole), parts_said(whole)
    assert said(run) == {scope: everyone[scope] for scope in said(run)}
    assert parts_said(run) == {scope: parts[scope] for scope in said(run)}
    before = said(MarginRun.objects.get(purpose="end-of-day", business_day=run.business_day))
    moved = {scope for scope in everyone if everyone[scope][2:6] != before[scope][2:6]}
    assert moved <= said(run).keys()
    assert replay(run.number).is_same
    assert whole_runs().latest("pk") == whole


def test_nothing_moved_is_no_run(days: list[Path]) -> None:
    standing = stand()
    as_of = marked_again("nothing", "1")
    touched = read_touched(standing, horizon_id=store_horizon("test").pk, as_of=as_of)
    assert len(touched.read.scopes) == 0
    with acting(DESK, reason="Run what was touched"):
        assert record_touched(touched) is None
    assert not MarginRun.objects.filter(purpose=INCREMENTAL).exists()


def test_postings_touch_their_scopes_and_the_book_stands_as_if_read_anew(
    days: list[Path],
) -> None:
    standing = stand()
    run_day(days[2])
    day = MarginRun.objects.latest("pk")
    touched = read_touched(standing, horizon_id=day.horizon_id, as_of=day.as_of)
    run = run_of(touched)
    everyone = said(day)
    assert said(run) == {scope: everyone[scope] for scope in said(run)}
    before = said(MarginRun.objects.filter(purpose="end-of-day").order_by("pk")[1])
    changed = {scope for scope in everyone if everyone[scope][2:6] != before[scope][2:6]}
    assert changed <= said(run).keys()
    # What stands then is the whole book, and the next price runs on it.
    with acting(DESK, reason="From what stands"):
        stands = record_columns(touched.standing.read, business_day=day.business_day, purpose="t")
    assert said(stands) == everyone
    assert replay(run.number).is_same


def test_calls_and_tasks_of_others_are_left_alone(days: list[Path]) -> None:
    standing = stand()
    calls = dict(MarginCall.objects.open().values_list("scope", "state"))
    tasks = set(Task.objects.filter(closed_at__isnull=True).values_list("kind", "scope", "key"))
    as_of = marked_again("BTC-PERP", "0.5")
    horizon = store_horizon("test")
    touched = read_touched(standing, horizon_id=horizon.pk, as_of=as_of)
    with acting(DESK, reason="Run what was touched and settle it"):
        run = record_touched(touched)
        assert run is not None
        settle_run(run)
    spoken_of = set(said(run))
    after = dict(MarginCall.objects.open().values_list("scope", "state"))
    assert {s: v for s, v in after.items() if s not in spoken_of} == {
        s: v for s, v in calls.items() if s not in spoken_of
    }
    called = {scope for scope, row in said(run).items() if row[6] > 0}
    assert called
    assert called <= after.keys()
    left = set(Task.objects.filter(closed_at__isnull=True).values_list("kind", "scope", "key"))
    of_scopes = {"liquidate", "deficit"}
    others = {task for task in tasks if task[0] in of_scopes and task[1] not in spoken_of}
    assert others <= left


def test_a_corrected_mark_is_the_one_that_counts(days: list[Path]) -> None:
    standing, desk = stand(), found_desk(entity=LegalEntity.objects.get())
    as_of = marked_again("BTC-PERP", "0.9")
    wrong = Mark.objects.get(as_of=as_of, asset__code="BTC-PERP")
    correct(desk, wrong, wrong.price * Decimal("0.8"))
    touched = read_touched(standing, horizon_id=store_horizon("test").pk, as_of=as_of)
    assert touched.read.marks[wrong.asset_id].corrects_id == wrong.pk
    run, whole = run_of(touched), whole_run(as_of)
    assert said(run) == {scope: said(whole)[scope] for scope in said(run)}
    assert run.scope_count > 3
    assert replay(run.number).is_same


@pytest.mark.parametrize(("without", "leaves"), [("BTC-PERP", False), ("RUNE", True)])
def test_who_holds_what_has_no_price_is_an_exception_and_never_a_number(
    days: list[Path], without: str, leaves: bool
) -> None:
    standing = stand()
    as_of = marked_again("BTC", "0.9", without=without)
    touched = read_touched(standing, horizon_id=store_horizon("test").pk, as_of=as_of)
    run, whole = run_of(touched), whole_run(as_of)
    assert exceptions_said(run) == exceptions_said(whole) != []
    assert said(run) == {scope: said(whole)[scope] for scope in said(run)}
    assert bool(said(run)) == leaves, "somebody else is run as ever"
    assert replay(run.number).is_same


def test_a_crowd_that_pays_needs_rows(days: list[Path]) -> None:
    standing = stand()
    set_policy(found_desk(entity=LegalEntity.objects.get()), CROWDING, HERD)
    as_of = marked_again("BTC-PERP", "0.9")
    with pytest.raises(NotInColumnsError):
        read_touched(standing, horizon_id=store_horizon("test").pk, as_of=as_of)
    assert not MarginRun.objects.filter(purpose=INCREMENTAL).exists()


def test_a_run_of_some_scopes_is_restated_for_these_alone(days: list[Path]) -> None:
    standing, desk = stand(), found_desk(entity=LegalEntity.objects.get())
    as_of = marked_again("BTC-PERP", "0.5")
    touched = read_touched(standing, horizon_id=store_horizon("test").pk, as_of=as_of)
    with acting(DESK, reason="Run what was touched and settle it"):
        run = record_touched(touched)
        assert run is not None
        settle_run(run)
    assert restated(desk, run.number).run is None, "nothing became known"
    wrong = Mark.objects.get(as_of=as_of, asset__code="BTC-PERP")
    correct(desk, wrong, wrong.price * 2)
    found = restated(desk, run.number).run
    assert found is not None
    assert found.scope_count > run.scope_count
    spoken_of = set(said(run))
    differing = {row.scope_id for row in differing_results(found)}
    assert differing
    assert differing <= spoken_of
    named = affected_calls(found)
    assert named
    assert {each.scope.pk for each in named} <= spoken_of
    assert [rows.count() for rows in differing_exceptions(found)] == [0, 0]
    assert all(replay(each.number).is_same for each in (run, found))


def test_another_account_needs_a_run_of_everything(days: list[Path]) -> None:
    standing = stand()
    as_of = marked_again("BTC-PERP", "0.9")
    open_account_without_agreement()
    with pytest.raises(WholeRunNeededError):
        read_touched(standing, horizon_id=store_horizon("test").pk, as_of=as_of)
    assert not MarginRun.objects.filter(purpose=INCREMENTAL).exists()


def test_terms_that_begin_tomorrow_need_a_run_of_everything_tomorrow(days: list[Path]) -> None:
    run = MarginRun.objects.latest("pk")
    set_stricter_levels(days[2].name)
    standing = standing_of(read_columns(horizon_id=store_horizon("test").pk, as_of=run.as_of))
    today = marked_again("BTC-PERP", "0.9")
    assert len(read_touched(standing, horizon_id=store_horizon("test").pk, as_of=today).read.scopes)
    next_day = marked_again(
        "BTC-PERP", "0.9", later=date.fromisoformat(days[2].name) - run.business_day
    )
    with pytest.raises(WholeRunNeededError):
        read_touched(standing, horizon_id=store_horizon("test").pk, as_of=next_day)
    assert not MarginRun.objects.filter(purpose=INCREMENTAL).exists()


def test_calls_are_numbered_on_beyond_ten_thousand(days: list[Path]) -> None:
    standing = stand()
    as_of = marked_again("BTC-PERP", "0.5")
    touched = read_touched(standing, horizon_id=store_horizon("test").pk, as_of=as_of)
    prefix = f"MC-{as_of:%y%m%d}-"
    one = MarginCall.objects.order_by("pk")[0]
    kept = {
        field.attname: getattr(one, field.attname)
        for field in one._meta.concrete_fields
        if field.attname != "id"
    }
    ended = {"state": "issued", "kind": "initial"}
    with acting(DESK, reason="Calls of a large house"):
        for number in ("9999", "10000"):
            call = MarginCall.objects.create(**kept | ended | {"number": prefix + number})
            CallEvent.objects.create(
                call=call, event="issued", to_state="issued", occurred_at=as_of
            )
            become(
                call, "met", at=as_of, text="Large house", ended_at=as_of,
                end_reason="collateral_received",
            )  # fmt: skip
    with acting(DESK, reason="Run what was touched and settle it"):
        run = record_touched(touched)
        assert run is not None
        issued = settle_run(run).issued
    assert issued > 0
    numbers = {call.number for call in MarginCall.objects.filter(first_result__run=run)}
    assert numbers == {f"{prefix}{10_000 + place}" for place in range(1, issued + 1)}
