"""Custody by kind, and money on its way by age."""

from decimal import Decimal

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.figures import WIDE
from accounts.roles import DeskRequest, require
from ledger.models import AccountClass, Balance, LedgerAccount
from ledger.screens.times import Times, in_two_times
from ledger.screens.visible import entity_here
from ledger.standing import balances_at
from ledger.times import ReadingPoint, known
from ledger.transit import alarm_days, book_day, transit_lots

ZERO = Decimal(0)

KINDS = (
    (AccountClass.CUSTODY, "Settled"),
    (AccountClass.DELEGATED, "Delegated"),
    (AccountClass.MIRRORED, "Mirrored"),
    (AccountClass.IN_TRANSIT, "In transit"),
)


@require_GET
@require("read")
@in_two_times()
def transit_page(request: DeskRequest, *, times: Times) -> HttpResponse:
    """What each pool has settled, delegated, mirrored and on its way; and every open lot."""
    entity, point = entity_here(request), times.point
    today = book_day(point)
    lots = transit_lots(today, entities=[entity.pk], point=point)
    context = {
        "times": times,
        "today": today,
        "lots": lots,
        "late": sum(lot.is_late for lot in lots),
        "alarm_days": alarm_days(entity, today, point=point),
        "kinds": [word for _, word in KINDS],
        "rows": custody_rows(entity.pk, point),
    }
    return render(request, "ledger/transit.html", context)


def custody_rows(
    entity_id: int, point: ReadingPoint | None = None
) -> list[tuple[str, str, int, list[Decimal]]]:
    """By pool and asset: the sum of each kind, in the order of `KINDS`."""
    accounts = LedgerAccount.objects.filter(
        pool__legal_entity=entity_id, account_class__in=[kind for kind, _ in KINDS]
    ).exclude(asset_kind="derivative")
    if point is not None:
        accounts = known(accounts, point)
    found = list(
        accounts.order_by("pool__code", "asset__code").values_list(
            "pk", "pool__code", "asset__code", "scale", "account_class"
        )
    )
    stood = _stood([pk for pk, *_ in found], point)
    sums: dict[tuple[str, str, int], dict[str, Decimal]] = {}
    for pk, pool, asset, scale, account_class in found:
        kinds = sums.setdefault((pool, asset, scale), {})
        kinds[account_class] = WIDE.add(kinds.get(account_class, ZERO), stood[pk])
    return [
        (pool, asset, scale, [_written(kinds.get(kind, ZERO), scale) for kind, _ in KINDS])
        for (pool, asset, scale), kinds in sums.items()
    ]


def _written(amount: Decimal, scale: int) -> Decimal:
    """The amount with the decimals of its asset, however it was added up."""
    return WIDE.quantize(amount, Decimal(1).scaleb(-scale))


def _stood(account_ids: list[int], point: ReadingPoint | None) -> dict[int, Decimal]:
    if point is not None:
        return {pk: each.amount for pk, each in balances_at(point, account_ids=account_ids).items()}
    balances = Balance.objects.filter(account__in=account_ids)
    return dict(balances.values_list("account_id", "amount"))
