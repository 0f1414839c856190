"""Accounts: figures, balances, statement and terms, and that they agree with each other."""

import csv
import io
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import MarginAccount, Role
from ledger.models import Balance
from margin.levels import SEVERITY, equity_share, withdrawable
from margin.models import MarginCall, MarginResult
from tests.accounts.people import found_desk, sign_in
from tests.margin.firm import SmallFirm
from tests.margin.kept import code_of, parts_of_results


@pytest.fixture
def browser(firm: SmallFirm) -> Browser:
    """L. Brandt of operations, signed in."""
    browser = Browser()
    sign_in(browser, firm.desk[Role.OPERATIONS])
    return browser


def page(browser: Browser, code: str, **query: str) -> Any:
    answer = browser.get(reverse("margin:account", args=[code]), query)
    assert answer.status_code == 200
    return answer


def codes() -> list[str]:
    return list(MarginAccount.objects.order_by("code").values_list("code", flat=True))


def newest(firm: SmallFirm) -> list[MarginResult]:
    return list(MarginResult.objects.filter(run__number=firm.second_run))


def test_every_scope_of_the_newest_run_is_listed_worst_first(
    firm: SmallFirm, browser: Browser
) -> None:
    answer = browser.get(reverse("margin:accounts"))
    shown = [row.result for row in answer.context["rows"]]
    assert {result.pk for result in shown} == {result.pk for result in newest(firm)}
    ranks = [SEVERITY[result.state] for result in shown]
    assert ranks == sorted(ranks, reverse=True)


def test_the_list_finds_scopes_by_flag_and_by_client(firm: SmallFirm, browser: Browser) -> None:
    flagged = browser.get(reverse("margin:accounts"), {"flag": "insufficient_mark"})
    assert {row.result.pk for row in flagged.context["rows"]} == {
        result.pk for result in newest(firm) if "insufficient_mark" in result.flags
    }
    client = MarginAccount.objects.exclude(client=None).order_by("code")[0].client
    assert client is not None
    of_client = browser.get(reverse("margin:accounts"), {"q": client.code})
    owners = {row.result.scope.bucket.account.client.code for row in of_client.context["rows"]}
    assert owners == {client.code}


@pytest.mark.parametrize(
    "tab", ["overview", "statement", "positions", "calls", "agreement", "work"]
)
def test_every_tab_of_every_account_answers(browser: Browser, tab: str) -> None:
    for code in codes()[:12]:
        page(browser, code, tab=tab)


def test_what_may_be_withdrawn_is_never_more_than_what_is_free(
    firm: SmallFirm, browser: Browser
) -> None:
    for code in codes():
        for panel in page(browser, code).context["panels"]:
            free = panel.result.equity - panel.result.initial_margin
            assert 0 <= panel.available <= max(free, Decimal(0))
    called = MarginCall.objects.open()[0].last_result
    assert withdrawable(called, money=Decimal(10**9)) == 0


def test_balances_count_what_the_run_counted(firm: SmallFirm, browser: Browser) -> None:
    for result in newest(firm)[:10]:
        code = result.scope.bucket.account.code  # type: ignore[union-attr]
        holdings = page(browser, code).context["holdings"]
        counted = {
            row.asset.code: row.counts
            for row in holdings.money
            if row.bucket.pk == result.scope.bucket_id
        }
        parts = parts_of_results([result])
        assert counted == {code_of(p): p.amount for p in parts if p.kind == "money_claim"}


def test_the_statement_ends_at_the_balances(browser: Browser) -> None:
    checked = 0
    for code in codes()[:8]:
        rows = statement_rows(browser, code)
        for balance in Balance.objects.filter(
            account__margin_account__code=code, account__account_class="claim"
        ).select_related("account__asset", "account__bucket"):
            moved = [
                Decimal(row["amount"])
                for row in rows
                if row["asset"] == balance.account.asset.code
                and row["bucket"] == balance.account.bucket.code  # type: ignore[union-attr]
                and row["held_as"] == "claim"
            ]
            checked += 1
            assert sum(moved) == -balance.amount
    assert checked > 3


def statement_rows(browser: Browser, code: str) -> list[dict[str, str]]:
    answer = browser.get(
        reverse("margin:account", args=[code]), {"tab": "statement", "format": "csv"}
    )
    return list(csv.DictReader(io.StringIO(answer.content.decode())))


def test_the_statement_narrows_and_sorts(browser: Browser) -> None:
    code = codes()[0]
    lines = page(browser, code, tab="statement", sort="amount", asset="USD").context["lines"]
    amounts = [line.amount for line in lines]
    assert amounts == sorted(amounts)
    assert {line.posting.asset.code for line in lines} <= {"USD"}


def test_the_drawer_of_an_account_names_the_scope(firm: SmallFirm, browser: Browser) -> None:
    result = newest(firm)[0]
    bucket = result.scope.bucket
    assert bucket is not None
    answer = page(browser, bucket.account.code, scope=bucket.code, explain="equity")
    assert answer.context["explanation"].total == result.equity
    assert answer.context["explanation"].adds_up


def test_the_present_stands_in_the_middle_of_the_scenarios(
    firm: SmallFirm, browser: Browser
) -> None:
    tables = 0
    for result in newest(firm):
        code = result.scope.bucket.account.code  # type: ignore[union-attr]
        scenarios = page(browser, code).context["scenarios"]
        if scenarios is None:
            continue
        now = [cell for _, cells in scenarios.rows for cell in cells if cell.is_now]
        assert [cell.figure * 1000 for cell in now] == [result.equity - result.initial_margin]
        tables += 1
    assert tables > 3


def test_an_account_of_another_legal_entity_does_not_exist(firm: SmallFirm) -> None:
    browser = Browser()
    sign_in(browser, found_desk(code="EB-UK")[Role.RISK])
    assert browser.get(reverse("margin:account", args=[codes()[0]])).status_code == 404
    listed = browser.get(reverse("margin:accounts"))
    assert listed.context["rows"] == []


@pytest.mark.parametrize(("code", "query"), [("nobody", ""), ("", "?tab=nothing")])
def test_what_is_not_there_is_not_there(browser: Browser, code: str, query: str) -> None:
    address = reverse("margin:account", args=[code or codes()[0]])
    assert browser.get(f"{address}{query}").status_code == 404


def test_the_list_costs_the_same_for_any_number_of_scopes(browser: Browser) -> None:
    taken = []
    for text in (codes()[0], "A"):
        with CaptureQueriesContext(connection) as captured:
            answer = browser.get(
                reverse("margin:accounts"), {"q": text}, headers={"HX-Request": "true"}
            )
        taken.append((len(answer.context["rows"]), len(captured)))
    (few, queries_of_few), (many, queries_of_many) = taken
    assert few < many
    assert queries_of_few == queries_of_many


def test_the_statement_costs_the_same_for_any_number_of_lines(browser: Browser) -> None:
    taken = {}
    for code in codes():
        with CaptureQueriesContext(connection) as captured:
            lines = page(browser, code, tab="statement").context["lines"]
        taken[len(lines)] = len(captured)
    assert len(taken) > 2
    assert len({queries for count, queries in taken.items() if count}) <= 2


def test_a_row_carries_its_newest_days_on_the_screen_and_in_the_file(
    firm: SmallFirm, browser: Browser
) -> None:
    row = browser.get(reverse("margin:accounts"), {"sort": "-initial_margin"}).context["rows"][0]
    kept = MarginResult.objects.filter(scope=row.result.scope_id, initial_margin__gt=0)
    days = kept.order_by("run__business_day")
    assert [share for _, share in row.trend.days] == [equity_share(each) for each in days]
    assert len(row.trend.days) == 2
    assert row.trend.spark is not None
    address = reverse("margin:accounts"), {"sort": "-initial_margin", "format": "csv"}
    line = next(csv.DictReader(io.StringIO(browser.get(*address).content.decode())))
    said = "; ".join(f"{day.isoformat()} {share:.6f}" for day, share in row.trend.days)
    assert line["trend"] == said
