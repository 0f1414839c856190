"""Retention on the screen: who reads it, what it says, and that asking changes nothing yet."""

from datetime import date
from typing import Any

import pytest
from django.test import Client as Browser

from accounts.models import Approval, Client, LegalHold, Role
from tests.accounts.people import Desk, found_desk, sign_in
from tests.accounts.test_retention import LONG_AGO, NAME, WHY, client_of, erased, placed


@pytest.fixture
def desk(db: None) -> Desk:
    return found_desk()


def signed_in(desk: Desk, role: Role) -> Browser:
    browser = Browser()
    sign_in(browser, desk[role])
    return browser


@pytest.mark.parametrize(
    ("role", "status"),
    [(Role.OPERATIONS, 200), (Role.COMPLIANCE, 200), (Role.AUDITOR, 200), (Role.RISK, 403),
     (Role.ADMINISTRATOR, 403)],
)  # fmt: skip
def test_retention_is_for_those_who_keep_it(desk: Desk, role: Role, status: int) -> None:
    client_of(desk, closed_on=LONG_AGO)
    browser = signed_in(desk, role)
    assert browser.get("/retention/").status_code == status
    assert browser.get("/retention/C1/").status_code == status


def test_the_page_says_who_must_go(desk: Desk) -> None:
    client_of(desk, closed_on=LONG_AGO)
    client_of(desk, closed_on=None, code="C2")
    page: Any = signed_in(desk, Role.COMPLIANCE).get("/retention/?verdict=must_go")
    text = page.content.decode()
    assert "had to be gone by 2011-03-02" in text
    assert "/retention/C2/" not in text
    assert NAME not in text


def test_asking_for_a_hold_waits_for_a_second_person(desk: Desk) -> None:
    client_of(desk, closed_on=LONG_AGO)
    browser = signed_in(desk, Role.OPERATIONS)
    answer = browser.post("/retention/C1/", {"what": "hold", "reason": WHY})
    approval = Approval.objects.get()
    assert answer.status_code == 302
    assert answer["Location"] == f"/approvals/{approval.pk}/"
    assert not LegalHold.objects.exists()


@pytest.mark.parametrize(
    ("form", "status", "said"),
    [
        ({"what": "hold", "reason": "short"}, 409, "at least 10 characters"),
        ({"what": "erase", "reason": f"for {NAME}"}, 409, "not the name"),
        ({"what": "lift", "reason": WHY}, 422, "there is no such request"),
        ({"what": "", "reason": WHY}, 422, "there is no such request"),
    ],
)
def test_what_cannot_be_asked_is_said(
    desk: Desk, form: dict[str, str], status: int, said: str
) -> None:
    client_of(desk, closed_on=LONG_AGO)
    answer = signed_in(desk, Role.COMPLIANCE).post("/retention/C1/", form)
    assert answer.status_code == status
    assert said in answer.content.decode()
    assert not Approval.objects.exists()


def test_a_held_and_an_erased_client_say_so(desk: Desk) -> None:
    placed(desk, client_of(desk, closed_on=LONG_AGO))
    erased(desk, client_of(desk, closed_on=date(2002, 1, 1), code="C2"))
    browser = signed_in(desk, Role.COMPLIANCE)
    assert "the hold to be lifted" in browser.get("/retention/C1/").content.decode()
    gone = browser.get("/retention/C2/").content.decode()
    assert "its time had come" in gone
    assert "Ask a second person" not in gone
    assert Client.objects.get(code="C2").name == "erased"


def test_nobody_elses_client_is_there(desk: Desk) -> None:
    client_of(desk, closed_on=LONG_AGO)
    other = found_desk(code="EB-UK")
    assert signed_in(other, Role.COMPLIANCE).get("/retention/C1/").status_code == 404


def test_programs_read_how_clients_stand(desk: Desk) -> None:
    client_of(desk, closed_on=LONG_AGO)
    (row,) = signed_in(desk, Role.COMPLIANCE).get("/api/retention/").json()
    assert (row["client"], row["verdict"], row["gone_by"]) == ("C1", "must_go", "2011-03-02")
    assert NAME not in str(row)
    assert signed_in(desk, Role.RISK).get("/api/retention/").status_code == 403
