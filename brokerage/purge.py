"""What must be gone by now goes: sessions, failed sign-ins, jobs, notices; each act on record.

Sealed records are never purged, and nothing goes while any client is held whose time it is: a hold
stops notices of that client's accounts, and an open case those of the accounts it looks into.
"""

import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.sessions.models import Session
from django.db.models import Q
from django.utils import timezone

from accounts.audit import Actor, acting
from accounts.models import LegalHold, MarginAccount, Purge, SignInFailure
from accounts.retention import cut_off
from brokerage.models import Case, CaseNote, Job
from margin.models import MarginCall

OUTBOX_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
ENDED = (Job.State.DONE, Job.State.FAILED, Job.State.CANCELLED)


def purge_sessions(before: datetime) -> int:
    """Browser sessions that ended before an instant."""
    return Session.objects.filter(expire_date__lt=before).delete()[0]


def purge_sign_in_failures(before: datetime) -> int:
    """Failed sign-ins."""
    return SignInFailure.objects.filter(failed_at__lt=before).delete()[0]


def purge_jobs(before: datetime) -> int:
    """Jobs that have ended."""
    return Job.objects.filter(state__in=ENDED, ended_at__lt=before).delete()[0]


def accounts_in_cases() -> set[int]:
    """Accounts that somebody looks into: those of cases that are not closed."""
    cases = Case.objects.exclude(notes__kind=CaseNote.Kind.CLOSED)
    whole = MarginAccount.objects.filter(client__in=cases.values("client"))
    return {
        *whole.values_list("pk", flat=True),
        *cases.filter(account__isnull=False).values_list("account_id", flat=True),
        *cases.filter(bucket__isnull=False).values_list("bucket__account_id", flat=True),
    }


def purge_notices(before: datetime) -> int:
    """Notices of margin calls in the outbox, but for those of clients who are held, and of accounts
    that an open case looks into."""
    held = LegalHold.objects.filter(lifted_xid__isnull=True).values("client_id")
    accounts = MarginAccount.objects.filter(Q(client__in=held) | Q(pk__in=accounts_in_cases()))
    kept = set(
        MarginCall.objects.filter(scope__bucket__account__in=accounts).values_list(
            "number", flat=True
        )
    )
    gone = 0
    for notice in sorted((Path(settings.OUTBOX) / "margin-calls").glob("*/*.txt")):
        day = notice.parent.name
        is_old = OUTBOX_DAY.fullmatch(day) and day < before.date().isoformat()
        call_number = notice.name.partition(".")[0]  # a change of a call has more behind it
        if is_old and call_number not in kept:
            notice.unlink()
            gone += 1
    return gone


PURGES: dict[str, Callable[[datetime], int]] = {
    "sessions": purge_sessions,
    "sign_in_failures": purge_sign_in_failures,
    "jobs": purge_jobs,
    "notices": purge_notices,
}


def purge(*, actor: Actor, now: datetime | None = None) -> dict[str, Any]:
    """Let go what is past its latest date, class by class; returns how many of each."""
    instant = timezone.now() if now is None else now
    gone: dict[str, int] = {}
    for record, let_go in PURGES.items():
        before = cut_off(record, now=instant)
        if before is None:
            continue
        with acting(actor, reason=f"Past the latest date: {record}"):
            gone[record] = let_go(before)
            if gone[record]:
                Purge.objects.create(record_id=record, before=before, rows=gone[record])
    return {"gone": gone}
