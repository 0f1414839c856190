"""Notices of calls: their texts, where they go, and what became of each way they went."""

from uuid import uuid4

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from accounts.fields import ClockTime, CurrentTransaction, TransactionIdField
from accounts.models import Client, LegalEntity, PersonKey
from margin.models.calls import CallEvent, MarginCall


class NoticeKind(models.TextChoices):
    """What a notice tells of a call."""

    ISSUED = "issued", "Issued"
    RAISED = "raised", "Raised"
    LOWERED = "lowered", "Lowered"
    CANCELLED = "cancelled", "Cancelled"
    PARTIALLY_MET = "partially_met", "Partially met"
    MET = "met", "Met"
    EXTENDED = "extended", "Extended"
    EXPIRED = "expired", "Expired"
    LIQUIDATING = "liquidating", "Liquidating"


class NoticeTemplate(models.Model):
    """A version of the text of a kind of notice in a language; append-only.

    `legal_entity` is None for the standard text, which holds where a firm has none of its own.
    Subject and body name declared places in braces and nothing else.
    """

    id = models.BigAutoField(primary_key=True)
    legal_entity = models.ForeignKey(LegalEntity, models.PROTECT, null=True, related_name="+")
    kind = models.CharField(max_length=16, choices=NoticeKind)
    language = models.CharField(max_length=8)
    version = models.PositiveIntegerField()
    subject = models.CharField(max_length=200)
    body = models.TextField()
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="notice_template_version_is_unique",
                fields=["legal_entity", "kind", "language", "version"],
                nulls_distinct=False,
            ),
        ]


class Channel(models.TextChoices):
    """A way by which a notice goes."""

    EMAIL = "email", "E-mail"
    WEBHOOK = "webhook", "Webhook"
    LETTER = "letter", "Letter"
    OUTBOX = "outbox", "File in the outbox"


class NoticeContact(models.Model):
    """A version of where a client's notices go; append-only.

    Attributes:
        channels: by way, the kinds of notices that go that way.
        kinds: all of them.
        addressed: the addresses and the secret, sealed under the client's key, as JSON.
        after_event: the newest event of any call when this version was made; it holds for later
            ones.
    """

    id = models.BigAutoField(primary_key=True)
    client = models.ForeignKey(Client, models.PROTECT, related_name="notice_contacts")
    version = models.PositiveIntegerField()
    language = models.CharField(max_length=8)
    channels = models.JSONField()
    kinds = ArrayField(models.CharField(max_length=16))
    addressed = models.BinaryField()
    after_event = models.BigIntegerField()
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="notice_contact_version_is_unique", fields=["client", "version"]
            ),
        ]


class Delivery(models.Model):
    """A notice on one way: what is sent never changes, its state follows its steps.

    Attributes:
        id: what tells one delivery from another to whoever receives it, however often it comes.
        sent_to, sent_bytes: recipient and exact bytes, sealed where there is a key of a person.
        sha256: of the exact bytes, before they were sealed.
        next_at: when something is due of it; None where nothing is.
    """

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        SENDING = "sending", "Sending"
        PRINTED = "printed", "Printed"
        DELIVERED = "delivered", "Delivered"
        UNDELIVERED = "undelivered", "Undelivered"
        BOUNCED = "bounced", "Bounced"
        DROPPED = "dropped", "Dropped"

    PENDING = ("waiting", "sending", "printed")

    id = models.UUIDField(primary_key=True, default=uuid4)
    call = models.ForeignKey(MarginCall, models.PROTECT, related_name="deliveries")
    event = models.ForeignKey(CallEvent, models.PROTECT, related_name="deliveries")
    kind = models.CharField(max_length=16, choices=NoticeKind)
    channel = models.CharField(max_length=8, choices=Channel)
    template = models.ForeignKey(NoticeTemplate, models.PROTECT, related_name="+")
    contact = models.ForeignKey(NoticeContact, models.PROTECT, null=True, related_name="+")
    person_key = models.ForeignKey(PersonKey, models.PROTECT, null=True, related_name="+")
    sent_to = models.BinaryField()
    sent_bytes = models.BinaryField()
    sha256 = models.CharField(max_length=64)
    made_at = models.DateTimeField()
    state = models.CharField(max_length=12, choices=State)
    attempts = models.PositiveIntegerField(default=0)
    next_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="notice_goes_once_each_way",
                fields=["event", "channel", "contact"],
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                name="delivery_that_is_over_waits_for_nothing",
                condition=Q(next_at__isnull=True) | Q(state__in=["waiting", "sending", "printed"]),
            ),
        ]
        indexes = [
            models.Index(
                name="delivery_that_is_due", fields=["next_at"], condition=Q(next_at__isnull=False)
            ),
            models.Index(name="delivery_by_time", fields=["-made_at", "id"]),
        ]


class DeliveryTransition(models.Model):
    """A step that a delivery may take; the list comes with the product."""

    id = models.BigAutoField(primary_key=True)
    from_state = models.CharField(max_length=12, blank=True)
    to_state = models.CharField(max_length=12)
    step = models.CharField(max_length=12)
    channels = ArrayField(models.CharField(max_length=8))
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="delivery_transition_is_listed_once",
                fields=["from_state", "to_state", "step"],
            ),
        ]


class DeliveryEvent(models.Model):
    """A step of a delivery: an attempt, an answer, a receipt; append-only."""

    id = models.BigAutoField(primary_key=True)
    delivery = models.ForeignKey(Delivery, models.PROTECT, related_name="events")
    number = models.PositiveIntegerField()
    step = models.CharField(max_length=12)
    from_state = models.CharField(max_length=12, blank=True)
    to_state = models.CharField(max_length=12)
    at = models.DateTimeField()
    text = models.TextField(blank=True)
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="delivery_event_is_numbered", fields=["delivery", "number"]
            ),
        ]


class MailBounce(models.Model):
    """A message that came back to the notices' mailbox, read once; append-only.

    Its bytes are not kept: they hold the client's address. `detail` does not name it.
    """

    class Outcome(models.TextChoices):
        BOUNCED = "bounced", "The notice came back"
        NOTED = "noted", "Noted"
        LEFT = "left", "Left to a person"

    sha256 = models.CharField(max_length=64, primary_key=True)
    name = models.CharField(max_length=200)
    delivery = models.ForeignKey(Delivery, models.PROTECT, null=True, related_name="bounces")
    outcome = models.CharField(max_length=8, choices=Outcome)
    status = models.CharField(max_length=12, blank=True)
    detail = models.CharField(max_length=500, blank=True)
    read_at = models.DateTimeField(db_default=ClockTime())
    xid = TransactionIdField(db_default=CurrentTransaction())
