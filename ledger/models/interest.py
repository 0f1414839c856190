"""What borrowed money costs and kept money earns: curves, their versions, and each day's accruals.

Everything here is append-only. A rate changes by a new version with a later first day; a late
entry changes an accrued day by a correction, never by a rewrite.
"""

from uuid import uuid4

from django.db import models
from django.db.models import Q

from accounts.fields import CurrentSnapshot, CurrentTransaction, ExactField, SnapshotField
from accounts.fields import TransactionIdField as Xid
from accounts.models import LegalEntity
from ledger.models.pools import Asset, LedgerAccount


class RateCurve(models.Model):
    """The rates of one asset on one side of the desk; what they are is a version's business."""

    class Side(models.TextChoices):
        BORROW = "borrow", "On loans"
        CREDIT = "credit", "On credit balances"

    legal_entity = models.ForeignKey(LegalEntity, models.PROTECT, related_name="+")
    asset = models.ForeignKey(Asset, models.PROTECT, related_name="+")
    side = models.CharField(max_length=6, choices=Side)
    xid = Xid(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="asset_has_one_curve_a_side", fields=["legal_entity", "asset", "side"]
            ),
            models.CheckConstraint(
                name="curve_has_a_side", condition=Q(side__in=["borrow", "credit"])
            ),
        ]

    def __str__(self) -> str:
        return f"{self.asset} {self.get_side_display().lower()}"


class RateVersion(models.Model):
    """A curve's rates from a day until its next version; published by two people.

    Rates are yearly shares (0.05 is five percent) and may be negative. `points` are pairs of the
    used share of the lending pool and its rate, `tenor` pairs of days since the balance began and
    a spread; between pairs the line is straight, beyond them it is flat.
    """

    class DayCount(models.TextChoices):
        ACT_365F = "ACT/365F", "Actual/365 fixed"
        ACT_360 = "ACT/360", "Actual/360"
        ACT_ACT = "ACT/ACT", "Actual/actual (ISDA)"
        BOND_30_360 = "30/360", "30/360 (bond basis)"
        EURO_30_360 = "30E/360", "30E/360 (Eurobond basis)"

    class Charged(models.TextChoices):
        DAILY = "daily", "Each day"
        MONTHLY = "monthly", "At the end of each month"

    class PaidFrom(models.TextChoices):
        CLAIM = "claim", "The client's money, then the loan"
        LOAN = "loan", "The loan"

    id = models.UUIDField(primary_key=True, default=uuid4)
    curve = models.ForeignKey(RateCurve, models.PROTECT, related_name="versions")
    version = models.PositiveIntegerField()
    effective_from = models.DateField()
    day_count = models.CharField(max_length=8, choices=DayCount)
    points = models.JSONField()
    tenor = models.JSONField()
    floor = ExactField(null=True)
    cap = ExactField(null=True)
    charged = models.CharField(max_length=8, choices=Charged)
    compounds = models.BooleanField()
    paid_from = models.CharField(max_length=5, choices=PaidFrom)
    repays_from_free_money = models.BooleanField()
    account_cap = ExactField(null=True)
    pool_cap = ExactField(null=True)
    utilisation_cap = ExactField(null=True)
    xid = Xid(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(name="rate_version_is_unique", fields=["curve", "version"]),
            models.UniqueConstraint(
                name="curve_has_one_version_a_day", fields=["curve", "effective_from"]
            ),
            models.CheckConstraint(
                name="rate_version_is_of_a_known_form",
                condition=Q(
                    day_count__in=["ACT/365F", "ACT/360", "ACT/ACT", "30/360", "30E/360"],
                    charged__in=["daily", "monthly"],
                    paid_from__in=["claim", "loan"],
                ),
            ),
            models.CheckConstraint(
                name="rate_floor_is_below_its_cap",
                condition=Q(floor__isnull=True)
                | Q(cap__isnull=True)
                | Q(floor__lte=models.F("cap")),
            ),
            models.CheckConstraint(
                name="borrow_caps_are_amounts",
                condition=(Q(account_cap__isnull=True) | Q(account_cap__gte=0))
                & (Q(pool_cap__isnull=True) | Q(pool_cap__gte=0))
                & (
                    Q(utilisation_cap__isnull=True)
                    | Q(utilisation_cap__gte=0, utilisation_cap__lte=1)
                ),
            ),
        ]


class AccrualRun(models.Model):
    """A day of a legal entity for which interest was accrued, and what was known then."""

    id = models.BigAutoField(primary_key=True)
    legal_entity = models.ForeignKey(LegalEntity, models.PROTECT, related_name="+")
    day = models.DateField()
    snapshot = SnapshotField(db_default=CurrentSnapshot())
    xid = Xid(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(name="day_is_accrued_once", fields=["legal_entity", "day"]),
        ]


class DailyRate(models.Model):
    """A curve's rate of a day, before tenor, with the use of the lending pool it came from."""

    pk = models.CompositePrimaryKey("run_id", "curve_id")
    run = models.ForeignKey(AccrualRun, models.PROTECT, related_name="rates", db_index=False)
    curve = models.ForeignKey(RateCurve, models.PROTECT, related_name="daily")
    version = models.ForeignKey(RateVersion, models.PROTECT, related_name="+")
    lent = ExactField()
    lendable = ExactField()
    utilisation = ExactField()
    rate = ExactField()
    xid = Xid(db_default=CurrentTransaction())


class Accrual(models.Model):
    """One account's interest of one day, exact.

    What the client owes is positive, what the firm owes negative. `numerator`, `corrected` and
    `cumulative` are in units of the asset over 1,603,080, the least common multiple of 360, 365
    and 366, so that no day is ever rounded. `due` is what this day adds to the money: the
    cumulative amount to the nearest unit, ties to even, less what was paid before.
    """

    pk = models.CompositePrimaryKey("account_id", "run_id")
    account = models.ForeignKey(
        LedgerAccount, models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    run = models.ForeignKey(AccrualRun, models.PROTECT, related_name="accruals")
    curve = models.ForeignKey(
        RateCurve, models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    closing = ExactField()
    since = models.DateField(null=True)
    withheld = ExactField()
    base = ExactField()
    rate = ExactField()
    days = models.SmallIntegerField()
    year = models.SmallIntegerField()
    numerator = ExactField()
    corrected = ExactField()
    cumulative = ExactField()
    paid_before = ExactField()
    due = ExactField()
    xid = Xid(db_default=CurrentTransaction())


class AccrualCorrection(models.Model):
    """What a late entry made of a day that was accrued before: the difference, booked by a run."""

    pk = models.CompositePrimaryKey("account_id", "run_id", "day")
    account = models.ForeignKey(
        LedgerAccount, models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    run = models.ForeignKey(AccrualRun, models.PROTECT, related_name="corrections")
    day = models.DateField()
    closing = ExactField()
    base = ExactField()
    rate = ExactField()
    days = models.SmallIntegerField()
    year = models.SmallIntegerField()
    numerator = ExactField()
    xid = Xid(db_default=CurrentTransaction())
