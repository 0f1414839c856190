"""One location as it was known then, and the ledger accounts that lie at it at any time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from django.http import HttpResponse
from django.shortcuts import render

from accounts.figures import WIDE
from accounts.listing import Listing, wants_rows
from accounts.roles import DeskRequest
from ledger.models import AccountClass, Balance, LedgerAccount, Location, LocationAsset, Posting
from ledger.models.pools import HELD_AT_PLACES
from ledger.screens.locations import Held, chosen_asset
from ledger.screens.times import Times, not_known, not_there
from ledger.standing import balances_at
from ledger.times import ReadingPoint, as_known, known

ZERO = Decimal(0)


@dataclass(frozen=True)
class PlaceAccount:
    """What a location holds of an asset in one way: settled, delegated or mirrored."""

    account: LedgerAccount
    class_word: str
    amount: Decimal


@dataclass(frozen=True)
class MovementLine:
    """A posting as a row shows it: what came in or what went out, both without a sign."""

    posting: Any
    came_in: Decimal | None
    went_out: Decimal | None


class Movements(Protocol):
    """The movements of one asset at a location that count at a point."""

    def __call__(
        self, request: DeskRequest, location: Location, held: Held, *, point: ReadingPoint | None
    ) -> Listing[Posting]: ...


def location_then(
    request: DeskRequest, location: Location, times: Times, *, movements: Movements
) -> HttpResponse:
    """The page of a location in the past; one that was not known then does not show."""
    point = times.point
    assert point is not None, "the present has its own page"
    if not as_known([location], point):
        return not_there(request, times, not_known(f"Location {location.code}", point))
    standing = standing_accounts(location, point)
    held = held_then(location, standing, point)
    chosen = chosen_asset(request, held)
    listing = movements(request, location, chosen, point=point)
    if listing.format:
        return listing.export()
    context = {
        "location": location,
        "times": times,
        "standing": standing,
        "held": held,
        "chosen": chosen,
        "listing": listing,
        "movements": movement_lines(listing.page),
    }
    template = "ledger/_movements.html" if wants_rows(request) else "ledger/location_then.html"
    return render(request, template, context)


def movement_lines(postings: Iterable[Any]) -> list[MovementLine]:
    """Postings of a location as rows show them."""
    return [
        MovementLine(
            posting,
            came_in=posting.amount if posting.amount > 0 else None,
            went_out=posting.amount.copy_abs() if posting.amount < 0 else None,
        )
        for posting in postings
    ]


def standing_accounts(location: Location, point: ReadingPoint | None) -> list[PlaceAccount]:
    """The ledger accounts at a location with what they hold, now or at a point; two queries."""
    accounts = LedgerAccount.objects.filter(
        location=location, account_class__in=HELD_AT_PLACES
    ).select_related("asset")
    if point is not None:
        accounts = known(accounts, point)
    found = list(accounts.order_by("asset__code", "account_class"))
    ids = [account.pk for account in found]
    amounts = amounts_now(ids) if point is None else amounts_then(ids, point)
    return [
        PlaceAccount(
            account, AccountClass(account.account_class).label, amounts.get(account.pk, ZERO)
        )
        for account in found
    ]


def amounts_now(account_ids: Sequence[int]) -> dict[int, Decimal]:
    """What ledger accounts hold, by id."""
    rows = Balance.objects.filter(account__in=account_ids)
    return dict(rows.values_list("account_id", "amount"))


def amounts_then(account_ids: Sequence[int], point: ReadingPoint) -> dict[int, Decimal]:
    """What ledger accounts held at a point, by id."""
    stood = balances_at(point, account_ids=account_ids)
    return {account_id: each.amount for account_id, each in stood.items()}


def held_then(
    location: Location, standing: Sequence[PlaceAccount], point: ReadingPoint
) -> list[Held]:
    """What the location held by asset, assets that it carried without holding any included."""
    carried = known(LocationAsset.objects.filter(location=location), point).select_related("asset")
    sums: dict[int, Decimal] = {}
    for each in standing:
        asset_id = each.account.asset_id
        sums[asset_id] = WIDE.add(sums.get(asset_id, ZERO), each.amount)
    return [
        Held(each.asset.code, each.asset.scale, sums.get(each.asset_id, ZERO))
        for each in carried.order_by("asset__code")
    ]
