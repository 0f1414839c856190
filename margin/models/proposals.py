"""Margin rates that a policy proposes; they hold once two people have made terms of them."""

from django.db import models
from django.db.models import F, Q

from accounts.fields import CurrentTransaction, TransactionIdField
from ledger.models import Asset
from margin.models.registry import ParameterSet
from margin.models.runs import MarginRun


class MarginProposal(models.Model):
    """What a policy makes of the closes of a day: old and new rates, why, and whom they call.

    `inputs` says what was estimated out of which closes; `before` and `after` list brackets as
    requests for rates do; `affected` says whom the run would have called with the new ones.
    """

    asset = models.ForeignKey(Asset, models.PROTECT, related_name="+")
    parameter_set = models.ForeignKey(ParameterSet, models.PROTECT, related_name="+")
    run = models.ForeignKey(MarginRun, models.PROTECT, related_name="+")
    business_day = models.DateField()
    effective_from = models.DateField()
    inputs = models.JSONField()
    before = models.JSONField()
    after = models.JSONField()
    affected = models.JSONField()
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="rates_are_proposed_once_of_a_run", fields=["asset", "run", "parameter_set"]
            ),
            models.CheckConstraint(
                name="proposal_gives_no_notice_backwards",
                condition=Q(effective_from__gte=F("business_day")),
            ),
        ]
