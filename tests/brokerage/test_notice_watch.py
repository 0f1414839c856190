"""The job that delivers notices: asked for while something is due, one at a time."""

from pathlib import Path
from typing import Any

from django.core.management import call_command

from brokerage.job_kinds import BOUNCES, NOTICES
from brokerage.models import Job
from brokerage.notice_watch import ask_for_bounces, ask_for_notices
from brokerage.worker import run_job
from margin.models import Delivery, MarginCall
from tests.margin.firm import crashed_firm
from tests.margin.noticed import called_again, client_of, name_ways


def test_the_job_delivers_what_is_due_and_is_asked_for_no_longer(
    db: None, settings: Any, tmp_path: Path
) -> None:
    settings.EMAIL_FILE_PATH = str(tmp_path / "mail")
    firm = crashed_firm(tmp_path / "firm")
    assert ask_for_notices() is None
    old = MarginCall.objects.get(number="MC-310304-0001")
    name_ways(firm.desk, client_of(old), email="margin@client.example", kinds=["issued"])
    call = called_again(old)
    asked = ask_for_notices()
    assert asked is not None
    assert ask_for_notices() == asked
    run_job(asked.pk)
    asked.refresh_from_db()
    assert (asked.name, asked.state) == (NOTICES, Job.State.DONE)
    assert asked.outcome == {"planned": 1, "sent": 1, "failed": 0, "dropped": 0}
    delivery = Delivery.objects.get(call=call)
    assert delivery.state == "delivered"
    assert ask_for_notices() is None
    call_command("bounce", f"<{delivery.pk}@localhost>", reason="550 nobody here")
    delivery.refresh_from_db()
    assert delivery.state == "bounced"
    call_command("deliver_notices", json=True)
    assert Delivery.objects.get(call=call).state == "bounced"


def test_what_came_back_is_read_where_a_folder_is_named(
    db: None, settings: Any, tmp_path: Path
) -> None:
    assert ask_for_bounces() is None
    settings.NOTICE_BOUNCES = str(tmp_path)
    assert ask_for_bounces() is None
    (tmp_path / "one.eml").write_bytes(b"Subject: hello\n\nNo report.\n")
    asked = ask_for_bounces()
    assert asked is not None
    assert ask_for_bounces() == asked
    run_job(asked.pk)
    asked.refresh_from_db()
    assert (asked.name, asked.state) == (BOUNCES, Job.State.DONE)
    assert asked.outcome == {"bounced": 0, "noted": 0, "left": 1, "known": 0}
    assert ask_for_bounces() is None
