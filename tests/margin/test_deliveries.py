"""Deliveries: each attempt written down first, tried again with the same bytes, and given up."""

import ssl
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from accounts.audit import acting
from accounts.models import Role
from margin.calls.decisions import send_notices
from margin.models import CallEvent, Delivery, MarginCall, Task
from margin.notices.contents import bytes_of, is_as_hashed, recipient_of, text_of
from margin.notices.deliveries import ATTEMPTS_MAX, PAUSES, deliver_due
from margin.notices.outbox import deliver_notices
from margin.notices.plan import untold
from margin.notices.webhooks import DELIVERY, SIGNATURE, post, signature_header, signature_of
from margin.verify import check_margin
from tests.margin.firm import SmallFirm
from tests.margin.noticed import (
    STEPS,
    called_again,
    client_of,
    ends,
    happens,
    name_ways,
    steps_of,
)
from tests.margin.receivers import Hook, Mailbox, mail_server, own_certificate, web_server

# After whatever a test plans.
NOW = timezone.now() + timedelta(hours=1)


@pytest.fixture
def mailbox(settings: Any) -> Iterator[Mailbox]:
    with mail_server() as box:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", box.port
        settings.EMAIL_USE_TLS, settings.EMAIL_TIMEOUT = False, 2
        yield box


@pytest.fixture
def hook(settings: Any) -> Iterator[Hook]:
    with web_server() as found:
        settings.WEBHOOK_HOSTS = [f"127.0.0.1:{found.port}"]
        settings.WEBHOOK_NETWORKS = ["127.0.0.0/8"]
        yield found


@pytest.fixture
def old(firm: SmallFirm) -> MarginCall:
    """A call whose client will name ways, after which they are called again."""
    return MarginCall.objects.get(number="MC-310304-0001")


def by_mail(firm: SmallFirm, old: MarginCall) -> tuple[MarginCall, Delivery]:
    name_ways(firm.desk, client_of(old), email="margin@client.example")
    call = called_again(old)
    assert deliver_notices(actor=STEPS) == 0
    return call, Delivery.objects.get(call=call, kind="issued")


def by_hook(firm: SmallFirm, old: MarginCall, hook: Hook) -> tuple[Delivery, str, str]:
    key, secret = name_ways(firm.desk, client_of(old), webhook=hook.url)
    call = called_again(old)
    deliver_notices(actor=STEPS)
    return Delivery.objects.get(call=call, kind="issued"), key, secret


def test_who_named_no_way_gets_a_file_and_its_bytes_are_proven(firm: SmallFirm) -> None:
    found = Delivery.objects.select_related("person_key", "template", "call")
    assert found.count() == MarginCall.objects.count() == 5
    for each in found:
        assert (each.channel, each.state, each.attempts) == ("outbox", "delivered", 1)
        assert steps_of(each) == ["written"]
        assert is_as_hashed(each)
        told = CallEvent.objects.get(call=each.call, event="delivered")
        assert told.text.partition("\n\n")[2].encode() == bytes_of(each)
        assert bytes(each.sent_bytes) != bytes_of(each), "it is sealed under the client's key"


def test_an_email_goes_byte_for_byte_and_delivers_its_call(
    firm: SmallFirm, old: MarginCall, mailbox: Mailbox
) -> None:
    call, delivery = by_mail(firm, old)
    assert (delivery.state, call.state) == ("waiting", "issued")
    assert deliver_due().sent == 2  # the end of the call before is told too
    delivery.refresh_from_db()
    call.refresh_from_db()
    assert (delivery.state, call.state) == ("delivered", "delivered")
    assert steps_of(delivery) == ["planned", "attempt", "accepted"]
    kept = bytes_of(delivery)
    assert kept in mailbox.messages
    assert f"<{delivery.pk}@localhost>".encode() in kept
    assert recipient_of(delivery) == "margin@client.example"
    assert ("mail FROM:<margin-calls@localhost>", "rcpt TO:<margin@client.example>") in [
        (sender.split(" size")[0], to) for sender, to in mailbox.envelopes
    ]
    said = text_of("email", kept)
    assert said.subject == f"Margin call {call.number}"
    assert f"Called: {call.amount:,.2f} USD." in said.body
    step = CallEvent.objects.get(call=call, event="delivered")
    assert step.text.startswith(f"email: notice “issued”\n\nMargin call {call.number}")
    assert deliver_due() == (0, 0, 0, 0)
    assert send_notices() == 0


def test_cut_off_after_it_arrived_it_goes_again_as_the_same_message(
    firm: SmallFirm, old: MarginCall, mailbox: Mailbox
) -> None:
    call, delivery = by_mail(firm, old)
    mailbox.hangs_up = 2
    assert deliver_due(now=NOW).failed == 2
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts) == ("waiting", 1)
    assert delivery.next_at == NOW + PAUSES[0]
    assert "whether it arrived is unknown" in delivery.events.get(number=3).text
    assert deliver_due(now=NOW + timedelta(seconds=59)) == (0, 0, 0, 0)
    assert deliver_due(now=NOW + PAUSES[0]).sent == 2
    kept = [each for each in mailbox.messages if str(delivery.pk).encode() in each]
    assert kept == [bytes_of(delivery)] * 2
    assert MarginCall.objects.get(pk=call.pk).state == "delivered"


def test_a_killed_attempt_is_made_again_and_says_so(
    firm: SmallFirm, old: MarginCall, mailbox: Mailbox
) -> None:
    from margin.notices.senders import send

    call, delivery = by_mail(firm, old)

    def killed(parcel: Any, *, at: Any) -> Any:
        send(parcel, at=at)
        raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            deliver_due(now=NOW, sender=killed)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts) == ("sending", 1)
    assert deliver_due(now=NOW + timedelta(seconds=119)) == (0, 0, 0, 0)
    assert deliver_due(now=NOW + timedelta(seconds=120)).sent == 2
    assert steps_of(delivery) == ["planned", "attempt", "unknown", "accepted"]
    assert "may have arrived" in delivery.events.get(number=3).text
    assert mailbox.messages.count(bytes_of(delivery)) == 2
    assert MarginCall.objects.get(pk=call.pk).state == "delivered"


def test_an_address_that_is_none_is_given_up_at_once_and_somebody_is_asked(
    firm: SmallFirm, old: MarginCall, mailbox: Mailbox
) -> None:
    call, delivery = by_mail(firm, old)
    mailbox.rcpt = ["550 5.1.1 <margin@client.example> nobody here"] * 2
    assert deliver_due().failed == 2
    delivery.refresh_from_db()
    assert (delivery.state, delivery.next_at) == ("undelivered", None)
    last = delivery.events.order_by("-number")[0]
    assert last.step == "gave_up"
    assert "550" in last.text
    assert "margin@client.example" not in last.text, "an answer does not repeat the address"
    assert MarginCall.objects.get(pk=call.pk).state == "undelivered"
    task = Task.objects.get(kind="notice", key=f"notice:{delivery.pk}")
    assert (task.owner_role, task.closed_at) == (Role.OPERATIONS, None)
    assert task.owner == firm.desk[Role.OPERATIONS]
    assert task.due_at > task.opened_at
    assert mailbox.messages == []


def test_a_receiver_that_stays_away_is_given_up_after_growing_pauses(
    firm: SmallFirm, old: MarginCall, hook: Hook
) -> None:
    delivery, _, _ = by_hook(firm, old, hook)
    hook.answers = [500] * 100
    at = NOW
    for pause in PAUSES:
        assert deliver_due(now=at).sent == 0
        delivery.refresh_from_db()
        assert (delivery.state, delivery.next_at) == ("waiting", at + pause)
        at += pause
    assert list(PAUSES) == sorted(PAUSES)
    deliver_due(now=at)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts) == ("undelivered", ATTEMPTS_MAX)
    assert MarginCall.objects.get(pk=delivery.call_id).state == "undelivered"
    assert Task.objects.filter(key=f"notice:{delivery.pk}", closed_at__isnull=True).count() == 1
    assert deliver_due(now=at + timedelta(days=9)) == (0, 0, 0, 0)


def test_a_webhook_is_signed_over_time_and_body(
    firm: SmallFirm, old: MarginCall, hook: Hook
) -> None:
    delivery, key, secret = by_hook(firm, old, hook)
    deliver_due(now=NOW)
    delivery.refresh_from_db()
    assert delivery.state == "delivered"
    headers, body = next(p for p in hook.posted if p[0][DELIVERY] == str(delivery.pk))
    assert body == bytes_of(delivery)
    at = int(NOW.timestamp())
    signature = signature_of(body, secret=secret, at=at)
    assert headers[SIGNATURE] == f"key={key},t={at},v1={signature}"
    answer = delivery.events.get(step="accepted").text
    assert headers[SIGNATURE] in answer
    assert secret not in answer


def test_the_receiver_in_the_documentation_knows_a_genuine_notice() -> None:
    page = (Path(__file__).parents[2] / "docs" / "notices.md").read_text()
    example: dict[str, Any] = {}
    exec(page.split("```python\n")[1].split("```")[0], example)
    body, secret, at = b'{"call":"MC-1"}', "a secret of the desk", 1_924_000_000
    header = signature_header(body, key_id="whk_1", secret=secret, at=at)
    genuine, keys = example["is_genuine"], {"whk_1": secret}
    assert genuine(header, body, keys, now=at + 299)
    assert not genuine(header, body, keys, now=at + 301)
    assert not genuine(header, body + b" ", keys, now=at)
    assert not genuine(header, body, {"whk_1": "another"}, now=at)
    assert not genuine(header, body, {"whk_2": secret}, now=at)
    assert not genuine(header.replace(str(at), str(at + 1)), body, keys, now=at)


def test_a_redirect_is_not_followed(firm: SmallFirm, old: MarginCall, hook: Hook) -> None:
    delivery, _, _ = by_hook(firm, old, hook)
    with web_server() as elsewhere:
        hook.answers, hook.moved_to = [302, 307, 301], elsewhere.url
        deliver_due(now=NOW)
        assert elsewhere.posted == []
    delivery.refresh_from_db()
    assert delivery.state == "waiting"
    assert "a redirect is not followed" in delivery.events.get(number=3).text


def test_a_receiver_shows_a_certificate_of_its_name(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, path = own_certificate(tmp_path, "localhost")
    settings.WEBHOOK_NETWORKS = ["127.0.0.0/8", "::1/128"]
    with web_server(context) as found:
        settings.WEBHOOK_HOSTS = [f"localhost:{found.port}", f"127.0.0.1:{found.port}"]
        address = f"https://localhost:{found.port}/"
        with pytest.raises(ssl.SSLError):
            post(address, b"{}", headers={})
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
        with pytest.raises(ssl.SSLError):
            post(f"https://127.0.0.1:{found.port}/", b"{}", headers={})
        assert found.posted == []
        assert post(address, b"{}", headers={}).is_accepted
        assert [body for _, body in found.posted] == [b"{}"]


def test_a_receiver_that_never_answers_is_left_in_time(
    firm: SmallFirm, old: MarginCall, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("margin.notices.webhooks.post.__kwdefaults__", {"seconds": 0.3})
    delivery, _, _ = by_hook(firm, old, hook)
    hook.answers = [0, 0]
    deliver_due(now=NOW)
    delivery.refresh_from_db()
    assert delivery.state == "waiting"
    assert "whether it arrived is unknown" in delivery.events.get(number=3).text


def test_a_client_is_told_what_they_asked_for_and_nobody_looks_twice(
    firm: SmallFirm, old: MarginCall, settings: Any, tmp_path: Path
) -> None:
    settings.EMAIL_FILE_PATH = str(tmp_path / "mail")
    client = client_of(old)
    name_ways(firm.desk, client, email="margin@client.example", kinds=["issued", "raised"])
    call = called_again(old)
    assert deliver_due().sent == 1
    with acting(STEPS, reason="Steps of a call"):
        held = MarginCall.objects.get(pk=call.pk)
        happens(held, "raised", amount_after=call.amount + 1)
        happens(held, "lowered", amount_after=call.amount)
    assert deliver_due().sent == 1, "nobody asked to be told that it was lowered"
    assert not untold().exists()
    name_ways(firm.desk, client, email="margin@client.example", kinds=["met"])
    with acting(STEPS, reason="Steps of a call"):
        happens(held, "raised", amount_after=call.amount + 2)
    assert not untold().exists()
    ends(call)
    assert deliver_due() == (1, 1, 0, 0)
    with connection.cursor() as cursor:
        assert all(check.is_sound for check in check_margin(cursor))
    kinds = Delivery.objects.filter(call=call).order_by("event").values_list("kind", flat=True)
    assert list(kinds) == ["issued", "raised", "met"]
    told = CallEvent.objects.filter(call=call, event="notified").order_by("pk")
    assert [each.text.split("\n")[0] for each in told] == [
        "email: notice “raised”", "email: notice “met”",
    ]  # fmt: skip


def test_what_asks_for_money_is_dropped_when_nothing_is_due_any_more(
    firm: SmallFirm, old: MarginCall, mailbox: Mailbox
) -> None:
    call, delivery = by_mail(firm, old)
    ends(call)
    done = deliver_due()
    assert done.dropped == 2, "neither the demand nor its end, of which nobody had been told"
    assert steps_of(delivery) == ["planned", "dropped"]
    assert not any(call.number.encode() in each for each in mailbox.messages)
    assert MarginCall.objects.get(pk=call.pk).state == "met"
