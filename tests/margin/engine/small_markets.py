"""Markets of a few instruments in a few words, for figures computed by hand."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from margin.engine.books import Books, books_of
from margin.engine.market import Instruments, Kind, Market


class Row(NamedTuple):
    """One instrument; an option where it has a strike. `right` is +1 a call, -1 a put."""

    name: str
    kind: Kind
    underlying: str = "A"
    price: float = 100.0
    multiplier: float = 1.0
    days: float = 0.0
    strike: float = 0.0
    right: int = 0
    forward: float = 0.0  # 0: the spot
    volatility: float = 0.0
    rate: float = 0.0
    is_inverse: bool = False
    open_interest: float = 0.0


def option(name: str, **values: Any) -> Row:
    """A call with a year to go, at the money, of volatility 0.2, where nothing else is said."""
    said: dict[str, Any] = {
        "strike": 100.0,
        "right": 1,
        "days": 365.0,
        "volatility": 0.2,
        "price": 8.0,
    }
    return Row(name, Kind.OPTION)._replace(**(said | values))


def market_of(rows: Sequence[Row], *, spots: Mapping[str, float] | None = None) -> Market:
    """A market of such instruments; an underlying costs 100 where no spot is given."""
    names = sorted({row.underlying for row in rows} | set(spots or {}))
    spot = [(spots or {}).get(name, 100.0) for name in names]
    places = [names.index(row.underlying) for row in rows]
    forwards = [row.forward or spot[place] for row, place in zip(rows, places, strict=True)]

    def column(name: str) -> np.ndarray:
        return np.array([getattr(row, name) for row in rows], dtype=np.float64)

    return Market(
        instruments=Instruments(
            names=tuple(row.name for row in rows),
            kinds=np.array([row.kind for row in rows], dtype=np.int8),
            underlyings=np.array(places, dtype=np.intp),
            multipliers=column("multiplier"),
            strikes=column("strike"),
            rights=np.array([row.right for row in rows], dtype=np.int8),
            years=column("days") / 365.0,
            is_inverse=np.array([row.is_inverse for row in rows], dtype=np.bool_),
        ),
        underlyings=tuple(names),
        spots=np.array(spot),
        prices=column("price"),
        forwards=np.array(forwards),
        volatilities=column("volatility"),
        rates=column("rate"),
        confidences=np.ones(len(rows)),
        daily_volatilities=np.full(len(names), 0.02),
        daily_volumes=np.full(len(names), 1e6),
        open_interests=column("open_interest"),
        returns=np.zeros((2, len(names))),
    )


def book_of(market: Market, held: Mapping[str, float]) -> Books:
    """One scope that holds so much of each instrument."""
    names = list(market.instruments.names)
    return books_of(
        scopes=[0] * len(held),
        instruments=[names.index(name) for name in held],
        quantities=list(held.values()),
        cash=[0.0],
    )
