"""Asking for a transfer between pools, or for a journal of the firm's own books."""

from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from accounts.audit import RefusedError
from accounts.models import LegalEntity
from accounts.news import announce
from accounts.roles import REQUEST, DeskRequest, check, one_of, require, who_may
from ledger.breaks import TEXT_LENGTH_MIN
from ledger.models import Asset, AssetKind, Location
from ledger.residual import REPRESENTATION, WITHDRAWAL
from ledger.screens.identity import line_of
from ledger.screens.visible import entity_here
from ledger.segregation import pool_assets
from ledger.transfers import (
    FIRM_CLASSES,
    JOURNAL,
    REFERENCE_LENGTH_MAX,
    TRANSFERS,
    TransferKind,
    TransferRefusedError,
    action_of,
    request_journal,
    request_transfer,
)

JOURNAL_WORD = "Journal of the firm"
JOURNAL_PURPOSE = (
    "Money that came into or left a location of the firm's own books, against its own equity."
)
PAID_IN, PAID_OUT = "in", "out"


class MoneyForm(forms.Form):
    """What every such request says."""

    asset = forms.ModelChoiceField(
        Asset.objects.none(), to_field_name="code", label="Currency", empty_label=None
    )
    amount = forms.DecimalField(
        label="Amount", max_digits=40, decimal_places=18, localize=False,
        widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"}),
        help_text="As the bank will move it, without a sign.",
    )  # fmt: skip
    reference = forms.CharField(
        label="Bank reference", required=False, max_length=REFERENCE_LENGTH_MAX,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        help_text="What the statement will call it; we make one if you leave it empty.",
    )  # fmt: skip
    reason = forms.CharField(
        label="Reason", min_length=TEXT_LENGTH_MIN, max_length=2000,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Kept for ever with your name. At least 10 characters.",
    )  # fmt: skip

    def __init__(self, data: Any, *, entity: LegalEntity) -> None:  # noqa: ANN401
        super().__init__(data)
        carried = Asset.objects.filter(
            kind=AssetKind.MONEY,
            pk__in=Location.objects.filter(pool__legal_entity=entity).values("carried__asset"),
        ).order_by("code")
        self.choose("asset", carried)
        usual = carried.filter(code="USD").first() or carried.first()
        self.fields["asset"].initial = usual.code if usual else None

    def choose(self, name: str, rows: Any) -> None:  # noqa: ANN401
        """Give a field its choices."""
        field = self.fields[name]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = rows


class TransferForm(MoneyForm):
    """Money of the firm from one pool to another."""

    gives = forms.ModelChoiceField(
        Location.objects.none(), to_field_name="code", label="From", empty_label=None
    )
    takes = forms.ModelChoiceField(
        Location.objects.none(), to_field_name="code", label="To", empty_label=None
    )
    field_order: tuple[str, ...] = ("gives", "takes", "asset", "amount", "reference", "reason")

    def __init__(self, data: Any, *, entity: LegalEntity, kind: TransferKind) -> None:  # noqa: ANN401
        super().__init__(data, entity=entity)
        self.choose("gives", money_locations(entity, [kind.gives]))
        self.choose("takes", money_locations(entity, [kind.takes]))


class WithdrawalForm(TransferForm):
    """Residual interest to the firm; beyond the share of its statement it goes with a notice."""

    recipients = forms.CharField(
        label="Paid to", required=False, max_length=500,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        help_text="Beyond the share that goes without a senior principal: who gets the money.",
    )  # fmt: skip
    complies = forms.BooleanField(
        label="The firm complies after it", required=False, help_text=REPRESENTATION
    )
    field_order = (*TransferForm.field_order, "recipients", "complies")


class JournalForm(MoneyForm):
    """Money that came in or went out at one location of the firm."""

    location = forms.ModelChoiceField(
        Location.objects.none(), to_field_name="code", label="At", empty_label=None
    )
    direction = forms.ChoiceField(
        label="The money", choices=[(PAID_IN, "came in"), (PAID_OUT, "went out")]
    )
    field_order = ("location", "direction", "asset", "amount", "reference", "reason")

    def __init__(self, data: Any, *, entity: LegalEntity) -> None:  # noqa: ANN401
        super().__init__(data, entity=entity)
        self.choose("location", money_locations(entity, FIRM_CLASSES))


def money_locations(entity: LegalEntity, owner_classes: Any) -> Any:  # noqa: ANN401
    """Open locations of some classes of pool that carry money."""
    return (
        Location.objects.filter(
            pool__legal_entity=entity,
            pool__owner_class__in=list(owner_classes),
            carried__asset__kind=AssetKind.MONEY,
            closed_on__isnull=True,
        )
        .distinct()
        .order_by("code")
    )


@require_http_methods(["GET", "POST"])
@require("read")
def transfer_new(request: DeskRequest) -> HttpResponse:
    """The form of the kind that the address names; sending it asks for a second person."""
    entity = entity_here(request)
    code = request.GET.get("kind", next(iter(TRANSFERS)))
    code = code if code in TRANSFERS or code == JOURNAL else next(iter(TRANSFERS))
    check(request, f"{REQUEST}{action_of(code)}", entity)
    kind = TRANSFERS.get(code)
    form = form_of(kind, request.POST if request.method == "POST" else None, entity)
    if request.method == "GET":
        return form_page(request, form, code)
    if not form.is_valid():
        return form_page(request, form, code, status=422)
    try:
        approval_id = ask(request, form, kind, entity)
    except TransferRefusedError as refused:
        form.add_error(refused.field or None, str(refused))
        return form_page(request, form, code, status=422)
    except RefusedError as refused:
        form.add_error(None, f"Not asked: {refused.detail}.")
        return form_page(request, form, code, status=409)
    messages.success(request, "Asked. It waits for a second person; nothing has moved.")
    announce("approvals")
    return redirect("accounts:approval", approval_id)


def form_of(kind: TransferKind | None, data: Any, entity: LegalEntity) -> MoneyForm:  # noqa: ANN401
    """The form of a kind; without one, that of a journal."""
    if kind is None:
        return JournalForm(data, entity=entity)
    if kind.code == WITHDRAWAL:
        return WithdrawalForm(data, entity=entity, kind=kind)
    return TransferForm(data, entity=entity, kind=kind)


def ask(
    request: DeskRequest, form: MoneyForm, kind: TransferKind | None, entity: LegalEntity
) -> Any:  # noqa: ANN401
    """Send what the form says."""
    typed = form.cleaned_data
    amount: Decimal = typed["amount"]
    shared = {
        "asset": typed["asset"],
        "reference": typed["reference"].strip(),
        "reason": typed["reason"],
        "effective_at": timezone.now(),
        "legal_entity": entity,
        "actor": request.actor,
        "request_id": request.request_id,
    }
    if kind is None:
        signed = -amount if typed["direction"] == PAID_OUT else amount
        return request_journal(location=typed["location"], amount=signed, **shared)
    return request_transfer(
        kind=kind, gives=typed["gives"], takes=typed["takes"], amount=amount,
        recipients=typed.get("recipients", "").strip(), complies=typed.get("complies", False),
        **shared,
    )  # fmt: skip


def form_page(
    request: DeskRequest, form: MoneyForm, code: str, *, status: int = 200
) -> HttpResponse:
    """The form beside what the pools hold now."""
    entity = entity_here(request)
    kind = TRANSFERS.get(code)
    deciders = who_may(f"approval.decide:{action_of(code)}", entity.pk, besides=request.operator.pk)
    context = {
        "form": form,
        "code": code,
        "word": kind.word if kind else JOURNAL_WORD,
        "purpose": kind.purpose if kind else JOURNAL_PURPOSE,
        "kinds": [
            *((each.code, each.word) for each in TRANSFERS.values()),
            (JOURNAL, JOURNAL_WORD),
        ],
        "lines": [line_of(row) for row in pool_assets(entities=[entity.pk])],
        "deciders": one_of(deciders),
    }
    return render(request, "ledger/transfer_new.html", context, status=status)
