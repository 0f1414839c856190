"""Legal entities, clients, the account tree (client, account, sub-account, bucket), groups."""

from typing import ClassVar
from uuid import uuid4

from django.db import models
from django.db.models import F, Q

from accounts.fields import CurrentTransaction, TransactionIdField
from accounts.personal import open_text


class OwnerClass(models.TextChoices):
    """Whose money a pool holds. A pool has one class for ever; so has everything in it."""

    CLIENT = "CLIENT", "Client"
    HOUSE = "HOUSE", "House"
    HOUSE_PROP = "HOUSE_PROP", "House, proprietary trading"
    INSURANCE = "INSURANCE", "Insurance fund"
    SUSPENSE = "SUSPENSE", "Suspense"


class LegalEntity(models.Model):
    """A firm that keeps its own books and answers to its own regulator."""

    code = models.CharField(max_length=20, unique=True)
    name = models.CharField(max_length=200)

    def __str__(self) -> str:
        return self.code


class PersonKey(models.Model):
    """The key under which one person's data are encrypted; destroying it erases the person."""

    id = models.UUIDField(primary_key=True, default=uuid4)
    key = models.BinaryField(null=True)
    destroyed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="destroyed_key_is_gone",
                condition=Q(destroyed_at__isnull=True) | Q(key__isnull=True),
            ),
        ]


class ClientQuerySet(models.QuerySet["Client"]):
    """Clients, read as lists need them."""

    def named(self) -> "ClientQuerySet":
        """With their keys, so that a list reads every name in the same query."""
        return self.select_related("person_key")


class Client(models.Model):
    """A person or firm to whom a pool owes something. The name is sealed under a key of its own.

    Lists of other rows that show names fetch `...client__person_key` along.
    """

    legal_entity = models.ForeignKey(LegalEntity, models.PROTECT, related_name="+")
    code = models.CharField(max_length=40)
    name_sealed = models.BinaryField()
    person_key = models.OneToOneField(PersonKey, models.PROTECT, related_name="+")
    is_individually_segregated = models.BooleanField(default=False)

    objects: ClassVar["ClientQuerySet"] = ClientQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint(name="client_code_is_unique", fields=["legal_entity", "code"]),
        ]

    def __str__(self) -> str:
        return self.code

    @property
    def name(self) -> str:
        """The name as written, or "erased" once the person's key is destroyed."""
        return open_text(self.person_key, self.name_sealed)


class MarginAccount(models.Model):
    """An account of a client or of the firm; a sub-account names its parent.

    `owner_class` decides in which class of pool its claims live and never changes.
    """

    class Mode(models.TextChoices):
        CASH = "cash", "Cash"
        CROSS = "cross", "Cross margin"
        ISOLATED = "isolated", "Isolated margin"
        PORTFOLIO = "portfolio", "Portfolio margin"
        UNIFIED = "unified", "Unified"

    legal_entity = models.ForeignKey(LegalEntity, models.PROTECT, related_name="+")
    code = models.CharField(max_length=40)
    owner_class = models.CharField(max_length=12, choices=OwnerClass)
    client = models.ForeignKey(Client, models.PROTECT, null=True, related_name="accounts")
    parent = models.ForeignKey("self", models.PROTECT, null=True, related_name="children")
    mode = models.CharField(max_length=12, choices=Mode)
    desk = models.CharField(max_length=40, blank=True)
    opened_on = models.DateField()
    closed_on = models.DateField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(name="account_code_is_unique", fields=["legal_entity", "code"]),
            models.CheckConstraint(
                name="client_account_has_a_client",
                condition=Q(owner_class="CLIENT", client__isnull=False)
                | (~Q(owner_class="CLIENT") & Q(client__isnull=True)),
            ),
        ]

    def __str__(self) -> str:
        return self.code


class Bucket(models.Model):
    """A part of an account with a purpose of its own; a loss in one never reaches another."""

    class Role(models.TextChoices):
        FREE = "FREE", "Free"
        INITIAL = "INITIAL", "Initial margin"
        RESERVE = "RESERVE", "Maintenance reserve"
        ISOLATED = "ISOLATED", "Isolated position"
        PLEDGED = "PLEDGED", "Pledged"
        LOCKED = "LOCKED", "Locked or vesting"
        HOLD = "HOLD", "Withdrawal hold"
        FEES = "FEES", "Fee reserve"

    account = models.ForeignKey(MarginAccount, models.PROTECT, related_name="buckets")
    code = models.CharField(max_length=60)
    role = models.CharField(max_length=12, choices=Role)
    instrument_code = models.CharField(max_length=40, blank=True)
    is_margined = models.BooleanField()

    class Meta:
        constraints = [
            models.UniqueConstraint(name="bucket_code_is_unique", fields=["account", "code"]),
            models.CheckConstraint(
                name="isolated_bucket_names_its_instrument",
                condition=~Q(role="ISOLATED") | ~Q(instrument_code=""),
            ),
            models.CheckConstraint(
                name="bucket_role_is_known",
                condition=Q(
                    role__in=[
                        "FREE",
                        "INITIAL",
                        "RESERVE",
                        "ISOLATED",
                        "PLEDGED",
                        "LOCKED",
                        "HOLD",
                        "FEES",
                    ]
                ),
            ),
        ]

    def __str__(self) -> str:
        return self.code


class AccountGroup(models.Model):
    """Linked accounts; all members share legal entity and owner class, and their client.

    A group that is margined has an account of its own, opened with it: the scope of that account
    holds everything that members have in margined buckets, isolated ones apart, and the account's
    agreement says how. Clients differ only in such a group, under a guarantee that is on record.
    """

    legal_entity = models.ForeignKey(LegalEntity, models.PROTECT, related_name="+")
    code = models.CharField(max_length=40)
    owner_class = models.CharField(max_length=12, choices=OwnerClass)
    client = models.ForeignKey(Client, models.PROTECT, null=True, related_name="+")
    guarantee_reference = models.CharField(max_length=200, blank=True)
    guarantee_dated_on = models.DateField(null=True)
    guarantee_sha256 = models.CharField(max_length=64, blank=True)
    account = models.OneToOneField(
        MarginAccount, models.PROTECT, null=True, related_name="margin_group"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(name="group_code_is_unique", fields=["legal_entity", "code"]),
            models.CheckConstraint(
                name="guarantee_has_a_day",
                condition=Q(guarantee_dated_on__isnull=True) | ~Q(guarantee_reference=""),
            ),
        ]

    def __str__(self) -> str:
        return self.code


class GroupMember(models.Model):
    """One account's membership of a group."""

    group = models.ForeignKey(AccountGroup, models.PROTECT, related_name="members")
    account = models.ForeignKey(MarginAccount, models.PROTECT, related_name="+")
    joined_on = models.DateField()
    left_on = models.DateField(null=True)
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="account_is_in_one_group",
                fields=["account"],
                condition=Q(left_on__isnull=True),
            ),
            models.CheckConstraint(
                name="group_is_left_after_it_is_joined",
                condition=Q(left_on__isnull=True) | Q(left_on__gte=F("joined_on")),
            ),
        ]


class Scope(models.Model):
    """That for which one requirement is computed: a bucket, an account or sub-account, a group."""

    bucket = models.OneToOneField(Bucket, models.PROTECT, null=True, related_name="scope")
    account = models.OneToOneField(MarginAccount, models.PROTECT, null=True, related_name="scope")
    group = models.OneToOneField(AccountGroup, models.PROTECT, null=True, related_name="scope")

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="scope_is_one_thing",
                condition=Q(bucket__isnull=False, account__isnull=True, group__isnull=True)
                | Q(bucket__isnull=True, account__isnull=False, group__isnull=True)
                | Q(bucket__isnull=True, account__isnull=True, group__isnull=False),
            ),
        ]
