"""Rows of a run as the arrays of portfolio models: the one place where decimals become floats."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np

from ledger.models import Asset, AssetKind
from margin.book.held import Holding
from margin.book.market_data import MarketData
from margin.book.rows import BASE, ReadInputs
from margin.engine.books import Books, books_of
from margin.engine.exact import exact
from margin.engine.given import Float
from margin.engine.market import DAYS_PER_YEAR, Flag, Index, Instruments, Kind, Market
from margin.engine.past import Past
from margin.engine.rejected import RejectedInputError
from margin.engine.surface import Surface
from margin.models import Contract, MarginRun, Mark

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
        confidences: (I,) how far each mark is trusted.
        carried: rates, forwards, volatilities, and where these rest on no good quote, (I,) each,
            by the price (I,) of what an instrument is written on.
        returns, daily_volatilities: (T, U) and (U,), of the days that all have in common; nothing
            where each scope has its own.
        past: what each scope's own days are taken from; none for runs of before.
        daily_volumes: (U,); open_interests: (I,).
    """

    places: Mapping[str, int]
    instruments: Instruments
    underlyings: tuple[str, ...]
    marks: Float
    spot_rows: Index
    confidences: Float
    carried: Callable[[Float], tuple[Float, Float, Float, Flag]]
    returns: Float
    daily_volatilities: Float
    daily_volumes: Float
    open_interests: Float
    past: Past | None

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
        contract, marks, confidences = self.instruments, self.marks.copy(), self.confidences.copy()
        for code, price in prices.items():
            if code in self.places:
                marks[self.places[code]], confidences[self.places[code]] = price, 1.0
        spots = np.where(self.spot_rows < 0, np.nan, np.append(marks, np.nan)[self.spot_rows])
        rates, forwards, deviations, is_flagged = self.carried(spots[contract.underlyings])
        for code, volatility in volatilities.items():
            if code in self.places:
                deviations[self.places[code]], is_flagged[self.places[code]] = volatility, False
        return Market(
            instruments=contract,
            underlyings=self.underlyings,
            spots=spots,
            prices=marks,
            forwards=np.where(contract.kinds == Kind.FUTURE, marks, forwards),
            volatilities=deviations,
            rates=rates,
            confidences=np.where(is_flagged, 0.0, confidences),
            daily_volatilities=self.daily_volatilities,
            daily_volumes=self.daily_volumes,
            open_interests=self.open_interests,
            returns=self.returns,
        )


def market_rows(read: ReadInputs) -> MarketRows:
    """What the scopes that a model is asked about hold, by code, at the marks of the run.

    With it comes what that is written on, and nothing else: an asset that nobody holds who is
    margined or watched by a model cannot keep it from its answer. Where they hold money alone,
    everything with a mark. What has no price of its own is priced by, and has the past of, the
    first contract written on it.

    A forward is the mark of a future, of options the price of the underlying carried by the curve
    of their currency, and that price itself for anything else. Where nobody quotes the volatility
    of an option its own price implies it, or else the rules assume one, which is not trusted.
    Nothing else is assumed where nothing is known: rates, volumes and open interest are 0, and a
    model that needs more refuses. What is worth nothing or less is left out, but for options.

    Raises:
        RejectedInputError: an instrument cannot be what it says.
    """
    rows, data = list(_rows(read)), read.market or MarketData(read.as_of)
    codes = {asset.pk: asset.code for asset in read.assets.values()}
    underlyings = sorted({row.underlying for row in rows}, key=lambda pk: codes[pk])
    spot_rows = _spot_rows(rows, underlyings)
    if read.days == MarginRun.Days.COMMON:
        past, returns = None, read.closes.returns(underlyings)
    else:
        priced = [rows[n].asset.pk for n in spot_rows.tolist() if n >= 0]
        past, returns = read.closes.past(priced), np.zeros((0, len(underlyings)))
    return MarketRows(
        places={row.asset.code: n for n, row in enumerate(rows)},
        instruments=_instruments(rows, underlyings),
        underlyings=tuple(codes[pk] for pk in underlyings),
        marks=np.array([row.price for row in rows], dtype=np.float64),
        spot_rows=spot_rows,
        confidences=np.array([_confidence_in(read, row.asset) for row in rows], dtype=np.float64),
        carried=partial(_carried, read, rows, data),
        daily_volumes=np.array([data.volumes.get(pk, 0.0) for pk in underlyings]),
        open_interests=np.array([data.open_interests.get(row.asset.pk, 0.0) for row in rows]),
        returns=returns,
        daily_volatilities=returns.std(axis=0) if len(returns) else np.zeros(len(underlyings)),
        past=past,
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
            continue
        option = read.options.get(rows[n].asset.pk)
        if option is not None and option.volatility is not None:
            volatilities[n], is_flagged[n] = option.volatility
    return rates, forwards, volatilities, is_flagged


def _confidence_in(read: ReadInputs, asset: Asset) -> float:
    """How far the price of an asset is trusted; an option without a mark of its own not at all."""
    option = read.options.get(asset.pk)
    if option is not None and not option.is_own:
        return 0.0
    return _confidence(read.marks[asset.pk])


def _confidence(mark: Mark) -> float:
    """How far a mark is trusted: what its rules say, and not at all where it is not composed."""
    if mark.state not in (Mark.State.VALID, Mark.State.MARKET_CLOSED):
        return 0.0
    return 1.0 if mark.confidence is None else float(mark.confidence)


def books_of_scopes(read: ReadInputs, *, market: Market, places: Sequence[int]) -> Books:
    """What these scopes of the run hold, in their order.

    Money in the currency less loans is cash; other money is held as what it is. What several
    members of a group hold of an asset is added before it becomes a float.
    """
    scope = {place: n for n, place in enumerate(places)}
    column = {name: n for n, name in enumerate(market.instruments.names)}
    cash = np.zeros(len(places))
    rows: list[tuple[int, int, float]] = []
    for (place, asset), amount in _added(scope, read.claims, read.positions).items():
        code = read.assets[asset].code
        if code == BASE:
            cash[scope[place]] += float(amount)
        elif code not in column:
            raise RejectedInputError(f"prices: {code} is worth nothing or less")
        else:
            rows.append((scope[place], column[code], float(amount)))
    for (place, _), amount in _added(scope, read.loans).items():
        cash[scope[place]] -= float(amount)
    return books_of(
        scopes=[row[0] for row in rows],
        instruments=[row[1] for row in rows],
        quantities=[row[2] for row in rows],
        cash=cash,
    )


def _added(scopes: Collection[int], *held: Sequence[Holding]) -> dict[tuple[int, int], Decimal]:
    """What scopes hold, by place and asset, in the order in which it comes first."""
    found: dict[tuple[int, int], Decimal] = {}
    with exact():
        for row in (row for rows in held for row in rows if row.scope in scopes):
            key = row.scope, row.asset_id
            found[key] = found[key] + row.amount if key in found else row.amount
    return found


def _rows(read: ReadInputs) -> "list[Row]":
    wanted = _held_by_models(read)
    priced = sorted(
        (
            asset
            for pk, asset in read.assets.items()
            if _price(read, asset) is not None
            and asset.code != BASE
            and (not wanted or pk in wanted)
        ),
        key=lambda asset: asset.code,
    )
    return [_row(read, asset) for asset in priced]


def _price(read: ReadInputs, asset: Asset) -> float | None:
    """What one of an asset is worth; None where nothing says, or nothing or less.

    An option may be worth nothing. One that nobody here holds has no price.
    """
    if asset.is_option:
        option = read.options.get(asset.pk)
        return None if option is None else float(option.middle)
    mark = read.marks.get(asset.pk)
    return None if mark is None or mark.price <= 0 else float(mark.price)


def _held_by_models(read: ReadInputs) -> set[int]:
    """Assets in scopes under a model, in all where one is watched, and what they are written on.

    Of a run that is only thought of, whose scopes are not read, they are listed.
    """
    is_watched = bool(read.shadows)
    wanted = set(read.asked) | {
        held.asset_id
        for held in (*read.claims, *read.positions)
        if (is_watched or read.scopes[held.scope].model_key is not None)
        and read.assets[held.asset_id].code != BASE
    }
    left = set(wanted)
    while left:
        contracts = (read.contracts.get(pk) for pk in left)
        beneath = {contract.underlying_id for contract in contracts if contract is not None}
        left = beneath - wanted
        wanted |= left
    return wanted if read.days == MarginRun.Days.COMMON else wanted | _bearers(read, wanted)


def _bearers(read: ReadInputs, wanted: set[int]) -> set[int]:
    """The first contract on each of them that has no price of its own, whoever holds which."""
    first: dict[int, Asset] = {}
    for pk, contract in read.contracts.items():
        beneath, asset = contract.underlying_id, read.assets[pk]
        if beneath not in wanted or asset.is_option or _price(read, asset) is None:
            continue
        if _price(read, read.assets[beneath]) is None:
            known = first.get(beneath)
            first[beneath] = asset if known is None or asset.code < known.code else known
    return {asset.pk for asset in first.values()}


def _row(read: ReadInputs, asset: Asset) -> Row:
    contract, price = read.contracts.get(asset.pk), _price(read, asset)
    assert price is not None, "only what has a price is a row"
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
