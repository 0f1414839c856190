"""Texts of notices and where they go: declared places only, two people, and no way around them."""

from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from accounts.approvals import AskRefusedError
from accounts.audit import RefusedError
from accounts.models import Approval, Role
from accounts.personal import open_text
from margin.models import Delivery, DeliveryEvent, MarginCall, NoticeContact, NoticeTemplate, Task
from margin.notices.contacts import addresses_of, contact_of
from margin.notices.contents import bytes_of, email_bytes, text_of
from margin.notices.outbox import deliver_notices
from margin.notices.texts import (
    PLACES,
    NoticeText,
    TextBook,
    faults_of,
    filled,
    request_text,
    unknown_places,
)
from margin.notices.webhooks import AddressRefusedError, address_of, place_of
from tests.accounts.people import person, sign_in
from tests.accounts.raw import act
from tests.accounts.raw import refused as raw_refused
from tests.ledger.agreeing import agreed, standing
from tests.margin.firm import SmallFirm
from tests.margin.noticed import STEPS, WHY, called_again, client_of, name_ways, steps_of

BODY = "Konto {account}: {amount} {currency} bis {due}.\n"
INJECTED = (
    "a@client.example\r\nBcc: all@client.example",
    "a@client.example\nX: y",
    "a@client.example\x00",
    "a b@client.example",
    "a@client.example,b@client.example",
    "ä@client.example",
    "<a@client.example>",
    "",
)


@pytest.fixture
def old(firm: SmallFirm) -> MarginCall:
    return MarginCall.objects.get(number="MC-310304-0001")


def signed_in(firm: SmallFirm, role: Role) -> Browser:
    browser = Browser()
    sign_in(browser, firm.desk[role])
    return browser


def asked_text(firm: SmallFirm, **changes: Any) -> Any:
    return request_text(
        **{
            "legal_entity": firm.desk.entity, "kind": "issued", "language": "de",
            "subject": "Nachschuss {number}", "body": BODY, "reason": WHY,
            "actor": person(firm.desk[Role.OPERATIONS]),
        } | changes
    )  # fmt: skip


# ---------------------------------------------------------------- texts


@pytest.mark.parametrize(
    "body",
    [
        "{secret}", "{number.__class__}", "{number!r}", "{number:>99999999}", "{{number}}", "{}",
        "{number", "number}", "{% load x %}", "{{ settings.SECRET_KEY }}", "{NUMBER}", "{ number }",
    ],
)  # fmt: skip
def test_a_text_names_declared_places_only(body: str) -> None:
    assert unknown_places(body)
    assert set(faults_of(language="en", subject="A call", body=body)) == {"body"}
    assert set(faults_of(language="en", subject=body, body="A call")) == {"subject"}


@given(st.text(alphabet=st.characters(exclude_characters="{}"), max_size=40))
def test_what_a_value_says_is_never_read_as_a_place(around: str) -> None:
    values = dict.fromkeys(PLACES, "{number}{amount}")
    template = NoticeTemplate(subject="{reason}", body=f"{{client}}{around}")
    shown = filled(template, values)
    assert shown == ("{number}{amount}", f"{{number}}{{amount}}{around}")


def test_python_and_the_database_know_the_same_places(owner: Any) -> None:
    (places,) = owner.execute("SELECT margin.notice_places()").fetchone()
    assert set(places) == set(PLACES)
    for row in owner.execute("SELECT subject, body FROM margin_noticetemplate").fetchall():
        assert faults_of(language="en", subject=row[0], body=row[1]) == {}


def test_two_people_change_a_text_and_only_new_notices_say_it(
    firm: SmallFirm, old: MarginCall
) -> None:
    before = {each.pk: bytes_of(each) for each in Delivery.objects.select_related("person_key")}
    asked = asked_text(firm, language="en", body=BODY)
    assert NoticeTemplate.objects.filter(legal_entity__isnull=False).count() == 0
    with pytest.raises(RefusedError):
        agreed(asked, firm.desk[Role.OPERATIONS])
    agreed(asked, firm.desk[Role.COMPLIANCE])
    held = TextBook([firm.desk.entity.pk]).of(firm.desk.entity.pk, "issued", "en")
    assert (held.version, held.body) == (1, BODY)
    call = called_again(old)
    assert deliver_notices(actor=STEPS) == 1 + MarginCall.objects.filter(state="issued").count()
    new = Delivery.objects.select_related("person_key").get(call=call)
    bucket: Any = call.scope.bucket
    due = f"{call.due_at:%Y-%m-%d %H:%M:%S}"
    said = f"Konto {bucket.account.code}: {call.amount:,.2f} USD bis {due}.\n"
    assert bytes_of(new).decode() == said
    assert new.template == held
    after = Delivery.objects.filter(pk__in=before).select_related("person_key")
    assert {each.pk: bytes_of(each) for each in after} == before
    with pytest.raises(AskRefusedError):
        asked_text(firm, language="en", body=BODY)


def test_the_database_refuses_texts_contacts_and_steps_by_hand(
    firm: SmallFirm, old: MarginCall, owner: Any
) -> None:
    into = "INSERT INTO margin_noticetemplate (legal_entity_id, kind, language, version, subject,"
    delivery = Delivery.objects.order_by("pk")[0]
    step = (
        "INSERT INTO margin_deliveryevent (delivery_id, number, step, from_state, to_state, at,"
        f" text) VALUES ('{delivery.pk}', "
    )
    statements = {
        "notice_text_is_changed_by_two": f"{into} body) SELECT id, 'met', 'en', 1, 'x', 'y'"
        " FROM accounts_legalentity",
        "template_names_declared_places": f"{into} body) VALUES (NULL, 'met', 'en', 2, 'x',"
        " '{secret}')",
        "template_subject_is_one_line": f"{into} body) VALUES (NULL, 'met', 'en', 2,"
        " E'x\\r\\nBcc: y', 'z')",
        "contacts_are_changed_by_two": "INSERT INTO margin_noticecontact (client_id, version,"
        " language, channels, kinds, addressed, after_event) SELECT id, 1, 'en', '{}', '{}', '', 0"
        " FROM accounts_client LIMIT 1",
        "delivery_transition_is_legal": f"{step} 2, 'bounced', 'delivered', 'bounced', now(), '')",
        "delivery_stays_as_it_was_sent": "UPDATE margin_delivery SET sha256 = repeat('0', 64)",
        "delivery_is_as_its_steps_say": "UPDATE margin_delivery SET state = 'undelivered'",
        "row_is_kept": "DELETE FROM margin_delivery",
        "history_is_append_only": "UPDATE margin_deliveryevent SET text = ''",
        "delivery_transitions_come_with_the_product": "INSERT INTO margin_deliverytransition"
        " (from_state, to_state, step, channels) VALUES ('dropped', 'delivered', 'x', '{email}')",
    }
    before = standing()
    for rule, statement in statements.items():
        with raw_refused(rule), act(owner):
            owner.execute(statement)
    assert standing() == before


# ---------------------------------------------------------------- where they go


def test_addresses_and_secrets_are_sealed_from_the_request_on(
    firm: SmallFirm, old: MarginCall, settings: Any
) -> None:
    settings.WEBHOOK_HOSTS = ["hooks.client.example"]
    client, url = client_of(old), "https://hooks.client.example/margin"
    key, secret = name_ways(
        firm.desk, client, email="margin@client.example", webhook=url, letter="Alice\n1 Main St"
    )
    assert key.startswith("whk_")
    held = contact_of(client)
    assert held is not None
    assert addresses_of(held)["webhook"] == {"url": url, "key_id": key, "secret": secret}
    asked = Approval.objects.order_by("-number")[0]
    for said in (str(asked.payload), bytes(held.addressed).decode("latin-1"), asked.subject):
        for hidden in (secret, url, "margin@client.example", "Main St"):
            assert hidden not in said
    assert name_ways(firm.desk, client, webhook=url) == ("", ""), "the secret stays as it is"
    page = signed_in(firm, Role.RISK).get(reverse("margin:notice-contact", args=[client.code]))
    assert secret not in page.content.decode()
    assert url in page.content.decode()
    assert open_text(client.person_key, held.addressed).count(secret) == 1


@pytest.mark.parametrize("address", INJECTED)
def test_what_would_end_a_header_is_no_address(
    firm: SmallFirm, old: MarginCall, address: str
) -> None:
    before = standing()
    with pytest.raises(AskRefusedError):
        name_ways(firm.desk, client_of(old), email=address)
    assert standing() == before
    assert not NoticeContact.objects.exists()


def test_a_name_with_a_new_line_adds_no_header(firm: SmallFirm, old: MarginCall) -> None:
    with pytest.raises(AskRefusedError):
        asked_text(firm, subject="A call\r\nBcc: all@client.example")
    at = old.issued_at
    for subject in ("A\r\nBcc: b@client.example", "A\nB"):
        with pytest.raises(ValueError, match=r"linefeed|header"):
            email_bytes(NoticeText(subject, "x"), to="a@b.example", delivery_id=_id(), at=at)
    kept = email_bytes(NoticeText("Größe", "\n.\nä\n"), to="a@b.example", delivery_id=_id(), at=at)
    assert text_of("email", kept) == NoticeText("Größe", "\n.\nä\n")
    assert b"\n" not in kept.replace(b"\r\n", b"")


def _id() -> Any:
    return Delivery.objects.order_by("pk")[0].pk


@pytest.mark.parametrize(
    ("url", "hosts", "networks"),
    [
        ("https://elsewhere.example/x", ["hooks.example"], []),
        ("http://127.0.0.1/x", ["127.0.0.1"], []),
        ("https://127.0.0.1/x", ["127.0.0.1"], []),
        ("https://[::1]/x", ["::1"], []),
        ("https://[::ffff:127.0.0.1]/x", ["::ffff:127.0.0.1", "::ffff:7f00:1"], []),
        ("https://169.254.169.254/latest", ["169.254.169.254"], []),
        ("https://10.0.0.8/x", ["10.0.0.8"], ["192.168.0.0/16"]),
        ("https://0.0.0.0/x", ["0.0.0.0"], []),
        ("https://hooks.example@127.0.0.1/x", ["hooks.example"], []),
        ("https://user:word@hooks.example/x", ["hooks.example"], []),
        ("https://hooks.example:8443/x", ["hooks.example:443"], []),
        ("ftp://hooks.example/x", ["hooks.example"], []),
        ("file:///etc/passwd", ["", "etc"], []),
        ("https://hooks.example/x\r\nX: y", ["hooks.example"], []),
        ("https://hooks.example\\@127.0.0.1/", ["hooks.example"], []),
        ("http://8.8.8.8/x", ["8.8.8.8"], []),
    ],
)
def test_a_webhook_goes_to_no_other_place(
    settings: Any, url: str, hosts: list[str], networks: list[str]
) -> None:
    settings.WEBHOOK_HOSTS, settings.WEBHOOK_NETWORKS = hosts, networks
    with pytest.raises(AddressRefusedError):
        address_of(place_of(url))
    settings.WEBHOOK_HOSTS, settings.WEBHOOK_NETWORKS = ["127.0.0.1:8443"], ["127.0.0.0/8"]
    assert str(address_of(place_of("http://127.0.0.1:8443/x?y=1"))) == "127.0.0.1"


# ---------------------------------------------------------------- letters, and what comes back


def test_a_letter_is_printed_and_posted_by_a_person(firm: SmallFirm, old: MarginCall) -> None:
    name_ways(firm.desk, client_of(old), letter="Alice <b>Smith</b>\n1 Main St", kinds=["issued"])
    call = called_again(old)
    deliver_notices(actor=STEPS)
    letter = Delivery.objects.select_related("person_key").get(call=call)
    assert bytes_of(letter).decode().startswith("Alice <b>Smith</b>\n1 Main St\n\n")
    task = Task.objects.get(kind="notice", key=f"notice:{letter.pk}")
    assert (task.closed_at, task.owner) == (None, firm.desk[Role.OPERATIONS])
    browser = signed_in(firm, Role.OPERATIONS)
    page = browser.get(reverse("margin:delivery-letter", args=[letter.pk])).content.decode()
    assert "Alice &lt;b&gt;Smith&lt;/b&gt;" in page
    posted = reverse("margin:delivery-act", args=[letter.pk, "posted"])
    assert browser.post(posted, {"words": "RR 123"}).status_code == 409, "it is not printed"
    assert MarginCall.objects.get(pk=call.pk).state == "issued"
    browser.post(reverse("margin:delivery-act", args=[letter.pk, "printed"]))
    assert browser.post(posted, {"words": "RR 123"}).status_code == 302
    assert browser.post(posted, {"words": "RR 123"}).status_code == 409, "once"
    assert steps_of(letter) == ["planned", "printed", "posted"]
    assert MarginCall.objects.get(pk=call.pk).state == "delivered"
    task.refresh_from_db()
    assert task.closed_at is not None
    auditor = signed_in(firm, Role.AUDITOR)
    assert auditor.post(posted, {"words": "RR 123"}).status_code == 403


def test_a_bounce_is_escalated_once_with_a_clock(
    firm: SmallFirm, old: MarginCall, settings: Any, tmp_path: Any
) -> None:
    from margin.notices.deliveries import deliver_due

    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    settings.EMAIL_FILE_PATH = str(tmp_path / "mail")
    name_ways(firm.desk, client_of(old), email="margin@client.example", kinds=["issued"])
    call = called_again(old)
    deliver_due()
    mail = Delivery.objects.select_related("person_key").get(call=call)
    assert mail.state == "delivered"
    assert "written to a file" in mail.events.get(step="accepted").text
    (file,) = (tmp_path / "mail").iterdir()
    assert file.read_bytes().startswith(bytes_of(mail))
    browser = signed_in(firm, Role.RISK)
    address = f"/api/deliveries/{mail.pk}/acts/bounced/"
    said = {"words": "550 mailbox full"}
    assert browser.post(address, said, content_type="application/json").status_code == 200
    again = browser.post(address, said, content_type="application/json")
    assert (again.status_code, again.json()["rule"]) == (409, "delivery_transition_is_legal")
    task = Task.objects.get(kind="notice", key=f"notice:{mail.pk}", closed_at__isnull=True)
    assert "came back" in task.subject
    assert task.due_at > task.opened_at
    shown = browser.get(f"/api/deliveries/{mail.pk}/").json()
    assert shown["content"].encode() == bytes_of(mail)
    assert (shown["state"], shown["is_as_hashed"]) == ("bounced", True)
    name_ways(firm.desk, client_of(old), email="risk@client.example", kinds=["issued"])
    retried = browser.post(
        f"/api/deliveries/{mail.pk}/acts/again/", {"words": "moved"},
        content_type="application/json",
    )  # fmt: skip
    fresh = retried.json()
    assert fresh["id"] != str(mail.pk)
    assert fresh["state"] == "waiting"
    assert DeliveryEvent.objects.filter(delivery=mail).count() == 4
    assert deliver_due().sent == 1
    stranger = browser.get("/api/deliveries/00000000-0000-0000-0000-000000000000/")
    assert stranger.status_code == 404


# ---------------------------------------------------------------- screens


def test_the_pages_show_exactly_what_was_sent(firm: SmallFirm, old: MarginCall) -> None:
    browser = signed_in(firm, Role.RISK)
    delivery = Delivery.objects.select_related("person_key").get(call=old)
    page = browser.get(reverse("margin:call", args=[old.number]), {"tab": "notice"})
    address = reverse("margin:delivery", args=[delivery.pk])
    assert address in page.content.decode()
    shown = browser.get(address).content.decode()
    assert delivery.sha256 in shown
    assert "As hashed" in shown
    taken = browser.get(reverse("margin:delivery-file", args=[delivery.pk]))
    assert taken.content == bytes_of(delivery)
    assert browser.get(reverse("margin:delivery-letter", args=[delivery.pk])).status_code == 200
    listed = browser.get(reverse("margin:deliveries"), {"format": "csv", "q": old.number})
    assert listed.content.decode().count(old.number) == 1
    assert browser.get(reverse("margin:deliveries"), {"state": "bounced"}).status_code == 200
    for name in ("notice-texts", "notice-contacts"):
        assert browser.get(reverse(f"margin:{name}")).status_code == 200


def test_a_text_is_tried_on_a_real_call_before_it_is_asked_for(
    firm: SmallFirm, old: MarginCall
) -> None:
    browser = signed_in(firm, Role.OPERATIONS)
    address = reverse("margin:notice-text-new", args=["issued"])
    assert "See it on a call" in browser.get(address).content.decode()
    typed = {"kind": "issued", "language": "de", "subject": "Nachschuss {number}", "body": BODY,
             "call": old.number, "preview": "1"}  # fmt: skip
    before = standing()
    tried = browser.post(address, typed)
    assert (tried.status_code, standing()) == (200, before)
    assert f"Nachschuss {old.number}" in tried.content.decode()
    assert browser.post(address, typed | {"body": "{secret}"}).status_code == 422
    assert browser.post(address, typed | {"call": "MC-NONE"}).status_code == 422
    del typed["preview"]
    assert browser.post(address, typed | {"body": "{secret}", "reason": WHY}).status_code == 422
    assert browser.post(address, typed | {"reason": WHY}).status_code == 302
    assert Approval.objects.order_by("-number")[0].action_id == "notice.template"
    assert signed_in(firm, Role.AUDITOR).post(address, typed).status_code == 403


def test_the_secret_is_on_the_answer_to_the_request_and_nowhere_else(
    firm: SmallFirm, old: MarginCall, settings: Any
) -> None:
    settings.WEBHOOK_HOSTS = ["hooks.client.example"]
    client, browser = client_of(old), signed_in(firm, Role.OPERATIONS)
    address = reverse("margin:contact-new", args=[client.code])
    assert browser.get(address).status_code == 200
    typed = {"language": "en", "webhook": "https://hooks.client.example/x",
             "webhook_kinds": ["issued", "met"], "reason": WHY}  # fmt: skip
    answer = browser.post(address, typed)
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]
    asked = Approval.objects.order_by("-number")[0]
    agreed(asked.pk, firm.desk[Role.COMPLIANCE])
    held = contact_of(client)
    assert held is not None
    secret = addresses_of(held)["webhook"]["secret"]
    assert secret in answer.content.decode()
    assert secret not in browser.get(address).content.decode()
    shown = signed_in(firm, Role.COMPLIANCE).get(reverse("accounts:approval", args=[asked.pk]))
    assert secret not in shown.content.decode()
    api = browser.get(f"/api/notice-contacts/{client.code}/")
    assert secret not in api.content.decode()
    assert api.json()["ways"][0]["kinds"] == ["issued", "met"]
