"""Markets of a few instruments written by name, for figures that are computed by hand."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from margin.engine.books import Books, books_of
from margin.engine.market import Instruments, Kind, Market


class Listed(NamedTuple):
    """One instrument; of an option the price is the premium."""

    name: str
    kind: Kind = Kind.PERPETUAL
    underlying: int = 0
    price: float = 100.0
    multiplier: float = 1.0
    strike: float = 0.0
    right: int = 0
    days: float = 0.0
    volatility: float = 0.0
    rate: float = 0.0
    forward: float = 100.0
    confidence: float = 1.0
    is_inverse: bool = False


def market_of(*listed: Listed, spots: tuple[float, ...] = (100.0,), **changes: Any) -> Market:
    """A market of such instruments; underlyings are called U0, U1 and so on."""

    def column(name: str, kind: type = float) -> Any:
        return np.array([getattr(each, name) for each in listed], dtype=kind)

    instruments = Instruments(
        names=tuple(each.name for each in listed),
        kinds=column("kind", np.int8),
        underlyings=column("underlying", np.intp),
        multipliers=column("multiplier"),
        strikes=column("strike"),
        rights=column("right", np.int8),
        years=column("days") / 365.0,
        is_inverse=column("is_inverse", np.bool_),
    )
    count = len(spots)
    columns: dict[str, Any] = {
        "daily_volatilities": np.full(count, 0.02),
        "daily_volumes": np.full(count, 1e6),
        "open_interests": np.zeros(len(listed)),
        "returns": np.zeros((0, count)),
    }
    return Market(
        instruments=instruments,
        underlyings=tuple(f"U{place}" for place in range(count)),
        spots=np.array(spots),
        prices=column("price"),
        forwards=column("forward"),
        volatilities=column("volatility"),
        rates=column("rate"),
        confidences=column("confidence"),
        **columns | changes,
    )


def hold(market: Market, *scopes: Mapping[str, float]) -> Books:
    """Books of scopes that hold so much of what is named."""
    names = market.instruments.names
    rows = [
        (scope, names.index(name), quantity)
        for scope, held in enumerate(scopes)
        for name, quantity in held.items()
    ]
    return books_of(
        scopes=[row[0] for row in rows],
        instruments=[row[1] for row in rows],
        quantities=[row[2] for row in rows],
        cash=np.zeros(len(scopes)),
    )
