"""Rights as people have them, conflicts of duties, emergencies, and how people sign in."""

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import bindings, duties, emergencies, sessions, sign_in_rules
from accounts.audit import RefusedError
from accounts.exports import to_csv, to_json
from accounts.models import LegalEntity, Operator, Role, RoleGrant
from accounts.provider.configured import provider
from accounts.roles import DeskRequest, require
from accounts.screens.asking import AskForm, Question, ask
from accounts.screens.me import SessionForm


class SignInRuleForm(AskForm):
    """Who must have a second factor, and how long a proof is good."""

    second_factor_for = forms.MultipleChoiceField(
        label="Second factor for", required=False, choices=Role.choices,
        widget=forms.CheckboxSelectMultiple, help_text="All of them: the whole firm.",
    )  # fmt: skip
    proof_minutes = forms.IntegerField(label="A proof is good for, in minutes", min_value=1,
                                       max_value=sign_in_rules.PROOF_MINUTES_MAX)  # fmt: skip
    field_order = ("second_factor_for", "proof_minutes", "reason")


class ConflictForm(AskForm):
    """Two rights that exclude each other."""

    first = forms.ChoiceField(label="One right")
    second = forms.ChoiceField(label="The other")
    is_forbidden = forms.ChoiceField(
        label="From now on",
        choices=[("yes", "Nobody holds both"), ("no", "Anybody may hold both")],
    )
    field_order = ("first", "second", "is_forbidden", "reason")

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **kwargs)
        for name in ("first", "second"):
            field = self.fields[name]
            assert isinstance(field, forms.ChoiceField)
            field.choices = [(duty, duty) for duty in duties.every_duty()]


class EmergencyForm(forms.Form):
    """A role for an emergency."""

    role = forms.ChoiceField(choices=Role.choices)
    minutes = forms.IntegerField(min_value=1, max_value=24 * 60)
    reason = forms.CharField(min_length=10, max_length=2000)


@require_GET
@require("people.read")
def rights_page(request: DeskRequest) -> HttpResponse:
    """What each person may do, and what nobody holds together."""
    entity = here(request)
    context = {
        "entity": entity,
        "rights": duties.effective_rights(entity),
        "conflicts": duties.conflicts_in_force(entity),
        "rule": sign_in_rules.rule_of(entity),
        "forced": sign_in_rules.words_of(sign_in_rules.rule_of(entity).second_factor_for),
    }
    return render(request, "accounts/rights.html", context)


@require_GET
@require("people.read")
def rights_export(request: DeskRequest, form: str) -> HttpResponse:
    """The same as a file."""
    entity = here(request)
    rows = duties.effective_rights(entity)
    if form == "csv":
        answer = HttpResponse(to_csv(duties.REPORT_KEYS, rows), content_type="text/csv")
    else:
        about: dict[str, object] = {
            "legal_entity": entity.code,
            "at": timezone.now(),
            "conflicts": [[c.first, c.second] for c in duties.conflicts_in_force(entity)],
        }
        about["at"] = timezone.now().isoformat()
        answer = HttpResponse(
            to_json(duties.REPORT_KEYS, rows, about=about), content_type="application/json"
        )
    answer["Content-Disposition"] = f'attachment; filename="rights.{form}"'
    return answer


@require_http_methods(["GET", "POST"])
@require("people.read")
def sign_in_rule(request: DeskRequest) -> HttpResponse:
    """Ask that people sign in otherwise."""
    entity = here(request)
    rule = sign_in_rules.rule_of(entity)
    form = SignInRuleForm(
        request.POST if request.method == "POST" else None,
        initial={
            "second_factor_for": rule.second_factor_for, "proof_minutes": rule.proof_minutes,
        },
    )  # fmt: skip

    def do(typed: Any) -> Any:  # noqa: ANN401
        return sign_in_rules.request_rule(
            legal_entity=entity, second_factor_for=typed["second_factor_for"],
            proof_minutes=typed["proof_minutes"], reason=typed["reason"],
            actor=request.actor, request_id=request.request_id,
        )  # fmt: skip

    question = asked_of_people(
        sign_in_rules.RULE, "How people sign in",
        "Who must have a second factor, and after how long acts that move money ask again.",
    )  # fmt: skip
    return ask(request, form, question, entity=entity, do=do)


@require_http_methods(["GET", "POST"])
@require("people.read")
def conflict_new(request: DeskRequest) -> HttpResponse:
    """Ask that two rights exclude each other, or no longer."""
    entity = here(request)

    def do(typed: Any) -> Any:  # noqa: ANN401
        return duties.request_conflict(
            legal_entity=entity, first=typed["first"], second=typed["second"],
            is_forbidden=typed["is_forbidden"] == "yes", reason=typed["reason"],
            actor=request.actor, request_id=request.request_id,
        )  # fmt: skip

    question = asked_of_people(
        duties.CONFLICT, "Change a conflict of duties",
        "Two rights that nobody holds together. It is refused while somebody holds both.",
    )  # fmt: skip
    form = ConflictForm(request.POST if request.method == "POST" else None)
    return ask(request, form, question, entity=entity, do=do)


def asked_of_people(action: str, title: str, purpose: str) -> Question:
    """A question that one comes to from the page of people."""
    back = reverse("accounts:rights")
    return Question(action=action, title=title, purpose=purpose, back=back, back_label="Rights")


@require_http_methods(["GET", "POST"])
@require("role.manage")
def factors_reset(request: DeskRequest, username: str) -> HttpResponse:
    """Ask that somebody's second factors be taken away."""
    entity, operator = here(request), person_here(request, username)

    def do(typed: Any) -> Any:  # noqa: ANN401
        return sign_in_rules.request_reset(
            operator=operator, legal_entity=entity, reason=typed["reason"],
            actor=request.actor, request_id=request.request_id,
        )  # fmt: skip

    question = asked_of_people(
        sign_in_rules.RESET, f"Take the second factors of {operator.full_name} away",
        "For somebody who has lost them and has no recovery code.",
    )  # fmt: skip
    form = AskForm(request.POST if request.method == "POST" else None)
    return ask(request, form, question, entity=entity, do=do)


@require_http_methods(["GET", "POST"])
@require("role.manage")
def person_sessions(request: DeskRequest, username: str) -> HttpResponse:
    """Where somebody is signed in; a POST ends one session or all."""
    operator = person_here(request, username)
    if request.method == "POST":
        form = SessionForm(request.POST)
        if not form.is_valid():
            raise Http404("There is no such session.")
        ended = sessions.end_sessions(
            operator, one=form.cleaned_data["session"], actor=request.actor,
            request_id=request.request_id,
        )  # fmt: skip
        messages.success(request, f"Ended {ended} session{'' if ended == 1 else 's'}.")
        return redirect("accounts:person-sessions", username)
    context = {
        "operator": operator,
        "sessions": sessions.live_sessions(operator, now=timezone.now()),
        "session_id": request.session_id,
        "identities": bindings.bound_to(operator),
        "provider": provider(),
    }
    return render(request, "accounts/person_sessions.html", context)


# ---------------------------------------------------------------- emergencies


@require_GET
@require("approval.read")
def emergency_page(request: DeskRequest) -> HttpResponse:
    """What one may take in an emergency, and what others took."""
    return render_emergencies(request, EmergencyForm())


def render_emergencies(
    request: DeskRequest, form: EmergencyForm, *, status: int = 200
) -> HttpResponse:
    entity = here(request)
    open_ones = list(emergencies.alarms(entity))
    context = {
        "form": form,
        "choices": emergencies.choices_of(request.roles, entity),
        "alarms": [
            (grant, emergencies.may_review(grant, request.operator, request.roles))
            for grant in open_ones
        ],
        "reviewed": emergencies.reviewed(entity)[:50],
        "now": timezone.now(),
    }
    return render(request, "accounts/emergency.html", context, status=status)


@require_POST
@require("approval.read")
def emergency_take(request: DeskRequest) -> HttpResponse:
    """Take a role alone."""
    entity, form = here(request), EmergencyForm(request.POST)
    allowed = {choice.role for choice in emergencies.choices_of(request.roles, entity)}
    if not allowed:
        raise PermissionDenied("No role that you hold takes another in an emergency.")
    if not form.is_valid():
        return render_emergencies(request, form, status=400)
    try:
        emergencies.break_glass(
            legal_entity=entity, **form.cleaned_data, actor=request.actor,
            request_id=request.request_id,
        )  # fmt: skip
    except RefusedError as refused:
        form.add_error(None, f"Not taken: {refused.detail}.")
        return render_emergencies(request, form, status=409)
    messages.success(request, "Taken. Everybody sees it; it ends by itself.")
    return redirect("accounts:emergency")


@require_POST
@require("approval.read")
def emergency_end(request: DeskRequest, grant_id: int) -> HttpResponse:
    """Give it back before its end."""
    grant = emergency_or_404(request, grant_id)
    try:
        emergencies.end_emergency(grant, actor=request.actor, request_id=request.request_id)
    except RefusedError as refused:
        messages.error(request, f"Not ended: {refused.detail}.")
        return render_emergencies(request, EmergencyForm(), status=409)
    messages.success(request, "Ended. Somebody else still has to look at it.")
    return redirect("accounts:emergency")


@require_POST
@require("approval.read")
def emergency_own(request: DeskRequest, grant_id: int) -> HttpResponse:
    """Become the one whose task it is to look at it."""
    grant = emergency_or_404(request, grant_id)
    if not emergencies.may_review(grant, request.operator, request.roles):
        raise PermissionDenied("Compliance or a senior principal, who is not the person, can.")
    try:
        emergencies.own_task(grant, actor=request.actor, request_id=request.request_id)
    except RefusedError as refused:
        messages.error(request, f"Not taken over: {refused.detail}.")
        return render_emergencies(request, EmergencyForm(), status=409)
    messages.success(request, "It is your task now.")
    return redirect("accounts:emergency")


@require_POST
@require("approval.read")
def emergency_review(request: DeskRequest, grant_id: int) -> HttpResponse:
    """Say that one has looked at it."""
    grant = emergency_or_404(request, grant_id)
    if not emergencies.may_review(grant, request.operator, request.roles):
        raise PermissionDenied("Compliance or a senior principal, who is not the person, can.")
    try:
        emergencies.review(
            grant, words=request.POST.get("words", "").strip()[:2000], actor=request.actor,
            request_id=request.request_id,
        )  # fmt: skip
    except RefusedError as refused:
        messages.error(request, f"Not kept: {refused.detail}.")
        return render_emergencies(request, EmergencyForm(), status=409)
    messages.success(request, "Kept. The alarm is off.")
    return redirect("accounts:emergency")


def emergency_or_404(request: DeskRequest, grant_id: int) -> RoleGrant:
    found = RoleGrant.objects.filter(
        pk=grant_id, legal_entity=here(request), expires_at__isnull=False
    )
    grant = found.select_related("operator").first()
    if grant is None:
        raise Http404("There is no such page.")
    return grant


def person_here(request: DeskRequest, username: str) -> Operator:
    """Somebody who holds or held a role where one works; nobody else exists."""
    found = Operator.objects.filter(
        username=username, pk__in=RoleGrant.objects.filter(legal_entity=here(request)).values(
            "operator_id"
        ),
    ).first()  # fmt: skip
    if found is None:
        raise Http404("There is no such page.")
    return found


def here(request: DeskRequest) -> LegalEntity:
    """The legal entity the person works at; `require` has seen to it."""
    assert request.legal_entity is not None
    return request.legal_entity
