"""Payment files: written once, laid into a folder, sent once or abandoned by two people.

The file's bytes are in the database before they are on disk. Whatever is killed in between,
`place_files` goes on from what the database says: it writes what is missing, byte for byte, and
takes what was abandoned out of the way.
"""

import base64
import hashlib
import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Final
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from accounts.approvals import Description, register_action, request_approval
from accounts.audit import Actor, RefusedError, acting
from accounts.exports import to_csv
from accounts.figures import grouped
from accounts.models import Approval
from accounts.payees import Payee
from ledger.exact import EXACT
from ledger.models import Location, Payment, PaymentFile, PaymentInFile
from ledger.pain import CannotOrderError, Order, Transfer, check_file, pain_001
from ledger.payments import State, agreed, step

ABANDON: Final = "payment_file.abandon"
PAYMENTS_MAX: Final = 1_000
CSV_COLUMNS: Final = (
    "message_id", "number", "end_to_end_id", "pay_on", "debtor_account", "beneficiary", "iban",
    "bic", "account", "address", "amount", "currency",
)  # fmt: skip
Format = PaymentFile.Format


class FileInTheWayError(Exception):
    """A file in the folder has the name of a payment file and other bytes; nothing was written."""


def default_folder() -> Path:
    """Where files are laid unless another folder is named."""
    return Path(settings.VAR) / "payments"


# ---------------------------------------------------------------- writing


def write_files(
    *,
    legal_entity_id: int,
    until: date,
    format: str,  # noqa: A002 - the trade's word
    actor: Actor,
    reason: str,
    locations: Collection[int] | None = None,
    request_id: str = "",
) -> list[PaymentFile]:
    """Write files of all approved payments that are due, one per debtor account and day.

    Args:
        until: the last day of payment that is due.
        format: for banks; wallets and custodians get CSV whatever it is.
        locations: whose payments alone; all where None.

    Raises:
        CannotOrderError: a payment cannot be said in this format; nothing was written.
        ErasedPersonError: whom one is for was erased; nothing was written.
        RefusedError: a rule refused it; nothing was written.
    """
    with acting(actor, reason=reason, request_id=request_id):
        due = Payment.objects.select_for_update(of=("self",)).named().filter(
            legal_entity=legal_entity_id, state=State.APPROVED, pay_on__lte=until
        )  # fmt: skip
        if locations is not None:
            due = due.filter(location__in=locations)
        groups: dict[tuple[int, date, int], list[Payment]] = defaultdict(list)
        for payment in due.order_by("pk"):
            groups[payment.location_id, payment.pay_on, payment.asset_id].append(payment)
        return [
            _write(payments[first : first + PAYMENTS_MAX], format=format)
            for payments in groups.values()
            for first in range(0, len(payments), PAYMENTS_MAX)
        ]


def _write(payments: Sequence[Payment], *, format: str) -> PaymentFile:  # noqa: A002
    """Write one file and put its payments into it; inside an act."""
    place = payments[0].location
    chosen = Format(format) if place.kind == Location.Kind.BANK else Format.CSV
    order = _order(payments, created_at=timezone.now())
    content = pain_001(order) if chosen == Format.PAIN_001 else _csv(order)
    file = PaymentFile.objects.create(
        message_id=order.message_id, location=place, pay_on=order.pay_on, format=chosen,
        content=content, sha256=hashlib.sha256(content).hexdigest(),
        payment_count=len(payments), control_sum=order.control_sum,
    )  # fmt: skip
    PaymentInFile.objects.bulk_create(
        PaymentInFile(file=file, payment=payment, ordinal=number)
        for number, payment in enumerate(payments, start=1)
    )
    for payment in payments:
        step(payment, State.IN_FILE, note=f"File {file.message_id}")
    return file


def _order(payments: Sequence[Payment], *, created_at: datetime) -> Order:
    place = payments[0].location
    return Order(
        message_id=_message_id(payments),
        created_at=created_at,
        pay_on=payments[0].pay_on,
        debtor=place.account_title or place.code,
        debtor_account=place.account_number or place.code,
        transfers=[
            Transfer(p.end_to_end_id, Payee.of(p.instruction), _in_full(p), p.asset.code)
            for p in payments
        ],
    )


def _in_full(payment: Payment) -> Decimal:
    """The amount with all the decimals of its asset, as banks write it."""
    with localcontext(EXACT):
        written: Decimal = payment.amount.quantize(Decimal(1).scaleb(-payment.asset.scale))
        return written


def _message_id(payments: Sequence[Payment]) -> str:
    """Derived from the payments and from how often each was in a file: 16 characters."""
    before = PaymentInFile.objects.filter(payment__in=payments).count()
    said = f"{before} " + " ".join(sorted(p.end_to_end_id for p in payments))
    digest = hashlib.sha256(said.encode()).digest()
    return f"M{base64.b32encode(digest).decode()[:15]}"


def _csv(order: Order) -> bytes:
    return to_csv(
        CSV_COLUMNS,
        (
            (
                order.message_id, number, t.end_to_end_id, order.pay_on, order.debtor_account,
                t.payee.name, t.payee.iban, t.payee.bic, t.payee.account, t.payee.address,
                t.amount, t.currency,
            )
            for number, t in enumerate(order.transfers, start=1)
        ),
    )  # fmt: skip


# ---------------------------------------------------------------- the folder


def place_files(
    folder: Path, *, actor: Actor, legal_entity_id: int | None = None
) -> list[PaymentFile]:
    """Lay files that are written and lie nowhere yet into a folder; returns them.

    Files that were abandoned are renamed, so that nobody takes them along.

    Raises:
        FileInTheWayError: something else lies there under that name.
        RefusedError: a file does not pass its schema; it was not laid down.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    files = PaymentFile.objects.order_by("pk")
    if legal_entity_id is not None:
        files = files.filter(location__pool__legal_entity=legal_entity_id)
    _take_away(folder, files.filter(state=PaymentFile.State.ABANDONED))
    placed = []
    for file in files.filter(state=PaymentFile.State.WRITTEN, placed_at__isnull=True):
        refuse_unfit(file)
        _lay_down(folder / file.name, bytes(file.content))
        if record_placed(file, actor=actor):
            placed.append(file)
    return placed


def refuse_unfit(file: PaymentFile) -> None:
    """Refuse to give away a file that no bank could read, whenever it was written.

    Raises:
        RefusedError: naming the payment and the field.
    """
    if file.format == Format.PAIN_001:
        try:
            check_file(bytes(file.content))
        except CannotOrderError as wrong:
            detail = f"file {file.message_id} is abandoned, not sent. {wrong}"
            raise RefusedError("payment_file_passes_its_schema", detail) from wrong


def record_placed(file: PaymentFile, *, actor: Actor) -> bool:
    """Record that the file lies in its folder; False where that, or its end, was before."""
    with acting(actor, reason=f"Payment file {file.message_id} lies in its folder"):
        waiting = PaymentFile.objects.filter(
            pk=file.pk, state=PaymentFile.State.WRITTEN, placed_at__isnull=True
        )
        return bool(waiting.update(placed_at=timezone.now()))


def _lay_down(path: Path, content: bytes) -> None:
    """Write the whole file or nothing; what lies there already must be the same."""
    if path.exists():
        if path.read_bytes() != content:
            raise FileInTheWayError(f"{path} holds something else; move it away.")
        return
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    """Names of files are on disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _take_away(folder: Path, files: Iterable[PaymentFile]) -> None:
    for file in files:
        path = folder / file.name
        if path.exists():
            path.replace(path.with_name(f"{path.name}.abandoned"))


# ---------------------------------------------------------------- its end


def record_sent(file: PaymentFile, *, actor: Actor, reason: str, request_id: str = "") -> bool:
    """Record once that the bank has the file; False where that was recorded before.

    Raises:
        RefusedError: it was abandoned, a payment of it was paid or taken out meanwhile, or it
            does not pass its schema.
    """
    refuse_unfit(file)
    with acting(actor, reason=reason, request_id=request_id):
        return mark_sent(file, note=reason)


def mark_sent(file: PaymentFile, *, note: str) -> bool:
    """The same inside an act."""
    now = PaymentFile.objects.select_for_update().get(pk=file.pk)
    if now.state == PaymentFile.State.SENT:
        return False
    PaymentFile.objects.filter(pk=file.pk).update(
        state=PaymentFile.State.SENT, note=note, ended_at=timezone.now()
    )
    for payment in payments_in(file):
        step(payment, State.SENT, note=note)
    return True


def payments_in(file: PaymentFile) -> list[Payment]:
    """The payments that a file carries, in its order."""
    return list(
        Payment.objects.named()
        .filter(files__file=file, files__is_live=True)
        .order_by("files__ordinal")
    )


def request_abandon(file: PaymentFile, *, reason: str, actor: Actor, request_id: str = "") -> UUID:
    """Ask a second person to agree that a file was not sent and never will be.

    Raises:
        RefusedError: it was sent or abandoned already, or nobody else could decide.
    """
    if file.state != PaymentFile.State.WRITTEN:
        detail = f"file {file.message_id} is {file.get_state_display().lower()} already"
        raise RefusedError("payment_file_ends_once", detail)
    with acting(actor, reason=reason, request_id=request_id):
        return request_approval(
            legal_entity_id=file.location.pool.legal_entity_id,
            action=ABANDON,
            subject=f"Abandon payment file {file.message_id}",
            payload={"file": file.pk, "message_id": file.message_id, "sha256": file.sha256},
            reason=reason,
            records=(f"ledger_paymentfile:{file.pk}",),
        )


def describe_abandon(approval: Approval) -> Description:
    """The file whose payments would go into another."""
    file = PaymentFile.objects.select_related("location").get(pk=approval.payload["file"])
    carried = payments_in(file)
    unit = carried[0].asset if carried else None
    total = grouped(file.control_sum, decimals=unit.scale if unit else 2)
    return Description(
        headline=approval.subject,
        facts=(("From", file.location.code), ("To be paid on", file.pay_on.isoformat()),
               ("Payments", str(file.payment_count)),
               ("Sum", f"{total} {unit.code if unit else ''}"),
               ("State", file.get_state_display()), ("sha256", file.sha256)),
        note="Ask the bank whether it has this file. If it has, everybody in it is paid twice."
        " Its payments go into a next file with the same references.",
    )  # fmt: skip


def abandon(approval: Approval) -> None:
    """Abandon the file as agreed; its payments wait for another. Call inside an act.

    Raises:
        RefusedError: it was sent, or abandoned, meanwhile.
    """
    file = PaymentFile.objects.select_for_update().get(pk=approval.payload["file"])
    agreed(approval)
    carried = [payment for payment in payments_in(file) if payment.state == State.IN_FILE]
    PaymentFile.objects.filter(pk=file.pk).update(
        state=PaymentFile.State.ABANDONED, note=approval.reason, ended_at=timezone.now()
    )
    PaymentInFile.objects.filter(file=file).update(is_live=False)
    for payment in carried:
        step(payment, State.APPROVED, note=f"File {file.message_id} was abandoned")


def register() -> None:
    """Say how requests about payment files are shown and applied."""
    register_action(ABANDON, describe=describe_abandon, apply=abandon)
