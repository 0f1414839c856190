"""Residual interest: statements, what may be taken, targets, notices; and what conduct asks."""

from datetime import date
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.approvals import number_of, pending_on
from accounts.audit import RefusedError, acting
from accounts.listing import wants_rows
from accounts.models import LegalEntity, OwnerClass
from accounts.roles import REQUEST, DeskRequest, check, may, require
from accounts.screens.asking import (
    AskForm,
    Question,
    amount_field,
    ask,
    day_field,
    text_field,
)
from ledger.letters import letter_states
from ledger.models import (
    Asset,
    ConductRule,
    Location,
    Pool,
    ResidualNotice,
    SegregationStatement,
)
from ledger.receipts import receipts_of
from ledger.residual import (
    RULE,
    TARGET,
    WITHDRAWAL,
    request_rule,
    request_target,
    state_segregation,
)
from ledger.residual_standing import conduct_rule, standings
from ledger.screens.locations import desk_today
from ledger.screens.visible import NO_PAGE, entity_here, locations_here, readable
from ledger.transfers import action_of

STATE = "segregation.state"
NOTICES_SHOWN, STATEMENTS_SHOWN = 20, 30


class TargetForm(AskForm):
    """The residual interest that stays in a pool, and the analysis behind it."""

    pool = forms.ModelChoiceField(
        Pool.objects.none(), to_field_name="code", label="Pool", empty_label=None
    )
    asset = forms.ModelChoiceField(
        Asset.objects.none(), to_field_name="code", label="Currency", empty_label=None
    )
    amount = amount_field("Target")
    effective_from = day_field("From")
    field_order = ("pool", "asset", "amount", "effective_from", "reason")

    def __init__(self, data: Any, *, entity: LegalEntity, initial: Any) -> None:  # noqa: ANN401
        super().__init__(data, initial=initial)
        pools = Pool.objects.filter(legal_entity=entity, owner_class=OwnerClass.CLIENT)
        carried = Location.objects.filter(pool__in=pools).values("carried__asset")
        for name, rows in (
            ("pool", pools.order_by("code")),
            ("asset", Asset.objects.filter(kind="money", pk__in=carried).order_by("code")),
        ):
            field = self.fields[name]
            assert isinstance(field, forms.ModelChoiceField)
            field.queryset = rows
        self.fields["reason"].label = "Analysis"


class RuleForm(AskForm):
    """Another value of a rule of conduct from a day on."""

    code = forms.ChoiceField(label="Rule", choices=ConductRule.Code.choices)
    regime = text_field("Regime", length=20, hint="Empty: every regime without its own value.")
    value = amount_field("Value", hint="Days, or a share: 0.25 is 25 %.")
    effective_from = day_field("From")
    source = text_field("Source", required=True, hint="Where it is written.")
    field_order = ("code", "regime", "value", "effective_from", "source", "reason")


@require_GET
@require("read")
def conduct_page(request: DeskRequest) -> HttpResponse:
    """What needs somebody: letters, receipts, statements and targets; and the rules themselves."""
    entity, today = entity_here(request), desk_today()
    places = list(
        locations_here(request)
        .filter(closed_on__isnull=True, pool__owner_class=OwnerClass.CLIENT)
        .select_related("pool")
        .order_by("code")
    )
    states = letter_states(places, today=today)
    letters = [(place, states[place.pk]) for place in places]
    statements = SegregationStatement.objects.filter(pool__legal_entity=entity)
    context = {
        "letters": [pair for pair in letters if pair[1].needs_somebody],
        "letters_good": sum(not state.needs_somebody for _, state in letters),
        "receipts": receipts_of(entity, today=today, is_open=True),
        "standings": standings(entity, day=today),
        "statements": statements.select_related("pool", "asset").order_by(
            "-business_day", "pool__code", "asset__code"
        )[:STATEMENTS_SHOWN],
        "notices": notices_at(entity),
        "rules": rules_on(today),
        "pending": pending_here(request, entity),
        "can_state": may(request, STATE, entity),
        "can_target": may(request, f"{REQUEST}{TARGET}", entity),
        "can_rule": may(request, f"{REQUEST}{RULE}", entity),
        "can_withdraw": may(request, f"{REQUEST}{action_of(WITHDRAWAL)}", entity),
        "today": today,
    }
    template = "ledger/_conduct.html" if wants_rows(request) else "ledger/conduct.html"
    return render(request, template, context)


def pending_here(request: DeskRequest, entity: LegalEntity) -> list[Any]:
    """Requests about this firm's pools and rules that are not done with."""
    records = [
        *(
            f"ledger_pool:{pk}"
            for pk in Pool.objects.filter(legal_entity=entity).values_list("pk", flat=True)
        ),
        *(f"ledger_conductrule:{code}" for code in ConductRule.Code.values),
    ]
    found = [asked for record in records for asked in pending_on(record, roles=request.roles)]
    return [asked for asked in found if asked.legal_entity_id == entity.pk]


def notices_at(entity: LegalEntity) -> list[ResidualNotice]:
    """The newest notices of a firm, whatever became of their requests."""
    found = ResidualNotice.objects.filter(approval__legal_entity=entity)
    return list(found.select_related("approval__checker", "asset").order_by("-pk")[:NOTICES_SHOWN])


def rules_on(day: date) -> list[tuple[str, ConductRule]]:
    """Every rule in force on a day, those of single regimes after the one for all."""
    newest: dict[tuple[str, str], ConductRule] = {}
    for rule in ConductRule.objects.filter(effective_from__lte=day).order_by("effective_from"):
        newest[rule.code, rule.regime] = rule
    return [(rule.get_code_display(), rule) for _, rule in sorted(newest.items())]


@require_POST
@require("read")
def state_day(request: DeskRequest) -> HttpResponse:
    """Make the statement of a business day."""
    entity = entity_here(request)
    check(request, STATE, entity)
    form = StateForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Say for which day.")
        return redirect("ledger:conduct")
    day = form.cleaned_data["day"]
    try:
        with acting(
            request.actor, reason=f"State segregation of {day}", request_id=request.request_id
        ):
            count = state_segregation(entity.pk, day=day)
    except RefusedError as refused:
        messages.error(request, f"Not stated: {refused.detail}.")
    else:
        messages.success(request, f"Stated for {day}: {count} pools and currencies are new.")
    return redirect("ledger:conduct")


class StateForm(forms.Form):
    """The business day of a statement."""

    day = day_field("Business day")


@require_http_methods(["GET", "POST"])
@require("read")
def target_new(request: DeskRequest) -> HttpResponse:
    """Ask for a target."""
    entity = entity_here(request)
    form = TargetForm(
        request.POST if request.method == "POST" else None, entity=entity,
        initial={"effective_from": desk_today()},
    )  # fmt: skip

    def do(typed: Any) -> Any:  # noqa: ANN401
        return request_target(
            pool=typed["pool"], asset=typed["asset"], amount=typed["amount"],
            effective_from=typed["effective_from"], analysis=typed["reason"],
            actor=request.actor, request_id=request.request_id,
        )  # fmt: skip

    question = Question(
        action=TARGET,
        title="Set a residual interest target",
        purpose="What the firm keeps of its own in a client pool; no withdrawal goes below it.",
        back=reverse("ledger:conduct"),
        back_label="Conduct",
    )
    return ask(request, form, question, entity=entity, do=do)


@require_http_methods(["GET", "POST"])
@require("read")
def rule_new(request: DeskRequest) -> HttpResponse:
    """Ask for another value of a rule."""
    entity = entity_here(request)
    form = RuleForm(
        request.POST if request.method == "POST" else None,
        initial={"effective_from": desk_today()},
    )

    def do(typed: Any) -> Any:  # noqa: ANN401
        return request_rule(
            legal_entity=entity, code=typed["code"], regime=typed["regime"].strip(),
            value=typed["value"], effective_from=typed["effective_from"],
            source=typed["source"].strip(), reason=typed["reason"], actor=request.actor,
            request_id=request.request_id,
        )  # fmt: skip

    question = Question(
        action=RULE,
        title="Change a rule of conduct",
        purpose="From a day on; what was done before stays judged by the rule of its day.",
        back=reverse("ledger:conduct"),
        back_label="Conduct",
        facts=tuple((label, str(rule.value.normalize())) for label, rule in rules_on(desk_today())),
    )
    return ask(request, form, question, entity=entity, do=do)


@require_GET
@require("read")
def notice_page(request: DeskRequest, approval_id: UUID) -> HttpResponse:
    """The notice of a withdrawal beyond the share, to print and to send."""
    notice = (
        ResidualNotice.objects.filter(
            approval=approval_id, approval__legal_entity__in=readable(request)
        )
        .select_related(
            "approval__checker", "approval__maker", "approval__legal_entity", "pool", "asset"
        )
        .first()
    )
    if notice is None:
        raise Http404(NO_PAGE)
    share = conduct_rule(
        ConductRule.Code.RESIDUAL_SHARE, regime=notice.pool.regime, day=desk_today()
    )
    context = {"notice": notice, "number": number_of(notice.approval), "share": share}
    return render(request, "ledger/notice.html", context)
