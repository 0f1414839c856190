"""Scopes that lose as time passes, and how long they last."""

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from accounts.clock import span
from accounts.roles import DeskRequest, require
from margin.depletion import LOOKED_BACK, burning
from margin.market.marks import BASE
from margin.screens.visible import standing_here
from margin.standing_results import standing_runs

SHOWN_MAX = 200


@require_GET
@require("read")
def depletion_page(request: DeskRequest) -> HttpResponse:
    """Those that reach their liquidation level soonest, first."""
    runs, now = standing_runs(), timezone.now()
    # What takes effect later than the clock says belongs to a day that is ahead of it.
    at = max(now, runs.as_of) if runs.as_of else now
    found = burning(standing_here(request, runs), at=at)
    context = {
        "rows": [
            {
                "each": each,
                "burn": each.burn,
                "spans": [
                    None if hours is None else span(float(hours) * 3600)
                    for hours in (each.to_call, each.to_liquidation, each.to_nothing)
                ],
            }
            for each in found[:SHOWN_MAX]
        ],
        "count": len(found),
        "base": BASE,
        "days": LOOKED_BACK.days,
        "as_of": runs.as_of,
    }
    return render(request, "margin/depletion.html", context)
