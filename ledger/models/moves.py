"""Which moves between buckets are permitted, by the roles of the two."""

from django.db import models

from accounts.fields import CurrentTransaction, TransactionIdField
from accounts.models import Approval, Bucket

OUTSIDE = "OUTSIDE"


class MoveGuard(models.TextChoices):
    """What a permitted move needs besides the floors of the book."""

    FREE = "free", "Free"
    MARGIN = "margin_test", "Margin test"
    TWO = "two_people", "Two people"
    NEVER = "never", "Never"


class MoveRule(models.Model):
    """From a day on, what a move from one role to another needs; a pair without a rule is never.

    `OUTSIDE` as the second role is value that leaves the account: withdrawn, or given to another
    client. A margined bucket is never lowered without margin's release, whatever the rule says.
    """

    ROLES = [*Bucket.Role.choices, (OUTSIDE, "Out of the account")]

    from_role = models.CharField(max_length=12, choices=Bucket.Role)
    to_role = models.CharField(max_length=12, choices=ROLES)
    guard = models.CharField(max_length=12, choices=MoveGuard)
    effective_from = models.DateField()
    approval = models.OneToOneField(Approval, models.PROTECT, null=True, related_name="+")
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="move_has_one_rule_a_day", fields=["from_role", "to_role", "effective_from"]
            ),
            models.CheckConstraint(
                name="move_guard_is_known",
                condition=models.Q(guard__in=["free", "margin_test", "two_people", "never"]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.from_role} to {self.to_role}"
