"""`/metrics`: how late feeds are, how marks stand and what waits, for Prometheus.

Source:
    The text format 0.0.4 of Prometheus. It tells nothing of a client and needs no sign-in, as
    `/health` does; a firm lets only its own scraper reach it.
"""

from collections.abc import Iterable, Iterator, Mapping

from django.contrib.auth.decorators import login_not_required
from django.db.models import Count, Max
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_GET

from margin.coverage import coverage
from margin.market.feeds import BUCKETS, Latency, feeds_of, latencies
from margin.models import Mark, Task
from margin.switches import newest_versions

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LATENCY = "brokerage_feed_latency_seconds"


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
    newest = Mark.objects.aggregate(day=Max("business_day"), at=Max("as_of"))
    feeds = feeds_of(newest["day"]) if newest["day"] else []
    yield from _gauge(
        "brokerage_feed_late_prices",
        "Prices of the newest day that came later than their source promised.",
        [({"source": feed.source}, feed.late) for feed in feeds if feed.rules is not None],
    )
    marks = Mark.objects.filter(as_of=newest["at"]).values_list("state").annotate(n=Count("pk"))
    found = dict(marks.order_by("state"))
    yield from _gauge(
        "brokerage_marks",
        "Marks of the newest moment by state.",
        [({"state": state}, found.get(state, 0)) for state in Mark.State.values],
    )
    waiting = Task.objects.filter(closed_at=None).values_list("kind").annotate(n=Count("pk"))
    tasks = dict(waiting.order_by("kind"))
    yield from _gauge(
        "brokerage_open_tasks",
        "Tasks that wait for a person.",
        [({"kind": kind}, tasks.get(kind, 0)) for kind in Task.Kind.values],
    )
    watched = coverage()
    if watched.last is not None:
        yield from _gauge(
            "brokerage_margin_check_age_seconds",
            "Since every scope was last looked at.",
            [({}, (watched.at - watched.last).total_seconds())],
        )
    yield from _gauge(
        "brokerage_margin_check_overdue",
        "Whether a margin check that was promised has not come.",
        [({}, int(watched.is_missed))],
    )
    yield from _gauge(
        "brokerage_margin_scopes_unchecked",
        "Scopes of which no standing run says anything.",
        [({}, watched.unchecked)],
    )
    yield from _switches()


def _switches() -> Iterator[str]:
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
    yield from _gauge(
        "brokerage_switch_stopped",
        "Whether two people have stopped what runs by itself.",
        [(labels, is_stopped) for labels, is_stopped, _ in known],
    )
    yield from _gauge(
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


def _gauge(
    name: str, meaning: str, samples: Iterable[tuple[Mapping[str, str], float]]
) -> Iterator[str]:
    yield from _head(name, "gauge", meaning)
    for labels, value in samples:
        yield _sample(name, labels, value)


def _head(name: str, kind: str, meaning: str) -> Iterator[str]:
    yield f"# HELP {name} {meaning}"
    yield f"# TYPE {name} {kind}"


def _sample(name: str, labels: Mapping[str, str], value: float) -> str:
    said = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    return f"{name}{{{said}}} {value!r}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
