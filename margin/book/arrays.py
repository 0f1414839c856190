"""Rows of a run as the arrays of portfolio models: the one place where decimals become floats."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np

from ledger.models import Asset, AssetKind
from margin.book.rows import BASE, Close, ReadInputs
from margin.engine.books import Books, books_of
from margin.engine.given import Float
from margin.engine.market import DAYS_PER_YEAR, Index, Instruments, Kind, Market
from margin.models import Contract

NOTHING_MOVED: Final[Mapping[str, float]] = MappingProxyType({})
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


@dataclass(frozen=True, slots=True, eq=False)
class MarketRows:
    """A market but for its prices: everything with a mark, and how it moved in the past.

    Attributes:
        places: of instruments, by code.
        instruments: by code.
        underlyings: their codes.
        marks: (I,) prices as they are.
        spot_rows: (U,) the instrument whose price is that of the underlying; -1 where none is.
        confidences: (I,) 1 where the mark is valid, else 0.
        returns, daily_volatilities: (T, U) and (U,), of past days.
    """

    places: Mapping[str, int]
    instruments: Instruments
    underlyings: tuple[str, ...]
    marks: Float
    spot_rows: Index
    confidences: Float
    returns: Float
    daily_volatilities: Float

    def market(
        self,
        *,
        prices: Mapping[str, float] = NOTHING_MOVED,
        volatilities: Mapping[str, float] = NOTHING_MOVED,
    ) -> Market:
        """The market at the marks, or at other prices and volatilities of some of it.

        Args:
            prices: by code, in the place of the mark; such a price is trusted.
            volatilities: of options, by code.

        Raises:
            RejectedInputError: it cannot be what it says.
        """
        count, contract = len(self.marks), self.instruments
        marks, confidences, deviations = self.marks.copy(), self.confidences.copy(), np.zeros(count)
        for code, price in prices.items():
            if code in self.places:
                marks[self.places[code]], confidences[self.places[code]] = price, 1.0
        for code, volatility in volatilities.items():
            deviations[self.places[code]] = volatility
        spots = np.where(self.spot_rows < 0, np.nan, np.append(marks, np.nan)[self.spot_rows])
        of_underlying = spots[contract.underlyings]
        return Market(
            instruments=contract,
            underlyings=self.underlyings,
            spots=spots,
            prices=marks,
            forwards=np.where(contract.kinds == Kind.FUTURE, marks, of_underlying),
            volatilities=deviations,
            rates=np.zeros(count),
            confidences=confidences,
            daily_volatilities=self.daily_volatilities,
            daily_volumes=np.zeros(len(self.underlyings)),
            open_interests=np.zeros(count),
            returns=self.returns,
        )


def market_rows(read: ReadInputs) -> MarketRows:
    """Everything with a mark but the currency itself, by code, as a run read it.

    A forward is the mark of a future, and the price of the underlying for anything else. Nothing
    is assumed where nothing is known: volumes and open interest are 0, options have the volatility
    0, and a model that needs more refuses.

    Raises:
        RejectedInputError: an instrument cannot be what it says.
    """
    rows = list(_rows(read))
    codes = {asset.pk: asset.code for asset in read.assets.values()}
    underlyings = sorted({row.underlying for row in rows}, key=lambda pk: codes[pk])
    returns = _returns(read.closes, underlyings)
    valid = [float(read.marks[row.asset.pk].state == "VALID") for row in rows]
    return MarketRows(
        places={row.asset.code: n for n, row in enumerate(rows)},
        instruments=_instruments(rows, underlyings),
        underlyings=tuple(codes[pk] for pk in underlyings),
        marks=np.array([row.price for row in rows], dtype=np.float64),
        spot_rows=_spot_rows(rows, underlyings),
        confidences=np.array(valid, dtype=np.float64),
        returns=returns,
        daily_volatilities=returns.std(axis=0) if len(returns) else np.zeros(len(underlyings)),
    )


def market_of(read: ReadInputs) -> Market:
    """The market of a run, at its marks."""
    return market_rows(read).market()


def _instruments(rows: Sequence[Row], underlyings: Sequence[int]) -> Instruments:
    place = {pk: n for n, pk in enumerate(underlyings)}
    return Instruments(
        names=tuple(row.asset.code for row in rows),
        kinds=np.array([row.kind for row in rows], dtype=np.int8),
        underlyings=np.array([place[row.underlying] for row in rows], dtype=np.intp),
        multipliers=np.array([row.multiplier for row in rows], dtype=np.float64),
        strikes=np.array([row.strike for row in rows], dtype=np.float64),
        rights=np.array([row.right for row in rows], dtype=np.int8),
        years=np.array([row.years for row in rows], dtype=np.float64),
        is_inverse=np.array([row.is_inverse for row in rows], dtype=bool),
    )


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
        (asset for pk, asset in read.assets.items() if pk in read.marks and asset.code != BASE),
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


def _spot_rows(rows: Sequence[Row], underlyings: Sequence[int]) -> Index:
    """(U,) the row of each underlying; where it has none, the first thing written on it."""
    found: dict[int, int] = {}
    for place, row in enumerate(rows):
        if row.kind is not Kind.OPTION:
            found.setdefault(row.underlying, place)
    found |= {row.asset.pk: place for place, row in enumerate(rows) if row.asset.pk in underlyings}
    return np.array([found.get(pk, -1) for pk in underlyings], dtype=np.intp)


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
