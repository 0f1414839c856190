"""Who holds what, the other way round: the scopes of each underlying, kept beside the books.

When one price moves, only the scopes in here are to be asked again. What they hold is kept here a
second time, side by side: in the books it lies apart, and fetching it costs half as much again as
adding it up. The copy is as often as long as the books as a scope holds underlyings.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from margin.engine.books import Books
from margin.engine.given import Float
from margin.engine.market import Index
from margin.engine.rejected import RejectedInputError

# Below this share of all scopes it is quicker to sort the holders than to mark them.
SPARSE: Final = 1 / 32


@dataclass(frozen=True, slots=True, eq=False)
class Holders:
    """The scopes that hold something of each group of instruments; build with `holders_of`.

    Attributes:
        starts: (G + 1,) where the scopes of each group begin.
        holders: (N,) scopes, ascending within a group, each once; no more than there are positions.
        scopes: how many there are in the books.
        positions: (N + 1,) where everything that each of these scopes holds begins, in any group.
        instruments, quantities: what they hold, in the order of the books.
    """

    starts: Index
    holders: NDArray[np.int32]
    scopes: int
    positions: Index
    instruments: Index
    quantities: Float

    @property
    def nbytes(self) -> int:
        """What it all takes."""
        kept = (self.starts, self.holders, self.positions, self.instruments, self.quantities)
        return sum(each.nbytes for each in kept)

    def of(self, groups: ArrayLike) -> Index:
        """The scopes that hold anything of these groups, ascending, each once.

        Raises:
            RejectedInputError: a group is not there.
        """
        moved = np.atleast_1d(np.asarray(groups, dtype=np.intp))
        self._require(moved)
        lists = [self.holders[self.starts[group] : self.starts[group + 1]] for group in moved]
        if len(lists) == 1:
            return lists[0].astype(np.intp)
        found = np.concatenate(lists) if lists else self.holders[:0]
        if len(found) < SPARSE * self.scopes:
            return np.unique(found).astype(np.intp)
        holds = np.zeros(self.scopes, dtype=np.bool_)
        holds[found] = True
        return np.flatnonzero(holds)

    def books_of(self, group: int) -> Books:
        """All that the scopes of one group hold, in the order of `of`, without their money.

        The positions are those of the books, bit for bit, so every sum over them is too.

        Raises:
            RejectedInputError: the group is not there.
        """
        self._require(np.array([group], dtype=np.intp))
        ends = self.positions[self.starts[group] : self.starts[group + 1] + 1]
        rows = slice(ends[0], ends[-1])
        return Books(
            starts=ends - ends[0],
            instruments=self.instruments[rows],
            quantities=self.quantities[rows],
            cash=np.zeros(len(ends) - 1),
        )

    def _require(self, groups: Index) -> None:
        if len(groups) and not (groups.min() >= 0 and groups.max() < len(self.starts) - 1):
            raise RejectedInputError("groups: one is asked for that is not there")


def holders_of(books: Books, *, groups: Index) -> Holders:
    """The holders in some books.

    Args:
        groups: (I,) the group of each instrument, from 0: `market.instruments.underlyings`, or
            `np.arange(I)` for every instrument on its own.

    Raises:
        RejectedInputError: a position is in an instrument beyond.
    """
    held = books.instruments
    if len(held) and not (held.min() >= 0 and held.max() < len(groups)):
        raise RejectedInputError("positions: one is in an instrument that the market does not have")
    count = int(groups.max()) + 1 if len(groups) else 0
    marks = np.ones(len(held), dtype=np.bool_)
    shape = (len(books), count)
    by_group = csr_array((marks, groups[held], books.starts), shape=shape).tocsc()
    scopes, ends = by_group.indices.astype(np.int32), by_group.indptr
    # A scope with several instruments of a group stands there several times, one after another.
    is_first = np.diff(scopes, prepend=-1) != 0
    is_first[ends[:-1][ends[:-1] < ends[1:]]] = True
    before = np.concatenate([[0], np.cumsum(is_first)])
    return _with_positions(books, before[ends].astype(np.intp), scopes[is_first])


def _with_positions(books: Books, starts: Index, holders: NDArray[np.int32]) -> Holders:
    first = books.starts[holders]
    counts = books.starts[holders + 1] - first
    ends = np.concatenate([[0], np.cumsum(counts)]).astype(np.intp)
    # Where each lies in the books: those of a scope follow one another.
    rows = np.repeat(first - ends[:-1], counts)
    rows += np.arange(len(rows))
    return Holders(
        starts=starts,
        holders=holders,
        scopes=len(books),
        positions=ends,
        instruments=books.instruments[rows],
        quantities=books.quantities[rows],
    )
