"""Every alert is set off by what it is about, stands in the runbook, and is quiet otherwise."""

import re
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from accounts.audit import Actor, acting
from accounts.bulk import copy_rows
from accounts.models import LegalEntity, Role
from accounts.seals.state import SealState
from brokerage import alerts, metrics
from brokerage.alerts import ALERTS, Sample, firing
from brokerage.database import slow
from brokerage.models import Job
from brokerage.queue import queue_state
from margin.coverage import Coverage
from margin.models import Mark, Task
from tests.accounts.people import found_desk, sign_in
from tests.stage import booked_days

NOW = datetime(2031, 3, 3, 12, tzinfo=UTC)
RUNBOOK = Path(__file__).resolve().parents[2] / "docs" / "operations.md"
DESK = Actor.command("test")


@pytest.fixture(autouse=True)
def own_log(settings: Any, tmp_path: Path) -> Path:
    settings.SLOW_STATEMENTS = tmp_path / "slow.ndjson"
    return tmp_path


@pytest.fixture
def days(db: None, tmp_path: Path) -> list[Path]:
    return booked_days(tmp_path / "firm", accounts=8, seed=5, days=2, booked=1)


def job(**fields: Any) -> Job:
    with acting(DESK, reason="A job for a test"):
        return Job.objects.create(name="seal", key=f"{uuid4()}", **fields)


def wrong_now() -> set[str]:
    """Names of the alerts that `/metrics` says hold."""
    page = Browser().get("/metrics").content.decode()
    return set(re.findall(r'brokerage_alert\{name="(\w+)"\} 1', page))


def test_the_runbook_has_every_alert_with_its_measure_meaning_and_act() -> None:
    rows = {
        cells[1].strip("` "): cells
        for line in RUNBOOK.read_text(encoding="utf-8").splitlines()
        if line.startswith("| `") and len(cells := line.split("|")) == 6
    }
    for each in ALERTS:
        _, _, measure, meaning, act, _ = rows[each.name]
        assert f"`{each.metric}`" in measure
        assert measure.strip().endswith(f"> {each.above:g}")
        kinds = each.labels.get("kind", frozenset())
        assert all(re.search(rf"\b{kind}\b", measure) for kind in kinds)
        assert (meaning.strip(), act.strip()) == (each.meaning, each.act)
    named = {kind for each in ALERTS for kind in each.labels.get("kind", ())}
    assert named == set(Task.Kind.values), "every kind of task wakes somebody"


@pytest.mark.parametrize("alert", ALERTS, ids=lambda each: each.name)
def test_an_alert_holds_above_what_is_right_and_not_at_it(alert: alerts.Alert) -> None:
    labels = {name: sorted(values)[0] for name, values in alert.labels.items()}
    for value, expected in ((alert.above, False), (alert.above + 1, True)):
        found = {
            each.name
            for each, is_wrong in firing([Sample(alert.metric, labels, value)])
            if is_wrong
        }
        assert (alert.name in found) is expected
    assert not any(is_wrong for _, is_wrong in firing([Sample("another", labels, 1e9)]))


def test_each_alert_is_set_off_by_what_it_is_about(
    days: list[Path], monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    quiet = wrong_now()
    seen: set[str] = set()

    def is_set_off(*names: str) -> None:
        found = wrong_now()
        assert set(names) <= found, names
        seen.update(names)

    waits = job(created_at=timezone.now() - timedelta(seconds=90))
    is_set_off("QueueLags")
    Job.objects.filter(pk=waits.pk).update(created_at=timezone.now() - timedelta(hours=2))
    is_set_off("JobTakesTooLong")
    tasks = [
        Task(
            kind=kind, key=f"test:{kind}", subject=kind, business_day=date(2031, 3, 3),
            owner_role=Role.RISK, opened_at=NOW, due_at=NOW,
        )
        for kind in Task.Kind.values
    ]  # fmt: skip
    with acting(DESK, reason="A task of every kind"):
        copy_rows(tasks)
    is_set_off(*(each.name for each in ALERTS if "kind" in each.labels and each.name not in quiet))
    newest = Mark.objects.latest("as_of", "pk")
    with acting(DESK, reason="A stale mark"):
        at = newest.as_of + timedelta(seconds=1)
        copy_rows([Mark(asset=newest.asset, as_of=at, business_day=newest.business_day, price=1,
                        state=Mark.State.STALE, used=[], dropped=[])])  # fmt: skip
    is_set_off("PricesNotRight")
    for _ in range(201):
        slow.keep("SELECT 1", milliseconds=900)
    is_set_off("StatementsSlow")
    late = SealState(sealed_to=1, lag_seconds=400, held_seconds=0, writers=(), sinks=())
    monkeypatch.setattr(metrics, "seal_state", lambda: late)
    is_set_off("HistoryUnsealed")
    monkeypatch.setattr(metrics, "coverage", lambda: _unchecked())
    found = wrong_now()
    assert {"MarginCheckOverdue", "ScopesUnchecked"} <= found
    seen |= {"MarginCheckOverdue", "ScopesUnchecked"}
    monkeypatch.setattr(metrics, "open_tasks", _Unreviewed)
    is_set_off("EmergencyUnreviewed")
    monkeypatch.setattr(metrics, "feeds_of", lambda day: [_late_feed()])
    is_set_off("FeedLate")
    assert seen | quiet == {each.name for each in ALERTS}


def _unchecked() -> Coverage:
    class Missed:
        last, at, is_missed, unchecked = NOW, NOW, True, 3

    return Missed()  # type: ignore[return-value]


class _Unreviewed:
    def filter(self, **_: object) -> "_Unreviewed":
        return self

    def count(self) -> int:
        return 1


def _late_feed() -> Any:
    class Feed:
        source, late, rules = "venue", 3, object()

    return Feed()


# ---------------------------------------------------------------- the queue


def test_the_queue_counts_what_could_start_and_not_what_pauses(db: None) -> None:
    now = timezone.now()
    assert queue_state(now) == queue_state(now)
    job(created_at=now - timedelta(seconds=30))
    job(created_at=now - timedelta(seconds=500), lease_until=now + timedelta(seconds=20), attempt=1)
    job(created_at=now - timedelta(hours=3), state=Job.State.DONE, ended_at=now)
    found = queue_state(now)
    assert (found.waiting, found.running) == (2, 0)
    assert found.lag_seconds == pytest.approx(30, abs=1)
    assert found.oldest_seconds == pytest.approx(500, abs=1)


# ---------------------------------------------------------------- slow statements


def test_a_slow_statement_is_kept_with_its_place_and_without_values(
    days: list[Path], settings: Any
) -> None:
    settings.SLOW_STATEMENT_MS = 40
    with slow.at_work_for("margin:account"), connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_sleep(0.05), %s, 'Ada Lovelace', 4711", ["GB29NWBK60161331926819"]
        )
        cursor.execute("SELECT 1")
    (kept,) = slow.slowest()
    assert kept.where == "margin:account"
    assert kept.text == "SELECT pg_sleep(?), %s, ?, ?"
    assert kept.most >= 50
    written = slow.file().read_text(encoding="utf-8")
    assert not re.search("Ada|4711|GB29", written)
    desk = found_desk(entity=LegalEntity.objects.get())
    browser = Browser()
    sign_in(browser, desk[Role.OPERATIONS])
    settings.SLOW_STATEMENT_MS = 500
    page = browser.get(reverse("brokerage:slow")).content.decode()
    assert "margin:account" in page
    assert "SELECT pg_sleep(?)" in page


def test_the_log_is_bounded_and_a_full_disk_breaks_nothing(settings: Any, own_log: Path) -> None:
    began = time.monotonic()
    for _ in range(1_000):
        slow.keep("SELECT " + "x" * 5_000, milliseconds=700)
    kept = sum(path.stat().st_size for path in own_log.glob("*.ndjson"))
    assert kept < 2 * slow.BYTES_MOST + 3 * slow.TEXT_MOST
    assert len(list(own_log.glob("*.ndjson"))) == 2
    assert time.monotonic() - began < 30
    with slow.file().open("a", encoding="utf-8") as handle:
        handle.write('{"at": "2031')
    assert slow.slowest()
    settings.SLOW_STATEMENTS = Path("/proc/nowhere/slow.ndjson")
    slow.keep("SELECT 1", milliseconds=900)
    assert slow.slowest() == []
