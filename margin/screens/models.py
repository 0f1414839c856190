"""The register of models: what there is, what it is for, and what watched ones would require."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django import forms
from django.db.models import Count, F, Max, Q, Sum
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from accounts.approvals import AskRefusedError, pending_on
from accounts.roles import REQUEST, DeskRequest, may, require
from accounts.screens.asking import AskForm, Question, ask, day_field, text_field
from margin.engine.model import Model
from margin.engine.models import MODELS
from margin.engine.parameters import Field, parameter_fields, read_parameters, written_parameters
from margin.engine.rejected import RejectedInputError
from margin.engine.source import model_sha256
from margin.model_registry import (
    DECIDE,
    PARAMETERS,
    decisions_in_force,
    request_decision,
    request_parameters,
)
from margin.models import ModelDecision, ParameterSet, ShadowResult
from margin.screens.terms import desk_today
from margin.screens.visible import (
    CALL_ACCOUNT,
    NO_PAGE,
    entity_here,
    newest_run,
    of_accounts,
)

BACK_LABEL = "Models"


class ParametersForm(AskForm):
    """All parameters of a model under a code."""

    code = text_field("Code", required=True, length=40, hint="Agreements name it.")
    effective_from = day_field("From")
    values = forms.JSONField(
        label="Parameters", widget=forms.Textarea(attrs={"rows": 12, "spellcheck": "false"})
    )
    field_order = ("code", "effective_from", "values", "reason")


class DecisionForm(AskForm):
    """What a model with such parameters is used for."""

    code = text_field("Code", required=True, length=40)
    standing = forms.ChoiceField(label="Used as", choices=ModelDecision.Standing.choices)
    owner = text_field("Owner", required=True, length=120, hint="Who answers for it.")
    effective_from = day_field("From")
    field_order = ("code", "standing", "owner", "effective_from", "reason")


@dataclass(frozen=True)
class ModelRow:
    """A model, with what is decided of it."""

    model: Model[Any]
    sha256: str
    decisions: list[tuple[ModelDecision, bool]]


@dataclass(frozen=True)
class ShadowRow:
    """What a watched model would require, beside what the run required of the same scopes."""

    parameter_set: ParameterSet
    scopes: int
    required: Decimal
    shadow: Decimal
    more: int
    refused: int
    why: str

    @property
    def difference(self) -> Decimal:
        return self.shadow - self.required


@require_GET
@require("read")
def model_list(request: DeskRequest) -> HttpResponse:
    """Every model of the engine, and the newest run of those that are watched."""
    entity = entity_here(request)
    in_force = decisions_in_force(desk_today())
    rows = [
        ModelRow(
            model=model,
            sha256=model_sha256(model),
            decisions=[
                (each, each.model_sha256 == model_sha256(model))
                for each in in_force
                if each.model == model.name
            ],
        )
        for model in MODELS.values()
    ]
    context = {
        "rows": rows,
        "shadows": shadow_rows(request),
        "run": newest_run(),
        "can_set": may(request, f"{REQUEST}{PARAMETERS}", entity),
        "can_decide": may(request, f"{REQUEST}{DECIDE}", entity),
    }
    return render(request, "margin/models.html", context)


@require_GET
@require("read")
def model_page(request: DeskRequest, name: str) -> HttpResponse:
    """One model: its source, its laws, its parameter sets and what was decided."""
    entity, model = entity_here(request), model_or_404(name)
    sets = ParameterSet.objects.filter(model=name).order_by("code", "-version")
    decisions = ModelDecision.objects.filter(model=name).order_by("-effective_from", "code")
    pending = [
        approval
        for code in sorted(set(sets.values_list("code", flat=True)))
        for approval in pending_on(f"margin_model:{name}/{code}", roles=request.roles)
    ]
    context = {
        "model": model,
        "sha256": model_sha256(model),
        "declared": list(parameter_fields(model.standard)),
        "sets": [set_row(model, each) for each in sets],
        "decisions": decisions,
        "pending": pending,
        "laws": [
            (law.replace("_", " ").capitalize(), law in model.laws, model.breaks.get(law))
            for law in optional_laws(model)
        ],
        "can_set": may(request, f"{REQUEST}{PARAMETERS}", entity),
        "can_decide": may(request, f"{REQUEST}{DECIDE}", entity),
    }
    return render(request, "margin/model.html", context)


@require_http_methods(["GET", "POST"])
@require("read")
def parameters_new(request: DeskRequest, name: str) -> HttpResponse:
    """Ask that a model have parameters under a code from a day on."""
    entity, model = entity_here(request), model_or_404(name)
    code = request.GET.get("code", "")
    newest = ParameterSet.objects.filter(model=name, code=code).order_by("-version").first()
    values = written_parameters(model.standard) if newest is None else newest.values
    form = ParametersForm(
        request.POST if request.method == "POST" else None,
        initial={"code": code, "effective_from": desk_today(), "values": values},
    )

    def do(typed: Any) -> Any:  # noqa: ANN401
        if not isinstance(typed["values"], dict):
            raise AskRefusedError("values", "Named values are needed.")
        return request_parameters(
            model=name, code=typed["code"].strip(), values=typed["values"],
            effective_from=typed["effective_from"], legal_entity=entity, reason=typed["reason"],
            actor=request.actor, request_id=request.request_id,
        )  # fmt: skip

    question = Question(
        action=PARAMETERS, title=f"Parameters of {name}", back=reverse("margin:model", args=[name]),
        back_label=model.title,
        purpose="From their first day every scope under this code is computed with them.",
    )  # fmt: skip
    return ask(request, form, question, entity=entity, do=do)


@require_http_methods(["GET", "POST"])
@require("read")
def decision_new(request: DeskRequest, name: str) -> HttpResponse:
    """Ask that a model be watched, used or retired from a day on."""
    entity, model = entity_here(request), model_or_404(name)
    form = DecisionForm(
        request.POST if request.method == "POST" else None,
        initial={"code": request.GET.get("code", ""), "effective_from": desk_today()},
    )

    def do(typed: Any) -> Any:  # noqa: ANN401
        return request_decision(
            model=name, code=typed["code"].strip(), standing=typed["standing"],
            owner=typed["owner"].strip(), effective_from=typed["effective_from"],
            legal_entity=entity, reason=typed["reason"], actor=request.actor,
            request_id=request.request_id,
        )  # fmt: skip

    question = Question(
        action=DECIDE, title=f"What {name} is used for", back=reverse("margin:model", args=[name]),
        back_label=model.title,
        purpose="A watched model runs beside the others and requires nothing; one in production"
        " may be named by agreements; a retired one leaves its accounts as exceptions.",
    )  # fmt: skip
    return ask(request, form, question, entity=entity, do=do)


def model_or_404(name: str) -> Model[Any]:
    if name not in MODELS:
        raise Http404(NO_PAGE)
    return MODELS[name]


@dataclass(frozen=True)
class SetRow:
    """A set of parameters with its values in the order of their declaration, or why it has none.

    Attributes:
        unreadable: why the model cannot read the stored values any more; empty if it can.
    """

    found: ParameterSet
    values: list[Field]
    unreadable: str


def set_row(model: Model[Any], found: ParameterSet) -> SetRow:
    """A set as the model reads it now."""
    try:
        parameters = read_parameters(model.parameters, found.values)
    except RejectedInputError as refused:
        return SetRow(found, [], str(refused))
    return SetRow(found, list(parameter_fields(parameters)), "")


def optional_laws(model: Model[Any]) -> list[Any]:
    """The laws of which each model says whether they hold."""
    return sorted({*model.laws, *model.breaks})


def shadow_rows(request: DeskRequest) -> list[ShadowRow]:
    """What watched models would require in the newest run, over the scopes the person may see."""
    run = newest_run()
    mine = of_accounts(request.roles, [entity_here(request).pk], path=CALL_ACCOUNT)
    same_run = Q(scope__results__run=F("run"))
    found = (
        ShadowResult.objects.filter(mine, same_run, run=run)
        .values("parameter_set")
        .annotate(
            scopes=Count("pk", filter=Q(refusal="")),
            refused=Count("pk", filter=~Q(refusal="")),
            why=Max("refusal"),
            shadow=Sum("initial_margin", default=Decimal(0)),
            required=Sum(
                "scope__results__initial_margin", filter=Q(refusal=""), default=Decimal(0)
            ),
            more=Count("pk", filter=Q(initial_margin__gt=F("scope__results__initial_margin"))),
        )
        .order_by("parameter_set")
    )
    sets = ParameterSet.objects.in_bulk([row["parameter_set"] for row in found])
    return [
        ShadowRow(
            parameter_set=sets[row["parameter_set"]], scopes=row["scopes"],
            required=row["required"], shadow=row["shadow"], more=row["more"],
            refused=row["refused"], why=row["why"],
        )
        for row in found
    ]  # fmt: skip
