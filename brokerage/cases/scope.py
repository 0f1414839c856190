"""What a case looks at: ledger rows, scopes and records of its client, account or bucket."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db.models import Q

from accounts.models import AccountAgreement, Bucket, Client, MarginAccount, Scope
from brokerage.models import Case
from ledger.times import end_of


@dataclass(frozen=True, slots=True)
class CaseScope:
    """Ids of what a case looks at, and the period as instants.

    Attributes:
        ends_at: the first instant that no longer counts.
        records: table and key of the rows whose changes are looked at, as the trail names them.
        bucket_names: account id and bucket code, as exceptions of runs name buckets.
    """

    clients: frozenset[int]
    accounts: frozenset[int]
    buckets: frozenset[int]
    scopes: frozenset[int]
    bucket_names: frozenset[tuple[int, str]]
    records: frozenset[tuple[str, str]]
    begins_at: datetime
    ends_at: datetime

    def has(self, at: datetime) -> bool:
        """Whether an instant lies in the period."""
        return self.begins_at <= at < self.ends_at


def scope_of(case: Case) -> CaseScope:
    """What a case looks at; four queries at most."""
    return scope(
        client=case.client, account=case.account, bucket=case.bucket,
        first_day=case.first_day, last_day=case.last_day,
    )  # fmt: skip


def scope(
    *,
    client: Client | None,
    account: MarginAccount | None,
    bucket: Bucket | None,
    first_day: date,
    last_day: date,
) -> CaseScope:
    """The scope of one client with all accounts, of one account, or of one bucket."""
    if bucket is not None:
        buckets, accounts = [bucket], [bucket.account]
    else:
        accounts = [account] if account is not None else []
        if client is not None:
            accounts = list(MarginAccount.objects.filter(client=client).order_by("pk"))
        buckets = list(Bucket.objects.filter(account__in=accounts).select_related("account"))
    # A requirement of a whole account or group speaks of a case about a bucket of it too.
    ids = [each.pk for each in accounts]
    scopes = Scope.objects.filter(
        Q(bucket__in=buckets) | Q(account__in=ids) | Q(group__members__account__in=ids)
    )
    return CaseScope(
        clients=frozenset() if client is None else frozenset({client.pk}),
        accounts=frozenset(ids),
        buckets=frozenset(each.pk for each in buckets),
        scopes=frozenset(scopes.values_list("pk", flat=True)),
        bucket_names=frozenset((each.account_id, each.code) for each in buckets),
        records=_records(client, ids if bucket is None else [], [each.pk for each in buckets]),
        begins_at=end_of(first_day - timedelta(days=1)),
        ends_at=end_of(last_day),
    )


def _records(
    client: Client | None, accounts: Collection[int], buckets: Collection[int]
) -> frozenset[tuple[str, str]]:
    signed = AccountAgreement.objects.filter(account__in=accounts).values_list("pk", flat=True)
    found = {("accounts_marginaccount", str(pk)) for pk in accounts}
    found |= {("accounts_bucket", str(pk)) for pk in buckets}
    found |= {("accounts_accountagreement", str(pk)) for pk in signed}
    if client is not None:
        found.add(("accounts_client", str(client.pk)))
    return frozenset(found)
