"""Statements of the database that took long, by the address or job that asked them."""

from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from accounts.roles import DeskRequest, require
from brokerage.alerts import ALERTS
from brokerage.database import slow
from brokerage.queue import queue_state

SHOWN_MAX = 100


@require_GET
@require("read")
def slow_page(request: DeskRequest) -> HttpResponse:
    """What took most time together, and how the queue stands."""
    found = slow.slowest()
    context = {
        "rows": found[:SHOWN_MAX],
        "count": len(found),
        "threshold": settings.SLOW_STATEMENT_MS,
        "queue": queue_state(timezone.now()),
        "alerts": ALERTS,
    }
    return render(request, "brokerage/slow.html", context)
