"""What people have to do with one account: tasks, breaks, releases, requests, blocks."""

from typing import Any, Final

from django.db.models import Q

from accounts.approvals import pending_on
from accounts.models import MarginAccount
from accounts.roles import DeskRequest
from ledger.models import Break, OutflowBlock, Posting, Release
from margin.models import Task

SHOWN_MAX: Final = 100


def work_section(request: DeskRequest, account: MarginAccount) -> dict[str, Any]:
    """Tasks, breaks and releases of an account, newest first; a fixed number of queries."""
    tasks = Task.objects.filter(scope__bucket__account=account).select_related("owner")
    releases = Release.objects.filter(bucket__account=account).select_related(
        "bucket", "asset", "kind", "use__entry"
    )
    records = [f"accounts_marginaccount:{account.pk}"]
    records += [f"accounts_bucket:{bucket.pk}" for bucket in account.buckets.all()]
    return {
        "tasks": list(tasks.order_by("closed_at", "-opened_at")[:SHOWN_MAX]),
        "breaks": breaks_of(account),
        "releases": list(releases.order_by("-given_at")[:SHOWN_MAX]),
        "blocks": blocks_of(account),
        "pending": pending_on(*records, roles=request.roles),
    }


def breaks_of(account: MarginAccount) -> list[Break]:
    """Breaks that are not closed and name a reference of money that came to the account or left."""
    waiting = Break.objects.exclude(status=Break.Status.CLOSED).filter(
        location__pool__legal_entity=account.legal_entity_id, reference__isnull=False
    )
    named = set(waiting.values_list("reference", flat=True))
    if not named:
        return []
    entries = Posting.objects.filter(account__margin_account=account).values("entry")
    own = set(
        Posting.objects.filter(entry__in=entries, reference__in=named).values_list(
            "reference", flat=True
        )
    )
    found = waiting.filter(reference__in=own).select_related("location", "asset", "owner")
    return list(found.order_by("-business_day", "pk")[:SHOWN_MAX])


def blocks_of(account: MarginAccount) -> list[OutflowBlock]:
    """Blocks that nobody has lifted and that cover the account."""
    groups = Q(group__members__account=account, group__members__left_on__isnull=True)
    whole = Q(group__isnull=True, client__isnull=True)
    covers = groups | whole
    if account.client_id is not None:
        covers |= Q(client=account.client_id)
    found = OutflowBlock.objects.filter(
        covers, legal_entity=account.legal_entity_id, lift__isnull=True
    )
    return list(found.distinct().order_by("-begins_at")[:SHOWN_MAX])
