"""One account: what it needs, has and owes, its calls, its statement, its terms."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from django.db.models import Case, IntegerField, Value, When
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from accounts.agreed_terms import account_terms
from accounts.agreements import END
from accounts.approvals import pending_on
from accounts.explanation import Explanation
from accounts.figures import WIDE
from accounts.groups import group_of
from accounts.models import AgreementVersion, MarginAccount
from accounts.roles import REQUEST, DeskRequest, may, require
from ledger.screens.times import Times, in_two_times
from margin.engine.components import OF_MONEY
from margin.levels import SEVERITY, equity_share, levels_words, withdrawable
from margin.models import MarginCall, MarginResult, MarginRun
from margin.parts import parts_of
from margin.screens.account_work import work_section
from margin.screens.drawer import Question, questions, without_drawer
from margin.screens.drawer_links import rate_words
from margin.screens.history import scope_history
from margin.screens.holdings import Holdings, holdings_of
from margin.screens.opened import opened
from margin.screens.scenarios import scenario_table
from margin.screens.statement import NEWEST_SHOWN, lines_of, statement_lines, statement_listing
from margin.screens.then import account_then
from margin.screens.visible import CALL_ACCOUNT, account_or_404, of_accounts
from margin.standing_results import StandingRuns, standing_runs

TABS = {
    "overview": "Overview",
    "statement": "Statement",
    "positions": "Positions",
    "calls": "Calls",
    "agreement": "Agreement",
    "work": "Tasks and links",
}
CALLS_SHOWN_MAX = 100


@dataclass(frozen=True)
class ScopePanel:
    """What the newest run says of one scope of the account."""

    result: MarginResult
    call: MarginCall | None
    available: Decimal
    share: Decimal | None
    loan: Decimal
    ask: dict[str, Question]


@require_GET
@require("read")
@in_two_times()
def account_page(request: DeskRequest, code: str, *, times: Times) -> HttpResponse:
    """The page of one account; `?tab=` a section, `?scope=` and `?explain=` the drawer."""
    account = account_or_404(request, code)
    if times.point is not None:
        return account_then(request, account, times)
    tab = request.GET.get("tab", "overview")
    if tab not in TABS:
        raise Http404("There is no such page.")
    runs = standing_runs()
    run, results = runs.newest, results_of(account, runs)
    context: dict[str, Any] = {
        "account": account,
        "times": times,
        "run": run,
        "worst": max(results, key=lambda each: SEVERITY[each.state]) if results else None,
        "agreement": account_terms(account.pk, day=day_of(run)),
        "siblings": siblings(request, account, runs),
        "group": group_of(account, day=day_of(run)),
        "tab": tab,
        "tabs": [(key, word, f"{request.path}?tab={key}") for key, word in TABS.items()],
        "explanation": explanation(request, results),
    }
    if tab == "statement":
        return statement_page(request, account, context)
    section = {
        "overview": overview,
        "positions": positions,
        "calls": calls_section,
        "agreement": agreement_section,
        "work": work,
    }[tab]
    context |= section(request, account, results, day_of(run))
    return render(request, "margin/account.html", context)


def day_of(run: MarginRun | None) -> date:
    """The day whose terms and marks the page shows."""
    return run.business_day if run else timezone.now().date()


def results_of(account: MarginAccount, runs: StandingRuns) -> list[MarginResult]:
    """How the account's scopes stand now, in the order of their buckets."""
    found = runs.results(scope__bucket__account=account)
    return list(
        found.select_related(
            "run",
            "scope__bucket__account",
            "agreement_version__agreement",
            "parameter_set",
            "moved__call_terms",
        ).order_by("scope__bucket__code")
    )


def siblings(
    request: DeskRequest, account: MarginAccount, runs: StandingRuns
) -> list[tuple[str, str]]:
    """Code and worst state of the client's other accounts that the person may see; one query."""
    if account.client_id is None:
        return []
    severity = Case(
        *(When(state=state, then=Value(rank)) for state, rank in SEVERITY.items()),
        output_field=IntegerField(),
    )
    worst = (
        runs.results(scope__bucket__account__client=account.client_id)
        .filter(of_accounts(request.roles, [account.legal_entity_id], path=CALL_ACCOUNT))
        .exclude(scope__bucket__account=account)
        .annotate(severity=severity)
        .order_by("scope__bucket__account__code", "-severity")
        .distinct("scope__bucket__account__code")
    )
    return list(worst.values_list("scope__bucket__account__code", "state"))


def explanation(request: DeskRequest, results: list[MarginResult]) -> Explanation | None:
    """The drawer, where the address names a scope of the account and a total."""
    asked, bucket = request.GET.get("explain", ""), request.GET.get("scope", "")
    found = [each for each in results if each.scope.bucket and each.scope.bucket.code == bucket]
    if not found:
        return None
    close, unit = without_drawer(request, "scope"), found[0].agreement_version.currency
    return opened(request, found[0], asked, close=close, unit=unit, scope=bucket)


# --- Sections -------------------------------------------------------------------------------------


def overview(
    request: DeskRequest, account: MarginAccount, results: list[MarginResult], day: date
) -> dict[str, Any]:
    """Figures, balances, positions, scenarios, history and the newest lines."""
    holdings = holdings_of(account, day=day)
    newest = statement_lines(account).order_by("-entry__effective_at", "-entry_id", "account_id")
    chosen = results[0] if results else None
    return {
        "panels": panels(request, results, holdings),
        "holdings": holdings,
        "unmargined": [row for row in holdings.money if not row.bucket.is_margined],
        "history": None if chosen is None else scope_history(chosen.scope_id),
        "scenarios": None if chosen is None else scenario_table(chosen),
        "lines": lines_of(newest[:NEWEST_SHOWN]),
    }


MONEY_KINDS = [kind.name.lower() for kind in OF_MONEY]


def panels(
    request: DeskRequest, results: list[MarginResult], holdings: Holdings
) -> list[ScopePanel]:
    """A panel per scope; queries do not grow with their number, but with the blocks they lie in."""
    calls = {
        call.scope_id: call
        for call in MarginCall.objects.open().filter(scope__in=[r.scope_id for r in results])
    }
    money: dict[int, Decimal] = {}
    for part in parts_of(results):
        if part.kind in MONEY_KINDS:
            money[part.result_id] = WIDE.add(money.get(part.result_id, Decimal(0)), part.amount)
    loans = {row.bucket.pk: row.amount for row in holdings.loans}
    return [
        ScopePanel(
            result=result,
            call=calls.get(result.scope_id),
            available=withdrawable(result, money=money.get(result.pk, Decimal(0))),
            share=equity_share(result),
            loan=loans.get(result.scope.bucket_id or 0, Decimal(0)),
            ask=questions(request, scope=result.scope.bucket.code if result.scope.bucket else ""),
        )
        for result in results
    ]


def positions(
    request: DeskRequest, account: MarginAccount, results: list[MarginResult], day: date
) -> dict[str, Any]:
    """Balances and positions at full width."""
    return {"holdings": holdings_of(account, day=day)}


def calls_section(
    request: DeskRequest, account: MarginAccount, results: list[MarginResult], day: date
) -> dict[str, Any]:
    """Every call of the account, newest first."""
    calls = MarginCall.objects.filter(scope__bucket__account=account)
    found = calls.select_related("scope__bucket", "owner", "last_result")
    return {"calls": list(found.order_by("-issued_at", "number")[:CALLS_SHOWN_MAX])}


def work(
    request: DeskRequest, account: MarginAccount, results: list[MarginResult], day: date
) -> dict[str, Any]:
    """What people have to do with the account, and where everything else of it opens."""
    return work_section(request, account)


def agreement_section(
    request: DeskRequest, account: MarginAccount, results: list[MarginResult], day: date
) -> dict[str, Any]:
    """The terms in force and the agreements that went before."""
    signed = account.agreements.select_related("agreement").order_by("-effective_from")
    versions = AgreementVersion.objects.filter(
        agreement__in=signed.values("agreement")
    ).select_related("agreement")
    terms = account_terms(account.pk, day=day)
    return {
        "signed": list(signed),
        "versions": list(versions.order_by("agreement__code", "-version")),
        "terms": None if terms is None else [*terms_words(terms), *moved_words(results)],
        "pending": pending_on(f"accounts_marginaccount:{account.pk}", roles=request.roles),
        "can_end": may(request, f"{REQUEST}{END}", account.legal_entity_id),
    }


def moved_words(results: list[MarginResult]) -> list[tuple[str, str]]:
    """The levels that the newest run used, where terms of calls move them."""
    said = sorted({words for each in results if (words := levels_words(each))})
    return [("Levels as they stand", words) for words in said]


def terms_words(terms: AgreementVersion) -> list[tuple[str, str]]:
    """The terms as an agreement's front page says them."""
    due = terms.call_due_for.total_seconds() / 3600
    return [
        ("Model", f"{terms.model} {terms.parameters}"),
        ("Call level", f"{rate_words(terms.call_level)} of maintenance margin"),
        ("Liquidation level", f"{rate_words(terms.liquidation_level)} of maintenance margin"),
        ("Minimum transfer", f"{terms.minimum_transfer_amount:,f} {terms.currency}"),
        ("A call is due", f"{due:g} hours after it is issued"),
        ("Eligible collateral", ", ".join(terms.eligible_collateral) or "all money assets"),
        ("Regime", terms.segregation_regime or "not stated"),
        ("Document", f"sha256 {terms.document_sha256}" if terms.document_sha256 else "none kept"),
    ]


def statement_page(
    request: DeskRequest, account: MarginAccount, context: dict[str, Any]
) -> HttpResponse:
    """The statement, as a section of the page or as a file."""
    listing = statement_listing(request, account)
    if listing.format:
        return listing.export()
    context |= {"listing": listing, "lines": lines_of(list(listing.page))}
    return render(request, "margin/account.html", context)
