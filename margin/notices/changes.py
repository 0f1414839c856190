"""Notices of margin calls as files in the outbox under `var/`.

What the first notice says stands in a template (`margin.notices.texts`); who named another way for
it gets it that way (`margin.notices.deliveries`).
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from margin.models import CallDecision, MarginCall


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice as delivered.

    Attributes:
        channel: how it went out.
        name: what the channel calls it.
        sha256: of the exact text.
    """

    channel: str
    name: str
    sha256: str


def change_text(decision: CallDecision) -> str:
    """The text by which somebody is told that a call was amended or cancelled."""
    call, run = decision.call, decision.run
    bucket = call.scope.bucket
    assert bucket is not None, "calls are made on buckets"
    assert run.restates is not None, "the run restates another"
    is_cancelled = decision.verdict == CallDecision.Verdict.CANCEL
    what = (
        "The call is cancelled. Nothing is due.\n"
        if is_cancelled
        else f"Called now: {decision.amount_after:,.2f} {call.currency}, instead of"
        f" {decision.amount_before:,.2f}.\nDue: {call.due_at:%Y-%m-%d %H:%M:%S} UTC.\n"
    )
    return (
        f"Margin call {call.number}: {'cancelled' if is_cancelled else 'amended'}\n"
        f"Account {bucket.account.code}, bucket {bucket.code}\n\n"
        f"What was computed as of {run.as_of:%Y-%m-%d %H:%M:%S} UTC ({run.restates.number}) was"
        f" computed again ({run.number}).\n{what}"
    )


def deliver_text(call: MarginCall, text: str) -> Notice:
    """Write a call's first notice to the outbox; writing it again leaves the same file."""
    return _written(call, text, name=f"{call.number}.txt")


def deliver_change(decision: CallDecision) -> tuple[Notice, str]:
    """Write the notice of a decision to the outbox; writing it again leaves the same file."""
    text = change_text(decision)
    word = "cancelled" if decision.verdict == CallDecision.Verdict.CANCEL else "amended"
    name = f"{decision.call.number}.{word}.{decision.run.number}.txt"
    return _written(decision.call, text, name=name), text


def _written(call: MarginCall, text: str, *, name: str) -> Notice:
    folder = Path(settings.OUTBOX) / "margin-calls" / f"{call.business_day}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    draft = path.with_suffix(f".{os.getpid()}")
    draft.write_text(text)
    draft.replace(path)
    return Notice(
        channel="file",
        name=name,
        sha256=hashlib.sha256(text.encode()).hexdigest(),
    )
