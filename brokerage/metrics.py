"""`/metrics`: how late feeds are, how marks stand, what waits and what is wrong, for Prometheus.

Source:
    The text format 0.0.4 of Prometheus. It tells nothing of a client and needs no sign-in, as
    `/health` does; a firm lets only its own scraper reach it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from django.contrib.auth.decorators import login_not_required
from django.db.models import Count, Max
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_GET

from accounts.emergencies import open_tasks
from accounts.seals.state import seal_state
from brokerage.alerts import Sample, firing
from brokerage.database import slow
from brokerage.queue import queue_state
from margin.coverage import coverage
from margin.market.feeds import BUCKETS, Latency, feeds_of, latencies
from margin.models import Mark, Task
from margin.switches import newest_versions

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LATENCY = "brokerage_feed_latency_seconds"
ALERT = "brokerage_alert"


@require_GET
@login_not_required
def metrics(request: HttpRequest) -> HttpResponse:
    """Everything that is measured, as text."""
    return HttpResponse("\n".join(lines()) + "\n", content_type=CONTENT_TYPE)


def lines() -> Iterator[str]:
    """The metrics, line by line."""
    yield from _head(LATENCY, "histogram", "From the event until a price came, or was used.")
    for each in latencies():
        yield from _histogram(each)
    samples: list[Sample] = []
    for gauge in gauges():
        yield from _head(gauge.name, "gauge", gauge.meaning)
        for labels, value in gauge.samples:
            samples.append(Sample(gauge.name, labels, value))
            yield _sample(gauge.name, labels, value)
    yield from _head(ALERT, "gauge", "Whether somebody should look; see docs/operations.md.")
    for alert, is_wrong in firing(samples):
        yield _sample(ALERT, {"name": alert.name}, int(is_wrong))


class Gauge(NamedTuple):
    """What is measured now: samples with their labels."""

    name: str
    meaning: str
    samples: Sequence[tuple[Mapping[str, str], float]]


def gauges() -> Iterator[Gauge]:
    """Everything that goes up and down."""
    yield from _of_the_market()
    yield from _of_work()
    waiting = Task.objects.filter(closed_at=None).values_list("kind").annotate(n=Count("pk"))
    emergencies = open_tasks()
    tasks = dict(waiting.order_by("kind")) | {"emergency": emergencies.count()}
    yield Gauge(
        "brokerage_open_tasks",
        "Tasks that wait for a person.",
        [({"kind": kind}, tasks.get(kind, 0)) for kind in [*Task.Kind.values, "emergency"]],
    )
    yield Gauge(
        "brokerage_emergencies_overdue",
        "Emergencies that nobody else has looked at in time.",
        [({}, emergencies.filter(due_at__lt=timezone.now()).count())],
    )
    watched = coverage()
    if watched.last is not None:
        yield Gauge(
            "brokerage_margin_check_age_seconds",
            "Since every scope was last looked at.",
            [({}, (watched.at - watched.last).total_seconds())],
        )
    yield Gauge(
        "brokerage_margin_check_overdue",
        "Whether a margin check that was promised has not come.",
        [({}, int(watched.is_missed))],
    )
    yield Gauge(
        "brokerage_margin_scopes_unchecked",
        "Scopes of which no standing run says anything.",
        [({}, watched.unchecked)],
    )


def _of_the_market() -> Iterator[Gauge]:
    newest = Mark.objects.aggregate(day=Max("business_day"), at=Max("as_of"))
    feeds = feeds_of(newest["day"]) if newest["day"] else []
    yield Gauge(
        "brokerage_feed_late_prices",
        "Prices of the newest day that came later than their source promised.",
        [({"source": feed.source}, feed.late) for feed in feeds if feed.rules is not None],
    )
    marks = Mark.objects.filter(as_of=newest["at"]).values_list("state").annotate(n=Count("pk"))
    found = dict(marks.order_by("state"))
    yield Gauge(
        "brokerage_marks",
        "Marks of the newest moment by state.",
        [({"state": state}, found.get(state, 0)) for state in Mark.State.values],
    )


def _of_work() -> Iterator[Gauge]:
    queue = queue_state(timezone.now())
    yield Gauge(
        "brokerage_jobs",
        "Jobs that have not ended, by state.",
        [({"state": "waiting"}, queue.waiting), ({"state": "running"}, queue.running)],
    )
    yield Gauge(
        "brokerage_job_queue_lag_seconds",
        "How long the job has waited that has waited longest of those that could start.",
        [({}, queue.lag_seconds)],
    )
    yield Gauge(
        "brokerage_job_oldest_seconds",
        "Age of the oldest job that has not ended.",
        [({}, queue.oldest_seconds)],
    )
    yield Gauge(
        "brokerage_seal_lag_seconds",
        "Since when the oldest act waits for its seal.",
        [({}, seal_state().lag_seconds)],
    )
    yield Gauge(
        "brokerage_slow_statements",
        "Statements kept that took longer than SLOW_STATEMENT_MS.",
        [({}, sum(1 for _ in slow.lines()))],
    )
    yield from _switches()


def _switches() -> Iterator[Gauge]:
    """What is stopped, and for how long beyond what was agreed."""
    now = timezone.now()
    known = [
        (
            {"legal_entity": each.legal_entity.code, "switch": each.what},
            int(each.is_stopped),
            0 if each.until is None else max((now - each.until).total_seconds(), 0),
        )
        for each in newest_versions()
    ]
    yield Gauge(
        "brokerage_switch_stopped",
        "Whether two people have stopped what runs by itself.",
        [(labels, is_stopped) for labels, is_stopped, _ in known],
    )
    yield Gauge(
        "brokerage_switch_overdue_seconds",
        "How long a stop has outlasted the time that was agreed.",
        [(labels, late) for labels, _, late in known],
    )


def _histogram(found: Latency) -> Iterator[str]:
    labels = {"source": found.source, "stage": found.stage}
    total = 0
    for end, count in zip([*map(str, BUCKETS), "+Inf"], found.counts, strict=True):
        total += count
        yield _sample(f"{LATENCY}_bucket", {**labels, "le": end}, total)
    yield _sample(f"{LATENCY}_sum", labels, found.seconds)
    yield _sample(f"{LATENCY}_count", labels, found.count)


def _head(name: str, kind: str, meaning: str) -> Iterator[str]:
    yield f"# HELP {name} {meaning}"
    yield f"# TYPE {name} {kind}"


def _sample(name: str, labels: Mapping[str, str], value: float) -> str:
    said = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    return f"{name}{{{said}}} {value!r}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
