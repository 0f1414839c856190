"""kill -9 around an attempt: every notice is delivered, under the same id where it goes twice."""

from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.utils import timezone

from margin.models import Delivery, MarginCall
from margin.notices import senders
from margin.notices.contents import bytes_of, message_id_of
from margin.notices.deliveries import deliver_due
from tests.margin.firm import SmallFirm
from tests.margin.killing import dies, killed
from tests.margin.noticed import called_again, client_of, name_ways, steps_of
from tests.margin.receivers import mail_server


def sends_and_dies(moment: str) -> None:
    def send(parcel: Any, *, at: datetime) -> None:
        if moment == "after":
            senders.send(parcel, at=at)
        dies()

    deliver_due(sender=send)


@pytest.mark.parametrize(("moment", "arrivals"), [("before", 1), ("after", 2)])
def test_every_notice_is_delivered_whenever_its_sender_is_killed(
    firm: SmallFirm, settings: Any, moment: str, arrivals: int
) -> None:
    old = MarginCall.objects.get(number="MC-310304-0001")
    name_ways(firm.desk, client_of(old), email="margin@client.example", kinds=["issued"])
    call = called_again(old)
    with mail_server() as box:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", box.port
        settings.EMAIL_USE_TLS = False
        killed(partial(sends_and_dies, moment))
        held = Delivery.objects.select_related("person_key").get(call=call)
        assert (held.state, held.attempts) == ("sending", 1)
        assert deliver_due().sent == 0, "the one that died may still be sending"
        assert deliver_due(now=timezone.now() + timedelta(minutes=3)).sent == 1
    held.refresh_from_db()
    assert (held.state, steps_of(held)[1:]) == ("delivered", ["attempt", "unknown", "accepted"])
    assert box.messages == [bytes_of(held)] * arrivals
    assert all(message_id_of(held.pk).encode() in each for each in box.messages)
    assert MarginCall.objects.get(pk=call.pk).state == "delivered"
