"""Idle collateral, what other models would require, and how far collateral is kept apart."""

from collections.abc import Iterable
from typing import Any

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.models import MarginAccount
from accounts.roles import DeskRequest, require
from ledger.times import one_snapshot
from margin.alternatives import HOUSE, current_key, previewed, requirements
from margin.book import ReadInputs, read_with_models
from margin.efficiency import efficiency, idle_rate
from margin.isolation import LEVELS, isolation
from margin.models import MarginResult, MarginRun
from margin.screens.visible import NO_PAGE, account_or_404, entity_here, newest_run, of_accounts

ROWS_SHOWN = 200
# Of a larger house the report is written, which nobody waits for in a browser.
SCOPES_ON_SCREEN = 20_000


@require_GET
@require("read")
def efficiency_page(request: DeskRequest) -> HttpResponse:
    """Accounts by what their idle collateral costs, the dearest first."""
    entity, run = entity_here(request), shown_run()
    context: dict[str, Any] = {"run": run, "limit": ROWS_SHOWN}
    if run is not None:
        mine = accounts_here(request)
        with one_snapshot():
            rate = idle_rate(entity.pk, day=run.business_day, horizon_id=run.horizon_id)
            rows = efficiency(run, read=inputs_of(run), rate=rate)
        seen = [row for row in rows if row.account_id in mine]
        context |= {"rate": rate, "rows": seen[:ROWS_SHOWN], "count": len(seen)}
    return render(request, "margin/efficiency.html", context)


@require_GET
@require("read")
def alternative_page(request: DeskRequest, code: str) -> HttpResponse:
    """One account under another model, scope by scope, as a run would compute it."""
    account, run = account_or_404(request, code), shown_run()
    if run is None:
        raise Http404(NO_PAGE)
    with one_snapshot():
        read = inputs_of(run)
        places = [n for n, row in enumerate(read.scopes) if row.account_id == account.pk]
        if not places:
            raise Http404(NO_PAGE)
        choices = sorted({HOUSE, *read.models, *read.shadows})
        asked = request.GET.get("model", "")
        key = next((each for each in choices if " ".join(each) == asked), None)
        if asked and key is None:
            raise Http404(NO_PAGE)
        done = None if key is None else previewed(read, places=places, key=key)
    results = {
        each.scope_id: each
        for each in MarginResult.objects.filter(
            run=run, scope__bucket__account=account
        ).select_related("scope__bucket")
    }
    after = {} if done is None else requirements(done)
    context = {
        "account": account,
        "run": run,
        "now": " ".join(current_key(read.scopes[places[0]])),
        "choices": [" ".join(each) for each in choices],
        "asked": asked,
        "refusals": [] if done is None else done.charged.read.exceptions,
        "rows": scope_rows(results.values(), after),
        "saving": sum(
            row.initial_margin - after[scope][0] for scope, row in results.items() if scope in after
        ),
    }
    return render(request, "margin/alternative.html", context)


def scope_rows(results: Iterable[MarginResult], after: Any) -> list[tuple[MarginResult, Any]]:  # noqa: ANN401
    """Each scope as it is, with initial and maintenance margin as they would be."""
    ordered = sorted(results, key=lambda each: each.scope.bucket.code if each.scope.bucket else "")
    return [(each, after.get(each.scope_id)) for each in ordered]


@require_GET
@require("read")
def isolation_page(request: DeskRequest) -> HttpResponse:
    """Clients with several scopes: pooled and alone, what is advised and what it costs."""
    entity_here(request)
    run = shown_run()
    context: dict[str, Any] = {"run": run, "levels": LEVELS}
    if run is not None:
        mine = accounts_here(request)
        with one_snapshot():
            rows = isolation(inputs_of(run))
        context["rows"] = [row for row in rows if mine.issuperset(row.owner.accounts)][:ROWS_SHOWN]
    return render(request, "margin/isolation.html", context)


def shown_run() -> MarginRun | None:
    """The newest run, unless it is of more scopes than a page can be made of."""
    run = newest_run()
    return None if run is None or run.scope_count > SCOPES_ON_SCREEN else run


def inputs_of(run: MarginRun) -> ReadInputs:
    """What a run was computed from, with every model of its day; call inside one snapshot."""
    return read_with_models(run)


def accounts_here(request: DeskRequest) -> frozenset[int]:
    """Ids of the accounts that the person may see where they work."""
    mine = of_accounts(request.roles, [entity_here(request).pk], path="")
    return frozenset(MarginAccount.objects.filter(mine).values_list("pk", flat=True))
