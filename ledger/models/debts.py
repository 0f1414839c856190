"""Who owes, guarantees or pledges what to whom: the register of debts that link parties."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from accounts.fields import CurrentTransaction, ExactField, TransactionIdField
from accounts.models import Approval, Bucket, Client, LegalEntity, MarginAccount
from ledger.models.pools import Asset


class ObligationQuerySet(models.QuerySet["Obligation"]):
    """Obligations as lists need them."""

    def live(self) -> "ObligationQuerySet":
        """Those that have not been ended."""
        return self.filter(end__isnull=True)

    def named(self) -> "ObligationQuerySet":
        """With the parties and the asset."""
        return self.select_related(
            "asset", "by_account", "by_client", "by_entity", "to_account", "to_client",
            "to_entity", "secures_account", "bucket__account", "end",
        )  # fmt: skip


class Obligation(models.Model):
    """A loan, a guarantee or a pledge; append-only, ended by a row of its own.

    `by_...` is who is bound: the borrower, the guarantor, the pledgor. `to_...` is who may claim
    it. Each is an account, a client or a legal entity. A guarantee or pledge names in
    `secures_account` the account whose debt or position it stands for. A pledge names its lot:
    so much of one asset in one bucket.
    """

    class Kind(models.TextChoices):
        LOAN = "loan", "Loan"
        GUARANTEE = "guarantee", "Guarantee"
        PLEDGE = "pledge", "Pledge"

    legal_entity = models.ForeignKey(LegalEntity, models.PROTECT, related_name="+")
    reference = models.CharField(max_length=60)
    kind = models.CharField(max_length=10, choices=Kind)
    by_account = models.ForeignKey(MarginAccount, models.PROTECT, null=True, related_name="+")
    by_client = models.ForeignKey(Client, models.PROTECT, null=True, related_name="+")
    by_entity = models.ForeignKey(LegalEntity, models.PROTECT, null=True, related_name="+")
    to_account = models.ForeignKey(MarginAccount, models.PROTECT, null=True, related_name="+")
    to_client = models.ForeignKey(Client, models.PROTECT, null=True, related_name="+")
    to_entity = models.ForeignKey(LegalEntity, models.PROTECT, null=True, related_name="+")
    secures_account = models.ForeignKey(MarginAccount, models.PROTECT, null=True, related_name="+")
    bucket = models.ForeignKey(Bucket, models.PROTECT, null=True, related_name="+")
    asset = models.ForeignKey(Asset, models.PROTECT, related_name="+")
    amount = ExactField()
    effective_on = models.DateField()
    document_sha256 = models.CharField(max_length=64, blank=True)
    note = models.TextField(blank=True)
    approval = models.OneToOneField(Approval, models.PROTECT, related_name="+")
    xid = TransactionIdField(db_default=CurrentTransaction())

    objects: ClassVar["ObligationQuerySet"] = ObligationQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="obligation_reference_is_unique", fields=["legal_entity", "reference"]
            ),
            models.CheckConstraint(
                name="obligation_has_two_sides",
                condition=(
                    Q(by_account__isnull=False, by_client__isnull=True, by_entity__isnull=True)
                    | Q(by_account__isnull=True, by_client__isnull=False, by_entity__isnull=True)
                    | Q(by_account__isnull=True, by_client__isnull=True, by_entity__isnull=False)
                )
                & (
                    Q(to_account__isnull=False, to_client__isnull=True, to_entity__isnull=True)
                    | Q(to_account__isnull=True, to_client__isnull=False, to_entity__isnull=True)
                    | Q(to_account__isnull=True, to_client__isnull=True, to_entity__isnull=False)
                ),
            ),
            models.CheckConstraint(
                name="nobody_owes_themselves",
                condition=(Q(by_account__isnull=True) | ~Q(by_account=F("to_account")))
                & (Q(by_client__isnull=True) | ~Q(by_client=F("to_client")))
                & (Q(by_entity__isnull=True) | ~Q(by_entity=F("to_entity"))),
            ),
            models.CheckConstraint(
                name="pledge_names_its_lot",
                condition=Q(kind="pledge", bucket__isnull=False, secures_account__isnull=False)
                | Q(kind="guarantee", bucket__isnull=True, secures_account__isnull=False)
                | Q(kind="loan", bucket__isnull=True, secures_account__isnull=True),
            ),
            models.CheckConstraint(
                name="obligation_has_an_amount", condition=Q(amount__gt=0, amount__lt=10**30)
            ),
        ]

    def __str__(self) -> str:
        return self.reference


class ObligationEnd(models.Model):
    """That an obligation is over: repaid, released or withdrawn; append-only."""

    obligation = models.OneToOneField(
        Obligation, models.PROTECT, primary_key=True, related_name="end"
    )
    ended_on = models.DateField()
    reason = models.TextField()
    approval = models.OneToOneField(Approval, models.PROTECT, related_name="+")
    xid = TransactionIdField(db_default=CurrentTransaction())
