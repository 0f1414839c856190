"""The contract from which all terms of an account come: versioned, effective-dated, approved."""

from django.db import models
from django.db.models import Q

from accounts.fields import CurrentTransaction, ExactField, TransactionIdField
from accounts.models.owners import LegalEntity, MarginAccount


class Agreement(models.Model):
    """A set of terms with a name; what they say on a day is a version's business."""

    legal_entity = models.ForeignKey(LegalEntity, models.PROTECT, related_name="+")
    code = models.CharField(max_length=40)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="agreement_code_is_unique", fields=["legal_entity", "code"]
            ),
        ]

    def __str__(self) -> str:
        return self.code


class AgreementVersion(models.Model):
    """The terms in force from a date until the next version. Levels multiply maintenance margin."""

    agreement = models.ForeignKey(Agreement, models.PROTECT, related_name="versions")
    version = models.PositiveIntegerField()
    effective_from = models.DateField()
    model = models.CharField(max_length=40)
    parameters = models.CharField(max_length=40)
    call_level = ExactField()
    liquidation_level = ExactField()
    minimum_transfer_amount = ExactField()
    currency = models.CharField(max_length=12)
    call_due_for = models.DurationField()
    eligible_collateral = models.JSONField(default=list)
    segregation_regime = models.CharField(max_length=20, blank=True)
    jurisdiction = models.CharField(max_length=20, blank=True)
    document_sha256 = models.CharField(max_length=64, blank=True)
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="agreement_version_is_unique", fields=["agreement", "version"]
            ),
            models.UniqueConstraint(
                name="agreement_has_one_version_a_day", fields=["agreement", "effective_from"]
            ),
            models.CheckConstraint(
                name="agreement_levels_are_in_order",
                condition=Q(liquidation_level__gte=0)
                & Q(call_level__gte=models.F("liquidation_level"))
                & Q(minimum_transfer_amount__gte=0),
            ),
        ]


class AccountAgreement(models.Model):
    """Which agreement an account is under, from a date, to a date if it ended."""

    account = models.ForeignKey(MarginAccount, models.PROTECT, related_name="agreements")
    agreement = models.ForeignKey(Agreement, models.PROTECT, related_name="+")
    effective_from = models.DateField()
    effective_to = models.DateField(null=True)
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="account_has_one_agreement_a_day", fields=["account", "effective_from"]
            ),
            models.CheckConstraint(
                name="agreement_ends_after_it_starts",
                condition=Q(effective_to__isnull=True)
                | Q(effective_to__gt=models.F("effective_from")),
            ),
        ]
