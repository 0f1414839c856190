"""Markets and books made from a seed: for laws, for the slow implementations, for benchmarks.

The same seed and sizes give the same world on every machine.
"""

from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np

from margin.engine.black76 import black76_price
from margin.engine.books import Books, books_of
from margin.engine.given import Float
from margin.engine.market import Index, Instruments, Kind, Market
from margin.engine.model import Model

# Of each underlying: the coin or share itself, a perpetual, a future, and options.
LINEAR_EACH: Final = 4
HISTORY_DAYS: Final = 260


class World(NamedTuple):
    """A market and who holds what in it."""

    market: Market
    books: Books


def world(
    seed: int,
    *,
    scopes: int = 8,
    underlyings: int = 3,
    options_each: int = 6,
    positions_most: int = 8,
    history_days: int = HISTORY_DAYS,
) -> World:
    """A market of every kind of instrument, with books of scopes in it.

    The first scope holds nothing. Quantities are whole tens of contracts and hundredths of coins,
    long and short alike.

    Args:
        seed: from 0.
        options_each: options of each underlying, calls and puts over several strikes and expiries.
        positions_most: positions of one scope at most.
        history_days: days of past returns; correlated across underlyings.
    """
    draw = np.random.Generator(np.random.PCG64(seed))
    market = _market(draw, underlyings, options_each, history_days)
    return World(market, _books(draw, market, scopes, positions_most))


def world_for(model: Model[Any], seed: int, **sizes: int) -> World:
    """A world in which scopes hold only what a model takes.

    Coins are read as shares by a model that takes securities and no coins. Positions of kinds that
    it does not take are left out, and options rounded up to whole contracts where it needs them.
    """
    market, books = world(seed, **sizes)
    contract = market.instruments
    kinds, names = contract.kinds, contract.names
    if Kind.SECURITY in model.kinds and Kind.SPOT not in model.kinds:
        kinds = np.where(kinds == Kind.SPOT, Kind.SECURITY, kinds).astype(np.int8)
        names = tuple(name.replace(Kind.SPOT.name, Kind.SECURITY.name) for name in names)
    held = kinds[books.instruments]
    quantities = books.quantities
    if model.whole_contracts:
        whole = np.copysign(np.ceil(np.abs(quantities)), quantities)
        quantities = np.where(held == Kind.OPTION, whole, quantities)
    taken = np.isin(held, [int(kind) for kind in model.kinds])
    return World(
        replace(market, instruments=replace(contract, kinds=kinds, names=names)),
        books_of(
            scopes=books.scopes[taken],
            instruments=books.instruments[taken],
            quantities=quantities[taken],
            cash=books.cash,
        ),
    )


def _market(
    draw: np.random.Generator, underlyings: int, options_each: int, history_days: int
) -> Market:
    exponents = draw.uniform(1.6, 10.8, underlyings)
    spots: Float = np.round(np.exp(exponents), 2).astype(np.float64)
    daily = draw.uniform(0.008, 0.06, underlyings)
    each = LINEAR_EACH + options_each
    underlying = np.repeat(np.arange(underlyings), each)
    kinds = np.tile(
        [Kind.SPOT, Kind.PERPETUAL, Kind.FUTURE, Kind.PERPETUAL, *[Kind.OPTION] * options_each],
        underlyings,
    ).astype(np.int8)
    is_inverse = np.tile([False, False, False, True, *[False] * options_each], underlyings)
    is_option = kinds == Kind.OPTION
    years = np.where(kinds == Kind.FUTURE, draw.integers(5, 200, len(kinds)) / 365.0, 0.0)
    expiries = draw.choice([2, 9, 30, 90, 270, 500], len(kinds)) / 365.0
    years = np.where(is_option, expiries, years)
    spot = spots[underlying]
    forwards: Float = spot * np.exp(draw.uniform(-0.02, 0.06, len(kinds)) * years)
    strikes = np.where(is_option, np.round(spot * draw.uniform(0.6, 1.5, len(kinds)), 2), 0.0)
    rights = np.where(is_option, draw.choice([-1, 1], len(kinds)), 0).astype(np.int8)
    volatilities = np.where(is_option, draw.uniform(0.2, 1.4, len(kinds)), 0.0)
    rates = np.where(years > 0, draw.uniform(0.0, 0.05, len(kinds)), 0.0)
    premiums = black76_price(
        forwards,
        strike=np.where(is_option, strikes, 1.0),
        volatility=volatilities,
        years=years,
        discount=np.exp(-rates * years),
        is_call=rights > 0,
    )
    prices = np.where(is_option, premiums, np.where(kinds == Kind.SPOT, spot, forwards))
    instruments = Instruments(
        names=_names(kinds, underlying, is_inverse),
        kinds=kinds,
        underlyings=underlying,
        multipliers=np.where(
            is_inverse, 100.0, np.where(is_option, draw.choice([1.0, 100.0], len(kinds)), 1.0)
        ),
        strikes=strikes,
        rights=rights,
        years=years,
        is_inverse=is_inverse,
    )
    return Market(
        instruments=instruments,
        underlyings=tuple(f"U{place}" for place in range(underlyings)),
        spots=spots,
        prices=prices,
        forwards=forwards,
        volatilities=volatilities,
        rates=rates,
        confidences=np.round(draw.uniform(0.7, 1.0, len(kinds)), 2),
        daily_volatilities=daily,
        daily_volumes=np.round(draw.uniform(1e5, 1e8, underlyings)),
        open_interests=np.round(draw.uniform(1e5, 5e7, len(kinds))),
        returns=_returns(draw, daily, history_days),
    )


def _returns(draw: np.random.Generator, daily: Float, days: int) -> Float:
    """Returns with a common factor, fat tails and quiet and loud stretches."""
    common = draw.standard_t(5, (days, 1))
    own = draw.standard_t(5, (days, len(daily)))
    loudness = np.exp(0.4 * np.sin(np.arange(days) / 20.0))[:, None]
    drawn = loudness * daily * (0.6 * common + 0.8 * own) / np.sqrt(5 / 3)
    returns: Float = np.clip(drawn, -0.6, 1.5)
    return returns


def _names(kinds: Index | np.ndarray, underlying: Index, is_inverse: np.ndarray) -> tuple[str, ...]:
    return tuple(
        f"U{asset}-{Kind(int(kind)).name}{'-INVERSE' if inverse else ''}-{place}"
        for place, (kind, asset, inverse) in enumerate(
            zip(kinds, underlying, is_inverse, strict=True)
        )
    )


def _books(draw: np.random.Generator, market: Market, scopes: int, most: int) -> Books:
    counts = draw.integers(1, most + 1, scopes)
    counts[0] = 0
    scope = np.repeat(np.arange(scopes), counts)
    instrument = draw.integers(0, len(market.instruments), len(scope))
    # So many contracts that positions in dear and cheap things weigh alike.
    value = draw.uniform(500.0, 50_000.0, len(scope)) * draw.choice([-1.0, 1.0], len(scope))
    size = value / market.notionals[instrument]
    whole = np.where(np.abs(size) >= 10, np.round(size, -1), np.round(size, 2))
    cash = np.round(draw.uniform(-10_000.0, 100_000.0, scopes), 2)
    cash[0] = 0.0
    return books_of(scopes=scope, instruments=instrument, quantities=whole, cash=cash)
