"""Switches of an incident: what a firm does no longer by itself, and what that held back."""

from django.db import models
from django.db.models import Q

from accounts.fields import ClockTime, CurrentTransaction, ExactField, TransactionIdField
from accounts.models import Approval, LegalEntity
from margin.models.calls import MarginCall
from margin.models.runs import MarginResult


class Switch(models.Model):
    """One version of a switch; the newest of its legal entity holds. Append-only.

    It stays stopped until two people start it again; past `until` somebody is asked about it.
    """

    class What(models.TextChoices):
        CALLS = "calls", "Automatic calls"
        WITHDRAWALS = "withdrawals", "Withdrawals"
        LIQUIDATION = "liquidation", "Liquidation"

    id = models.BigAutoField(primary_key=True)
    legal_entity = models.ForeignKey(LegalEntity, models.PROTECT, related_name="+")
    what = models.CharField(max_length=12, choices=What)
    version = models.PositiveIntegerField()
    is_stopped = models.BooleanField()
    until = models.DateTimeField(null=True)
    reason = models.TextField()
    approval = models.OneToOneField(Approval, models.PROTECT, related_name="+")
    set_at = models.DateTimeField(db_default=ClockTime())
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="switch_version_is_unique", fields=["legal_entity", "what", "version"]
            ),
            models.CheckConstraint(
                name="switch_is_known",
                condition=Q(what__in=["calls", "withdrawals", "liquidation"]),
            ),
            models.CheckConstraint(
                name="stopped_switch_says_until_when",
                condition=Q(is_stopped=True, until__isnull=False)
                | Q(is_stopped=False, until__isnull=True),
            ),
        ]


class HeldCall(models.Model):
    """What a run would have called for and did not, as automatic calls were stopped. Append-only.

    Attributes:
        call: that would have been raised; None where one would have been issued.
        amount: what it would have come to.
    """

    result = models.OneToOneField(
        MarginResult, models.PROTECT, primary_key=True, related_name="held_call"
    )
    call = models.ForeignKey(MarginCall, models.PROTECT, null=True, related_name="+")
    amount = ExactField()
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.CheckConstraint(name="held_call_asks_for_something", condition=Q(amount__gt=0)),
        ]
