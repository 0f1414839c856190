"""Segregation: what each pool holds, what it owes, and whether the two agree.

`custody + loans receivable + shortfall = claims + residual interest or own equity` in every
pool and asset, always: the book cannot hold anything else.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from django.db import connection
from django.db.models import Q, Sum, Value
from django.db.models.functions import Coalesce

from accounts.figures import WIDE
from accounts.models import OwnerClass
from ledger.models import Balance, Location, LocationAsset, Pool
from ledger.models.pools import HELD_AT_PLACES
from ledger.times import ReadingPoint, known

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class PoolAsset:
    """One asset of one pool, all figures as people say them (none stored negative).

    Attributes:
        custody: by location, every location of the pool that carries the asset; what is delegated
            to a venue or mirrored there counts where it lies.
        claims: what the pool owes to the owners of its accounts, unidentified receipts included.
        requirement: sum of the positive client claims (CFTC 1.20(i)(4): never reduced by debits).
    """

    pool: str
    owner_class: str
    asset: str
    asset_kind: str
    scale: int
    custody: dict[str, Decimal]
    claims: Decimal
    unallocated: Decimal
    requirement: Decimal
    residual_interest: Decimal
    shortfall: Decimal
    own_equity: Decimal
    loans_receivable: Decimal
    in_transit: Decimal
    delegated: Decimal = ZERO
    mirrored: Decimal = ZERO

    @property
    def resource(self) -> Decimal:
        """Everything held for the pool."""
        return sum(self.custody.values(), ZERO)

    @property
    def is_client(self) -> bool:
        return self.owner_class == OwnerClass.CLIENT

    @property
    def net_residual_interest(self) -> Decimal:
        """Residual interest less what client money lacks."""
        return self.residual_interest - self.shortfall

    @property
    def excess(self) -> Decimal:
        return self.resource - self.requirement

    @property
    def is_whole(self) -> bool:
        """Held = owed, and nothing is missing."""
        return self.shortfall == 0 and self.held_side == self.owed_side

    @property
    def held_side(self) -> Decimal:
        return self.resource + self.loans_receivable + self.shortfall + self.in_transit

    @property
    def owed_side(self) -> Decimal:
        return self.claims + self.unallocated + self.residual_interest + self.own_equity


AssetName = tuple[str, str, int]  # code, kind, scale
OWED = ("claim", "position", "unallocated")


@dataclass(slots=True)
class Tally:
    """What the accounts of one pool and asset add up to, in the signs of the book."""

    custody: dict[str, Decimal] = field(default_factory=dict)
    sums: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    positive: Decimal = ZERO

    def add(self, account_class: str, location: str | None, amount: Decimal, owed: Decimal) -> None:
        """Count balances of one class and place: their sum, and that of the credit ones."""
        if account_class in HELD_AT_PLACES:
            if account_class != "custody":
                self.sums[account_class] += amount
            assert location, "custody lies at a location"
            self.custody[location] = WIDE.add(self.custody.get(location, ZERO), amount)
            return
        self.sums[account_class] = WIDE.add(self.sums[account_class], amount)
        if account_class in OWED:
            self.positive = WIDE.subtract(self.positive, owed)


def pool_assets(
    *,
    kinds: Iterable[str] = ("money",),
    entities: Collection[int] | None = None,
    point: ReadingPoint | None = None,
) -> list[PoolAsset]:
    """Every asset that some location of a pool carries, by pool and asset code.

    Balances are added up in the database: the cost here does not grow with accounts.

    Args:
        kinds: kinds of assets.
        entities: ids of the legal entities whose pools are asked for; all if None.
        point: where in the two times the book is read; the balances of now if None.
    """
    pools = pools_at(point, entities=entities)
    tallies, names = carried_assets(pools, kinds=kinds, point=point)
    for pool_id, asset_id, account_class, location, amount, owed in _sums(pools, point):
        tally = tallies.get((pool_id, asset_id))
        if tally is not None:
            tally.add(account_class, location, amount, owed)
    return in_order(
        pool_asset(pools[pool_id], names[asset_id], tally)
        for (pool_id, asset_id), tally in tallies.items()
    )


def pools_at(
    point: ReadingPoint | None, *, entities: Collection[int] | None = None
) -> dict[int, Pool]:
    """The pools that a point knows, by id."""
    found = Pool.objects.all() if point is None else known(Pool.objects.all(), point)
    if entities is not None:
        found = found.filter(legal_entity__in=entities)
    return {pool.pk: pool for pool in found}


def carried_assets(
    pools: Collection[int], *, kinds: Iterable[str], point: ReadingPoint | None
) -> tuple[dict[tuple[int, int], Tally], dict[int, AssetName]]:
    """What locations of these pools carry: an empty tally by pool and asset, and asset names."""
    tallies: dict[tuple[int, int], Tally] = {}
    names: dict[int, AssetName] = {}
    carried = LocationAsset.objects.filter(
        asset__kind__in=list(kinds), location__pool__in=list(pools)
    )
    if point is not None:
        carried = known(carried, point)
    for pool_id, location, asset_id, code, kind, scale in carried.values_list(
        "location__pool_id",
        "location__code",
        "asset_id",
        "asset__code",
        "asset__kind",
        "asset__scale",
    ):
        names[asset_id] = (code, kind, scale)
        tallies.setdefault((pool_id, asset_id), Tally()).custody[location] = ZERO
    return tallies, names


def in_order(rows: Iterable[PoolAsset]) -> list[PoolAsset]:
    """Client pools first, then by pool and asset."""
    order = list(OwnerClass)
    return sorted(
        rows, key=lambda row: (order.index(OwnerClass(row.owner_class)), row.pool, row.asset)
    )


Summed = Iterable[tuple[int, int, str, str | None, Decimal, Decimal]]

SUMS_AT = """
    SELECT a.pool_id, a.asset_id, a.account_class, l.code, sum(n.amount),
           coalesce(sum(n.amount) FILTER (WHERE n.amount < 0), 0)
    FROM ledger.balances_at(%s::pg_snapshot, %s::date) n
    JOIN ledger_ledgeraccount a ON a.id = n.account_id AND a.pool_id = ANY (%s)
    LEFT JOIN ledger_location l ON l.id = a.location_id
    GROUP BY a.pool_id, a.asset_id, a.account_class, l.code
"""


def _sums(pools: Collection[int], point: ReadingPoint | None) -> Summed:
    """Balances by pool, asset, class and location: their sum, and that of the credit ones."""
    if point is not None:
        with connection.cursor() as cursor:
            cursor.execute(SUMS_AT, [point.snapshot, point.as_of, list(pools)])
            summed: Summed = cursor.fetchall()
            return summed
    return (
        Balance.objects.filter(account__pool__in=list(pools))
        .values_list(
            "account__pool_id",
            "account__asset_id",
            "account__account_class",
            "account__location__code",
        )
        .annotate(
            total=Sum("amount"), owed=Coalesce(Sum("amount", filter=Q(amount__lt=0)), Value(ZERO))
        )
        .order_by()
    )


def pool_asset(pool: Pool, name: AssetName, tally: Tally) -> PoolAsset:
    """One asset of one pool from what its accounts add up to."""
    code, kind, scale = name
    sums = tally.sums
    is_client = pool.owner_class == OwnerClass.CLIENT
    return PoolAsset(
        pool=pool.code,
        owner_class=pool.owner_class,
        asset=code,
        asset_kind=kind,
        scale=scale,
        custody=dict(sorted(tally.custody.items())),
        claims=-(sums["claim"] + sums["position"]),
        unallocated=-sums["unallocated"],
        requirement=tally.positive if is_client else ZERO,
        residual_interest=-sums["residual_interest"],
        shortfall=sums["shortfall"],
        own_equity=-sums["own_equity"],
        loans_receivable=sums["loan_receivable"],
        in_transit=sums["in_transit"],
        delegated=sums["delegated"],
        mirrored=sums["mirrored"],
    )


def pool_locations() -> list[Location]:
    """Every location with its pool, by pool and code."""
    return list(Location.objects.select_related("pool").order_by("pool__code", "code"))
