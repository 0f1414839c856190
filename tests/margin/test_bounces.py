"""What mail servers give back: matched to its exact notice, once, and nothing else moves any."""

from email.message import EmailMessage
from pathlib import Path
from typing import Any

import psycopg
import pytest

from margin.models import CallEvent, Delivery, DeliveryEvent, MailBounce, MarginCall, Task
from margin.notices.bounces import read_bounce, read_bounces
from margin.notices.contents import bytes_of, message_id_of, recipient_of
from margin.notices.deliveries import deliver_due
from margin.notices.delivery_status import read_delivery_status
from margin.notices.plan import plan_notices
from tests.ledger.raw import Owner, run
from tests.margin.firm import SmallFirm
from tests.margin.noticed import called_again, client_of, name_ways, steps_of

TO = "margin@client.example"


def dsn(
    message: str, *, to: str = TO, action: str = "failed", status: str = "5.1.1",
    original: str = "", headers_only: bool = False, said: str = "550 5.1.1 nobody here",
) -> bytes:  # fmt: skip
    """A delivery status as a mail server writes it, on a message of this Message-ID."""
    back = (
        f"Content-Type: text/rfc822-headers\n\nMessage-ID: {message}\nSubject: Call\n"
        if headers_only
        else f"Content-Type: message/rfc822\n\n{original or f'Message-ID: {message}'}\n\nText\n"
    )
    return (
        "From: MAILER-DAEMON@client.example\nTo: margin-calls@localhost\n"
        "Subject: Undelivered Mail Returned to Sender\nMIME-Version: 1.0\n"
        "Content-Type: multipart/report; report-type=delivery-status; boundary=\"B\"\n\n"
        "--B\nContent-Type: text/plain\n\nSorry.\n"
        "--B\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.client.example\n\n"
        f"Final-Recipient: rfc822; {to}\nAction: {action}\nStatus: {status}\n"
        f"Diagnostic-Code: smtp; {said} <{to}>\n\n"
        f"--B\n{back}\n--B--\n"
    ).encode()  # fmt: skip


@pytest.fixture
def sent(firm: SmallFirm, settings: Any, tmp_path: Path) -> Delivery:
    """A notice that the mail server took."""
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    settings.EMAIL_FILE_PATH = str(tmp_path / "mail")
    old = MarginCall.objects.get(number="MC-310304-0001")
    name_ways(firm.desk, client_of(old), email=TO, kinds=["issued"])
    call = called_again(old)
    deliver_due()
    found = Delivery.objects.select_related("person_key").get(call=call)
    assert (found.state, recipient_of(found)) == ("delivered", TO)
    return found


def stands() -> object:
    """Everything that a bounce could move."""
    return (
        list(Delivery.objects.order_by("pk").values_list("pk", "state")),
        DeliveryEvent.objects.count(), CallEvent.objects.count(),
    )  # fmt: skip


def asked() -> list[Task]:
    return list(Task.objects.filter(kind="notice", closed_at__isnull=True))


@pytest.mark.parametrize("headers_only", [False, True])
def test_what_came_back_is_escalated_and_its_reason_is_kept_without_the_address(
    sent: Delivery, tmp_path: Path, headers_only: bool
) -> None:
    folder = tmp_path / "maildir"
    for place in ("new", "cur", "tmp"):
        (folder / place).mkdir(parents=True)
    content = dsn(message_id_of(sent.pk), headers_only=headers_only)
    (folder / "new" / "1700.one").write_bytes(content)
    (folder / "tmp" / "1701.two").write_bytes(b"not whole yet")
    found = read_bounces(folder)
    assert found == {"bounced": 1, "noted": 0, "left": 0, "known": 0}
    sent.refresh_from_db()
    assert (sent.state, steps_of(sent)[-1]) == ("bounced", "bounced")
    words = sent.events.get(step="bounced").text
    assert "5.1.1" in words
    assert "nobody here" in words
    assert TO not in words
    (task,) = asked()
    assert "came back" in task.subject
    assert task.due_at > task.opened_at
    assert CallEvent.objects.filter(call=sent.call, event="bounced").count() == 1
    # Taken aside, and the same message laid there again is nothing.
    assert [path.name for path in (folder / "read").iterdir()] == ["1700.one"]
    (folder / "cur" / "1702.again").write_bytes(content)
    before = stands()
    assert read_bounces(folder)["known"] == 1
    # Another report on the same notice is noted, and escalates nothing anew.
    assert read_bounce(dsn(message_id_of(sent.pk), status="5.2.2"), name="x") == "noted"
    assert (stands(), len(asked())) == (before, 1)


def test_a_message_that_returns_what_we_sent_is_matched_by_it(sent: Delivery) -> None:
    original = bytes_of(sent).decode().replace("\r\n", "\n")
    message = read_delivery_status(dsn("", original=original))
    assert message is not None
    assert message.message_id == message_id_of(sent.pk)


def test_what_is_forged_or_foreign_moves_nothing_and_is_asked_about(sent: Delivery) -> None:
    ours = message_id_of(sent.pk)
    name = str(sent.pk)
    other = str(sent.pk).replace(name[0], "0" if name[0] != "0" else "1", 1)
    plain = EmailMessage()
    plain["From"], plain["Message-ID"] = TO, ours
    plain.set_content("I am on holiday.")
    strange = [
        dsn(ours.replace("@", "@evil.")),  # our id at another host
        dsn(ours.replace(name, other)),  # an id that we never gave
        dsn("<nothing@client.example>"), dsn(""), dsn(f"{ours} {ours}"),
        dsn(ours, to="somebody@else.example"),  # a recipient that the notice did not have
        plain.as_bytes(), b"", b"\xff\xfe\x00", b"x" * (1024 * 1024 + 1),
    ]  # fmt: skip
    before = stands()
    for number, content in enumerate(strange, start=1):
        assert read_bounce(content, name="x") == "left"
        assert (stands(), len(asked())) == (before, number)
    assert {task.owner_role for task in asked()} == {"operations"}
    assert read_bounce(strange[0], name="x") is None
    assert len(asked()) == len(strange)


@pytest.mark.parametrize("action", ["delayed", "delivered", "relayed", "expanded"])
def test_what_is_no_failure_is_noted_alone(sent: Delivery, action: str) -> None:
    before = stands()
    assert read_bounce(dsn(message_id_of(sent.pk), action=action), name="x") == "noted"
    assert (stands(), asked()) == (before, [])


def test_a_notice_that_was_not_sent_cannot_come_back(sent: Delivery, owner: Owner) -> None:
    call = called_again(sent.call)
    plan_notices()
    waiting = Delivery.objects.get(call=call, state="waiting")
    before = stands()
    assert read_bounce(dsn(message_id_of(waiting.pk)), name="x") == "left"
    assert stands() == before
    with pytest.raises(psycopg.Error) as refusal:
        run(
            owner,
            (
                "INSERT INTO margin_mailbounce (sha256, name, delivery_id, outcome, status, detail)"
                " VALUES ('s', 'n', %s, 'bounced', '', '')",
                [waiting.pk],
            ),
        )
    assert refusal.value.diag.constraint_name == "bounce_names_its_notice"
    assert not MailBounce.objects.filter(outcome="bounced").exists()
