"""Rows of a run as the arrays of portfolio models: the one place where decimals become floats."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

import numpy as np

from ledger.models import Asset, AssetKind
from margin.book.market_data import MarketData
from margin.book.rows import BASE, Close, ReadInputs
from margin.engine.books import Books, books_of
from margin.engine.given import Float
from margin.engine.market import DAYS_PER_YEAR, Flag, Instruments, Kind, Market
from margin.engine.rejected import RejectedInputError
from margin.engine.surface import Surface
from margin.models import Contract, Mark

SECONDS_PER_YEAR: Final = DAYS_PER_YEAR * 86_400.0
FORMS: Final = {
    Contract.Form.PERPETUAL: Kind.PERPETUAL,
    Contract.Form.FUTURE: Kind.FUTURE,
    Contract.Form.OPTION: Kind.OPTION,
}


class Row(NamedTuple):
    """One instrument as it enters the arrays."""

    asset: Asset
    kind: Kind
    underlying: int
    multiplier: float
    strike: float
    right: int
    years: float
    is_inverse: bool
    price: float


def market_of(read: ReadInputs) -> Market:
    """Everything with a mark but the currency itself, by code, at the marks of the run.

    A forward is the mark of a future, of options the price of the underlying carried by the curve
    of their currency, and that price itself for anything else. Nothing is assumed where nothing is
    known: rates, volumes and open interest are 0, options have the volatility 0, and a model that
    needs more refuses. What is worth nothing or less is left out.
    """
    rows, data = list(_rows(read)), read.market or MarketData(read.as_of)
    codes = {asset.pk: asset.code for asset in read.assets.values()}
    underlyings = sorted({row.underlying for row in rows}, key=lambda pk: codes[pk])
    place = {pk: n for n, pk in enumerate(underlyings)}
    spots = _spots(rows, underlyings)
    at = np.array([place[row.underlying] for row in rows], dtype=np.intp)
    kinds = np.array([row.kind for row in rows], dtype=np.int8)
    prices = np.array([row.price for row in rows], dtype=np.float64)
    rates, forwards, volatilities, is_flagged = _carried(read, rows, data, spots[at])
    returns = _returns(read.closes, underlyings)
    return Market(
        instruments=Instruments(
            names=tuple(row.asset.code for row in rows),
            kinds=kinds,
            underlyings=at,
            multipliers=np.array([row.multiplier for row in rows], dtype=np.float64),
            strikes=np.array([row.strike for row in rows], dtype=np.float64),
            rights=np.array([row.right for row in rows], dtype=np.int8),
            years=np.array([row.years for row in rows], dtype=np.float64),
            is_inverse=np.array([row.is_inverse for row in rows], dtype=bool),
        ),
        underlyings=tuple(codes[pk] for pk in underlyings),
        spots=spots,
        prices=prices,
        forwards=np.where(kinds == Kind.FUTURE, prices, forwards),
        volatilities=volatilities,
        rates=rates,
        confidences=np.where(
            is_flagged,
            0.0,
            np.array([_confidence(read.marks[row.asset.pk]) for row in rows], dtype=np.float64),
        ),
        daily_volatilities=returns.std(axis=0) if len(returns) else np.zeros(len(underlyings)),
        daily_volumes=np.array([data.volumes.get(pk, 0.0) for pk in underlyings]),
        open_interests=np.array([data.open_interests.get(row.asset.pk, 0.0) for row in rows]),
        returns=returns,
    )


def _carried(
    read: ReadInputs, rows: Sequence[Row], data: MarketData, spots: Float
) -> tuple[Float, Float, Float, Flag]:
    """(I,) rates, forwards, volatilities, and whether a volatility rests on no good quote."""
    rates, forwards, volatilities = np.zeros(len(rows)), spots.copy(), np.zeros(len(rows))
    is_flagged: Flag = np.zeros(len(rows), dtype=bool)
    years = np.array([row.years for row in rows], dtype=np.float64)
    base = next(pk for pk, asset in read.assets.items() if asset.code == BASE)
    currencies = np.array([row.asset.settles_in_id or base for row in rows], dtype=np.int64)
    is_option = np.array([row.kind is Kind.OPTION for row in rows], dtype=bool)
    for currency in np.unique(currencies[years > 0]).tolist():
        here = (currencies == currency) & (years > 0)
        rates[here] = data.rates(currency, years[here])
        options = here & is_option
        forwards[options] = data.forwards(currency, spots[options], years[options])
    surfaces: dict[tuple[int, int], Surface | None] = {}
    for n in np.flatnonzero(is_option & (years > 0)).tolist():
        key = rows[n].underlying, int(currencies[n])
        if key not in surfaces:
            code = read.assets[key[0]].code
            surfaces[key] = data.surface(key[0], code=code, spot=spots[n], currency=key[1])
        surface = surfaces[key]
        if surface is not None:
            said = surface.volatilities(rows[n].strike, years=years[n], forwards=forwards[n])
            volatilities[n], is_flagged[n] = said.middle[0], bool(said.is_flagged[0])
    return rates, forwards, volatilities, is_flagged


def _confidence(mark: Mark) -> float:
    """How far a mark is trusted: what its rules say, and not at all where it is not composed."""
    if mark.state not in (Mark.State.VALID, Mark.State.MARKET_CLOSED):
        return 0.0
    return 1.0 if mark.confidence is None else float(mark.confidence)


def books_of_scopes(read: ReadInputs, *, market: Market, places: Sequence[int]) -> Books:
    """What these scopes of the run hold, in their order.

    Money in the currency less loans is cash; other money is held as what it is.
    """
    scope = {place: n for n, place in enumerate(places)}
    column = {name: n for n, name in enumerate(market.instruments.names)}
    cash = np.zeros(len(places))
    rows: list[tuple[int, int, float]] = []
    for held in (*read.claims, *read.positions):
        if held.scope not in scope:
            continue
        code, amount = read.assets[held.asset_id].code, float(held.amount)
        if code == BASE:
            cash[scope[held.scope]] += amount
        elif code not in column:
            raise RejectedInputError(f"prices: {code} is worth nothing or less")
        else:
            rows.append((scope[held.scope], column[code], amount))
    for loan in read.loans:
        if loan.scope in scope:
            cash[scope[loan.scope]] -= float(loan.amount)
    return books_of(
        scopes=[row[0] for row in rows],
        instruments=[row[1] for row in rows],
        quantities=[row[2] for row in rows],
        cash=cash,
    )


def _rows(read: ReadInputs) -> "list[Row]":
    priced = sorted(
        (
            asset
            for pk, asset in read.assets.items()
            if pk in read.marks and asset.code != BASE and read.marks[pk].price > 0
        ),
        key=lambda asset: asset.code,
    )
    return [_row(read, asset) for asset in priced]


def _row(read: ReadInputs, asset: Asset) -> Row:
    contract, price = read.contracts.get(asset.pk), float(read.marks[asset.pk].price)
    if contract is None:
        kinds = {
            AssetKind.MONEY: Kind.SPOT,
            AssetKind.SECURITY: Kind.SECURITY,
            AssetKind.DERIVATIVE: Kind.PERPETUAL,
        }
        return Row(asset, kinds[AssetKind(asset.kind)], asset.pk, 1.0, 0.0, 0, 0.0, False, price)
    is_call = contract.is_call
    return Row(
        asset=asset,
        kind=FORMS[Contract.Form(contract.form)],
        underlying=contract.underlying_id,
        multiplier=float(contract.multiplier),
        strike=0.0 if contract.strike is None else float(contract.strike),
        right=0 if is_call is None else (1 if is_call else -1),
        years=_years(read.as_of, contract.expires_at),
        is_inverse=contract.is_inverse,
        price=price,
    )


def _years(now: datetime, expires_at: datetime | None) -> float:
    if expires_at is None:
        return 0.0
    return max((expires_at.astimezone(UTC) - now).total_seconds(), 0.0) / SECONDS_PER_YEAR


def _spots(rows: Sequence[Row], underlyings: Sequence[int]) -> Float:
    """The mark of each underlying; where it has none, that of the first thing written on it."""
    prices: dict[int, float] = {}
    for row in rows:
        if row.kind is not Kind.OPTION:
            prices.setdefault(row.underlying, row.price)
    prices |= {row.asset.pk: row.price for row in rows if row.asset.pk in underlyings}
    return np.array([prices.get(pk, np.nan) for pk in underlyings], dtype=np.float64)


def _returns(closes: Sequence[Close], underlyings: Sequence[int]) -> Float:
    """(T, U) simple returns between following days on which every underlying has a close.

    An underlying without any close of its own does not move.
    """
    by_day: dict[object, dict[int, float]] = defaultdict(dict)
    wanted = {close.asset_id for close in closes} & set(underlyings)
    for close in closes:
        if close.asset_id in wanted:
            by_day[close.day][close.asset_id] = float(close.price)
    whole = [by_day[day] for day in sorted(by_day, key=str) if wanted <= by_day[day].keys()]
    table = np.array(
        [[prices.get(pk, 1.0) for pk in underlyings] for prices in whole], dtype=np.float64
    ).reshape(len(whole), len(underlyings))
    returns: Float = table[1:] / table[:-1] - 1.0
    return returns
