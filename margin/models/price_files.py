"""Price files taken during a day: kept as they came, and what they brought about; append-only."""

from django.db import models
from django.db.models import Q

from accounts.fields import ClockTime, CurrentTransaction, TransactionIdField


class PriceFile(models.Model):
    """A file of prices taken during a day, byte for byte; marks are composed as of its instant.

    The marks of `as_of` are those of an instant inside a day: they are no day's marks, and nothing
    that looks at days looks at them. `key` is what its sender calls it, or "".
    """

    id = models.BigAutoField(primary_key=True)
    sha256 = models.CharField(max_length=64, unique=True)
    key = models.CharField(max_length=120, blank=True)
    name = models.CharField(max_length=200)
    as_of = models.DateTimeField(unique=True)
    business_day = models.DateField()
    row_count = models.PositiveIntegerField()
    content = models.BinaryField()
    received_at = models.DateTimeField(db_default=ClockTime())
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="price_file_key_is_used_once", fields=["key"], condition=~Q(key="")
            ),
        ]


class RejectedPrice(models.Model):
    """A row of a price file that could not be read, and the first reason why."""

    price_file = models.ForeignKey(
        PriceFile, models.PROTECT, related_name="rejected", db_index=False
    )
    line = models.PositiveIntegerField()
    field = models.CharField(max_length=60)
    reason = models.CharField(max_length=60)
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="price_row_is_rejected_once", fields=["price_file", "line"]
            ),
        ]


class Remargin(models.Model):
    """Scopes run again at the marks of a price file, once on every run it can be built on.

    Attributes:
        since: the newest run when it was made, from which it is known what has moved.
        run: what it came to; None where no scope was touched.
    """

    price_file = models.ForeignKey(
        PriceFile, models.PROTECT, related_name="remargins", db_index=False
    )
    since = models.ForeignKey(
        "margin.MarginRun", models.PROTECT, null=True, related_name="+", db_index=False
    )
    run = models.OneToOneField(
        "margin.MarginRun", models.PROTECT, null=True, related_name="remargin"
    )
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="price_file_is_run_once",
                fields=["price_file", "since"],
                nulls_distinct=False,
            ),
        ]
