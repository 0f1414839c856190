"""How people sign in: second factors, recovery codes, and what each firm asks of its people."""

from uuid import uuid4

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from accounts.fields import CurrentTransaction, TransactionIdField
from accounts.models.operators import Operator, Role, RoleGrant
from accounts.models.owners import LegalEntity


class SecondFactor(models.Model):
    """Something a person has besides the password. Written by functions of the database alone.

    Attributes:
        secret: of a TOTP generator, sealed under a key outside the database; none for a passkey,
            and none any more once the factor is removed.
        credential_id, public_key: of a passkey.
        step: TOTP: the newest time step that was used; passkey: its count of signatures.
        confirmed_at: since when it is asked for; before that it was only begun.
    """

    class Kind(models.TextChoices):
        TOTP = "totp", "Code generator"
        PASSKEY = "passkey", "Passkey"

    id = models.UUIDField(primary_key=True, default=uuid4)
    operator = models.ForeignKey(Operator, models.PROTECT, related_name="factors")
    kind = models.CharField(max_length=8, choices=Kind)
    label = models.CharField(max_length=60)
    secret = models.BinaryField(null=True)
    credential_id = models.BinaryField(null=True, unique=True)
    public_key = models.BinaryField(null=True)
    step = models.BigIntegerField(default=0)
    added_at = models.DateTimeField()
    confirmed_at = models.DateTimeField(null=True)
    removed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="factor_is_of_a_kind",
                condition=Q(kind="totp", credential_id__isnull=True, public_key__isnull=True)
                | Q(kind="passkey", secret__isnull=True, credential_id__isnull=False),
            ),
            models.UniqueConstraint(
                name="factor_label_is_unique",
                fields=["operator", "label"],
                condition=Q(removed_at__isnull=True, confirmed_at__isnull=False),
            ),
        ]


class RecoveryCode(models.Model):
    """A code on paper that stands in for a second factor, once. Only its keyed hash is kept."""

    id = models.BigAutoField(primary_key=True)
    operator = models.ForeignKey(Operator, models.PROTECT, related_name="recovery_codes")
    digest = models.BinaryField(unique=True)
    made_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)
    void_at = models.DateTimeField(null=True)


class SignInRule(models.Model):
    """What a legal entity asks of its people from now on; the newest row holds. Append-only.

    Attributes:
        second_factor_for: roles whose holders cannot work without a second factor.
        proof_minutes: how long a proof (password or second factor) is good for acts that move
            money or change a parameter.
    """

    id = models.BigAutoField(primary_key=True)
    legal_entity = models.ForeignKey(LegalEntity, models.PROTECT, related_name="+")
    second_factor_for = ArrayField(models.CharField(max_length=16, choices=Role))
    proof_minutes = models.PositiveSmallIntegerField()
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="proof_lasts_one_to_sixty_minutes",
                condition=Q(proof_minutes__gte=1, proof_minutes__lte=60),
            )
        ]


class DutyConflict(models.Model):
    """Two rights that nobody holds together at a legal entity; the newest row of a pair holds.

    Attributes:
        legal_entity: where; None for everywhere.
        first, second: `role:<role>`, `ask:<approval action>` or `decide:<approval action>`.
        is_forbidden: false where a pair is permitted again.
    """

    id = models.BigAutoField(primary_key=True)
    legal_entity = models.ForeignKey(LegalEntity, models.PROTECT, null=True, related_name="+")
    first = models.CharField(max_length=80)
    second = models.CharField(max_length=80)
    is_forbidden = models.BooleanField()
    reason = models.CharField(max_length=200)
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="conflict_names_two_rights_in_order", condition=Q(first__lt=models.F("second"))
            )
        ]


class EmergencyRule(models.Model):
    """Which role may take which other by itself in an emergency, and for how long. Append-only."""

    id = models.BigAutoField(primary_key=True)
    holder = models.CharField(max_length=16, choices=Role)
    role = models.CharField(max_length=16, choices=Role)
    minutes_max = models.PositiveSmallIntegerField()
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(name="emergency_rule_is_unique", fields=["holder", "role"])
        ]


class EmergencyReview(models.Model):
    """Somebody else has looked at what was done in an emergency; append-only."""

    id = models.BigAutoField(primary_key=True)
    grant = models.OneToOneField(RoleGrant, models.PROTECT, related_name="review")
    operator = models.ForeignKey(Operator, models.PROTECT, related_name="+")
    words = models.CharField(max_length=2000)
    xid = TransactionIdField(db_default=CurrentTransaction())


class EmergencyTask(models.Model):
    """That somebody must look at an emergency: whose task it is, until when, and when it ended.

    The database opens it with the emergency and closes it with the review.

    Attributes:
        owner: compliance or a senior principal, never the person who took the role; None where
            the firm has nobody else.
    """

    id = models.BigAutoField(primary_key=True)
    grant = models.OneToOneField(RoleGrant, models.PROTECT, related_name="task")
    owner = models.ForeignKey(Operator, models.PROTECT, null=True, related_name="+")
    opened_at = models.DateTimeField()
    due_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)


class SignInBinding(models.Model):
    """Whom somebody known to an identity provider is here; the newest row of a pair holds.

    Attributes:
        issuer, subject: as the provider's tokens name itself and the person.
        is_bound: false where the pair opens nothing any more.
    """

    id = models.BigAutoField(primary_key=True)
    operator = models.ForeignKey(Operator, models.PROTECT, related_name="bindings")
    issuer = models.CharField(max_length=200)
    subject = models.CharField(max_length=255)
    is_bound = models.BooleanField()
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="identity_has_issuer_and_subject", condition=~Q(issuer="") & ~Q(subject="")
            )
        ]


class SpentTicket(models.Model):
    """A challenge or a state that was answered: its sha256, so that no second answer counts."""

    digest = models.BinaryField(primary_key=True)
    spent_at = models.DateTimeField()


class ProviderLogout(models.Model):
    """Somebody has signed out at the identity provider, by its own word; each token counts once.

    Attributes:
        token: sha256 of issuer and name of the token.
        subject, sid: who left, or which session of theirs; "" where it does not say.
        said_at: when the provider said so; nothing it said of them before opens a session.
        kept_until: nobody would believe the token after that, nor what was said before it.
    """

    token = models.BinaryField(primary_key=True)
    issuer = models.CharField(max_length=200)
    subject = models.CharField(max_length=255, blank=True)
    sid = models.CharField(max_length=255, blank=True)
    said_at = models.DateTimeField()
    kept_until = models.DateTimeField()
