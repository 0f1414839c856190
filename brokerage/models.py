"""Jobs, business days and what the inbox brought: the rows that span the apps."""

from django.db import models
from django.db.models import Q

from accounts.fields import ClockTime, CurrentTransaction, TransactionIdField
from accounts.models import Bucket, Client, LegalEntity, MarginAccount, Operator


class Job(models.Model):
    """Work that outlives a request. The row is the truth; a broker only says "look again".

    A worker holds a job by a lease that it renews; a lease that ran out is anybody's.
    `lease_until` of a waiting job is the end of the pause after an attempt that failed.
    """

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Cancelled"

    id = models.BigAutoField(primary_key=True)
    name = models.CharField(max_length=60)
    key = models.CharField(max_length=200, unique=True)
    arguments = models.JSONField(default=dict)
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    asked_by = models.ForeignKey(Operator, models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(db_default=ClockTime())
    dispatched_at = models.DateTimeField(db_default=ClockTime())
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    attempt = models.PositiveIntegerField(default=0)
    lease_token = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True)
    heartbeat_at = models.DateTimeField(null=True)
    step = models.CharField(max_length=60, blank=True)
    done = models.PositiveIntegerField(default=0)
    total = models.PositiveIntegerField(default=0)
    left_for = models.DurationField(null=True)
    cancel_requested_at = models.DateTimeField(null=True)
    outcome = models.JSONField(null=True)
    error = models.TextField(blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="running_job_has_a_lease",
                condition=~Q(state="running") | Q(lease_token__isnull=False),
            ),
            models.CheckConstraint(
                name="ended_job_has_an_end",
                condition=~Q(state__in=["done", "failed", "cancelled"]) | Q(ended_at__isnull=False),
            ),
        ]
        indexes = [models.Index(name="job_by_state", fields=["state", "lease_until"])]


class Firm(models.Model):
    """What the reference data said of the firm when its first day was read; append-only."""

    legal_entity = models.OneToOneField(LegalEntity, models.PROTECT, related_name="+")
    as_of_time = models.TimeField()
    house_rules = models.CharField(max_length=10)
    reference_sha256 = models.CharField(max_length=64)
    opening_day = models.DateField()
    xid = TransactionIdField(db_default=CurrentTransaction())


class BusinessDay(models.Model):
    """One day's folder: what it held, how far it got, and the result once it is done."""

    legal_entity = models.ForeignKey(LegalEntity, models.PROTECT, related_name="+")
    day = models.DateField()
    as_of = models.DateTimeField()
    content_sha256 = models.CharField(max_length=64)
    folder = models.TextField()
    opened_at = models.DateTimeField(db_default=ClockTime())
    closed_at = models.DateTimeField(null=True)
    result = models.JSONField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(name="day_is_run_once", fields=["legal_entity", "day"]),
            models.CheckConstraint(
                name="closed_day_has_a_result",
                condition=Q(closed_at__isnull=True) | Q(result__isnull=False),
            ),
        ]


class DayStep(models.Model):
    """A step of a day's cycle that is done, with what it counted; append-only."""

    pk = models.CompositePrimaryKey("business_day_id", "step")
    business_day = models.ForeignKey(
        BusinessDay, models.PROTECT, related_name="steps", db_index=False
    )
    step = models.CharField(max_length=30)
    outcome = models.JSONField()
    finished_at = models.DateTimeField(db_default=ClockTime())
    xid = TransactionIdField(db_default=CurrentTransaction())


class DayFile(models.Model):
    """A file of a day's folder, kept byte for byte; append-only."""

    business_day = models.ForeignKey(BusinessDay, models.PROTECT, related_name="files")
    name = models.CharField(max_length=120)
    sha256 = models.CharField(max_length=64)
    content = models.BinaryField()
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(name="day_has_a_file_once", fields=["business_day", "name"]),
        ]


class InboxEvent(models.Model):
    """A trade or transfer from the inbox, applied or refused whole; append-only."""

    id = models.BigAutoField(primary_key=True)
    business_day = models.ForeignKey(BusinessDay, models.PROTECT, related_name="events")
    ordinal = models.PositiveIntegerField()
    event_id = models.CharField(max_length=200)
    event_type = models.CharField(max_length=10)
    line = models.PositiveIntegerField()
    occurred_at = models.DateTimeField()
    refusal = models.CharField(max_length=30, blank=True)
    entry_id = models.BigIntegerField(null=True)
    details = models.JSONField()
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="inbox_event_has_its_place", fields=["business_day", "ordinal"]
            ),
            models.CheckConstraint(
                name="inbox_event_is_posted_or_refused",
                condition=Q(refusal="", entry_id__isnull=False)
                | (~Q(refusal="") & Q(entry_id__isnull=True)),
            ),
        ]
        indexes = [models.Index(name="inbox_event_by_id", fields=["event_id"])]


class RejectedRow(models.Model):
    """A row of a file that could not be read, with the field and the reason; append-only."""

    id = models.BigAutoField(primary_key=True)
    business_day = models.ForeignKey(BusinessDay, models.PROTECT, related_name="rejected_rows")
    file = models.CharField(max_length=60)
    line = models.PositiveIntegerField()
    field = models.CharField(max_length=40, null=True)  # noqa: DJ001 - a row of the wrong width has none
    reason = models.CharField(max_length=30)
    xid = TransactionIdField(db_default=CurrentTransaction())


class ReportFile(models.Model):
    """A report that was written, with its manifest; append-only."""

    id = models.BigAutoField(primary_key=True)
    name = models.CharField(max_length=40)
    business_day = models.DateField()
    format = models.CharField(max_length=10)
    manifest = models.JSONField()
    sha256 = models.CharField(max_length=64)
    written_at = models.DateTimeField(db_default=ClockTime())
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        indexes = [models.Index(name="report_file_by_day", fields=["name", "business_day"])]


class Case(models.Model):
    """An investigation: what it is about, and over which business dates; append-only.

    It is about one client, one account or one bucket; everything that happened there in the
    period is on its timeline, which is read anew each time.
    """

    id = models.BigAutoField(primary_key=True)
    legal_entity = models.ForeignKey(LegalEntity, models.PROTECT, related_name="+")
    client = models.ForeignKey(Client, models.PROTECT, null=True, related_name="+")
    account = models.ForeignKey(MarginAccount, models.PROTECT, null=True, related_name="+")
    bucket = models.ForeignKey(Bucket, models.PROTECT, null=True, related_name="+")
    first_day = models.DateField()
    last_day = models.DateField()
    subject = models.CharField(max_length=200)
    reason = models.TextField()
    opened_at = models.DateTimeField(db_default=ClockTime())
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="case_is_about_one_thing",
                condition=Q(client__isnull=False, account__isnull=True, bucket__isnull=True)
                | Q(client__isnull=True, account__isnull=False, bucket__isnull=True)
                | Q(client__isnull=True, account__isnull=True, bucket__isnull=False),
            ),
            models.CheckConstraint(
                name="case_period_goes_forward",
                condition=Q(last_day__gte=models.F("first_day")),
            ),
        ]

    def __str__(self) -> str:
        return self.number

    @property
    def number(self) -> str:
        """How people call it: CASE-00012."""
        return f"CASE-{self.pk:05d}"

    @property
    def whose(self) -> Client | None:
        """The client it is about; None where the account is the firm's own."""
        account = self.bucket.account if self.bucket is not None else self.account
        return self.client if account is None else account.client


class CaseNote(models.Model):
    """What somebody wrote into a case, or with what they closed it; append-only."""

    class Kind(models.TextChoices):
        NOTE = "note", "Note"
        CLOSED = "closed", "Closed"

    id = models.BigAutoField(primary_key=True)
    case = models.ForeignKey(Case, models.PROTECT, related_name="notes")
    kind = models.CharField(max_length=6, choices=Kind)
    text = models.TextField()
    written_at = models.DateTimeField(db_default=ClockTime())
    xid = TransactionIdField(db_default=CurrentTransaction())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="case_is_closed_once", fields=["case"], condition=Q(kind="closed")
            ),
            models.CheckConstraint(
                name="case_note_is_of_a_known_kind", condition=Q(kind__in=["note", "closed"])
            ),
        ]
