"""What became of a payment: paid, as the bank's line says, returned, or never sent.

A line confirms a payment by its reference and exact amount, at the bank that was to pay it; a
credit that names a payment which was paid gives it back. Where no line ever comes, two people say
what became of it.
"""

import re
from collections.abc import Collection, Iterable
from datetime import date, datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from accounts.approvals import AskRefusedError, Description, register_action, request_approval
from accounts.audit import Actor, RefusedError, acting, refusals
from accounts.figures import grouped
from accounts.models import Approval, Bucket, Role
from ledger import posting
from ledger.models import LedgerAccount, Payment, PaymentInFile, StatementLine
from ledger.payment_files import mark_sent
from ledger.payments import (
    OUTCOME,
    State,
    agreed,
    home_of,
    key_of,
    late_payments,
    locked,
    moment,
    step,
)
from ledger.posting import AccountKey, Draft, Leg
from ledger.statements.camt import return_reasons
from ledger.statements.statement import StatementFormat
from margin import collateral
from margin.models import Task
from margin.payments.withdrawals import payee_facts
from margin.worklist import Needed, close_tasks, open_tasks

ASKED_WITHIN: Final = timedelta(hours=4)
# From which states two people may say what became of a payment.
OUTCOMES: Final = {
    State.CONFIRMED: (State.SENT,),
    State.RETURNED: (State.SENT, State.CONFIRMED),
    State.CANCELLED: (State.APPROVED,),
}
_REFERENCE = re.compile(r"\bP[A-Z2-7]{15}\b")
LATE, RETURNED, DIFFERS = "late", "returned", "differs"


# ---------------------------------------------------------------- lines


def settle_lines(business_day: date, *, at: datetime) -> dict[str, int]:
    """Confirm and return payments by the lines of a day; call inside an act, before reconciling.

    A line that a rule refuses stays for the reconciliation to show, with a task.

    Returns:
        How many were confirmed, returned, and left with a task.
    """
    counted = {"confirmed": 0, "returned": 0, "left": 0}
    if not Payment.objects.exists():
        return counted
    needed: list[Needed] = []
    lines = _lines(business_day)
    hold_all({payment_id for _, payment_id in lines})
    for line, payment_id in lines:
        try:
            with refusals(), transaction.atomic():
                outcome = _settle(line, payment_id, at=at)
        except RefusedError as refused:
            payment = Payment.objects.named().get(pk=payment_id)
            needed.append(_differs(payment, line, f"{refused.detail} ({refused.rule})", at=at))
            continue
        if outcome is None:
            continue
        payment, task = outcome
        counted[payment.state] += 1
        needed += [] if task is None else [task]
    counted["left"] = sum(1 for each in needed if each.key.startswith(DIFFERS))
    needed += _late(business_day, at=at)
    _settle_tasks(needed, business_day=business_day, at=at)
    return counted


def _lines(business_day: date) -> list[tuple[StatementLine, UUID]]:
    """Lines of a day that name a payment of their bank, debits first, each once."""
    lines = list(
        StatementLine.objects.filter(
            statement__business_day=business_day, statement__rejection="",
            confirms_payment__isnull=True, returns_payment__isnull=True,
        )
        .exclude(amount=0)
        .select_related("statement")
        .order_by("statement__location__code", "ordinal")
    )  # fmt: skip
    named = {line.pk: _names(line) for line in lines}
    references = {reference for names in named.values() for reference in names}
    payments = {
        (p.end_to_end_id, p.location_id): p.pk
        for p in Payment.objects.filter(end_to_end_id__in=references)
    }
    found = [
        (line, payments[name, line.statement.location_id])
        for line in lines
        for name in named[line.pk][:1]
        if (name, line.statement.location_id) in payments
    ]
    return sorted(found, key=lambda pair: pair[0].amount > 0)


def hold_all(payment_ids: Collection[UUID]) -> None:
    """Hold the payments and every balance they will move, in one call, until the act ends."""
    if not payment_ids:
        return
    held = Payment.objects.select_for_update().filter(pk__in=payment_ids).order_by("pk")
    payments = list(held.values_list("location_id", "asset_id", "bucket_id", "hold_id"))
    homes = Bucket.objects.filter(
        role=Bucket.Role.FREE, account__in=held.values("bucket__account")
    ).values_list("pk", flat=True)
    custody = LedgerAccount.objects.filter(
        account_class="custody", location__in={each[0] for each in payments},
        asset__in={each[1] for each in payments},
    )  # fmt: skip
    buckets = {*homes} | {each[2] for each in payments} | {each[3] for each in payments if each[3]}
    posting.lock_balances(
        account_ids=sorted(custody.values_list("pk", flat=True)), bucket_ids=sorted(buckets)
    )


def _names(line: StatementLine) -> list[str]:
    """Our references that a line names: its own, and of a credit those in its text."""
    own = [line.reference] if line.reference and _REFERENCE.fullmatch(line.reference) else []
    return own or (_REFERENCE.findall(line.text) if line.amount > 0 else [])


def _settle(
    line: StatementLine, payment_id: UUID, *, at: datetime
) -> tuple[Payment, Needed | None] | None:
    """One line; None where it says of the payment what is known already.

    Raises:
        RefusedError: it says something else than the payment, or a rule refuses it.
    """
    payment = locked(payment_id)
    expected = payment.amount if line.amount > 0 else payment.amount.copy_negate()
    if line.amount != expected:
        raise RefusedError(
            "payment_ends_with_evidence",
            f"the line says {line.amount}, the payment is of {payment.amount}",
        )
    if line.amount > 0:
        return _return_by_line(payment, line, at=at)
    return _confirm_by_line(payment, line, at=at)


def _confirm_by_line(
    payment: Payment, line: StatementLine, *, at: datetime
) -> tuple[Payment, Needed | None]:
    task = None
    carried = PaymentInFile.objects.filter(payment=payment, is_live=True).select_related("file")
    if payment.state == State.IN_FILE:
        if PaymentInFile.objects.filter(payment=payment, is_live=False).exists():
            why = "An older file was abandoned, and the bank paid. Ask it before the next is sent."
            task = _differs(payment, line, why, at=at)
        else:
            mark_sent(carried.get().file, note=f"The bank's line of {line.value_date} shows it")
            payment = locked(payment.pk)
    entry_id = _book_out(payment, reference=line.reference or payment.end_to_end_id, at=at)
    note = f"Line {line.ordinal} of the statement of {line.statement.business_day}"
    done = step(payment, State.CONFIRMED, note=note, paid_entry_id=entry_id, line=line)
    return done, task


def _return_by_line(
    payment: Payment, line: StatementLine, *, at: datetime
) -> tuple[Payment, Needed | None]:
    code = _return_code(line)
    entry_id = book_back(payment, reference=line.reference or payment.end_to_end_id, at=at)
    note = f"Line {line.ordinal} of the statement of {line.statement.business_day}"
    done = step(
        payment, State.RETURNED, note=f"{note}{f', reason {code}' if code else ''}",
        return_entry_id=entry_id, return_line=line, return_code=code[:40],
    )  # fmt: skip
    return done, came_back(done, at=at)


def _return_code(line: StatementLine) -> str:
    """The bank's reason for a return, where the format has one."""
    if line.statement.format != StatementFormat.CAMT053:
        return ""
    return return_reasons(bytes(line.statement.file.content)).get(line.ordinal, "")


# ---------------------------------------------------------------- entries


def _book_out(payment: Payment, *, reference: str, at: datetime) -> int:
    """The bank has paid: the hold's claim and the bank's custody go down."""
    if payment.hold is None:
        raise RefusedError("payment_moves_along_its_life", f"payment {payment} was not agreed to")
    keys = [
        AccountKey(payment.location.pool_id, payment.asset_id, "claim", payment.hold_id),
        AccountKey(
            payment.location.pool_id, payment.asset_id, "custody", None, payment.location_id
        ),
    ]
    ids = posting.open_accounts(keys)
    claim, custody = ids[keys[0]], ids[keys[1]]
    posting.lock_balances(account_ids=[claim, custody])
    return posting.post_entry(
        Draft(
            key=key_of(payment, "out"), kind="withdrawal", effective_at=at,
            reference=payment.end_to_end_id,
            legs=[Leg(claim, payment.amount), Leg(custody, -payment.amount, reference=reference)],
        )
    ).entry_id  # fmt: skip


def book_back(payment: Payment, *, reference: str, at: datetime) -> int:
    """The claim is restored: from the bank where it had paid, else from the hold."""
    home = home_of(payment.bucket) or payment.bucket
    if payment.state == State.CONFIRMED:
        return collateral.book_deposit(
            collateral.Payment(
                key=key_of(payment, "return"), bucket=home, asset=payment.asset,
                amount=payment.amount, location=payment.location, reference=reference,
                effective_at=at,
            )
        ).entry_id  # fmt: skip
    if payment.hold is None:
        raise RefusedError("payment_moves_along_its_life", f"payment {payment} was not agreed to")
    keys = [
        AccountKey(payment.location.pool_id, payment.asset_id, "claim", bucket)
        for bucket in (payment.hold_id, home.pk)
    ]
    ids = posting.open_accounts(keys)
    posting.lock_balances(account_ids=sorted(ids.values()))
    return posting.post_entry(
        Draft(
            key=key_of(payment, "return"), kind="bucket_move", effective_at=at,
            reference=payment.end_to_end_id,
            legs=[Leg(ids[keys[0]], payment.amount), Leg(ids[keys[1]], -payment.amount)],
        )
    ).entry_id  # fmt: skip


# ---------------------------------------------------------------- two people say so


def request_outcome(
    payment: Payment, *, outcome: str, reference: str, reason: str, actor: Actor,
    request_id: str = "",
) -> UUID:  # fmt: skip
    """Ask a second person to agree what became of a payment of which no line says it.

    Args:
        outcome: confirmed, returned or cancelled.
        reference: what the bank, or the chain, calls the movement; "" where there was none.

    Raises:
        AskRefusedError: it cannot become that from where it is.
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    allowed = OUTCOMES.get(State(outcome), ()) if outcome in State.values else ()
    if payment.state not in allowed:
        detail = f"A payment that is {payment.get_state_display().lower()} does not become that."
        raise AskRefusedError("outcome", detail)
    label = State(outcome).label.lower()
    with acting(actor, reason=reason, request_id=request_id):
        return request_approval(
            legal_entity_id=payment.legal_entity_id,
            action=OUTCOME,
            subject=f"Payment {payment} of {payment.bucket.account.code}: {label}",
            payload={"payment": str(payment.pk), "outcome": outcome, "reference": reference},
            reason=reason,
        )


def describe_outcome(approval: Approval) -> Description:
    """The payment, and what it would become."""
    payment = (
        Payment.objects.named()
        .select_related("instruction__client__person_key")
        .get(pk=approval.payload["payment"])
    )
    outcome = State(approval.payload["outcome"])
    notes = {
        State.CONFIRMED: "The client is no longer owed this. Look at the bank's or chain's proof.",
        State.RETURNED: "The client is owed this again. Look for the bank's proof of it.",
        State.CANCELLED: "The client is owed this again. Be sure that no bank has it in a file.",
    }
    return Description(
        headline=approval.subject,
        amount=f"{grouped(payment.amount, decimals=payment.asset.scale)} {payment.asset.code}",
        facts=(
            ("Account", payment.bucket.account.code), *payee_facts(payment.instruction),
            ("Paid from", payment.location.code), ("State", payment.get_state_display()),
            ("Becomes", outcome.label), ("Proof", approval.payload["reference"] or "none"),
        ),
        note=notes[outcome],
    )  # fmt: skip


def apply_outcome(approval: Approval) -> None:
    """Book what became of it, as agreed; call inside an act.

    Raises:
        RefusedError: it has moved on since; nothing moved.
    """
    payment = locked(approval.payload["payment"])
    outcome = State(approval.payload["outcome"])
    if payment.state not in OUTCOMES[outcome]:
        detail = f"payment {payment} is {payment.get_state_display().lower()} by now"
        raise RefusedError("payment_moves_along_its_life", detail)
    agreed(approval)
    reference = approval.payload["reference"] or payment.end_to_end_id
    if outcome == State.CONFIRMED:
        entry_id = _book_out(payment, reference=reference, at=moment())
        step(payment, outcome, note=approval.reason, paid_entry_id=entry_id)
        return
    entry_id = book_back(payment, reference=reference, at=moment())
    done = step(payment, outcome, note=approval.reason, return_entry_id=entry_id)
    if outcome == State.RETURNED:
        at = moment()
        open_tasks([came_back(done, at=at)], business_day=at.date(), at=at)


# ---------------------------------------------------------------- tasks


def payment_task(
    payment: Payment, cause: str, *, subject: str, detail: str, at: datetime
) -> Needed:
    """A task about a payment. Its key names the legal entity: many buckets have no scope."""
    account = payment.bucket.account
    return Needed(
        kind=Task.Kind.PAYMENT,
        key=f"{cause}:{payment.end_to_end_id}:{account.legal_entity.code}",
        subject=f"{payment.bucket.account.code}: {subject}", detail=detail,
        due_at=at + ASKED_WITHIN, owner_role=Role.TREASURY,
        scope=getattr(payment.bucket, "scope", None),
    )  # fmt: skip


def _figure(payment: Payment) -> str:
    return f"{grouped(payment.amount, decimals=payment.asset.scale)} {payment.asset.code}"


def came_back(payment: Payment, *, at: datetime) -> Needed:
    return payment_task(
        payment, RETURNED, at=at, subject=f"payment of {_figure(payment)} came back",
        detail=f"{payment.end_to_end_id}: {payment.note}. The claim is restored; check the"
        " instruction and tell the client.",
    )  # fmt: skip


def _differs(payment: Payment, line: StatementLine, why: str, *, at: datetime) -> Needed:
    return payment_task(
        payment, DIFFERS, at=at, subject=f"a line of {payment.location.code} does not fit",
        detail=f"{payment.end_to_end_id}, line {line.ordinal} of {line.value_date}: {why}",
    )  # fmt: skip


def _late(business_day: date, *, at: datetime) -> list[Needed]:
    return [
        payment_task(
            payment, LATE, at=at, subject=f"payment of {_figure(payment)} is late", detail=why
        )
        for payment, why in late_payments(business_day)
    ]


def _settle_tasks(needed: Iterable[Needed], *, business_day: date, at: datetime) -> None:
    """Open what is new; close what is late no more. Other tasks are closed by people."""
    wanted = list(needed)
    others = Task.objects.filter(kind=Task.Kind.PAYMENT, closed_at__isnull=True).exclude(
        Q(key__startswith=f"{LATE}:")
    )
    still = {each.key for each in wanted} | set(others.values_list("key", flat=True))
    close_tasks(Task.Kind.PAYMENT, still_needed=still, at=at, reason="The payment is on its way")
    open_tasks(wanted, business_day=business_day, at=at)


def register() -> None:
    """Say how requests about outcomes are shown and applied."""
    register_action(OUTCOME, describe=describe_outcome, apply=apply_outcome)
