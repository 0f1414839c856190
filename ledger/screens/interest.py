"""Rate curves, asking for rates, and the interest of one account or loan."""

from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods

from accounts.audit import RefusedError
from accounts.drawing import Chart, chart
from accounts.models import Approval, LegalEntity
from accounts.roles import REQUEST, DeskRequest, check, may, one_of, require, who_may
from ledger.accrual import COMMON_YEAR, account_lines, newest_day
from ledger.breaks import TEXT_LENGTH_MIN
from ledger.models import (
    AccrualCorrection,
    Asset,
    AssetKind,
    DailyRate,
    LedgerAccount,
    RateCurve,
    RateVersion,
)
from ledger.rates import (
    FIELDS,
    PUBLISH,
    Point,
    Rates,
    RatesRefusedError,
    facts_of,
    percent,
    points_of,
    rate_on,
    request_rates,
    said_by,
    version_on,
)
from ledger.screens.visible import NO_PAGE, entity_here, readable

ASK = f"{REQUEST}{PUBLISH}"
HUNDRED = Decimal(100)
DAYS_SHOWN = 62
LINE_HINT = "A line for each point: the share of the pool that is lent, and the yearly rate."


class LineField(forms.CharField):
    """Points, one a line: two numbers, in percent or in days and percent."""

    def __init__(self, *, divisor: Decimal, **options: Any) -> None:  # noqa: ANN401
        self.divisor = divisor
        super().__init__(widget=forms.Textarea(attrs={"rows": 4}), **options)

    def clean(self, value: Any) -> tuple[Point, ...]:  # noqa: ANN401
        """Points as they were typed, in shares."""
        points = []
        for typed in (super().clean(value) or "").splitlines():
            parts = typed.replace("%", " ").split()
            if not parts:
                continue
            try:
                x, y = (Decimal(part) for part in parts)
            except (InvalidOperation, ValueError) as error:
                raise forms.ValidationError(f"{typed!r} is not two numbers.") from error
            if not (x.is_finite() and y.is_finite()):
                raise forms.ValidationError(f"{typed!r} is not two numbers.")
            points.append(Point(x / self.divisor, y / HUNDRED))
        return tuple(points)


def _number(label: str, hint: str = "") -> forms.DecimalField:
    return forms.DecimalField(
        label=label, required=False, max_digits=40, decimal_places=12, localize=False,
        widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"}),
        help_text=hint,
    )  # fmt: skip


class RatesForm(forms.Form):
    """A version of a curve as the desk types it; rates in percent."""

    asset = forms.ModelChoiceField(
        Asset.objects.filter(kind=AssetKind.MONEY).order_by("code"),
        to_field_name="code", label="Currency", empty_label=None,
    )  # fmt: skip
    side = forms.ChoiceField(label="Rates", choices=RateCurve.Side.choices)
    effective_from = forms.DateField(
        label="First day", widget=forms.DateInput(attrs={"type": "date"})
    )
    points = LineField(divisor=HUNDRED, label="Use and rate, %", help_text=LINE_HINT)
    tenor = LineField(
        divisor=Decimal(1), label="Days and spread, %", required=False,
        help_text="Added by the age of the balance; empty for none.",
    )  # fmt: skip
    floor = _number("Floor, %")
    cap = _number("Cap, %")
    day_count = forms.ChoiceField(label="Day count", choices=RateVersion.DayCount.choices)
    charged = forms.ChoiceField(label="Charged", choices=RateVersion.Charged.choices)
    paid_from = forms.ChoiceField(
        label="Interest on loans is paid from", choices=RateVersion.PaidFrom.choices
    )
    compounds = forms.BooleanField(label="Interest bears interest", required=False)
    repays_from_free_money = forms.BooleanField(
        label="Loans are repaid from free money", required=False
    )
    account_cap = _number("Lent to an account at most")
    pool_cap = _number("Lent in all at most")
    utilisation_cap = _number("Share of the pool lent at most, %")
    reason = forms.CharField(
        label="Reason", min_length=TEXT_LENGTH_MIN, max_length=2000,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Kept for ever with your name. At least 10 characters.",
    )  # fmt: skip

    def rates(self) -> Rates:
        """What was typed, in shares."""
        typed = dict(self.cleaned_data)
        typed.pop("reason")
        for name in ("floor", "cap", "utilisation_cap"):
            typed[name] = None if typed[name] is None else typed[name] / HUNDRED
        return Rates(**{**typed, "asset": typed["asset"].code})


# ---------------------------------------------------------------- curves


@require_GET
@require("read")
def rates(request: DeskRequest) -> HttpResponse:
    """Every curve with the rate it stands at."""
    entity = entity_here(request)
    curves = RateCurve.objects.filter(legal_entity=entity).select_related("asset")
    newest = {
        rate.curve_id: rate
        for rate in DailyRate.objects.filter(curve__legal_entity=entity)
        .order_by("curve_id", "-run_id")
        .distinct("curve_id")
    }
    today = timezone.now().date()
    lines = [
        {"curve": curve, "version": version_on(curve, today), "newest": newest.get(curve.pk)}
        for curve in curves.order_by("asset__code", "side")
    ]
    context = {
        "lines": lines,
        "accrued_to": newest_day(entity),
        "waiting": waiting_here(entity),
        "may_ask": may(request, ASK, entity),
    }
    return render(request, "ledger/rates.html", context)


def waiting_here(entity: LegalEntity) -> list[Approval]:
    """Requests for rates that wait for a second person."""
    found = Approval.objects.filter(
        legal_entity=entity, action=PUBLISH, decision="", expires_at__gt=timezone.now()
    )
    return list(found.select_related("maker").order_by("number"))


@require_GET
@require("read")
def rate_curve(request: DeskRequest, curve_id: int) -> HttpResponse:
    """One curve: its versions, the line it draws, the rates of the newest days."""
    curve = (
        RateCurve.objects.filter(pk=curve_id, legal_entity__in=readable(request))
        .select_related("asset", "legal_entity")
        .first()
    )
    if curve is None:
        raise Http404(NO_PAGE)
    versions = list(curve.versions.order_by("-effective_from"))
    daily = DailyRate.objects.filter(curve=curve).select_related("run", "version")
    context = {
        "curve": curve,
        "versions": [(version, facts_of(said_by(version))) for version in versions],
        "labels": [label for _, label in FIELDS],
        "chart": line_chart(versions[0]) if versions else None,
        "daily": list(daily.order_by("-run_id")[:DAYS_SHOWN]),
        "may_ask": may(request, ASK, curve.legal_entity),
    }
    return render(request, "ledger/rate_curve.html", context)


def line_chart(version: RateVersion) -> Chart:
    """The newest version as a line over the use of the lending pool."""
    points = points_of(version.points)
    shares = [Decimal(share) / 20 for share in range(21)]
    rates = [rate_on(points, share) * HUNDRED for share in shares]
    return chart(
        [("eq", rates)],
        days=["0 %", "25 %", "50 %", "75 %", "100 % lent"],
        words=f"The rate goes from {percent(rates[0] / HUNDRED)} with nothing lent to"
        f" {percent(rates[-1] / HUNDRED)} with everything lent; the versions are in the table",
    )


@require_http_methods(["GET", "POST"])
@require("read")
def rates_new(request: DeskRequest) -> HttpResponse:
    """The form of a new version; sending it asks for a second person."""
    entity = entity_here(request)
    check(request, ASK, entity)
    form = RatesForm(request.POST if request.method == "POST" else None, initial=_start(entity))
    if request.method == "GET":
        return form_page(request, form)
    if not form.is_valid():
        return form_page(request, form, status=422)
    try:
        approval_id = request_rates(
            form.rates(),
            legal_entity=entity,
            reason=form.cleaned_data["reason"],
            actor=request.actor,
            request_id=request.request_id,
        )
    except RatesRefusedError as refused:
        form.add_error(refused.field, str(refused))
        return form_page(request, form, status=422)
    except RefusedError as refused:
        form.add_error(None, f"Not asked: {refused.detail}.")
        return form_page(request, form, status=409)
    messages.success(request, "Asked. It waits for a second person; no rate has changed.")
    return redirect("accounts:approval", approval_id)


def _start(entity: LegalEntity) -> dict[str, date]:
    """The first day that can still be chosen."""
    newest = newest_day(entity)
    today = timezone.now().date()
    return {"effective_from": max(today, newest + timedelta(days=1)) if newest else today}


def form_page(request: DeskRequest, form: RatesForm, *, status: int = 200) -> HttpResponse:
    """The form, with who can decide."""
    deciders = who_may(
        f"approval.decide:{PUBLISH}", entity_here(request).pk, besides=request.operator.pk
    )
    context = {"form": form, "deciders": one_of(deciders)}
    return render(request, "ledger/rates_new.html", context, status=status)


# ---------------------------------------------------------------- an account


@require_GET
@require("read")
def interest(request: DeskRequest, account_id: int) -> HttpResponse:
    """The interest of one loan or balance, day by day."""
    account = (
        LedgerAccount.objects.filter(
            pk=account_id,
            pool__legal_entity__in=readable(request),
            account_class__in=["claim", "loan_receivable"],
        )
        .select_related("asset", "margin_account", "bucket", "pool", "balance")
        .first()
    )
    if account is None or not _may_see(request, account):
        raise Http404(NO_PAGE)
    lines = account_lines(account, newest=DAYS_SHOWN)
    for each in lines:
        each["accrued"] = each["numerator"] / COMMON_YEAR
        each["so_far"] = each["cumulative"] / COMMON_YEAR
        each["made_up"] = each["corrected"] / COMMON_YEAR
        each["rate_words"] = percent(each["rate"])
    corrections = AccrualCorrection.objects.filter(account=account).select_related("run")
    context = {
        "account": account,
        "is_loan": account.account_class == "loan_receivable",
        "standing": abs(account.balance.amount),
        "newest": lines[0] if lines else None,
        "lines": lines,
        "corrections": [
            (each, each.numerator / COMMON_YEAR)
            for each in corrections.order_by("-run_id", "-day")[:DAYS_SHOWN]
        ],
        "others": LedgerAccount.objects.filter(
            margin_account=account.margin_account,
            account_class__in=["claim", "loan_receivable"],
            asset__kind=AssetKind.MONEY,
        )
        .exclude(pk=account.pk)
        .select_related("asset", "bucket")
        .order_by("asset__code", "account_class", "pk"),
    }
    return render(request, "ledger/interest.html", context)


def _may_see(request: DeskRequest, account: LedgerAccount) -> bool:
    desks = request.roles.desks("read", account.pool.legal_entity_id)
    assert account.margin_account is not None, "claims and loans hang on a bucket"
    return desks is None or account.margin_account.desk in desks
