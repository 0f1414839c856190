"""Taking the algorithm audit file out: one act, by whoever may audit models, alone."""

from hashlib import sha256

from django.core.exceptions import PermissionDenied
from django.db.models import Max
from django.http import HttpResponse
from django.views.decorators.http import require_POST

from accounts.audit import acting
from accounts.roles import DeskRequest, check, require
from brokerage.audit_file import audit_file, file_name
from brokerage.models import BusinessDay
from brokerage.screens.reports import entity_of

AUDIT = "model.audit"


@require_POST
@require("read")
def audit_file_write(request: DeskRequest) -> HttpResponse:
    """The file, with its hash beside it; that it was taken out stands in the audit trail."""
    entity = entity_of(request)
    check(request, AUDIT, entity)
    if request.roles.desks(AUDIT, entity.pk) is not None:
        raise PermissionDenied("The file is about the whole firm; your role is limited to a desk.")
    content = audit_file()
    digest = sha256(content).hexdigest()
    reason = f"Took out the algorithm audit file, sha256 {digest}"
    with acting(request.actor, reason=reason, request_id=request.request_id):
        days = BusinessDay.objects.filter(legal_entity=entity, closed_at__isnull=False)
        name = file_name(days.aggregate(day=Max("day"))["day"])
    return HttpResponse(
        content,
        content_type="application/zip",
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "X-Content-SHA256": digest,
        },
    )
