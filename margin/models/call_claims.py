"""What clients say of calls: promises, transfers on their way, disputes with their evidence; and
the levels of the ladder that scopes cross.
"""

from django.db import models
from django.db.models import Q

from accounts.fields import CurrentTransaction, ExactField, TransactionIdField
from accounts.models import Scope
from ledger.models import Entry
from margin.models.calls import MarginCall
from margin.models.runs import MarginRun


class CallPromise(models.Model):
    """Money that is to come for a call: a word (`promise`), or a wire advised (`transfer`).

    Attributes:
        reference: by which the deposit is known when it comes; "" for a mere word.
        pay_by: after that it is broken, or the transfer has failed.
    """

    class Kind(models.TextChoices):
        PROMISE = "promise", "Promise to pay"
        TRANSFER = "transfer", "Transfer on its way"

    id = models.BigAutoField(primary_key=True)
    call = models.ForeignKey(MarginCall, models.PROTECT, related_name="promises")
    kind = models.CharField(max_length=8, choices=Kind)
    amount = ExactField()
    reference = models.CharField(max_length=80, blank=True)
    pay_by = models.DateTimeField()
    words = models.TextField()
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="promise_is_of_something",
                condition=Q(amount__gt=0) & (Q(kind="promise") | ~Q(reference="")),
            ),
        ]


class CallPromiseEnd(models.Model):
    """What became of a promise or a transfer, once."""

    class Outcome(models.TextChoices):
        KEPT = "kept", "Kept"
        BROKEN = "broken", "Broken"
        WITHDRAWN = "withdrawn", "Withdrawn"

    promise = models.OneToOneField(
        CallPromise, models.PROTECT, primary_key=True, related_name="end"
    )
    outcome = models.CharField(max_length=10, choices=Outcome)
    entry = models.ForeignKey(Entry, models.PROTECT, null=True, related_name="+")
    at = models.DateTimeField()
    text = models.TextField(blank=True)
    xid = TransactionIdField(db_default=CurrentTransaction())


class CallDispute(models.Model):
    """A call of which the client says that it should ask for less, with the client's numbers.

    Attributes:
        called: what the call asked for then.
        undisputed: what the client's own numbers come to; it stays due.
        content: the file with the client's components, as it came; empty without one.
    """

    class Why(models.TextChoices):
        PRICE = "price", "Price or mark"
        POSITION = "position", "Position"
        COLLATERAL = "collateral", "Collateral or cash"
        MODEL = "model", "Requirement"
        TERMS = "terms", "Terms of the agreement"
        OTHER = "other", "Something else"

    id = models.BigAutoField(primary_key=True)
    call = models.ForeignKey(MarginCall, models.PROTECT, related_name="disputes")
    why = models.CharField(max_length=10, choices=Why)
    reason = models.TextField()
    called = ExactField()
    undisputed = ExactField()
    file_name = models.CharField(max_length=200, blank=True)
    content = models.BinaryField(default=b"")
    sha256 = models.CharField(max_length=64, blank=True)
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="dispute_leaves_a_part_of_the_call",
                condition=Q(undisputed__gte=0) & Q(undisputed__lt=models.F("called")),
            ),
        ]


class CallDisputePart(models.Model):
    """A component that differs, or is on one side only: ours and theirs."""

    id = models.BigAutoField(primary_key=True)
    dispute = models.ForeignKey(CallDispute, models.PROTECT, related_name="parts")
    total = models.CharField(max_length=20)
    component = models.CharField(max_length=120)
    ours = ExactField(null=True)
    theirs = ExactField(null=True)
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="dispute_has_a_component_once", fields=["dispute", "total", "component"]
            ),
        ]


class CallDisputeEnd(models.Model):
    """The amount on which a dispute ended, agreed to by two people of the desk.

    From then on the call is met when no more is missing than was given up.
    """

    dispute = models.OneToOneField(
        CallDispute, models.PROTECT, primary_key=True, related_name="end"
    )
    agreed = ExactField()
    reason = models.TextField()
    xid = TransactionIdField(db_default=CurrentTransaction())


class CallEvidence(models.Model):
    """A file that somebody attached to a dispute, as it came."""

    id = models.BigAutoField(primary_key=True)
    dispute = models.ForeignKey(CallDispute, models.PROTECT, related_name="evidence")
    name = models.CharField(max_length=200)
    content = models.BinaryField()
    sha256 = models.CharField(max_length=64)
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(name="evidence_is_attached_once", fields=["dispute", "sha256"]),
        ]


class LevelEvent(models.Model):
    """A level of the ladder that a scope fell below, or was restored above, once a crossing.

    Attributes:
        ratio: equity over maintenance margin at that run; None without a requirement.
    """

    class Level(models.TextChoices):
        NOTICE = "notice", "Notice"
        CALL = "call", "Call"
        CLOSE_ONLY = "close_only", "Close only"
        LIQUIDATE = "liquidate", "Liquidate"

    class Way(models.TextChoices):
        DROPPED = "dropped", "Fell below"
        RESTORED = "restored", "Restored"

    id = models.BigAutoField(primary_key=True)
    scope = models.ForeignKey(Scope, models.PROTECT, related_name="+")
    run = models.ForeignKey(MarginRun, models.PROTECT, related_name="+")
    level = models.CharField(max_length=10, choices=Level)
    way = models.CharField(max_length=8, choices=Way)
    ratio = ExactField(null=True)
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="level_is_crossed_once_a_run", fields=["run", "scope", "level"]
            ),
        ]
        indexes = [models.Index(name="level_event_by_scope", fields=["scope", "level", "-id"])]
