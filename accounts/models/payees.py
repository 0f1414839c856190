"""Who may be paid: instructions of clients, their versions, and how long a new one waits."""

from typing import ClassVar

from django.db import models
from django.db.models import OuterRef, Q, Subquery
from django.utils import timezone

from accounts.fields import CurrentTransaction, TransactionIdField
from accounts.models.owners import Client, LegalEntity
from accounts.models.trail import Approval
from accounts.personal import open_text


class InstructionRule(models.Model):
    """From a day on, how many hours a new payment instruction waits before it is used; append-only.

    A rule of a legal entity comes before the rule of all (`legal_entity` null).
    """

    legal_entity = models.ForeignKey(LegalEntity, models.PROTECT, null=True, related_name="+")
    effective_from = models.DateField()
    hours = models.PositiveSmallIntegerField()
    approval = models.OneToOneField(Approval, models.PROTECT, null=True, related_name="+")
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="instruction_rule_is_one_a_day",
                fields=["legal_entity", "effective_from"],
                nulls_distinct=False,
            ),
        ]


class InstructionQuerySet(models.QuerySet["PaymentInstruction"]):
    """Instructions by whether money may follow them."""

    def newest(self) -> "InstructionQuerySet":
        """The last version of each, withdrawn ones too."""
        last = (
            PaymentInstruction.objects.filter(client=OuterRef("client"), code=OuterRef("code"))
            .order_by("-version")
            .values("pk")[:1]
        )
        return self.filter(pk=Subquery(last))

    def usable(self) -> "InstructionQuerySet":
        """Those that money may follow now: the last version, not withdrawn, its wait over."""
        return self.newest().filter(is_active=True, usable_from__lte=timezone.now())


class PaymentInstruction(models.Model):
    """One version of where a client's money may go; append-only, verified by two people.

    `details_sealed` is a JSON text sealed under the client's key: name, and IBAN with BIC, or an
    account number, or the address of a wallet. `usable_from` is when its wait is over.
    """

    class Method(models.TextChoices):
        BANK = "bank", "Bank account"
        WALLET = "wallet", "Wallet address"

    client = models.ForeignKey(Client, models.PROTECT, related_name="instructions")
    code = models.CharField(max_length=40)
    version = models.PositiveIntegerField()
    asset_code = models.CharField(max_length=20)
    method = models.CharField(max_length=6, choices=Method)
    details_sealed = models.BinaryField()
    is_active = models.BooleanField()
    usable_from = models.DateTimeField()
    approval = models.OneToOneField(Approval, models.PROTECT, related_name="+")
    xid = TransactionIdField(db_default=CurrentTransaction())

    objects: ClassVar[InstructionQuerySet] = InstructionQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="instruction_version_is_unique", fields=["client", "code", "version"]
            ),
            models.CheckConstraint(
                name="instruction_says_how",
                condition=Q(method__in=["bank", "wallet"], version__gt=0) & ~Q(code=""),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.code}, version {self.version}"

    @property
    def details(self) -> str:
        """The sealed JSON text, or "erased" once the client's key is destroyed."""
        return open_text(self.client.person_key, self.details_sealed)
