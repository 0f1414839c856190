"""The reconciliation of one client whose assets lie apart from everybody's, and its sign-off."""

from django.db import models

from accounts.fields import CurrentTransaction, TransactionIdField
from accounts.models import Approval, Client


class ClientReconciliation(models.Model):
    """What one client's own locations hold, report and owe at the end of a day; append-only.

    `lines` has one object per asset and location, and one per asset for what the client is owed;
    the database writes them from balances, statements and holdings.
    """

    client = models.ForeignKey(Client, models.PROTECT, related_name="+")
    business_day = models.DateField()
    number = models.PositiveIntegerField()
    lines = models.JSONField()
    open_breaks = models.PositiveIntegerField()
    is_whole = models.BooleanField()
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="client_reconciliation_has_its_number",
                fields=["client", "business_day", "number"],
            ),
        ]


class ReconciliationSignature(models.Model):
    """Two people's signature under a client's reconciliation; append-only."""

    reconciliation = models.OneToOneField(
        ClientReconciliation, models.PROTECT, primary_key=True, related_name="signature"
    )
    approval = models.OneToOneField(Approval, models.PROTECT, related_name="+")
    xid = TransactionIdField(db_default=CurrentTransaction())
