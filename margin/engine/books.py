"""What scopes hold, as columns: positions of all scopes one after another, and money.

Axes: A scopes, P positions. The positions of a scope lie together, by instrument, each instrument
once, so that the same holdings are the same arrays whatever order they came in.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_array

from margin.engine.given import Float, finite
from margin.engine.market import Index
from margin.engine.rejected import RejectedInputError


class Change(NamedTuple):
    """What would be traded, paid or taken: positions and money that come on top.

    Attributes:
        instruments: indices.
        quantities: signed, one for each.
        cash: signed.
    """

    instruments: Sequence[int] = ()
    quantities: Sequence[float] = ()
    cash: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Books:
    """Holdings of scopes; build with `books_of`.

    Attributes:
        starts: (A + 1,) where the positions of each scope begin; the last is P.
        instruments: (P,) indices, ascending within a scope.
        quantities: (P,) contracts or units, signed, never 0.
        cash: (A,) money in the settlement currency less what is owed, signed.
    """

    starts: Index
    instruments: Index
    quantities: Float
    cash: Float

    def __len__(self) -> int:
        return len(self.cash)

    @property
    def scopes(self) -> Index:
        """(P,) the scope of each position."""
        return np.repeat(np.arange(len(self)), np.diff(self.starts))

    def require(self, *, instruments: int) -> None:
        """Refuse positions of instruments that a market of so many does not have.

        Raises:
            RejectedInputError: there is one.
        """
        if (self.instruments >= instruments).any():
            raise RejectedInputError("positions: one names an instrument that is not there")

    def matrix(self, *, instruments: int) -> csr_array:
        """(A, I) positions; shares the arrays, copies nothing.

        Raises:
            RejectedInputError: a position of an instrument that is not there.
        """
        self.require(instruments=instruments)
        return csr_array(
            (self.quantities, self.instruments, self.starts), shape=(len(self), instruments)
        )

    def of(self, scope: int) -> tuple[Index, Float]:
        """Instruments and quantities of one scope."""
        held = slice(int(self.starts[scope]), int(self.starts[scope + 1]))
        return self.instruments[held], self.quantities[held]

    def select(self, scopes: ArrayLike) -> Self:
        """The books of some scopes, in the order asked for."""
        chosen = np.asarray(scopes, dtype=np.intp)
        counts = np.diff(self.starts)[chosen]
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.intp)
        within = np.arange(starts[-1]) - np.repeat(starts[:-1], counts)
        rows = np.repeat(self.starts[:-1][chosen], counts) + within
        return type(self)(starts, self.instruments[rows], self.quantities[rows], self.cash[chosen])

    def plus(self, other: Self) -> "Books":
        """Scope by scope the holdings of both."""
        if len(other) != len(self):
            raise RejectedInputError("books: both have the same scopes")
        return books_of(
            scopes=np.concatenate([self.scopes, other.scopes]),
            instruments=np.concatenate([self.instruments, other.instruments]),
            quantities=np.concatenate([self.quantities, other.quantities]),
            cash=self.cash + other.cash,
        )

    def times(self, factor: float) -> "Books":
        """So many times everything."""
        return books_of(
            scopes=self.scopes,
            instruments=self.instruments,
            quantities=self.quantities * factor,
            cash=self.cash * factor,
        )

    def changed(self, scope: int, change: Change) -> "Books":
        """The one scope after a change, as books of their own."""
        instruments, quantities = self.of(scope)
        places = np.asarray(change.instruments, dtype=np.intp)
        return books_of(
            scopes=np.zeros(len(instruments) + len(places), dtype=np.intp),
            instruments=np.concatenate([instruments, places]),
            quantities=np.concatenate([quantities, np.asarray(change.quantities, dtype=float)]),
            cash=self.cash[scope : scope + 1] + change.cash,
        )


def books_of(
    *, scopes: ArrayLike, instruments: ArrayLike, quantities: ArrayLike, cash: ArrayLike
) -> Books:
    """Books out of rows in any order; several rows of one instrument in one scope are netted.

    Args:
        scopes: (N,) index of the scope of each row.
        instruments: (N,) index of its instrument.
        quantities: (N,) signed.
        cash: (A,) of each scope.

    Raises:
        RejectedInputError: columns differ in length, a number is not finite, an index is not there.
    """
    scope = np.asarray(scopes, dtype=np.intp)
    instrument = np.asarray(instruments, dtype=np.intp)
    quantity, money = finite("quantities", quantities), finite("cash", cash)
    if not len(scope) == len(instrument) == len(quantity):
        raise RejectedInputError("positions: their columns differ in length")
    if ((scope < 0) | (scope >= len(money)) | (instrument < 0)).any():
        raise RejectedInputError("positions: one names a scope or an instrument that is not there")
    # Equal rows are added smallest first, so that their order changes nothing.
    order = np.lexsort((quantity, instrument, scope))
    scope, instrument, quantity = scope[order], instrument[order], quantity[order]
    is_first = (np.diff(scope, prepend=-1) != 0) | (np.diff(instrument, prepend=-1) != 0)
    first = np.flatnonzero(is_first)
    net = np.add.reduceat(quantity, first) if len(first) else quantity
    kept = first[net != 0]
    starts = np.searchsorted(scope[kept], np.arange(len(money) + 1)).astype(np.intp)
    return Books(starts, instrument[kept], net[net != 0], money)
