"""What the people of the demo desk did besides: withdrawals in every state, a dispute, a case.

Everything goes through the product's own functions, each request with its second person, so that
no list of the demo firm is empty and every row could have been made by hand.
"""

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID

from django.utils import timezone

from accounts.approvals import apply_approved, decide
from accounts.audit import Actor
from accounts.models import Bucket, Client, LegalEntity, PaymentInstruction
from accounts.payees import Payee, request_instruction, request_rule
from brokerage.cases.case import open_case, write_note
from ledger.models import AccountClass, Asset, Balance, Location, Payment
from ledger.payment_files import record_sent, write_files
from margin.calls.disputes import Claim, open_dispute
from margin.calls.promises import promise_payment
from margin.models import MarginCall, NoticeKind
from margin.notices.contacts import ContactDraft, request_contacts
from margin.payments.outcomes import request_outcome
from margin.payments.withdrawals import Withdrawal, cancel_withdrawal, request_withdrawal

Sign = Callable[[str], Actor]
# Invented numbers with right check digits; nobody is paid by them.
IBANS: Final = ("DE89370400440532013000", "GB29NWBK60161331926819", "FR1420041010050500013M02606")
PAID_LEAST: Final = Decimal(5000)
CENT: Final = Decimal("0.01")
# How far each withdrawal goes, in the order in which the accounts come.
FATES: Final = ("confirmed", "returned", "sent", "in_file", "approved", "released", "cancelled")
CALLED: Final = (NoticeKind.ISSUED, NoticeKind.RAISED, NoticeKind.MET)


def work_of_the_desk(entity: LegalEntity, sign: Sign) -> None:
    """Fill the lists of money out, claims of clients, contacts and cases.

    Args:
        sign: opens a short session of one of the demo people, by name.
    """
    _pay_clients(entity, sign)
    _hear_clients(sign)
    _write_to_clients(sign)
    _look_into_one(entity, sign)


def _agreed(approval_id: UUID, actor: Actor) -> None:
    """A second person looks, approves and applies."""
    reason = "Compared with what the client signed"
    decided = decide(approval_id, verdict="approved", reason=reason, actor=actor)
    apply_approved(decided, actor=actor)


# ---------------------------------------------------------------- money out


def _pay_clients(entity: LegalEntity, sign: Sign) -> None:
    """A withdrawal of each fate, one that waits for a second person, one that is refused."""
    buckets = _rich_buckets(entity, count=len(FATES))
    if not buckets:
        return
    waits = request_rule(
        hours=0, effective_from=timezone.now().date(), legal_entity=entity,
        reason="Instructions of the demo firm are used at once", actor=sign("l.brandt"),
    )  # fmt: skip
    _agreed(waits, sign("m.okafor"))
    bank = Location.objects.filter(
        kind="bank", pool__legal_entity=entity, pool__owner_class="CLIENT",
        individual_client__isnull=True,
    ).order_by("code")[0]  # fmt: skip
    asked = {
        fate: _ask(bucket, bank, share=place + 1, sign=sign)
        for place, (fate, bucket) in enumerate(zip(FATES, buckets, strict=False))
    }
    _ask(buckets[0], bank, share=1000, sign=sign)  # more than there is: the gate says why not
    if "cancelled" in asked and asked["cancelled"].state == Payment.State.RELEASED:
        cancel_withdrawal(
            asked["cancelled"], reason="The client changed their mind", actor=sign("l.brandt")
        )
    _carry_on(entity, asked, sign)


def _rich_buckets(entity: LegalEntity, *, count: int) -> list[Bucket]:
    """Free buckets of clients with money that no margin is required of."""
    rich = Balance.objects.filter(
        account__account_class=AccountClass.CLAIM, account__asset__code="USD",
        account__owner_class="CLIENT", account__margin_account__mode="cash",
        account__margin_account__legal_entity=entity, account__bucket__role=Bucket.Role.FREE,
        account__client__is_individually_segregated=False, amount__lt=-PAID_LEAST,
    ).order_by("account_id")  # fmt: skip
    found = list(rich.values_list("account__bucket", flat=True)[:count])
    buckets = Bucket.objects.select_related("account__client__person_key").in_bulk(found)
    return [buckets[pk] for pk in found]


def _ask(bucket: Bucket, bank: Location, *, share: int, sign: Sign) -> Payment:
    """A withdrawal of so many hundredths of the money, by the client's own instruction."""
    usd = Asset.objects.get(code="USD")
    held = Balance.objects.get(account__bucket=bucket, account__asset=usd,
                               account__account_class=AccountClass.CLAIM)  # fmt: skip
    amount = (held.amount.copy_negate() * share / 100).quantize(CENT)
    return request_withdrawal(
        Withdrawal(
            key=f"demo-{bucket.pk}-{share}", bucket=bucket, asset=usd, amount=amount,
            location=bank, instruction=_instruction(bucket, sign), pay_on=timezone.now().date(),
        ),
        reason="Asked for by the client in writing",
        actor=sign("l.brandt"),
    )  # fmt: skip


def _instruction(bucket: Bucket, sign: Sign) -> PaymentInstruction:
    """Where the client is paid, agreed to by two people once."""
    client = bucket.account.client
    assert client is not None, "a client's bucket"
    known = PaymentInstruction.objects.newest().filter(client=client, code="main").first()
    if known is not None:
        return known
    iban = IBANS[client.pk % len(IBANS)]
    payee = Payee(name=f"Client {client.code}", iban=iban)
    asked = request_instruction(
        client=client, code="main", asset_code="USD", method="bank", payee=payee,
        reason="From the account opening form", actor=sign("l.brandt"),
    )  # fmt: skip
    _agreed(asked, sign("s.iyer"))
    return PaymentInstruction.objects.newest().get(client=client, code="main")


def _carry_on(entity: LegalEntity, asked: dict[str, Payment], sign: Sign) -> None:
    """What is agreed to goes into files one after another; the bank has the first of them."""
    for fates in (("confirmed", "returned", "sent"), ("in_file",), ("approved",)):
        for fate in fates:
            approval_id = asked[fate].approval_id if fate in asked else None
            if approval_id is not None:
                _agreed(approval_id, sign("s.iyer"))
        if fates == ("approved",):
            return
        files = write_files(
            legal_entity_id=entity.pk, until=timezone.now().date(), format="pain.001",
            actor=sign("s.iyer"), reason="Files of the day",
        )  # fmt: skip
        if "sent" in fates:
            for file in files:
                record_sent(file, actor=sign("s.iyer"), reason="Handed to the bank at noon")
            _hear_from_the_bank(asked, sign)


def _hear_from_the_bank(asked: dict[str, Payment], sign: Sign) -> None:
    """One payment arrived and one came back, as two people say before any statement does."""
    for fate in ("confirmed", "returned"):
        payment = (
            Payment.objects.named().filter(pk=asked[fate].pk).first() if fate in asked else None
        )
        if payment is None or payment.state != Payment.State.SENT:
            continue
        said = request_outcome(
            payment, outcome=fate, reference=f"telephone {payment.end_to_end_id[:6]}",
            reason="As the bank said; its statement comes tomorrow", actor=sign("l.brandt"),
        )  # fmt: skip
        _agreed(said, sign("s.iyer"))


# ---------------------------------------------------------------- what clients say


def _hear_clients(sign: Sign) -> None:
    """One client contests a call by half, another promises to pay tomorrow."""
    delivered = MarginCall.objects.filter(state=MarginCall.State.DELIVERED).order_by("number")
    first, second = [*delivered[:2], None, None][:2]
    if first is not None:
        claim = Claim(
            undisputed=(first.amount / 2).quantize(CENT), why="price",
            reason="The client's own price of the day is higher than ours",
        )  # fmt: skip
        open_dispute(first.number, claim, actor=sign("l.brandt"))
    if second is not None:
        promise_payment(
            second.number, kind="promise", amount=second.amount,
            pay_by=timezone.now() + timedelta(days=1), reference="",
            words="Said on the telephone that the wire goes out tomorrow morning",
            actor=sign("l.brandt"),
        )  # fmt: skip


def _write_to_clients(sign: Sign) -> None:
    """Two clients of open calls are written to from now on, one of them by letter too."""
    called = MarginCall.objects.open().order_by("number").values_list(
        "scope__bucket__account__client", flat=True
    )  # fmt: skip
    keys = [key for key in dict.fromkeys(called) if key is not None][:2]
    by_letter = "Margin Desk\n1 Example Street\nExample City"
    drafts = (
        ContactDraft(
            "en", {"email": CALLED, "letter": CALLED}, email="margin@client.example",
            letter=by_letter,
        ),
        ContactDraft("en", {"email": CALLED}, email="treasury@client.example"),
    )  # fmt: skip
    for key, draft in zip(keys, drafts, strict=False):
        client = Client.objects.named().get(pk=key)
        asked = request_contacts(
            client, draft, reason="As the client named them in writing", actor=sign("l.brandt")
        )
        _agreed(asked.approval_id, sign("j.moreau"))


# ---------------------------------------------------------------- a case


def _look_into_one(entity: LegalEntity, sign: Sign) -> None:
    """Compliance looks into the client who contests a call."""
    call = (
        MarginCall.objects.filter(state=MarginCall.State.DISPUTED)
        .select_related("scope__bucket__account__client")
        .first()
    )
    bucket = None if call is None else call.scope.bucket
    if call is None or bucket is None or bucket.account.client is None:
        return
    last: date = call.business_day
    case = open_case(
        entity, client=bucket.account.client, first_day=last - timedelta(days=7), last_day=last,
        subject=f"Contested call {call.number}", reason="The client contests the price of the day",
        actor=sign("j.moreau"),
    )  # fmt: skip
    write_note(case, "Asked risk for the sources of the price.", actor=sign("j.moreau"))
