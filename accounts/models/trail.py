"""Four eyes, the header row of every change, what changed, and the seals over all of it."""

from uuid import uuid4

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from accounts.fields import ClockTime, CurrentTransaction, TransactionIdField
from accounts.models.operators import Operator, OperatorSession
from accounts.models.owners import LegalEntity


class Act(models.Model):
    """The header of a transaction that changed business data: who, why, for which request."""

    xid = TransactionIdField(primary_key=True, db_default=CurrentTransaction())
    actor = models.CharField(max_length=120)
    operator = models.ForeignKey(
        Operator, models.PROTECT, null=True, related_name="+", db_index=False
    )
    session = models.ForeignKey(
        OperatorSession, models.PROTECT, null=True, related_name="+", db_index=False
    )
    channel = models.CharField(max_length=12)
    request_id = models.CharField(max_length=64)
    reason = models.TextField()
    recorded_at = models.DateTimeField(db_default=ClockTime())

    class Meta:
        indexes = [
            models.Index(name="act_by_time", fields=["recorded_at"]),
            models.Index(name="act_by_actor", fields=["actor", "recorded_at"]),
            models.Index(name="act_by_request", fields=["request_id"]),
            # A machine's act is filed under no person.
            *(
                models.Index(
                    name=f"act_by_{name}", fields=[name], condition=Q(**{f"{name}__isnull": False})
                )
                for name in ("operator", "session")
            ),
        ]


class AuditRow(models.Model):
    """What one row of an editable table was before and after; written by the database alone.

    Secret columns show only that they are there or have changed; `fingerprint` is a hash over
    them, by which `verify` sees a change that went past the trail.
    """

    id = models.BigAutoField(primary_key=True)
    xid = TransactionIdField(db_default=CurrentTransaction())
    table_name = models.CharField(max_length=63)
    operation = models.CharField(max_length=6)
    row_key = models.TextField()
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    fingerprint = models.BinaryField(null=True)

    class Meta:
        indexes = [
            models.Index(name="audit_row_by_transaction", fields=["xid"]),
            models.Index(name="audit_row_by_object", fields=["table_name", "row_key"]),
        ]


class ApprovalAction(models.Model):
    """Something that needs two people: who may ask, who may decide, how long a request lives."""

    code = models.CharField(max_length=60, primary_key=True)
    title = models.CharField(max_length=120)
    maker_roles = ArrayField(models.CharField(max_length=16))
    checker_roles = ArrayField(models.CharField(max_length=16))
    lives_for = models.DurationField()


class Approval(models.Model):
    """A request bound to its content; decided once by another person, used once, then spent."""

    class Decision(models.TextChoices):
        APPROVED = "approved", "Approved"
        REJECTED = "rejected", "Rejected"

    id = models.UUIDField(primary_key=True, default=uuid4)
    number = models.BigIntegerField(unique=True)
    legal_entity = models.ForeignKey(LegalEntity, models.PROTECT, related_name="+")
    action = models.ForeignKey(ApprovalAction, models.PROTECT, related_name="+")
    subject = models.CharField(max_length=200)
    payload = models.JSONField()
    payload_sha256 = models.BinaryField()
    reason = models.TextField()
    maker = models.ForeignKey(Operator, models.PROTECT, related_name="+")
    made_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    checker = models.ForeignKey(Operator, models.PROTECT, null=True, related_name="+")
    decision = models.CharField(max_length=8, blank=True, choices=Decision)
    decision_reason = models.TextField(blank=True)
    decided_at = models.DateTimeField(null=True)
    used_xid = TransactionIdField(null=True)
    used_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="approval_is_not_ones_own",
                condition=Q(checker__isnull=True) | ~Q(checker=F("maker")),
            ),
            models.CheckConstraint(
                name="approval_is_decided_by_a_person",
                condition=Q(decision="", checker__isnull=True, decided_at__isnull=True)
                | (~Q(decision="") & Q(checker__isnull=False, decided_at__isnull=False)),
            ),
            models.CheckConstraint(
                name="approval_is_used_when_approved",
                condition=Q(used_xid__isnull=True) | Q(decision="approved"),
            ),
        ]
        indexes = [
            models.Index(
                name="approval_by_use", fields=["used_xid"], condition=Q(used_xid__isnull=False)
            ),
        ]


class ApprovalRecord(models.Model):
    """A record that a request would change, so that the record can say so; append-only.

    `record` is the table and the key of the row: `ledger_location:12`.
    """

    id = models.BigAutoField(primary_key=True)
    approval = models.ForeignKey(Approval, models.PROTECT, related_name="records")
    record = models.CharField(max_length=120, db_index=True)
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="request_names_a_record_once", fields=["approval", "record"]
            ),
        ]


class SealBlock(models.Model):
    """A stretch of history under one Merkle root, chained to the block before and signed."""

    number = models.BigIntegerField(primary_key=True)
    epoch = models.PositiveIntegerField()
    from_xid = TransactionIdField()
    to_xid = TransactionIdField()
    leaf_count = models.BigIntegerField()
    layout = models.JSONField()
    root = models.BinaryField()
    previous_hash = models.BinaryField()
    head_hash = models.BinaryField()
    signature = models.BinaryField()
    sealed_at = models.DateTimeField()
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="seal_block_goes_forward", condition=Q(to_xid__gt=F("from_xid"))
            ),
        ]


class SealLeaf(models.Model):
    """The hash of one row of history and its place in its block, so that a change has a name.

    Where rows of other tables are sealed with the row, `marks` holds four bytes of the hash of
    each, which tell them apart; the leaf alone is what the block's root covers.
    """

    pk = models.CompositePrimaryKey("block_id", "position")
    # The root of the block proves more than a constraint could, at none of its cost.
    block = models.ForeignKey(
        SealBlock, models.PROTECT, related_name="leaves", db_index=False, db_constraint=False
    )
    position = models.BigIntegerField()
    source = models.CharField(max_length=63)
    row_key = models.TextField()
    leaf = models.BinaryField()
    marks = models.BinaryField()
