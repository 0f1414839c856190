"""Where the chain of seals was taken up: at first, after a restore, after an upgrade."""

from django.db import models

from accounts.fields import CurrentTransaction, TransactionIdField


class SealEpoch(models.Model):
    """A stretch of the chain on one copy of the book, signed when it begins.

    An epoch after the first says which block it goes on from, how far transaction ids had come,
    and which blocks had been published by then that this copy of the book does not hold.
    """

    class Cause(models.TextChoices):
        FIRST = "first", "First"
        RESTORE = "restore", "Restore"
        UPGRADE = "upgrade", "Upgrade"

    number = models.PositiveIntegerField(primary_key=True)
    cause = models.CharField(max_length=8, choices=Cause)
    began_at = models.DateTimeField()
    after_number = models.BigIntegerField()
    after_head = models.BinaryField()
    highest_xid = TransactionIdField()
    given_up = models.JSONField()
    server = models.CharField(max_length=60)
    public_key = models.BinaryField()
    signature = models.BinaryField()
    xid = TransactionIdField(db_default=CurrentTransaction())
