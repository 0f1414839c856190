"""Who may be margined by a portfolio model: rules and clients by day; append-only, two people."""

from django.db import models
from django.db.models import Q

from accounts.fields import CurrentTransaction, ExactField, TransactionIdField
from accounts.models import Client


class EligibilityRule(models.Model):
    """What an account must have to be under a portfolio model, from a day on.

    An empty model means every portfolio model that has no rule of its own.
    """

    model = models.CharField(max_length=40, blank=True)
    version = models.PositiveIntegerField()
    effective_from = models.DateField()
    minimum_equity = ExactField()
    needs_approved_client = models.BooleanField()
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="eligibility_version_is_unique", fields=["model", "version"]
            ),
            models.UniqueConstraint(
                name="eligibility_has_one_version_a_day", fields=["model", "effective_from"]
            ),
            models.CheckConstraint(
                name="minimum_equity_is_not_negative", condition=Q(minimum_equity__gte=0)
            ),
        ]


class ClientEligibility(models.Model):
    """Whether a client is approved for portfolio margin, from a day on."""

    client = models.ForeignKey(Client, models.PROTECT, related_name="+")
    version = models.PositiveIntegerField()
    effective_from = models.DateField()
    is_approved = models.BooleanField()
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="client_eligibility_version_is_unique", fields=["client", "version"]
            ),
            models.UniqueConstraint(
                name="client_is_approved_once_a_day", fields=["client", "effective_from"]
            ),
        ]
