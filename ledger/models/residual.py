"""What the firm may take of its residual interest: statements, targets, notices, and the rules."""

from django.db import models
from django.db.models import Q

from accounts.fields import ClockTime, CurrentTransaction, ExactField, TransactionIdField
from accounts.models import Approval
from ledger.models.pools import Asset, Pool


class ConductRule(models.Model):
    """A number that a regime sets, from a day on; append-only.

    Attributes:
        code: what the number is for.
        regime: where it holds; "" where a regime has none of its own.
        source: where it is written.
    """

    class Code(models.TextChoices):
        LETTER_VOID_DAYS = "letter_void_days", "Days after a change until a letter is void"
        LETTER_WARNING_DAYS = "letter_warning_days", "Days before a letter runs out to warn"
        RESIDUAL_SHARE = "residual_share", "Share of residual interest without a principal"
        STATEMENT_DAYS = "statement_days", "Days a week for which statements are made"
        RECEIPT_ALARM_DAYS = "receipt_alarm_days", "Days until a receipt without an owner alarms"

    code = models.CharField(max_length=30, choices=Code)
    regime = models.CharField(max_length=20, blank=True)
    effective_from = models.DateField()
    value = ExactField()
    source = models.CharField(max_length=200)
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="conduct_rule_is_set_once_a_day", fields=["code", "regime", "effective_from"]
            ),
            models.CheckConstraint(name="conduct_rule_is_a_number", condition=Q(value__gte=0)),
        ]


class SegregationStatement(models.Model):
    """What a client pool held and owed at the end of a business day, in one asset; append-only.

    Attributes:
        residual_seq: postings to the residual interest when it was stated; what comes after
            belongs to the series that the statement limits.
    """

    pool = models.ForeignKey(Pool, models.PROTECT, related_name="+")
    asset = models.ForeignKey(Asset, models.PROTECT, related_name="+")
    business_day = models.DateField()
    requirement = ExactField()
    resource = ExactField()
    unallocated = ExactField()
    residual_interest = ExactField()
    shortfall = ExactField()
    residual_seq = models.BigIntegerField()
    stated_at = models.DateTimeField(db_default=ClockTime())
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="segregation_is_stated_once_a_day", fields=["pool", "asset", "business_day"]
            ),
        ]


class ResidualTarget(models.Model):
    """The residual interest that the firm has set itself to keep in a pool; append-only."""

    pool = models.ForeignKey(Pool, models.PROTECT, related_name="+")
    asset = models.ForeignKey(Asset, models.PROTECT, related_name="+")
    effective_from = models.DateField()
    amount = ExactField()
    analysis = models.TextField()
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="residual_target_is_set_once_a_day", fields=["pool", "asset", "effective_from"]
            ),
            models.CheckConstraint(
                name="residual_target_is_not_negative", condition=Q(amount__gte=0)
            ),
        ]


class ResidualNotice(models.Model):
    """The notice that goes with a withdrawal beyond the share; signed by approving it.

    Its five items: reasons, recipients, the amount to them, the residual interest as estimated,
    and the representation that the firm complies after it.
    """

    approval = models.OneToOneField(Approval, models.PROTECT, related_name="residual_notice")
    pool = models.ForeignKey(Pool, models.PROTECT, related_name="+")
    asset = models.ForeignKey(Asset, models.PROTECT, related_name="+")
    reasons = models.TextField()
    recipients = models.TextField()
    amount = ExactField()
    residual_interest = ExactField()
    representation = models.TextField()
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="notice_has_its_five_items",
                condition=Q(amount__gt=0)
                & Q(reasons__regex=r"\S.{8,}\S")
                & Q(recipients__regex=r"\S")
                & Q(representation__regex=r"\S.{8,}\S"),
            ),
        ]
