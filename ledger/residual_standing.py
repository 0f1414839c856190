"""How the residual interest of a client pool stands: what is stated, taken, and may still be taken.

Here and now, or at a point in the two times of the book.
"""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from django.db import connection
from django.db.models import Sum

from accounts.figures import WIDE
from accounts.models import LegalEntity, OwnerClass
from ledger.models import (
    AccountClass,
    Asset,
    Balance,
    ConductRule,
    LedgerAccount,
    LocationAsset,
    Pool,
    ResidualTarget,
    SegregationStatement,
)
from ledger.standing import balances_at
from ledger.times import ReadingPoint, known

ZERO = Decimal(0)


@dataclass(frozen=True)
class Standing:
    """What may be taken of one pool's residual interest in one asset on a day.

    Attributes:
        statement: the newest one; None where none was made.
        due: the business day for which there must be one.
        now: residual interest as it stands, less what the pool lacks.
        taken: what was taken since the statement.
        share: of the statement's residual interest, that may be taken without a principal.
        target: what must stay.
        has_target: whether anybody has set one.
    """

    pool: Pool
    asset: Asset
    day: date
    statement: SegregationStatement | None
    due: date
    now: Decimal
    taken: Decimal
    share: Decimal
    target: Decimal
    has_target: bool

    @property
    def is_stated(self) -> bool:
        """Whether the statement that a withdrawal of this day rests on exists."""
        return self.statement is not None and self.due <= self.statement.business_day < self.day

    @property
    def stated(self) -> Decimal:
        """Residual interest of the statement, less what the pool lacked."""
        if self.statement is None:
            return ZERO
        net = WIDE.subtract(self.statement.residual_interest, self.statement.shortfall)
        return max(net, ZERO)

    @property
    def free_share(self) -> Decimal:
        """What the series may come to without a principal."""
        return WIDE.multiply(self.share, self.stated)

    @property
    def left_of_share(self) -> Decimal:
        """What may still be taken without a principal."""
        return max(WIDE.subtract(self.free_share, self.taken), ZERO)

    @property
    def left_above_target(self) -> Decimal:
        """What may still be taken at all."""
        return max(WIDE.subtract(self.now, self.target), ZERO)

    def is_beyond(self, amount: Decimal) -> bool:
        """Whether a withdrawal of this amount needs a principal and a notice."""
        return WIDE.add(self.taken, amount) > self.free_share


def conduct_rule(code: str, *, regime: str, day: date) -> Decimal:
    """The value of a rule on a day: that of the regime, or else the one for all."""
    rules = ConductRule.objects.filter(code=code, regime__in={regime, ""}, effective_from__lte=day)
    value: Decimal = rules.order_by("-regime", "-effective_from")[0].value
    return value


def standing_of(
    pool: Pool, asset: Asset, *, day: date, point: ReadingPoint | None = None
) -> Standing:
    """How a pool stands on a day; a handful of queries.

    Args:
        point: where in the two times the book is read; here and now if None.
    """
    statements = SegregationStatement.objects.filter(pool=pool, asset=asset)
    targets = ResidualTarget.objects.filter(pool=pool, asset=asset, effective_from__lte=day)
    if point is not None:
        statements, targets = known(statements, point), known(targets, point)
        if point.as_of is not None:
            statements = statements.filter(business_day__lte=point.as_of)
    statement = statements.order_by("-business_day").first()
    target = targets.order_by("-effective_from").first()
    with connection.cursor() as cursor:
        cursor.execute("SELECT ledger.stated_day_before(%s, %s)", [pool.regime, day])
        (due,) = cursor.fetchone()
    return Standing(
        pool=pool,
        asset=asset,
        day=day,
        statement=statement,
        due=due,
        now=residual_now(pool, asset, point=point),
        taken=ZERO if statement is None else taken_since(statement, point=point),
        share=conduct_rule(ConductRule.Code.RESIDUAL_SHARE, regime=pool.regime, day=day),
        target=ZERO if target is None else target.amount,
        has_target=target is not None,
    )


def taken_since(statement: SegregationStatement, *, point: ReadingPoint | None = None) -> Decimal:
    """What was taken from residual interest after a statement."""
    series = "ledger.residual_series(s, '{}')"
    times: list[str | datetime | None] = []
    if point is not None:
        series, times = "ledger.residual_series_at(s, %s, %s)", [point.snapshot, point.ends_at]
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {series} FROM ledger_segregationstatement s WHERE s.id = %s",  # noqa: S608
            [*times, statement.pk],
        )
        (taken,) = cursor.fetchone()
    return Decimal(taken)


def residual_now(pool: Pool, asset: Asset, *, point: ReadingPoint | None = None) -> Decimal:
    """Residual interest as it stands, less what the pool lacks."""
    accounts = LedgerAccount.objects.filter(
        pool=pool,
        asset=asset,
        account_class__in=[AccountClass.RESIDUAL_INTEREST, AccountClass.SHORTFALL],
    )
    if point is None:
        total = Balance.objects.filter(account__in=accounts).aggregate(total=Sum("amount"))["total"]
        return WIDE.minus(total or ZERO)
    there = list(known(accounts, point).values_list("pk", flat=True))
    stood = balances_at(point, account_ids=there)
    return WIDE.minus(sum((each.amount for each in stood.values()), ZERO))


def standings(
    legal_entity: LegalEntity, *, day: date, point: ReadingPoint | None = None
) -> list[Standing]:
    """Every client pool of a firm in each money it carries."""
    pools = {
        pool.pk: pool
        for pool in Pool.objects.filter(legal_entity=legal_entity, owner_class=OwnerClass.CLIENT)
    }
    places = LocationAsset.objects.filter(location__pool__in=pools, asset__kind="money")
    if point is not None:
        places = known(places, point)
    carried = (
        places.order_by("location__pool__code", "asset__code")
        .values_list("location__pool_id", "asset_id", "location__pool__code", "asset__code")
        .distinct()
    )
    assets = Asset.objects.in_bulk([asset for _, asset, _, _ in carried])
    return [
        standing_of(pools[pool], assets[asset], day=day, point=point)
        for pool, asset, _, _ in carried
    ]
