"""The book proves itself every night, and says which row differs where it cannot."""

from datetime import UTC, date, datetime
from pathlib import Path

import psycopg
import pytest

from brokerage import tasks
from brokerage.inbox.cycle import run_day
from brokerage.models import Job
from brokerage.nightly import VERIFY, due_proof
from brokerage.synthetic import DEMO, write_firm
from brokerage.worker import run_job
from margin.models import Task
from tests.stage import staged

NIGHT = datetime(2031, 3, 4, 1, 5, tzinfo=UTC)


@pytest.fixture
def filled(db: None, tmp_path: Path) -> None:
    """A firm with one day in its book."""
    (day,) = write_firm(
        tmp_path / "firm", accounts=4, seed=9, first_day=date(2031, 3, 3), days=1, profile=DEMO
    )
    staged("a day of 4 accounts", lambda: run_day(day))


@pytest.mark.usefixtures("db")
def test_an_empty_desk_has_nothing_to_prove() -> None:
    assert due_proof(NIGHT) is None


@pytest.mark.usefixtures("filled")
def test_the_proof_is_asked_for_once_a_night(
    sent: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert due_proof(NIGHT.replace(hour=0)) is None
    assert due_proof(NIGHT) == due_proof(NIGHT.replace(hour=23)) == "verify:2031-03-04"
    monkeypatch.setattr("brokerage.tasks.timezone.now", lambda: NIGHT)
    tasks.prove_the_book()
    tasks.prove_the_book()
    (job,) = Job.objects.filter(name=VERIFY)
    assert sent == [job.pk]

    run_job(job.pk)
    job.refresh_from_db()
    assert job.state == Job.State.DONE, job.error
    assert job.outcome is not None
    assert job.outcome["rows"] > 100
    assert not Task.objects.filter(kind=Task.Kind.JOB).exists()


@pytest.mark.usefixtures("filled", "sent")
def test_a_book_that_does_not_prove_itself_is_a_task_that_names_the_row(
    superuser: psycopg.Connection[tuple[int]],
) -> None:
    superuser.execute("DROP EVENT TRIGGER guards_stay_on")
    superuser.execute("ALTER TABLE ledger_balance DISABLE TRIGGER USER")
    row = superuser.execute(
        "UPDATE ledger_balance SET amount = amount + 1 WHERE account_id ="
        " (SELECT min(account_id) FROM ledger_balance WHERE seq > 0) RETURNING account_id"
    ).fetchone()
    assert row is not None
    superuser.commit()

    tasks.jobs.ask_for_job(VERIFY, key="verify:tonight", arguments={})
    job = Job.objects.get()
    run_job(job.pk)
    job.refresh_from_db()
    assert job.state == Job.State.FAILED
    assert job.error.startswith("The book does not prove itself: ")
    assert f"ledger_balance {row[0]}" in job.error
    task = Task.objects.get(kind=Task.Kind.JOB)
    assert task.closed_at is None


def test_the_scheduler_asks_for_the_proof() -> None:
    from brokerage.celery import app

    assert "brokerage.tasks.prove_the_book" in {
        entry["task"] for entry in app.conf.beat_schedule.values()
    }
