"""What-if: trades, money and prices that are only thought of, and the scope beside itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

from django import forms
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.listing import wants_rows
from accounts.models import Bucket, MarginAccount
from accounts.roles import DeskRequest, require
from ledger.models import Asset, AssetKind
from margin.agreement_codes import HOUSE_PARAMETERS
from margin.calls.disputes import given_up
from margin.engine.exact import ZERO, exact
from margin.engine.house_rules import MODEL as HOUSE_RULES
from margin.engine.liquidation_points import LiquidationPoints
from margin.market.marks import BASE
from margin.models import Contract, MarginCall, ParameterSet
from margin.pools import Pools
from margin.screens.visible import account_or_404
from margin.what_if import MODES, Change, ThoughtTrade, WhatIf, what_if
from margin.what_if_ground import WhatIfRefusedError

LINES = 3
# In the address: liquidation points are searched too.
POINTS, SEARCHED = "points", "searched"
MONEY_DECIMALS = 4  # money has no scale of prices
NUMBER: dict[str, Any] = {
    "max_digits": 60, "decimal_places": 18, "required": False, "localize": False,
    "widget": forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"}),
}  # fmt: skip


def models_known() -> list[tuple[str, str]]:
    """What may be thought of as deciding: what the agreement names, or any set there is."""
    sets = ParameterSet.objects.order_by("model", "code").values_list("model", "code").distinct()
    known = [(HOUSE_RULES, code) for code in HOUSE_PARAMETERS]
    return [
        ("", "as agreed"),
        *((f"{model}/{code}", f"{model} {code}") for model, code in [*known, *sets]),
    ]


class BucketForm(forms.Form):
    """Which scope of the account, and what decides on it."""

    bucket = forms.ModelChoiceField(
        Bucket.objects.none(), to_field_name="code", label="Scope", empty_label=None
    )
    model = forms.ChoiceField(label="Decided by", choices=models_known, required=False)
    mode = forms.ChoiceField(
        label="House rules take it as",
        choices=[("", "as it is"), *((mode, mode) for mode in MODES)],
        required=False,
    )

    def __init__(self, data: Any, *, account: MarginAccount) -> None:  # noqa: ANN401
        super().__init__(data)
        field = self.fields["bucket"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = scopes_of(account)


def asset_field(kinds: tuple[str, ...], label: str) -> "forms.ModelChoiceField[Asset]":
    """An asset by its code, or none."""
    assets = Asset.objects.filter(kind__in=kinds).order_by("code")
    return forms.ModelChoiceField(
        assets, to_field_name="code", label=label, required=False, empty_label="none"
    )


class TradeForm(forms.Form):
    """One trade."""

    asset = asset_field((AssetKind.SECURITY, AssetKind.DERIVATIVE), "Instrument")
    quantity = forms.DecimalField(label="Quantity, minus sells", **NUMBER)
    price = forms.DecimalField(label="Price, else the mark", **NUMBER)
    fee = forms.DecimalField(label="Fee", **NUMBER)


class MoneyForm(forms.Form):
    """Money in or out, and what of it counts."""

    asset = asset_field((AssetKind.MONEY,), "Money")
    amount = forms.DecimalField(label="Amount, minus takes out", **NUMBER)
    haircut = forms.DecimalField(label="Haircut, a share", **NUMBER)


class VolatilityForm(forms.Form):
    """Another volatility of an option."""

    asset = asset_field((AssetKind.DERIVATIVE,), "Volatility of")
    volatility = forms.DecimalField(label="A year's, a share", **NUMBER)


class PriceForm(forms.Form):
    """Another price."""

    asset = asset_field(tuple(AssetKind.values), "Price of")
    price = forms.DecimalField(label="New price", **NUMBER)


GROUPS: Final[Mapping[str, type[forms.Form]]] = {
    "trade": TradeForm, "money": MoneyForm, "price": PriceForm, "volatility": VolatilityForm,
}  # fmt: skip


@dataclass(frozen=True)
class LiquidationRow:
    """The points of one asset, now and after."""

    asset: str
    decimals: int
    now: LiquidationPoints | None
    after: LiquidationPoints | None


@require_GET
@require("read")
def what_if_page(request: DeskRequest, code: str) -> HttpResponse:
    """The form in the address, and both sides beside it; nothing is written.

    Under a portfolio model each liquidation point is a search: the page answers first without
    them and asks for them by itself.
    """
    account = account_or_404(request, code)
    sent = request.GET if "bucket" in request.GET else None
    chosen = BucketForm(sent, account=account)
    options_exist = Contract.objects.filter(form=Contract.Form.OPTION).exists()
    groups = {
        name: [form(sent, prefix=f"{name}{place}") for place in range(1, LINES + 1)]
        for name, form in GROUPS.items()
        if name != "volatility" or options_exist
    }
    context: dict[str, Any] = {
        "account": account, "chosen": chosen, "groups": groups, "base": BASE,
        "has_scope": scopes_of(account).exists(),
    }  # fmt: skip
    if sent is None:
        return render(request, "margin/what_if.html", context)
    forms_sent = [chosen, *(form for group in groups.values() for form in group)]
    # Every form is looked at, so that each says what is wrong with it.
    valid = [form.is_valid() for form in forms_sent]
    if not all(valid):
        return render(request, "margin/what_if.html", context, status=422)
    try:
        thought = replace(change_of(groups), **decided_by(chosen.cleaned_data))
        is_searched = sent.get(POINTS) == SEARCHED
        said = what_if(chosen.cleaned_data["bucket"], thought, has_points=is_searched or None)
    except WhatIfRefusedError as refused:
        return render(request, "margin/what_if.html", context | {"refused": refused}, status=409)
    context |= {
        "said": said,
        **called_after(said),
        "points": liquidation_rows(said.now.liquidation, said.after.liquidation),
        "search": "" if is_searched else search_address(request, said),
    }
    is_part = is_searched and wants_rows(request)
    template = "margin/_liquidation_points.html" if is_part else "margin/what_if.html"
    return render(request, template, context)


def called_after(said: WhatIf) -> dict[str, object]:
    """The maintenance call that stands open on the scope, and what would be left of it.

    It ends where initial margin is there again but for what was agreed not to be called, as
    `Nets.open_call` has it after a run.
    """
    scope = Pools.newest().group_of(said.bucket.pk) or said.bucket.pk
    calls = MarginCall.objects.open().exclude(state=MarginCall.State.DRAFT)
    call = calls.filter(scope__bucket=scope, kind=MarginCall.Kind.MAINTENANCE).first()
    if call is None:
        return {"open_call": None}
    with exact():
        left = said.after.missing - given_up([call.pk]).get(call.pk, ZERO)
    return {"open_call": call, "left": max(left, ZERO)}


def search_address(request: DeskRequest, said: WhatIf) -> str:
    """Where the same is answered with points that are searched; "" where none has to be."""
    if not (said.now.parameter_set or said.after.parameter_set):
        return ""
    query = request.GET.copy()
    query[POINTS] = SEARCHED
    return f"{request.path}?{query.urlencode()}"


def scopes_of(account: MarginAccount) -> Any:  # noqa: ANN401 (a queryset)
    """Buckets that are scopes of requirement."""
    return Bucket.objects.filter(account=account).select_related("account").order_by("code")


def decided_by(typed: Mapping[str, Any]) -> dict[str, Any]:
    """The model and the mode that were chosen; None for what is."""
    model, _, code = typed["model"].partition("/")
    return {"model": (model, code) if model else None, "mode": typed["mode"] or None}


def change_of(groups: Mapping[str, Sequence[forms.Form]]) -> Change:
    """The lines that say something; a line without an asset says nothing."""
    lines = {
        name: [form.cleaned_data for form in group if form.cleaned_data["asset"] is not None]
        for name, group in groups.items()
    }
    return Change(
        trades=tuple(
            ThoughtTrade(
                asset=line["asset"].code,
                quantity=line["quantity"] or Decimal(0),
                price=line["price"],
                fee=line["fee"] or Decimal(0),
            )
            for line in lines["trade"]
        ),
        money=_by_asset(lines["money"], "amount"),
        prices=_by_asset(lines["price"], "price"),
        haircuts=_by_asset(lines["money"], "haircut"),
        volatilities=_by_asset(lines.get("volatility", []), "volatility"),
    )


def _by_asset(lines: list[dict[str, Any]], name: str) -> dict[str, Decimal]:
    return {line["asset"].code: line[name] for line in lines if line[name] is not None}


def liquidation_rows(
    now: Mapping[str, LiquidationPoints], after: Mapping[str, LiquidationPoints]
) -> list[LiquidationRow]:
    """Every asset with points on one of the sides."""
    codes = sorted(now.keys() | after.keys())
    scales: dict[str, int | None] = dict(
        Asset.objects.filter(code__in=codes).values_list("code", "price_scale")
    )
    return [
        LiquidationRow(
            asset=code,
            decimals=scales[code] or MONEY_DECIMALS,
            now=now.get(code),
            after=after.get(code),
        )
        for code in codes
    ]
