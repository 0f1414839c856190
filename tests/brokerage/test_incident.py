"""The incident page: it says what the book says, of one's own, and the timeline is whole."""

import csv
import io
import json
from decimal import Decimal
from pathlib import Path

import pytest
from django.test import Client as Browser

from accounts.models import Role
from margin.levels import levels_of
from margin.liquidation_queue import liquidation_queue
from margin.models import CallEvent, MarginCall, MarginRun
from margin.standing_results import standing_results, standing_runs
from tests.accounts.people import found_desk, sign_in
from tests.margin.firm import SmallFirm, crashed_firm

D = Decimal


@pytest.fixture
def firm(db: None, tmp_path: Path) -> SmallFirm:
    return crashed_firm(tmp_path / "firm")


def signed_in(firm: SmallFirm, role: Role) -> Browser:
    browser = Browser()
    sign_in(browser, firm.desk[role])
    return browser


def test_the_queue_is_by_what_can_be_lost_and_says_where_a_price_does_it(firm: SmallFirm) -> None:
    run = MarginRun.objects.latest("pk")
    queue = liquidation_queue(standing_results(), at=run.as_of)
    assert len(queue) > 3
    covers = [each.result.equity / levels_of(each.result).liquidation for each in queue]
    assert covers == sorted(covers)
    required = standing_results().filter(maintenance_margin__gt=0).count()
    assert len(queue) == min(required, 20)
    for each in queue:
        assert each.headroom == each.result.equity - levels_of(each.result).liquidation
        assert (each.move is None) == bool(each.no_move)
        assert each.move is None or not each.is_reached
    assert any(each.is_reached for each in queue)
    assert any(each.move is not None for each in queue)
    hours = liquidation_queue(standing_results(), at=run.as_of, by_hours=True)
    known = [each.hours for each in hours]
    assert None not in known
    assert known == sorted(known, key=lambda hour: D(hour or 0))


def test_the_page_shows_calls_switches_and_a_whole_timeline(firm: SmallFirm) -> None:
    browser = signed_in(firm, Role.AUDITOR)
    answer = browser.get("/incident/")
    page = answer.content.decode()
    assert answer.status_code == 200
    window = answer.context["window"]
    runs = standing_runs()
    assert runs.as_of is not None
    assert window.begins_at <= runs.as_of < window.ends_at
    events = CallEvent.objects.filter(
        occurred_at__gte=window.begins_at, occurred_at__lt=window.ends_at
    )
    minutes = answer.context["minutes"]
    assert minutes.issued == events.filter(event="issued").count() > 0
    assert sum(row.issued for row in minutes.rows) == minutes.issued
    total = sum(MarginCall.objects.open().values_list("amount", flat=True), D(0))
    assert [each[2] for each in answer.context["totals"]] == [total]
    for label in ("Automatic calls", "Withdrawals", "Liquidation", "Coverage and jobs"):
        assert label in page
    assert 'id="stop-calls"' not in page  # an auditor asks for nothing
    assert 'id="stop-calls"' in signed_in(firm, Role.RISK).get("/incident/").content.decode()
    # The region alone, and nothing while it is as the browser has it.
    digest = page.split('"X-Live": "')[1].split('"')[0]
    again = browser.get("/incident/", headers={"HX-Request": "true", "X-Live": digest})
    assert again.status_code in (200, 204)
    rows = list(csv.DictReader(io.StringIO(browser.get("/incident/timeline.csv").content.decode())))
    assert [row["row"] for row in rows if row["kind"] == "call"] != []
    assert {f"margin_callevent:{pk}" for pk in events.values_list("pk", flat=True)} == {
        row["row"] for row in rows if row["kind"] == "call"
    }
    assert rows == sorted(rows, key=lambda row: row["at"])
    assert len({row["row"] for row in rows}) == len(rows)
    said = json.loads(browser.get("/incident/timeline.json?kind=run").content)
    assert {row["kind"] for row in said["rows"]} == {"run"}
    assert said["count"] == len(said["rows"]) > 0


def test_a_window_is_typed_or_refused_and_nobody_sees_another_firm(firm: SmallFirm) -> None:
    browser = signed_in(firm, Role.RISK)
    for wrong in ("from=yesterday", "from=2031-03-05T10:00&until=2031-03-05T09:00",
                  "from=2031-03-01T00:00&until=2031-03-09T00:00"):  # fmt: skip
        assert "alert" in browser.get(f"/incident/?{wrong}").content.decode()
        assert browser.get(f"/incident/timeline.csv?{wrong}").status_code == 422
    empty = browser.get("/incident/?from=2030-01-01T00:00")
    assert empty.context["item_count"] == 0
    stranger = Browser()
    sign_in(stranger, found_desk(code="EB-UK")[Role.RISK])
    page = stranger.get("/incident/")
    assert page.context["queue"] == []
    assert {item.kind for item in page.context["items"]} <= {"run", "file", "price", "task"}
