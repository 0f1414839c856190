"""Withdrawals: asked for, judged by the gate, agreed to by a second person, held until paid.

What the gate says beforehand (`look`) is what it decides on, at the request and again when the
second person agrees; only then the money moves, into the account's withdrawal hold.
"""

from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from uuid import uuid4

from django.utils import timezone

from accounts.approvals import (
    AskRefusedError,
    Change,
    Description,
    register_action,
    request_approval,
)
from accounts.audit import Actor, RefusedError, acting
from accounts.figures import grouped
from accounts.models import Approval, Bucket, PaymentInstruction
from accounts.payees import Payee
from accounts.personal import ErasedPersonError
from ledger import posting
from ledger.bucket_moves import BucketMove, account_keys, draft_of
from ledger.models import Asset, Balance, Location, Payment, Pool
from ledger.payments import (
    PAY,
    State,
    agreed,
    committed_at,
    hold_of,
    home_of,
    key_of,
    locked,
    moment,
    reference_of,
    step,
)
from ledger.posting import AccountKey
from margin.asking import ModelRefusedError
from margin.bucket_moves import plan_move, release_for
from margin.engine.exact import exact
from margin.free import FreeAmount, Term, free_amount, lacks_after, linked_buckets
from margin.holding import newest_gate
from margin.releases import InitialMarginGate

ZERO = Decimal(0)
# Roles of buckets that a payment leaves by itself.
PAYING = (Bucket.Role.FREE, Bucket.Role.ISOLATED)


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """What somebody asks to be paid.

    Attributes:
        key: idempotency key; the same withdrawal is one payment.
        location: the bank, custodian or wallet that pays.
        instruction: where the money goes.
    """

    key: str
    bucket: Bucket
    asset: Asset
    amount: Decimal
    location: Location
    instruction: PaymentInstruction
    pay_on: date


@dataclass(frozen=True, slots=True)
class Look:
    """What the gate says of a withdrawal: every term, and the refusal (term, sentence) if any."""

    free: FreeAmount
    price_snapshot: str
    refusal: tuple[str, str] | None

    @property
    def terms(self) -> list[dict[str, str]]:
        """The terms as they are kept with the payment."""
        return [
            {"name": term.name, "amount": format(term.amount, "f"), "why": term.why}
            for term in self.free.terms
        ]


def look(asked: Withdrawal) -> Look:
    """Decide on a withdrawal as the book stands; reads only."""
    gate = newest_gate()
    free = free_amount(asked.bucket, asked.asset, gate=gate)
    free = FreeAmount(asked.asset, [*free.terms, *_own_terms(asked)])
    return Look(free, gate.price_snapshot, _refusal(asked, free, gate))


def _own_terms(asked: Withdrawal) -> list[Term]:
    """What a payment needs beside what is free: a place that can pay, and somebody to be paid."""
    place = Balance.objects.filter(
        account__account_class="custody", account__asset=asked.asset,
        account__location=asked.location,
    ).first()  # fmt: skip
    held, to_pay = (
        (ZERO if place is None else place.amount),
        committed_at(asked.location, asked.asset),
    )
    with exact():
        left = held - to_pay
    terms = [
        Term(
            "location", left,
            f"{asked.location.code} has {_said(left, asked.asset)} that no other payment waits for",
        )
    ]  # fmt: skip
    client = asked.bucket.account.client
    apart = client is not None and client.is_individually_segregated
    if asked.location.individual_client_id != (client.pk if client and apart else None):
        terms.append(
            Term("location", ZERO, f"{asked.location.code} is not where this client's lies")
        )
    if asked.bucket.account.client_id is None:
        why = (
            "the firm's own money leaves as residual interest that it withdraws, or by its own bank"
        )
        terms.append(Term("house", ZERO, why))
    if asked.bucket.role not in PAYING:
        why = "a payment leaves a free or an isolated bucket; move it there"
        terms.append(Term("bucket_rule", ZERO, why))
    elif home_of(asked.bucket) is None:
        why = "the account has no free bucket to which it would go back; open one"
        terms.append(Term("bucket_rule", ZERO, why))
    usable = PaymentInstruction.objects.usable().filter(
        pk=asked.instruction.pk, asset_code=asked.asset.code,
        client=asked.bucket.account.client_id,
    )  # fmt: skip
    if not usable.exists():
        terms.append(Term("instruction", ZERO, _why_unusable(asked.instruction)))
    return terms


def _why_unusable(instruction: PaymentInstruction) -> str:
    if instruction.is_active and instruction.usable_from > timezone.now():
        until = f"{instruction.usable_from:%Y-%m-%d %H:%M}"
        return f"instruction {instruction.code} waits until {until} UTC"
    return f"instruction {instruction.code} is not in force for this client and asset"


def _refusal(
    asked: Withdrawal, free: FreeAmount, gate: InitialMarginGate
) -> tuple[str, str] | None:
    asset, term = asked.asset, free.binding
    if asked.amount > free.amount:
        return term.name, (
            f"Not released: {term.name.replace('_', ' ')}. {term.why[:1].upper()}{term.why[1:]}."
            f" {_said(free.amount, asset)} can leave."
        )
    try:
        lacks = lacks_after(asked.bucket, asset, asked.amount, gate=gate)
    except ModelRefusedError as refused:
        return refused.rule, f"Not released: {refused.detail}"
    if lacks:
        return "initial_margin", (
            "Not released: initial margin. After exactly this amount"
            f" {lacks:,.2f} would be missing."
        )
    return None


def _said(amount: Decimal, asset: Asset) -> str:
    return f"{grouped(amount, decimals=asset.scale)} {asset.code}"


# ---------------------------------------------------------------- asking


def request_withdrawal(
    asked: Withdrawal, *, reason: str, actor: Actor, request_id: str = ""
) -> Payment:
    """Record the request, judge it, and ask a second person where it is released.

    Returns:
        The payment, released or refused; the same key again gives the first one.

    Raises:
        AskRefusedError: the amount does not fit its asset, or the key was used for another.
        RefusedError: the maker may not ask, nobody else could decide, or a rule refuses the row.
    """
    if asked.amount <= 0 or asked.amount != round(asked.amount, asked.asset.scale):
        detail = f"{asked.asset.code} has {asked.asset.scale} decimals, above zero."
        raise AskRefusedError("amount", detail)
    try:
        with acting(actor, reason=reason, request_id=request_id):
            known = _known(asked)
            return known or _judge(asked, reason=reason)
    except RefusedError as refused:
        # Somebody sent the same at the same moment and was first.
        known = _known(asked) if refused.rule == "payment_key_is_unique" else None
        if known is None:
            raise
        return known


def _known(asked: Withdrawal) -> Payment | None:
    """The payment of this key.

    Raises:
        AskRefusedError: it is another one.
    """
    entity = asked.bucket.account.legal_entity_id
    known = Payment.objects.named().filter(legal_entity=entity, key=asked.key).first()
    if known is None:
        return None
    said = (
        known.bucket_id, known.asset_id, known.amount, known.location_id, known.instruction_id,
        known.pay_on,
    )  # fmt: skip
    if said != (
        asked.bucket.pk, asked.asset.pk, asked.amount, asked.location.pk, asked.instruction.pk,
        asked.pay_on,
    ):  # fmt: skip
        raise AskRefusedError("key", "This key was used for another withdrawal.")
    return known


def _judge(asked: Withdrawal, *, reason: str) -> Payment:
    """Write the request, look, and take the first step; inside an act."""
    _hold_balances(asked)
    new_id = uuid4()
    payment = Payment.objects.create(
        id=new_id, key=asked.key, legal_entity_id=asked.bucket.account.legal_entity_id,
        bucket=asked.bucket, asset=asked.asset, amount=asked.amount, location=asked.location,
        instruction=asked.instruction, pay_on=asked.pay_on, end_to_end_id=reference_of(new_id),
        reason=reason, note=reason,
    )  # fmt: skip
    seen = look(asked)
    said = {
        "binding_term": seen.free.binding.name, "free_amount": seen.free.amount,
        "terms": seen.terms, "price_snapshot": seen.price_snapshot,
    }  # fmt: skip
    if seen.refusal is not None:
        term, sentence = seen.refusal
        return step(payment, State.REFUSED, note=sentence, **(said | {"binding_term": term}))
    approval_id = request_approval(
        legal_entity_id=payment.legal_entity_id,
        action=PAY,
        subject=f"{asked.bucket.account.code}: pay {_said(asked.amount, asked.asset)}"
        f" by instruction {asked.instruction.code}",
        payload={
            "payment": str(payment.pk), "amount": format(asked.amount, "f"),
            "asset": asked.asset.code, "instruction": asked.instruction.pk,
            "location": asked.location.code, "end_to_end_id": payment.end_to_end_id,
        },
        reason=reason,
    )  # fmt: skip
    words = f"{_said(seen.free.amount, asked.asset)} can leave; {seen.free.binding.why}"
    return step(payment, State.RELEASED, note=words, approval_id=approval_id, **said)


def _hold_balances(asked: Withdrawal, *more: int) -> None:
    """Hold everything the decision rests on, in one call, until the act ends."""
    account = asked.bucket.account
    pool = Pool.objects.get(legal_entity=account.legal_entity_id, owner_class=account.owner_class)
    keys = [
        AccountKey(pool.pk, asked.asset.pk, "claim", asked.bucket.pk),
        AccountKey(asked.location.pool_id, asked.asset.pk, "custody", None, asked.location.pk),
    ]
    ids = posting.open_accounts(keys)
    linked = [each.pk for each in linked_buckets(account)]
    posting.lock_balances(
        account_ids=sorted([*ids.values(), *more]), bucket_ids=sorted({asked.bucket.pk, *linked})
    )


def cancel_withdrawal(
    payment: Payment, *, reason: str, actor: Actor, request_id: str = ""
) -> Payment:
    """Take back a request that nobody has agreed to yet; nothing had moved.

    Raises:
        RefusedError: it was agreed to meanwhile, or is over.
    """
    with acting(actor, reason=reason, request_id=request_id):
        now = locked(payment.pk)
        if now.state != State.RELEASED:
            detail = f"payment {now} is {now.get_state_display().lower()} by now"
            raise RefusedError("payment_moves_along_its_life", detail)
        return step(now, State.CANCELLED, note=reason)


# ---------------------------------------------------------------- the second person


def asked_of(payment: Payment) -> Withdrawal:
    """The withdrawal that a payment was asked as."""
    return Withdrawal(
        payment.key, payment.bucket, payment.asset, payment.amount, payment.location,
        payment.instruction, payment.pay_on,
    )  # fmt: skip


def describe_pay(approval: Approval) -> Description:
    """Who is paid, from where, and what the gate says now."""
    payment = (
        Payment.objects.named()
        .select_related("instruction__client__person_key")
        .get(pk=approval.payload["payment"])
    )
    asset = payment.asset
    note = "Once agreed to, the money waits in the withdrawal hold until the bank has paid."
    if payment.state == State.RELEASED:
        refusal = look(asked_of(payment)).refusal
        note = note if refusal is None else f"As it stands now: {refusal[1]}"
    else:
        note = f"The payment is {payment.get_state_display().lower()}."
    return Description(
        headline=approval.subject,
        amount=_said(payment.amount, asset),
        unit=asset.code,
        decimals=asset.scale,
        facts=(
            ("Account", f"{payment.bucket.account.code} {payment.bucket.code}"),
            *payee_facts(payment.instruction),
            ("Paid from", payment.location.code),
            ("To be paid on", payment.pay_on.isoformat()),
            ("Reference", payment.end_to_end_id),
        ),
        changes=_changes(payment),
        note=note,
    )


def payee_facts(instruction: PaymentInstruction) -> tuple[tuple[str, str], ...]:
    """Who is paid, as a person checks it."""
    try:
        payee = Payee.of(instruction)
    except ErasedPersonError:
        return (("Beneficiary", "erased"),)
    return (("Beneficiary", payee.name), ("To", payee.place), ("Instruction", str(instruction)))


def _changes(payment: Payment) -> tuple[Change, ...]:
    claim = Balance.objects.filter(
        account__account_class="claim", account__bucket=payment.bucket,
        account__asset=payment.asset,
    ).first()  # fmt: skip
    if payment.state != State.RELEASED or claim is None:
        return ()
    with exact():
        now = -claim.amount
        left = now - payment.amount
    change = Change(
        f"{payment.bucket.code} of {payment.bucket.account.code}", now, left - now,
        "not negative", left >= 0,
    )  # fmt: skip
    return (change,)


def pay(approval: Approval) -> None:
    """Hold the money as agreed, if the gate still lets it through; call inside an act.

    Raises:
        RefusedError: the gate, by the name of its term, or a rule; nothing moved.
    """
    payment = locked(approval.payload["payment"])
    if payment.state != State.RELEASED:
        detail = f"payment {payment} is {payment.get_state_display().lower()} by now"
        raise RefusedError("payment_moves_along_its_life", detail)
    asked, hold = asked_of(payment), hold_of(payment.bucket.account)
    move = BucketMove(
        key=key_of(payment, "hold"), source=payment.bucket, target=hold, asset=payment.asset,
        amount=payment.amount, reference=payment.end_to_end_id, effective_at=moment(),
    )  # fmt: skip
    ids = posting.open_accounts(account_keys(move))
    source_id, target_id = (ids[key] for key in account_keys(move))
    _hold_balances(asked, source_id, target_id)
    refusal = look(asked).refusal
    if refusal is not None:
        raise RefusedError(*refusal)
    plan = plan_move(move)
    if plan.refusal is not None:
        raise RefusedError(*plan.refusal)
    agreed(approval)
    draft = draft_of(move, kind=plan.kind, source_id=source_id, target_id=target_id, standing=None)
    posted = posting.post_entry(replace(draft, release_id=release_for(plan)))
    step(
        payment, State.APPROVED, note=approval.decision_reason, hold=hold,
        hold_entry_id=posted.entry_id,
    )  # fmt: skip


def register() -> None:
    """Say how requests for withdrawals are shown and applied."""
    register_action(PAY, describe=describe_pay, apply=pay)
