"""Idle collateral and other models; roll-ups that add up; isolation that is advised."""

import csv
from dataclasses import replace
from datetime import date
from decimal import Decimal
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.test import Client as Browser
from django.urls import reverse

from accounts.models import Agreement, LegalEntity, MarginAccount, Role
from brokerage.inbox.cycle import run_day
from brokerage.reports import CATALOGUE, write_report
from ledger.times import one_snapshot
from margin.aggregate import DIMENSIONS, LEVELS, of_some, roll_up, totals
from margin.alternatives import HOUSE, alternatives_of, previewed, requirements
from margin.book import ReadInputs, read_with_models
from margin.book.closes import Close, Closes
from margin.efficiency import IdleRate, efficiency, idle_rate
from margin.isolation import isolation
from margin.models import MarginResult, MarginRun
from tests.accounts.people import Desk, found_desk, sign_in
from tests.margin.under_models import PRODUCTION, SHADOW, decide, set_parameters, used_by
from tests.stage import booked_days, staged

D = Decimal
DAYS = (date(2031, 3, 3), date(2031, 3, 4))


@pytest.fixture
def desk(db: None, tmp_path: Path) -> Desk:
    """Most accounts under the delta margin; another set of it in production, scenarios watched."""
    days = booked_days(tmp_path / "firm", accounts=30, seed=4, days=2, booked=1)

    def build() -> Desk:
        desk = found_desk(entity=LegalEntity.objects.get())
        used_by(desk, Agreement.objects.get(code="STD"), "delta", DAYS[1])
        set_parameters(desk, "delta", DAYS[1], code="LOW", shock=0.05, residual=0.01)
        decide(desk, "delta", PRODUCTION, DAYS[1], code="LOW")
        set_parameters(desk, "scenario", DAYS[1])
        decide(desk, "scenario", SHADOW, DAYS[1])
        run_day(days[1])
        return desk

    return staged("delta and alternatives", build)


def newest() -> MarginRun:
    return MarginRun.objects.latest("pk")


def inputs(run: MarginRun) -> ReadInputs:
    with one_snapshot():
        return read_with_models(run)


def report_rows(name: str) -> list[dict[str, str]]:
    written = write_report(CATALOGUE[name], day=DAYS[1], file_format="csv")
    again = write_report(CATALOGUE[name], day=DAYS[1], file_format="csv")
    assert written.content == again.content
    return list(csv.DictReader(StringIO(written.content.decode())))


# ---------------------------------------------------------------- capital efficiency


def test_accounts_are_ranked_by_idle_cost_and_the_saving_is_that_of_the_preview(desk: Desk) -> None:
    run = newest()
    read = inputs(run)
    rate = IdleRate(D("0.05"), "said")
    rows = efficiency(run, read=read, rate=rate)
    assert [row.idle_cost for row in rows] == sorted((r.idle_cost for r in rows), reverse=True)
    stored = {row.scope_id: row for row in MarginResult.objects.filter(run=run)}
    suggested = 0
    for row in rows:
        places = [n for n, scope in enumerate(read.scopes) if scope.account_id == row.account_id]
        results = [stored[read.scopes[n].scope_id] for n in places]
        assert row.excess == sum(
            (max(each.equity - each.initial_margin, D(0)) for each in results), D(0)
        )
        assert abs(row.idle_cost - row.excess * D("0.05")) <= D("0.005")
        if row.suggested is None:
            continue
        suggested += 1
        done = previewed(read, places=places, key=row.suggested.key)
        after = sum((initial for initial, _ in requirements(done).values()), D(0))
        assert row.suggested.saving == row.initial - after > 0
        assert row.suggested.standing == PRODUCTION
    assert suggested > 3
    assert {row.suggested.key for row in rows if row.suggested} >= {("delta", "LOW")}


def test_the_preview_of_the_model_in_force_is_the_run_itself(desk: Desk) -> None:
    run = newest()
    read = inputs(run)
    stored = {row.scope_id: row for row in MarginResult.objects.filter(run=run)}
    for key in (("delta", "S1"), HOUSE):
        places = [n for n, row in enumerate(read.scopes) if (row.model_key or HOUSE) == key]
        assert places
        for scope, said in requirements(previewed(read, places=places, key=key)).items():
            row = stored[scope]
            assert said == (row.initial_margin, row.maintenance_margin)


def test_what_is_watched_is_compared_and_not_suggested(desk: Desk) -> None:
    run = newest()
    read = inputs(run)
    for place, asked in enumerate(alternatives_of(read)):
        assert {each.key for each in asked} == {
            HOUSE, ("delta", "LOW"), ("delta", "S1"), ("scenario", "S1"),
        }, place  # fmt: skip
    rows = efficiency(run, read=read, rate=IdleRate(D(1), "said"))
    assert any(mode.key == ("scenario", "S1") for row in rows for mode in row.modes)
    assert not any(row.suggested and row.suggested.key[0] == "scenario" for row in rows)


def test_the_report_has_every_account_and_says_the_rate(desk: Desk) -> None:
    rows = report_rows("capital-efficiency")
    assert {row["rate_source"] for row in rows} == {"setting IDLE_COLLATERAL_RATE"}
    assert [int(row["rank"]) for row in rows] == list(range(1, len(rows) + 1))
    assert len(rows) == len(set(newest().results.values_list("scope__bucket__account")))
    run = newest()
    rate = idle_rate(desk.entity.pk, day=run.business_day, horizon_id=run.horizon_id)
    said = efficiency(run, read=inputs(run), rate=rate)
    assert [(row["account"], D(row["saving"])) for row in rows] == [
        (row.account, row.suggested.saving if row.suggested else D(0)) for row in said
    ]


def test_the_screens_show_what_the_report_says(desk: Desk) -> None:
    browser = Browser()
    sign_in(browser, desk[Role.TREASURY])
    page = browser.get(reverse("margin:efficiency"))
    best = next(row for row in page.context["rows"] if row.suggested)
    address = reverse("margin:alternative", args=[best.account])
    shown = browser.get(address, {"model": best.suggested.name})
    assert shown.status_code == 200
    assert shown.context["saving"] == best.suggested.saving
    assert browser.get(address, {"model": "delta NONE"}).status_code == 404
    assert browser.get(reverse("margin:alternative", args=["nobody"])).status_code == 404
    for role, status in ((Role.AUDITOR, 200), (Role.ADMINISTRATOR, 403)):
        other = Browser()
        sign_in(other, desk[role])
        for name in ("efficiency", "isolation", "aggregate"):
            assert other.get(reverse(f"margin:{name}")).status_code == status, (role, name)


# ---------------------------------------------------------------- aggregate margin


def test_roll_ups_add_up_at_every_level_and_in_every_division(desk: Desk) -> None:
    run = newest()
    read = inputs(run)
    (whole,) = roll_up(read, run=run, by="book")
    stored = sum(run.results.values_list("maintenance_margin", flat=True), D(0))
    assert whole.gross == stored > 0
    for by in (*LEVELS, *DIMENSIONS):
        lines = roll_up(read, run=run, by=by)
        assert totals(lines) == stored, by
        for line in lines:
            assert line.netted is not None
            assert line.offset == line.gross - line.netted
    for above, below in pairwise(LEVELS):
        for line in roll_up(read, run=run, by=above):
            part = of_some(read, lambda place, a=above, n=line.name: place.at(a) == n)
            assert totals(roll_up(part, run=run, by=below)) == line.gross, (above, line.name)


def test_a_scope_alone_nets_to_itself_and_opposite_ones_cancel(desk: Desk) -> None:
    run = newest()
    read = inputs(run)
    for line in roll_up(read, run=run, by="scope"):
        assert (line.netted, line.offset) == (line.gross, D(0))
    # Twice the book, once the other way round: together it holds no position at all.
    by_client = roll_up(read, run=run, by="client")
    assert any(line.offset for line in by_client) or len(by_client) == len(read.scopes)
    under = [n for n, row in enumerate(read.scopes) if row.model_key == ("delta", "S1")]
    (whole,) = roll_up(of_some(read, lambda place: place.model == "delta S1"), run=run, by="book")
    assert whole.netted is not None
    assert whole.netted == one_scope(read, under)
    assert whole.netted <= whole.gross


def one_scope(read: ReadInputs, places: list[int]) -> Decimal:
    """Maintenance margin by delta of all that scopes hold, netted by hand."""
    values: dict[str, Decimal] = {}
    for held in (*read.claims, *read.positions):
        code = read.assets[held.asset_id].code
        if held.scope in places and code != "USD":
            value = held.amount * read.marks[held.asset_id].price
            values[code] = values.get(code, D(0)) + value
    both = D("0.15") + D("0.02")
    exact = sum((abs(value) for value in values.values()), D(0)) * both * D("0.75")
    return exact.quantize(D("0.01"), rounding="ROUND_CEILING")


def test_the_page_opens_down_to_a_scope_and_shows_its_history(desk: Desk) -> None:
    browser = Browser()
    sign_in(browser, desk[Role.RISK])
    address, seen = f"{reverse('margin:aggregate')}?by=pool", 0
    while address:
        page: Any = browser.get(address)
        assert page.status_code == 200
        assert page.context["adds_up"]
        (_, address), seen = page.context["lines"][0], seen + 1
    assert seen == len(LEVELS) - 1
    page = browser.get(reverse("margin:aggregate"), {"by": "underlying"})
    assert page.context["adds_up"]
    assert [day for day, _ in page.context["history"]] == list(reversed(DAYS))
    assert browser.get(reverse("margin:aggregate"), {"by": "moon"}).status_code == 404


def test_the_report_has_all_divisions(desk: Desk) -> None:
    rows = report_rows("aggregate-margin")
    assert {row["by"] for row in rows} == {*LEVELS, *DIMENSIONS}
    whole = next(row for row in rows if row["by"] == "book")
    for by in (*LEVELS, *DIMENSIONS):
        assert sum(D(r["maintenance_margin"]) for r in rows if r["by"] == by) == D(
            whole["maintenance_margin"]
        )


# ---------------------------------------------------------------- isolation


def test_a_history_too_short_is_said_and_nothing_is_advised(desk: Desk) -> None:
    for row in isolation(inputs(newest())):
        assert (row.margins, row.advised) == ((), "")
        assert "days" in row.why
    for line in report_rows("isolation"):
        assert (line["alone"], line["advised"]) == ("", "")


@pytest.fixture
def with_past(desk: Desk) -> ReadInputs:
    """The run's inputs with two years of closes of every asset, the same move in all."""
    read = inputs(newest())
    moves = np.random.Generator(np.random.PCG64(3)).normal(0, 0.02, 520)
    closes = []
    for pk, mark in read.marks.items():
        price = float(mark.price)
        for n, move in enumerate(moves):
            price *= 1 + move
            closes.append(Close(pk, date.fromordinal(700_000 + n), D(str(float(price)))))
    return replace(read, closes=Closes(closes))


def test_legs_that_lose_together_are_advised_to_stay_apart(with_past: ReadInputs) -> None:
    rows = [row for row in isolation(with_past) if row.owner.scopes > 1 and row.margins]
    assert rows
    assert isolation(with_past) == isolation(with_past)
    for row in rows:
        assert len(row.inputs_sha256) == 64
        assert row.margins[0] >= row.margins[-1]
        assert row.cost == row.margins[0] - row.margins[-1]
        if row.margins[0] and row.cost <= row.margins[0] * D("0.04"):
            assert row.advised == "alone"
    one_way = [row for row in rows if row.margins[0] and row.advised == "alone"]
    assert one_way
    accounts = MarginAccount.objects.filter(pk__in=one_way[0].owner.accounts)
    assert accounts.exists()
