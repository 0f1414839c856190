"""Status reports of the bank: what they add, what they give back, and what they may not move."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest

from accounts.audit import RefusedError, acting
from accounts.models import Role
from ledger.models import Payment, PaymentFile, PaymentReport, PaymentStatus, StatementFile
from ledger.pain import CannotOrderError, Order, pain_001
from ledger.payment_files import place_files, record_sent, request_abandon
from margin.models import Task
from margin.payments.outcomes import settle_lines
from margin.payments.reports import read_report
from tests.ledger.raw import Owner, run
from tests.margin.paying import AT, DAY, JOB, WHY, PayingFirm, again, moved, paying_firm


@pytest.fixture
def firm(db: None, tmp_path: Path) -> PayingFirm:
    return paying_firm(tmp_path / "firm")


def pain_002(
    file: PaymentFile | str, *payments: tuple[str, str] | tuple[str, str, str], group: str = "",
    reason: str = "AC04", version: str = "12", count: int | None = None,
) -> bytes:  # fmt: skip
    """A report on a file: (end-to-end id, status) or (.., .., amount), and the status of all."""
    why = f"<StsRsnInf><Rsn><Cd>{reason}</Cd></Rsn></StsRsnInf>"
    of = file if isinstance(file, str) else file.message_id
    single = "".join(
        f"<TxInfAndSts><OrgnlEndToEndId>{reference}</OrgnlEndToEndId><TxSts>{status}</TxSts>"
        + (why if status == "RJCT" else "")
        + "".join(
            f'<OrgnlTxRef><Amt><InstdAmt Ccy="USD">{each}</InstdAmt></Amt></OrgnlTxRef>'
            for each in amount
        )
        + "</TxInfAndSts>"
        for reference, status, *amount in payments
    )
    return (
        f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.{version}"><CstmrPmtStsRpt>'
        "<GrpHdr><MsgId>BANK-1</MsgId><CreDtTm>2031-03-05T15:00:00Z</CreDtTm></GrpHdr>"
        f"<OrgnlGrpInfAndSts><OrgnlMsgId>{of}</OrgnlMsgId><OrgnlMsgNmId>pain.001</OrgnlMsgNmId>"
        + (f"<OrgnlNbOfTxs>{count}</OrgnlNbOfTxs>" if count is not None else "")
        + (f"<GrpSts>{group}</GrpSts>" if group else "")
        + (why if group == "RJCT" else "")
        + "</OrgnlGrpInfAndSts>"
        + (f"<OrgnlPmtInfAndSts><OrgnlPmtInfId>{of}</OrgnlPmtInfId>{single}</OrgnlPmtInfAndSts>"
           if single else "")
        + "</CstmrPmtStsRpt></Document>"
    ).encode()  # fmt: skip


def sent(firm: PayingFirm, *amounts: str) -> tuple[list[Payment], PaymentFile]:
    payments = firm.in_file(*amounts)
    file = PaymentFile.objects.latest("pk")
    record_sent(file, actor=firm.actor(Role.TREASURY), reason="The bank has it now")
    return [again(payment) for payment in payments], PaymentFile.objects.get(pk=file.pk)


def read(firm: PayingFirm, content: bytes) -> tuple[PaymentReport, bool]:
    return read_report(
        content, name="report.xml", legal_entity=firm.entity, actor=JOB, reason="A report came"
    )


def tasks() -> int:
    return Task.objects.filter(kind="payment").count()


def outcomes(report: PaymentReport) -> Sequence[tuple[str, str]]:
    return list(report.statuses.order_by("ordinal").values_list("status", "outcome"))


def test_a_rejected_payment_is_owed_again_exactly_once_and_others_are_noted(
    firm: PayingFirm,
) -> None:
    claim, bank = firm.claim(), firm.at_bank()
    (one, other), file = sent(firm, "10.00", "20.00")
    content = pain_002(
        file, (one.end_to_end_id, "RJCT", "10.00"), (other.end_to_end_id, "ACSP"), group="PART"
    )
    report, is_new = read(firm, content)
    assert is_new
    assert (report.rejection, outcomes(report)) == ("", [("RJCT", "returned"), ("ACSP", "noted")])
    one = again(one)
    assert (one.state, one.return_code, again(other).state) == ("returned", "AC04", "sent")
    assert (firm.claim(), firm.held(), firm.at_bank()) == (claim - 20, 20, bank)
    task = Task.objects.get(kind="payment")
    assert task.key == f"returned:{one.end_to_end_id}:{firm.entity.code}"
    assert bytes(StatementFile.objects.get(pk=report.file_id).content) == content
    before = moved()
    assert read(firm, content) == (report, False)
    # Another report that says the same adds words and moves nothing.
    again_said, _ = read(firm, pain_002(file, (one.end_to_end_id, "RJCT")))
    assert outcomes(again_said) == [("RJCT", "noted")]
    assert (moved(), firm.claim(), tasks()) == (before, claim - 20, 1)


@pytest.mark.parametrize("version", ["03", "10", "12", "14"])
def test_a_file_that_is_rejected_whole_gives_everything_back(
    firm: PayingFirm, version: str
) -> None:
    claim = firm.claim()
    payments = firm.in_file("10.00", "20.00", "30.00")
    file = PaymentFile.objects.get()
    # Nobody recorded that it was sent; the report shows that the bank has it.
    report, _ = read(firm, pain_002(file, group="RJCT", reason="AM05", version=version, count=3))
    assert outcomes(report) == [("RJCT", "returned")] * 3
    assert {again(each).state for each in payments} == {"returned"}
    assert (firm.claim(), firm.held()) == (claim, 0)
    assert PaymentFile.objects.get().state == "sent"


@pytest.mark.parametrize("status", ["RCVD", "ACTC", "ACCP", "PDNG", "ACSP", "ACSC"])
def test_what_is_accepted_adds_evidence_and_moves_nothing(firm: PayingFirm, status: str) -> None:
    _, file = sent(firm, "10.00", "20.00")
    before, claim = moved(), firm.claim()
    report, _ = read(firm, pain_002(file, group=status))
    assert outcomes(report) == [(status, "noted")] * 2
    assert (moved(), firm.claim(), tasks()) == (before, claim, 0)


def test_what_contradicts_is_left_to_a_person_and_moves_nothing(firm: PayingFirm) -> None:
    (paid, settled, plain), file = sent(firm, "10.00", "20.00", "30.00")
    firm.lines((paid.end_to_end_id, "-10.00", ""))
    with acting(JOB, reason="Lines of a test"):
        settle_lines(DAY, at=AT)
    read(firm, pain_002(file, (settled.end_to_end_id, "ACSC")))
    before, claim = moved(), firm.claim()
    report, _ = read(firm, pain_002(
        file, (paid.end_to_end_id, "RJCT"), (settled.end_to_end_id, "RJCT"),
        (plain.end_to_end_id, "RJCT", "30.01"), ("PNOSUCHPAYMENT22", "RJCT"),
        (plain.end_to_end_id, "CANC"),
    ))  # fmt: skip
    assert [each for _, each in outcomes(report)] == ["left"] * 5
    assert (moved(), firm.claim(), firm.held()) == (before, claim, 50)
    opened = Task.objects.filter(kind="payment")
    assert opened.count() == 5
    assert {task.owner_role for task in opened} == {"treasury"}
    assert all(firm.entity.code in task.key.split(":") for task in opened)
    whole, _ = read(firm, pain_002(file, (plain.end_to_end_id, "ACSC"), group="RJCT"))
    assert {each for _, each in outcomes(whole)} == {"left"}
    assert (moved(), firm.claim()) == (before, claim)


def test_a_report_on_no_file_of_ours_is_kept_and_not_used(firm: PayingFirm) -> None:
    (payment,), file = sent(firm, "10.00")
    before, claim = moved(), firm.claim()
    unusable = [
        pain_002("MNOTOURS", (payment.end_to_end_id, "RJCT")),
        pain_002(file, group="RJCT", count=2),
        pain_002(file, group="RJCT", version="01"),
        pain_002(file, group="RJCT").replace(b"OrgnlMsgId", b"OrgnlId"),
        b"<!DOCTYPE x [<!ENTITY y 'z'>]>" + pain_002(file, group="RJCT"),
        b"\x00nothing",
    ]
    for number, content in enumerate(unusable, start=1):
        report, _ = read(firm, content)
        assert report.rejection
        assert (outcomes(report), tasks()) == ([], number)
        assert bytes(StatementFile.objects.get(pk=report.file_id).content) == content
    assert (moved(), firm.claim(), again(payment).state) == (before, claim, "sent")


def test_a_report_on_an_abandoned_file_moves_nothing(firm: PayingFirm) -> None:
    (payment,) = firm.in_file("10.00")
    file = PaymentFile.objects.get()
    firm.agree(request_abandon(file, reason=WHY, actor=firm.actor(Role.OPERATIONS)))
    before = moved()
    report, _ = read(firm, pain_002(file, group="RJCT"))
    assert "abandoned" in report.rejection
    assert (moved(), again(payment).state, tasks()) == (before, "approved", 1)


def test_the_database_asks_for_the_report_that_rejects(firm: PayingFirm, owner: Owner) -> None:
    (payment, settled), file = sent(firm, "10.00", "20.00")
    report, _ = read(firm, pain_002(file, (settled.end_to_end_id, "ACSC")))
    before = moved()
    say = (
        "INSERT INTO ledger_paymentstatus (report_id, ordinal, payment_id, end_to_end_id, status,"
        " reason_code, amount, outcome, detail)"
        " VALUES (%s, 9, %s, %s, %s, 'AC04', %s, 'returned', '')"
    )
    for of, reference, status, amount in (
        (payment, payment.end_to_end_id, "ACSC", None),
        (payment, "POTHER", "RJCT", None),
        (payment, "", "RJCT", 11),
        (settled, "", "RJCT", None),
    ):
        with pytest.raises(psycopg.Error) as refusal:
            run(owner, (say, [report.pk, of.pk, reference, status, amount]))
        assert refusal.value.diag.constraint_name == "payment_is_rejected_by_its_bank"
    # A status that rejects is no more than evidence: the entry has to be there, too.
    with pytest.raises(psycopg.Error) as refusal:
        run(
            owner,
            (say, [report.pk, payment.pk, "", "RJCT", None]),
            ("UPDATE ledger_payment SET state = 'returned' WHERE id = %s", [payment.pk]),
        )
    assert refusal.value.diag.constraint_name == "payment_has_its_entry"
    assert (moved(), PaymentStatus.objects.count()) == (before, 1)
    report_columns = (
        "legal_entity_id, file_id, version, message_id, original_message_id, payment_file_id,"
        " rejection"
    )
    status_columns = (
        "report_id, ordinal, payment_id, end_to_end_id, status, reason_code, amount, outcome,"
        " detail"
    )
    for table, columns, rule in (
        ("ledger_paymentreport", report_columns, "payment_report_is_read_once"),
        ("ledger_paymentstatus", status_columns, "payment_status_is_counted"),
    ):
        with pytest.raises(psycopg.Error) as refusal:
            run(owner, f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {table}")
        assert refusal.value.diag.constraint_name == rule
    for table in ("ledger_paymentreport", "ledger_paymentstatus"):
        with pytest.raises(psycopg.Error):
            run(owner, f"DELETE FROM {table}")


def test_a_file_that_does_not_pass_its_schema_is_never_sent(
    firm: PayingFirm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # As an older release may have written it.
    def older(order: Order) -> bytes:
        return pain_001(order).replace(b"<PmtMtd>TRF</PmtMtd>", b"")

    with monkeypatch.context() as patched:
        patched.setattr("ledger.payment_files.pain_001", older)
        firm.in_file("10.00")
    file = PaymentFile.objects.get()
    before = moved()
    with pytest.raises(RefusedError) as refused:
        record_sent(file, actor=JOB, reason="The bank has it now")
    assert refused.value.rule == "payment_file_passes_its_schema"
    with pytest.raises(RefusedError):
        place_files(tmp_path / "out", actor=JOB)
    assert (moved(), list((tmp_path / "out").iterdir())) == (before, [])
    assert PaymentFile.objects.get().state == "written"


def test_a_payment_that_cannot_be_said_keeps_all_files_from_being_written(
    firm: PayingFirm, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = firm.approved("10.00"), firm.approved("20.00")
    before = moved()

    def with_more_decimals(payment: Payment) -> Decimal:
        return payment.amount + (Decimal("0.001") if payment.pk == bad.pk else 0)

    monkeypatch.setattr("ledger.payment_files._in_full", with_more_decimals)
    with pytest.raises(CannotOrderError) as refused:
        firm.in_file()
    assert f"Payment {bad.end_to_end_id}, Amt/InstdAmt" in str(refused.value)
    assert moved() == before
    assert {again(good).state, again(bad).state} == {"approved"}
    assert not PaymentFile.objects.exists()
