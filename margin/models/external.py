"""What others say a scope must have: numbers by component, or a promise of them; append-only."""

from django.db import models
from django.db.models import F, Q

from accounts.fields import ClockTime, CurrentTransaction, ExactField, TransactionIdField
from accounts.models import Scope
from margin.models.runs import MarginRun


class ExternalMargin(models.Model):
    """A margin statement of a venue, clearing house or client about a scope and a day.

    A commitment holds the sha256 of a file alone; a statement that opens it has the same.
    """

    class Kind(models.TextChoices):
        STATEMENT = "statement", "Statement"
        COMMITMENT = "commitment", "Commitment"

    id = models.BigAutoField(primary_key=True)
    source = models.CharField(max_length=60)
    scope = models.ForeignKey(Scope, models.PROTECT, related_name="+")
    business_day = models.DateField()
    kind = models.CharField(max_length=12, choices=Kind)
    currency = models.CharField(max_length=20, blank=True)
    sha256 = models.CharField(max_length=64)
    opens = models.OneToOneField("self", models.PROTECT, null=True, related_name="opened_by")
    received_at = models.DateTimeField(db_default=ClockTime())
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="external_margin_is_received_once",
                fields=["source", "scope", "business_day", "kind", "sha256"],
            ),
            models.CheckConstraint(
                name="external_margin_kind_is_known",
                condition=Q(kind="statement") & ~Q(currency="")
                | Q(kind="commitment", currency="", opens__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.source} of {self.business_day}"


class ExternalComponent(models.Model):
    """One component of a margin number as somebody else computed it."""

    id = models.BigAutoField(primary_key=True)
    statement = models.ForeignKey(ExternalMargin, models.PROTECT, related_name="components")
    total = models.CharField(max_length=20)
    component = models.CharField(max_length=120)
    amount = ExactField()
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="external_component_is_said_once", fields=["statement", "total", "component"]
            ),
            models.CheckConstraint(
                name="external_component_is_of_a_requirement",
                condition=Q(total__in=["initial_margin", "maintenance_margin"]),
            ),
        ]


class ExternalBreak(models.Model):
    """A component in which somebody else's number differs from that of a run of ours.

    `difference` is theirs less ours; where one side does not have the component it counts as 0.
    """

    id = models.BigAutoField(primary_key=True)
    statement = models.ForeignKey(ExternalMargin, models.PROTECT, related_name="breaks")
    run = models.ForeignKey(MarginRun, models.PROTECT, related_name="+")
    total = models.CharField(max_length=20)
    component = models.CharField(max_length=120)
    ours = ExactField(null=True)
    theirs = ExactField(null=True)
    difference = ExactField()
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="external_break_is_found_once",
                fields=["statement", "run", "total", "component"],
            ),
            models.CheckConstraint(
                name="external_break_is_a_difference",
                condition=~Q(difference=0)
                & (
                    Q(ours__isnull=True, theirs__isnull=False, difference=F("theirs"))
                    | Q(ours__isnull=False, theirs__isnull=True, ours=-F("difference"))
                    | Q(
                        ours__isnull=False,
                        theirs__isnull=False,
                        difference=F("theirs") - F("ours"),
                    )
                ),
            ),
        ]
