"""How long money may be on its way before somebody is asked."""

from django.db import models

from accounts.fields import CurrentTransaction, TransactionIdField
from accounts.models import Approval, LegalEntity


class TransitRule(models.Model):
    """From a day on, after how many business days money in transit alarms; append-only.

    A rule of a legal entity comes before the rule of all (`legal_entity` null).
    """

    legal_entity = models.ForeignKey(LegalEntity, models.PROTECT, null=True, related_name="+")
    effective_from = models.DateField()
    business_days = models.PositiveSmallIntegerField()
    approval = models.OneToOneField(Approval, models.PROTECT, null=True, related_name="+")
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="transit_has_one_rule_a_day",
                fields=["legal_entity", "effective_from"],
                nulls_distinct=False,
            ),
        ]
