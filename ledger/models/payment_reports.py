"""What banks say of payment files before any line: their reports, and each status in them."""

from django.db import models
from django.db.models import Q

from accounts.fields import CurrentTransaction, ExactField, TransactionIdField
from accounts.models import LegalEntity
from ledger.models.payments import Payment, PaymentFile
from ledger.models.statements import StatementFile


class PaymentReport(models.Model):
    """One status report of a bank, read once; its bytes are in `file`; append-only.

    Attributes:
        rejection: why nothing in it could be used; "" where it could.
    """

    legal_entity = models.ForeignKey(LegalEntity, models.PROTECT, related_name="+")
    file = models.ForeignKey(StatementFile, models.PROTECT, related_name="+")
    version = models.CharField(max_length=20, blank=True)
    message_id = models.CharField(max_length=35, blank=True)
    original_message_id = models.CharField(max_length=35, blank=True)
    payment_file = models.ForeignKey(PaymentFile, models.PROTECT, null=True, related_name="reports")
    rejection = models.CharField(max_length=300, blank=True)
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="payment_report_is_read_once", fields=["legal_entity", "file"]
            ),
        ]

    def __str__(self) -> str:
        return self.message_id or self.file_id[:16]


class PaymentStatus(models.Model):
    """What a report says of one payment, and what followed; append-only.

    Attributes:
        end_to_end_id: as the report says it; "" where it says it of the whole file.
        status: ISO's code, such as ACSC or RJCT.
        reason_code: why, as the bank says it.
        amount: where the bank repeats it.
    """

    class Outcome(models.TextChoices):
        NOTED = "noted", "Noted"
        RETURNED = "returned", "Claim restored"
        LEFT = "left", "Left to a person"

    report = models.ForeignKey(PaymentReport, models.PROTECT, related_name="statuses")
    ordinal = models.PositiveIntegerField()
    payment = models.ForeignKey(Payment, models.PROTECT, null=True, related_name="statuses")
    end_to_end_id = models.CharField(max_length=35, blank=True)
    status = models.CharField(max_length=35)
    reason_code = models.CharField(max_length=35, blank=True)
    amount = ExactField(null=True)
    outcome = models.CharField(max_length=10, choices=Outcome)
    detail = models.CharField(max_length=300, blank=True)
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="payment_status_is_counted", fields=["report", "ordinal"]
            ),
            models.UniqueConstraint(
                name="payment_is_rejected_once", fields=["payment"],
                condition=Q(outcome="returned"),
            ),
        ]  # fmt: skip
