"""Posting against what the database can do without guards: COPY of the same rows, plain INSERTs.

Rounds are interleaved and medians are taken, so that a ratio holds on a machine with other work.
"""

import time
from statistics import median
from typing import Any

from accounts.audit import Actor
from brokerage.benchmarks import growth, guards, machine, sealing
from brokerage.benchmarks.plain import copy_in, make_plain, newest_entry, rows_after
from brokerage.benchmarks.scratch import Scratch, found_scratch
from brokerage.benchmarks.writers import (
    drafts,
    fresh_start,
    inserts,
    posts_batch,
    posts_one,
    rate,
    together,
)
from ledger.staging import post_staged

BATCH = 1_000
DAY_END = 1_000_000

Figures = dict[str, Any]


def measure(quick: bool) -> dict[str, Any]:
    """All figures of posting; `quick` leaves out what needs 10 million postings.

    Returns:
        `name`, `figures` (per second, unless the name says otherwise), `ratios`, `day_end_1m_s`.
    """
    scratch = found_scratch(clients=5_000 if quick else 20_000, banks=500)
    books = None if quick else (scratch.copy("empty"), scratch.copy("full"))
    make_plain(scratch)
    rounds = 3 if quick else 5
    with scratch.connect_superuser() as superuser:
        figures: Figures = {"machine": machine.score(superuser)._asdict()}
    figures |= batches(scratch, rounds=rounds, size=10 if quick else 20)
    figures |= singles(scratch, rounds=rounds, seconds=0.8 if quick else 2.0)
    figures |= staged(scratch, rounds=rounds, entries=20_000 if quick else 100_000)
    figures["guards"] = guards.measure(scratch, rounds=3 if quick else 7)
    sealed = sealing.measure(scratch, seconds=2.0 if quick else 5.0)
    figures["sealing"] = sealed.figures()
    full = None if books is None else growth.measure(*books, seconds=2.0)
    figures["at_10m"] = None if full is None else full.figures()
    return {
        "name": "posting",
        "figures": figures,
        "ratios": {
            "batch_1000_of_copy": figures.pop("batch_ratio"),
            "staged_of_copy": figures.pop("staged_ratio"),
            **figures.pop("single_ratios"),
            "at_10m_of_empty": None if full is None else full.of_empty,
            "sealing_cost": sealed.cost,
        },
        "day_end_1m_s": day_end(scratch, entries=100_000 if quick else DAY_END),
    }


# ---------------------------------------------------------------- against COPY


def batches(scratch: Scratch, *, rounds: int, size: int) -> Figures:
    """Batches of 1,000, each a transaction, against COPY of the rows that they wrote."""
    posted, copied, ratios = [], [], []
    with scratch.connect() as runtime:
        step = posts_batch(scratch, BATCH)(runtime, fresh_start())
        hot = posts_batch(scratch, BATCH, hot=True)(runtime, fresh_start())
        for _ in range(3):
            step()
        hots = []
        for _ in range(rounds):
            newest = newest_entry(runtime)
            start = time.perf_counter()
            for _ in range(size):
                step()
            posted.append(size * BATCH / (time.perf_counter() - start))
            copied.append(_copied(runtime, newest))
            ratios.append(posted[-1] / copied[-1])
            hots.append(BATCH * rate(hot, seconds=0.5))
    return {
        "batch_1000": median(posted),
        "batch_1000_hot": median(hots),
        "copy_beside_batch_1000": median(copied),
        "batch_ratio": median(ratios),
    }


def staged(scratch: Scratch, *, rounds: int, entries: int) -> Figures:
    """Staged entries, drafts in memory to the last commit, against COPY of their rows."""
    posted, copied, ratios = [], [], []
    with scratch.connect() as runtime:
        for _ in range(rounds):
            newest = newest_entry(runtime)
            posted.append(entries / post_day_end(scratch, entries))
            copied.append(_copied(runtime, newest))
            ratios.append(posted[-1] / copied[-1])
    return {
        "staged": median(posted),
        "copy_beside_staged": median(copied),
        "staged_ratio": median(ratios),
    }


def _copied(connection: Any, after: int) -> float:  # noqa: ANN401
    """Entries per second of COPY, of the rows that came after an entry."""
    rows = rows_after(connection, after)
    start = time.perf_counter()
    copy_in(connection, rows)
    return rows.entries / (time.perf_counter() - start)


def day_end(scratch: Scratch, *, entries: int) -> float:
    """Seconds for a million entries; where fewer are posted, as if they were a million."""
    return post_day_end(scratch, entries) * DAY_END / entries


def post_day_end(scratch: Scratch, entries: int) -> float:
    """Seconds to post entries by the staged path, as a job does it."""
    waiting = list(drafts(scratch, entries, start=fresh_start()))
    with scratch.at_work():
        start = time.perf_counter()
        post_staged(waiting, actor=Actor.job("benchmark"), reason="Benchmark of a day's end")
        return time.perf_counter() - start


# ---------------------------------------------------------------- against INSERTs


def singles(scratch: Scratch, *, rounds: int, seconds: float) -> Figures:
    """Single entries against three INSERTs, with 1 and 4 connections, and all on one account."""
    plain, one, hot = inserts(scratch), posts_one(scratch), posts_one(scratch, hot=True)
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, writer, writers in (
            ("inserts_1", plain, 1), ("single_1", one, 1), ("inserts_4", plain, 4),
            ("single_4", one, 4), ("hot_4", hot, 4),
        ):  # fmt: skip
            found.setdefault(name, []).append(
                together(scratch, writer, writers=writers, seconds=seconds)
            )
    return {name: median(rates) for name, rates in found.items()} | {
        "single_ratios": {
            f"{name}_of_inserts": median(
                mine / plain_rate
                for mine, plain_rate in zip(found[name], found[f"inserts_{count}"], strict=True)
            )
            for name, count in (("single_1", 1), ("single_4", 4), ("hot_4", 4))
        }
    }
