"""What became of money that came without an owner."""

from django.db import models

from accounts.fields import CurrentTransaction, TransactionIdField
from ledger.models.book import Entry


class ReceiptSettlement(models.Model):
    """The entry that gave a receipt to its one owner, or back; append-only.

    Where that entry is reversed, the receipt is open again and may be settled by another.
    """

    entry = models.OneToOneField(Entry, models.PROTECT, primary_key=True, related_name="+")
    receipt = models.ForeignKey(Entry, models.PROTECT, related_name="settlements")
    xid = TransactionIdField(db_default=CurrentTransaction())
