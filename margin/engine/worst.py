"""The worst scenario of every scope: positions times profits, and the least of the sums.

Axes: A scopes, I instruments, S scenarios, P positions. The whole table of scopes by scenarios is
never held: scopes go through in chunks that fit the cache, on two threads where there are two
cores. Scopes do not touch each other, so chunks and threads change no bit of the result.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Final, NamedTuple

import numpy as np
from scipy.sparse import _sparsetools

from margin.engine.books import Books
from margin.engine.given import Float, finite
from margin.engine.market import Index
from margin.engine.rejected import RejectedInputError

CHUNK: Final = 4096  # scopes; with 33 scenarios their sums are one megabyte
PART: Final = 2 * CHUNK  # scopes that a thread takes at once
LARGE: Final = 20_000  # scopes from which it pays to load the compiled kernel
THREADS: Final = min(2, os.cpu_count() or 1)  # more wait for memory more than they add up

# Arguments: starts, instruments, quantities, table (I, S), scopes (N,), worst (N,), at (N,); fills
# the last two and says whether every instrument was in the table.
Sums = Callable[[Index, Index, Float, Float, Index, Float, Index], bool]


class Kernel(NamedTuple):
    """What adds up; it takes the scenarios by so many at once, a whole vector of the processor."""

    sums: Sums
    lanes: int


class Part(NamedTuple):
    """Some of the work: which scopes, and where in the result they go."""

    scopes: Index
    worst: Float
    at: Index


def worst_losses(
    books: Books, *, profits: Float, kernel: Kernel | None = None
) -> tuple[Float, Index]:
    """The lowest total profit of each scope over the scenarios, and the first that gives it.

    The positions of a scope are added in the order of their instruments, each product rounded
    before it is added: bit for bit what `books.matrix(...) @ profits.T` gives.

    Args:
        profits: (S, I) what one contract gains in each scenario.
        kernel: what adds up, for comparisons; the fastest there is if not said.

    Returns:
        (A,) the lowest total, signed: a loss is negative; (A,) index of its scenario. A scope
        without positions has 0.0 and scenario 0.

    Raises:
        RejectedInputError: no scenario, a profit that is not finite, or a position in an
            instrument that has none.
    """
    every = np.arange(len(books))
    return worst_losses_of(books, profits=profits, scopes=every, kernel=kernel)


def worst_losses_of(
    books: Books, *, profits: Float, scopes: Index, kernel: Kernel | None = None
) -> tuple[Float, Index]:
    """`worst_losses` of some scopes alone, in the order asked for; the same bits.

    Args:
        profits, kernel: as for `worst_losses`.
        scopes: (N,) indices of scopes.

    Returns:
        (N,) lowest totals and (N,) scenarios.
    """
    chosen = np.ascontiguousarray(scopes, dtype=np.intp)
    if len(chosen) and not (chosen.min() >= 0 and chosen.max() < len(books)):
        raise RejectedInputError("scopes: one is asked for that is not there")
    worst, at = np.zeros(len(chosen)), np.zeros(len(chosen), dtype=np.intp)
    used = kernel or (compiled() if len(chosen) >= LARGE else None) or PLAIN
    inputs = books.starts, books.instruments, books.quantities, _table(profits, used.lanes)

    def compute(part: Part) -> bool:
        return used.sums(*inputs, *part)

    if not _shared_out(_parts(chosen, worst, at), compute):
        raise RejectedInputError("positions: one is in an instrument that the market does not have")
    return worst, at


def sums_by_scipy(
    starts: Index,
    instruments: Index,
    quantities: Float,
    table: Float,
    scopes: Index,
    worst: Float,
    at: Index,
) -> bool:
    """The kernel wherever there is no compiled one; arguments as `Sums` says.

    scipy's own product of a sparse matrix allocates its result anew, for all scopes; the routine
    below it adds to an array of ours, which stays in the cache.
    """
    known, count = table.shape
    totals = np.empty((min(CHUNK, len(scopes)), count))
    firsts = np.arange(len(totals)) * count
    for low in range(0, len(scopes), CHUNK):
        part = slice(low, min(low + CHUNK, len(scopes)))
        size = part.stop - part.start
        ends, places, held = _rows_of(starts, instruments, quantities, scopes[part])
        if len(places) and not (places.min() >= 0 and places.max() < known):
            return False
        sums = totals[:size]
        sums.fill(0.0)
        _sparsetools.csr_matvecs(
            size, known, count, ends, places, held, table.reshape(-1), sums.reshape(-1)
        )
        sums.argmin(axis=1, out=at[part])
        np.take(totals, firsts[:size] + at[part], out=worst[part], mode="clip")
    return True


PLAIN: Final = Kernel(sums_by_scipy, lanes=1)


@cache
def compiled() -> Kernel | None:
    """The compiled kernel, loaded on first use; none where numba is not installed."""
    try:
        from margin.engine import worst_numba
    except ImportError:
        return None
    return Kernel(worst_numba.sums_by_numba, worst_numba.LANES)


def _table(profits: Float, lanes: int) -> Float:
    """(I, S padded) the profits by instrument; what is added repeats the last scenario.

    A repeated scenario is never the first of the lowest, so it is never the answer.
    """
    given = finite("profits", profits)
    if given.ndim != 2 or not len(given):
        raise RejectedInputError("profits: scenarios by instruments are expected, at least one")
    padding = -len(given) % lanes
    table: Float = np.ascontiguousarray(np.vstack([given, np.repeat(given[-1:], padding, 0)]).T)
    return table


def _parts(scopes: Index, worst: Float, at: Index) -> Iterator[Part]:
    for low in range(0, len(scopes), PART):
        part = slice(low, low + PART)
        yield Part(scopes[part], worst[part], at[part])


def _shared_out(parts: Iterable[Part], compute: Callable[[Part], bool]) -> bool:
    """Compute all parts, here and on other threads; whether every one could be.

    Each thread takes the next part that nobody has, so that one that waits for a processor holds
    nobody up; one that has not begun when all is done is not waited for.
    """
    waiting = deque(parts)

    def work() -> bool:
        while True:
            try:
                part = waiting.popleft()
            except IndexError:
                return True
            if not compute(part):
                return False

    many = min(THREADS, len(waiting)) - 1
    others = [_helpers().submit(work) for _ in range(many)]
    known = work()
    return all([known, *(other.result() for other in others if not other.cancel())])


@cache
def _helpers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, THREADS - 1), thread_name_prefix="worst")


# A process that was forked has none of its parent's threads.
os.register_at_fork(after_in_child=_helpers.cache_clear)


def _rows_of(
    starts: Index, instruments: Index, quantities: Float, scopes: Index
) -> tuple[Index, Index, Float]:
    """Starts, instruments and quantities of some scopes; views where they lie side by side."""
    first, last = scopes[0], scopes[-1]
    if last - first == len(scopes) - 1 and (np.diff(scopes) == 1).all():
        ends, rows = starts[first : last + 2], slice(starts[first], starts[last + 1])
        return ends - ends[0], instruments[rows], quantities[rows]
    ends = np.concatenate([[0], np.cumsum(starts[scopes + 1] - starts[scopes])])
    places, held = np.empty(ends[-1], dtype=np.intp), np.empty(ends[-1])
    _sparsetools.csr_row_index(len(scopes), scopes, starts, instruments, quantities, places, held)
    return ends, places, held
