"""Rates that follow the market: policies, what they propose, who agreed, and whom it called."""

from dataclasses import dataclass
from typing import Any

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods

from accounts.approvals import State, pending_on, requests, state_of
from accounts.models import Approval, MarginAccount
from accounts.roles import REQUEST, DeskRequest, may, require
from accounts.screens.asking import AskForm, Question, ask
from ledger.models import Asset
from margin.dynamic import (
    procyclicality,
    proposals,
    request_proposal,
)
from margin.engine.policies import DYNAMIC, POLICIES
from margin.model_registry import PARAMETERS, request_parameters
from margin.models import MarginProposal, ParameterSet
from margin.parameters import TERMS
from margin.policies import policies_decided
from margin.screens.parameter_form import parameter_form
from margin.screens.terms import desk_today
from margin.screens.visible import NO_PAGE, entity_here, of_accounts

BACK_LABEL = "Dynamic margin"
SHOWN_MAX = 100
INPUT_WORDS = {
    "estimator": "Estimator",
    "closes": "Closes",
    "first_close": "First close",
    "last_close": "Newest close",
    "closes_sha256": "Closes, sha256",
    "sigma": "Daily volatility",
    "sigma_before": "Some days before",
    "is_rising": "Rising",
    "sigma_stressed": "Of the stressed stretch",
    "sigma_long": "Of ten years",
    "long_days_known": "Days of them known",
    "sigma_used": "Used",
    "largest_position": "Largest position",
    "closing_days": "Days to close it",
    "rate_before": "Rate before",
    "target": "Target",
    "wished": "With buffer, floor and cap",
    "rate": "After the most it may move",
}


@dataclass(frozen=True)
class PolicyRow:
    """A policy in force, and how much the rates it looks after moved over a year."""

    asset: Asset
    parameter_set: ParameterSet
    title: str
    metrics: dict[str, Any]


@dataclass(frozen=True)
class ProposalRow:
    """A proposal with where it stands: the newest request for it, if somebody asked."""

    proposal: MarginProposal
    approval: Approval | None
    state: str

    @property
    def lines(self) -> list[tuple[dict[str, str], dict[str, str]]]:
        """Old and new rates side by side."""
        return list(zip(self.proposal.before, self.proposal.after, strict=True))


@require_GET
@require("read")
def dynamic_page(request: DeskRequest) -> HttpResponse:
    """Policies with their procyclicality, and the change log of proposals."""
    entity, today = entity_here(request), desk_today()
    decided = {kind: policies_decided(kind, day=today) for kind in POLICIES}
    rows = [
        PolicyRow(
            asset, parameter_set, POLICIES[kind].title,
            procyclicality(asset, until=today) if kind == DYNAMIC else {},
        )
        for kind in POLICIES
        for asset, parameter_set, _ in decided[kind][0]
    ]  # fmt: skip
    assets = list(Asset.objects.exclude(kind="money").order_by("code"))
    asked = [f"margin_model:{kind}/{asset.code}" for asset in assets for kind in POLICIES]
    set_kinds: dict[int, set[str]] = {}
    for row in rows:
        set_kinds.setdefault(row.asset.pk, set()).add(row.parameter_set.model)
    context = {
        "rows": rows,
        "log": [proposal_row(each) for each in proposals()[:SHOWN_MAX]],
        "instruments": [
            (asset, [(kind, kind in set_kinds.get(asset.pk, ())) for kind in POLICIES])
            for asset in assets
        ],
        "unreadable": [each for _, wrong in decided.values() for each in wrong],
        "titles": [policy.title for policy in POLICIES.values()],
        "can_set": may(request, f"{REQUEST}{PARAMETERS}", entity),
        "pending": pending_on(*asked, roles=request.roles),
    }
    return render(request, "margin/dynamic.html", context)


@require_GET
@require("read")
def proposal_page(request: DeskRequest, proposal_id: int) -> HttpResponse:
    """One proposal: what went in, old and new rates, who agreed, whom it would call."""
    entity, proposal = entity_here(request), proposal_or_404(proposal_id)
    mine = of_accounts(request.roles, [entity.pk], path="")
    named = [each["account"] for each in proposal.affected["first"]]
    seen = set(MarginAccount.objects.filter(mine, code__in=named).values_list("code", flat=True))
    row = proposal_row(proposal)
    context = {
        "row": row,
        "proposal": proposal,
        "inputs": [
            (INPUT_WORDS.get(name, name), said)
            for name, said in proposal.inputs.items()
            if said is not None
        ],
        "affected": [each for each in proposal.affected["first"] if each["account"] in seen],
        "can_ask": row.approval is None and may(request, f"{REQUEST}{TERMS}", entity),
    }
    return render(request, "margin/proposal.html", context)


@require_http_methods(["GET", "POST"])
@require("read")
def proposal_ask(request: DeskRequest, proposal_id: int) -> HttpResponse:
    """Ask a second person to make terms of a proposal."""
    entity, proposal = entity_here(request), proposal_or_404(proposal_id)
    form = AskForm(request.POST if request.method == "POST" else None)

    def do(typed: Any) -> Any:  # noqa: ANN401
        return request_proposal(
            proposal, legal_entity=entity, reason=typed["reason"], actor=request.actor,
            request_id=request.request_id,
        )  # fmt: skip

    called = proposal.affected["called"]
    question = Question(
        action=TERMS, title=f"Margin rates of {proposal.asset.code} as proposed",
        back=reverse("margin:proposal", args=[proposal.pk]), back_label="Proposal",
        purpose=f"They hold from {proposal.effective_from}. The run they were proposed of would"
        f" have called {called} scopes with them.",
    )  # fmt: skip
    return ask(request, form, question, entity=entity, do=do)


@require_http_methods(["GET", "POST"])
@require("read")
def policy_new(request: DeskRequest, kind: str, asset_id: int) -> HttpResponse:
    """Ask that an instrument have a policy from a day on."""
    entity = entity_here(request)
    asset = Asset.objects.filter(pk=asset_id).exclude(kind="money").first()
    if asset is None or kind not in POLICIES:
        raise Http404(NO_PAGE)
    newest = ParameterSet.objects.filter(model=kind, code=asset.code).order_by("-version").first()
    form = parameter_form(
        POLICIES[kind].parameters, request.POST if request.method == "POST" else None,
        values=POLICIES[kind].standard if newest is None else newest.values, begins=desk_today(),
    )  # fmt: skip

    def do(typed: Any) -> Any:  # noqa: ANN401
        return form.asked(
            lambda values: request_parameters(
                model=kind, code=asset.code, values=values,
                effective_from=typed["effective_from"], legal_entity=entity,
                reason=typed["reason"], actor=request.actor, request_id=request.request_id,
            )
        )  # fmt: skip

    question = Question(
        action=PARAMETERS, title=f"{POLICIES[kind].title} of {asset.code}",
        back=reverse("margin:dynamic"), back_label=BACK_LABEL, purpose=POLICIES[kind].purpose,
    )  # fmt: skip
    return ask(request, form, question, entity=entity, do=do)


def proposal_or_404(proposal_id: int) -> MarginProposal:
    found = proposals().filter(pk=proposal_id).first()
    if found is None:
        raise Http404(NO_PAGE)
    return found


def proposal_row(proposal: MarginProposal) -> ProposalRow:
    """A proposal with the newest request for it that was not rejected or left to expire."""
    now = timezone.now()
    gone = (State.REJECTED, State.EXPIRED)
    asked = list(requests().filter(records__record=f"margin_marginproposal:{proposal.pk}"))
    live = [each for each in asked if state_of(each, now=now) not in gone]
    newest = next(iter(live or asked), None)
    if newest is None:
        return ProposalRow(proposal, None, "Proposed")
    state = state_of(newest, now=now)
    return ProposalRow(proposal, newest if live else None, state.label)
