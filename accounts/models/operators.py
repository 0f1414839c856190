"""People who work at the desk, what they may do, and their sessions."""

from typing import ClassVar
from uuid import uuid4

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.fields import ClockTime, TransactionIdField
from accounts.models.owners import LegalEntity


class Role(models.TextChoices):
    """A set of rights. Administrators give roles and hold no right over money."""

    OPERATIONS = "operations", "Operations"
    RISK = "risk", "Risk"
    TREASURY = "treasury", "Treasury"
    COMPLIANCE = "compliance", "Compliance"
    PRINCIPAL = "principal", "Senior principal"
    AUDITOR = "auditor", "Auditor"
    ADMINISTRATOR = "administrator", "Administrator"


class OperatorManager(BaseUserManager["Operator"]):
    """Finds operators by user name, for the sign-in."""


class Operator(AbstractBaseUser):
    """A person who signs in. Rights come from role grants, never from a flag here."""

    username = models.CharField(max_length=60, unique=True)
    full_name = models.CharField(max_length=120)
    is_active = models.BooleanField(default=True)
    theme = models.CharField(
        max_length=5, blank=True, choices=[("", "System"), ("light", "Light"), ("dark", "Dark")]
    )
    # The zone in which this person reads times; "" is the desk's.
    time_zone = models.CharField(max_length=40, blank=True, db_default="")

    USERNAME_FIELD = "username"
    REQUIRED_FIELDS: ClassVar[list[str]] = ["full_name"]
    objects: ClassVar[OperatorManager] = OperatorManager()

    def __str__(self) -> str:
        return self.full_name


class RoleGrantQuerySet(models.QuerySet["RoleGrant"]):
    """Roles that were given."""

    def held(self) -> "RoleGrantQuerySet":
        """Those held now: not taken away, and not over."""
        return self.filter(
            Q(expires_at__isnull=True) | Q(expires_at__gt=timezone.now()),
            revoked_xid__isnull=True,
        )


class RoleGrant(models.Model):
    """One role of one operator at one legal entity; given and taken with four eyes.

    Attributes:
        expires_at: end of a role that somebody took by themselves in an emergency; None for
            every other.
        reason: why it was taken; "" for roles that two people gave.
    """

    operator = models.ForeignKey(Operator, models.PROTECT, related_name="grants")
    role = models.CharField(max_length=16, choices=Role)
    legal_entity = models.ForeignKey(LegalEntity, models.PROTECT, related_name="+")
    desk = models.CharField(max_length=40, blank=True)
    granted_xid = TransactionIdField()
    revoked_xid = TransactionIdField(null=True)
    expires_at = models.DateTimeField(null=True)
    reason = models.CharField(max_length=2000, blank=True, db_default="")

    objects = RoleGrantQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="role_is_held_once",
                fields=["operator", "role", "legal_entity", "desk"],
                condition=Q(revoked_xid__isnull=True),
            ),
            models.CheckConstraint(name="role_is_known", condition=Q(role__in=Role.values)),
            models.CheckConstraint(
                name="emergency_has_a_reason",
                condition=Q(expires_at__isnull=True, reason="")
                | Q(expires_at__isnull=False) & ~Q(reason=""),
            ),
        ]


class OperatorSession(models.Model):
    """A sign-in that is still good, or was. The key is kept only as its sha256.

    Attributes:
        factors: what the person proved, separated by commas: "password", "password,totp".
        proved_at: when they proved it last.
        address, agent: where from and with which program, as the program says of itself.
        issuer, subject: the identity it was opened by, or was last proved by; "" for none.
        sid: what the identity provider calls its own session behind that; "" where it does not say.
    """

    id = models.UUIDField(primary_key=True, default=uuid4)
    operator = models.ForeignKey(Operator, models.PROTECT, related_name="sessions")
    key_sha256 = models.BinaryField(unique=True)
    opened_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    factors = models.CharField(max_length=40, db_default="password")
    proved_at = models.DateTimeField(db_default=ClockTime())
    address = models.CharField(max_length=60, blank=True, db_default="")
    agent = models.CharField(max_length=200, blank=True, db_default="")
    issuer = models.CharField(max_length=200, blank=True, db_default="")
    subject = models.CharField(max_length=255, blank=True, db_default="")
    sid = models.CharField(max_length=255, blank=True, db_default="")


class SignInFailure(models.Model):
    """A wrong user name or password; too many of them lock the name for a while."""

    username = models.CharField(max_length=60, db_index=True)
    failed_at = models.DateTimeField()
    address = models.CharField(max_length=60, blank=True)
