"""Rule-based margin of option positions: what a margin or a cash account must hold for them.

The requirement is what must be there for the whole position. The premium received for an option
that is short by itself or in a pair is part of it; a spread is net of premium, paid and received;
a long option and shares are required at the price given with them, and an option covered by
shares adds nothing. Positions are grouped in the cheapest legal way, apart for either account.

Source:
    Regulation T, 12 CFR 220.12 (shares); Cboe Rule 10.3 and Margin Manual, FINRA Rule 4210(f)(2)
    (options); FINRA Regulatory Notices 09-53 (leveraged funds) and 12-44 (spreads).
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np

from margin.engine.rejected import RejectedInputError
from margin.engine.strategy_grouping import (
    CarryingCosts,
    OptionLegs,
    Real,
    cheapest_grouping,
)
from margin.engine.strategy_names import StrategyGroup, named_groups

LEG_COUNT_MAX: Final = 60
CONTRACTS_MAX: Final = 1_000_000
# Days alone are given: nine months of the calendar never have more than this.
NINE_MONTHS_DAYS: Final = 276
LONG_DATED_RATE: Final = 0.75
LEAST_RATE: Final = 0.10
SHARES_INITIAL_RATE: Final = 0.50
SHARES_LONG_MAINTENANCE_RATE: Final = 0.25
SHARES_SHORT_MAINTENANCE_RATE: Final = 0.30


class Breadth(StrEnum):
    """What the underlying represents; decides the rate of a short option."""

    SINGLE = "single"
    NARROW = "narrow"
    BROAD = "broad"
    VOLATILITY = "volatility"


SHORT_RATE: Final[Mapping[Breadth, float]] = MappingProxyType(
    {
        Breadth.SINGLE: 0.20,
        Breadth.NARROW: 0.20,
        Breadth.BROAD: 0.15,
        Breadth.VOLATILITY: 0.20,
    }
)


class Account(StrEnum):
    """Which account carries the position."""

    MARGIN = "margin"
    CASH = "cash"


@dataclass(frozen=True, slots=True)
class Underlying:
    """What the options are written on.

    Attributes:
        price: market price of one unit, above 0.
        breadth: share, narrow or broad index (or a fund that follows one), volatility index.
        leverage: multiple of its index that a fund follows; 1 for anything else, negative for an
            inverse fund.
    """

    price: float
    breadth: Breadth = Breadth.SINGLE
    leverage: float = 1.0


@dataclass(frozen=True, slots=True)
class ShareLots:
    """Shares of the underlying; M lots.

    Attributes:
        price: (M,) price at which each lot is required.
        quantity: (M,) shares held, negative when sold short.
    """

    price: Real
    quantity: Real


@dataclass(frozen=True, slots=True)
class Book:
    """All positions on one underlying.

    Attributes:
        underlying: what they are on.
        options: L legs, in any order; lots of one series may be apart.
        shares: M lots.
        multiplier: units of the underlying in one contract.
    """

    underlying: Underlying
    options: OptionLegs
    shares: ShareLots
    multiplier: int = 100


class StrategyRequirement(NamedTuple):
    """What an account must hold, and why.

    Attributes:
        amount: in the currency of the prices; the sum of the groups.
        groups: what was formed, each with what it costs.
    """

    amount: float
    groups: tuple[StrategyGroup, ...]


def strategy_requirement(
    book: Book, *, account: Account, premium_required: bool = True
) -> StrategyRequirement | None:
    """The least that the rules require for a book; None where the account may not carry it.

    Lots of one series are one position first, at the average price of the side that remains; so
    are shares. A cash account carries no shares sold short.

    Args:
        premium_required: whether a short option, by itself or in a pair, requires its premium in
            a margin account, as the rules say it; not where equity already deducts it.

    Raises:
        RejectedInputError: a price, strike or quantity that cannot be.
    """
    _check(book)
    legs = _series(book.options)
    price, quantity = _net(book.shares.quantity, book.shares.price)
    if account is Account.CASH and quantity < 0:
        return None
    costs = _carrying_costs(legs, book, account=account, shares=quantity)
    if account is Account.MARGIN and not premium_required:
        costs = _without_premium(costs, legs)
    grouping = cheapest_grouping(legs, costs=costs)
    groups = named_groups(
        legs,
        grouping,
        costs=costs,
        shares=quantity,
        share_requirement=price * _share_rate(book.underlying, quantity, account=account),
        multiplier=book.multiplier,
    )
    return StrategyRequirement(math.fsum(group.requirement for group in groups), groups)


def strategy_requirements(
    books: Iterable[Book], *, account: Account
) -> list[StrategyRequirement | None]:
    """`strategy_requirement` of many books, each by itself: nothing offsets across underlyings.

    Raises:
        RejectedInputError: one of the books cannot be; none is answered.
    """
    return [strategy_requirement(book, account=account) for book in books]


def short_option_requirement(legs: OptionLegs, *, underlying: Underlying) -> Real:
    """(L,) margin of one short option by itself, per unit of the underlying.

    premium + max(rate U - out of the money, 10 % of U for a call, of the strike for a put); rate
    20 %, 15 % on a broad index; both rates times the leverage of a fund.
    """
    spot, leverage = underlying.price, _leverage(underlying)
    out_of_the_money = np.maximum(
        0.0, np.where(legs.is_call, legs.strike - spot, spot - legs.strike)
    )
    share = SHORT_RATE[underlying.breadth] * leverage * spot
    least = LEAST_RATE * leverage * np.where(legs.is_call, spot, legs.strike)
    required: Real = legs.premium + np.maximum(share - out_of_the_money, least)
    return required


def short_option_deposit(legs: OptionLegs, *, underlying: Underlying) -> Real:
    """(L,) what a cash account holds for one short option, per unit: exercise less premium.

    Exercise takes the strike of a put, the underlying itself for a call, and the strike of a call
    on a broad index, which is settled in cash.
    """
    by_strike = ~legs.is_call | (underlying.breadth is Breadth.BROAD)
    deposit: Real = np.maximum(
        0.0, np.where(by_strike, legs.strike, underlying.price) - legs.premium
    )
    return deposit


def long_option_requirement(legs: OptionLegs) -> Real:
    """(L,) margin of one long option per unit: its premium, 75 % with over nine months to go."""
    long_dated = legs.expires_in_days > NINE_MONTHS_DAYS
    required: Real = legs.premium * np.where(long_dated, LONG_DATED_RATE, 1.0)
    return required


def short_pair_requirement(legs: OptionLegs, *, alone: Real) -> Real:
    """(L, L) margin of a short call (row) with a short put (column), per unit; else infinite.

    The greater of the two requirements and the premium of the other side; where they are equal,
    the greater premium.

    Args:
        legs: L legs.
        alone: (L,) what each requires by itself.
    """
    short = legs.contracts < 0
    allowed = (short & legs.is_call)[:, None] & (short & ~legs.is_call)[None, :]
    call, put = alone[:, None], alone[None, :]
    with_call = np.where(call >= put, call + legs.premium[None, :], 0.0)
    with_put = np.where(put >= call, put + legs.premium[:, None], 0.0)
    required: Real = np.where(allowed, np.maximum(with_call, with_put), np.inf)
    return required


def _carrying_costs(
    legs: OptionLegs, book: Book, *, account: Account, shares: float
) -> CarryingCosts:
    short = legs.contracts < 0
    lots = int(abs(shares) // book.multiplier)
    call_lots, put_lots = (lots, 0) if shares > 0 else (0, lots)
    if account is Account.CASH:
        deposit = short_option_deposit(legs, underlying=book.underlying)
        alone = np.where(short, deposit, legs.premium)
        return CarryingCosts(alone, np.full((len(alone), len(alone)), np.inf), call_lots, put_lots)
    uncovered = short_option_requirement(legs, underlying=book.underlying)
    alone = np.where(short, uncovered, long_option_requirement(legs))
    return CarryingCosts(alone, short_pair_requirement(legs, alone=alone), call_lots, put_lots)


def _without_premium(costs: CarryingCosts, legs: OptionLegs) -> CarryingCosts:
    received = np.where(legs.contracts < 0, legs.premium, 0.0)
    pair = costs.pair - received[:, None] - received[None, :]
    return costs._replace(alone=costs.alone - received, pair=pair)


def _share_rate(underlying: Underlying, quantity: float, *, account: Account) -> float:
    """Share of the price required: 50 % long, 150 % short; more of a fund with leverage.

    A fund's maintenance rate, 25 % long and 30 % short, is multiplied by its leverage up to the
    whole price, and is required at once where it is above the initial rate.
    """
    if account is Account.CASH:
        return 1.0
    leverage = _leverage(underlying)
    if quantity < 0:
        return 1.0 + min(1.0, max(SHARES_INITIAL_RATE, SHARES_SHORT_MAINTENANCE_RATE * leverage))
    return min(1.0, max(SHARES_INITIAL_RATE, SHARES_LONG_MAINTENANCE_RATE * leverage))


def _leverage(underlying: Underlying) -> float:
    return max(1.0, abs(underlying.leverage))


def _series(legs: OptionLegs) -> OptionLegs:
    """One row per series that is still open, in the order of type, expiry and strike."""
    keys = np.column_stack([legs.is_call, legs.expires_in_days, legs.strike])
    series, member = np.unique(keys, axis=0, return_inverse=True)
    nets = [
        _net(legs.contracts[member.ravel() == row], legs.premium[member.ravel() == row])
        for row in range(len(series))
    ]
    premium = np.array([price for price, _ in nets], dtype=np.float64)
    contracts = np.array([count for _, count in nets], dtype=np.int64)
    is_open = contracts != 0
    return OptionLegs(
        is_call=series[is_open, 0].astype(np.bool_),
        strike=series[is_open, 2],
        premium=premium[is_open],
        contracts=contracts[is_open],
        expires_in_days=series[is_open, 1].astype(np.int64),
    )


def _net(quantity: Real | np.ndarray, price: Real) -> tuple[float, float]:
    """The average price of the side that remains, and how much remains of it, signed."""
    total = math.fsum(quantity)
    if total == 0:
        return 0.0, 0.0
    side = quantity * total > 0
    value = math.fsum(quantity[side] * price[side])
    return value / math.fsum(quantity[side]), total


def _check(book: Book) -> None:
    options, shares = book.options, book.shares
    _require("underlying price", np.array([book.underlying.price]), above=0.0)
    _require("strike", options.strike, above=0.0)
    _require("premium", options.premium, least=0.0)
    _require("expires_in_days", options.expires_in_days, least=0.0)
    _require("contracts", np.abs(options.contracts), above=0.0)
    _require("share price", shares.price, least=0.0)
    _require("shares", np.abs(shares.quantity), above=0.0)
    _require("multiplier", np.array([book.multiplier]), above=0.0)
    leverage = book.underlying.leverage
    if not math.isfinite(leverage) or leverage == 0:
        raise RejectedInputError("leverage: a number other than 0 is needed")
    if len(options.strike) > LEG_COUNT_MAX or len(shares.price) > LEG_COUNT_MAX:
        raise RejectedInputError(f"legs: at most {LEG_COUNT_MAX} are grouped at once")
    if (np.abs(options.contracts) > CONTRACTS_MAX).any():
        raise RejectedInputError(f"contracts: at most {CONTRACTS_MAX} of one leg")


def _require(
    name: str, values: np.ndarray, *, above: float | None = None, least: float | None = None
) -> None:
    """Refuse a number that is not finite, not `above` or less than `least`."""
    if not np.isfinite(values).all():
        raise RejectedInputError(f"{name}: every number is finite")
    if above is not None and (values <= above).any():
        raise RejectedInputError(f"{name}: every number is above {above:g}")
    if least is not None and (values < least).any():
        raise RejectedInputError(f"{name}: no number is below {least:g}")
