"""The book: kinds, entries, postings, balances. Written by the posting functions alone."""

from uuid import uuid4

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from accounts.fields import (
    ClockTime,
    CurrentSnapshot,
    CurrentTransaction,
    ExactField,
    SnapshotField,
    TransactionIdField,
)
from accounts.models import Bucket, OwnerClass
from ledger.models.pools import AccountClass, Asset, AssetKind, LedgerAccount, Pool


class EntryKind(models.Model):
    """A reason for which value may move, and the limits of an entry that gives it."""

    code = models.CharField(max_length=40, primary_key=True)
    title = models.CharField(max_length=120)
    pools_max = models.PositiveSmallIntegerField()
    clients_max = models.PositiveSmallIntegerField()
    accounts_max = models.PositiveSmallIntegerField()
    buckets_max = models.PositiveSmallIntegerField()
    needs_approval = models.BooleanField()
    needs_release = models.BooleanField()
    keeps_custody = models.BooleanField()


class KindLeg(models.Model):
    """A leg that a kind permits; a required one must be there in every entry of the kind."""

    kind = models.ForeignKey(EntryKind, models.PROTECT, related_name="legs")
    account_class = models.CharField(max_length=20, choices=AccountClass)
    owner_class = models.CharField(max_length=12, choices=OwnerClass)
    asset_kind = models.CharField(max_length=10, choices=AssetKind)
    side = models.CharField(max_length=6, choices=[("debit", "Debit"), ("credit", "Credit")])
    is_required = models.BooleanField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="kind_permits_a_leg_once",
                fields=["kind", "account_class", "owner_class", "asset_kind", "side"],
            ),
        ]


class Entry(models.Model):
    """One movement of value with a reason; never edited, corrected by a reversal."""

    id = models.BigIntegerField(primary_key=True)
    # The guard of postings knows the kinds; a foreign key would make every writer of a kind hold
    # the same row.
    kind = models.ForeignKey(
        EntryKind, models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    effective_at = models.DateTimeField()
    reference = models.CharField(max_length=120)
    narrative = models.TextField(blank=True)
    reverses = models.OneToOneField("self", models.PROTECT, null=True, related_name="reversal")
    posting_count = models.PositiveIntegerField()
    recorded_at = models.DateTimeField(db_default=ClockTime())
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        indexes = [
            models.Index(name="entry_by_transaction", fields=["xid"]),
            models.Index(name="entry_by_reference", fields=["reference"]),
            models.Index(name="entry_by_effective_time", fields=["effective_at"]),
        ]
        constraints = [
            models.CheckConstraint(
                name="entry_has_two_postings", condition=Q(posting_count__gte=2)
            ),
        ]


class EntryKey(models.Model):
    """The idempotency key of an entry and the digest of its content; kept for ever.

    When the transaction ends, a key answers for all keys from its entry to `watches_to` that each
    has its entry; 0 is itself alone, and null leaves it to the first key of its statement.
    """

    key = models.CharField(max_length=200, primary_key=True)
    entry = models.OneToOneField(Entry, models.PROTECT, related_name="key", db_constraint=False)
    digest = models.BinaryField()
    watches_to = models.BigIntegerField(null=True, default=0, db_default=0)
    xid = TransactionIdField(db_default=CurrentTransaction())


class StagedDraft(models.Model):
    """A draft that waits to be posted with many others; nobody's money yet, and not kept.

    A plain draft, of legs with nothing but account and amount, lies in columns; any other is the
    object `draft`.
    """

    pk = models.CompositePrimaryKey("batch", "ordinal")
    batch = models.UUIDField()
    ordinal = models.BigIntegerField()
    draft = models.JSONField(null=True)
    key = models.TextField(default="", db_default="")
    kind = models.TextField(default="", db_default="")
    effective_at = models.TextField(default="", db_default="")
    reference = models.TextField(default="", db_default="")
    narrative = models.TextField(default="", db_default="")
    accounts = ArrayField(models.BigIntegerField(), null=True)
    amounts = ArrayField(ExactField(), null=True)


class Posting(models.Model):
    """One leg of an entry on one account, with the balance it left behind.

    `price`, `average_after` and `realised` are set on position legs: what the trade paid, the
    average cost it left (8 decimals, half-even), and the profit it realised.
    """

    pk = models.CompositePrimaryKey("account_id", "account_seq")
    account = models.ForeignKey(
        LedgerAccount, models.PROTECT, related_name="postings", db_index=False, db_constraint=False
    )
    account_seq = models.BigIntegerField()
    entry = models.ForeignKey(Entry, models.PROTECT, related_name="postings", db_constraint=False)
    pool = models.ForeignKey(
        Pool, models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    asset = models.ForeignKey(
        Asset, models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    amount = ExactField()
    balance_after = ExactField()
    reference = models.CharField(max_length=120, null=True)  # noqa: DJ001 - a leg may have none
    price = ExactField(null=True)
    average_after = ExactField(null=True)
    realised = ExactField(null=True)
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.CheckConstraint(name="posting_moves_something", condition=~Q(amount=0)),
        ]


class Balance(models.Model):
    """What an account holds now: its last posting, repeated; locked by whoever posts."""

    account = models.OneToOneField(
        LedgerAccount, models.PROTECT, primary_key=True, related_name="balance"
    )
    amount = ExactField()
    seq = models.BigIntegerField()
    average_cost = ExactField(null=True)


class DailyMovement(models.Model):
    """What moved on an account on a business date; so a balance by date needs no history.

    `first_seq` is the posting with which the account came to the date, `amount_before` the balance
    it found and `first_xid` its transaction; null where the account had been at a later date by
    then.
    """

    pk = models.CompositePrimaryKey("account_id", "effective_on")
    account = models.ForeignKey(
        LedgerAccount, models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    effective_on = models.DateField()
    debit = ExactField()
    credit = ExactField()
    first_seq = models.BigIntegerField(null=True)
    amount_before = ExactField(null=True)
    first_xid = TransactionIdField(null=True)


class Checkpoint(models.Model):
    """All balances as the transactions below one left them, packed; derived and append-only.

    Accounts that no such transaction moved are left out.

    Attributes:
        below, since: what transactions below `below` posted is in it, what those below `since`
            posted is in the checkpoint before it too.
        postings: how many are in it.
        newest_on: the latest business date among them.
        first_entry, last_entry: between which ids the entries are that came since.
        account_ids, account_seqs, amounts: per account its newest posting and its balance.
    """

    below = TransactionIdField(primary_key=True)
    since = TransactionIdField(unique=True)
    postings = models.BigIntegerField()
    newest_on = models.DateField()
    first_entry = models.BigIntegerField()
    last_entry = models.BigIntegerField()
    account_ids = ArrayField(models.BigIntegerField())
    account_seqs = ArrayField(models.BigIntegerField())
    amounts = ArrayField(ExactField())


class Loss(models.Model):
    """A loss beyond a bucket: what the trade lost and who paid what was missing; append-only."""

    entry = models.OneToOneField(Entry, models.PROTECT, primary_key=True, related_name="loss")
    bucket = models.ForeignKey(Bucket, models.PROTECT, related_name="+")
    realised = ExactField()
    shortfall = ExactField()
    insurance = ExactField()
    house = ExactField()
    uncovered = ExactField()
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="loss_is_paid_in_full_or_uncovered",
                condition=Q(shortfall=F("insurance") + F("house") + F("uncovered"))
                & Q(shortfall__gt=0, insurance__gte=0, house__gte=0, uncovered__gte=0)
                & Q(realised__lt=0),
            ),
        ]


class Release(models.Model):
    """Margin's leave to lower a margined bucket once: bound to amount, prices and its version.

    `scope_version` is the number of postings to the bucket when the leave was given; any
    posting to it since then makes the release void.
    """

    id = models.UUIDField(primary_key=True, default=uuid4)
    bucket = models.ForeignKey(Bucket, models.PROTECT, related_name="+")
    kind = models.ForeignKey(EntryKind, models.PROTECT, related_name="+")
    asset = models.ForeignKey(Asset, models.PROTECT, related_name="+")
    amount = ExactField()
    price_snapshot = models.CharField(max_length=64)
    scope_version = models.BigIntegerField()
    binding_term = models.CharField(max_length=40)
    free_amount = ExactField(null=True)
    given_at = models.DateTimeField(db_default=ClockTime())
    xid = TransactionIdField(db_default=CurrentTransaction())


class ReleaseUse(models.Model):
    """The entry that used a release; one release, one entry; append-only."""

    release = models.OneToOneField(
        Release, models.PROTECT, primary_key=True, related_name="use", db_constraint=False
    )
    entry = models.OneToOneField(Entry, models.PROTECT, related_name="release_use")
    xid = TransactionIdField(db_default=CurrentTransaction())


class Horizon(models.Model):
    """A committed horizon: which transactions were known when it was stored; append-only."""

    id = models.BigAutoField(primary_key=True)
    snapshot = SnapshotField(db_default=CurrentSnapshot())
    purpose = models.CharField(max_length=40)
    taken_at = models.DateTimeField(db_default=ClockTime(), db_index=True)
    xid = TransactionIdField(db_default=CurrentTransaction())
