"""Blocks of what leaves: after a negative account or an outage, for a group, a client or a firm."""

from django.db import models
from django.db.models import Q

from accounts.fields import ClockTime, CurrentTransaction, TransactionIdField
from accounts.models import AccountGroup, Approval, Client, LegalEntity


class BlockRule(models.Model):
    """From a day on, how long a block of one cause lasts at least, and whether runs set it.

    A rule of a legal entity comes before the rule of all (`legal_entity` null); append-only.
    """

    class Cause(models.TextChoices):
        NEGATIVE = "negative_account", "Negative account"
        OUTAGE = "outage", "Outage"

    legal_entity = models.ForeignKey(LegalEntity, models.PROTECT, null=True, related_name="+")
    cause = models.CharField(max_length=20, choices=Cause)
    effective_from = models.DateField()
    lasts_for = models.DurationField()
    is_automatic = models.BooleanField()
    approval = models.OneToOneField(Approval, models.PROTECT, null=True, related_name="+")
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="block_has_one_rule_a_day",
                fields=["legal_entity", "cause", "effective_from"],
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                name="block_cause_is_known", condition=Q(cause__in=["negative_account", "outage"])
            ),
        ]


class OutflowBlock(models.Model):
    """Nothing leaves these accounts until the block is lifted; append-only.

    It covers the accounts of a group, of a client, or (neither named) of the whole legal entity.
    """

    legal_entity = models.ForeignKey(LegalEntity, models.PROTECT, related_name="+")
    group = models.ForeignKey(AccountGroup, models.PROTECT, null=True, related_name="+")
    client = models.ForeignKey(Client, models.PROTECT, null=True, related_name="+")
    cause = models.CharField(max_length=20, choices=BlockRule.Cause)
    detail = models.TextField()
    begins_at = models.DateTimeField(db_default=ClockTime())
    lasts_until = models.DateTimeField()
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="block_covers_one_thing",
                condition=Q(group__isnull=True) | Q(client__isnull=True),
            ),
        ]


class BlockSweep(models.Model):
    """What a look at every account under a block found, by a margin run; append-only."""

    block = models.ForeignKey(OutflowBlock, models.PROTECT, related_name="sweeps")
    run_number = models.CharField(max_length=40)
    scopes_swept = models.PositiveIntegerField()
    scopes_negative = models.PositiveIntegerField()
    swept_at = models.DateTimeField(db_default=ClockTime())
    xid = TransactionIdField(db_default=CurrentTransaction())


class BlockLift(models.Model):
    """That a block is over: its time has run and the sweep after it was clean; append-only."""

    block = models.OneToOneField(
        OutflowBlock, models.PROTECT, primary_key=True, related_name="lift"
    )
    sweep = models.ForeignKey(BlockSweep, models.PROTECT, related_name="+")
    lifted_at = models.DateTimeField(db_default=ClockTime())
    xid = TransactionIdField(db_default=CurrentTransaction())
