"""Money that enters or leaves a scope: posted, released and settled with its calls in one act.

A deposit that restores initial margin meets the scope's call in the transaction that posts it. A
withdrawal is released only for what the scope can spare at the newest marks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from uuid import uuid4

from django.utils import timezone

from accounts.audit import Actor, acting
from accounts.models import Bucket
from ledger import posting
from ledger.models import Asset, EntryKey, Location, Pool, Release
from ledger.models import Balance as LedgerBalance
from ledger.posting import AccountKey, Draft, Leg, Posted
from margin.engine.exact import exact, round_up
from margin.engine.gate import Standing
from margin.engine.marks import PRICE_STATES
from margin.marks import BASE, newest_marks
from margin.models import CallEvent, MarginCall
from margin.releases import InitialMarginGate

ZERO = Decimal(0)
CENTS = 2


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


@dataclass(frozen=True, slots=True)
class ScopeBalances:
    """A bucket's balances, locked, as people say them, and the number of postings behind them."""

    claims: Mapping[str, Decimal]
    positions: Mapping[str, tuple[Decimal, Decimal]]
    loan: Decimal
    version: int


def deposit(payment: Payment, *, actor: Actor, reason: str, request_id: str = "") -> Posted:
    """Post a deposit and settle the scope's open call with it.

    Raises:
        RefusedError: the book refused the entry; nothing moved.
    """
    with acting(actor, reason=reason, request_id=request_id):
        claim, custody = _account_ids(payment)
        posting.lock_balances(account_ids=[claim, custody], bucket_ids=[payment.bucket.pk])
        posted = posting.post_entry(
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
        if posted.is_new:
            _settle_call(payment.bucket)
    return posted


def withdraw(payment: Payment, *, actor: Actor, reason: str, request_id: str = "") -> Posted:
    """Release and post a withdrawal, if the scope keeps its initial margin.

    Raises:
        WithdrawalRefusedError: the amount is not free; says which term binds.
        RefusedError: the book refused the entry; nothing moved.
    """
    with acting(actor, reason=reason, request_id=request_id):
        claim, custody = _account_ids(payment)
        posting.lock_balances(account_ids=[claim, custody], bucket_ids=[payment.bucket.pk])
        known = _posted_before(payment.key)
        if known is not None:
            return known
        release_id = None
        if payment.bucket.is_margined:
            release_id = _release(payment).pk
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
                release_id=release_id,
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


def _balances(bucket: Bucket) -> ScopeBalances:
    claims: dict[str, Decimal] = {}
    positions: dict[str, tuple[Decimal, Decimal]] = {}
    loan, version = ZERO, 0
    for account_class, asset, amount, seq, average in LedgerBalance.objects.filter(
        account__bucket=bucket
    ).values_list(
        "account__account_class", "account__asset__code", "amount", "seq", "average_cost"
    ):
        version += seq
        if account_class == "claim":
            claims[asset] = amount.copy_negate()
        elif account_class == "position":
            positions[asset] = (amount.copy_negate(), ZERO if average is None else average)
        else:
            loan += amount
    return ScopeBalances(claims=claims, positions=positions, loan=loan, version=version)


def _newest_gate() -> InitialMarginGate:
    """The gate at the newest marks there are."""
    return InitialMarginGate.at_marks_before(date.max)


def _standing(bucket: Bucket, held: ScopeBalances, *, gate: InitialMarginGate) -> Standing:
    return gate.after(
        claims=held.claims,
        positions=held.positions,
        loan=held.loan,
        is_cash_account=bucket.account.mode == "cash",
    )


def _release(payment: Payment) -> Release:
    """Margin's leave for the payment, or the term that refuses it."""
    bucket, gate = payment.bucket, _newest_gate()
    held = _balances(bucket)
    now = _standing(bucket, held, gate=gate)
    claim = held.claims.get(payment.asset.code, ZERO)
    free = free_amount(now, claim=claim, gate=gate, asset=payment.asset.code)
    refusal = _pool_refusal(bucket) or _price_refusal(held)
    if refusal is None and payment.amount > claim:
        refusal = "claim", f"the claim is {claim:,.2f} {payment.asset.code}"
    if refusal is None:
        with exact():
            left = {**held.claims, payment.asset.code: claim - payment.amount}
        after = gate.after(
            claims=left,
            positions=held.positions,
            loan=held.loan,
            is_cash_account=bucket.account.mode == "cash",
        )
        if not after.meets_initial:
            refusal = (
                "initial_margin",
                (
                    f"after {payment.amount:,.2f} {payment.asset.code}, {bucket.account.code} would"
                    f" have {after.equity:,.2f} equity against {after.initial_margin:,.2f}"
                ),
            )
    if refusal is not None:
        term, why = refusal
        raise WithdrawalRefusedError(
            term,
            f"Not withdrawn: {term.replace('_', ' ')}. {why[0].upper()}{why[1:]}."
            f" It can withdraw {free:,.2f}.",
            free_amount=free,
        )
    return Release.objects.create(
        id=uuid4(),
        bucket=bucket,
        kind_id="withdrawal",
        asset=payment.asset,
        amount=payment.amount,
        price_snapshot=gate.price_snapshot,
        scope_version=held.version,
        binding_term="initial_margin",
        free_amount=free,
    )


def free_amount(
    standing: Standing, *, claim: Decimal, gate: InitialMarginGate, asset: str
) -> Decimal:
    """How much of an asset may leave a scope: its claim, or less if initial margin binds."""
    with exact():
        spare = standing.equity - standing.initial_margin
    if spare <= 0:
        return ZERO
    if asset == BASE:
        return min(claim, spare)
    return claim if _value_of(claim, asset, gate) <= spare else ZERO


def _value_of(amount: Decimal, asset: str, gate: InitialMarginGate) -> Decimal:
    standing = gate.after(claims={asset: amount}, positions={}, loan=ZERO, is_cash_account=True)
    return standing.equity


def _pool_refusal(bucket: Bucket) -> tuple[str, str] | None:
    """Nothing leaves a pool of client money that lacks some."""
    missing = LedgerBalance.objects.filter(
        account__account_class="shortfall",
        account__pool__legal_entity=bucket.account.legal_entity_id,
        account__owner_class=bucket.account.owner_class,
        amount__gt=0,
    ).first()
    if missing is None:
        return None
    return "shortfall", f"client money lacks {missing.amount:,.2f} and is frozen until it is whole"


def _price_refusal(held: ScopeBalances) -> tuple[str, str] | None:
    """A price in a state that permits no withdrawal holds the scope."""
    names = {code for code, amount in held.claims.items() if amount} | {
        code for code, (quantity, _) in held.positions.items() if quantity
    }
    for code, mark in newest_marks(date.max).items():
        if code in names and not PRICE_STATES[mark.state].withdraw:
            return "price", f"{code} has no price that permits a withdrawal ({mark.state.lower()})"
    return None


def _settle_call(bucket: Bucket) -> None:
    """Meet the scope's open call if initial margin is restored, else lower it."""
    call = (
        MarginCall.objects.open()
        .select_for_update()
        .filter(scope__bucket=bucket)
        .exclude(state__in=[MarginCall.State.DRAFT, MarginCall.State.UNDELIVERED])
        .first()
    )
    if call is None:
        return
    standing = _standing(bucket, _balances(bucket), gate=_newest_gate())
    now = timezone.now()
    before, state_before = call.amount, call.state
    if standing.meets_initial:
        call.state, call.ended_at = MarginCall.State.MET, now
        call.end_reason = "collateral_received"
        left = ZERO
    else:
        with exact():
            left = round_up(standing.initial_margin - standing.equity, CENTS)
        if left >= before:
            return
        call.amount = left
        if call.state != MarginCall.State.LIQUIDATING:
            call.state = MarginCall.State.PARTIALLY_MET
    call.save(update_fields=["state", "amount", "ended_at", "end_reason"])
    CallEvent.objects.create(
        call=call,
        event=call.state,
        from_state=state_before,
        to_state=call.state,
        occurred_at=now,
        amount_before=before,
        amount_after=left,
        text=f"Deposit: equity {standing.equity:,.2f},"
        f" initial margin {standing.initial_margin:,.2f}",
    )
