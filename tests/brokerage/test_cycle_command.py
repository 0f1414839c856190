"""The day's command and the watched inbox: each day one job, whoever runs it."""

import json
import os
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from brokerage import jobs, worker
from brokerage.inbox.cycle import run_day
from brokerage.inbox.day_job import day_key
from brokerage.inbox.folder import read_folder
from brokerage.inbox.watch import ask_for_next_day
from brokerage.job_kinds import INBOX_DAY, JOB_KINDS
from brokerage.jobs import claim_job, place_job
from brokerage.models import BusinessDay, Job
from brokerage.synthetic import CALM, write_firm
from brokerage.worker import run_job

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The ids of the jobs that workers were told of."""
    ids: list[int] = []
    monkeypatch.setattr(jobs, "dispatch", ids.append)
    return ids


@pytest.fixture
def days(tmp_path: Path) -> list[Path]:
    """Three days of a small firm."""
    return write_firm(
        tmp_path / "inbox", accounts=12, seed=3, first_day=date(2031, 3, 3), days=3, profile=CALM
    )


def cycle(day: Path, *arguments: str) -> str:
    out = StringIO()
    call_command("cycle", "--inbox", str(day), *arguments, stdout=out)
    return out.getvalue()


def refusal(capsys: pytest.CaptureFixture[str], day: Path, *arguments: str) -> str:
    """What the command says on stderr when it refuses."""
    with pytest.raises(SystemExit) as exit_:
        cycle(day, *arguments)
    assert exit_.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    return said.err


def row_count() -> int:
    """Rows of all tables together."""
    counts = [
        f"SELECT count(*) AS rows FROM {table}" for table in connection.introspection.table_names()
    ]
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT sum(rows) FROM ({' UNION ALL '.join(counts)}) counted")
        (count,) = cursor.fetchone()
    return int(count)


# --- The command ----------------------------------------------------------------------------------


def test_the_command_prints_the_result_and_leaves_one_job_that_is_done(days: list[Path]) -> None:
    result = json.loads(cycle(days[0], "--json"))
    assert result["format"] == "golden-day/1"
    assert result["business_day"] == "2031-03-03"
    job = Job.objects.get()
    assert (job.state, job.attempt) == ("done", 1)
    assert job.key == f"inbox.day:2031-03-03:{BusinessDay.objects.get().content_sha256}"
    assert job.outcome == {
        "business_day": "2031-03-03", "control_totals": result["control_totals"],
    }  # fmt: skip


def test_a_day_run_again_prints_the_same_and_changes_nothing(days: list[Path]) -> None:
    first = cycle(days[0], "--json")
    rows = row_count()
    assert cycle(days[0], "--json") == first
    assert row_count() == rows


def test_people_read_a_few_lines(days: list[Path]) -> None:
    said = cycle(days[0]).splitlines()
    assert said[0] == "2031-03-03 is done, as of 2031-03-03T21:00:00Z."
    assert len(said) == 4


def test_a_folder_that_cannot_be_read_is_refused_and_leaves_no_row(
    days: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (days[0] / "prices.csv").unlink()
    rows = row_count()
    said = refusal(capsys, days[0], "--json")
    assert said.startswith("prices.csv: ")
    assert said.count("\n") == 1
    assert row_count() == rows


def test_a_day_out_of_order_is_refused_and_leaves_no_row(
    days: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    cycle(days[1])
    rows = row_count()
    assert "does not follow 2031-03-04" in refusal(capsys, days[0])
    assert row_count() == rows


def test_a_day_with_other_content_is_refused_and_leaves_no_row(
    days: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    cycle(days[0])
    rows = row_count()
    with (days[0] / "transfers.csv").open("a") as file:
        file.write("\n")
    assert "before with other content" in refusal(capsys, days[0])
    assert row_count() == rows


def test_the_same_day_as_of_another_instant_is_refused(
    days: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    as_of = "2031-03-03T15:00:00-05:00"
    assert json.loads(cycle(days[0], "--as-of", as_of, "--json"))["as_of"] == "2031-03-03T20:00:00Z"
    assert cycle(days[0], "--as-of", "2031-03-03T20:00:00Z") == cycle(days[0])
    assert "was run as of 2031-03-03T20:00:00Z" in refusal(
        capsys, days[0], "--as-of", "2031-03-03T21:00:00Z"
    )


def test_an_instant_without_a_zone_is_refused(days: list[Path]) -> None:
    with pytest.raises(CommandError, match="needs its zone") as refused:
        cycle(days[0], "--as-of", "2031-03-03T21:00:00")
    assert refused.value.returncode == 2
    assert Job.objects.count() == 0


def held_elsewhere(day: Path) -> tuple[Job, jobs.Lease]:
    """The day's job in the hands of another worker."""
    content = read_folder(day, size_limit=10**7).content_sha256
    key = day_key(day.name, content=content)
    job = place_job(INBOX_DAY, key=key, arguments={"folder": str(day)})
    lease = claim_job(job.pk)
    assert lease is not None
    return job, lease


def test_the_command_waits_for_a_worker_that_is_at_the_day(
    days: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    job, lease = held_elsewhere(days[0])

    def the_worker_goes_on(_: float) -> None:
        run_day(days[0])
        lease.finish({})

    monkeypatch.setattr(worker.time, "sleep", the_worker_goes_on)
    assert json.loads(cycle(days[0], "--json"))["business_day"] == "2031-03-03"
    job.refresh_from_db()
    assert (job.state, job.attempt) == ("done", 1)


def test_the_command_takes_over_from_a_worker_that_died(
    days: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    job, _ = held_elsewhere(days[0])

    def its_lease_runs_out(_: float) -> None:
        Job.objects.update(lease_until=datetime(2000, 1, 1, tzinfo=UTC))

    monkeypatch.setattr(worker.time, "sleep", its_lease_runs_out)
    assert json.loads(cycle(days[0], "--json"))["business_day"] == "2031-03-03"
    job.refresh_from_db()
    assert (job.state, job.attempt) == ("done", 2)


def test_the_command_runs_a_job_again_that_failed_elsewhere(days: list[Path]) -> None:
    job, lease = held_elsewhere(days[0])
    lease.fail("The disk was full.", for_good=True)
    cycle(days[0])
    job.refresh_from_db()
    assert (job.state, job.attempt, job.error) == ("done", 1, "")


def test_a_fault_leaves_the_day_to_the_workers_and_says_so(
    days: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = JOB_KINDS[INBOX_DAY]

    def breaks(*_: object) -> dict[str, object]:
        raise OSError("no space left on device")

    broken = jobs.JobKind(kind.title, breaks, attempts_max=5)
    monkeypatch.setitem(JOB_KINDS, INBOX_DAY, broken)
    with pytest.raises(CommandError, match="OSError: no space left on device") as fault:
        cycle(days[0])
    assert fault.value.returncode == 1
    assert Job.objects.get().state == "waiting"
    monkeypatch.setitem(JOB_KINDS, INBOX_DAY, kind)
    Job.objects.update(lease_until=None)
    assert run_job(Job.objects.get().pk) is True
    assert BusinessDay.objects.get().closed_at is not None


# --- The watched folder ---------------------------------------------------------------------------


@pytest.fixture
def watch(days: list[Path]) -> Callable[[], Job | None]:
    """One look at the inbox folder, long after its files were written."""
    later = datetime.now(tz=UTC) + timedelta(minutes=5)
    return lambda: ask_for_next_day(days[0].parent, now=later)


def test_days_in_the_inbox_folder_are_run_in_their_order(
    watch: Callable[[], Job | None], days: list[Path]
) -> None:
    for day in days:
        job = watch()
        assert job is not None
        assert job.arguments == {"folder": str(day)}
        assert watch() is None, "one day after the other"
        assert run_job(job.pk) is True
    assert watch() is None
    assert BusinessDay.objects.filter(closed_at__isnull=False).count() == len(days)


def test_a_folder_that_is_still_written_is_left_alone(days: list[Path]) -> None:
    now = datetime.now(tz=UTC)
    young = (now - timedelta(seconds=5)).timestamp()
    os.utime(days[0] / "statements" / "holdings.csv", (young, young))
    assert ask_for_next_day(days[0].parent, now=now) is None
    assert ask_for_next_day(days[0].parent, now=now + timedelta(minutes=5)) is not None


def test_a_folder_that_is_refused_shows_as_a_failed_job_once(
    watch: Callable[[], Job | None], days: list[Path]
) -> None:
    prices = (days[0] / "prices.csv").read_bytes()
    (days[0] / "prices.csv").unlink()
    job = watch()
    assert job is not None
    run_job(job.pk)
    job.refresh_from_db()
    assert job.state == "failed"
    assert job.error.startswith("prices.csv: ")
    again = watch()
    assert again is not None
    assert again.pk == job.pk
    assert Job.objects.count() == 1
    (days[0] / "prices.csv").write_bytes(prices)
    mended = watch()
    assert mended is not None
    assert mended.pk != job.pk
    assert run_job(mended.pk) is True
    assert BusinessDay.objects.get().closed_at is not None


def test_other_things_in_the_inbox_folder_are_none_of_its_days(
    watch: Callable[[], Job | None], days: list[Path]
) -> None:
    inbox = days[0].parent
    for name in ("2031-02-30", "archive", "2031-03-02.tmp"):
        (inbox / name).mkdir()
    (inbox / "2031-03-01").write_text("a file")
    job = watch()
    assert job is not None
    assert job.arguments == {"folder": str(days[0])}


def test_a_day_that_somebody_cancelled_is_not_begun_again_by_itself(
    watch: Callable[[], Job | None], days: list[Path]
) -> None:
    first = watch()
    assert first is not None
    lease = claim_job(first.pk)
    assert lease is not None
    assert watch() is None, "it runs"
    lease.cancel()
    again = watch()
    assert again is not None
    assert (again.pk, again.state) == (first.pk, "cancelled")
