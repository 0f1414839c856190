"""How much a role may ask for and agree to, by asset, and what was asked and agreed to so far."""

from django.db import models
from django.db.models import Q

from accounts.fields import CurrentTransaction, ExactField, TransactionIdField
from accounts.models.operators import Operator, Role
from accounts.models.owners import LegalEntity
from accounts.models.trail import Approval


class ApprovalLimit(models.Model):
    """What a role may ask for and agree to from a day on, until the next such row; append-only.

    Attributes:
        legal_entity: where it holds; None for everywhere that has no row of its own.
        asset: code of the asset in whose units the amounts are; "" for every asset that has no
            row of its own.
        request_each, request_day, approve_each, approve_day: the greatest amount in one request
            and in one day (UTC) of everybody who holds the role together; None is no limit.
    """

    legal_entity = models.ForeignKey(LegalEntity, models.PROTECT, null=True, related_name="+")
    role = models.CharField(max_length=16, choices=Role)
    asset = models.CharField(max_length=40, blank=True)
    effective_from = models.DateField()
    request_each = ExactField(null=True)
    request_day = ExactField(null=True)
    approve_each = ExactField(null=True)
    approve_day = ExactField(null=True)
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="limit_is_set_once_a_day",
                fields=["legal_entity", "role", "asset", "effective_from"],
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                name="limit_is_not_negative",
                condition=~Q(request_each__lt=0)
                & ~Q(request_day__lt=0)
                & ~Q(approve_each__lt=0)
                & ~Q(approve_day__lt=0),
            ),
        ]


class LimitUse(models.Model):
    """An amount that a role asked for or agreed to, as it counts towards the day; append-only."""

    class Side(models.TextChoices):
        REQUEST = "request", "Asked for"
        APPROVE = "approve", "Agreed to"

    id = models.BigAutoField(primary_key=True)
    approval = models.ForeignKey(Approval, models.PROTECT, related_name="+")
    side = models.CharField(max_length=8, choices=Side)
    operator = models.ForeignKey(Operator, models.PROTECT, related_name="+", db_index=False)
    legal_entity = models.ForeignKey(LegalEntity, models.PROTECT, related_name="+", db_index=False)
    role = models.CharField(max_length=16, choices=Role)
    asset = models.CharField(max_length=40)
    amount = ExactField()
    on_day = models.DateField()
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="limit_is_used_once_a_side", fields=["approval", "side", "asset"]
            ),
        ]
        indexes = [
            models.Index(
                name="limit_use_by_day", fields=["legal_entity", "role", "side", "asset", "on_day"]
            ),
        ]
