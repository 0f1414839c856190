"""The screens and the API of money out: filled, empty, refused, sent twice, and not one's own."""

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from accounts.audit import Actor, acting
from accounts.models import Approval, Role
from ledger.models import Entry, Payment, PaymentFile
from margin.models import Task
from margin.worklist import Needed, open_tasks
from tests.accounts.people import found_desk, sign_in
from tests.margin.paying import DAY, WHY, PayingFirm, again, moved, paying_firm
from tests.margin.test_payment_reports import pain_002

PAGES = ("withdrawals", "payment-files", "instructions")
FORMS = (
    "withdrawal-new",
    "payment-file-new",
    "payment-report-new",
    "instruction-new",
    "instruction-rule",
)


@pytest.fixture
def firm(db: None, tmp_path: Path) -> PayingFirm:
    return paying_firm(tmp_path / "firm")


@pytest.fixture
def desk(firm: PayingFirm, client: Browser) -> Browser:
    sign_in(client, firm.desk[Role.OPERATIONS])
    return client


def typed(firm: PayingFirm, amount: str, **changed: str) -> dict[str, str]:
    return {
        "bucket": firm.bucket.code, "asset": "USD", "amount": amount,
        "location": firm.bank.code, "instruction": "main", "pay_on": DAY.isoformat(),
        "key": "screen:1", "reason": WHY, **changed,
    }  # fmt: skip


def ask_address(firm: PayingFirm) -> str:
    return f"{reverse('margin:withdrawal-new')}?account={firm.bucket.account.code}"


def test_every_page_stands_empty_and_filled(firm: PayingFirm, desk: Browser) -> None:
    for name in (*PAGES, *FORMS):
        assert desk.get(reverse(f"margin:{name}")).status_code == 200, name
    assert "No withdrawal yet" in desk.get(reverse("margin:withdrawals")).content.decode()
    payment, *_ = firm.in_file("100.00")
    firm.approved("7.00")
    file = PaymentFile.objects.get()
    for name in PAGES:
        page = desk.get(reverse(f"margin:{name}"))
        assert page.status_code == 200, name
        for form in ("csv", "json"):
            assert desk.get(reverse(f"margin:{name}"), {"format": form}).status_code == 200
    page = desk.get(reverse("margin:withdrawal", args=[payment.pk])).content.decode()
    assert payment.end_to_end_id in page
    assert "Ada Example" in page
    assert desk.get(reverse("margin:payment-file", args=[file.pk])).status_code == 200
    assert desk.get(reverse("margin:payment-file-abandon", args=[file.pk])).status_code == 200
    given = desk.get(reverse("margin:payment-file-download", args=[file.pk]))
    assert given.content == bytes(file.content)
    export = desk.get(reverse("margin:withdrawals"), {"format": "csv"}).content.decode()
    assert payment.end_to_end_id in export
    assert "Ada Example" not in export


def test_looking_says_the_binding_term_and_moves_nothing(firm: PayingFirm, desk: Browser) -> None:
    before = moved()
    page = desk.post(ask_address(firm), typed(firm, "99999999.00") | {"look": "1"})
    said = page.content.decode()
    assert page.status_code == 200
    assert "Would be refused" in said
    assert "binds" in said
    assert (moved(), Payment.objects.count()) == (before, 0)


def test_sending_the_form_twice_asks_once(firm: PayingFirm, desk: Browser) -> None:
    first = desk.post(ask_address(firm), typed(firm, "100.00"))
    second = desk.post(ask_address(firm), typed(firm, "100.00"))
    payment = Payment.objects.get()
    assert first["Location"] == second["Location"] == reverse(
        "margin:withdrawal", args=[payment.pk]
    )  # fmt: skip
    assert Approval.objects.filter(action_id="payment.pay").count() == 1
    # Back, another amount, and sent again: the key is that of the first.
    other = desk.post(ask_address(firm), typed(firm, "200.00"))
    assert other.status_code == 422
    assert "another withdrawal" in other.content.decode()
    assert Payment.objects.count() == 1


def test_a_refused_request_shows_why_and_waits_for_nobody(firm: PayingFirm, desk: Browser) -> None:
    answer = desk.post(ask_address(firm), typed(firm, "99999999.00"), follow=True)
    payment = Payment.objects.get()
    assert payment.state == "refused"
    assert payment.note.split(".")[0] in answer.content.decode()
    assert not Approval.objects.filter(action_id="payment.pay").exists()


def test_who_may_not_is_refused_and_nothing_moves(firm: PayingFirm, client: Browser) -> None:
    (payment,) = firm.in_file("100.00")
    file = PaymentFile.objects.get()
    before = moved()
    sign_in(client, firm.desk[Role.AUDITOR])
    assert client.get(reverse("margin:withdrawals")).status_code == 200
    assert client.get(reverse("margin:withdrawal", args=[payment.pk])).status_code == 200
    for address in (
        ask_address(firm), reverse("margin:payment-file-new"),
        reverse("margin:payment-report-new"),
        reverse("margin:instruction-new"),
        reverse("margin:withdrawal-outcome", args=[payment.pk, "returned"]),
    ):  # fmt: skip
        assert client.post(address, typed(firm, "1.00")).status_code == 403, address
    for name in ("payment-file-sent", "payment-file-download"):
        method = client.post if name.endswith("sent") else client.get
        assert method(reverse(f"margin:{name}", args=[file.pk])).status_code == 403
    cancel = reverse("margin:withdrawal-cancel", args=[payment.pk])
    assert client.post(cancel, {"reason": WHY}).status_code == 403
    stranger = found_desk(code="OTHER")
    sign_in(client, stranger[Role.OPERATIONS])
    for address in (
        reverse("margin:withdrawal", args=[payment.pk]),
        reverse("margin:withdrawal-cancel", args=[payment.pk]),
        reverse("margin:payment-file", args=[file.pk]),
        reverse("margin:payment-file-download", args=[file.pk]),
        reverse("margin:payment-file-sent", args=[file.pk]),
    ):
        method = client.post if address.endswith(("sent/", "cancel/")) else client.get
        assert method(address).status_code == 404, address
    assert moved() == before


def test_a_file_is_recorded_as_sent_once_however_often_it_is_clicked(
    firm: PayingFirm, desk: Browser
) -> None:
    (payment,) = firm.in_file("100.00")
    address = reverse("margin:payment-file-sent", args=[PaymentFile.objects.get().pk])
    assert "Recorded as sent" in desk.post(address, follow=True).content.decode()
    before = moved()
    assert "before; nothing changed" in desk.post(address, follow=True).content.decode()
    assert (moved(), again(payment).state) == (before, "sent")


def test_the_api_asks_refuses_writes_and_sends_as_the_screens_do(
    firm: PayingFirm, desk: Browser
) -> None:
    asked = typed(firm, "100.00", account=firm.bucket.account.code, key=str(uuid4()))
    seen = desk.post("/api/payments/preview/", asked | {"amount": "99999999.00"})
    assert seen.status_code == 200
    assert seen.json()["refusal"] == seen.json()["binding"]
    refused = desk.post("/api/payments/", asked | {"amount": "99999999.00", "key": "K0"})
    assert (refused.status_code, refused.json()["rule"]) == (409, seen.json()["binding"])
    made = desk.post("/api/payments/", asked)
    assert (made.status_code, made.json()["state"]) == (201, "released")
    assert desk.post("/api/payments/", asked).json()["id"] == made.json()["id"]
    payment = Payment.objects.get(state="released")
    assert payment.approval_id is not None
    firm.agree(payment.approval_id)
    taken = desk.post(f"/api/payments/{payment.pk}/cancel/", {"reason": WHY})
    assert (taken.status_code, taken.json()["rule"]) == (409, "payment_moves_along_its_life")
    files = desk.post(
        "/api/payment-files/", {"format": "pain.001", "until": DAY.isoformat(), "reason": WHY}
    )
    (file,) = files.json()
    assert (files.status_code, file["control_sum"]) == (201, "100.00")
    content = desk.get(f"/api/payment-files/{file['id']}/content/").json()
    assert content["sha256"] == file["sha256"]
    for _ in range(2):
        sent = desk.post(f"/api/payment-files/{file['id']}/sent/")
        assert (sent.status_code, sent.json()["state"]) == (200, "sent")
    outcome = desk.post(
        f"/api/payments/{payment.pk}/outcome/", {"outcome": "returned", "reason": WHY}
    )
    assert outcome.status_code == 201
    firm.agree(outcome.json()["approval"])
    assert desk.get(f"/api/payments/{payment.pk}/").json()["state"] == "returned"
    assert desk.get("/api/payment-instructions/").status_code == 200


def test_an_instruction_is_asked_for_shown_to_whoever_decides_and_ended(
    firm: PayingFirm, desk: Browser
) -> None:
    whose = firm.bucket.account.client
    assert whose is not None
    said = {
        "client": whose.code, "code": "second", "asset": "USD", "method": "bank",
        "name": "Ada Example", "iban": "GB29 NWBK 6016 1331 9268 19", "reason": WHY,
    }  # fmt: skip
    wrong = desk.post(reverse("margin:instruction-new"), said | {"iban": "GB29NWBK60161331926818"})
    assert wrong.status_code == 422
    assert "check digits" in wrong.content.decode()
    answer = desk.post(reverse("margin:instruction-new"), said)
    approval = Approval.objects.get(action_id="instruction.set", decision="")
    assert answer["Location"] == reverse("accounts:approval", args=[approval.pk])
    sign_in(desk, firm.desk[Role.TREASURY])
    shown = desk.get(answer["Location"]).content.decode()
    assert "GB29NWBK60161331926819" in shown
    firm.agree(approval.pk)
    assert "GB29NWBK60161331926819" not in str(approval.payload)
    page = desk.get(reverse("margin:instructions")).content.decode()
    assert "…6819" in page


def test_the_command_lists_and_writes(
    firm: PayingFirm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    payment = firm.approved("100.00")
    call_command("payments", "list", "--state", "approved")
    assert payment.end_to_end_id in capsys.readouterr().out
    call_command("payments", "write", "--format", "csv", "--folder", str(tmp_path / "out"))
    (path,) = (tmp_path / "out").iterdir()
    file = PaymentFile.objects.get()
    assert (path.name, path.read_bytes()) == (file.name, bytes(file.content))
    assert file.placed_at is not None
    assert file.placed_at <= datetime.now(tz=UTC)
    call_command("payments", "files")
    assert file.message_id in capsys.readouterr().out


def test_tasks_about_money_are_seen_by_their_own_firm_alone(
    firm: PayingFirm, desk: Browser
) -> None:
    payment, now = firm.approved("7.00"), timezone.now()
    entry = Entry.objects.filter(postings__pool__legal_entity=firm.entity).latest("pk")
    needed = [
        Needed(
            kind=kind, key=key, subject=f"{key} of A. Example", detail="", due_at=now,
            owner_role=Role.OPERATIONS,
        )
        for kind, key in (
            (Task.Kind.PAYMENT, f"late:{payment.end_to_end_id}"),
            (Task.Kind.TRANSIT, f"transit:{entry.pk}:USD"),
        )
    ]  # fmt: skip
    with acting(Actor.command("test"), reason="Money that is late"):
        open_tasks(needed, business_day=DAY, at=now)
    tasks = list(Task.objects.filter(key__in=[each.key for each in needed]))
    far = Browser()
    sign_in(far, found_desk(code="EB-UK")[Role.OPERATIONS])
    for kind in (Task.Kind.PAYMENT, Task.Kind.TRANSIT):
        assert "A. Example" in desk.get(reverse("margin:tasks"), {"kind": kind}).content.decode()
    assert "A. Example" not in far.get(reverse("margin:tasks")).content.decode()
    seen, unseen = desk.get("/api/tasks/?limit=1000"), far.get("/api/tasks/?limit=1000")
    assert {each.pk for each in tasks} <= {each["id"] for each in seen.json()["results"]}
    assert not {each.pk for each in tasks} & {each["id"] for each in unseen.json()["results"]}
    for task in tasks:
        assert far.post(reverse("margin:task-take", args=[task.pk])).status_code == 404
        assert Task.objects.get(pk=task.pk).owner_id == task.owner_id


def test_a_report_is_read_once_by_screen_program_and_command(
    firm: PayingFirm, desk: Browser, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (payment,) = firm.in_file("100.00")
    claim, file = firm.claim(), PaymentFile.objects.get()
    content = pain_002(file, group="RJCT")
    address = reverse("margin:payment-report-new")

    def typed_in() -> dict[str, object]:
        return {"file": SimpleUploadedFile("r.xml", content), "reason": WHY}

    assert desk.post(address, {"reason": WHY}).status_code == 422
    page = desk.post(address, typed_in(), follow=True).content.decode()
    assert "claim restored: 1" in page
    assert "AC04" in page
    assert (again(payment).state, firm.claim()) == ("returned", claim + 100)
    before = moved()
    assert "read before" in desk.post(address, typed_in(), follow=True).content.decode()
    said = {"content": base64.b64encode(content).decode(), "reason": WHY}
    told = desk.post("/api/payment-files/report/", said, content_type="application/json")
    assert (told.status_code, told.json()["rejection"]) == (200, "")
    assert [each["outcome"] for each in told.json()["statuses"]] == ["returned"]
    unfit = desk.post(
        "/api/payment-files/report/", said | {"content": "%"}, content_type="application/json"
    )
    assert unfit.status_code == 422
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "r.xml").write_bytes(content)
    call_command("payments", "report", str(tmp_path / "reports"), json=True)
    (row,) = json.loads(capsys.readouterr().out)["report"]
    assert (row["new"], row["returned"], row["of"]) == ("no", "1", file.message_id)
    assert moved() == before
