"""What the life of a call follows: its steps as rows, increments, terms of its clocks, reliefs."""

from django.db import models
from django.db.models import F, Q

from accounts.fields import CurrentTransaction, ExactField, TransactionIdField
from accounts.models import Agreement
from margin.models.calls import MarginCall
from margin.models.runs import MarginRun


class CallTransition(models.Model):
    """A step that the life of a call may take; the database refuses all others. Append-only.

    Attributes:
        act: what takes it, such as `deliver` or `settle`.
    """

    id = models.BigAutoField(primary_key=True)
    from_state = models.CharField(max_length=14)
    to_state = models.CharField(max_length=14)
    act = models.CharField(max_length=20)
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="call_transition_is_listed_once", fields=["from_state", "to_state"]
            ),
        ]


class CallIncrement(models.Model):
    """By how much a run raised a call, and when that part is due; append-only.

    The part of a call that is no increment is due at the call's own time.
    """

    id = models.BigAutoField(primary_key=True)
    call = models.ForeignKey(MarginCall, models.PROTECT, related_name="increments")
    number = models.PositiveIntegerField()
    amount = ExactField()
    issued_at = models.DateTimeField()
    due_at = models.DateTimeField()
    run = models.ForeignKey(MarginRun, models.PROTECT, related_name="+")
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(name="call_increment_is_numbered", fields=["call", "number"]),
            models.CheckConstraint(
                name="call_increment_asks_for_more",
                condition=Q(amount__gt=0) & Q(due_at__gte=F("issued_at")),
            ),
        ]


class CallTerms(models.Model):
    """How the calls of an agreement are counted and timed from a day on; append-only.

    `values` is what `margin.engine.call_terms` reads. An agreement without a row is under the
    rules of the house.
    """

    id = models.BigAutoField(primary_key=True)
    agreement = models.ForeignKey(Agreement, models.PROTECT, related_name="+")
    version = models.PositiveIntegerField()
    effective_from = models.DateField()
    values = models.JSONField()
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="call_terms_version_is_unique", fields=["agreement", "version"]
            ),
        ]


class CallRelief(models.Model):
    """What two people let a call have: more time (`extend`), or that nothing is due (`waive`).

    Attributes:
        amount: of the call when it was given.
        until: when the call is due from then on; None where nothing is.
    """

    class Kind(models.TextChoices):
        EXTEND = "extend", "More time"
        WAIVE = "waive", "Nothing due"

    id = models.BigAutoField(primary_key=True)
    call = models.ForeignKey(MarginCall, models.PROTECT, related_name="reliefs")
    kind = models.CharField(max_length=8, choices=Kind)
    amount = ExactField()
    until = models.DateTimeField(null=True)
    reason = models.TextField()
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="more_time_says_until_when",
                condition=Q(kind="extend", until__isnull=False)
                | Q(kind="waive", until__isnull=True),
            ),
        ]
