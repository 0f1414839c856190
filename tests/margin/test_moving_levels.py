"""Levels that follow a session and a volatility: in runs, ladders, replays, screens and the API."""

from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client as Browser
from django.urls import reverse
from psycopg.errors import UniqueViolation

from accounts.approvals import AskRefusedError
from accounts.models import Agreement, Approval, LegalEntity, Role
from brokerage.inbox.cycle import run_day
from margin.book.columns import NotInColumnsError, read_columns
from margin.calls.terms import request_call_terms
from margin.explanation import as_json, find_result
from margin.levels import levels_of
from margin.models import LevelEvent, MarginCall, MarginResult, MarginRun, Mark, MovedLevels
from margin.preview import preview_request
from margin.remargin import read_touched, standing_of
from margin.runs import replay
from margin.verify import check_margin
from margin.what_if import Change, what_if
from tests.accounts.people import Desk, found_desk, person, sign_in
from tests.accounts.raw import act, refused
from tests.ledger.agreeing import agreed, standing
from tests.margin.restating import correct, restated
from tests.stage import booked_days

D = Decimal
WHY = "Nights are thin"
SESSION = {"session_calendar": "NYSE", "session_addition": "1.5"}
VOLATILITY = {
    "volatility_asset": "BTC-PERP", "volatility_days": 2, "volatility_normal": "0",
    "volatility_factor": "100", "volatility_cap": "0.5", "volatility_step": "0.2",
}  # fmt: skip
LADDER = {"notice_level": "3", "close_only_level": "0.9", "hysteresis": "0.05"}


@pytest.fixture
def days(db: None, tmp_path: Path) -> list[Path]:
    """A small firm after its first day; its runs are of 21:00 UTC, when NYSE closes."""
    return booked_days(tmp_path / "firm", accounts=40, seed=4, days=4, booked=1)


@pytest.fixture
def desk(days: list[Path]) -> Desk:
    return found_desk(entity=LegalEntity.objects.get())


def newest() -> MarginRun:
    return MarginRun.objects.latest("pk")


def busiest() -> Agreement:
    """The agreement under which most scopes are."""
    counts: dict[int, int] = {}
    for result in MarginResult.objects.filter(run=newest()).select_related("agreement_version"):
        agreement = result.agreement_version.agreement_id
        counts[agreement] = counts.get(agreement, 0) + 1
    return Agreement.objects.get(pk=max(counts, key=lambda pk: (counts[pk], pk)))


def set_terms(desk: Desk, agreement: Agreement, first_day: str, **values: Any) -> None:
    asked = request_call_terms(
        legal_entity=desk.entity, agreement=agreement,
        effective_from=datetime.fromisoformat(first_day).date(), values=values, reason=WHY,
        actor=person(desk[Role.RISK]),
    )  # fmt: skip
    agreed(asked, desk[Role.COMPLIANCE])


def explained(result: MarginResult) -> dict[str, Any]:
    bucket = result.scope.bucket
    assert bucket is not None
    return as_json(find_result(result.run.number, f"{bucket.account.code}/{bucket.code}"))


def is_sound() -> bool:
    with connection.cursor() as cursor:
        return all(check.is_sound for check in check_margin(cursor))


def test_a_night_raises_every_level_and_every_place_says_so(days: list[Path], desk: Desk) -> None:
    first, agreement = newest(), busiest()
    set_terms(desk, agreement, days[1].name, **SESSION, **LADDER)
    run_day(days[1])
    run = newest()
    moved = run.moved_levels.get()
    assert (moved.session, moved.volatility) == (D("1.5"), 0)
    assert moved.inputs == {"calendar": "NYSE", "in_session": False}
    results = run.results.select_related("agreement_version", "moved", "scope__bucket__account")
    under = [each for each in results if each.agreement_version.agreement_id == agreement.pk]
    assert under
    assert {each.pk for each in results if each.moved is not None} == {each.pk for each in under}
    by_night = []
    for result in under:
        version, maintenance = result.agreement_version, result.maintenance_margin
        assert levels_of(result).call == (version.call_level + D("1.5")) * maintenance
        least = min(levels_of(result).call, result.initial_margin)
        if version.call_level * maintenance <= result.equity < least:
            assert result.state in ("CALL", "LIQUIDATE")
            by_night.append(result)
        assert what_if(result.scope.bucket, Change()).now.state == result.state
    assert by_night, "somebody is called who would not be by day"
    said = explained(by_night[0])
    version = by_night[0].agreement_version
    (call,) = [each for each in said["levels"]["levels"] if each["name"] == "call"]
    assert D(call["base"]) + D(call["session"]) + D(call["volatility"]) == D(call["used"])
    assert D(said["agreement"]["call_level"]) == version.call_level == D(call["base"])
    tests = " ".join(each["figures"] for each in said["state"]["tests"])
    assert "+ 1.5 outside the session of NYSE)" in tests
    fell = LevelEvent.objects.filter(run=run, way="dropped", level="close_only")
    assert fell.exists()
    assert all(each.ratio < D("2.4") for each in fell)
    assert replay(first.number).is_same, "what was run before is what it was"
    assert replay(run.number).is_same
    assert is_sound()
    # FX trades at that instant: the levels are those of the agreement, and those that fell return.
    set_terms(desk, agreement, days[2].name, **SESSION | {"session_calendar": "FX"}, **LADDER)
    run_day(days[2])
    assert newest().moved_levels.get().inputs == {"calendar": "FX", "in_session": True}
    back = LevelEvent.objects.filter(run=newest(), way="restored", level="close_only")
    assert back.exists()
    assert all(each.ratio >= D("0.95") for each in back)


def test_a_later_change_of_terms_changes_no_run_of_before(days: list[Path], desk: Desk) -> None:
    agreement = busiest()
    set_terms(desk, agreement, days[1].name, **SESSION)
    run_day(days[1])
    run = newest()
    result = run.results.filter(moved__isnull=False).latest("pk")
    before = explained(result)
    set_terms(desk, agreement, days[1].name, **SESSION | {"session_addition": "0.5"})
    assert replay(run.number).is_same
    assert explained(result) == before
    assert run.moved_levels.get().session == D("1.5")
    # What is known now stands beside it.
    beside = restated(desk, run.number).run
    assert beside is not None
    assert beside.moved_levels.get().session == D("0.5")
    assert replay(beside.number).is_same
    assert is_sound()


def test_volatility_moves_levels_by_a_step_from_day_to_day(days: list[Path], desk: Desk) -> None:
    agreement = busiest()
    set_terms(desk, agreement, days[1].name, **VOLATILITY)
    seen = []
    for day in days[1:]:
        run_day(day)
        moved = newest().moved_levels.get()
        seen.append((moved.volatility_before, moved.volatility, moved.inputs["closes"]))
        assert replay(newest().number).is_same
    assert seen == [(0, 0, 2), (0, D("0.2"), 3), (D("0.2"), D("0.4"), 3)]
    assert moved.inputs["target"] == "0.5"
    assert D(moved.inputs["sigma"]) > D("0.005")
    result = newest().results.filter(moved__isnull=False).latest("pk")
    assert explained(result)["levels"]["inputs"] == moved.inputs
    assert is_sound()
    # A close that is corrected later is another input of what is run anew, and of nothing else.
    mark = Mark.objects.standing().get(asset__code="BTC-PERP", as_of=run_of(days[1]).as_of)
    correct(desk, mark, mark.price * 3)
    assert replay(newest().number).is_same


def run_of(day: Path) -> MarginRun:
    return MarginRun.objects.get(business_day=day.name, restates=None)


def test_days_with_levels_that_move_are_run_by_rows(
    db: None, tmp_path: Path, settings: Any
) -> None:
    settings.MARGIN_COLUMNS_FROM = 0
    days = booked_days(tmp_path / "firm", accounts=40, seed=4, days=4, booked=1)
    desk, agreement, first = found_desk(entity=LegalEntity.objects.get()), busiest(), newest()
    kept = standing_of(read_columns(horizon_id=first.horizon_id, as_of=first.as_of))
    set_terms(desk, agreement, days[1].name, **SESSION)
    set_terms(desk, agreement, days[2].name, **LADDER)
    run_day(days[1])
    night = newest()
    assert (first.layout, night.layout) == ("columns", "rows")
    assert night.moved_levels.exists()
    for ask in (
        lambda: read_columns(horizon_id=night.horizon_id, as_of=night.as_of),
        lambda: read_touched(kept, horizon_id=night.horizon_id, as_of=night.as_of),
    ):
        with pytest.raises(NotInColumnsError, match="levels move"):
            ask()
    run_day(days[2])
    assert (newest().layout, newest().moved_levels.exists()) == ("columns", False)
    for run in MarginRun.objects.order_by("pk"):
        assert replay(run.number).is_same


ADDED = (
    "INSERT INTO margin_movedlevels (run_id, agreement_version_id, call_terms_id, session,"
    " volatility, volatility_before, inputs) SELECT %s, agreement_version_id, call_terms_id,"
    " %s, %s, %s, inputs FROM margin_movedlevels WHERE id = %s"
)
RESULT = (
    "INSERT INTO margin_marginresult (run_id, scope_id, agreement_version_id, equity,"
    " initial_margin, maintenance_margin, state, call_amount, flags, moved_id)"
    " SELECT %s, scope_id, agreement_version_id, equity, initial_margin, maintenance_margin,"
    " state, call_amount, flags, %s FROM margin_marginresult WHERE id = %s"
)


def test_the_database_holds_runs_to_the_terms(days: list[Path], desk: Desk, owner: Any) -> None:
    first = newest()
    set_terms(desk, busiest(), days[1].name, **SESSION, **VOLATILITY)
    run_day(days[1])
    run, moved = newest(), newest().moved_levels.get()
    again = copied(owner, run, "MR-AGAIN")
    before = MovedLevels.objects.count()
    for run_id, session, volatility, was in (
        (first.pk, "1.5", "0", "0"),  # the terms were not in force
        (again, "1", "0", "0"),  # all or nothing
        (again, "1.5", "0.3", "0"),  # further than a step
        (again, "1.5", "0.6", "0.5"),  # above the cap
        (again, "1.5", "0.1", "0.5"),  # down further than a step
    ):
        with refused("levels_move_as_terms_say"), act(owner):
            owner.execute(ADDED, [run_id, session, volatility, was, moved.pk])
    with refused("levels_move_up_alone"), act(owner):
        owner.execute(ADDED, [again, "-1.5", "0", "0", moved.pk])
    with pytest.raises(UniqueViolation, match="levels_move_once_a_run"), act(owner):
        owner.execute(ADDED, [run.pk, "1.5", "0", "0", moved.pk])
    result = run.results.filter(moved=moved).latest("pk")
    with refused("result_has_the_levels_of_its_run"), act(owner):
        owner.execute(RESULT, [again, moved.pk, result.pk])
    with act(owner):
        owner.execute(ADDED, [again, "0", "0.2", "0", moved.pk])
    before += 1
    with refused("result_has_the_levels_of_its_run"), act(owner):
        owner.execute(RESULT, [again, None, result.pk])
    assert (MovedLevels.objects.count(), run.results.model.objects.filter(run=again).count()) == (
        before, 0,
    )  # fmt: skip


def copied(owner: Any, run: MarginRun, number: str) -> int:
    """A second run like one, without results."""
    names = ", ".join(
        str(each.column) for each in MarginRun._meta.concrete_fields
        if each.name not in ("id", "number", "xid", "finished_at")
    )  # fmt: skip
    with act(owner):
        (pk,) = owner.execute(
            f"INSERT INTO margin_marginrun (number, {names}) SELECT %s, {names}"
            " FROM margin_marginrun WHERE id = %s RETURNING id",
            [number, run.pk],
        ).fetchone()
    return int(pk)


def test_screen_and_api_ask_for_them_and_show_them(days: list[Path], desk: Desk) -> None:
    agreement, browser = busiest(), Browser()
    sign_in(browser, desk[Role.RISK])
    address = reverse("margin:call-terms", args=[agreement.code])
    api = f"/api/agreements/calls/{agreement.code}/"
    typed = {
        "effective_from": days[1].name, "zone": "UTC", "holidays": "none", "due_at": "17:00",
        "reason": WHY, **SESSION, **LADDER, **{k: str(v) for k, v in VOLATILITY.items()},
    }  # fmt: skip
    before = standing()
    for name, wrong, words in (
        ("session_calendar", "MOON", "There is no calendar MOON"),
        ("volatility_asset", "USD", "USD is nothing that has a mark"),
        ("volatility_asset", "", "asset, factor, cap and step go together"),
        ("session_addition", "", "a calendar and an addition go together"),
    ):
        refusal = browser.post(address, typed | {name: wrong})
        assert refusal.status_code == 422
        assert words in refusal.content.decode()
        said = browser.post(api, typed | {name: wrong}, content_type="application/json")
        assert said.status_code == 422
        assert words in said.content.decode()
    assert standing() == before
    assert browser.post(address, typed).status_code == 302
    approval = Approval.objects.get(action="call.terms")
    page = browser.get(reverse("accounts:approval", args=[approval.pk])).content.decode()
    assert "Session addition" in page
    assert "Volatility step" in page
    preview_at = reverse("margin:parameter-preview", args=[approval.pk])
    assert preview_at in browser.get(reverse("margin:terms")).content.decode()
    shown = browser.get(preview_at).content.decode()
    assert "with other figures" in shown
    assert "Nobody" not in shown
    found = preview_request(newest(), approval)
    assert found.called
    assert {(f.after.equity, f.after.initial_margin) for f in found.affected} == {
        (f.before.equity, f.before.initial_margin) for f in found.affected
    }
    agreed(approval.pk, desk[Role.COMPLIANCE])
    assert "NYSE" in browser.get(address).content.decode()
    run_day(days[1])
    call = MarginCall.objects.open().filter(last_result__moved__isnull=False).earliest("pk")
    page = browser.get(reverse("margin:call", args=[call.number])).content.decode()
    assert "Levels of this run" in page
    assert "NYSE is outside its session: 1.5 is added." in page
    assert "2 closes of BTC-PERP give no volatility of 2 days: 0 is added" in page
    opened = reverse("margin:call", args=[call.number]) + "?explain=equity"
    assert "+ 1.5 outside the session of NYSE" in browser.get(opened).content.decode()
    bucket = call.scope.bucket
    assert bucket is not None
    of_account = reverse("margin:account", args=[bucket.account.code]) + "?tab=agreement"
    assert "Levels as they stand" in browser.get(of_account).content.decode()
    said = browser.get(f"/api/margin-calls/{call.number}/").json()["levels"]
    assert {each["name"] for each in said["levels"]} == {
        "notice", "call", "close_only", "liquidate",
    }  # fmt: skip
    listed = browser.get(f"/api/margin-runs/{newest().number}/results/").json()["results"]
    assert said in [each["levels"] for each in listed]
    board = browser.get(reverse("margin:calls"))
    assert board.status_code == 200


def test_terms_that_name_what_is_not_there_are_refused(desk: Desk) -> None:
    before = standing()
    for wrong in ({"session_calendar": "MOON"}, {"volatility_asset": "MOON"}):
        with pytest.raises(AskRefusedError):
            set_terms(desk, busiest(), "2031-03-04", **SESSION | VOLATILITY | wrong)
    assert standing() == before
