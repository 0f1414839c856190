"""Balances of one scope that several accounts hold: what is required is required of them together.

Where an asset is held once nothing changes. Where it is held more often the rows are added; the sum
is nobody's own row, and longs of one stand against shorts of another.
"""

from collections import Counter
from decimal import Decimal
from typing import Final, NamedTuple

import numpy as np

from margin.engine.exact import ZERO, Exact, Index, column

OF_SEVERAL: Final = -1


class Netted(NamedTuple):
    """Sums other than zero, (N,) each, in the order in which their first rows come.

    Attributes:
        first: places among the rows that were given.
        amount: the sums.
        row: as given where there is one row; OF_SEVERAL where there are more.
    """

    first: Index
    amount: Exact
    row: Index


def is_apart(scope: Index, asset: Index) -> bool:
    """Whether no scope holds an asset more than once."""
    width = int(asset.max(initial=0)) + 1
    return len(np.unique(scope * width + asset)) == len(scope)


def net_of_each(scope: Index, asset: Index, amount: Exact) -> tuple[Exact, Index]:
    """For every row what its scope holds of the asset in all, and how often; inside `exact()`."""
    if is_apart(scope, asset):
        return amount, np.ones(len(amount), dtype=np.intp)
    keys = list(zip(scope.tolist(), asset.tolist(), strict=True))
    sums: dict[tuple[int, int], Decimal] = {}
    for key, each in zip(keys, amount, strict=True):
        sums[key] = sums.get(key, ZERO) + each
    often = Counter(keys)
    return column(sums[key] for key in keys), np.array([often[key] for key in keys], dtype=np.intp)


def netted(scope: Index, asset: Index, amount: Exact, row: Index) -> Netted:
    """Rows added up by scope and asset; call inside `exact()`.

    Args:
        scope, asset, amount, row: (R,) of each row, whatever is chosen of all.
    """
    if is_apart(scope, asset):
        return Netted(np.arange(len(row)), amount, row)
    total, often = net_of_each(scope, asset, amount)
    place: dict[tuple[int, int], int] = {}
    for n, key in enumerate(zip(scope.tolist(), asset.tolist(), strict=True)):
        place.setdefault(key, n)
    first: Index = np.array(sorted(place.values()), dtype=np.intp)
    first = first[(total[first] != ZERO).astype(bool)]
    return Netted(first, total[first], np.where(often[first] == 1, row[first], OF_SEVERAL))
