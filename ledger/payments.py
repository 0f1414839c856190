"""Payments as rows: their references, their steps, and what a hold owes to those not over.

What moves with a step is posted by whoever takes it (`margin/payments/withdrawals.py` and
`margin/payments/outcomes.py`); the database looks for the entry and the evidence of every step.
"""

import base64
import hashlib
from collections.abc import Collection
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.db.models import Max, Q, Sum
from django.utils import timezone

from accounts.approvals import spend
from accounts.audit import RefusedError
from accounts.models import Approval, Bucket, MarginAccount
from ledger.models import Asset, DayClose, Location, Payment
from ledger.transit import alarm_days, business_days_between

PAY: Final = "payment.pay"
OUTCOME: Final = "payment.outcome"
ZERO: Final = Decimal(0)
State = Payment.State


def reference_of(payment_id: UUID) -> str:
    """What goes to the bank and comes back: 16 characters, P and 75 bits of a hash."""
    said = base64.b32encode(hashlib.sha256(payment_id.bytes).digest()).decode()
    return f"P{said[:15]}"


def key_of(payment: Payment, moves: str) -> str:
    """The key of a payment's entry: `hold`, `out` or `return`."""
    return f"payment:{payment.pk}:{moves}"


def moment() -> datetime:
    """Now; where the book is ahead of the clock, the beginning of the day after its last."""
    closed = DayClose.objects.aggregate(last=Max("day"))["last"]
    now = timezone.now()
    if closed is None:
        return now
    return max(now, datetime.combine(closed + timedelta(days=1), time.min, tzinfo=UTC))


def locked(payment_id: UUID) -> Payment:
    """The payment, held until the act ends."""
    return Payment.objects.select_for_update(of=("self",)).named().get(pk=payment_id)


def step(payment: Payment, to: str, *, note: str, **columns: Any) -> Payment:  # noqa: ANN401
    """Take a step from the state that the caller saw; call inside an act.

    Raises:
        RefusedError: it is in another state by now, or a rule refuses the step; nothing moved.
    """
    changed = Payment.objects.filter(pk=payment.pk, state=payment.state).update(
        state=to, note=note, **columns
    )
    if not changed:
        raise RefusedError(
            "payment_moves_along_its_life", f"payment {payment} has moved on; look at it again"
        )
    return Payment.objects.named().get(pk=payment.pk)


def agreed(approval: Approval) -> None:
    """Spend an approval about payments; what was agreed to is done in the same act."""
    spend("SELECT ledger.use_payment_approval(%s)", approval)


# ---------------------------------------------------------------- what is committed


def committed(asset: Asset, *, account: MarginAccount) -> Decimal:
    """What the pool of an account has still to pay of an asset, out of the same custody.

    A client held apart is paid from their own locations, and everybody else from the others.
    """
    client = account.client
    apart = Q(bucket__account__client__is_individually_segregated=True)
    if client is not None and client.is_individually_segregated:
        who = Q(bucket__account__client=client)
    else:
        who = ~apart
    return _sum(
        Payment.objects.held().filter(
            who, asset=asset, bucket__account__owner_class=account.owner_class,
            legal_entity=account.legal_entity_id,
        ).values_list("amount", flat=True)
    )  # fmt: skip


def committed_at(location: Location, asset: Asset) -> Decimal:
    """What is still to be paid of an asset from one location."""
    held = Payment.objects.held().filter(location=location, asset=asset)
    return _sum(held.values_list("amount", flat=True))


def _sum(amounts: Any) -> Decimal:  # noqa: ANN401 - a queryset of one column
    return amounts.aggregate(total=Sum("amount"))["total"] or ZERO


def hold_of(account: MarginAccount) -> Bucket:
    """The withdrawal hold of an account, made where there is none; call inside an act."""
    MarginAccount.objects.select_for_update().get(pk=account.pk)
    held = Bucket.objects.filter(account=account, role=Bucket.Role.HOLD, is_margined=False)
    found = held.select_related("account").order_by("pk").first()
    if found is not None:
        return found
    taken = Bucket.objects.filter(account=account, code="HOLD").exists()
    return Bucket.objects.create(
        account=account, code="PAYMENTS" if taken else "HOLD", role=Bucket.Role.HOLD,
        is_margined=False,
    )  # fmt: skip


def home_of(bucket: Bucket) -> Bucket | None:
    """Where a payment's money goes when it is not paid: back, or, of an isolated bucket, which may
    be closed by then, to the free bucket of its account; None where that has none."""
    if bucket.role != Bucket.Role.ISOLATED:
        return bucket
    free = Bucket.objects.filter(account=bucket.account_id, role=Bucket.Role.FREE)
    return free.select_related("account").order_by("pk").first()


# ---------------------------------------------------------------- what nobody may forget


def late_payments(
    day: date, *, entities: Collection[int] | None = None
) -> list[tuple[Payment, str]]:
    """Payments that should be further, with what is the matter; the oldest first."""
    open_ones = Payment.objects.held().named().select_related("legal_entity")
    if entities is not None:
        open_ones = open_ones.filter(legal_entity__in=entities)
    found = []
    for payment in open_ones.filter(pay_on__lt=day).order_by("pay_on", "requested_at"):
        age = business_days_between(payment.pay_on, day)
        if payment.state != State.SENT:
            found.append((payment, f"It was to be paid on {payment.pay_on} and was not sent."))
        elif age > alarm_days(payment.legal_entity, day):
            found.append(
                (payment, f"Sent, and no line of the bank for {age} business days. Ask the bank.")
            )
    return found
