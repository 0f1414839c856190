"""What a bank reports of a payment file: accepted adds evidence, rejected restores the claim.

A report is read once, whole, in one transaction: its bytes, each status in it and what followed are
there together or not at all. What contradicts the book moves nothing and opens a task.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from django.db import transaction

from accounts.audit import Actor, RefusedError, acting, refusals
from accounts.models import LegalEntity, Role
from ledger.models import Payment, PaymentFile, PaymentReport, PaymentStatus
from ledger.pain_002 import (
    ACCEPTED,
    PART,
    REJECTED,
    SETTLED,
    Said,
    StatusReport,
    UnreadableReportError,
    parse_pain_002,
)
from ledger.payment_files import mark_sent, payments_in
from ledger.payments import State, locked, moment, step
from ledger.reconciliation import keep_file
from margin.models import Task
from margin.payments.outcomes import ASKED_WITHIN, book_back, came_back, hold_all, payment_task
from margin.run_rows import one_after_another
from margin.worklist import Needed, open_tasks

REPORT: Final = "report"
REPORTS: Final = "payment reports"
BYTES_MOST: Final = 8 * 1024 * 1024
Outcome = PaymentStatus.Outcome
FILE_SAID_NOTHING: Final = Said(PART)


class ReportTooLargeError(Exception):
    """No bank sends so much about one file; nothing was kept."""


@dataclass(frozen=True, slots=True)
class _Word:
    """What a report says of one payment; `payment` is None where the file carries none such."""

    payment: Payment | None
    end_to_end_id: str
    said: Said
    amount: Decimal | None = None
    currency: str = ""


def read_report(
    content: bytes, *, name: str, legal_entity: LegalEntity, actor: Actor, reason: str,
    request_id: str = "",
) -> tuple[PaymentReport, bool]:  # fmt: skip
    """Keep a report and do what it says; False, and nothing, where it was read before.

    Raises:
        ReportTooLargeError: beyond 8 MiB.
        RefusedError: the act is refused; nothing was kept.
    """
    if len(content) > BYTES_MOST:
        raise ReportTooLargeError(f"{name} has more than {BYTES_MOST // 1024 // 1024} MiB.")
    with acting(actor, reason=reason, request_id=request_id):
        one_after_another(REPORTS)
        file = keep_file(name=name[:200], content=content)
        known = PaymentReport.objects.filter(legal_entity=legal_entity, file=file).first()
        if known is not None:
            return known, False
        report, needed = _read(content, sha256=file.sha256, legal_entity=legal_entity)
        at = moment()
        open_tasks(needed, business_day=at.date(), at=at)
        return report, True


def _read(
    content: bytes, *, sha256: str, legal_entity: LegalEntity
) -> tuple[PaymentReport, list[Needed]]:
    at = moment()
    try:
        told = parse_pain_002(content)
    except UnreadableReportError as wrong:
        report = PaymentReport.objects.create(
            legal_entity=legal_entity, file_id=sha256, rejection=str(wrong)[:300]
        )
        return report, [_unread(report, str(wrong), at=at)]
    file = PaymentFile.objects.filter(
        message_id=told.original_message_id, location__pool__legal_entity=legal_entity
    ).first()
    why, payments = _ready(file, told)
    report = PaymentReport.objects.create(
        legal_entity=legal_entity, file_id=sha256, version=told.version,
        message_id=told.message_id, original_message_id=told.original_message_id,
        payment_file=file, rejection=why[:300],
    )  # fmt: skip
    if why:
        return report, [_unread(report, why, at=at)]
    words = enumerate(_words(told, payments), start=1)
    tasks = [_take(report, number, word, told=told, at=at) for number, word in words]
    return report, [task for task in tasks if task is not None]


def _ready(file: PaymentFile | None, told: StatusReport) -> tuple[str, list[Payment]]:
    """Why a report is not of a file that we sent, or "" and the payments of the file, held."""
    if file is None:
        return f"No file of ours has the message id {told.original_message_id}.", []
    if told.count not in (None, file.payment_count):
        return f"It says {told.count} payments; the file has {file.payment_count}.", []
    if told.control_sum not in (None, file.control_sum):
        return f"It says a sum of {told.control_sum}; the file has {file.control_sum}.", []
    if file.state == PaymentFile.State.ABANDONED:
        return f"File {file.message_id} was abandoned, and the bank has it. Ask the bank.", []
    hold_all({payment.pk for payment in payments_in(file)})
    try:
        with refusals(), transaction.atomic():
            # What a bank reports on, it has.
            mark_sent(file, note=f"The bank's report {told.message_id} shows it")
    except RefusedError as refused:
        return f"File {file.message_id} is not whole: {refused.detail} ({refused.rule}).", []
    return "", payments_in(file)


def _words(told: StatusReport, payments: list[Payment]) -> Iterator[_Word]:
    """One word for each payment that is listed, and for all others what is said of the whole."""
    carried = {payment.end_to_end_id: payment for payment in payments}
    for each in told.payments:
        payment = carried.get(each.end_to_end_id)
        yield _Word(payment, each.end_to_end_id, each.said, each.amount, each.currency)
    if told.whole is None or told.whole.status == PART:
        return
    listed = {each.end_to_end_id for each in told.payments}
    for reference, payment in carried.items():
        if reference not in listed:
            yield _Word(payment, "", told.whole)


def _take(
    report: PaymentReport, number: int, word: _Word, *, told: StatusReport, at: datetime
) -> Needed | None:
    """Keep one status and do what it says; a task where it came back, or contradicts."""
    payment = None if word.payment is None else locked(word.payment.pk)
    why = _objection(payment, word, told)
    if (
        not why and payment is not None and payment.state == State.SENT
        and word.said.status == REJECTED
    ):  # fmt: skip
        try:
            with refusals(), transaction.atomic():
                return _reject(report, number, word, payment, at=at)
        except RefusedError as refused:
            why = f"{refused.detail} ({refused.rule})"
    _keep(report, number, word, outcome=Outcome.LEFT if why else Outcome.NOTED, detail=why)
    return _contradicts(report, number, word, why, at=at) if why else None


def _objection(payment: Payment | None, word: _Word, told: StatusReport) -> str:
    """What speaks against a status; "" for nothing."""
    whole, status = (told.whole or FILE_SAID_NOTHING).status, word.said.status
    if payment is None:
        return f"File {told.original_message_id} carries no payment {word.end_to_end_id[:35]}."
    if word.amount not in (None, payment.amount):
        return f"It says {word.amount}; the payment is of {payment.amount}."
    if word.currency not in ("", payment.asset.code):
        return f"It says {word.currency[:10]}; the payment is in {payment.asset.code}."
    if status == REJECTED:
        if whole in SETTLED:
            return f"It says {whole} of the file and {status} of the payment."
        if payment.state not in (State.SENT, State.RETURNED):
            return f"It says {status}; the payment is {payment.get_state_display().lower()}."
        settled = PaymentStatus.objects.filter(
            payment=payment, status__in=SETTLED, outcome=Outcome.NOTED
        )
        return "A report said before that it was settled." if settled.exists() else ""
    if status not in ACCEPTED:
        return f"Nobody knows here what the status {status} means."
    if whole == REJECTED:
        return f"It says {whole} of the file and {status} of the payment."
    if payment.state not in (State.SENT, State.CONFIRMED):
        return f"It says {status}; the payment is {payment.get_state_display().lower()}."
    return ""


def _reject(
    report: PaymentReport, number: int, word: _Word, payment: Payment, *, at: datetime
) -> Needed:
    """The bank does not pay it: the claim goes from the hold back to its bucket."""
    _keep(report, number, word, outcome=Outcome.RETURNED)
    entry_id = book_back(payment, reference=payment.end_to_end_id, at=at)
    code = word.said.reason
    done = step(
        payment, State.RETURNED, return_entry_id=entry_id, return_code=code,
        note=f"Rejected by report {report}{f', reason {code}' if code else ''}",
    )  # fmt: skip
    return came_back(done, at=at)


def _keep(
    report: PaymentReport, number: int, word: _Word, *, outcome: str, detail: str = ""
) -> None:
    PaymentStatus.objects.create(
        report=report, ordinal=number, payment=word.payment,
        end_to_end_id=word.end_to_end_id[:35], status=word.said.status,
        reason_code=word.said.reason, amount=word.amount, outcome=outcome, detail=detail[:300],
    )  # fmt: skip


# ---------------------------------------------------------------- tasks


def _unread(report: PaymentReport, why: str, *, at: datetime) -> Needed:
    return Needed(
        kind=Task.Kind.PAYMENT,
        key=f"{REPORT}:{report.file_id[:16]}:{report.legal_entity.code}",
        subject=f"Status report {report} was not used",
        detail=f"{why} Nothing moved; ask the bank.",
        due_at=at + ASKED_WITHIN, owner_role=Role.TREASURY,
    )  # fmt: skip


def _contradicts(
    report: PaymentReport, number: int, word: _Word, why: str, *, at: datetime
) -> Needed:
    detail = f"Report {report}, status {number} ({word.said.status}): {why} Nothing moved."
    said = f"{report.file_id[:16]}-{number}"
    if word.payment is not None:
        subject = f"a report of {word.payment.location.code} does not fit"
        cause = f"{REPORT}-{said}"
        return payment_task(word.payment, cause, subject=subject, detail=detail, at=at)
    return Needed(
        kind=Task.Kind.PAYMENT, key=f"{REPORT}:{said}:{report.legal_entity.code}",
        subject=f"Status report {report} names a payment that is not in its file",
        detail=detail, due_at=at + ASKED_WITHIN, owner_role=Role.TREASURY,
    )  # fmt: skip
