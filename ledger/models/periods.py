"""Days that are done, periods that are closed, and entries that came after their date."""

from django.db import models
from django.db.models import Q

from accounts.fields import ClockTime, CurrentTransaction, ExactField, TransactionIdField
from accounts.models import Approval, LegalEntity
from ledger.models.book import Entry, Horizon
from ledger.models.pools import LedgerAccount


class DayClose(models.Model):
    """A business day of which everything is in the book, and what was known then; append-only."""

    legal_entity = models.ForeignKey(LegalEntity, models.PROTECT, related_name="+")
    day = models.DateField()
    horizon = models.ForeignKey(Horizon, models.PROTECT, related_name="+")
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(name="day_closes_once", fields=["legal_entity", "day"]),
        ]


class PeriodEvent(models.Model):
    """A closing or a reopening; append-only. The newest one of a firm says what is closed.

    `closed_through` is the last closed business date after it; None where nothing is closed.
    """

    class Event(models.TextChoices):
        CLOSED = "closed", "Closed"
        REOPENED = "reopened", "Reopened"

    legal_entity = models.ForeignKey(LegalEntity, models.PROTECT, related_name="+")
    number = models.PositiveIntegerField()
    event = models.CharField(max_length=8, choices=Event)
    closed_through = models.DateField(null=True)
    reason = models.TextField()
    approval = models.OneToOneField(Approval, models.PROTECT, null=True, related_name="+")
    recorded_at = models.DateTimeField(db_default=ClockTime())
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="period_event_has_its_place", fields=["legal_entity", "number"]
            ),
            models.CheckConstraint(
                name="period_is_reopened_with_four_eyes",
                condition=Q(event="closed", approval__isnull=True, closed_through__isnull=False)
                | Q(event="reopened", approval__isnull=False),
            ),
        ]


class BackDatedEntry(models.Model):
    """An entry that takes effect before what was in the book already; append-only.

    `overtaken_on` is the newest business date it came after: the last movement of one of its
    accounts, or the last day that was closed. Where a balance at the end of an earlier day would
    have broken its floor, `broken_rule` says which, on which account and day, and how it would
    have stood; two people agreed to such an entry.
    """

    entry = models.OneToOneField(
        Entry, models.PROTECT, primary_key=True, related_name="back_dated", db_constraint=False
    )
    effective_on = models.DateField()
    overtaken_on = models.DateField()
    broken_rule = models.CharField(max_length=60, blank=True)
    account = models.ForeignKey(
        LedgerAccount, models.PROTECT, null=True, related_name="+", db_index=False
    )
    broken_on = models.DateField(null=True)
    balance = ExactField(null=True)
    approval = models.OneToOneField(Approval, models.PROTECT, null=True, related_name="+")
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="broken_floor_has_its_approval",
                condition=Q(
                    broken_rule="",
                    account__isnull=True,
                    broken_on__isnull=True,
                    balance__isnull=True,
                    approval__isnull=True,
                )
                | ~Q(broken_rule="")
                & Q(
                    account__isnull=False,
                    broken_on__isnull=False,
                    balance__isnull=False,
                    approval__isnull=False,
                ),
            ),
        ]
