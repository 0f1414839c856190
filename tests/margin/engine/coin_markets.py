"""Markets of a few coins with a history written down by hand."""

import numpy as np
from numpy.typing import ArrayLike

from margin.engine.books import Books, books_of
from margin.engine.market import Instruments, Kind, Market


def coin_market(returns: ArrayLike, *, prices: ArrayLike) -> Market:
    """Coins that are worth their price; one underlying each.

    Args:
        returns: (T, U) simple returns, the oldest first.
        prices: (U,).
    """
    spots = np.asarray(prices, dtype=np.float64)
    count, zeros = len(spots), np.zeros(len(spots))
    names = tuple("ABCDEFGH"[:count])
    instruments = Instruments(
        names=names,
        kinds=np.full(count, Kind.SPOT, dtype=np.int8),
        underlyings=np.arange(count),
        multipliers=np.ones(count),
        strikes=zeros,
        rights=np.zeros(count, dtype=np.int8),
        years=zeros,
        is_inverse=np.zeros(count, dtype=bool),
    )
    return Market(
        instruments=instruments,
        underlyings=names,
        spots=spots,
        prices=spots,
        forwards=spots,
        volatilities=zeros,
        rates=zeros,
        confidences=np.ones(count),
        daily_volatilities=zeros,
        daily_volumes=zeros,
        open_interests=zeros,
        returns=np.asarray(returns, dtype=np.float64).reshape(len(np.asarray(returns)), count),
    )


def holdings(*scopes: ArrayLike) -> Books:
    """Books of quantities (I,) of every coin, scope by scope."""
    rows = np.atleast_2d(np.asarray(scopes, dtype=np.float64))
    scope, instrument = np.nonzero(rows)
    return books_of(
        scopes=scope,
        instruments=instrument,
        quantities=rows[scope, instrument],
        cash=np.zeros(len(rows)),
    )
