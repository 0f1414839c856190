"""The register of debts: its rows, who stands for whom as a drawing, and what groups owe."""

from dataclasses import dataclass
from decimal import Decimal
from math import cos, pi, sin

from django import forms
from django.contrib import messages
from django.db.models import Q, QuerySet
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.audit import RefusedError
from accounts.models import AccountGroup, Bucket, Client, LegalEntity, MarginAccount
from accounts.news import announce
from accounts.roles import REQUEST, DeskRequest, check, may, one_of, require, who_may
from ledger.breaks import TEXT_LENGTH_MIN
from ledger.debts import (
    END,
    REGISTER,
    Asked,
    Link,
    Party,
    bound_party,
    claiming_party,
    group_exposures,
    links_of,
    request_end,
    request_obligation,
    rings,
)
from ledger.models import Asset, Obligation
from ledger.posting import plain
from ledger.screens.visible import NO_PAGE, entity_here

WIDTH, HEIGHT, MARGIN = 720, 380, 60
PARTIES_DRAWN_MAX = 40


@dataclass(frozen=True)
class Dot:
    """A party in the drawing, placed on the ellipse."""

    party: Party
    x: int
    y: int
    in_ring: bool


@dataclass(frozen=True)
class Line:
    """A link in the drawing; it ends short of the party it leads to."""

    x1: int
    y1: int
    x2: int
    y2: int
    in_ring: bool


def obligations_here(request: DeskRequest) -> "QuerySet[Obligation]":
    """The register of where one works; of a desk, what touches its accounts."""
    entity = entity_here(request)
    found = Obligation.objects.named().filter(legal_entity=entity)
    desks = request.roles.desks("read", entity.pk)
    if desks is None:
        return found
    return found.filter(
        Q(by_account__desk__in=desks)
        | Q(to_account__desk__in=desks)
        | Q(secures_account__desk__in=desks)
    )


@require_GET
@require("read")
def debt_list(request: DeskRequest) -> HttpResponse:
    """The register, its drawing with rings, and what members of groups owe each other."""
    entity = entity_here(request)
    rows = list(obligations_here(request).order_by("end", "-pk"))
    live = [row for row in rows if not hasattr(row, "end")]
    links = links_of(live)
    found = rings(links)
    dots, lines = drawing(links, {party for ring in found for party in ring})
    is_whole = request.roles.desks("read", entity.pk) is None
    groups = AccountGroup.objects.filter(legal_entity=entity).order_by("code") if is_whole else []
    today = timezone.now().date()
    context = {
        "rows": [(row, bound_party(row), claiming_party(row), not hasattr(row, "end"))
                 for row in rows],
        "links": links,
        "rings": [" → ".join([*(p.code for p in ring), ring[0].code]) for ring in found],
        "dots": dots,
        "lines": lines,
        "width": WIDTH,
        "height": HEIGHT,
        "exposures": [(group, group_exposures(group.pk, day=today)) for group in groups],
        "can_ask": may(request, f"{REQUEST}{REGISTER}", entity),
    }  # fmt: skip
    return render(request, "ledger/debts.html", context)


def drawing(links: list[Link], in_ring: set[Party]) -> tuple[list[Dot], list[Line]]:
    """Parties on an ellipse, links between them; none where they would not be told apart."""
    parties = sorted({link.giver for link in links} | {link.taker for link in links})
    if len(parties) > PARTIES_DRAWN_MAX:
        return [], []
    dots = {}
    for number, party in enumerate(parties):
        angle = 2 * pi * number / len(parties) - pi / 2
        x = WIDTH / 2 + (WIDTH / 2 - 2 * MARGIN) * cos(angle)
        y = HEIGHT / 2 + (HEIGHT / 2 - MARGIN) * sin(angle)
        dots[party] = Dot(party, round(x), round(y), party in in_ring)
    lines = []
    for link in links:
        a, b = dots[link.giver], dots[link.taker]
        long = max(1.0, ((b.x - a.x) ** 2 + (b.y - a.y) ** 2) ** 0.5)
        short = (long - 14) / long
        lines.append(
            Line(
                a.x, a.y, round(a.x + (b.x - a.x) * short), round(a.y + (b.y - a.y) * short),
                a.in_ring and b.in_ring,
            )
        )  # fmt: skip
    return list(dots.values()), lines


class DebtForm(forms.Form):
    """An obligation. Parties are typed as `account A00015`, `client C12` or `firm MAIN`."""

    kind = forms.ChoiceField(label="Kind", choices=Obligation.Kind.choices)
    reference = forms.CharField(label="Reference of the contract", max_length=60)
    by = forms.CharField(
        label="Who is bound", max_length=80, help_text="account A00015, client C12 or firm MAIN"
    )
    to = forms.CharField(label="Who may claim it", max_length=80, help_text="the same way")
    secures = forms.CharField(
        label="Account it stands for", max_length=40, required=False,
        help_text="Of a guarantee or a pledge.",
    )  # fmt: skip
    bucket = forms.CharField(
        label="Bucket of the lot", max_length=60, required=False,
        help_text="Of a pledge; the account is the one that is bound.",
    )  # fmt: skip
    asset = forms.ModelChoiceField(
        Asset.objects.exclude(kind="derivative").order_by("code"), to_field_name="code",
        label="Asset", empty_label=None,
    )  # fmt: skip
    amount = forms.DecimalField(label="Amount", max_digits=40, decimal_places=18, min_value=0)
    effective_on = forms.DateField(label="From", widget=forms.DateInput(attrs={"type": "date"}))
    reason = forms.CharField(
        label="Reason", min_length=TEXT_LENGTH_MIN, max_length=2000,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Kept for ever with your name. At least 10 characters.",
    )  # fmt: skip


class UnknownPartyError(Exception):
    """What was typed names nobody. `field` is where."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail)
        self.field = field


def party_named(
    words: str, *, field: str, entity: LegalEntity
) -> MarginAccount | Client | LegalEntity:
    """The party that the words name.

    Raises:
        UnknownPartyError: nobody is called that.
    """
    kind, _, code = words.strip().partition(" ")
    found: MarginAccount | Client | LegalEntity | None = None
    if kind == "account":
        found = MarginAccount.objects.filter(legal_entity=entity, code=code.strip()).first()
    elif kind == "client":
        found = Client.objects.filter(legal_entity=entity, code=code.strip()).first()
    elif kind == "firm":
        found = LegalEntity.objects.filter(code=code.strip()).first()
    if found is None:
        raise UnknownPartyError(field, "There is no such account, client or firm.")
    return found


def asked_of(typed: dict[str, object], *, entity: LegalEntity) -> Asked:
    """What somebody typed, with every name found.

    Raises:
        UnknownPartyError: a name is of nobody.
    """
    by = party_named(str(typed["by"]), field="by", entity=entity)
    to = party_named(str(typed["to"]), field="to", entity=entity)
    secures, bucket = None, None
    if typed["secures"]:
        found = party_named(f"account {typed['secures']}", field="secures", entity=entity)
        assert isinstance(found, MarginAccount), "an account was asked for"
        secures = found
    if typed["bucket"]:
        bucket = Bucket.objects.filter(
            account=by if isinstance(by, MarginAccount) else None, code=str(typed["bucket"])
        ).first()
        if bucket is None:
            raise UnknownPartyError("bucket", "The account that is bound has no such bucket.")
    return Asked(
        reference=str(typed["reference"]), kind=str(typed["kind"]), by=by, to=to,
        asset=typed["asset"], amount=Decimal(plain(Decimal(str(typed["amount"])))),  # type: ignore[arg-type]
        effective_on=typed["effective_on"],  # type: ignore[arg-type]
        secures=secures, bucket=bucket,
    )  # fmt: skip


@require_http_methods(["GET", "POST"])
@require("read")
def debt_new(request: DeskRequest) -> HttpResponse:
    """Ask that an obligation be registered."""
    entity = entity_here(request)
    check(request, f"{REQUEST}{REGISTER}", entity)
    today = {"effective_on": timezone.now().date()}
    form = DebtForm(request.POST) if request.method == "POST" else DebtForm(initial=today)
    if request.method == "GET":
        return debt_form(request, form)
    if not form.is_valid():
        return debt_form(request, form, status=422)
    try:
        approval_id = request_obligation(
            asked_of(form.cleaned_data, entity=entity), legal_entity=entity,
            reason=form.cleaned_data["reason"], actor=request.actor,
            request_id=request.request_id,
        )  # fmt: skip
    except UnknownPartyError as unknown:
        form.add_error(unknown.field, str(unknown))
        return debt_form(request, form, status=422)
    except RefusedError as refused:
        form.add_error(None, f"Not asked ({refused.rule}): {refused.detail}")
        return debt_form(request, form, status=409)
    messages.success(request, "Asked. It waits for a second person; nothing is registered yet.")
    announce("approvals")
    return redirect("accounts:approval", approval_id)


def debt_form(request: DeskRequest, form: DebtForm, *, status: int = 200) -> HttpResponse:
    """The form, with who can decide."""
    entity = entity_here(request)
    deciders = who_may(f"approval.decide:{REGISTER}", entity.pk, besides=request.operator.pk)
    context = {"form": form, "deciders": one_of(deciders)}
    return render(request, "ledger/debt_new.html", context, status=status)


@require_POST
@require("read")
def debt_end(request: DeskRequest, obligation_id: int) -> HttpResponse:
    """Ask that an obligation end today."""
    found = obligations_here(request).filter(pk=obligation_id, end__isnull=True).first()
    if found is None:
        raise Http404(NO_PAGE)
    check(request, f"{REQUEST}{END}", entity_here(request))
    try:
        approval_id = request_end(
            found, ended_on=timezone.now().date(), reason=request.POST.get("reason", "").strip(),
            actor=request.actor, request_id=request.request_id,
        )  # fmt: skip
    except RefusedError as refused:
        messages.error(request, f"Not asked: {refused.detail}.")
        return redirect("ledger:debts")
    messages.success(request, "Asked. It waits for a second person; the obligation stands.")
    announce("approvals")
    return redirect("accounts:approval", approval_id)
