"""Prices as they came, and the marks composed from them; append-only."""

from django.db import models
from django.db.models import Exists, F, OuterRef, Q

from accounts.fields import ClockTime, CurrentTransaction, ExactField, TransactionIdField
from ledger.models import Asset
from margin.models.price_files import PriceFile

# What everything is measured in, and so worth one of itself.
BASE = "USD"


class Price(models.Model):
    """One price of one source, as received, whatever it is worth.

    `price_file` is the file of an instant inside a day that it came in; None for a day's prices.
    """

    id = models.BigAutoField(primary_key=True)
    asset = models.ForeignKey(Asset, models.PROTECT, related_name="+")
    source = models.CharField(max_length=60)
    observed_at = models.DateTimeField()
    received_at = models.DateTimeField(db_default=ClockTime())
    price = ExactField()
    business_day = models.DateField()
    file_sha256 = models.CharField(max_length=64)
    line = models.PositiveIntegerField()
    price_file = models.ForeignKey(PriceFile, models.PROTECT, null=True, related_name="prices")
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="price_line_is_unique",
                fields=["file_sha256", "line", "price_file"],
                nulls_distinct=False,
            ),
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


class MarketRule(models.Model):
    """What two people ask of market data: of the prices of an asset, of a feed, of a calendar.

    `values` is what the engine's rules of that kind take as JSON. Rules hold from a day on, until
    a later version does.
    """

    class Kind(models.TextChoices):
        PRICE = "price", "Prices of an asset"
        FEED = "feed", "A feed"
        CALENDAR = "calendar", "A trading calendar"
        SURFACE = "surface", "Volatilities of an underlying"
        CHECK = "check", "Checks of scopes"

    kind = models.CharField(max_length=10, choices=Kind)
    name = models.CharField(max_length=60)
    version = models.PositiveIntegerField()
    effective_from = models.DateField()
    values = models.JSONField()
    sha256 = models.CharField(max_length=64)
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="market_rule_version_is_unique", fields=["kind", "name", "version"]
            ),
            models.UniqueConstraint(
                name="market_rule_has_one_version_a_day", fields=["kind", "name", "effective_from"]
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.name}, version {self.version}"


class MarketRow(models.Model):
    """What one source says of a market beside prices, as received.

    `value` is a rate per year, a confidence, or an amount in the base currency; volatilities have
    `bid` and `ask` per year instead. `asset` is the underlying of a volatility, the currency of a
    rate, and what is traded otherwise.
    """

    class Kind(models.TextChoices):
        VOLATILITY = "volatility", "Implied volatility"
        RATE = "rate", "Interest rate"
        VOLUME = "volume", "Volume of a day"
        OPEN_INTEREST = "open_interest", "Open interest"
        DEPTH = "depth", "Depth of the book"
        FUNDING = "funding", "Funding rate"
        CONFIDENCE = "confidence", "Confidence in a price"

    id = models.BigAutoField(primary_key=True)
    kind = models.CharField(max_length=14, choices=Kind)
    source = models.CharField(max_length=60)
    observed_at = models.DateTimeField()
    received_at = models.DateTimeField(db_default=ClockTime())
    asset = models.ForeignKey(Asset, models.PROTECT, related_name="+", db_index=False)
    expires_at = models.DateTimeField(null=True)
    strike = ExactField(null=True)
    tenor_days = models.PositiveIntegerField(null=True)
    value = ExactField(null=True)
    bid = ExactField(null=True)
    ask = ExactField(null=True)
    file_sha256 = models.CharField(max_length=64)
    line = models.PositiveIntegerField()
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(name="market_line_is_unique", fields=["file_sha256", "line"]),
            models.CheckConstraint(
                name="market_row_says_what_its_kind_says",
                condition=Q(
                    Q(
                        Q(bid__gt=0) | Q(ask__gt=0),
                        kind="volatility",
                        value__isnull=True,
                        expires_at__isnull=False,
                        strike__gt=0,
                        tenor_days__isnull=True,
                    )
                    | Q(
                        kind="rate",
                        value__isnull=False,
                        tenor_days__gt=0,
                        bid__isnull=True,
                        ask__isnull=True,
                        expires_at__isnull=True,
                        strike__isnull=True,
                    )
                    | Q(
                        ~Q(kind__in=["volatility", "rate"]),
                        value__isnull=False,
                        tenor_days__isnull=True,
                        bid__isnull=True,
                        ask__isnull=True,
                        expires_at__isnull=True,
                        strike__isnull=True,
                    )
                ),
            ),
            models.CheckConstraint(
                name="market_amount_is_not_negative",
                condition=Q(kind__in=["rate", "funding"]) | Q(value__isnull=True) | Q(value__gte=0),
            ),
            models.CheckConstraint(
                name="confidence_is_a_share", condition=~Q(kind="confidence") | Q(value__lte=1)
            ),
        ]
        indexes = [
            models.Index(name="market_row_by_asset", fields=["asset", "kind", "observed_at"])
        ]


class MarkQuerySet(models.QuerySet["Mark"]):
    """Marks by whether they were corrected."""

    def composed(self) -> "MarkQuerySet":
        """As the day made them, whatever was found out since."""
        return self.filter(revision=0)

    def standing(self) -> "MarkQuerySet":
        """One of each asset and instant: the last that was said of it."""
        return self.filter(correction__isnull=True)

    def of_days(self) -> "MarkQuerySet":
        """The marks of days, without those of instants inside a day."""
        inside = PriceFile.objects.filter(as_of=OuterRef("as_of"))
        return self.filter(~Exists(inside))


class Mark(models.Model):
    """The price at which an asset is valued as of an instant, and how it was composed.

    `used` lists the price rows behind it, `dropped` those left out with the reason. Where the
    state is INSUFFICIENT the mark is that of `carried_from`, and where it is OVERRIDDEN that of
    `override`. An asset with rules has them as `rule`, with what they say of the mark: how far it
    is trusted, the share of value that requirements add for that, the smoothed distance from its
    index, and what was seen (`facts`).

    One that proved wrong stays and is followed by another that `corrects` it, with the next
    `revision` and a `note` that says where the right price is from.
    """

    class State(models.TextChoices):
        VALID = "VALID", "Valid"
        INSUFFICIENT = "INSUFFICIENT", "Insufficient"
        STALE = "STALE", "Stale"
        DISLOCATED = "DISLOCATED", "Dislocated"
        MARKET_CLOSED = "MARKET_CLOSED", "Market closed"
        OVERRIDDEN = "OVERRIDDEN", "Overridden"
        NON_POSITIVE = "NON_POSITIVE", "Not positive"
        TOO_VOLATILE = "TOO_VOLATILE", "Too volatile"
        TOO_UNCERTAIN = "TOO_UNCERTAIN", "Too uncertain"

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
    rule = models.ForeignKey(
        MarketRule, models.PROTECT, null=True, related_name="+", db_index=False
    )
    confidence = ExactField(null=True)
    contingency = ExactField(null=True)
    basis = ExactField(null=True)
    facts = models.JSONField(null=True)
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
