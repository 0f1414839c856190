"""Carrying calls on from their pages: what clients say, more time, terms and initial calls."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client as Browser
from django.urls import reverse

from accounts.models import Approval, Role
from accounts.people import request_grant
from margin.models import CallDispute, CallPromise, CallTerms, MarginCall
from tests.accounts.people import person, sign_in
from tests.ledger.agreeing import agreed, standing
from tests.margin.living import (
    PAST,
    WHY,
    PastFirm,
    agreement_of,
    client_scopes,
    open_calls,
    past_firm,
)


@pytest.fixture
def firm(db: None, tmp_path: Path) -> PastFirm:
    return past_firm(tmp_path / "firm")


def signed_in(firm: PastFirm, role: Role) -> Browser:
    browser = Browser()
    sign_in(browser, firm.desk[role])
    return browser


def sent(browser: Browser, address: str, body: dict[str, Any]) -> Any:
    return browser.post(address, json.dumps(body), content_type="application/json")


def test_a_dispute_with_the_clients_file_is_shown_beside_ours(firm: PastFirm) -> None:
    call, browser = open_calls()[0], signed_in(firm, Role.OPERATIONS)
    result = call.last_result
    theirs = result.equity + 150
    file = (
        f"total,component,amount\nequity,,{theirs:f}\ninitial_margin,,{result.initial_margin:f}\n"
    )
    address = reverse("margin:call-dispute", args=[call.number])
    assert browser.get(address).status_code == 200

    def post(undisputed: Any) -> Any:
        upload = SimpleUploadedFile("theirs.csv", file.encode())
        typed = {"undisputed": f"{undisputed:f}", "why": "price", "words": WHY, "file": upload}
        return browser.post(address, typed)

    before = standing()
    wrong = post(result.initial_margin - theirs - 1)
    assert wrong.status_code == 422
    assert "undisputed_is_what_the_file_says" in wrong.content.decode()
    assert standing() == before
    assert post(result.initial_margin - theirs).status_code == 302
    assert bytes(CallDispute.objects.get().content) == file.encode()
    page = browser.get(reverse("margin:call", args=[call.number])).content.decode()
    assert "Dispute: price or mark" in page
    assert "theirs.csv" in page
    again = post(result.initial_margin - theirs)
    assert again.status_code == 409
    assert "margin_call_transition_is_legal" in again.content.decode()
    proof = SimpleUploadedFile("quote.pdf", b"%PDF")
    evidence = reverse("margin:call-evidence", args=[call.number])
    assert browser.post(evidence, {"file": proof}).status_code == 302
    agree = reverse("margin:call-agree", args=[call.number])
    asked = browser.post(agree, {"agreed": f"{call.amount - 100:f}", "reason": WHY})
    assert asked.status_code == 302
    agreed(Approval.objects.get(action="call.agree").pk, firm.desk[Role.COMPLIANCE])
    call.refresh_from_db()
    assert call.state == "agreed"
    assert "Agreed:" in browser.get(reverse("margin:call", args=[call.number])).content.decode()


def test_promises_are_kept_by_screen_and_api(firm: PastFirm) -> None:
    call, browser = open_calls()[0], signed_in(firm, Role.OPERATIONS)
    typed = {
        "kind": "transfer", "amount": "250.00", "pay_by": "2099-01-02T12:00", "reference": "W1",
        "words": WHY,
    }  # fmt: skip
    address = reverse("margin:call-promise", args=[call.number])
    assert browser.post(address, typed).status_code == 302
    said = sent(browser, f"/api/margin-calls/{call.number}/promise/", typed | {"reference": "W2"})
    assert said.status_code == 200
    assert list(CallPromise.objects.values_list("reference", flat=True)) == ["W1", "W2"]
    late = browser.post(address, typed | {"pay_by": "2001-01-02T12:00"})
    assert late.status_code == 409
    assert "promise_is_ahead" in late.content.decode()
    reader = signed_in(firm, Role.AUDITOR)
    assert reader.post(address, typed).status_code == 403
    assert CallPromise.objects.count() == 2
    page = browser.get(reverse("margin:call", args=[call.number])).content.decode()
    assert "Transfer on its way" in page


def test_more_time_is_asked_on_the_page_and_refused_beyond_authority(firm: PastFirm) -> None:
    call, browser = open_calls()[0], signed_in(firm, Role.OPERATIONS)
    address = reverse("margin:call-relief", args=[call.number, "extend"])
    assert browser.get(address).status_code == 200
    beyond = {"until": f"{call.due_at + timedelta(days=9):%Y-%m-%dT%H:%M}", "reason": WHY}
    before = standing()
    answer = browser.post(address, beyond)
    assert answer.status_code == 409
    assert "at most 5 days later" in answer.content.decode()
    api = f"/api/margin-calls/{call.number}/relief/extend/"
    said = sent(browser, api, beyond)
    assert (said.status_code, said.json()["rule"]) == (409, "relief_is_within_authority")
    assert standing() == before
    within = {"until": f"{call.due_at + timedelta(days=2):%Y-%m-%dT%H:%M}", "reason": WHY}
    assert browser.post(address, within).status_code == 302
    assert sent(browser, api, within).status_code == 422
    agreed(Approval.objects.get(action="call.extend").pk, firm.desk[Role.COMPLIANCE])
    call.refresh_from_db()
    assert call.state == "extended"
    waive = reverse("margin:call-relief", args=[call.number, "waive"])
    assert browser.post(waive, {"reason": WHY}).status_code == 302
    assert browser.get(reverse("margin:call-relief", args=[call.number, "x"])).status_code == 404


def test_terms_of_calls_are_asked_for_on_their_page(firm: PastFirm) -> None:
    agreement, browser = agreement_of(open_calls()[0]), signed_in(firm, Role.RISK)
    address = reverse("margin:call-terms", args=[agreement.code])
    assert browser.get(address).status_code == 200
    typed = {
        "effective_from": PAST.isoformat(), "zone": "Europe/London", "holidays": "none",
        "due_days": "1", "due_at": "16:00", "expires": "on", "rounding": "100",
        "reason": WHY,
    }  # fmt: skip
    wrong = browser.post(address, typed | {"zone": "Mars/Base"})
    assert wrong.status_code == 422
    assert "there is no time zone" in wrong.content.decode()
    assert browser.post(address, typed).status_code == 302
    assert not CallTerms.objects.exists()
    agreed(Approval.objects.get(action="call.terms").pk, firm.desk[Role.COMPLIANCE])
    values = CallTerms.objects.get().values
    assert (values["zone"], values["expires"], values["rounding"]) == ("Europe/London", True, "100")
    api = f"/api/agreements/calls/{agreement.code}/"
    assert sent(browser, api, typed | {"due_days": "2"}).status_code == 201
    assert "Europe/London" in browser.get(address).content.decode()


def test_an_initial_call_is_drafted_by_screen_and_api(firm: PastFirm) -> None:
    browser = signed_in(firm, Role.OPERATIONS)
    names = [
        f"{scope.bucket.account.code}/{scope.bucket.code}"
        for scope in client_scopes()[:2]
        if scope.bucket is not None
    ]
    typed = {
        "scope": names[0], "deficiency": "1000.00", "trade_day": "2026-11-24", "reason": WHY,
    }  # fmt: skip
    address = reverse("margin:call-initial")
    before = standing()
    small = browser.post(address, typed)
    assert small.status_code == 422
    assert "is not called" in small.content.decode()
    assert standing() == before
    assert browser.post(address, typed | {"deficiency": "1000.01"}).status_code == 302
    call = MarginCall.objects.get(kind="initial")
    assert (call.state, f"{call.amount}") == ("draft", "1000.01")
    assert browser.post(address, typed | {"deficiency": "2000"}).status_code == 409
    body = typed | {"scope": names[1], "deficiency": "5000"}
    made = sent(browser, "/api/margin-calls/", body)
    assert (made.status_code, made.json()["state"]) == (201, "draft")
    reader = signed_in(firm, Role.AUDITOR)
    assert reader.post(address, typed).status_code == 403
    assert sent(reader, "/api/margin-calls/", body).status_code == 403
    assert MarginCall.objects.filter(kind="initial").count() == 2


def test_a_role_of_one_desk_acts_on_calls_of_no_other_on_screen_and_by_program(
    firm: PastFirm,
) -> None:
    """They read every call, as compliance."""
    call = open_calls()[0]
    asked = request_grant(
        operator=firm.desk[Role.COMPLIANCE], role=Role.OPERATIONS, desk="elsewhere", reason=WHY,
        legal_entity=firm.desk.entity, actor=person(firm.desk.administrators[0]),
    )  # fmt: skip
    agreed(asked, firm.desk.administrators[1])
    browser = signed_in(firm, Role.COMPLIANCE)
    typed = {"undisputed": "0", "why": "price", "words": WHY}
    promise = {"kind": "promise", "amount": "10", "words": WHY, "pay_by": "2099-01-01T10:00"}
    before = standing()
    assert browser.get(reverse("margin:call", args=[call.number])).status_code == 200
    answers = [
        browser.post(reverse("margin:call-dispute", args=[call.number]), typed),
        browser.post(reverse("margin:call-promise", args=[call.number]), promise),
        browser.post(reverse("margin:call-acknowledge", args=[call.number]), {"words": WHY}),
        browser.post(reverse("margin:call-carry", args=[call.number, "expire"]), {"words": WHY}),
        sent(browser, f"/api/margin-calls/{call.number}/dispute/", typed),
        sent(browser, f"/api/margin-calls/{call.number}/promise/", promise),
        sent(browser, f"/api/margin-calls/{call.number}/acknowledge/", {"words": WHY}),
    ]
    assert [each.status_code for each in answers] == [403] * len(answers)
    assert standing() == before
    assert not CallDispute.objects.exists()
    assert not CallPromise.objects.exists()
    assert MarginCall.objects.get(pk=call.pk).acknowledged_by is None
