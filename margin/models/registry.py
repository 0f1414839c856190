"""The register of models: parameter sets, who may be margined by what, contracts; append-only."""

from django.db import models
from django.db.models import Q

from accounts.fields import CurrentTransaction, ExactField, TransactionIdField
from ledger.models import Asset


class ParameterSet(models.Model):
    """Values of all parameters of a model, under the code that agreements name, from a day on."""

    model = models.CharField(max_length=40)
    code = models.CharField(max_length=40)
    version = models.PositiveIntegerField()
    effective_from = models.DateField()
    values = models.JSONField()
    sha256 = models.CharField(max_length=64)
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="parameter_set_version_is_unique", fields=["model", "code", "version"]
            ),
            models.UniqueConstraint(
                name="parameter_set_has_one_version_a_day",
                fields=["model", "code", "effective_from"],
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model} {self.code} v{self.version}"


class ModelDecision(models.Model):
    """What two people decided a model and a code of parameters may be used for, from a day on."""

    class Standing(models.TextChoices):
        SHADOW = "shadow", "Shadow"
        PRODUCTION = "production", "Production"
        RETIRED = "retired", "Retired"

    model = models.CharField(max_length=40)
    model_version = models.CharField(max_length=20)
    code = models.CharField(max_length=40)
    standing = models.CharField(max_length=12, choices=Standing)
    effective_from = models.DateField()
    model_sha256 = models.CharField(max_length=64)
    owner = models.CharField(max_length=120)
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="model_is_decided_once_a_day", fields=["model", "code", "effective_from"]
            ),
        ]


class Contract(models.Model):
    """What a derivative is written on, and how; a derivative without one moves by itself."""

    class Form(models.TextChoices):
        PERPETUAL = "perpetual", "Perpetual"
        FUTURE = "future", "Future"
        OPTION = "option", "Option"

    class Style(models.TextChoices):
        EUROPEAN = "european", "European"
        AMERICAN = "american", "American"

    class Settlement(models.TextChoices):
        CASH = "cash", "Cash"
        PHYSICAL = "physical", "Physical"

    asset = models.OneToOneField(Asset, models.PROTECT, primary_key=True, related_name="contract")
    form = models.CharField(max_length=10, choices=Form)
    underlying = models.ForeignKey(Asset, models.PROTECT, related_name="+")
    multiplier = ExactField()
    is_inverse = models.BooleanField()
    expires_at = models.DateTimeField(null=True)
    strike = ExactField(null=True)
    is_call = models.BooleanField(null=True)
    style = models.CharField(max_length=10, choices=Style, blank=True, db_default="")
    settlement = models.CharField(max_length=10, choices=Settlement, blank=True, db_default="")
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="contract_multiplier_is_positive", condition=Q(multiplier__gt=0)
            ),
            models.CheckConstraint(
                name="contract_expires_unless_perpetual",
                condition=Q(form="perpetual", expires_at__isnull=True)
                | (~Q(form="perpetual") & Q(expires_at__isnull=False)),
            ),
            models.CheckConstraint(
                name="only_options_have_a_strike",
                condition=Q(form="option", strike__gt=0, is_call__isnull=False, is_inverse=False)
                | (~Q(form="option") & Q(strike__isnull=True, is_call__isnull=True)),
            ),
            models.CheckConstraint(
                name="only_options_have_a_style",
                condition=(Q(form="option") & ~Q(style="") & ~Q(settlement=""))
                | (~Q(form="option") & Q(style="", settlement="")),
            ),
        ]
