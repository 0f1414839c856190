"""Is client money whole? What every pool held and owed, now or as a day left it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Count, Sum

from accounts.figures import WIDE
from accounts.models import LegalEntity, OwnerClass
from brokerage.models import BusinessDay
from ledger.models import AccountClass, Asset, AssetKind, Break, DailyMovement, Loss, Pool
from ledger.screens.identity import Equation, IdentityLine, equation, lends, line_of
from ledger.segregation import PoolAsset, pool_assets
from margin.market.marks import BASE

ZERO = Decimal(0)


@dataclass(frozen=True)
class Losses:
    """Losses beyond a bucket on one day, and who paid them."""

    count: int
    house: Decimal
    insurance: Decimal
    uncovered: Decimal


@dataclass(frozen=True)
class Contracts:
    """A derivative of the client pool: whether the venue reports the net of what clients have."""

    asset: str
    places: str
    agree: bool


@dataclass(frozen=True)
class Whole:
    """The first panel of the day board.

    Attributes:
        lines: money, by pool and currency.
        securities, securities_whole: assets of client pools, and in how many held = owed and the
            custodian reports the same; None for a past day, of which no result says it.
        contracts: derivatives of client pools; none for a past day.
    """

    lines: list[IdentityLine]
    equation: Equation | None
    base: str
    losses: Losses
    securities: int | None = None
    securities_whole: int = 0
    securities_at: str = ""
    contracts: tuple[Contracts, ...] = ()

    @property
    def clients(self) -> list[IdentityLine]:
        return [line for line in self.lines if line.is_client]

    @property
    def whole_count(self) -> int:
        """In how many currencies nothing is missing."""
        return sum(line.verdict == "held" for line in self.clients)

    @property
    def is_whole(self) -> bool:
        return self.whole_count == len(self.clients)

    @property
    def missing(self) -> list[IdentityLine]:
        """The currencies in which client money lacks something."""
        return [line for line in self.clients if line.verdict != "held"]


def whole_now(entity: LegalEntity, day: BusinessDay) -> Whole:
    """The book as it stands now, on the newest day."""
    rows = pool_assets(kinds=list(AssetKind), entities=[entity.pk])
    money = [line_of(row) for row in rows if row.asset_kind == AssetKind.MONEY]
    differing = set(
        Break.objects.unresolved()
        .filter(
            location__pool__legal_entity=entity, business_day=day.day,
            kind=Break.Kind.QUANTITY_DIFFERS,
        )
        .values_list("location__code", "asset__code")
    )  # fmt: skip
    clients = [row for row in rows if row.is_client]
    securities = [row for row in clients if row.asset_kind == AssetKind.SECURITY]
    return Whole(
        lines=money,
        equation=equation(money, asset=BASE),
        base=BASE,
        losses=losses_of(entity, day.day),
        securities=len(securities),
        securities_whole=sum(agrees(row, differing) for row in securities),
        securities_at=places_of(securities),
        contracts=tuple(
            Contracts(row.asset, places_of([row]), agrees(row, differing))
            for row in clients
            if row.asset_kind == AssetKind.DERIVATIVE
        ),
    )


def agrees(row: PoolAsset, differing: set[tuple[str, str]]) -> bool:
    """Whether held = owed, and who holds it reports the same."""
    return row.is_whole and not any((place, row.asset) in differing for place in row.custody)


def places_of(rows: Sequence[PoolAsset]) -> str:
    """The places that hold these assets."""
    return ", ".join(sorted({place for row in rows for place in row.custody}))


def whole_then(entity: LegalEntity, day: BusinessDay) -> Whole:
    """The book as a past day left it, from the result that was kept when it closed."""
    result: Mapping[str, Any] = day.result or {}
    pools = {pool.code: pool for pool in Pool.objects.filter(legal_entity=entity)}
    scales = dict(Asset.objects.values_list("code", "scale"))
    besides = standing_on(entity, day.day)
    lines = []
    for row in result.get("segregation", []):
        pool = pools.get(row["pool"])
        if pool is None:
            continue
        held_besides = besides[pool.code, row["asset"]]
        lines.append(then_line(row, pool=pool, scale=scales[row["asset"]], besides=held_besides))
    return Whole(
        lines=lines,
        equation=equation(lines, asset=BASE),
        base=BASE,
        losses=losses_of(entity, day.day),
    )


def then_line(
    row: Mapping[str, Any], *, pool: Pool, scale: int, besides: Mapping[str, Decimal]
) -> IdentityLine:
    """One pool and currency of a day's result. The result nets residual interest and shortfall."""
    shortfall = besides.get(AccountClass.SHORTFALL, ZERO)
    is_client = pool.owner_class == OwnerClass.CLIENT
    own = row["residual_interest"] if is_client else row["own_equity"]
    return IdentityLine(
        pool=pool.code,
        owner_class=pool.owner_class,
        asset=row["asset"],
        scale=scale,
        custody={place: Decimal(held) for place, held in sorted(row["custody"].items())},
        held=Decimal(row["resource"]),
        residual=WIDE.add(Decimal(own), shortfall if is_client else ZERO),
        loans=Decimal(row["loans_receivable"]) if lends(pool.owner_class) else None,
        shortfall=shortfall if is_client else None,
        owed=Decimal(row["client_claims"]) if is_client else None,
        in_transit=besides.get(AccountClass.IN_TRANSIT, ZERO),
    )


def standing_on(entity: LegalEntity, day: date) -> dict[tuple[str, str], dict[str, Decimal]]:
    """Shortfall and transit at the end of a day, by pool and currency: the sum of what moved."""
    rows = (
        DailyMovement.objects.filter(
            account__pool__legal_entity=entity,
            account__account_class__in=[AccountClass.SHORTFALL, AccountClass.IN_TRANSIT],
            effective_on__lte=day,
        )
        .values_list("account__pool__code", "account__asset__code", "account__account_class")
        .annotate(debits=Sum("debit"), credits=Sum("credit"))
        .order_by()
    )
    found: dict[tuple[str, str], dict[str, Decimal]] = defaultdict(dict)
    for pool, asset, account_class, debits, credits_ in rows:
        found[pool, asset][account_class] = WIDE.subtract(debits, credits_)
    return found


def losses_of(entity: LegalEntity, day: date) -> Losses:
    """What was lost beyond buckets on a day; one query."""
    start = datetime.combine(day, time.min, tzinfo=UTC)
    sums = Loss.objects.filter(
        bucket__account__legal_entity=entity,
        entry__effective_at__gte=start,
        entry__effective_at__lt=start + timedelta(days=1),
    ).aggregate(
        n=Count("pk"), house=Sum("house"), insurance=Sum("insurance"), uncovered=Sum("uncovered")
    )
    return Losses(
        sums["n"], sums["house"] or ZERO, sums["insurance"] or ZERO, sums["uncovered"] or ZERO
    )
