"""Notices that a mail server gives back: read from a folder, matched by the id that they bore.

A report counts where its Message-ID is exactly that of an e-mail of ours and it names nobody but
its recipient. Everything else that lies in the folder moves nothing and becomes a task.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from accounts.audit import Actor, RefusedError, acting, refusals
from margin.models import Channel, Delivery, MailBounce, Task
from margin.notices.acts import held_delivery, take_back
from margin.notices.contents import is_erased, message_id_of, recipient_of
from margin.notices.delivery_status import FAILED, DeliveryStatus, read_delivery_status
from margin.notices.senders import cleaned
from margin.notices.steps import FAILURE_DUE_AFTER, ask_somebody
from margin.run_rows import one_after_another
from margin.worklist import OPERATIONS, Needed, open_tasks

READ: Final = Actor.job("notices-bounces")
BYTES_MOST: Final = 1024 * 1024
# Where a maildir keeps messages; its `tmp` holds what is not whole yet.
PLACES: Final = (".", "new", "cur")
TAKEN: Final = "read"
AT_ONCE_MAX: Final = 500
WAIT: Final = timedelta(hours=4)
Outcome = MailBounce.Outcome


def waiting_files(folder: Path) -> Iterator[Path]:
    """Messages of a maildir, or of a folder of .eml files, that were not taken yet."""
    for place in PLACES:
        within = folder / place
        if not within.is_dir():
            continue
        for path in sorted(within.iterdir()):
            is_message = place != "." or path.suffix == ".eml"
            if is_message and path.is_file() and not path.name.startswith("."):
                yield path


def read_bounces(
    folder: Path, *, report: Callable[[int, int, str], None] | None = None
) -> dict[str, int]:
    """Read what lies in the folder, each message in an act of its own, and put it aside.

    A message is put aside after what it says is committed; killed in between it is found read.
    """
    counted: Counter[str] = Counter(dict.fromkeys([*Outcome.values, "known"], 0))
    paths = list(waiting_files(folder))[:AT_ONCE_MAX]
    for number, path in enumerate(paths):
        if report is not None:
            report(number, len(paths), "Read what came back")
        with path.open("rb") as file:
            content = file.read(BYTES_MOST + 1)
        counted[read_bounce(content, name=path.name) or "known"] += 1
        aside = folder / TAKEN
        aside.mkdir(mode=0o700, exist_ok=True)
        os.replace(path, aside / path.name)
    return dict(counted)


def read_bounce(content: bytes, *, name: str) -> str | None:
    """Take one message; what it was, or None where it was read before.

    Raises:
        RefusedError: a rule refused even to keep that it came; nothing was changed.
    """
    sha256 = hashlib.sha256(content).hexdigest()
    with acting(READ, reason=f"Read a message that came back, {sha256[:16]}"):
        one_after_another("bounces")
        if MailBounce.objects.filter(sha256=sha256).exists():
            return None
        found, outcome, words, status = _judged(content)
        if outcome == Outcome.BOUNCED and found is not None:
            try:
                with refusals(), transaction.atomic():
                    take_back(found, words=words, at=timezone.now())
            except RefusedError as refused:
                outcome, words = Outcome.LEFT, f"{refused.detail} ({refused.rule})"
        MailBounce.objects.create(
            sha256=sha256, name=name[:200], delivery=found, outcome=outcome, status=status,
            detail=words[:500],
        )  # fmt: skip
        if outcome == Outcome.LEFT:
            _ask(found, sha256=sha256, words=words, at=timezone.now())
        return str(outcome)


def _judged(content: bytes) -> tuple[Delivery | None, Outcome, str, str]:
    """The delivery that a message is about, what it makes of it, why, and the server's code."""
    if len(content) > BYTES_MOST:
        return None, Outcome.LEFT, "It has more than 1 MiB.", ""
    told = read_delivery_status(content)
    if told is None:
        return None, Outcome.LEFT, "It is no delivery status (RFC 3464); read it.", ""
    found = _delivery_of(told)
    if found is None:
        return None, Outcome.LEFT, "It is about no notice of ours.", ""
    failed = [each for each in told.recipients if each.action == FAILED]
    last = (failed or told.recipients)[0]
    if is_erased(found):
        return found, Outcome.NOTED, "Whom it went to was erased.", last.status
    ours = recipient_of(found).strip().lower()
    if any(each.recipients and ours not in each.recipients for each in told.recipients):
        return found, Outcome.LEFT, "It names another recipient than the notice had.", last.status
    said = cleaned(f"{last.status} {last.words}".strip(), {"address": ours})
    if not failed:
        return found, Outcome.NOTED, f"{last.action[:20]}: {said}", last.status
    if found.state == Delivery.State.BOUNCED:
        return found, Outcome.NOTED, f"It came back before: {said}", last.status
    return found, Outcome.BOUNCED, f"The mail server gave it back: {said}", last.status


def _delivery_of(told: DeliveryStatus) -> Delivery | None:
    """The e-mail of ours that bore exactly this Message-ID, held until the act ends."""
    try:
        named = UUID(told.message_id.strip("<>").partition("@")[0])
    except ValueError:
        return None
    if told.message_id != message_id_of(named):
        return None
    known = Delivery.objects.filter(pk=named, channel=Channel.EMAIL)
    return held_delivery(named) if known.exists() else None


def _ask(found: Delivery | None, *, sha256: str, words: str, at: datetime) -> None:
    if found is not None:
        ask_somebody(
            found, at=at, due_at=at + FAILURE_DUE_AFTER, detail=words,
            subject=f"{found.call.number}: what came back does not fit",
        )  # fmt: skip
        return
    needed = Needed(
        kind=Task.Kind.NOTICE, key=f"bounce:{sha256[:32]}",
        subject="A message came back that belongs to no notice",
        detail=f"{words} It lies in the folder of bounces, sha256 {sha256}.",
        due_at=at + WAIT, owner_role=OPERATIONS,
    )  # fmt: skip
    open_tasks([needed], business_day=at.date(), at=at)
