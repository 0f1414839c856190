"""The screens of who: what each shows, to whom, and what it refuses."""

import csv
import io
import json
from typing import Any
from uuid import UUID

import pytest
from django.test import Client as Browser
from django.urls import reverse

from accounts import approvals, people
from accounts.audit import Actor, acting
from accounts.models import Act, Approval, LegalEntity, Operator, Role, RoleGrant, SealBlock
from tests.accounts.people import Desk, add_operator, found_desk, person, sign_in
from tests.history.book import seal

GRANT_REASON = "Joins the risk desk on Monday"
YES = "Checked with the head of the desk"


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
        operator=newcomer, role=Role.RISK, legal_entity=desk.entity, reason=GRANT_REASON,
        actor=person(desk.administrators[0]),
    )  # fmt: skip


def streamed(response: Any) -> bytes:
    return b"".join(response.streaming_content)


def text_of(response: Any) -> str:
    return " ".join(response.content.decode().split())


def test_the_second_administrator_finds_the_request_and_gives_the_role(
    desk: Desk, newcomer: Operator, asked: UUID, client: Browser
) -> None:
    sign_in(client, desk.administrators[1])
    inbox = text_of(client.get(reverse("accounts:approvals")))
    assert "For you 1" in inbox
    assert "Risk for J. Adeyemi" in inbox
    assert '<td class="was">no role</td><td class="now">risk</td>' in inbox
    url = reverse("accounts:approval-decide", args=[asked])
    answer = client.post(url, {"verdict": "approved", "reason": YES}, follow=True)
    assert "is approved and applied." in text_of(answer)
    grant = RoleGrant.objects.get(operator=newcomer)
    assert (grant.role, grant.legal_entity) == ("risk", desk.entity)
    assert Approval.objects.get(pk=asked).used_xid == grant.granted_xid


def test_the_maker_sees_no_button_but_who_can(
    desk: Desk, newcomer: Operator, asked: UUID, client: Browser
) -> None:
    sign_in(client, desk.administrators[0])
    page = text_of(client.get(reverse("accounts:approval", args=[asked])))
    assert "You made this request, so you cannot approve it. R. Haddad can." in page
    assert "Your reason" not in page
    url = reverse("accounts:approval-decide", args=[asked])
    refused = client.post(url, {"verdict": "approved", "reason": YES})
    assert refused.status_code == 403
    assert not RoleGrant.objects.filter(operator=newcomer).exists()
    assert Approval.objects.get(pk=asked).decision == ""


def test_a_rejected_request_stays_with_its_reason_and_moves_nothing(
    desk: Desk, newcomer: Operator, asked: UUID, client: Browser
) -> None:
    sign_in(client, desk.administrators[1])
    url = reverse("accounts:approval-decide", args=[asked])
    client.post(url, {"verdict": "rejected", "reason": "Not agreed with the desk"})
    assert not RoleGrant.objects.filter(operator=newcomer).exists()
    page = text_of(client.get(reverse("accounts:approvals") + "?list=decided"))
    assert "Not agreed with the desk" in page
    assert "Decided 1" in page


def test_a_short_reason_is_refused_and_kept_in_the_field(
    desk: Desk, asked: UUID, client: Browser
) -> None:
    sign_in(client, desk.administrators[1])
    url = reverse("accounts:approval-decide", args=[asked])
    refused = client.post(url, {"verdict": "approved", "reason": "fine"})
    assert refused.status_code == 409
    assert ">fine</textarea>" in text_of(refused)
    assert Approval.objects.get(pk=asked).decision == ""


def test_who_works_elsewhere_finds_no_such_request(
    desk: Desk, asked: UUID, client: Browser
) -> None:
    elsewhere = found_desk(code="EB-UK")
    sign_in(client, elsewhere.administrators[0])
    assert client.get(reverse("accounts:approvals")).status_code == 200
    assert client.get(reverse("accounts:approval", args=[asked])).status_code == 404
    url = reverse("accounts:approval-decide", args=[asked])
    assert client.post(url, {"verdict": "approved", "reason": YES}).status_code == 404
    assert Approval.objects.get(pk=asked).decision == ""


def test_htmx_gets_the_inbox_and_not_the_page(desk: Desk, client: Browser) -> None:
    sign_in(client, desk[Role.TREASURY])
    answer = client.get(reverse("accounts:approvals"), headers={"HX-Request": "true"})
    assert b"<html" not in answer.content
    assert b"Nothing waits for you" in answer.content


def test_the_trail_shows_before_and_after_with_unchanged_fields_grey(
    desk: Desk, client: Browser
) -> None:
    with acting(person(desk[Role.OPERATIONS]), reason="The firm changed its name") as _:
        LegalEntity.objects.filter(pk=desk.entity.pk).update(name="Example Brokerage Inc")
    sign_in(client, desk[Role.COMPLIANCE])
    page = text_of(client.get(reverse("accounts:audit"), {"kind": "accounts_legalentity"}))
    assert '<td class="was">Example Brokerage EB-US</td>' in page
    assert '<td class="now">Example Brokerage Inc</td>' in page
    assert '<td class="same" colspan="2">EB-US, unchanged</td>' in page
    assert "The firm changed its name" in page
    assert "Pending" in page


@pytest.mark.parametrize(
    ("asked_for", "found"),
    [
        ({"actor": "brandt"}, True),
        ({"actor": "okafor"}, False),
        ({"q": "EB-US"}, True),
        ({"q": "changed its NAME"}, True),
        ({"q": "another-request"}, False),
        ({"q": "req-1"}, True),
        ({"kind": "accounts_bucket"}, False),
        ({"to_on": "2000-01-01"}, False),
        ({"from_on": "2000-01-01"}, True),
    ],
)
def test_the_trail_is_searched(
    desk: Desk, client: Browser, asked_for: dict[str, str], found: bool
) -> None:
    actor = person(desk[Role.OPERATIONS])
    with acting(actor, reason="The firm changed its name", request_id="req-1"):
        LegalEntity.objects.filter(pk=desk.entity.pk).update(name="Example Brokerage Inc")
    sign_in(client, desk[Role.AUDITOR])
    page = text_of(client.get(reverse("accounts:audit"), asked_for))
    assert ("The firm changed its name" in page) is found


def test_the_export_is_exactly_the_filter(desk: Desk, client: Browser) -> None:
    with acting(person(desk[Role.OPERATIONS]), reason="=SUM(A1)"):
        LegalEntity.objects.filter(pk=desk.entity.pk).update(name="Example Brokerage Inc")
    sign_in(client, desk[Role.AUDITOR])
    asked = {"actor": "brandt", "kind": "accounts_legalentity"}
    answer = client.get(reverse("accounts:audit-export", args=["csv"]), asked)
    (row,) = csv.DictReader(io.StringIO(streamed(answer).decode()))
    assert row["reason"] == "'=SUM(A1)", "no spreadsheet takes it for a formula"
    assert json.loads(row["after"])["name"] == "Example Brokerage Inc"
    answer = client.get(reverse("accounts:audit-export", args=["json"]), asked)
    (same,) = json.loads(streamed(answer))
    assert (same["reason"], same["after"]) == ("=SUM(A1)", row["after"])


def test_the_trail_costs_the_same_for_any_number_of_acts(
    desk: Desk, client: Browser, django_assert_max_num_queries: Any
) -> None:
    actor = person(desk[Role.OPERATIONS])
    for number in range(12):
        with acting(actor, reason=f"Change {number}"):
            LegalEntity.objects.filter(pk=desk.entity.pk).update(name=f"Name {number}")
    sign_in(client, desk[Role.COMPLIANCE])
    client.get(reverse("accounts:audit"))
    with django_assert_max_num_queries(20):
        page = client.get(reverse("accounts:audit"), headers={"HX-Request": "true"})
    assert b"Change 0" in page.content


def test_an_administrator_asks_for_a_role_on_the_page(
    desk: Desk, newcomer: Operator, client: Browser
) -> None:
    sign_in(client, desk.administrators[0])
    page = text_of(client.get(reverse("accounts:people")))
    assert "L. Brandt" in page
    url = reverse("accounts:people-grant")
    said = {"operator": "j.adeyemi", "role": "risk", "desk": "", "reason": GRANT_REASON}
    answer = client.post(url, said, follow=True)
    assert "Asked. Another administrator decides." in text_of(answer)
    assert Approval.objects.get().payload == {
        "operator": newcomer.pk, "role": "risk", "desk": "",
    }  # fmt: skip
    assert not RoleGrant.objects.filter(operator=newcomer).exists()


def test_a_grant_without_a_reason_is_not_asked_for(
    desk: Desk, newcomer: Operator, client: Browser
) -> None:
    sign_in(client, desk.administrators[0])
    said = {"operator": "j.adeyemi", "role": "risk", "reason": "short"}
    assert client.post(reverse("accounts:people-grant"), said).status_code == 400
    assert not Approval.objects.exists()


def test_an_administrator_asks_to_take_a_role_away(desk: Desk, client: Browser) -> None:
    sign_in(client, desk.administrators[0])
    grant = RoleGrant.objects.get(operator=desk[Role.TREASURY])
    url = reverse("accounts:people-revoke", args=[grant.pk])
    assert "S. Iyer would no longer hold <b>treasury</b> at EB-US." in text_of(client.get(url))
    refused = client.post(url, {"reason": "no"})
    assert refused.status_code == 409
    assert not Approval.objects.exists()
    client.post(url, {"reason": "Leaves the firm in March"})
    asked = Approval.objects.get()
    assert (asked.action_id, asked.payload) == ("role.revoke", {"grant": grant.pk})
    sign_in(client, desk.administrators[1])
    url = reverse("accounts:approval-decide", args=[asked.pk])
    client.post(url, {"verdict": "approved", "reason": YES})
    grant.refresh_from_db()
    assert grant.revoked_xid is not None


def test_a_theme_is_remembered_and_is_an_act(desk: Desk, client: Browser) -> None:
    sign_in(client, desk[Role.RISK])
    answer = client.post(reverse("accounts:theme"), {"theme": "dark", "next": "/approvals/"})
    assert answer["Location"] == "/approvals/"
    assert Operator.objects.get(username="m.okafor").theme == "dark"
    assert Act.objects.filter(actor="operator:m.okafor").count() == 1
    assert b'data-theme="dark"' in client.get(reverse("accounts:approvals")).content
    assert client.post(reverse("accounts:theme"), {"theme": "pink"}).status_code == 400
    assert Operator.objects.get(username="m.okafor").theme == "dark"


def test_who_works_at_two_legal_entities_chooses_one(desk: Desk, client: Browser) -> None:
    elsewhere = found_desk(code="EB-UK")
    operator = desk[Role.RISK]
    asked = people.request_grant(
        operator=operator, role=Role.TREASURY, legal_entity=elsewhere.entity,
        reason="Stands in for a month", actor=person(elsewhere.administrators[0]),
    )  # fmt: skip
    checker = person(elsewhere.administrators[1])
    decided = approvals.decide(asked, verdict="approved", reason=YES, actor=checker)
    approvals.apply_approved(decided, actor=checker)
    sign_in(client, operator)
    page = text_of(client.get(reverse("accounts:approvals")))
    assert f'<option value="{desk.entity.pk}">EB-US</option>' in page, "EB-UK comes first"
    url = reverse("accounts:legal-entity")
    assert client.post(url, {"legal_entity": desk.entity.pk}).status_code == 302
    page = text_of(client.get(reverse("accounts:approvals")))
    assert f'<option value="{desk.entity.pk}" selected>EB-US</option>' in page
    sign_in(client, desk[Role.OPERATIONS])
    assert client.post(url, {"legal_entity": elsewhere.entity.pk}).status_code == 404


def test_what_a_rule_refuses_after_approval_can_be_applied_again(
    desk: Desk, client: Browser
) -> None:
    treasurer = desk[Role.TREASURY]
    asked = people.request_grant(
        operator=treasurer, role=Role.ADMINISTRATOR, legal_entity=desk.entity,
        reason="Becomes an administrator", actor=person(desk.administrators[0]),
    )  # fmt: skip
    sign_in(client, desk.administrators[1])
    url = reverse("accounts:approval-decide", args=[asked])
    refused = client.post(url, {"verdict": "approved", "reason": YES})
    assert refused.status_code == 409
    page = text_of(refused)
    assert "but not applied: an administrator holds no other role" in page
    assert "Approved, not yet applied" in page
    approval = Approval.objects.get(pk=asked)
    assert (approval.decision, approval.used_xid) == ("approved", None)
    grant = RoleGrant.objects.get(operator=treasurer)
    taken = people.request_revocation(
        grant=grant, reason="Leaves the treasury desk", actor=person(desk.administrators[0])
    )
    url = reverse("accounts:approval-decide", args=[taken])
    client.post(url, {"verdict": "approved", "reason": YES})
    answer = client.post(reverse("accounts:approval-apply", args=[asked]), follow=True)
    assert "applied." in text_of(answer)
    held = RoleGrant.objects.filter(operator=treasurer, revoked_xid__isnull=True)
    assert [grant.role for grant in held] == ["administrator"]


def test_a_sealed_act_names_its_block(desk: Desk, client: Browser) -> None:
    seal()
    sign_in(client, desk[Role.AUDITOR])
    page = text_of(client.get(reverse("accounts:audit"), {"actor": "setup"}))
    assert "Sealed to block" in page
    block = SealBlock.objects.get()
    assert f"Block {block.number}" in page
    assert "wait for the next block" in page, "signing in came after the seal"
