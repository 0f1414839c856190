"""Approvals: what waits for you or for others, what you asked for, what was decided."""

from dataclasses import dataclass
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from accounts import approvals
from accounts.approvals import Description, State, UnknownActionError
from accounts.audit import RefusedError
from accounts.listing import wants_rows
from accounts.models import Approval, ApprovalAction, Operator
from accounts.roles import DECIDE, DeskRequest, one_of, refusal, require

LISTS = {
    "you": "For you",
    "made": "Made by you",
    "others": "For others",
    "decided": "Decided",
}
SHOWN_MAX = 100
DONE = (State.REJECTED, State.APPROVED, State.USED, State.EXPIRED)


class InboxFilter(forms.Form):
    """What narrows every list; all of it stands in the address."""

    action = forms.CharField(required=False, max_length=60)
    maker = forms.CharField(required=False, max_length=60)
    state = forms.ChoiceField(
        required=False, choices=[("", "any"), *((s.value, s.label) for s in DONE)]
    )
    since = forms.DateField(required=False)
    until = forms.DateField(required=False)
    q = forms.CharField(required=False, max_length=200)

    def narrowed(self, found: "QuerySet[Approval]") -> "QuerySet[Approval]":
        """The requests that fit; none where the address cannot be read."""
        if not self.is_valid():
            return found.none()
        asked = self.cleaned_data
        for name, lookup in (
            ("action", "action_id"), ("maker", "maker__username"), ("since", "made_at__date__gte"),
            ("until", "made_at__date__lte"), ("q", "subject__icontains"),
        ):  # fmt: skip
            if asked[name]:
                found = found.filter(**{lookup: asked[name]})
        return found if not asked["state"] else found.filter(in_state(State(asked["state"])))

    @property
    def query(self) -> str:
        """The filter as an address carries it; "" where there is none."""
        said = {name: self.data.get(name, "") for name in self.fields}
        return urlencode({name: value for name, value in said.items() if value})


def in_state(state: State) -> Q:
    """Requests that stand so now."""
    now = timezone.now()
    is_over = Q(expires_at__lte=now, used_xid__isnull=True)
    return {
        State.WAITING: Q(decision="", expires_at__gt=now),
        State.REJECTED: Q(decision=Approval.Decision.REJECTED),
        State.USED: Q(used_xid__isnull=False),
        State.EXPIRED: is_over & ~Q(decision=Approval.Decision.REJECTED),
        State.APPROVED: Q(
            decision=Approval.Decision.APPROVED, used_xid__isnull=True, expires_at__gt=now
        ),
    }[state]


@dataclass(frozen=True)
class Line:
    """A request in the list."""

    approval: Approval
    number: str
    state: State
    is_own: bool


@dataclass(frozen=True)
class Opened:
    """A request as opened: what it asks, where it stands, what this person can do."""

    line: Line
    said: Description
    sha256: str
    deciders: str
    can_decide: bool
    can_apply: bool


@require_GET
@require("approval.read")
def inbox(request: DeskRequest) -> HttpResponse:
    """The three lists; the first request of the chosen one is open."""
    chosen = request.GET.get("list", "you")
    if chosen not in LISTS:
        raise Http404("There is no such page.")
    first = listed(request, chosen).first()
    return inbox_page(request, chosen=chosen, opened=first)


@require_GET
@require("approval.read")
def approval(request: DeskRequest, approval_id: UUID) -> HttpResponse:
    """One request, beside the list in which it stands."""
    found = visible_or_404(request, approval_id)
    return inbox_page(request, chosen=list_of(request, found), opened=found)


@require_POST
@require("approval.read")
def decide(request: DeskRequest, approval_id: UUID) -> HttpResponse:
    """Approve or reject; what is approved is applied at once."""
    asked = visible_or_404(request, approval_id)
    verdict, reason = request.POST.get("verdict", ""), request.POST.get("reason", "").strip()
    if not approvals.may_decide(asked, request.operator, request.roles):
        raise PermissionDenied(no_decision_text(request, asked))
    try:
        decided = approvals.decide(
            asked.pk, verdict=verdict, reason=reason,
            actor=request.actor, request_id=request.request_id,
        )  # fmt: skip
    except RefusedError as refused:
        return refused_page(request, asked, f"Not decided: {refused.detail}.", reason=reason)
    name = approvals.number_of(asked)
    if decided.decision == Approval.Decision.REJECTED:
        messages.success(request, f"{name} is rejected. Nothing moved.")
        return redirect("accounts:approval", approval_id)
    return carry_out(request, decided, said=f"{name} is approved")


@require_POST
@require("approval.read")
def apply(request: DeskRequest, approval_id: UUID) -> HttpResponse:
    """Apply what was approved earlier and refused by a rule then."""
    asked = visible_or_404(request, approval_id)
    if not approvals.may_apply(asked, request.roles):
        raise PermissionDenied(refusal(f"{DECIDE}{asked.action_id}", asked.legal_entity_id))
    return carry_out(request, asked, said=approvals.number_of(asked))


def carry_out(request: DeskRequest, asked: Approval, *, said: str) -> HttpResponse:
    """Apply an approval and say what became of it; a refusal leaves it usable."""
    try:
        approvals.apply_approved(asked, actor=request.actor, request_id=request.request_id)
    except UnknownActionError:
        messages.success(request, f"{said}. Whoever asked for it can now use it, once.")
    except RefusedError as refused:
        text = f"{said}, but not applied: {refused.detail}. It stays usable until it expires."
        return refused_page(request, asked, text)
    else:
        messages.success(request, f"{said} and applied.")
    return redirect("accounts:approval", asked.pk)


def refused_page(
    request: DeskRequest, asked: Approval, text: str, *, reason: str = ""
) -> HttpResponse:
    """The request as it stands now, with the refusal and what had been typed."""
    found = visible_or_404(request, asked.pk)
    messages.error(request, text)
    return inbox_page(
        request, chosen=list_of(request, found), opened=found, reason=reason, status=409
    )


def inbox_page(
    request: DeskRequest,
    *,
    chosen: str,
    opened: Approval | None,
    reason: str = "",
    status: int = 200,
) -> HttpResponse:
    """The list and, beside it, the opened request."""
    context = {
        "lists": [(key, label, listed(request, key).count()) for key, label in LISTS.items()],
        "chosen": chosen,
        "filter": InboxFilter(request.GET),
        "actions": ApprovalAction.objects.filter(
            pk__in=approvals.visible(request.roles).order_by().values("action_id")
        ).order_by("title"),
        "makers": Operator.objects.filter(
            pk__in=approvals.visible(request.roles).order_by().values("maker_id")
        ).order_by("full_name"),
        "states": [(each.value, each.label) for each in DONE],
        "lines": [line(request, found) for found in listed(request, chosen)[:SHOWN_MAX]],
        "opened": None if opened is None else open_request(request, opened),
        "reason": reason,
    }
    template = "accounts/_inbox.html" if wants_rows(request) else "accounts/approvals.html"
    return render(request, template, context, status=status)


def listed(request: DeskRequest, chosen: str) -> "QuerySet[Approval]":
    """The requests of one list that the filter in the address keeps."""
    if chosen == "you":
        found = approvals.for_you(request.operator, request.roles)
    elif chosen == "made":
        found = approvals.made_by_you(request.operator)
    elif chosen == "others":
        found = approvals.for_others(request.operator, request.roles)
    else:
        found = approvals.decided(request.roles)
    return InboxFilter(request.GET).narrowed(found)


def list_of(request: DeskRequest, found: Approval) -> str:
    """The list in which a request stands for this person."""
    if approvals.state_of(found, now=timezone.now()) != State.WAITING:
        return "decided"
    if found.maker_id == request.operator.pk:
        return "made"
    return "you" if approvals.may_decide(found, request.operator, request.roles) else "others"


def line(request: DeskRequest, found: Approval) -> Line:
    return Line(
        approval=found,
        number=approvals.number_of(found),
        state=approvals.state_of(found, now=timezone.now()),
        is_own=found.maker_id == request.operator.pk,
    )


def open_request(request: DeskRequest, found: Approval) -> Opened:
    shown = line(request, found)
    is_waiting = shown.state == State.WAITING
    return Opened(
        line=shown,
        said=approvals.describe(found),
        sha256=bytes(found.payload_sha256).hex(),
        deciders=one_of(approvals.deciders(found)) if is_waiting else "",
        can_decide=is_waiting and approvals.may_decide(found, request.operator, request.roles),
        can_apply=shown.state == State.APPROVED
        and approvals.is_applied_here(found)
        and approvals.may_apply(found, request.roles),
    )


def visible_or_404(request: DeskRequest, approval_id: UUID) -> Approval:
    """The request, unless it does not exist for this person."""
    found = approvals.visible(request.roles).filter(pk=approval_id).first()
    if found is None:
        raise Http404("There is no such page.")
    return found


def no_decision_text(request: DeskRequest, asked: Approval) -> str:
    """Why this person cannot decide, and who can."""
    if asked.maker_id == request.operator.pk:
        names = one_of(approvals.deciders(asked)) or "Nobody else"
        return f"You made this request, so you cannot approve it. {names} can."
    act = f"{DECIDE}{asked.action_id}"
    return refusal(act, asked.legal_entity_id, besides=asked.maker_id)
