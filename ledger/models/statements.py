"""What banks, custodians, wallets and venues say they hold, and where the book differs."""

from decimal import Decimal

from django.db import models
from django.db.models import Q

from accounts.fields import ClockTime, CurrentTransaction, ExactField, TransactionIdField
from accounts.figures import WIDE
from accounts.models import Operator
from ledger.models.book import Entry
from ledger.models.pools import Asset, LedgerAccount, Location


class StatementFile(models.Model):
    """A statement as it arrived, byte for byte; append-only."""

    sha256 = models.CharField(max_length=64, primary_key=True)
    name = models.CharField(max_length=200)
    content = models.BinaryField()
    received_at = models.DateTimeField(db_default=ClockTime())
    xid = TransactionIdField(db_default=CurrentTransaction())


class Statement(models.Model):
    """One bank's statement of one business day, accepted whole or rejected whole; append-only."""

    location = models.ForeignKey(Location, models.PROTECT, related_name="statements")
    business_day = models.DateField()
    file = models.ForeignKey(StatementFile, models.PROTECT, related_name="+")
    format = models.CharField(max_length=20)
    parser_version = models.CharField(max_length=20)
    opening = ExactField(null=True)
    closing = ExactField(null=True)
    lines_read = models.PositiveIntegerField()
    rejection = models.CharField(max_length=40, blank=True)
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="bank_has_one_statement_a_day", fields=["location", "business_day"]
            ),
        ]


class StatementLine(models.Model):
    """One line of an accepted statement; credits positive; append-only."""

    id = models.BigAutoField(primary_key=True)
    statement = models.ForeignKey(Statement, models.PROTECT, related_name="lines")
    ordinal = models.PositiveIntegerField()
    reference = models.TextField(null=True)  # noqa: DJ001 - a line without one matches nothing
    amount = ExactField()
    amount_as_read = models.TextField()
    value_date = models.DateField()
    text = models.TextField(blank=True)
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="statement_line_is_unique", fields=["statement", "ordinal"]
            ),
        ]


class Holding(models.Model):
    """One row of a holdings file: what a custodian, wallet or venue says it has; append-only."""

    id = models.BigAutoField(primary_key=True)
    file = models.ForeignKey(StatementFile, models.PROTECT, related_name="+")
    location = models.ForeignKey(Location, models.PROTECT, related_name="+")
    asset = models.ForeignKey(Asset, models.PROTECT, related_name="+")
    business_day = models.DateField()
    line = models.PositiveIntegerField()
    quantity = ExactField()
    quantity_as_read = models.TextField()
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(name="holding_line_is_unique", fields=["business_day", "line"]),
        ]


class StatementMatch(models.Model):
    """A statement line and the posting it confirms; each at most once; append-only."""

    line = models.OneToOneField(
        StatementLine, models.PROTECT, primary_key=True, related_name="match"
    )
    account = models.ForeignKey(LedgerAccount, models.PROTECT, related_name="+")
    account_seq = models.BigIntegerField()
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="posting_is_matched_once", fields=["account", "account_seq"]
            ),
        ]


class BreakQuerySet(models.QuerySet["Break"]):
    """Breaks by what is left to do."""

    def unresolved(self) -> "BreakQuerySet":
        return self.exclude(status=Break.Status.CLOSED)


class Break(models.Model):
    """Where a statement and the book differ. It closes only with evidence."""

    class Kind(models.TextChoices):
        MISSING_IN_STATEMENT = "missing_in_statement", "Missing in statement"
        MISSING_IN_LEDGER = "missing_in_ledger", "Missing in ledger"
        AMOUNT_DIFFERS = "amount_differs", "Amount differs"
        DUPLICATE_IN_STATEMENT = "duplicate_in_statement", "Duplicate in statement"
        QUANTITY_DIFFERS = "quantity_differs", "Quantity differs"
        STATEMENT_REJECTED = "statement_rejected", "Statement rejected"

    class Status(models.TextChoices):
        OPEN = "open", "Open"
        INVESTIGATING = "investigating", "Investigating"
        EXPLAINED = "explained", "Explained"
        CLOSED = "closed", "Closed"

    location = models.ForeignKey(Location, models.PROTECT, related_name="breaks")
    business_day = models.DateField()
    ordinal = models.PositiveIntegerField()
    kind = models.CharField(max_length=30, choices=Kind)
    asset = models.ForeignKey(Asset, models.PROTECT, null=True, related_name="+")
    reference = models.TextField(null=True)  # noqa: DJ001 - as the line says
    ledger_amount = ExactField(null=True)
    statement_amount = ExactField(null=True)
    statement_amount_as_read = models.TextField(blank=True)
    detail = models.CharField(max_length=60, blank=True)
    statement = models.ForeignKey(Statement, models.PROTECT, null=True, related_name="+")
    line = models.ForeignKey(StatementLine, models.PROTECT, null=True, related_name="+")
    status = models.CharField(max_length=14, choices=Status, default=Status.OPEN)
    owner = models.ForeignKey(Operator, models.PROTECT, null=True, related_name="+")
    closing_entry = models.ForeignKey(Entry, models.PROTECT, null=True, related_name="+")
    closing_line = models.ForeignKey(StatementLine, models.PROTECT, null=True, related_name="+")
    closing_reason = models.TextField(blank=True)
    closed_at = models.DateTimeField(null=True)

    objects = BreakQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="break_is_unique", fields=["location", "business_day", "ordinal"]
            ),
            models.CheckConstraint(
                name="break_closes_with_evidence",
                condition=~Q(status="closed")
                | (
                    Q(closed_at__isnull=False)
                    & ~Q(closing_reason="")
                    & (Q(closing_entry__isnull=False) | Q(closing_line__isnull=False))
                ),
            ),
        ]
        indexes = [models.Index(name="break_by_status", fields=["status", "business_day"])]

    @property
    def difference(self) -> Decimal | None:
        """By how much the other side exceeds the book; of a line too many, the whole line.

        None where a whole statement was rejected.
        """
        if self.kind == self.Kind.STATEMENT_REJECTED:
            return None
        there = self.statement_amount or Decimal(0)
        if self.kind == self.Kind.DUPLICATE_IN_STATEMENT:
            return there
        return WIDE.subtract(there, self.ledger_amount or Decimal(0))


class BreakEvent(models.Model):
    """Something that happened to a break: found, taken, explained, closed; append-only."""

    id = models.BigAutoField(primary_key=True)
    found = models.ForeignKey(Break, models.PROTECT, related_name="events")
    event = models.CharField(max_length=20)
    text = models.TextField(blank=True)
    recorded_at = models.DateTimeField(db_default=ClockTime())
    xid = TransactionIdField(db_default=CurrentTransaction())
