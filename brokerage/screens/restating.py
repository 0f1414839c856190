"""Asking that a margin run be restated: a job, since a large firm's run takes its time."""

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from accounts.roles import DeskRequest, require
from brokerage.job_kinds import RESTATE
from brokerage.jobs import ask_for_job
from ledger.horizons import current_horizon
from margin.models import MarginRun

NO_PAGE = "There is no such page."
REASON_LENGTH_MAX = 2_000


@require_POST
@require("job.start")
def restate_run(request: DeskRequest, number: str) -> HttpResponse:
    """Have a worker restate a run; asked twice while nothing becomes known it is one job."""
    run = MarginRun.objects.filter(number=number).first()
    if run is None:
        raise Http404(NO_PAGE)
    reason = request.POST.get("reason", "").strip()[:REASON_LENGTH_MAX]
    if not reason:
        messages.error(request, "Say why it is restated.")
        return redirect("margin:run", number)
    original = run.restates or run
    job = ask_for_job(
        RESTATE,
        key=f"restate:{original.number}:{current_horizon('restatement').pk}",
        arguments={"run": original.number, "reason": reason},
        asked_by=request.operator,
    )
    messages.success(request, f"{original.number} is being computed again. No call changes by it.")
    return redirect("brokerage:job", job.pk)
