"""Runs of whole houses, in columns from the database and back; what `margin.runs` does by rows.

Scopes are evaluated some thousand at once. Those that whole numbers cannot hold go through the
evaluation in decimals, and everything is kept and hashed together. The hashes of such runs are
made of the columns themselves, so a replay makes them the same way.
"""

import json
import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import date, datetime
from hashlib import sha256
from typing import Final

import numpy as np
from django.conf import settings
from django.db import connection
from django.db.models import Exists, OuterRef
from psycopg import sql

from accounts.audit import refusals
from accounts.bulk import copy_rows
from accounts.models import Bucket, Scope
from margin.book import ReadInputs, read_inputs
from margin.book.columns import ColumnInputs, NotInColumnsError, read_columns
from margin.column_blocks import SCOPES_AT_ONCE, Block, Prepared, block_of, prepared
from margin.engine.column_ground import is_known_rule
from margin.engine.hashing import columns_hash, joined_hash, model_hash, parameters_hash
from margin.engine.house_rules import MODEL, VERSION
from margin.engine.inputs import (
    house_rules_input,
)
from margin.engine.wide import Ints
from margin.market.marks import BASE
from margin.models import MarginRun, RunException
from margin.parts import (
    hex_sha256,
)
from margin.result_rows import COLUMNS, HEAD, TAIL
from margin.run_rows import INCREMENTAL, next_number

THREADS: Final = min(2, os.cpu_count() or 1)
INPUTS, RESULTS = b"margin-inputs/1\n", b"margin-results/1\n"
# What was added is looked at once more where it is kept, without going to a file.
WORK_MEMORY: Final = "384MB"


@dataclass(frozen=True, slots=True, eq=False)
class Computed:
    """A run before it is kept."""

    prepared: Prepared
    blocks: list[Block]
    model_sha256: str
    parameters_sha256: str
    inputs_sha256: str
    result_sha256: str


def computed(read: ColumnInputs, *, run_id: int = 0) -> Computed:
    """Compute a run; its rows name a run of this id."""
    ready = prepared(read)
    return _together(ready, list(_blocks(ready, run_id=run_id)))


def _blocks(ready: Prepared, *, run_id: int) -> Iterator[Block]:
    """Blocks in the order of scopes, each as soon as it and those before it are computed."""
    count = len(ready.read.scopes)
    with ThreadPoolExecutor(THREADS, thread_name_prefix="margin-columns") as threads:
        yield from threads.map(
            lambda first: block_of(ready, first, min(first + SCOPES_AT_ONCE, count), run_id=run_id),
            range(0, count, SCOPES_AT_ONCE),
        )


def _together(ready: Prepared, blocks: list[Block]) -> Computed:
    nobody = house_rules_input(assets=[each.row for each in ready.assets], scopes=[], currency=BASE)
    return Computed(
        prepared=ready,
        blocks=blocks,
        model_sha256=joined_hash(model_hash(), columns_hash()),
        parameters_sha256=parameters_hash(nobody),
        inputs_sha256=_hash_of(
            INPUTS,
            [ready.ground_text, _levels_text(ready.read), *(b.inputs_sha256 for b in blocks)],
        ),
        result_sha256=_hash_of(
            RESULTS, [f"{MODEL} {VERSION}".encode(), *(b.result_sha256 for b in blocks)]
        ),
    )


def column_hashes(run: MarginRun) -> tuple[str, str]:
    """The hashes of what a run in columns reads and says when it is computed again."""
    buckets = _buckets_of(run) if run.purpose == INCREMENTAL else None
    read = read_columns(horizon_id=run.horizon_id, as_of=run.as_of, buckets=buckets)
    done = computed(read, run_id=run.pk)
    return done.inputs_sha256, done.result_sha256


def _buckets_of(run: MarginRun) -> Ints:
    """The buckets of the scopes that a run speaks of, or could not compute."""
    results = run.results.values_list("scope__bucket_id", flat=True)
    named = run.exceptions.filter(account=OuterRef("account"), bucket_code=OuterRef("code"))
    left_out = Bucket.objects.filter(Exists(named))
    found = {*results, *left_out.values_list("pk", flat=True)}
    return np.array(sorted(pk for pk in found if pk is not None), dtype=np.int64)


def read_for_run(*, horizon_id: int, as_of: datetime) -> ColumnInputs | ReadInputs:
    """What a run reads: columns where there are many scopes and columns can hold them, else rows.

    They cannot where a portfolio model is used or watched, and where the evaluation is made from
    more than columns know.
    """
    if is_known_rule() and Scope.objects.count() >= settings.MARGIN_COLUMNS_FROM:
        with suppress(NotInColumnsError):  # rows hold every run
            return read_columns(horizon_id=horizon_id, as_of=as_of)
    return read_inputs(horizon_id=horizon_id, as_of=as_of)


def _hash_of(kind: bytes, parts: Sequence[bytes]) -> str:
    digest = sha256(kind)
    for part in parts:
        digest.update(sha256(part).digest())
    return digest.hexdigest()


def _levels_text(read: ColumnInputs) -> bytes:
    used = [read.agreements[n] for n in np.unique(read.scopes.agreements).tolist()]
    return json.dumps(
        [
            [each.pk, *map(str, (each.call_level, each.liquidation_level,
                                 each.minimum_transfer_amount))]
            for each in used
        ]
    ).encode()  # fmt: skip


BLOCK_COLUMNS: Final = (
    "run_id", "ordinal", "first_scope", "last_scope", "scope_count", "content", "content_sha256",
)  # fmt: skip


def record_columns(read: ColumnInputs, *, business_day: date, purpose: str) -> MarginRun:
    """Compute every requirement and keep run, results, parts and exceptions; inside an act.

    The server takes the parts of some scopes while others are computed, and results while the rows
    of others are made. The run that parts name is added after them, because its hashes are of all.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(pg_get_serial_sequence('margin_marginrun', 'id'))")
        (run_id,) = cursor.fetchone()
    ready = prepared(read)
    rows: deque[Future[bytes]] = deque()
    blocks = []
    with ThreadPoolExecutor(1, "margin-rows") as thread:
        computing = _blocks(ready, run_id=run_id)
        with closing(_copied(computing, ready.ground_text, run_id=run_id)) as copied:
            for block in copied:
                if not rows:  # the server does not wait for the first; the others can wait for it
                    rows.append(thread.submit(block.rows, run_id))
                blocks.append(block)
        done = _together(ready, blocks)
        run = MarginRun.objects.create(
            pk=run_id,
            number=next_number(business_day),
            as_of=read.as_of,
            business_day=business_day,
            purpose=purpose,
            model=MODEL,
            model_version=VERSION,
            model_sha256=done.model_sha256,
            parameters_sha256=done.parameters_sha256,
            inputs_sha256=done.inputs_sha256,
            result_sha256=done.result_sha256,
            horizon_id=read.horizon_id,
            scope_count=len(read.scopes),
            layout=MarginRun.Layout.COLUMNS,
            days=MarginRun.Days.OWN,
        )
        rows.extend(thread.submit(block.rows, run_id) for block in blocks[1:])
        _copy_results(rows)
    copy_rows([each.result for block in blocks for each in block.odd.values()])
    copy_rows(
        [
            RunException(
                run=run,
                account_id=each.account_id,
                bucket_code=each.bucket,
                reason=each.reason,
                detail=each.detail,
            )
            for each in read.exceptions
        ]
    )
    return run


def _copy_results(made: deque[Future[bytes]]) -> None:
    """Results as their rows are made; none is held for longer than it takes to send it."""
    statement = sql.SQL("COPY margin_marginresult ({}) FROM STDIN (FORMAT BINARY)").format(
        sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
    )
    with refusals(), connection.cursor() as cursor, connection.wrap_database_errors:
        cursor.execute(f"SET LOCAL work_mem = '{WORK_MEMORY}'")
        with cursor.copy(statement) as copy:
            copy.write(HEAD)
            while made:
                copy.write(made.popleft().result())
            copy.write(TAIL)


def _copied(blocks: Iterable[Block], ground: bytes, *, run_id: int) -> Generator[Block, None, None]:
    """Blocks as they are kept: the ground as block 0, and one for some thousand scopes each."""
    statement = sql.SQL("COPY margin_runblock ({}) FROM STDIN (FORMAT BINARY)").format(
        sql.SQL(", ").join(map(sql.Identifier, BLOCK_COLUMNS))
    )
    with (
        refusals(),
        connection.cursor() as cursor,
        connection.wrap_database_errors,
        cursor.copy(statement) as copy,
    ):
        copy.set_types(["int8", "int4", "int8", "int8", "int4", "bytea", "varchar"])
        copy.write_row((run_id, 0, 0, 0, 0, ground, hex_sha256(ground)))
        for ordinal, block in enumerate(blocks, start=1):
            ids = block.scope_ids
            said = (int(ids[0]), int(ids[-1]), len(ids))
            copy.write_row((run_id, ordinal, *said, block.content, block.content_sha256.hex()))
            yield block
