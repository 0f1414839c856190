"""From a price file to the changed call in the browser, through the product's own processes.

Web server and worker run as on any day. A browser's part is played by one connection that listens
to the stream of an open page, and by the request that page then makes for its rows. Each file
quotes every instrument by two sources and moves one underlying.
"""

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from statistics import median
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.db import connections

from accounts.audit import acting
from accounts.figures import grouped
from brokerage.benchmarks import machine, margin_book
from brokerage.benchmarks.browser import Browser, NotAnsweredError
from brokerage.benchmarks.margin_kernel import UnsoundError
from brokerage.benchmarks.people import signed_in
from brokerage.benchmarks.scratch import BENCH, BenchmarkRefusedError, found_scratch
from brokerage.management.commands.run import children
from ledger.horizons import store_horizon
from ledger.models import LedgerAccount
from margin.book.columns import read_columns
from margin.calls.settling import settle_run
from margin.column_runs import record_columns
from margin.market.marks import known_marks
from margin.models import MarginCall, MarginRun, Remargin
from margin.run_rows import END_OF_DAY
from margin.runs import replay

ACCOUNTS: Final = 100_000
ACCOUNTS_QUICK: Final = 20_000
# Each process of the worker reads the book once; the files that may meet a cold one come first.
FIRST_FILES: Final = 4
FILES: Final = 7
SOURCES: Final = ("primary", "second")
MOVED_BY: Final = Decimal("0.97")
SECONDS_MAX: Final = 300.0
CLOCK_TICKS: Final = os.sysconf("SC_CLK_TCK")


class Seen(NamedTuple):
    """One file on its way, in seconds.

    Attributes:
        accepted_s: until the answer that it was taken.
        visible_s: from that answer until the page shows the changed call.
        run_s: of that, until the stream said so.
        cpu_s: processor time of the worker meanwhile.
    """

    accepted_s: float
    run_s: float
    visible_s: float
    cpu_s: float
    scopes: int


def measure(quick: bool, *, accounts: int | None = None) -> dict[str, Any]:
    """Figures of files after the worker knows the book, and of those before.

    Returns:
        `name`, `figures`.

    Raises:
        UnsoundError: a run replays to something else, or a file made none.
    """
    many = accounts or (ACCOUNTS_QUICK if quick else ACCOUNTS)
    scratch = found_scratch(clients=1, banks=1)
    with scratch.connect_superuser() as superuser:
        score = machine.score(superuser)._asdict()
    margin_book.fill(scratch, accounts=many)
    connections.close_all()
    _end_of_day()
    key = signed_in(scratch)
    connections.close_all()
    with product(columns_from=min(many, settings.MARGIN_COLUMNS_FROM)) as (address, worker):
        browser = Browser(address, session=key)
        with browser.stream():
            seen = [
                _file(browser, number=number, worker=worker)
                for number in range(FIRST_FILES + FILES)
            ]
    _require_sound()
    first, warm = seen[:FIRST_FILES], seen[FIRST_FILES:]
    return {
        "name": "price_to_browser",
        "figures": {
            "machine": score,
            "accounts": many,
            "files": len(warm),
            "price_rows": len(known_marks()) * len(SOURCES),
            "scopes_touched": median(each.scopes for each in warm),
            "open_calls": MarginCall.objects.open().count(),
            "accepted_s": median(each.accepted_s for each in warm),
            "accepted_to_settled_s": median(each.run_s for each in warm),
            "accepted_to_visible_s": median(each.visible_s for each in warm),
            "accepted_to_visible_worst_s": max(each.visible_s for each in warm),
            "handed_in_to_visible_s": median(each.accepted_s + each.visible_s for each in warm),
            "worker_cpu_s": median(each.cpu_s for each in warm),
            "first_accepted_to_visible_s": max(each.visible_s for each in first),
        },
    }


def _end_of_day() -> None:
    """The day that is over, run and settled."""
    horizon = store_horizon("benchmark")
    read = read_columns(horizon_id=horizon.pk, as_of=margin_book.AS_OF)
    with acting(BENCH, reason="The end of the day"):
        run = record_columns(read, business_day=margin_book.DAY, purpose=END_OF_DAY)
        settle_run(run)


def _file(browser: Browser, *, number: int, worker: int) -> Seen:
    """Hand in a file that moves one underlying, and look until the page shows a changed call."""
    underlying = f"U{number * 7 % margin_book.UNDERLYINGS:02d}-"
    call = _call_on(underlying)
    page = f"/margin/calls/?q={call.number}"
    before = grouped(call.amount, decimals=2)
    if not _shows(browser.rows(page), before):
        raise UnsoundError(f"the page of {call.number} does not show {before}")
    content = _prices(underlying)
    connections.close_all()
    browser.forget_news()
    spent, start = _cpu(worker), time.monotonic()
    said = browser.post("/api/price-files/", {"content": content, "name": f"{number}.csv"})
    accepted = time.monotonic()
    settled = 0.0
    while _shows(browser.rows(page), before):
        browser.await_news("margin", seconds=SECONDS_MAX)
        settled = settled or time.monotonic()
    visible = time.monotonic()
    _await_job(browser, int(said["job"]))
    made = Remargin.objects.select_related("run").latest("pk")
    connections.close_all()
    return Seen(
        accepted_s=accepted - start,
        run_s=(settled or visible) - accepted,
        visible_s=visible - accepted,
        cpu_s=_cpu(worker) - spent,
        scopes=0 if made.run is None else made.run.scope_count,
    )


def _call_on(underlying: str) -> MarginCall:
    """An open call of somebody who holds perpetuals of the underlying."""
    holders = LedgerAccount.objects.filter(
        asset__code__startswith=underlying, asset__kind="derivative"
    )
    calls = MarginCall.objects.open().filter(scope__bucket__in=holders.values("bucket"))
    call = calls.order_by("number").first()
    if call is None:
        raise BenchmarkRefusedError(f"Nobody with {underlying} is called; take more accounts.")
    return call


def _prices(underlying: str) -> str:
    now = datetime.now(tz=UTC)
    rows = ["instrument,source,observed_at,price"]
    for code, mark in sorted(known_marks().items()):
        price = mark.price * MOVED_BY if code.startswith(underlying) else mark.price
        rows += [f"{code},{source},{now:%Y-%m-%dT%H:%M:%SZ},{price:.4f}" for source in SOURCES]
    return "\n".join([*rows, ""])


def _shows(page: str, amount: str) -> bool:
    return amount in re.sub(r"<[^>]*>", " ", page)


def _await_job(browser: Browser, job: int) -> None:
    """Wait for the job's end, so that the next file finds nobody at work."""
    deadline = time.monotonic() + SECONDS_MAX
    while browser.get(f"/api/jobs/{job}/")["state"] not in ("done", "failed"):
        if time.monotonic() > deadline:
            raise NotAnsweredError(f"job {job} did not end")
        time.sleep(0.05)


def _require_sound() -> None:
    runs = MarginRun.objects.filter(remargin__isnull=False).order_by("-pk")
    if runs.count() != FIRST_FILES + FILES:
        raise UnsoundError("a file made no run")
    if not replay(runs[0].number).is_same:
        raise UnsoundError("a run that is computed again says something else")


# ---------------------------------------------------------------- the product


@contextmanager
def product(*, columns_from: int) -> Iterator[tuple[str, int]]:
    """Web server and worker on the scratch cluster; the address, and the worker's group.

    Args:
        columns_from: scopes from which runs are kept in columns, so that a smaller measurement is
            one of the same work.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kept = {name: value for name, value in os.environ.items() if name != "BROKER_URL"}
    kept["MARGIN_COLUMNS_FROM"] = str(columns_from)
    web, worker, _ = children()
    command = [f"--port={port}" if word.startswith("--port=") else word for word in web.command]
    started = [
        subprocess.Popen(  # noqa: S603 - our own commands
            words, env=kept | dict(web.environment), start_new_session=True,
            stdout=subprocess.DEVNULL,
        )
        for words in (command, list(worker.command))
    ]  # fmt: skip
    try:
        address = f"http://127.0.0.1:{port}"
        _await(lambda: Browser(address, session="").answers("/health"))
        yield address, started[1].pid
    finally:
        for process in started:
            os.killpg(process.pid, signal.SIGTERM)
        for process in started:
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _await(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while not happened():
        if time.monotonic() > deadline:
            raise NotAnsweredError("the web server does not answer")
        time.sleep(0.1)


def _cpu(group: int) -> float:
    """Processor seconds of a process group until now."""
    ticks = 0
    for stat in (f"/proc/{pid}/stat" for pid in os.listdir("/proc") if pid.isdecimal()):
        try:
            with open(stat) as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended since the listing
        if int(fields[2]) == group:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / CLOCK_TICKS
