"""Approvals and the trail through the API: the screens' answers, as data."""

from typing import Any
from uuid import UUID

import pytest
from django.test import Client as Browser

from accounts import people
from accounts.audit import Actor, acting
from accounts.models import Act, Approval, LegalEntity, Operator, Role, RoleGrant
from tests.accounts.people import Desk, add_operator, found_desk, person, sign_in

YES = {"verdict": "approved", "reason": "Checked with the head of the desk"}


@pytest.fixture
def desk(db: None) -> Desk:
    return found_desk()


@pytest.fixture
def newcomer(desk: Desk) -> Operator:
    with acting(Actor.command("setup"), reason="A newcomer"):
        return add_operator("j.adeyemi", "J. Adeyemi")


@pytest.fixture
def asked(desk: Desk, newcomer: Operator) -> UUID:
    return people.request_grant(
        operator=newcomer, role=Role.RISK, legal_entity=desk.entity,
        reason="Joins the risk desk on Monday", actor=person(desk.administrators[0]),
    )  # fmt: skip


def test_a_stranger_is_told_nothing(desk: Desk, asked: UUID, client: Browser) -> None:
    for page in ("/api/approvals/", f"/api/approvals/{asked}/", "/api/audit/"):
        assert client.get(page).status_code == 403
    assert client.post(f"/api/approvals/{asked}/decide/", YES).status_code == 403
    assert Approval.objects.get().decision == ""


def test_a_request_is_listed_decided_and_applied(
    desk: Desk, newcomer: Operator, asked: UUID, client: Browser
) -> None:
    sign_in(client, desk.administrators[1])
    (listed,) = client.get("/api/approvals/").json()["results"]
    assert (listed["id"], listed["state"], listed["maker"]) == (str(asked), "waiting", "a.novak")
    assert listed["payload"] == {"operator": newcomer.pk, "role": "risk", "desk": ""}
    decided = client.post(f"/api/approvals/{asked}/decide/", YES).json()
    assert (decided["state"], decided["checker"]) == ("used", "r.haddad")
    assert RoleGrant.objects.get(operator=newcomer).role == "risk"
    assert Act.objects.filter(operator=desk.administrators[1], channel="api").count() == 2


def test_ones_own_request_is_refused_with_the_screens_sentence(
    desk: Desk, newcomer: Operator, asked: UUID, client: Browser
) -> None:
    sign_in(client, desk.administrators[0])
    answer = client.post(f"/api/approvals/{asked}/decide/", YES)
    assert answer.status_code == 403
    assert answer.json()["detail"] == (
        "You made this request, so you cannot approve it. R. Haddad can."
    )
    assert not RoleGrant.objects.filter(operator=newcomer).exists()


def test_a_refusal_of_the_database_names_its_rule(desk: Desk, asked: UUID, client: Browser) -> None:
    sign_in(client, desk.administrators[1])
    client.post(f"/api/approvals/{asked}/decide/", YES | {"verdict": "rejected"})
    answer = client.post(f"/api/approvals/{asked}/decide/", YES)
    assert answer.status_code == 409
    assert answer.json()["rule"] == "approval_is_decided_once"
    assert Approval.objects.get().decision == "rejected"


@pytest.mark.parametrize("change", [{"verdict": "maybe"}, {"reason": "short"}, {"reason": ""}])
def test_a_decision_that_cannot_be_read_is_refused(
    desk: Desk, asked: UUID, client: Browser, change: dict[str, str]
) -> None:
    sign_in(client, desk.administrators[1])
    assert client.post(f"/api/approvals/{asked}/decide/", YES | change).status_code == 400
    assert Approval.objects.get().decision == ""


def test_a_decision_needs_the_token_of_the_page(desk: Desk, asked: UUID) -> None:
    strict = Browser(enforce_csrf_checks=True)
    sign_in(strict, desk.administrators[1])
    assert strict.post(f"/api/approvals/{asked}/decide/", YES).status_code == 403
    assert Approval.objects.get().decision == ""


def test_elsewhere_the_request_does_not_exist(desk: Desk, asked: UUID, client: Browser) -> None:
    sign_in(client, found_desk(code="EB-UK").administrators[0])
    assert client.get("/api/approvals/").json()["results"] == []
    assert client.get(f"/api/approvals/{asked}/").status_code == 404
    assert client.post(f"/api/approvals/{asked}/decide/", YES).status_code == 404


def test_a_role_that_may_not_decide_is_told_who_can(
    desk: Desk, asked: UUID, client: Browser
) -> None:
    sign_in(client, desk[Role.RISK])
    answer = client.post(f"/api/approvals/{asked}/decide/", YES)
    assert answer.status_code == 403
    assert answer.json()["detail"] == "You may not decide “Give a role”. R. Haddad can."


def test_an_act_shows_before_and_after(desk: Desk, client: Browser) -> None:
    with acting(person(desk[Role.RISK]), reason="The firm changed its name", request_id="r-1"):
        LegalEntity.objects.filter(pk=desk.entity.pk).update(name="New")
    sign_in(client, desk[Role.AUDITOR])
    (act,) = client.get("/api/audit/", {"q": "r-1"}).json()["results"]
    assert isinstance(act["transaction"], str)
    shown: Any = client.get(f"/api/audit/{act['transaction']}/").json()
    assert shown["block"] is None
    (change,) = shown["changes"]
    assert change["kind"] == "legal entity"
    assert change["fields"][0] == {
        "name": "name", "before": "Example Brokerage EB-US", "after": "New", "is_changed": True,
    }  # fmt: skip


def test_a_filter_that_cannot_be_read_is_refused(desk: Desk, client: Browser) -> None:
    sign_in(client, desk[Role.AUDITOR])
    assert client.get("/api/audit/", {"from_on": "yesterday"}).status_code == 400
    assert client.get("/api/audit/abc/").status_code == 404
