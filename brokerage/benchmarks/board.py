"""The board of margin calls with ten thousand open ones: its first page, and an act on many.

A small invented firm is run for two days; the calls that it then has are copied past the guards,
each with an account, a scope and a result of its own. Pages are asked for through the product's
own handlers, with a session; what is timed is the server's part of an answer.
"""

import gzip
import re
import tempfile
import time
from datetime import date
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

from django.conf import settings
from django.db import connection
from django.test import Client as Asking
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from psycopg import sql

from accounts.models import LegalEntity
from brokerage.benchmarks import machine
from brokerage.benchmarks.growth import without_guards
from brokerage.benchmarks.people import signed_in_at
from brokerage.benchmarks.scratch import (
    BENCH,
    BenchmarkRefusedError,
    Connection,
    Scratch,
    is_scratch,
)
from brokerage.inbox.cycle import run_day
from brokerage.synthetic import DEMO, write_firm
from margin.calls.bulk import carry_many
from margin.models import MarginCall
from margin.screens.bulk import CALLS_MAX

CALLS, FEW = 10_000, 500
ASKED, ASKED_QUICK = 200, 40
PICKED: Final = 500
FIRST_DAY: Final = date(2031, 3, 3)
SEED: Final = 3
FLOOR_MS, FLOOR_KB, FLOOR_S = 200.0, 150.0, 10.0
TABLES: Final = (
    "accounts_marginaccount", "accounts_bucket", "accounts_scope", "margin_marginresult",
    "margin_margincall",
)  # fmt: skip
# A file that a page loads first, in its head or from another script.
NAMED: Final = re.compile(
    r'(?:href|src)="(/static/[^"#]+)|import "\./([a-z]+\.js)"|from "\./([a-z]+\.js)"'
)
SOURCES: Final = """
    CREATE TEMP TABLE sources AS
    SELECT row_number() OVER (ORDER BY c.id) - 1 AS nth, count(*) OVER () AS many, c.id AS call_id,
           c.scope_id, c.last_result_id AS result_id, s.bucket_id, b.account_id
    FROM margin_margincall c
    JOIN accounts_scope s ON s.id = c.scope_id JOIN accounts_bucket b ON b.id = s.bucket_id
    WHERE c.state = 'delivered'
"""
# Keys of what is copied, taken from the tables' own sequences beforehand.
COPIES: Final = """
    CREATE TEMP TABLE copies AS
    SELECT n, o.*, nextval(pg_get_serial_sequence('accounts_marginaccount', 'id')) AS new_account,
           nextval(pg_get_serial_sequence('accounts_bucket', 'id')) AS new_bucket,
           nextval(pg_get_serial_sequence('accounts_scope', 'id')) AS new_scope,
           nextval(pg_get_serial_sequence('margin_marginresult', 'id')) AS new_result,
           nextval(pg_get_serial_sequence('margin_margincall', 'id')) AS new_call
    FROM generate_series(%(first)s::int, %(last)s::int) n JOIN sources o ON o.nth = n %% o.many
"""
# By table: what it is joined by, and the columns that are not as in the row it is a copy of.
COPIED: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "accounts_marginaccount": ("account_id", {"id": "new_account", "code": "'N' || c.n"}),
    "accounts_bucket": ("bucket_id", {"id": "new_bucket", "account_id": "new_account"}),
    "accounts_scope": ("scope_id", {"id": "new_scope", "bucket_id": "new_bucket"}),
    "margin_marginresult": ("result_id", {"id": "new_result", "scope_id": "new_scope"}),
    "margin_margincall": (
        "call_id",
        {
            "id": "new_call", "number": "'MC-BENCH-' || c.n", "scope_id": "new_scope",
            "first_result_id": "new_result", "last_result_id": "new_result",
            "amount": "w.amount + c.n",
            "state": f"CASE WHEN c.n > {CALLS - PICKED} THEN 'draft' ELSE w.state END",
        },
    ),
}  # fmt: skip


def measure(quick: bool) -> dict[str, Any]:
    """The first page of the board, and what an act on five hundred calls takes.

    Returns:
        `name`, `figures` (milliseconds, queries, kilobytes, seconds), `ratios` (to the floors;
        1 or less keeps them).
    """
    if not is_scratch() or settings.EMBEDDED_SERVER is None:
        raise BenchmarkRefusedError("A benchmark works in a cluster of its own.")
    settings.EMBEDDED_SERVER.hold()
    with tempfile.TemporaryDirectory() as folder:
        for day in write_firm(
            Path(folder), accounts=60, seed=SEED, first_day=FIRST_DAY, days=2, profile=DEMO
        ):
            run_day(day)
    scratch = Scratch(settings.EMBEDDED_SERVER, settings.DATABASE_NAME, 0, 0, (), ())
    asking = _signed_in()
    with scratch.connect_superuser() as superuser:
        figures: dict[str, Any] = {"machine": machine.score(superuser)._asdict()}
        superuser.execute(SOURCES)
        _copy(superuser, first=1, last=FEW)
        few = _queries(asking)
        _copy(superuser, first=FEW + 1, last=CALLS)
    board = reverse("margin:calls")
    taken = _timed(asking, board, ASKED_QUICK if quick else ASKED)
    rows = _timed(asking, board, ASKED_QUICK if quick else ASKED, HX_REQUEST="true")
    size = _first_load(asking, board)
    seconds, done = _acted_on_many(asking)
    issued_s = _issued(min(PICKED, CALLS_MAX))
    figures |= {
        "issued_at_once": PICKED, "issued_s": issued_s,
        "open_calls": MarginCall.objects.open().count(),
        "first_page_p50_ms": median(taken), "first_page_p95_ms": _p95(taken),
        "live_region_p95_ms": _p95(rows),
        "queries_of_few": few, "queries": _queries(asking),
        "first_load_kb": sum(size.values()) / 1000, "first_load_files": len(size),
        "acknowledged_at_once": done, "acknowledged_s": seconds,
        "floors": {"p95_ms": FLOOR_MS, "kb": FLOOR_KB, "acted_s": FLOOR_S},
    }  # fmt: skip
    ratios = {
        "first_page_p95_over_floor": figures["first_page_p95_ms"] / FLOOR_MS,
        "first_load_over_floor": figures["first_load_kb"] / FLOOR_KB,
        "acted_over_floor": max(seconds, issued_s) / FLOOR_S,
        "queries_over_those_of_few": figures["queries"] / few,
    }
    return {"name": "board", "figures": figures, "ratios": ratios}


def _signed_in() -> Asking:
    asking = Asking(SERVER_NAME="localhost")
    asking.cookies["sessionid"] = signed_in_at(LegalEntity.objects.get())
    return asking


def _copy(superuser: Connection, *, first: int, last: int) -> None:
    """Copy the calls, and what each rests on, so many times."""
    superuser.execute("DROP TABLE IF EXISTS copies")
    superuser.execute(COPIES, {"first": first, "last": last})
    with without_guards(superuser, TABLES):
        for table, (link, changed) in COPIED.items():
            superuser.execute(_copying(superuser, table, link, changed))
    superuser.execute("VACUUM ANALYZE")


def _copying(
    superuser: Connection, table: str, link: str, changed: dict[str, str]
) -> sql.Composed:  # fmt: skip
    """All columns of a table, those that change as said."""
    found = superuser.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
        " AND NOT attisdropped AND attgenerated = ''",
        [table],
    ).fetchall()
    columns = [str(name) for (name,) in found]
    values = [
        sql.SQL(changed[name]) if name in changed else sql.Identifier("w", name) for name in columns
    ]
    return sql.SQL(
        "INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE"
        " SELECT {values} FROM copies c JOIN {table} w ON w.id = c.{link}"
    ).format(
        table=sql.Identifier(table),
        columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
        values=sql.SQL(", ").join(values),
        link=sql.Identifier(link),
    )


def _timed(asking: Asking, address: str, asked: int, **headers: str) -> list[float]:
    """Milliseconds of each answer; two more before them warm up."""
    taken = []
    for _ in range(asked + 2):
        start = time.perf_counter()
        answer = asking.get(address, headers={k.replace("_", "-"): v for k, v in headers.items()})
        taken.append((time.perf_counter() - start) * 1000)
        if answer.status_code != 200:
            raise BenchmarkRefusedError(f"{address} answered {answer.status_code}.")
    return taken[2:]


def _p95(taken: list[float]) -> float:
    return quantiles(taken, n=20)[-1]


def _queries(asking: Asking) -> int:
    """How many queries the first page takes."""
    asking.get(reverse("margin:calls"))
    with CaptureQueriesContext(connection) as queries:
        asking.get(reverse("margin:calls"))
    return len(queries)


def _first_load(asking: Asking, address: str) -> dict[str, int]:
    """Bytes of everything a browser fetches for a page that it never saw, as they are sent."""
    sizes: dict[str, int] = {}
    wanted = [address]
    while wanted:
        path = wanted.pop()
        answer = asking.get(path, headers={"Accept-Encoding": "gzip"})
        body = b"".join(answer) if answer.streaming else answer.content
        sizes[path] = len(body)
        if answer.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if path.endswith((".css", ".svg")):
            continue
        for found in NAMED.finditer(body.decode()):
            near = f"/static/desk/{found[2] or found[3]}"
            name = found[1] or near
            if name not in sizes and name not in wanted:
                wanted.append(name)
    return sizes


def _acted_on_many(asking: Asking) -> tuple[float, int]:
    """Seconds until so many selected calls are acknowledged with one confirmation, and how many."""
    delivered = MarginCall.objects.filter(state="delivered").order_by("-amount", "number")
    picked = list(delivered.values_list("number", flat=True)[: min(PICKED, CALLS_MAX)])
    said = {"pick": picked, "reason": "Told all of them.", "count": str(len(picked))}
    start = time.perf_counter()
    answer = asking.post(reverse("margin:calls-acknowledge"), said)
    seconds = time.perf_counter() - start
    done = MarginCall.objects.filter(number__in=picked, state="acknowledged").count()
    if answer.status_code != 302 or done != len(picked):
        raise BenchmarkRefusedError(f"Of {len(picked)} calls {done} were acknowledged.")
    return seconds, done


def _issued(many: int) -> float:
    """Seconds until so many drafts are issued in one act, with one confirmation."""
    drafts = MarginCall.objects.filter(state="draft").order_by("pk")
    numbers = list(drafts.values_list("number", flat=True)[:many])
    start = time.perf_counter()
    outcomes = carry_many(numbers, "issue", actor=BENCH, words="All of these are due.")
    seconds = time.perf_counter() - start
    failed = [each for each in outcomes if each.refusal]
    if failed or len(outcomes) != many:
        raise BenchmarkRefusedError(f"Of {many} drafts {len(failed)} stay: {failed[:1]}.")
    return seconds
