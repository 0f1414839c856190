"""How far to keep collateral apart: what is required of scopes alone, and of those pooled.

Pooled scopes net their gains and losses before the model measures them. Where they lose together,
pooling saves nothing and lets the loss of one take the collateral of the others: they are advised
to stay apart. What is saved at each level is what isolation costs in margin. Axes: A scopes, G
groups of the widest level, L levels.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from margin.engine.books import Books, books_of
from margin.engine.given import Float
from margin.engine.market import Index
from margin.engine.model import Prepared
from margin.engine.rejected import RejectedInputError

ALONE = "alone"


class Level(NamedTuple):
    """One way to pool scopes: by client, by group of clients.

    Attributes:
        name: for people.
        groups: (A,) index of the pool of each scope, from 0.
    """

    name: str
    groups: ArrayLike


class Isolation(NamedTuple):
    """What each group of the widest level is required at every level.

    Attributes:
        levels: (L,) names, from every scope alone to the widest.
        margins: (G, L) initial margin, pools of the level added up.
        benefits: (G, L) what pooling to that level saves against every scope alone, which is what
            isolation costs; negative where a model punishes pools.
        shares: (G, L) benefits as a share of the margin of scopes alone; 0 where that is 0.
        advised: (G,) index of the level: the narrowest that no wider one beats by enough.
    """

    levels: tuple[str, ...]
    margins: Float
    benefits: Float
    shares: Float
    advised: Index


def isolation_of(
    prepared: Prepared, books: Books, *, levels: Sequence[Level], least_benefit: float
) -> Isolation:
    """Compare levels of isolation under one model.

    Args:
        prepared: a model with its market, such as expected shortfall.
        levels: from narrow to wide, at least one; each pool lies within one pool of the next.
        least_benefit: share of the margin of scopes alone that a wider level must save beyond a
            narrower one to be advised, above 0 so that rounding saves nothing.

    Raises:
        RejectedInputError: no level, one that does not nest in the next, or no such share.
    """
    if not levels or not 0 < least_benefit <= 1:
        raise RejectedInputError("levels: at least one is needed, and a share that counts")
    pools = [np.arange(len(books)), *(_groups(each, len(books)) for each in levels)]
    for narrow, wide, level in zip(pools, pools[1:], levels, strict=False):
        if not _nests(narrow, wide):
            raise RejectedInputError(f"levels: a pool lies in several of {level.name}")
    count = int(pools[-1].max(initial=-1)) + 1
    margins = np.column_stack(
        [_margin(prepared, books, each, widest=pools[-1], count=count) for each in pools]
    )
    alone = margins[:, :1]
    benefits = alone - margins
    shares = np.divide(benefits, alone, out=np.zeros_like(benefits), where=alone > 0)
    names = (ALONE, *(each.name for each in levels))
    return Isolation(names, margins, benefits, shares, _advised(shares, least_benefit))


def _groups(level: Level, count: int) -> Index:
    groups = np.asarray(level.groups, dtype=np.intp)
    if groups.shape != (count,) or (groups < 0).any():
        raise RejectedInputError(f"levels: {level.name} names one pool a scope, from 0")
    return groups


def _nests(narrow: Index, wide: Index) -> bool:
    pairs = np.unique(np.column_stack([narrow, wide]), axis=0)
    return len(pairs) == len(np.unique(narrow))


def _margin(prepared: Prepared, books: Books, pools: Index, *, widest: Index, count: int) -> Float:
    """(G,) initial margin of the pools within each group of the widest level."""
    size = int(pools.max(initial=-1)) + 1
    pooled = books_of(
        scopes=pools[books.scopes],
        instruments=books.instruments,
        quantities=books.quantities,
        cash=np.bincount(pools, weights=books.cash, minlength=size),
    )
    group = np.zeros(size, dtype=np.intp)
    group[pools] = widest
    required = prepared.requirement(pooled).initial
    # Counts of nobody are whole numbers.
    margin: Float = np.bincount(group, weights=required, minlength=count).astype(np.float64)
    return margin


def _advised(shares: Float, least_benefit: float) -> Index:
    """(G,) the level that is left only for one that saves enough beyond it."""
    advised: Index = np.zeros(len(shares), dtype=np.intp)
    rows = np.arange(len(shares))
    for level in range(1, shares.shape[1]):
        saves = shares[:, level] - shares[rows, advised] >= least_benefit
        advised = np.where(saves, level, advised)
    return advised
