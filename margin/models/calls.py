"""Margin calls, their history, and tasks that need a person."""

from django.db import models
from django.db.models import Q

from accounts.fields import CurrentTransaction, ExactField, TransactionIdField
from accounts.models import LegalEntity, Operator, Role, Scope
from margin.models.runs import MarginResult, MarginRun


class MarginCallQuerySet(models.QuerySet["MarginCall"]):
    """Calls by where they are in their life."""

    def open(self) -> "MarginCallQuerySet":
        return self.exclude(state__in=MarginCall.ENDED)


class MarginCall(models.Model):
    """A demand to restore initial margin; one open call per scope and kind.

    Attributes:
        legal_entity: of the account of the scope; the database says it as the call begins.
    """

    class Kind(models.TextChoices):
        MAINTENANCE = "maintenance", "Maintenance"
        INITIAL = "initial", "Initial"

    class State(models.TextChoices):
        DRAFT = "draft", "Draft"
        ISSUED = "issued", "Issued"
        DELIVERED = "delivered", "Delivered"
        UNDELIVERED = "undelivered", "Undelivered"
        ACKNOWLEDGED = "acknowledged", "Acknowledged"
        PARTIALLY_MET = "partially_met", "Partially met"
        MET = "met", "Met"
        DISPUTED = "disputed", "Disputed"
        AGREED = "agreed", "Agreed"
        EXTENDED = "extended", "Extended"
        EXPIRED = "expired", "Expired"
        ESCALATED = "escalated", "Escalated"
        LIQUIDATING = "liquidating", "Liquidating"
        CLOSED = "closed", "Closed"
        CANCELLED = "cancelled", "Cancelled"

    ENDED = ("met", "closed", "cancelled")

    number = models.CharField(max_length=40, unique=True)
    scope = models.ForeignKey(Scope, models.PROTECT, related_name="calls")
    legal_entity = models.ForeignKey(LegalEntity, models.PROTECT, related_name="+", db_index=False)
    kind = models.CharField(max_length=12, choices=Kind)
    state = models.CharField(max_length=14, choices=State)
    amount = ExactField()
    currency = models.CharField(max_length=12)
    business_day = models.DateField()
    issued_at = models.DateTimeField()
    due_at = models.DateTimeField()
    first_result = models.ForeignKey(MarginResult, models.PROTECT, related_name="+")
    last_result = models.ForeignKey(MarginResult, models.PROTECT, related_name="+")
    owner = models.ForeignKey(Operator, models.PROTECT, null=True, related_name="+")
    acknowledged_at = models.DateTimeField(null=True)
    acknowledged_by = models.ForeignKey(Operator, models.PROTECT, null=True, related_name="+")
    ended_at = models.DateTimeField(null=True)
    end_reason = models.CharField(max_length=40, blank=True)

    objects = MarginCallQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="margin_call_one_open_per_scope",
                fields=["scope", "kind"],
                condition=~Q(state__in=["met", "closed", "cancelled"]),
            ),
            models.CheckConstraint(
                name="margin_call_ends_with_a_reason",
                condition=~Q(state__in=["met", "closed", "cancelled"])
                | (Q(ended_at__isnull=False) & ~Q(end_reason="")),
            ),
        ]
        indexes = [models.Index(name="margin_call_by_state", fields=["state", "due_at"])]


class CallEvent(models.Model):
    """A step in the life of a call, with the amounts before and after; append-only."""

    id = models.BigAutoField(primary_key=True)
    call = models.ForeignKey(MarginCall, models.PROTECT, related_name="events")
    event = models.CharField(max_length=20)
    from_state = models.CharField(max_length=14, blank=True)
    to_state = models.CharField(max_length=14)
    occurred_at = models.DateTimeField()
    amount_before = ExactField(null=True)
    amount_after = ExactField(null=True)
    text = models.TextField(blank=True)
    run = models.ForeignKey(MarginRun, models.PROTECT, null=True, related_name="+")
    xid = TransactionIdField(db_default=CurrentTransaction())


class CallDecision(models.Model):
    """What became of a call because the run it rests on was restated; append-only.

    Two people change what is owed (`amend`, `cancel`); one may decide that it stays (`keep`).
    """

    class Verdict(models.TextChoices):
        KEEP = "keep", "Keep"
        AMEND = "amend", "Amend"
        CANCEL = "cancel", "Cancel"

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(MarginRun, models.PROTECT, related_name="call_decisions")
    call = models.ForeignKey(MarginCall, models.PROTECT, related_name="decisions")
    verdict = models.CharField(max_length=8, choices=Verdict)
    amount_before = ExactField()
    amount_after = ExactField()
    reason = models.TextField()
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="call_is_decided_once_a_restatement", fields=["run", "call"]
            ),
        ]


class CallNotice(models.Model):
    """The notice by which somebody who was called is told of a decision: one for each."""

    decision = models.OneToOneField(
        CallDecision, models.PROTECT, primary_key=True, related_name="notice"
    )
    channel = models.CharField(max_length=20)
    name = models.CharField(max_length=200)
    text = models.TextField()
    sha256 = models.CharField(max_length=64)
    xid = TransactionIdField(db_default=CurrentTransaction())


class Task(models.Model):
    """Something that needs a person: it has an owner role, a clock and an end."""

    class Kind(models.TextChoices):
        LIQUIDATE = "liquidate", "Scope to liquidate"
        DEFICIT = "deficit", "Scope in deficit"
        PRICE = "price", "No valid price"
        UNPRICED = "unpriced", "Position without a price"
        NO_AGREEMENT = "no_agreement", "Account without an agreement"
        UNCOVERED = "uncovered", "Loss that nobody covered"
        JOB = "job", "Job that failed"
        TRANSIT = "transit", "Money on its way for too long"
        ELIGIBILITY = "eligibility", "Account not eligible for its model"
        DISLOCATION = "dislocation", "One source far from the others"
        FEED = "feed", "Feed later than promised"
        EXPIRY = "option_expiry", "Option over and not settled"
        CALL = "call", "Margin call that needs somebody"
        PAYMENT = "payment", "Payment to look after"
        CHECK = "check", "Margin not checked in time"
        NOTICE = "notice", "Notice that needs somebody"
        EXTERNAL = "external", "Margin of others that differs"
        SWITCH = "switch", "Switch that needs somebody"

    kind = models.CharField(max_length=16, choices=Kind)
    key = models.CharField(max_length=120)
    subject = models.CharField(max_length=200)
    detail = models.TextField(blank=True)
    business_day = models.DateField()
    scope = models.ForeignKey(Scope, models.PROTECT, null=True, related_name="+")
    owner_role = models.CharField(max_length=16, choices=Role)
    owner = models.ForeignKey(Operator, models.PROTECT, null=True, related_name="+")
    opened_at = models.DateTimeField()
    due_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    close_reason = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="task_is_open_once",
                fields=["kind", "key"],
                condition=Q(closed_at__isnull=True),
            ),
            models.CheckConstraint(
                name="task_closes_with_a_reason",
                condition=Q(closed_at__isnull=True) | ~Q(close_reason=""),
            ),
        ]


class TaskEvent(models.Model):
    """Something that happened to a task; append-only."""

    id = models.BigAutoField(primary_key=True)
    task = models.ForeignKey(Task, models.PROTECT, related_name="events")
    event = models.CharField(max_length=20)
    text = models.TextField(blank=True)
    occurred_at = models.DateTimeField()
    xid = TransactionIdField(db_default=CurrentTransaction())
