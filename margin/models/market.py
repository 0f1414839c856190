"""Prices as they came, and the marks composed from them; append-only."""

from django.db import models
from django.db.models import F, Q

from accounts.fields import ClockTime, CurrentTransaction, ExactField, TransactionIdField
from ledger.models import Asset


class Price(models.Model):
    """One price of one source, as received, whatever it is worth."""

    id = models.BigAutoField(primary_key=True)
    asset = models.ForeignKey(Asset, models.PROTECT, related_name="+")
    source = models.CharField(max_length=60)
    observed_at = models.DateTimeField()
    received_at = models.DateTimeField(db_default=ClockTime())
    price = ExactField()
    business_day = models.DateField()
    file_sha256 = models.CharField(max_length=64)
    line = models.PositiveIntegerField()
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(name="price_line_is_unique", fields=["file_sha256", "line"]),
        ]
        indexes = [models.Index(name="price_by_day", fields=["business_day", "asset"])]


class PriceOverride(models.Model):
    """A price that two people set in place of what the sources say, until it expires."""

    asset = models.ForeignKey(Asset, models.PROTECT, related_name="overrides")
    price = ExactField()
    begins_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    reason = models.TextField()
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.CheckConstraint(name="override_is_a_price", condition=Q(price__gt=0)),
            models.CheckConstraint(
                name="override_ends_after_it_begins", condition=Q(ends_at__gt=F("begins_at"))
            ),
        ]


class MarkQuerySet(models.QuerySet["Mark"]):
    """Marks by whether they were corrected."""

    def composed(self) -> "MarkQuerySet":
        """As the day made them, whatever was found out since."""
        return self.filter(revision=0)

    def standing(self) -> "MarkQuerySet":
        """One of each asset and instant: the last that was said of it."""
        return self.filter(correction__isnull=True)


class Mark(models.Model):
    """The price at which an asset is valued as of an instant, and how it was composed.

    `used` lists the price rows behind it, `dropped` those left out with the reason. Where the
    state is INSUFFICIENT the mark is that of `carried_from`, and where it is OVERRIDDEN that of
    `override`. One that proved wrong stays and is followed by another that `corrects` it, with the
    next `revision` and a `note` that says where the right price is from.
    """

    class State(models.TextChoices):
        VALID = "VALID", "Valid"
        INSUFFICIENT = "INSUFFICIENT", "Insufficient"
        STALE = "STALE", "Stale"
        DISLOCATED = "DISLOCATED", "Dislocated"
        MARKET_CLOSED = "MARKET_CLOSED", "Market closed"
        OVERRIDDEN = "OVERRIDDEN", "Overridden"

    id = models.BigAutoField(primary_key=True)
    asset = models.ForeignKey(Asset, models.PROTECT, related_name="marks")
    as_of = models.DateTimeField()
    business_day = models.DateField()
    price = ExactField()
    state = models.CharField(max_length=16, choices=State)
    used = models.JSONField()
    dropped = models.JSONField()
    carried_from = models.ForeignKey("self", models.PROTECT, null=True, related_name="+")
    override = models.ForeignKey(
        PriceOverride, models.PROTECT, null=True, related_name="marks", db_index=False
    )
    revision = models.PositiveSmallIntegerField(default=0, db_default=0)
    corrects = models.OneToOneField("self", models.PROTECT, null=True, related_name="correction")
    note = models.TextField(blank=True, db_default="")
    xid = TransactionIdField(db_default=CurrentTransaction())

    objects = MarkQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="mark_is_composed_once", fields=["asset", "as_of", "revision"]
            ),
        ]
        indexes = [models.Index(name="mark_by_day", fields=["business_day"])]
