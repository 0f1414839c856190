"""How long records are kept, who is held, and who was erased."""

from uuid import uuid4

from django.db import models

from accounts.fields import CurrentTransaction, TransactionIdField
from accounts.models.owners import Client, PersonKey


class RetentionClass(models.Model):
    """A kind of record with one clock; how long it runs is a rule's business. Append-only."""

    code = models.CharField(max_length=40, primary_key=True)
    title = models.CharField(max_length=120)
    clock = models.CharField(max_length=120)
    xid = TransactionIdField(db_default=CurrentTransaction())

    def __str__(self) -> str:
        return self.code


class RetentionRule(models.Model):
    """How long a class must be kept and when it must be gone, from a day on. Append-only.

    Both run from the class's clock; without `gone_after` nothing has to go.
    """

    record = models.ForeignKey(RetentionClass, models.PROTECT, related_name="rules")
    effective_from = models.DateField()
    keep_for = models.DurationField()
    gone_after = models.DurationField(null=True)
    basis = models.CharField(max_length=200)
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="retention_changes_once_a_day", fields=["record", "effective_from"]
            ),
            models.CheckConstraint(
                name="records_are_kept_before_they_go",
                condition=models.Q(gone_after__isnull=True)
                | models.Q(gone_after__gte=models.F("keep_for")),
            ),
        ]


class LegalHold(models.Model):
    """A client of whom nothing may go until the hold is lifted; placed and lifted by two people."""

    id = models.UUIDField(primary_key=True, default=uuid4)
    client = models.ForeignKey(Client, models.PROTECT, related_name="holds")
    reason = models.TextField()
    placed_xid = TransactionIdField()
    lifted_reason = models.TextField(blank=True)
    lifted_xid = TransactionIdField(null=True)


class Erasure(models.Model):
    """A person whose key was destroyed: since when it was allowed, and why. Append-only.

    One that is done again on a restored book has no approval there; the list of destroyed keys
    outside the database says that it was agreed to.
    """

    person_key = models.OneToOneField(PersonKey, models.PROTECT, related_name="erasure")
    client = models.OneToOneField(Client, models.PROTECT, related_name="erasure")
    kept_until = models.DateField(null=True)
    lawful_reason = models.TextField(blank=True)
    is_again = models.BooleanField()
    xid = TransactionIdField(db_default=CurrentTransaction())


class Redaction(models.Model):
    """A row from which an erased name was taken, with its leaf as sealed and as it is now.

    Append-only. A row that was not sealed yet has no leaf to stand for.
    """

    id = models.BigAutoField(primary_key=True)
    erasure = models.ForeignKey(Erasure, models.PROTECT, related_name="redactions")
    table_name = models.CharField(max_length=63)
    row_key = models.TextField()
    columns = models.JSONField()
    leaf_sealed = models.BinaryField(null=True)
    leaf_now = models.BinaryField(null=True)
    xid = TransactionIdField(db_default=CurrentTransaction())


class Purge(models.Model):
    """Records that went because their latest date had passed: which, how many. Append-only."""

    id = models.BigAutoField(primary_key=True)
    record = models.ForeignKey(RetentionClass, models.PROTECT, related_name="+")
    before = models.DateTimeField()
    rows = models.PositiveIntegerField()
    xid = TransactionIdField(db_default=CurrentTransaction())
