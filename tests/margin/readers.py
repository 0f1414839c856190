"""Whoever reads a run: each reader says, as text and exact numbers, all that it makes of a book.

What names the run itself, its hashes, is left out: those of a run in columns are of its columns.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from django.db import connection
from django.test import Client as Browser
from django.urls import reverse

from accounts.models import Bucket, MarginAccount, Role
from brokerage.digest import digest
from brokerage.reports import CATALOGUE, write_report
from ledger.models import Asset
from margin.api_what_if import as_json as what_if_json
from margin.calls.affected import affected_calls
from margin.engine.collateral_schedule import read_schedule
from margin.explanation import as_json, as_rows, find_result
from margin.external import statement_of
from margin.free import free_amount
from margin.holding import newest_gate
from margin.models import MarginCall, MarginResult, MarginRun
from margin.preview import preview, with_haircut, with_rates
from margin.restatement import differing_exceptions, differing_results
from margin.runs import replay
from margin.screens.call import called
from margin.screens.drawer import drawer
from margin.screens.scenarios import scenario_table
from margin.verify import CHECKS
from margin.what_if import Change, ThoughtTrade, what_if
from margin.what_if_ground import WhatIfRefusedError
from tests.accounts.people import sign_in
from tests.margin.firm import PERPETUAL, SmallFirm
from tests.margin.restating import prices_come_back, restated

D = Decimal
Said = list[Any]
# What a run says of itself that depends on how it is kept.
OWN = ("inputs_sha256", "model_sha256")
TIERS = {
    "tiers": [{"floor": "0", "haircut": "0.2"}, {"floor": "500", "haircut": "0.4"}],
    "concentration": [], "peg": [], "volatility": None,
}  # fmt: skip
TOTALS = ("equity", "initial_margin", "maintenance_margin")
# Tables that hold how a run is kept; what it says is in none of them alone.
OF_LAYOUT = {"margin_marginrun", "margin_resultcomponent", "margin_runblock"}


def name_of(result: MarginResult) -> str:
    bucket = result.scope.bucket
    assert bucket is not None, "results are of buckets"
    return f"{bucket.account.code}/{bucket.code}"


def results_of(number: str) -> Iterator[MarginResult]:
    """Results of a run as readers find them, by the names of their scopes."""
    rows = MarginResult.objects.filter(run__number=number).select_related("scope__bucket__account")
    for name in sorted(map(name_of, rows)):
        yield find_result(number, name)


def second_run(firm: SmallFirm) -> MarginRun:
    return MarginRun.objects.get(number=firm.second_run)


def browser_of(firm: SmallFirm, role: Role = Role.RISK) -> Browser:
    browser = Browser()
    sign_in(browser, firm.desk[role])
    return browser


def file_at(browser: Browser, address: str) -> str:
    """A list as the file that it is taken out as."""
    answer: Any = browser.get(address, {"format": "csv"})
    assert answer.status_code == 200
    content: bytes = answer.getvalue()
    return content.decode()


def explanations(firm: SmallFirm) -> Said:
    """The tree of every scope, as JSON and as the rows of a file."""
    found: Said = []
    for result in (*results_of(firm.first_run), *results_of(firm.second_run)):
        said = as_json(result)
        assert all(said.pop(name) for name in OWN)
        found.append((said, as_rows(result)))
    return found


def drawers(firm: SmallFirm) -> Said:
    """Every total of every call in the drawer, and what stands above it."""
    calls = MarginCall.objects.order_by("number")
    found: Said = []
    for call in calls:
        result = find_result(call.last_result.run.number, name_of(call.last_result))
        shown = [drawer(result, total, close="", unit=call.currency) for total in TOTALS]
        assert all(each.adds_up for each in shown)
        found.append((call.number, [(repr(each.parts), each.total) for each in shown]))
        found.append(repr(called(result)))
    return found


def account_pages(firm: SmallFirm) -> Said:
    """What the pages of accounts are drawn from: panels, what may be withdrawn, scenarios."""
    browser, found = browser_of(firm), []
    for code in MarginAccount.objects.order_by("code").values_list("code", flat=True)[:14]:
        context = browser.get(reverse("margin:account", args=[code])).context
        panels = [
            (name_of(each.result), each.result.state, each.result.flags, each.available,
             each.share, each.loan)
            for each in context["panels"]
        ]  # fmt: skip
        found.append((code, panels, repr(context["scenarios"])))
    return found


def scenarios(firm: SmallFirm) -> Said:
    return [repr(scenario_table(result)) for result in results_of(firm.second_run)]


def lists(firm: SmallFirm) -> Said:
    """Lists of scopes and calls as files, and results as the API gives them."""
    browser = browser_of(firm)
    addresses = [reverse("margin:accounts"), reverse("margin:calls")]
    files = [file_at(browser, each) for each in addresses]
    api = browser.get(f"/api/margin-runs/{firm.second_run}/results/").json()
    return [*files, api]


def thoughts(firm: SmallFirm) -> Said:
    """What-if of nothing and of a trade, money and prices."""
    change = Change(
        trades=(ThoughtTrade(PERPETUAL, D("-0.5")),),
        money={"USD": D(1000)},
        prices={"BTC": D("4321.5")},
        haircuts={"BTC": D("0.35")},
    )
    buckets = Bucket.objects.filter(account__mode="cross", code="FREE").select_related("account")
    found: Said = []
    for bucket in buckets.order_by("account__code")[:8]:
        found.append(what_if_json(what_if(bucket, Change())))
        try:
            found.append(what_if_json(what_if(bucket, change)))
        except WhatIfRefusedError as refused:
            found.append((refused.rule, refused.detail))
    assert sum(isinstance(each, dict) for each in found) > 8, "some changes could be booked"
    return found


def gates(firm: SmallFirm) -> Said:
    """What may leave of buckets, term by term."""
    gate, money = newest_gate(), Asset.objects.filter(code__in=["BTC", "USD"]).order_by("code")
    buckets = Bucket.objects.select_related("account").order_by("account__code", "code")[:20]
    return [
        (bucket.account.code, bucket.code, asset.code, free_amount(bucket, asset, gate=gate).terms)
        for bucket in buckets
        for asset in money
    ]


def previews(firm: SmallFirm) -> Said:
    """Whom tiers of a haircut, and a perpetual's other brackets, would call."""
    run = second_run(firm)
    bitcoin, perpetual = (Asset.objects.get(code=code) for code in ("BTC", PERPETUAL))
    found = (
        preview(
            run,
            replaced=lambda terms: with_haircut(
                terms, asset=bitcoin, haircut=D("0.2"), day=run.business_day,
                schedule=read_schedule(TIERS),
            ),
        ),
        preview(
            run,
            replaced=lambda terms: with_rates(
                terms, asset=perpetual, day=run.business_day,
                brackets=[(D(0), D("0.4"), D("0.3")), (D(1000), D("0.5"), D("0.45"))],
            ),
        ),
    )  # fmt: skip
    assert all(each.affected for each in found)
    return [affected.as_json() for each in found for affected in each.affected]


def restatements(firm: SmallFirm) -> Said:
    """Nothing to restate, then better prices: what differs, and which calls."""
    run = second_run(firm)
    assert restated(firm.desk, run.number).run is None, "nothing became known"
    prices_come_back(firm.desk, run)
    first, again = restated(firm.desk, run.number), restated(firm.desk, run.number)
    assert first.run is not None
    assert (first.is_new, again.is_new, again.run) == (True, False, first.run)
    assert all(replay(number).is_same for number in (run.number, first.run.number))
    found: Said = [
        (
            name_of(row), row.was_equity, row.equity, row.was_initial, row.initial_margin,
            row.was_state, row.state, row.was_called, row.call_amount,
        )
        for row in differing_results(first.run).order_by(
            "scope__bucket__account__code", "scope__bucket__code"
        )
    ]  # fmt: skip
    assert found, "prices that came back move somebody"
    found.append(file_at(browser_of(firm), reverse("margin:run", args=[first.run.number])))
    found += [[list(each) for each in rows.values_list("account", "bucket_code")]
              for rows in differing_exceptions(first.run)]  # fmt: skip
    for each in affected_calls(first.run):
        number = "" if each.call is None else each.call.number
        found.append((number, each.called, each.should_be, each.effect))
    return found


def report_files(firm: SmallFirm) -> Said:
    """Reports that rest on a run."""
    day = second_run(firm).business_day
    names = (
        "margin-calls", "margin-record", "aggregate-margin", "capital-efficiency",
        "isolation",
    )  # fmt: skip
    return [
        write_report(CATALOGUE[name], day=day, file_format="csv").content.decode() for name in names
    ]


def statements(firm: SmallFirm) -> Said:
    """Our number of every scope as we send it out, component by component."""
    return [statement_of(result, source="US") for result in results_of(firm.second_run)]


def proofs(firm: SmallFirm) -> Said:
    """Both runs replay, the book verifies, and its digest says the same table by table."""
    assert all(replay(number).is_same for number in (firm.first_run, firm.second_run))
    with connection.cursor() as cursor:
        checks = [each for check in CHECKS for each in check(cursor)]
    tables = {
        name: said for name, said in digest()["tables"].items() if name not in OF_LAYOUT
    }  # fmt: skip
    return [[(each.name, each.wrong) for each in checks], tables]


READERS = (
    explanations, drawers, account_pages, scenarios, lists, thoughts, gates, previews,
    restatements, report_files, statements, proofs,
)  # fmt: skip
