"""Money that enters or leaves a scope: posted, released and settled with its calls in one act.

A deposit that restores initial margin meets the scope's call in the transaction that posts it
(`margin.calls.cures`). A withdrawal is released only for what the scope can spare at the newest
marks.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID, uuid4

from accounts.audit import Actor, acting
from accounts.figures import grouped
from accounts.models import Bucket
from ledger import posting
from ledger.bucket_moves import guard_between
from ledger.models import Asset, EntryKey, Location, MoveGuard, Pool, Release
from ledger.models.moves import OUTSIDE
from ledger.posting import AccountKey, Draft, Leg, Posted
from margin.free import FreeAmount, free_amount, lacks_after, linked_buckets
from margin.holding import balances_of, newest_gate


class WithdrawalRefusedError(Exception):
    """A withdrawal is not released. `term` is what binds; the message is for the desk."""

    def __init__(self, term: str, sentence: str, *, free_amount: Decimal) -> None:
        super().__init__(sentence)
        self.term = term
        self.free_amount = free_amount


@dataclass(frozen=True, slots=True)
class Payment:
    """Money to or from a bucket.

    Attributes:
        key: idempotency key; the same payment is posted once.
        reference: what the bank calls it.
    """

    key: str
    bucket: Bucket
    asset: Asset
    amount: Decimal
    location: Location
    reference: str
    effective_at: datetime


def deposit(payment: Payment, *, actor: Actor, reason: str, request_id: str = "") -> Posted:
    """Post a deposit; the scope's open calls are settled with it, as by any entry.

    Raises:
        RefusedError: the book refused the entry; nothing moved.
    """
    with acting(actor, reason=reason, request_id=request_id):
        return book_deposit(payment)


def book_deposit(payment: Payment) -> Posted:
    """The same inside an act."""
    claim, custody = _account_ids(payment)
    posting.lock_balances(account_ids=[claim, custody], bucket_ids=[payment.bucket.pk])
    return posting.post_entry(
        Draft(
            key=payment.key,
            kind="deposit",
            effective_at=payment.effective_at,
            reference=payment.reference,
            legs=[
                Leg(custody, payment.amount, reference=payment.reference),
                Leg(claim, -payment.amount),
            ],
        )
    )


def withdraw(payment: Payment, *, actor: Actor, reason: str, request_id: str = "") -> Posted:
    """Release and post a withdrawal, if the scope keeps its initial margin.

    Raises:
        WithdrawalRefusedError: the amount is not free; says which term binds.
        RefusedError: the book refused the entry; nothing moved.
    """
    with acting(actor, reason=reason, request_id=request_id):
        claim, custody = _account_ids(payment)
        linked = linked_buckets(payment.bucket.account)
        posting.lock_balances(
            account_ids=[claim, custody],
            bucket_ids=sorted({payment.bucket.pk, *(each.pk for each in linked)}),
        )
        known = _posted_before(payment.key)
        if known is not None:
            return known
        free = _let_through(payment)
        return posting.post_entry(
            Draft(
                key=payment.key,
                kind="withdrawal",
                effective_at=payment.effective_at,
                reference=payment.reference,
                legs=[
                    Leg(claim, payment.amount),
                    Leg(custody, -payment.amount, reference=payment.reference),
                ],
                release_id=_release(payment, free),
            )
        )


def _posted_before(key: str) -> Posted | None:
    entry_id = EntryKey.objects.filter(key=key).values_list("entry_id", flat=True).first()
    return None if entry_id is None else Posted(entry_id, is_new=False)


def _account_ids(payment: Payment) -> tuple[int, int]:
    """Ledger accounts of the claim and of the custody."""
    account = payment.bucket.account
    pool = Pool.objects.get(legal_entity=account.legal_entity_id, owner_class=account.owner_class)
    claim = AccountKey(pool.pk, payment.asset.pk, "claim", payment.bucket.pk)
    custody = AccountKey(pool.pk, payment.asset.pk, "custody", None, payment.location.pk)
    ids = posting.open_accounts([claim, custody])
    return ids[claim], ids[custody]


def _let_through(payment: Payment) -> FreeAmount:
    """What is free, if the payment is within it.

    Raises:
        WithdrawalRefusedError: it is not; says which term binds.
    """
    gate = newest_gate()
    free = free_amount(payment.bucket, payment.asset, gate=gate)
    if payment.amount <= free.amount:
        lacks = lacks_after(payment.bucket, payment.asset, payment.amount, gate=gate)
        if not lacks:
            return free
        detail = f"After exactly this amount {lacks:,.2f} of initial margin would be missing."
        raise WithdrawalRefusedError(
            "initial_margin",
            f"Not withdrawn: initial margin. {detail}",
            free_amount=free.amount,
        )
    term = free.binding
    raise WithdrawalRefusedError(
        term.name,
        f"Not withdrawn: {term.name.replace('_', ' ')}. {term.why[0].upper()}{term.why[1:]}."
        f" It can withdraw {grouped(free.amount, decimals=payment.asset.scale)}"
        f" {payment.asset.code}.",
        free_amount=free.amount,
    )


def _release(payment: Payment, free: FreeAmount) -> UUID | None:
    """Margin's leave for the payment, where the book asks for one."""
    bucket = payment.bucket
    guard = guard_between(bucket.role, OUTSIDE, day=payment.effective_at.date())
    if not bucket.is_margined and guard != MoveGuard.MARGIN:
        return None
    given = Release.objects.create(
        id=uuid4(),
        bucket=bucket,
        kind_id="withdrawal",
        asset=payment.asset,
        amount=payment.amount,
        price_snapshot=newest_gate().price_snapshot,
        scope_version=balances_of(bucket).version,
        binding_term=free.binding.name,
        free_amount=free.amount,
    )
    return given.pk
