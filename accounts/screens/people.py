"""People and roles of a legal entity; every change is asked for here and decided by another."""

from django import forms
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import approvals, emergencies, people, sign_in_rules
from accounts.audit import RefusedError
from accounts.listing import wants_rows
from accounts.models import Operator, Role, RoleGrant
from accounts.roles import RIGHTS, DeskRequest, may, require

REASON_LENGTH_MIN = 10


class GrantForm(forms.Form):
    """A role for somebody."""

    operator = forms.ModelChoiceField(
        queryset=Operator.objects.filter(is_active=True).order_by("full_name"),
        to_field_name="username",
        error_messages={"invalid_choice": "Nobody has this user name."},
    )
    role = forms.TypedChoiceField(choices=Role.choices, coerce=Role)
    desk = forms.CharField(required=False, max_length=40)
    reason = forms.CharField(min_length=REASON_LENGTH_MIN, max_length=2000)


@require_GET
@require("people.read")
def people_page(request: DeskRequest) -> HttpResponse:
    """Who holds which role, what each role may, and what is asked for."""
    return render_people(request, GrantForm())


def render_people(request: DeskRequest, form: GrantForm, *, status: int = 200) -> HttpResponse:
    entity = request.legal_entity
    assert entity is not None, "the right was checked at a legal entity"
    waiting = approvals.requests().filter(
        legal_entity=entity,
        action_id__in=[people.GRANT, people.REVOKE, sign_in_rules.RULE, sign_in_rules.RESET],
        decision="",
    )
    context = {
        "entity": entity,
        "people": people.people_at(entity),
        "alarms": emergencies.alarms(entity),
        "waiting": waiting,
        "form": form,
        "operators": Operator.objects.filter(is_active=True).order_by("full_name"),
        "roles": Role.choices,
        "rights": [
            (title, [role in allowed for role in Role]) for title, allowed in RIGHTS.values()
        ],
        "can_manage": may(request, "role.manage", entity),
    }
    return render(request, "accounts/people.html", context, status=status)


@require_POST
@require("role.manage")
def request_grant(request: DeskRequest) -> HttpResponse:
    """Ask that somebody be given a role."""
    form = GrantForm(request.POST)
    if not form.is_valid():
        return render_people(request, form, status=400)
    said = form.cleaned_data
    assert request.legal_entity is not None
    try:
        asked = people.request_grant(
            operator=said["operator"], role=said["role"], desk=said["desk"],
            legal_entity=request.legal_entity, reason=said["reason"],
            actor=request.actor, request_id=request.request_id,
        )  # fmt: skip
    except RefusedError as refused:
        messages.error(request, f"Not asked: {refused.detail}.")
        return render_people(request, form, status=409)
    messages.success(request, "Asked. Another administrator decides.")
    return redirect("accounts:approval", asked)


@require_http_methods(["GET", "POST"])
@require("role.manage")
def request_revocation(request: DeskRequest, grant_id: int) -> HttpResponse:
    """Ask that a role be taken away; a GET asks for the reason."""
    grant = RoleGrant.objects.held().filter(
        pk=grant_id, legal_entity=request.legal_entity, expires_at__isnull=True
    )
    found = grant.select_related("operator", "legal_entity").first()
    if found is None:
        raise Http404("There is no such page.")
    if request.method == "GET":
        return render_revocation(request, found)
    reason = request.POST.get("reason", "").strip()
    try:
        asked = people.request_revocation(
            grant=found, reason=reason, actor=request.actor, request_id=request.request_id
        )
    except RefusedError as refused:
        problem = f"Not asked: {refused.detail}."
        return render_revocation(request, found, problem=problem, reason=reason, status=409)
    messages.success(request, "Asked. Another administrator decides.")
    return redirect("accounts:approval", asked)


def render_revocation(
    request: DeskRequest,
    grant: RoleGrant,
    *,
    problem: str = "",
    reason: str = "",
    status: int = 200,
) -> HttpResponse:
    """What would be taken away, and the reason typed so far; a dialog where one is asked for."""
    words = people.role_words(grant.role, grant.desk)
    context = {
        "grant": grant,
        "words": words,
        "problem": problem,
        "reason": reason,
        "title": f"Take {words} away from {grant.operator.full_name}",
        "address": request.path,
        "action": "Ask to take it away",
    }
    is_dialog = wants_rows(request)
    template = "accounts/_take_away.html" if is_dialog else "accounts/take_away.html"
    return render(request, template, context, status=status)
