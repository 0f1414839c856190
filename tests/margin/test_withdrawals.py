"""A withdrawal from the request to the bank's line: each step with its entry, or none."""

from decimal import Decimal
from pathlib import Path

import pytest

from accounts.approvals import AskRefusedError
from accounts.audit import RefusedError, acting
from accounts.models import Bucket, PaymentInstruction, Role
from ledger.models import Entry, Payment, PaymentEvent, PaymentFile
from ledger.payment_files import record_sent, write_files
from margin.models import Task
from margin.payments.outcomes import request_outcome, settle_lines
from margin.payments.withdrawals import cancel_withdrawal, look, request_withdrawal
from tests.margin.paying import AT, DAY, JOB, WHY, PayingFirm, again, moved, paying_firm


@pytest.fixture
def firm(db: None, tmp_path: Path) -> PayingFirm:
    return paying_firm(tmp_path / "firm")


def settle() -> dict[str, int]:
    with acting(JOB, reason="Lines of a test"):
        return settle_lines(DAY, at=AT)


def send(firm: PayingFirm) -> PaymentFile:
    file = PaymentFile.objects.get(state="written")
    record_sent(file, actor=firm.actor(Role.TREASURY), reason="The bank has it now")
    return file


def test_each_step_has_its_entry_or_none(firm: PayingFirm) -> None:
    claim, bank = firm.claim(), firm.at_bank()
    before = Entry.objects.count()
    payment = firm.asked("100.00")
    assert (payment.state, Entry.objects.count()) == ("released", before)
    assert payment.approval_id is not None
    firm.agree(payment.approval_id)
    payment = again(payment)
    assert (payment.state, firm.claim(), firm.held()) == ("approved", claim - 100, 100)
    assert firm.at_bank() == bank
    (file,) = write_files(
        legal_entity_id=firm.entity.pk, until=DAY, format="pain.001",
        actor=firm.actor(Role.TREASURY), reason="Files of the day",
    )  # fmt: skip
    record_sent(file, actor=firm.actor(Role.TREASURY), reason="The bank has it now")
    assert (again(payment).state, Entry.objects.count()) == ("sent", before + 1)
    (line,) = firm.lines((payment.end_to_end_id, "-100.00", ""))
    assert settle() == {"confirmed": 1, "returned": 0, "left": 0}
    done = again(payment)
    assert (done.state, done.line_id, firm.held(), firm.at_bank()) == (
        "confirmed", line.pk, 0, bank - 100,
    )  # fmt: skip
    told = PaymentEvent.objects.filter(payment=payment).order_by("pk")
    assert [(e.from_state, e.to_state, e.entry_id) for e in told] == [
        ("", "requested", None), ("requested", "released", None),
        ("released", "approved", done.hold_entry_id), ("approved", "in_file", None),
        ("in_file", "sent", None), ("sent", "confirmed", done.paid_entry_id),
    ]  # fmt: skip
    assert settle() == {"confirmed": 0, "returned": 0, "left": 0}


def test_a_returned_payment_restores_the_claim_and_somebody_looks(firm: PayingFirm) -> None:
    claim, bank = firm.claim(), firm.at_bank()
    (payment,) = firm.in_file("100.00")
    send(firm)
    out, back = firm.lines(
        (payment.end_to_end_id, "-100.00", ""), ("R-77", "100.00", f"RETURN {payment}"),
    )  # fmt: skip
    assert settle() == {"confirmed": 1, "returned": 1, "left": 0}
    done = again(payment)
    assert (done.state, done.line_id, done.return_line_id) == ("returned", out.pk, back.pk)
    assert (firm.claim(), firm.held(), firm.at_bank()) == (claim, 0, bank)
    # The link holds both ways: from the payment to the entry, and from its key to the payment.
    assert done.return_entry is not None
    assert done.return_entry.key.key == f"payment:{payment.pk}:return"
    task = Task.objects.get(kind="payment", closed_at__isnull=True)
    assert task.owner == firm.desk[Role.TREASURY]
    assert task.key == f"returned:{payment.end_to_end_id}:{firm.entity.code}"


def test_one_cent_more_than_is_free_is_refused_with_the_term_and_nothing_moves(
    firm: PayingFirm,
) -> None:
    free = look(firm.withdrawal("1.00")).free
    before = firm.claim()
    refused = firm.asked(str(free.amount + Decimal("0.01")))
    assert (refused.state, refused.binding_term) == ("refused", free.binding.name)
    assert (refused.free_amount, refused.approval_id) == (free.amount, None)
    assert {term["name"] for term in refused.terms} >= {"claim", "settled", "location"}
    assert firm.claim() == before
    assert firm.asked(str(free.amount)).state == "released"


def test_the_gate_is_asked_again_when_the_second_person_agrees(firm: PayingFirm) -> None:
    free = look(firm.withdrawal("1.00")).free.amount
    first, second = firm.asked(str(free)), firm.asked(str(free))
    assert first.approval_id is not None
    assert second.approval_id is not None
    firm.agree(first.approval_id)
    before = moved()
    with pytest.raises(RefusedError) as refused:
        firm.agree(second.approval_id)
    assert refused.value.rule == "claim"
    assert (moved(), again(second).state) == (before, "released")


def test_the_same_key_is_one_payment_and_another_content_is_refused(firm: PayingFirm) -> None:
    first = firm.asked("10.00", key="K1")
    assert firm.asked("10.00", key="K1").pk == first.pk
    with pytest.raises(AskRefusedError) as refused:
        firm.asked("11.00", key="K1")
    assert refused.value.field == "key"
    assert Payment.objects.count() == 1


def test_who_asks_does_not_agree(firm: PayingFirm) -> None:
    payment = request_withdrawal(
        firm.withdrawal("10.00"), reason=WHY, actor=firm.actor(Role.TREASURY)
    )
    assert payment.approval_id is not None
    before = moved()
    with pytest.raises(RefusedError) as refused:
        firm.agree(payment.approval_id, Role.TREASURY)
    assert refused.value.rule == "approval_is_not_ones_own"
    assert (moved(), again(payment).state) == (before, "released")


def test_what_was_taken_back_is_agreed_to_in_vain(firm: PayingFirm) -> None:
    payment = firm.asked("10.00")
    actor = firm.actor(Role.OPERATIONS)
    cancel_withdrawal(payment, reason="The client thought again.", actor=actor)
    assert payment.approval_id is not None
    before = moved()
    with pytest.raises(RefusedError) as refused:
        firm.agree(payment.approval_id)
    assert refused.value.rule == "payment_moves_along_its_life"
    assert (moved(), again(payment).state) == (before, "cancelled")


def test_a_new_instruction_waits(db: None, tmp_path: Path) -> None:
    firm = paying_firm(tmp_path / "firm", waits=24)
    refused = firm.asked("10.00")
    assert (refused.state, refused.binding_term) == ("refused", "instruction")
    assert "waits until" in refused.note


def test_a_newer_version_of_the_instruction_stops_what_nobody_agreed_to(firm: PayingFirm) -> None:
    payment = firm.asked("10.00")
    firm.instruction()
    assert payment.approval_id is not None
    before = moved()
    with pytest.raises(RefusedError) as refused:
        firm.agree(payment.approval_id)
    assert (refused.value.rule, moved()) == ("instruction", before)
    assert PaymentInstruction.objects.newest().get().version == 2


def test_money_that_waits_for_its_payment_leaves_by_no_other_way(firm: PayingFirm) -> None:
    from margin.bucket_moves import make_move
    from tests.margin.test_bucket_moves import move

    firm.approved("100.00")
    hold = Bucket.objects.select_related("account").get(account=firm.bucket.account, role="HOLD")
    before = moved()
    with pytest.raises(RefusedError) as refused:
        make_move(move(hold, firm.bucket, Decimal("0.01")), actor=JOB, reason="Take it back")
    assert (refused.value.rule, moved()) == ("held_money_waits_for_its_payment", before)


def test_a_line_of_another_amount_settles_nothing_and_asks_somebody(firm: PayingFirm) -> None:
    (payment,) = firm.in_file("100.00")
    send(firm)
    firm.lines((payment.end_to_end_id, "-99.99", ""))
    before = moved()
    assert settle() == {"confirmed": 0, "returned": 0, "left": 1}
    assert (moved(), again(payment).state) == (before, "sent")
    assert (
        Task.objects.get(kind="payment").key
        == f"differs:{payment.end_to_end_id}:{firm.entity.code}"
    )


def test_a_line_proves_that_the_file_was_sent_and_its_others_are_not_sent_again(
    firm: PayingFirm,
) -> None:
    one, other = firm.in_file("100.00", "50.00")
    firm.lines((one.end_to_end_id, "-100.00", ""))
    assert settle()["confirmed"] == 1
    assert (again(one).state, again(other).state) == ("confirmed", "sent")
    assert PaymentFile.objects.get().state == "sent"


def test_two_people_say_that_a_sent_payment_never_left(firm: PayingFirm) -> None:
    claim = firm.claim()
    (payment,) = firm.in_file("100.00")
    send(firm)
    asked = request_outcome(
        again(payment), outcome="returned", reference="call of the bank", reason=WHY,
        actor=firm.actor(Role.OPERATIONS),
    )  # fmt: skip
    assert firm.claim() == claim - 100
    firm.agree(asked)
    assert (again(payment).state, firm.claim(), firm.held()) == ("returned", claim, 0)
    assert Task.objects.filter(kind="payment", key__startswith="returned:").count() == 1


def test_a_blocked_account_still_books_what_its_bank_has_paid(firm: PayingFirm) -> None:
    from ledger.blocks import block_outflows

    (payment,) = firm.in_file("100.00")
    send(firm)
    with acting(JOB, reason="A block for a test"):
        block_outflows(
            cause="outage", legal_entity=firm.entity, detail="An outage of the venue.",
        )  # fmt: skip
    firm.lines((payment.end_to_end_id, "-100.00", ""))
    assert settle()["confirmed"] == 1
    assert again(payment).state == "confirmed"
    assert firm.asked("1.00").binding_term == "block"
