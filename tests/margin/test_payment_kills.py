"""kill -9 of the process that writes, sends or confirms, at every step: nobody is paid twice."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from accounts.audit import Actor, acting
from ledger.models import Payment, PaymentFile, PaymentInFile
from ledger.payment_files import record_sent
from margin.payments.outcomes import settle_lines
from tests.margin.killing import dies, killed
from tests.margin.paying import AT, DAY, PayingFirm, again, paying_firm

FILES, COMMAND = "ledger.payment_files", "brokerage.management.commands.payments"
# Where the process dies: before or after the named function does its work.
WRITING = [
    (f"{FILES}.step", "before"),  # the file is written, its transaction is not committed
    (f"{COMMAND}.place_files", "before"),  # committed, nothing on disk
    (f"{FILES}._lay_down", "before"),
    (f"{FILES}._sync", "before"),  # on disk under its name, the folder not flushed
    (f"{FILES}.record_placed", "before"),  # on disk, not recorded
    (f"{FILES}.record_placed", "after"),  # recorded, the process says nothing any more
]


@pytest.fixture
def firm(db: None, tmp_path: Path) -> PayingFirm:
    return paying_firm(tmp_path / "firm")


def killed_at(place: str, when: str, work: Callable[[], object]) -> None:
    """Do it in a process that dies before or after the named function has done its own."""
    module, _, name = place.rpartition(".")
    owner = import_module(module)
    real = getattr(owner, name)

    def at_its_end(*arguments: Any, **named: Any) -> None:
        if when == "after":
            real(*arguments, **named)
        dies()

    def dying() -> None:
        setattr(owner, name, at_its_end)
        work()

    killed(dying)


def check(payments: list[Payment], folder: Path) -> None:
    """Each payment is in exactly one file; what lies on disk is what the database says."""
    for payment in payments:
        assert PaymentInFile.objects.filter(payment=payment, is_live=True).count() == 1
    on_disk = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert on_disk == {file.name: bytes(file.content) for file in PaymentFile.objects.all()}
    told = b"".join(on_disk.values())
    for payment in payments:
        assert told.count(f"<EndToEndId>{payment.end_to_end_id}<".encode()) == 1
    assert not PaymentFile.objects.filter(placed_at__isnull=True).exists()


def test_a_process_killed_at_any_step_of_writing_leaves_each_payment_in_one_file(
    firm: PayingFirm, tmp_path: Path
) -> None:
    folder, payments = tmp_path / "out", []
    folder.mkdir()
    for number, (place, when) in enumerate(WRITING, start=1):
        payments.append(firm.approved(f"{number}.00"))
        killed_at(place, when, lambda: call_command("payments", "write", "--folder", str(folder)))
        call_command("payments", "write", "--folder", str(folder))
        check(payments, folder)
        # And once more, as somebody does who does not know how far it came.
        call_command("payments", "write", "--folder", str(folder))
        check(payments, folder)
    assert PaymentFile.objects.count() == len(WRITING)


def test_a_process_killed_while_it_sends_or_confirms_leaves_all_or_nothing(
    firm: PayingFirm,
) -> None:
    bank = firm.at_bank()
    first, second = firm.in_file("10.00", "20.00")
    file = PaymentFile.objects.get()
    actor = Actor.command("payments")
    sent = "The bank has it"
    killed_at(f"{FILES}.step", "after", lambda: record_sent(file, actor=actor, reason=sent))
    assert (PaymentFile.objects.get().state, again(first).state) == ("written", "in_file")
    assert record_sent(file, actor=actor, reason=sent)
    assert not record_sent(file, actor=actor, reason=sent)
    firm.lines((first.end_to_end_id, "-10.00", ""), (second.end_to_end_id, "-20.00", ""))

    def settle() -> None:
        with acting(actor, reason="Lines of a test"):
            settle_lines(DAY, at=AT)

    killed_at("margin.payments.outcomes.step", "after", settle)
    assert (again(first).state, firm.at_bank()) == ("sent", bank)
    for _ in range(2):
        settle()
        assert (again(first).state, again(second).state) == ("confirmed", "confirmed")
        assert (firm.at_bank(), firm.held()) == (bank - 30, 0)


REPORTS = "margin.payments.reports"
# The report is kept; its file is sent; a status is written; the claim is back; the step is taken.
READING = [("keep_file", "after"), ("mark_sent", "after"), ("_keep", "after"),
           ("book_back", "after"), ("step", "after"), ("open_tasks", "after")]  # fmt: skip


def test_a_process_killed_while_it_reads_a_report_gives_the_money_back_once(
    firm: PayingFirm,
) -> None:
    from ledger.models import PaymentReport
    from margin.payments.reports import read_report
    from tests.margin.test_payment_reports import pain_002

    claim = firm.claim()
    (payment,) = firm.in_file("10.00")
    content = pain_002(PaymentFile.objects.get(), group="RJCT")

    def read() -> bool:
        actor = Actor.command("payments")
        said = {"name": "r", "legal_entity": firm.entity, "reason": "A report came"}
        return read_report(content, actor=actor, **said)[1]

    for place, when in READING:
        killed_at(f"{REPORTS}.{place}", when, read)
        assert (PaymentReport.objects.count(), again(payment).state) == (0, "in_file")
        assert (firm.claim(), firm.held()) == (claim - 10, 10)
    for is_new in (True, False):
        assert read() is is_new
        assert (again(payment).state, firm.claim(), firm.held()) == ("returned", claim, 0)
    assert PaymentReport.objects.count() == 1
