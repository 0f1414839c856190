"""Which run a reader sees after prices came inside a day: scopes the newest, days their own."""

from pathlib import Path
from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse

from accounts.figures import grouped
from accounts.models import LegalEntity, Role
from brokerage.models import BusinessDay
from brokerage.strip import strip_of
from margin.aggregate import history_of
from margin.models import MarginResult, MarginRun
from margin.screens.history import scope_history
from margin.standing_results import standing_runs
from tests.accounts.people import found_desk, sign_in
from tests.brokerage.intraday import after, moved, run_here
from tests.stage import booked_days


@pytest.fixture
def day_run(db: None, tmp_path: Path, settings: Any) -> MarginRun:
    """The run of the second day, behind which a price moved."""
    settings.MARGIN_COLUMNS_FROM = 0
    booked_days(tmp_path / "firm", accounts=40, seed=4, days=3, booked=2)
    newest = MarginRun.objects.latest("pk")
    moved(after(30))
    run_here()
    moved(after(5), BTC_PERP="0.5", BTC="0.7")
    assert run_here().is_new
    return newest


@pytest.fixture
def browser(day_run: MarginRun) -> Browser:
    browser = Browser()
    sign_in(browser, found_desk(entity=LegalEntity.objects.get())[Role.RISK])
    return browser


def text(browser: Browser, address: str) -> str:
    answer = browser.get(address)
    assert answer.status_code == 200
    return answer.content.decode()


def test_an_account_stands_at_the_newest_run_that_speaks_of_it(
    day_run: MarginRun, browser: Browser
) -> None:
    runs = standing_runs()
    assert runs.newest is not None
    assert runs.whole == day_run
    for run in (runs.newest, day_run):
        result = runs.results().filter(run=run).select_related("scope__bucket__account")[0]
        assert result.scope.bucket is not None
        code = result.scope.bucket.account.code
        page = text(browser, reverse("margin:account", args=[code]))
        assert f"run {run.number}" in page
        assert grouped(result.equity, decimals=2) in page
        assert grouped(result.equity, decimals=2) in text(
            browser, f"{reverse('margin:accounts')}?q={code}"
        )


def test_every_scope_stands_once(day_run: MarginRun) -> None:
    scopes = list(standing_runs().results().values_list("scope", flat=True))
    assert len(scopes) == len(set(scopes)) == day_run.scope_count


def test_the_board_says_at_which_prices_it_stands(day_run: MarginRun, browser: Browser) -> None:
    newest = standing_runs().newest
    assert newest is not None
    assert f"in run {newest.number}" in text(browser, "/")
    first = BusinessDay.objects.order_by("day")[0]
    past = text(browser, reverse("brokerage:day", args=[first.day.isoformat()]))
    assert "in run MR-" not in past


def test_days_stay_with_their_own_runs(day_run: MarginRun) -> None:
    assert strip_of(BusinessDay.objects.latest("day")).run == day_run.number
    accounts = MarginResult.objects.values_list("scope__bucket__account", flat=True)
    trend = dict(history_of("book", "", accounts=set(accounts)))
    total = sum(row.maintenance_margin for row in day_run.results.all())
    assert trend[day_run.business_day] == total


def test_the_history_of_a_scope_ends_at_the_newest_and_has_one_line_a_day(
    day_run: MarginRun,
) -> None:
    newest = standing_runs().newest
    result = MarginResult.objects.filter(run=newest)[0]
    shown = scope_history(result.scope_id).results
    assert shown[-1] == result
    days = [each.run.business_day for each in shown]
    assert days == sorted(set(days))
