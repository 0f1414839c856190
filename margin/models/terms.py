"""Margin parameters of assets: versioned, effective-dated, append-only."""

from django.db import models
from django.db.models import Q

from accounts.fields import CurrentTransaction, ExactField, TransactionIdField
from ledger.models import Asset


class Haircut(models.Model):
    """The share of a money asset's value that does not count as collateral; 0.20 is 20 %."""

    asset = models.ForeignKey(Asset, models.PROTECT, related_name="haircuts")
    version = models.PositiveIntegerField()
    effective_from = models.DateField()
    haircut = ExactField()
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(name="haircut_version_is_unique", fields=["asset", "version"]),
            models.CheckConstraint(
                name="haircut_is_a_share", condition=Q(haircut__gte=0, haircut__lte=1)
            ),
        ]


class HaircutSchedule(models.Model):
    """Tiers of a version of a haircut, with what scales them; the version without one is flat.

    `values` is what `margin.engine.collateral_schedule` reads; its first tier has the haircut of
    the version.
    """

    haircut = models.OneToOneField(
        Haircut, models.PROTECT, primary_key=True, related_name="schedule"
    )
    values = models.JSONField()
    xid = TransactionIdField(db_default=CurrentTransaction())


class InstrumentTerms(models.Model):
    """The margin rates of a security, or the brackets of a perpetual, in force from a date."""

    asset = models.ForeignKey(Asset, models.PROTECT, related_name="terms")
    version = models.PositiveIntegerField()
    effective_from = models.DateField()
    initial_rate = ExactField(null=True)
    maintenance_rate = ExactField(null=True)
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(name="terms_version_is_unique", fields=["asset", "version"]),
        ]


class Bracket(models.Model):
    """One step of a perpetual's schedule: the rates on notional from `floor` upwards."""

    terms = models.ForeignKey(InstrumentTerms, models.PROTECT, related_name="brackets")
    floor = ExactField()
    initial_rate = ExactField()
    maintenance_rate = ExactField()
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(name="bracket_floor_is_unique", fields=["terms", "floor"]),
        ]
