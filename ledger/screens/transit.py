"""Custody by kind, and money on its way by age."""

from datetime import date

from django.db.models import Sum
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from accounts.roles import DeskRequest, require
from ledger.models import AccountClass, Balance, Entry
from ledger.screens.visible import entity_here
from ledger.transit import alarm_days, transit_lots

KINDS = (
    (AccountClass.CUSTODY, "Settled"),
    (AccountClass.DELEGATED, "Delegated"),
    (AccountClass.MIRRORED, "Mirrored"),
    (AccountClass.IN_TRANSIT, "In transit"),
)


@require_GET
@require("read")
def transit_page(request: DeskRequest) -> HttpResponse:
    """What each pool has settled, delegated, mirrored and on its way; and every open lot."""
    entity = entity_here(request)
    today = book_day()
    lots = transit_lots(today, entities=[entity.pk])
    context = {
        "today": today,
        "lots": lots,
        "late": sum(lot.is_late for lot in lots),
        "alarm_days": alarm_days(entity, today),
        "kinds": [word for _, word in KINDS],
        "rows": custody_rows(entity.pk),
    }
    return render(request, "ledger/transit.html", context)


def book_day() -> date:
    """The day at which lots are aged: today, or the book's newest date if that is later."""
    newest = Entry.objects.order_by("-effective_at").values_list("effective_at", flat=True).first()
    today = timezone.now().date()
    return today if newest is None else max(today, newest.date())


def custody_rows(entity_id: int) -> list[tuple[str, str, int, list[object]]]:
    """By pool and asset: the sum of each kind, in the order of `KINDS`."""
    sums: dict[tuple[str, str, int], dict[str, object]] = {}
    for pool, asset, scale, account_class, total in (
        Balance.objects.filter(
            account__pool__legal_entity=entity_id, account__account_class__in=[k for k, _ in KINDS]
        )
        .exclude(account__asset_kind="derivative")
        .values_list(
            "account__pool__code", "account__asset__code", "account__scale",
            "account__account_class",
        )
        .annotate(total=Sum("amount"))
        .order_by("account__pool__code", "account__asset__code")
        .values_list(
            "account__pool__code", "account__asset__code", "account__scale",
            "account__account_class", "total",
        )
    ):  # fmt: skip
        sums.setdefault((pool, asset, scale), {})[account_class] = total
    return [
        (pool, asset, scale, [found.get(kind, 0) for kind, _ in KINDS])
        for (pool, asset, scale), found in sums.items()
    ]
