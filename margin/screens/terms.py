"""Agreements and parameters: what is in force, and asking a second person for other terms."""

from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from django import forms
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods

from accounts.agreements import (
    END,
    SIGN,
    VERSION,
    record_of,
    request_end,
    request_signature,
    request_version,
)
from accounts.approvals import AskRefusedError, pending_on
from accounts.clock import desk_zone
from accounts.figures import plain
from accounts.models import AccountAgreement, Agreement, AgreementVersion, MarginAccount
from accounts.roles import REQUEST, DeskRequest, may, require
from accounts.screens.asking import (
    AskForm,
    Question,
    amount_field,
    ask,
    day_field,
    text_field,
)
from ledger.models import Asset, AssetKind
from margin.agreement_codes import codes_in_use
from margin.calls.terms import SET_TERMS
from margin.parameters import HAIRCUT, TERMS, request_haircut, request_terms
from margin.screens.haircuts import HaircutForm, typed_schedule
from margin.screens.visible import NO_PAGE, entity_here
from margin.terms import schedule_of, terms_in_force


def _codes(place: int) -> list[tuple[str, str]]:
    """What an agreement may name by some day: models (0), or their parameters (1)."""
    return [(code, code) for code in dict.fromkeys(pair[place] for pair in codes_in_use(date.max))]


class VersionForm(AskForm):
    """The terms of an agreement from a day on."""

    code = text_field("Agreement", required=True, length=40, hint="A new name begins a new one.")
    effective_from = day_field("From")
    model = forms.ChoiceField(label="Model", choices=lambda: _codes(0))
    parameters = forms.ChoiceField(label="Parameters", choices=lambda: _codes(1))
    call_level = amount_field("Call level", hint="Times maintenance margin.")
    liquidation_level = amount_field("Liquidation level", hint="Times maintenance margin.")
    minimum_transfer_amount = amount_field("Minimum transfer amount")
    currency = text_field("Currency", required=True, length=12)
    call_due_hours = amount_field("Call is due after, hours")
    eligible_collateral = text_field(
        "Eligible collateral", length=400, hint="Codes, with commas. Empty: all money."
    )
    segregation_regime = text_field("Segregation regime", length=20)
    jurisdiction = text_field("Jurisdiction", length=20)
    document_sha256 = text_field("Document sha256", length=64)
    field_order = (
        "code", "effective_from", "model", "parameters", "call_level", "liquidation_level",
        "minimum_transfer_amount", "currency", "call_due_hours", "eligible_collateral",
        "segregation_regime", "jurisdiction", "document_sha256", "reason",
    )  # fmt: skip

    def terms(self) -> dict[str, Any]:
        """The terms as JSON holds them."""
        typed = self.cleaned_data
        codes = [code.strip() for code in typed["eligible_collateral"].split(",")]
        exact = ("call_level", "liquidation_level", "minimum_transfer_amount")
        plain = ("model", "parameters", "currency", "segregation_regime", "jurisdiction")
        return {
            "effective_from": typed["effective_from"].isoformat(),
            **{name: typed[name].strip() for name in (*plain, "document_sha256")},
            **{name: format(typed[name], "f") for name in exact},
            "call_due_for": f"{int(typed['call_due_hours'] * 3600)} seconds",
            "eligible_collateral": sorted(filter(None, codes)),
        }


class SignatureForm(AskForm):
    """An account under an agreement from a day on."""

    account = text_field("Account", required=True, length=40)
    agreement = text_field("Agreement", required=True, length=40)
    effective_from = day_field("From")
    field_order = ("account", "agreement", "effective_from", "reason")


class EndForm(AskForm):
    """The day from which an account has no terms."""

    effective_to = day_field("Ends on")
    field_order = ("effective_to", "reason")


class RatesForm(AskForm):
    """Margin rates of an instrument."""

    brackets = forms.CharField(
        label="Rates", widget=forms.Textarea(attrs={"rows": 4}),
        help_text="One line each: floor, initial rate, maintenance rate. A security has one.",
    )  # fmt: skip
    effective_from = day_field("From")
    field_order = ("brackets", "effective_from", "reason")

    def clean_brackets(self) -> list[tuple[Decimal, Decimal, Decimal]]:
        """Three numbers a line."""
        lines = []
        for line in self.cleaned_data["brackets"].splitlines():
            try:
                floor, initial, maintenance = (Decimal(part) for part in line.split(","))
            except (ValueError, InvalidOperation):
                raise forms.ValidationError(f"“{line[:40]}” is not three numbers.") from None
            if not all(n.is_finite() for n in (floor, initial, maintenance)):
                raise forms.ValidationError(f"“{line[:40]}” is not three numbers.")
            lines.append((floor, initial, maintenance))
        return lines


def desk_today() -> date:
    return timezone.now().astimezone(desk_zone()).date()


@require_GET
@require("read")
def terms_page(request: DeskRequest) -> HttpResponse:
    """Every agreement with its newest versions, and every asset with its parameters."""
    entity, today = entity_here(request), desk_today()
    agreements = list(Agreement.objects.filter(legal_entity=entity).order_by("code"))
    newest: dict[int, AgreementVersion] = {}
    for version in AgreementVersion.objects.filter(agreement__in=agreements).order_by("version"):
        newest[version.agreement_id] = version
    in_force = terms_in_force(today)
    assets = list(Asset.objects.order_by("kind", "code"))
    pending = [
        *(
            a
            for each in agreements
            for a in pending_on(
                record_of(entity, each.code), f"accounts_agreement:{each.pk}", roles=request.roles
            )
        ),
        *(a for each in assets for a in pending_on(f"ledger_asset:{each.pk}", roles=request.roles)),
    ]
    context = {
        "agreements": [(each, newest.get(each.pk)) for each in agreements],
        "assets": [
            (
                asset,
                in_force.haircuts.get(asset.pk),
                in_force.instruments.get(asset.pk),
                in_force.brackets.get(
                    in_force.instruments[asset.pk].pk if asset.pk in in_force.instruments else 0, []
                ),
                in_force.collateral[asset.pk].tiers if asset.pk in in_force.collateral else (),
            )
            for asset in assets
        ],
        "pending": pending,
        "previewed": [a for a in pending if a.action_id == SET_TERMS],
        "can_version": may(request, f"{REQUEST}{VERSION}", entity),
        "can_sign": may(request, f"{REQUEST}{SIGN}", entity),
        "can_set": may(request, f"{REQUEST}{HAIRCUT}", entity),
    }
    return render(request, "margin/terms.html", context)


BACK_LABEL = "Agreements and parameters"


@require_http_methods(["GET", "POST"])
@require("read")
def version_new(request: DeskRequest) -> HttpResponse:
    """Ask for a new version of an agreement; the form begins with the terms it has."""
    entity = entity_here(request)
    initial: dict[str, Any] = {"effective_from": desk_today(), "call_due_hours": 24}
    code = request.GET.get("agreement", "")
    before = (
        AgreementVersion.objects.filter(agreement__legal_entity=entity, agreement__code=code)
        .order_by("-version")
        .first()
    )
    if before is not None:
        initial |= {
            name: getattr(before, name)
            for name in ("model", "parameters", "call_level", "liquidation_level", "currency",
                         "minimum_transfer_amount", "segregation_regime", "jurisdiction")
        } | {
            "code": code,
            "call_due_hours": before.call_due_for.total_seconds() / 3600,
            "eligible_collateral": ", ".join(before.eligible_collateral),
        }  # fmt: skip
    form = VersionForm(request.POST if request.method == "POST" else None, initial=initial)

    def do(typed: Any) -> Any:  # noqa: ANN401
        return request_version(
            legal_entity=entity, code=typed["code"].strip(), terms=form.terms(),
            reason=typed["reason"], actor=request.actor, request_id=request.request_id,
        )  # fmt: skip

    question = Question(
        action=VERSION, title="New version of an agreement", back=reverse("margin:terms"),
        back_label=BACK_LABEL,
        purpose="From its first day every account under the agreement has these terms.",
    )  # fmt: skip
    return ask(request, form, question, entity=entity, do=do)


@require_http_methods(["GET", "POST"])
@require("read")
def signature_new(request: DeskRequest) -> HttpResponse:
    """Ask that an account be under an agreement."""
    entity = entity_here(request)
    form = SignatureForm(
        request.POST if request.method == "POST" else None, initial={"effective_from": desk_today()}
    )

    def do(typed: Any) -> Any:  # noqa: ANN401
        account = MarginAccount.objects.filter(
            legal_entity=entity, code=typed["account"].strip()
        ).first()
        agreement = Agreement.objects.filter(
            legal_entity=entity, code=typed["agreement"].strip()
        ).first()
        if account is None or agreement is None:
            field = "account" if account is None else "agreement"
            raise AskRefusedError(field, f"There is no such {field} here.")
        return request_signature(
            account=account, agreement=agreement, effective_from=typed["effective_from"],
            reason=typed["reason"], actor=request.actor, request_id=request.request_id,
        )  # fmt: skip

    question = Question(
        action=SIGN, title="Put an account under an agreement", back=reverse("margin:terms"),
        back_label=BACK_LABEL,
        purpose="From that day the account has the terms of this agreement and no others.",
    )  # fmt: skip
    return ask(request, form, question, entity=entity, do=do)


@require_http_methods(["GET", "POST"])
@require("read")
def end_new(request: DeskRequest, signed_id: int) -> HttpResponse:
    """Ask that an account's agreement end."""
    entity = entity_here(request)
    signed = (
        AccountAgreement.objects.filter(pk=signed_id, account__legal_entity=entity)
        .select_related("account", "agreement")
        .first()
    )
    if signed is None:
        raise Http404(NO_PAGE)
    form = EndForm(request.POST if request.method == "POST" else None)

    def do(typed: Any) -> Any:  # noqa: ANN401
        return request_end(
            signed, effective_to=typed["effective_to"], reason=typed["reason"],
            actor=request.actor, request_id=request.request_id,
        )  # fmt: skip

    question = Question(
        action=END, title=f"End {signed.agreement.code} of {signed.account.code}",
        back=reverse("margin:account", args=[signed.account.code]), back_label=signed.account.code,
        purpose="From that day the account has no terms; it is an exception until it has some.",
    )  # fmt: skip
    return ask(request, form, question, entity=entity, do=do)


@require_http_methods(["GET", "POST"])
@require("read")
def parameter_new(request: DeskRequest, asset_id: int) -> HttpResponse:
    """Ask for another haircut of money, or other rates of an instrument."""
    entity = entity_here(request)
    asset = Asset.objects.filter(pk=asset_id).first()
    if asset is None:
        raise Http404(NO_PAGE)
    is_money = asset.kind == AssetKind.MONEY
    sent = request.POST if request.method == "POST" else None
    initial: dict[str, Any] = {"effective_from": desk_today()}
    before = terms_in_force(desk_today(), asset_ids=[asset.pk]).haircuts.get(asset.pk)
    if before is not None:
        initial |= {"haircut": plain(before.haircut), **typed_schedule(schedule_of(before))}
    form: AskForm = (
        HaircutForm(sent, initial=initial) if is_money else RatesForm(sent, initial=initial)
    )

    def do(typed: Any) -> Any:  # noqa: ANN401
        shared: dict[str, Any] = {
            "asset": asset, "effective_from": typed["effective_from"], "legal_entity": entity,
            "reason": typed["reason"], "actor": request.actor, "request_id": request.request_id,
        }  # fmt: skip
        if is_money:
            return request_haircut(haircut=typed["haircut"], schedule=typed["schedule"], **shared)
        return request_terms(brackets=typed["brackets"], **shared)

    question = Question(
        action=HAIRCUT if is_money else TERMS,
        title=f"{'Haircut' if is_money else 'Margin rates'} of {asset.code}",
        back=reverse("margin:terms"),
        back_label=BACK_LABEL,
        purpose="From its first day every scope that holds it is computed with it.",
    )  # fmt: skip
    return ask(request, form, question, entity=entity, do=do)
