"""kill -9 around an attempt: every notice is delivered, under the same id where it goes twice."""

import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from margin.models import Delivery, MarginCall
from margin.notices.contents import bytes_of, message_id_of
from margin.notices.deliveries import deliver_due
from tests.margin.firm import SmallFirm
from tests.margin.noticed import called_again, client_of, name_ways, steps_of
from tests.margin.receivers import Mailbox, mail_server

if TYPE_CHECKING:
    from tests.cluster import Cluster

ROOT = Path(__file__).resolve().parents[2]
SENDS_AND_DIES = """
import os, signal, sys
import django
django.setup()
from margin.notices import deliveries, senders

def die(parcel, *, at):
    if sys.argv[1] == "after":
        senders.send(parcel, at=at)
    os.kill(os.getpid(), signal.SIGKILL)

deliveries.deliver_due(sender=die)
"""


def die(cluster: "Cluster", database: str, box: Mailbox, moment: str) -> None:
    environment = os.environ | {
        "DATABASE_URL": cluster.conninfo("bo_runtime", database=database),
        "SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(box.port), "SMTP_SECURITY": "none",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", SENDS_AND_DIES, moment], cwd=ROOT, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize(("moment", "arrivals"), [("before", 1), ("after", 2)])
def test_every_notice_is_delivered_whenever_its_sender_is_killed(
    firm: SmallFirm, cluster: "Cluster", database: str, settings: Any, moment: str, arrivals: int
) -> None:
    old = MarginCall.objects.get(number="MC-310304-0001")
    name_ways(firm.desk, client_of(old), email="margin@client.example", kinds=["issued"])
    call = called_again(old)
    with mail_server() as box:
        die(cluster, database, box, moment)
        held = Delivery.objects.select_related("person_key").get(call=call)
        assert (held.state, held.attempts) == ("sending", 1)
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", box.port
        settings.EMAIL_USE_TLS = False
        assert deliver_due().sent == 0, "the one that died may still be sending"
        assert deliver_due(now=timezone.now() + timedelta(minutes=3)).sent == 1
    held.refresh_from_db()
    assert (held.state, steps_of(held)[1:]) == ("delivered", ["attempt", "unknown", "accepted"])
    assert box.messages == [bytes_of(held)] * arrivals
    assert all(message_id_of(held.pk).encode() in each for each in box.messages)
    assert MarginCall.objects.get(pk=call.pk).state == "delivered"
