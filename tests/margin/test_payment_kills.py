"""kill -9 of the process that writes, sends or confirms, at every step: nobody is paid twice."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection

from ledger.models import Payment, PaymentFile, PaymentInFile
from tests.cluster import ROOT, Cluster
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
CHILD = """
import os, signal, sys
from datetime import date, datetime
from importlib import import_module
import django
django.setup()
place, when, what, folder, day, at = sys.argv[1:]
import margin.payments.reports
module, _, name = place.rpartition(".")
owner = import_module(module)
real = getattr(owner, name)
def dies(*arguments, **named):
    if when == "after":
        real(*arguments, **named)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(owner, name, dies)
from accounts.audit import Actor, acting
from django.core.management import call_command
from ledger.models import PaymentFile
from ledger.payment_files import record_sent
from margin.payments.outcomes import settle_lines
actor = Actor.command("payments")
if what == "write":
    call_command("payments", "write", "--folder", folder)
elif what == "report":
    from accounts.models import LegalEntity
    from margin.payments.reports import read_report
    with open(folder, "rb") as file:
        read_report(file.read(), name="r", legal_entity=LegalEntity.objects.get(), actor=actor,
                    reason="A report came")
elif what == "send":
    record_sent(PaymentFile.objects.get(state="written"), actor=actor, reason="The bank has it")
else:
    with acting(actor, reason="Lines of a test"):
        settle_lines(date.fromisoformat(day), at=datetime.fromisoformat(at))
"""


@pytest.fixture
def firm(db: None, tmp_path: Path) -> PayingFirm:
    return paying_firm(tmp_path / "firm")


def killed(cluster: Cluster, place: str, when: str, what: str, folder: Path) -> None:
    """Run a step in a process of its own that kills itself on the way."""
    database = str(connection.settings_dict["NAME"])
    environment = os.environ | {
        "DATABASE_URL": cluster.conninfo("bo_runtime", database=database),
        "DJANGO_SETTINGS_MODULE": "brokerage.settings",
    }
    environment.pop("DJANGO_ALLOW_ASYNC_UNSAFE", None)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, place, when, what, str(folder), DAY.isoformat(),
         AT.isoformat()],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]


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
    firm: PayingFirm, cluster: Cluster, tmp_path: Path
) -> None:
    folder, payments = tmp_path / "out", []
    folder.mkdir()
    for number, (place, when) in enumerate(WRITING, start=1):
        payments.append(firm.approved(f"{number}.00"))
        killed(cluster, place, when, "write", folder)
        call_command("payments", "write", "--folder", str(folder))
        check(payments, folder)
        # And once more, as somebody does who does not know how far it came.
        call_command("payments", "write", "--folder", str(folder))
        check(payments, folder)
    assert PaymentFile.objects.count() == len(WRITING)


def test_a_process_killed_while_it_sends_or_confirms_leaves_all_or_nothing(
    firm: PayingFirm, cluster: Cluster, tmp_path: Path
) -> None:
    from accounts.audit import Actor, acting
    from ledger.payment_files import record_sent
    from margin.payments.outcomes import settle_lines

    bank = firm.at_bank()
    first, second = firm.in_file("10.00", "20.00")
    file = PaymentFile.objects.get()
    killed(cluster, f"{FILES}.step", "after", "send", tmp_path)
    assert (PaymentFile.objects.get().state, again(first).state) == ("written", "in_file")
    actor = Actor.command("payments")
    assert record_sent(file, actor=actor, reason="The bank has it")
    assert not record_sent(file, actor=actor, reason="The bank has it")
    firm.lines((first.end_to_end_id, "-10.00", ""), (second.end_to_end_id, "-20.00", ""))
    killed(cluster, "margin.payments.outcomes.step", "after", "settle", tmp_path)
    assert (again(first).state, firm.at_bank()) == ("sent", bank)
    for _ in range(2):
        with acting(actor, reason="Lines of a test"):
            settle_lines(DAY, at=AT)
        assert (again(first).state, again(second).state) == ("confirmed", "confirmed")
        assert (firm.at_bank(), firm.held()) == (bank - 30, 0)


REPORTS = "margin.payments.reports"
# The report is kept; its file is sent; a status is written; the claim is back; the step is taken.
READING = [("keep_file", "after"), ("mark_sent", "after"), ("_keep", "after"),
           ("book_back", "after"), ("step", "after"), ("open_tasks", "after")]  # fmt: skip


def test_a_process_killed_while_it_reads_a_report_gives_the_money_back_once(
    firm: PayingFirm, cluster: Cluster, tmp_path: Path
) -> None:
    from accounts.audit import Actor
    from ledger.models import PaymentReport
    from margin.payments.reports import read_report
    from tests.margin.test_payment_reports import pain_002

    claim = firm.claim()
    (payment,) = firm.in_file("10.00")
    content = pain_002(PaymentFile.objects.get(), group="RJCT")
    path = tmp_path / "report.xml"
    path.write_bytes(content)
    for place, when in READING:
        killed(cluster, f"{REPORTS}.{place}", when, "report", path)
        assert (PaymentReport.objects.count(), again(payment).state) == (0, "in_file")
        assert (firm.claim(), firm.held()) == (claim - 10, 10)
    for is_new in (True, False):
        _, was_new = read_report(
            content, name="r", legal_entity=firm.entity, actor=Actor.command("payments"),
            reason="A report came",
        )  # fmt: skip
        assert was_new is is_new
        assert (again(payment).state, firm.claim(), firm.held()) == ("returned", claim, 0)
    assert PaymentReport.objects.count() == 1
