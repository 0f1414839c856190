"""Money that leaves on a client's word: payments, the steps of their life, and payment files."""

from typing import ClassVar
from uuid import uuid4

from django.db import models
from django.db.models import Q

from accounts.fields import ClockTime, CurrentTransaction, ExactField, TransactionIdField
from accounts.models import Approval, Bucket, LegalEntity, PaymentInstruction
from ledger.models.book import Entry
from ledger.models.pools import Asset, Location
from ledger.models.statements import StatementLine


class PaymentStep(models.Model):
    """A step that a payment may take, and the entry that goes with it ("" for none); append-only.

    `moves` ends the key of the entry: `payment:<id>:<moves>`.
    """

    from_state = models.CharField(max_length=10, blank=True)
    to_state = models.CharField(max_length=10)
    moves = models.CharField(max_length=10, blank=True)
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="payment_step_is_unique", fields=["from_state", "to_state"]
            ),
        ]


class PaymentQuerySet(models.QuerySet["Payment"]):
    """Payments by where they are in their life."""

    def held(self) -> "PaymentQuerySet":
        """Those whose money lies in a withdrawal hold: agreed to, and not yet paid."""
        return self.filter(state__in=Payment.HELD)

    def named(self) -> "PaymentQuerySet":
        """With what a list shows of them."""
        return self.select_related(
            "bucket__account__client__person_key", "asset", "location", "instruction"
        )


class Payment(models.Model):
    """One withdrawal, from the request to the bank's line; its content never changes.

    Attributes:
        key: of whoever asks; the same key is one payment.
        hold: the bucket its money lies in from approval until the bank has paid.
        end_to_end_id: what the bank gives back on its line; 16 characters, so that MT940 holds it.
        terms: what the gate said, term by term: name, amount, why.
        note: why it took its latest step.
    """

    class State(models.TextChoices):
        REQUESTED = "requested", "Requested"
        REFUSED = "refused", "Refused"
        RELEASED = "released", "Released"
        APPROVED = "approved", "Approved"
        IN_FILE = "in_file", "In a file"
        SENT = "sent", "Sent"
        CONFIRMED = "confirmed", "Confirmed"
        RETURNED = "returned", "Returned"
        CANCELLED = "cancelled", "Cancelled"

    HELD = ("approved", "in_file", "sent")

    id = models.UUIDField(primary_key=True, default=uuid4)
    key = models.CharField(max_length=120)
    legal_entity = models.ForeignKey(LegalEntity, models.PROTECT, related_name="+")
    bucket = models.ForeignKey(Bucket, models.PROTECT, related_name="+")
    hold = models.ForeignKey(Bucket, models.PROTECT, null=True, related_name="+")
    asset = models.ForeignKey(Asset, models.PROTECT, related_name="+")
    amount = ExactField()
    location = models.ForeignKey(Location, models.PROTECT, related_name="+")
    instruction = models.ForeignKey(PaymentInstruction, models.PROTECT, related_name="+")
    pay_on = models.DateField()
    end_to_end_id = models.CharField(max_length=16)
    reason = models.TextField()
    requested_at = models.DateTimeField(db_default=ClockTime())
    state = models.CharField(max_length=10, choices=State, default=State.REQUESTED)
    binding_term = models.CharField(max_length=40, blank=True)
    free_amount = ExactField(null=True)
    terms = models.JSONField(default=list)
    price_snapshot = models.CharField(max_length=64, blank=True)
    note = models.TextField(blank=True)
    approval = models.OneToOneField(Approval, models.PROTECT, null=True, related_name="+")
    hold_entry = models.OneToOneField(Entry, models.PROTECT, null=True, related_name="+")
    paid_entry = models.OneToOneField(Entry, models.PROTECT, null=True, related_name="+")
    return_entry = models.OneToOneField(Entry, models.PROTECT, null=True, related_name="+")
    line = models.OneToOneField(
        StatementLine, models.PROTECT, null=True, related_name="confirms_payment"
    )
    return_line = models.OneToOneField(
        StatementLine, models.PROTECT, null=True, related_name="returns_payment"
    )
    return_code = models.CharField(max_length=40, blank=True)

    objects: ClassVar[PaymentQuerySet] = PaymentQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint(name="payment_key_is_unique", fields=["legal_entity", "key"]),
            models.UniqueConstraint(name="payment_has_its_own_reference", fields=["end_to_end_id"]),
            models.CheckConstraint(name="payment_is_an_amount", condition=Q(amount__gt=0)),
        ]
        indexes = [
            models.Index(name="payment_by_state", fields=["state", "pay_on"]),
            models.Index(
                name="payment_that_is_held",
                fields=["hold", "asset"],
                condition=Q(state__in=["approved", "in_file", "sent"]),
            ),
        ]

    def __str__(self) -> str:
        return self.end_to_end_id


class PaymentEvent(models.Model):
    """A step that a payment took: who, when and why; written by the database, append-only."""

    id = models.BigAutoField(primary_key=True)
    payment = models.ForeignKey(Payment, models.PROTECT, related_name="events")
    from_state = models.CharField(max_length=10, blank=True)
    to_state = models.CharField(max_length=10)
    text = models.TextField(blank=True)
    entry = models.ForeignKey(Entry, models.PROTECT, null=True, related_name="+")
    recorded_at = models.DateTimeField(db_default=ClockTime())
    xid = TransactionIdField(db_default=CurrentTransaction())


class PaymentFile(models.Model):
    """A file for one debtor account and day, byte for byte; sent once or abandoned by two.

    `placed_at` says when its bytes were seen in the folder on disk.
    """

    class Format(models.TextChoices):
        PAIN_001 = "pain.001", "pain.001.001.09 (XML)"
        CSV = "csv", "CSV, for entry by hand"

    class State(models.TextChoices):
        WRITTEN = "written", "Written"
        SENT = "sent", "Sent"
        ABANDONED = "abandoned", "Abandoned"

    message_id = models.CharField(max_length=35)
    location = models.ForeignKey(Location, models.PROTECT, related_name="payment_files")
    pay_on = models.DateField()
    format = models.CharField(max_length=10, choices=Format)
    content = models.BinaryField()
    sha256 = models.CharField(max_length=64)
    payment_count = models.PositiveIntegerField()
    control_sum = ExactField()
    written_at = models.DateTimeField(db_default=ClockTime())
    state = models.CharField(max_length=10, choices=State, default=State.WRITTEN)
    note = models.TextField(blank=True)
    placed_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(name="payment_message_has_its_own_id", fields=["message_id"]),
            models.CheckConstraint(
                name="payment_file_holds_payments",
                condition=Q(payment_count__gt=0, control_sum__gt=0),
            ),
        ]

    def __str__(self) -> str:
        return self.message_id

    @property
    def name(self) -> str:
        """Of the file on disk, and of the download."""
        return f"{self.message_id}.{'xml' if self.format == self.Format.PAIN_001 else 'csv'}"


class PaymentInFile(models.Model):
    """Which file carries a payment. `is_live` ends when the file is abandoned, and only then."""

    file = models.ForeignKey(PaymentFile, models.PROTECT, related_name="carried")
    payment = models.ForeignKey(Payment, models.PROTECT, related_name="files")
    ordinal = models.PositiveIntegerField()
    is_live = models.BooleanField(default=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="payment_is_in_one_file", fields=["payment"], condition=Q(is_live=True)
            ),
            models.UniqueConstraint(
                name="payment_file_counts_its_payments", fields=["file", "ordinal"]
            ),
        ]
