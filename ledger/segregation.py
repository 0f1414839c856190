"""Segregation: what each pool holds, what it owes, and whether the two agree.

`custody + loans receivable + shortfall = claims + residual interest or own equity` in every
pool and asset, always: the book cannot hold anything else.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from django.db.models import Q, Sum, Value
from django.db.models.functions import Coalesce

from accounts.models import OwnerClass
from ledger.models import Balance, Location, LocationAsset, Pool

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class PoolAsset:
    """One asset of one pool, all figures as people say them (none stored negative).

    Attributes:
        custody: by location, every location of the pool that carries the asset.
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


@dataclass(slots=True)
class _Tally:
    custody: dict[str, Decimal] = field(default_factory=dict)
    sums: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    positive: Decimal = ZERO


def pool_assets(
    *, kinds: Iterable[str] = ("money",), entities: Collection[int] | None = None
) -> list[PoolAsset]:
    """Every asset that some location of a pool carries, by pool and asset code.

    Balances are added up in the database: the cost here does not grow with accounts.

    Args:
        kinds: kinds of assets.
        entities: ids of the legal entities whose pools are asked for; all if None.
    """
    found = Pool.objects.all()
    if entities is not None:
        found = found.filter(legal_entity__in=entities)
    pools = {pool.pk: pool for pool in found}
    tallies: dict[tuple[int, int], _Tally] = {}
    names: dict[int, tuple[str, str, int]] = {}
    for pool_id, location, asset_id, code, kind, scale in LocationAsset.objects.filter(
        asset__kind__in=list(kinds), location__pool__in=pools
    ).values_list(
        "location__pool_id",
        "location__code",
        "asset_id",
        "asset__code",
        "asset__kind",
        "asset__scale",
    ):
        names[asset_id] = (code, kind, scale)
        tallies.setdefault((pool_id, asset_id), _Tally()).custody[location] = ZERO
    for pool_id, asset_id, account_class, location, amount, owed in _sums(pools):
        tally = tallies.get((pool_id, asset_id))
        if tally is None:
            continue
        if account_class == "custody":
            tally.custody[location] = amount
            continue
        tally.sums[account_class] += amount
        if account_class in ("claim", "position", "unallocated"):
            tally.positive -= owed
    return sorted(
        (
            _pool_asset(pools[pool_id], names[asset_id], tally)
            for (pool_id, asset_id), tally in tallies.items()
        ),
        key=lambda row: (list(OwnerClass).index(OwnerClass(row.owner_class)), row.pool, row.asset),
    )


def _sums(pools: Iterable[int]) -> Iterable[tuple[int, int, str, str, Decimal, Decimal]]:
    """Balances by pool, asset, class and location: their sum, and that of the credit ones."""
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


def _pool_asset(pool: Pool, name: tuple[str, str, int], tally: _Tally) -> PoolAsset:
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
    )


def pool_locations() -> list[Location]:
    """Every location with its pool, by pool and code."""
    return list(Location.objects.select_related("pool").order_by("pool__code", "code"))
