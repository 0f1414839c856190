"""Payment files: what is in them, that a payment is in one, and that one is sent once."""

import csv
import hashlib
import io
from decimal import Decimal
from pathlib import Path
from xml.etree.ElementTree import fromstring

import pytest

from accounts.audit import RefusedError, acting
from accounts.models import Role
from ledger.models import PaymentFile, PaymentInFile
from ledger.payment_files import (
    FileInTheWayError,
    place_files,
    record_sent,
    request_abandon,
    write_files,
)
from margin.models import Task
from margin.payments.outcomes import settle_lines
from tests.margin.paying import AT, DAY, JOB, WHY, PayingFirm, again, moved, paying_firm

NS = {"p": "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"}


@pytest.fixture
def firm(db: None, tmp_path: Path) -> PayingFirm:
    return paying_firm(tmp_path / "firm")


def write(firm: PayingFirm, format: str = "pain.001") -> list[PaymentFile]:  # noqa: A002
    return write_files(
        legal_entity_id=firm.entity.pk, until=DAY, format=format,
        actor=firm.actor(Role.TREASURY), reason="Files of the day",
    )  # fmt: skip


def send(firm: PayingFirm, file: PaymentFile) -> bool:
    return record_sent(file, actor=firm.actor(Role.TREASURY), reason="The bank has it now")


def abandon(firm: PayingFirm, file: PaymentFile) -> None:
    firm.agree(
        request_abandon(file, reason="It never went out.", actor=firm.actor(Role.OPERATIONS))
    )


def test_a_file_says_every_payment_with_its_count_and_sum(firm: PayingFirm) -> None:
    first, second = firm.in_file("100.00", "0.05")
    file = PaymentFile.objects.get()
    content = bytes(file.content)
    assert file.sha256 == hashlib.sha256(content).hexdigest()
    root = fromstring(content)

    def said(path: str) -> list[str | None]:
        return [each.text for each in root.findall(path, NS)]

    assert said(".//p:MsgId") == said(".//p:PmtInfId") == [file.message_id]
    assert said(".//p:NbOfTxs") == ["2", "2"]
    assert said(".//p:CtrlSum") == ["100.05", "100.05"]
    assert said(".//p:ReqdExctnDt/p:Dt") == [DAY.isoformat()]
    expected = {first.end_to_end_id: "100.00", second.end_to_end_id: "0.05"}
    amounts = dict(zip(said(".//p:EndToEndId"), said(".//p:InstdAmt"), strict=True))
    assert amounts == expected
    assert said(".//p:Cdtr/p:Nm") == ["Ada Example"] * 2
    assert said(".//p:CdtrAcct/p:Id/p:IBAN") == ["DE89370400440532013000"] * 2
    assert said(".//p:CdtrAgt/p:FinInstnId/p:BICFI") == ["COBADEFFXXX"] * 2
    assert [each.tag.split("}")[1] for each in root[0][1]] == [
        "PmtInfId", "PmtMtd", "NbOfTxs", "CtrlSum", "ReqdExctnDt", "Dbtr", "DbtrAcct", "DbtrAgt",
        "ChrgBr", "CdtTrfTxInf", "CdtTrfTxInf",
    ]  # fmt: skip


def test_a_csv_for_entry_by_hand_says_the_same(firm: PayingFirm) -> None:
    (payment,) = firm.in_file("100.00", format="csv")
    file = PaymentFile.objects.get()
    (row,) = csv.DictReader(io.StringIO(bytes(file.content).decode()))
    assert (row["end_to_end_id"], Decimal(row["amount"]), row["currency"]) == (
        payment.end_to_end_id, 100, "USD",
    )  # fmt: skip
    assert (row["beneficiary"], row["iban"]) == ("Ada Example", "DE89370400440532013000")


def test_writing_again_writes_nothing_and_a_file_is_sent_once(firm: PayingFirm) -> None:
    (payment,) = firm.in_file("100.00")
    assert write(firm) == []
    file = PaymentFile.objects.get()
    assert send(firm, file)
    before = moved()
    assert not send(firm, file)
    assert (moved(), again(payment).state) == (before, "sent")
    with pytest.raises(RefusedError) as refused:
        abandon(firm, PaymentFile.objects.get())
    assert (refused.value.rule, moved()) == ("payment_file_ends_once", before)


def test_an_abandoned_file_is_never_sent_and_its_payments_go_into_a_next(
    firm: PayingFirm, tmp_path: Path
) -> None:
    (payment,) = firm.in_file("100.00")
    first = PaymentFile.objects.get()
    folder = tmp_path / "out"
    place_files(folder, actor=JOB)
    abandon(firm, first)
    assert again(payment).state == "approved"
    with pytest.raises(RefusedError) as refused:
        send(firm, first)
    assert refused.value.rule == "payment_file_ends_once"
    (second,) = write(firm)
    assert second.message_id != first.message_id
    place_files(folder, actor=JOB)
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [f"{first.name}.abandoned", second.name]
    )
    carried = PaymentInFile.objects.filter(payment=payment).order_by("pk")
    assert [(each.file_id, each.is_live) for each in carried] == [
        (first.pk, False), (second.pk, True),
    ]  # fmt: skip
    assert payment.end_to_end_id.encode() in bytes(second.content)
    assert send(firm, second)


def test_a_file_of_which_the_bank_has_paid_one_already_is_not_sent(firm: PayingFirm) -> None:
    one, other = firm.in_file("100.00", "50.00")
    abandon(firm, PaymentFile.objects.get())
    (second,) = write(firm)
    # The file that was abandoned had gone out after all.
    firm.lines((one.end_to_end_id, "-100.00", ""))
    with acting(JOB, reason="Lines of a test"):
        settle_lines(DAY, at=AT)
    assert (again(one).state, again(other).state) == ("confirmed", "in_file")
    assert Task.objects.get(kind="payment").key == f"differs:{one.end_to_end_id}:{firm.entity.code}"
    before = moved()
    with pytest.raises(RefusedError) as refused:
        send(firm, second)
    assert (refused.value.rule, moved()) == ("payment_file_is_sent_whole", before)
    assert PaymentFile.objects.get(pk=second.pk).state == "written"


def test_who_asks_to_abandon_does_not_agree(firm: PayingFirm) -> None:
    firm.in_file("100.00")
    file = PaymentFile.objects.get()
    asked = request_abandon(file, reason=WHY, actor=firm.actor(Role.TREASURY))
    before = moved()
    with pytest.raises(RefusedError) as refused:
        firm.agree(asked, Role.TREASURY)
    assert (refused.value.rule, moved()) == ("approval_is_not_ones_own", before)
    assert PaymentFile.objects.get().state == "written"


def test_another_file_in_the_way_is_left_alone(firm: PayingFirm, tmp_path: Path) -> None:
    firm.in_file("100.00")
    file = PaymentFile.objects.get()
    (tmp_path / file.name).write_bytes(b"something else")
    with pytest.raises(FileInTheWayError):
        place_files(tmp_path, actor=JOB)
    assert (tmp_path / file.name).read_bytes() == b"something else"
    assert PaymentFile.objects.get().placed_at is None
