"""The parameters of one asset over time: versions, who agreed, what waits, whom it would call."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.approvals import pending_on, visible
from accounts.figures import plain
from accounts.models import Approval, MarginAccount
from accounts.roles import REQUEST, DeskRequest, may, require
from ledger.models import Asset, AssetKind
from margin.engine.collateral import VolatilityHaircut
from margin.engine.rejected import RejectedInputError
from margin.models import Haircut, InstrumentTerms
from margin.parameters import HAIRCUT, TERMS, rates, schedule_lines
from margin.preview import PREVIEWED, Affected, preview_request
from margin.screens.terms import BACK_LABEL, desk_today
from margin.screens.visible import NO_PAGE, entity_here, newest_run, of_accounts
from margin.terms import schedule_of, terms_in_force

SHOWN_MAX = 200


@dataclass(frozen=True)
class VersionRow:
    """One version of an asset's parameters, in words, and the request it came from."""

    version: int
    effective_from: date
    is_in_force: bool
    lines: Sequence[tuple[str, str]]
    approval: Approval | None


@require_GET
@require("read")
def parameter_page(request: DeskRequest, asset_id: int) -> HttpResponse:
    """Every version, the newest first, what a volatility makes of the one in force, what waits."""
    entity = entity_here(request)
    asset = Asset.objects.filter(pk=asset_id).first()
    if asset is None:
        raise Http404(NO_PAGE)
    is_money = asset.kind == AssetKind.MONEY
    in_force = terms_in_force(desk_today(), asset_ids=[asset.pk])
    tiered = in_force.collateral.get(asset.pk)
    context = {
        "asset": asset,
        "is_money": is_money,
        "rows": haircut_rows(asset, in_force.haircuts.get(asset.pk))
        if is_money
        else rate_rows(asset, in_force.instruments.get(asset.pk)),
        "volatility": None if tiered is None else volatility_words(tiered.volatility),
        "pending": pending_on(f"ledger_asset:{asset.pk}", roles=request.roles).filter(
            action__in=(HAIRCUT, TERMS)
        ),
        "can_set": may(request, f"{REQUEST}{HAIRCUT if is_money else TERMS}", entity),
        "parent": BACK_LABEL,
    }
    return render(request, "margin/parameter.html", context)


@require_GET
@require("read")
def preview_page(request: DeskRequest, approval_id: UUID) -> HttpResponse:
    """Whom a request for other parameters, or other levels, would have called in the newest run."""
    approval = visible(request.roles).filter(pk=approval_id, action__in=PREVIEWED).first()
    run = newest_run()
    if approval is None or run is None:
        raise Http404(NO_PAGE)
    found = preview_request(run, approval)
    mine = affected_here(request, found.affected)
    context = {
        "approval": approval,
        "run": run,
        "affected": mine[:SHOWN_MAX],
        "affected_count": len(mine),
        "called_count": sum(each.is_called for each in mine),
        "most": SHOWN_MAX,
    }
    return render(request, "margin/parameter_preview.html", context)


def affected_here(request: DeskRequest, affected: Sequence[Affected]) -> list[Affected]:
    """Those of them that the person may see."""
    mine = of_accounts(request.roles, [entity_here(request).pk], path="")
    seen = set(MarginAccount.objects.filter(mine).values_list("pk", flat=True))
    return [each for each in affected if each.account_id in seen]


def haircut_rows(asset: Asset, in_force: Haircut | None) -> list[VersionRow]:
    """Every version of a haircut with its tiers."""
    found = list(asset.haircuts.select_related("schedule").order_by("-version"))
    approvals = approvals_of(found)
    return [
        VersionRow(
            each.version, each.effective_from, each.pk == getattr(in_force, "pk", None),
            _haircut_lines(each),
            approvals.get(each.xid),
        )
        for each in found
    ]  # fmt: skip


def _haircut_lines(haircut: Haircut) -> list[tuple[str, str]]:
    try:
        tiers = list(schedule_lines(schedule_of(haircut)).items())
    except RejectedInputError as refused:
        return [("Can no longer be read", f"{refused}")]
    return tiers or [("Haircut", plain(haircut.haircut))]


def rate_rows(asset: Asset, in_force: InstrumentTerms | None) -> list[VersionRow]:
    """Every version of an instrument's rates with its brackets."""
    found = list(asset.terms.prefetch_related("brackets").order_by("-version"))
    approvals = approvals_of(found)
    return [
        VersionRow(
            each.version, each.effective_from, each.pk == getattr(in_force, "pk", None),
            [("All", rates(each.initial_rate, each.maintenance_rate))]
            if each.initial_rate is not None
            else [
                (f"From {plain(b.floor)}", rates(b.initial_rate, b.maintenance_rate))
                for b in sorted(each.brackets.all(), key=lambda b: b.floor)
            ],
            approvals.get(each.xid),
        )
        for each in found
    ]  # fmt: skip


def approvals_of(rows: Sequence[Haircut | InstrumentTerms]) -> dict[Any, Approval]:
    """The requests that versions came from, by the transaction that wrote them."""
    used: QuerySet[Approval] = Approval.objects.filter(
        used_xid__in=[row.xid for row in rows], action__in=(HAIRCUT, TERMS)
    ).select_related("maker", "checker")
    return {each.used_xid: each for each in used}


def volatility_words(said: VolatilityHaircut | None) -> list[tuple[str, str]]:
    """What the volatility of today asks for, and out of what."""
    if said is None:
        return []
    words = [
        ("Haircut for volatility", plain(said.haircut)),
        ("Estimator", said.estimator),
        ("Closes", str(len(said.closes))),
        ("Daily volatility", "too few closes" if said.sigma is None else f"{said.sigma:.6f}"),
    ]
    if said.closes:
        words.append(("Newest close", f"{said.closes[-1].day} at {plain(said.closes[-1].price)}"))
    return words
