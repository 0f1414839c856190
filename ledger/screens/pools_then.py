"""Pools and their locations as they were known then: what each held and owed."""

from dataclasses import dataclass

from django.http import HttpResponse
from django.shortcuts import render

from accounts.models import OwnerClass
from accounts.roles import DeskRequest
from ledger.models import Location
from ledger.screens.identity import IdentityLine, line_of
from ledger.screens.times import Times
from ledger.screens.visible import entity_here, locations_here
from ledger.segregation import PoolAsset, pool_assets, pools_at
from ledger.times import as_known


@dataclass(frozen=True)
class PlaceThen:
    """A location that was known then, and what the book said it held."""

    location: Location
    held: list[tuple[str, int, object]]


@dataclass(frozen=True)
class PoolThen:
    """One pool as it stood."""

    code: str
    lines: list[IdentityLine]
    places: list[PlaceThen]


def pools_then(request: DeskRequest, times: Times) -> HttpResponse:
    """The page of pools, in the past."""
    point, entity = times.point, entity_here(request)
    assert point is not None, "the present has its own page"
    rows = pool_assets(kinds=("money", "security", "derivative"), entities=[entity.pk], point=point)
    places = as_known(locations_here(request).order_by("code"), point)
    pools = pools_at(point, entities=[entity.pk]).values()
    order = list(OwnerClass)
    context = {
        "times": times,
        "pools": [
            PoolThen(
                pool.code,
                [line_of(row) for row in rows if row.pool == pool.code],
                [place_then(place, rows) for place in places if place.pool_id == pool.pk],
            )
            for pool in sorted(
                pools, key=lambda p: (order.index(OwnerClass(p.owner_class)), p.code)
            )
        ],
    }
    return render(request, "ledger/pools_then.html", context)


def place_then(place: Location, rows: list[PoolAsset]) -> PlaceThen:
    """A location with the assets it carried then."""
    held = [
        (row.asset, row.scale, row.custody[place.code]) for row in rows if place.code in row.custody
    ]
    return PlaceThen(place, sorted(held, key=lambda each: each[0]))
