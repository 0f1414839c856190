"""What the database refuses of payments, whoever asks: each rule by hand, as the owner."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from accounts.audit import RefusedError, acting
from accounts.models import PaymentInstruction
from ledger.models import Payment, PaymentFile, PaymentInFile, StatementLine
from ledger.payment_files import record_sent
from ledger.payments import locked, step
from margin.payments.outcomes import _book_out
from tests.ledger.raw import Owner, run
from tests.margin.paying import AT, JOB, PayingFirm, again, moved, paying_firm


@pytest.fixture
def firm(db: None, tmp_path: Path) -> PayingFirm:
    return paying_firm(tmp_path / "firm")


@contextmanager
def refused(rule: str) -> Iterator[None]:
    """Prove that what is done inside is refused by this rule and that nothing moved."""
    before = moved(), list(Payment.objects.order_by("pk").values_list("pk", "state"))
    with pytest.raises(psycopg.Error) as refusal:
        yield
    assert refusal.value.diag.constraint_name == rule, refusal.value
    assert (moved(), list(Payment.objects.order_by("pk").values_list("pk", "state"))) == before


def to(payment: Payment, state: str, **columns: Any) -> tuple[str, list[Any]]:
    """The statement that sets a payment to a state."""
    sets = ", ".join(f"{name} = %s" for name in ("state", *columns))
    return (
        f"UPDATE ledger_payment SET {sets} WHERE id = %s",
        [state, *columns.values(), payment.pk],
    )


def test_a_payment_takes_no_step_without_its_evidence(firm: PayingFirm, owner: Owner) -> None:
    payment = firm.asked("10.00")
    with refused("payment_is_approved_by_two"):
        run(owner, to(payment, "approved"))
    with refused("payment_moves_along_its_life"):
        run(owner, to(payment, "sent"))
    with refused("payment_moves_along_its_life"):
        run(owner, to(payment, "released"))
    with refused("payment_stays_itself"):
        run(owner, to(payment, "cancelled", amount=11))
    with refused("row_is_kept"):
        run(owner, "DELETE FROM ledger_payment")
    approved = firm.approved("20.00")
    with refused("payment_is_in_its_file"):
        run(owner, to(approved, "in_file"))
    with refused("payment_has_its_entry"):
        run(owner, to(approved, "confirmed", paid_entry_id=approved.hold_entry_id))
    with refused("payment_has_its_entry"):
        run(owner, to(approved, "cancelled"))
    (carried,) = firm.in_file("30.00")
    with refused("payment_is_in_its_file"):
        run(owner, to(carried, "sent"))
    with refused("payment_leaves_its_file_when_abandoned"):
        run(owner, to(carried, "approved"))


def test_a_request_is_released_or_refused_with_what_the_gate_said(
    firm: PayingFirm, owner: Owner
) -> None:
    model = firm.asked("10.00")
    names = [f.column for f in Payment._meta.concrete_fields]
    own = {"id": "gen_random_uuid()", "key": "'by hand'", "end_to_end_id": "'P222222222222222'",
           "state": "'requested'", "approval_id": "NULL"}  # fmt: skip

    def copy(**changed: str) -> str:
        values = ", ".join((own | changed).get(name, name) for name in names)
        return (
            f"INSERT INTO ledger_payment ({', '.join(names)}) SELECT {values}"
            f" FROM ledger_payment WHERE id = '{model.pk}'"
        )

    with refused("payment_moves_along_its_life"):
        run(owner, copy(state="'approved'"))
    with refused("payment_key_is_unique"):
        run(owner, copy(key="key"))
    with refused("payment_has_its_own_reference"):
        run(owner, copy(end_to_end_id="end_to_end_id"))
    with refused("payment_is_an_amount"):
        run(owner, copy(amount="0"))
    with refused("payment_is_to_its_own_client"):
        other = PaymentInstruction.objects.get().client_id
        run(owner, copy(bucket_id=f"(SELECT b.id FROM accounts_bucket b JOIN"
            " accounts_marginaccount m ON m.id = b.account_id WHERE b.role = 'FREE'"
            f" AND m.client_id <> {other} LIMIT 1)"))  # fmt: skip
    last = "UPDATE ledger_payment SET state = '{}', binding_term = '{}' WHERE key = 'by hand'"
    with refused("payment_is_refused_with_its_term"):
        run(owner, copy(free_amount="NULL"), last.format("refused", ""))
    with refused("payment_is_released_by_the_gate"):
        run(owner, copy(), last.format("released", "claim"))


def test_a_file_is_what_it_was_and_ends_once(firm: PayingFirm, owner: Owner) -> None:
    one, other = firm.in_file("10.00", "20.00")
    file = PaymentFile.objects.get()
    waiting = firm.approved("5.00")
    names = [f.column for f in PaymentFile._meta.concrete_fields if f.column != "id"]

    def copy(**changed: str) -> str:
        values = ", ".join(changed.get(name, name) for name in names)
        return (
            f"INSERT INTO ledger_paymentfile ({', '.join(names)}) SELECT {values}"
            " FROM ledger_paymentfile"
        )

    with refused("payment_message_has_its_own_id"):
        run(owner, copy())
    with refused("payment_file_is_what_its_hash_says"):
        run(owner, copy(message_id="'M2'", content="'x'::bytea"))
    with refused("payment_file_holds_payments"):
        run(owner, copy(message_id="'M2'", payment_count="0"))
    with refused("payment_file_stays_itself"):
        run(owner, "UPDATE ledger_paymentfile SET content = 'x'")
    with refused("payment_file_is_abandoned_by_two"):
        run(owner, "UPDATE ledger_paymentfile SET state = 'abandoned'")
    carry = (
        "INSERT INTO ledger_paymentinfile (file_id, payment_id, ordinal, is_live)"
        " VALUES (%s, %s, %s, true)"
    )
    with refused("payment_enters_a_file_of_its_bank"):
        run(owner, (carry, [file.pk, one.pk, 3]))
    with refused("payment_file_counts_its_payments"):
        run(owner, (carry, [file.pk, waiting.pk, 1]))
    with refused("payment_enters_a_file_of_its_bank"):
        run(owner, "UPDATE ledger_paymentinfile SET is_live = false")
    with refused("carried_payment_stays_itself"):
        run(owner, ("UPDATE ledger_paymentinfile SET payment_id = %s", [waiting.pk]))
    run(owner, "UPDATE ledger_paymentfile SET placed_at = now()")
    with refused("payment_file_is_placed_once"):
        run(owner, "UPDATE ledger_paymentfile SET placed_at = now()")
    run(owner, "UPDATE ledger_paymentfile SET state = 'sent'")
    with refused("payment_file_ends_once"):
        run(owner, "UPDATE ledger_paymentfile SET state = 'abandoned'")
    assert {again(one).state, again(other).state} == {"in_file"}


def test_a_payment_is_in_one_file_only(firm: PayingFirm, owner: Owner) -> None:
    firm.in_file("10.00")
    second = firm.approved("20.00")
    carried = PaymentInFile.objects.get()
    with refused("payment_is_in_one_file"), owner.transaction():
        owner.execute("INSERT INTO accounts_act (actor, channel, request_id, reason)"
                      " VALUES ('system:command:by-hand', 'command', '', 'By hand')")  # fmt: skip
        # Two rows of one payment in the same statement: both see it approved.
        owner.execute(
            "INSERT INTO ledger_paymentfile (message_id, location_id, pay_on, format, content,"
            " sha256, payment_count, control_sum, state, note) SELECT 'M2', location_id, pay_on,"
            " format, content, sha256, 2, 40, 'written', '' FROM ledger_paymentfile WHERE id = %s",
            [carried.file_id],
        )
        owner.execute(
            "INSERT INTO ledger_paymentinfile (file_id, payment_id, ordinal, is_live)"
            " SELECT f.id, %s, n, true FROM ledger_paymentfile f, generate_series(1, 2) n"
            " WHERE f.message_id = 'M2'",
            [second.pk],
        )


def test_instructions_and_their_wait_are_set_by_two(firm: PayingFirm, owner: Owner) -> None:
    names = "client_id, code, version, asset_code, method, details_sealed, is_active, usable_from"
    copied = (
        f"INSERT INTO accounts_paymentinstruction ({names}, approval_id)"
        f" SELECT {names}, approval_id FROM accounts_paymentinstruction"
    )
    with refused("instruction_is_agreed_by_two"):
        run(owner, copied)
    with refused("instruction_rule_is_set_by_two"):
        run(owner, "INSERT INTO accounts_instructionrule (legal_entity_id, effective_from, hours)"
                   f" VALUES ({firm.entity.pk}, '2026-01-02', 0)")  # fmt: skip
    with refused("history_is_append_only"):
        run(owner, "UPDATE accounts_paymentinstruction SET usable_from = '2000-01-01'")
    with refused("payment_step_is_unique"):
        run(owner, "INSERT INTO ledger_paymentstep (from_state, to_state, moves)"
                   " VALUES ('in_file', 'sent', '')")  # fmt: skip


def test_nobody_confirms_without_a_line_or_a_second_person(firm: PayingFirm) -> None:
    (payment,) = firm.in_file("10.00")
    record_sent(PaymentFile.objects.get(), actor=JOB, reason="The bank has it now")
    (line,) = firm.lines(("SOMETHING-ELSE", "-10.00", ""))
    before = moved()
    for shown in ({}, {"line": line}):
        with pytest.raises(RefusedError) as refusal, acting(JOB, reason="Without a line"):
            confirm_by_hand(payment, shown)
        assert (refusal.value.rule, moved()) == ("payment_ends_with_evidence", before)
    assert again(payment).state == "sent"


def confirm_by_hand(payment: Payment, shown: dict[str, StatementLine]) -> None:
    """Book the payment as paid with whatever is shown for it; inside an act."""
    now = locked(payment.pk)
    entry = _book_out(now, reference="made up", at=AT)
    step(now, "confirmed", note="made up", paid_entry_id=entry, **shown)
