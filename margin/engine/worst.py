"""The worst of many scenarios: what each scope gains in it, and which it is.

Axes: A scopes, S scenarios, I instruments.
"""

from typing import Final

import numpy as np
from scipy.sparse import csr_array

from margin.engine.books import Books
from margin.engine.given import Float
from margin.engine.market import Index
from margin.engine.rejected import RejectedInputError

# Totals of so many scopes and scenarios at a time stay within the processor's cache.
CELLS: Final = 1 << 19


def worst_losses(books: Books, *, profits: Float) -> tuple[Float, Index]:
    """The lowest total profit of each scope, and the scenario that it comes from.

    A total is quantity x profit of each position, added in the order of the instruments from 0;
    of equal totals the first scenario counts. A scope that holds nothing gains 0 in all.

    Args:
        profits: (S, I) what one contract gains; at least one scenario.

    Returns:
        (A,) lowest totals, negative for a loss, and (A,) their scenarios.

    Raises:
        RejectedInputError: no scenario, or a position of an instrument that is not there.
    """
    scenarios, instruments = profits.shape
    if not scenarios:
        raise RejectedInputError("profits: at least one scenario is needed")
    books.require(instruments=instruments)
    by_instrument = np.ascontiguousarray(profits.T)
    lowest: Float = np.zeros(len(books))
    which: Index = np.zeros(len(books), dtype=np.intp)
    step = max(CELLS // scenarios, 1)
    for first in range(0, len(books), step):
        last = min(first + step, len(books))
        totals = _rows(books, first, last, instruments) @ by_instrument
        chosen = totals.argmin(axis=1)
        which[first:last] = chosen
        lowest[first:last] = totals[np.arange(last - first), chosen]
    return lowest, which


def _rows(books: Books, first: int, last: int, instruments: int) -> csr_array:
    """Positions of some scopes that follow each other, as a matrix."""
    starts = books.starts[first : last + 1]
    held = slice(int(starts[0]), int(starts[-1]))
    return csr_array(
        (books.quantities[held], books.instruments[held], starts - starts[0]),
        shape=(last - first, instruments),
    )
