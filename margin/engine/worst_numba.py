"""The worst scenario of every scope, compiled: the one module of the engine that uses numba.

Compiled code is kept where NUMBA_CACHE_DIR says, beside this file, or in the user's cache,
whichever can be written; where none can it is compiled again by each process.

It runs without the interpreter's lock, so that `margin.engine.worst` shares the scopes out over
plain threads. numba's own parallel loops would need a threading layer that neither a fork nor a
second caller may meet, and both happen in a worker.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import numba
import numpy as np

from margin.engine.given import Float
from margin.engine.market import Index

LANES: Final = 8  # scenarios to a vector of the widest processors; the table has whole ones
AHEAD: Final = 512  # scopes whose positions are fetched at once, and stay in the second cache

Compiled = TypeVar("Compiled", bound=Callable[..., Any])


def sums_by_numba(
    starts: Index,
    instruments: Index,
    quantities: Float,
    table: Float,
    scopes: Index,
    worst: Float,
    at: Index,
) -> bool:
    """As `margin.engine.worst.Sums` says; the same sums in the same order as scipy's."""
    known, _fetched = _compiled(starts, instruments, quantities, table, scopes, worst, at)
    return bool(known)


def _sums(
    starts: Index,
    instruments: Index,
    quantities: Float,
    table: Float,
    scopes: Index,
    worst: Float,
    at: Index,
) -> tuple[bool, float]:
    """Whether every instrument was known, and a number that means nothing.

    Floating point is strict: nothing is reordered and no product is fused with a sum.
    """
    known, count = table.shape
    totals, fetched = np.empty(count), 0.0
    for low in range(0, len(scopes), AHEAD):
        part = scopes[low : low + AHEAD]
        # Scopes apart lie in memory apart. Reading the ends of each, with no sum to wait for, lets
        # the processor fetch many at once.
        for scope in part:
            if starts[scope] < starts[scope + 1]:
                first, last = starts[scope], starts[scope + 1] - 1
                fetched += quantities[first] + instruments[first]
                fetched += quantities[last] + instruments[last]
        for place, scope in enumerate(part):
            for scenario in range(count):
                totals[scenario] = 0.0
            for position in range(starts[scope], starts[scope + 1]):
                instrument = instruments[position]
                if instrument < 0 or instrument >= known:
                    return False, fetched
                quantity, row = quantities[position], table[instrument]
                for scenario in range(count):
                    totals[scenario] += quantity * row[scenario]
            lowest, lowest_at = totals[0], 0
            for scenario in range(1, count):
                if totals[scenario] < lowest:
                    lowest, lowest_at = totals[scenario], scenario
            worst[low + place], at[low + place] = lowest, lowest_at
    return True, fetched  # what is handed back is not left out as unused


def _kept(function: Compiled) -> Any:  # noqa: ANN401 (numba has no types of its own)
    """Compiled on the first call, and kept for the next process where there is a place for it."""
    try:
        compiled = numba.njit(cache=True, nogil=True, fastmath=False)(function)
    except RuntimeError:  # no place that can be written
        compiled = numba.njit(nogil=True, fastmath=False)(function)
    return compiled


_compiled = _kept(_sums)
