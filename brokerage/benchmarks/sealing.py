"""What sealing costs those who post: four writers, with the sealer beside them and without."""

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import NamedTuple

from django.db import connections

from accounts.seals.sealer import seal_history
from brokerage.benchmarks.scratch import Scratch
from brokerage.benchmarks.writers import posts_one, together

WRITERS = 4
ROUNDS = 5
PAUSE = 1.0
"""Seconds between two blocks; the scheduler makes one in a minute."""


class Sealing(NamedTuple):
    """Entries per second of four writers, medians of interleaved rounds."""

    alone: float
    beside_the_sealer: float
    cost: float

    def figures(self) -> dict[str, float]:
        return {"writers_4_alone": self.alone, "writers_4_sealed": self.beside_the_sealer}


def measure(scratch: Scratch, *, seconds: float) -> Sealing:
    """Seal what stands, then let four writers post, by turns with a sealer and without."""
    with scratch.at_work():
        seal_history()
    alone, sealed = [], []
    for turn in range(ROUNDS):
        for is_sealed in (False, True) if turn % 2 else (True, False):
            if is_sealed:
                with a_sealer(scratch):
                    sealed.append(_posted(scratch, seconds))
            else:
                alone.append(_posted(scratch, seconds))
                with scratch.at_work():
                    seal_history()
    cost = 1 - median(one / other for one, other in zip(sealed, alone, strict=True))
    return Sealing(median(alone), median(sealed), cost)


def _posted(scratch: Scratch, seconds: float) -> float:
    return together(scratch, posts_one(scratch), writers=WRITERS, seconds=seconds)


@contextmanager
def a_sealer(scratch: Scratch) -> Iterator[None]:
    """A process that seals, block after block, while the body runs."""
    context = multiprocessing.get_context("fork")
    done = context.Event()
    connections.close_all()
    process = context.Process(target=_seal, args=(scratch, done.wait))
    process.start()
    try:
        yield
    finally:
        done.set()
        process.join()


def _seal(scratch: Scratch, is_over: Callable[[float], bool]) -> None:
    with scratch.at_work():
        while not is_over(PAUSE):
            seal_history()
