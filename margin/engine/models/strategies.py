"""Strategy margin: shares and listed options by Regulation T and the rules of exchanges.

Shares require rates of their price, short ones at least so much a share. The options of an
underlying are grouped in the cheapest legal way, into spreads, pairs, options covered by shares
and single options, and each group requires what the rules say; the same at first and later on.
Nothing offsets across underlyings, nor between contracts of different sizes, and shares cover
contracts of one size. Positions of other kinds, and parts of contracts, are refused by name.

Requirements are those of the rules: equity counts shares at their price, less those sold short.
Where equity also deducts what options sold are worth, as it has to where they are spread or
covered, the parameters say so, and options sold alone do not require their premium besides.

Groups are found one by one (an integer programme each); equal ones once. Axes: A scopes,
P positions, I instruments, U underlyings.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np

from margin.engine.books import Books
from margin.engine.combination import added
from margin.engine.given import Float
from margin.engine.market import DAYS_PER_YEAR, Index, Kind, Market
from margin.engine.model import (
    NOTHING_BINDS,
    Counterexample,
    Explained,
    Law,
    Model,
    Prepared,
    Requirement,
    in_order,
)
from margin.engine.models import strategies_tree
from margin.engine.models.strategies_terms import (
    StrategiesParameters,
    share_rates,
)
from margin.engine.rejected import RejectedInputError
from margin.engine.strategies import Account, Book, ShareLots, strategy_requirement
from margin.engine.strategy_grouping import OptionLegs
from margin.engine.strategy_names import StrategyGroup

PARTS: Final = ("shares", "options")
KINDS: Final = frozenset({Kind.SECURITY, Kind.OPTION})
GROUPINGS_KEPT: Final = 50_000


class Listed(NamedTuple):
    """Options of one size on one underlying, and the shares that may cover them.

    Attributes:
        underlying: index.
        units: of the underlying in one contract.
        lots: how many contracts the shares held cover, signed as the shares are.
        instruments: ascending.
        contracts: signed, one for each.
    """

    underlying: int
    units: float
    lots: int
    instruments: tuple[int, ...]
    contracts: tuple[int, ...]


class PreparedStrategies(Prepared):
    """A market with what each share requires; groupings are found when they are asked for.

    Attributes:
        rates: of one unit of every share.
        days: (I,) whole days to expiry.
    """

    parts = PARTS

    def __init__(self, market: Market, parameters: StrategiesParameters) -> None:
        self.market, self.parameters = market, parameters
        self.bindings = market.underlyings
        self.rates = share_rates(market, parameters)
        self.days = np.rint(market.instruments.years * DAYS_PER_YEAR).astype(np.int64)
        self.groups = lru_cache(maxsize=GROUPINGS_KEPT)(self._groups)

    def requirement(self, books: Books) -> Requirement:
        self._refuse(books)
        side = (books.quantities < 0).astype(np.intp)
        size, at = np.abs(books.quantities), (books.instruments, side)
        initial, maintenance = size * self.rates.initial[at], size * self.rates.maintenance[at]
        underlyings = self.market.instruments.underlyings[books.instruments]
        options = [
            (scope, listed.underlying, listed.units * amount)
            for scope, listed in self.listed(books)
            for amount in [sum(group.requirement for group in self.groups(listed))]
        ]
        scopes = np.array([scope for scope, _, _ in options], dtype=np.intp)
        amounts = np.array([amount for _, _, amount in options], dtype=np.float64)
        carried = added(amounts, rows=scopes, count=len(books))
        first, kept = (
            np.column_stack([added(shares, rows=books.scopes, count=len(books)), carried])
            for shares in (initial, maintenance)
        )
        total = in_order(first)
        assets = np.array([asset for _, asset, _ in options], dtype=np.intp)
        largest = self._largest(
            len(books),
            scopes=np.concatenate([books.scopes, scopes]),
            underlyings=np.concatenate([underlyings, assets]),
            amounts=np.concatenate([initial, amounts]),
        )
        return Requirement(
            initial=total,
            maintenance=in_order(kept),
            initial_parts=first,
            maintenance_parts=kept,
            binding=np.where(total > 0, largest, NOTHING_BINDS),
        )

    def explain(self, books: Books, *, scope: int) -> Explained:
        return strategies_tree.explained(self, one=books.select([scope]))

    def listed(self, books: Books) -> Iterator[tuple[int, Listed]]:
        """Scope by scope what is grouped as one: options of one size on one underlying."""
        contract = self.market.instruments
        is_option = contract.is_option[books.instruments]
        scopes, count = books.scopes, len(self.market.underlyings)
        key = scopes * count + contract.underlyings[books.instruments]
        held: Float = np.where(
            is_option, 0.0, books.quantities * contract.multipliers[books.instruments]
        )
        cells, place = np.unique(key, return_inverse=True)
        shares = added(held, rows=place, count=len(cells))
        units = contract.multipliers[books.instruments]
        rows = np.flatnonzero(is_option)
        rows = rows[np.lexsort((books.instruments[rows], units[rows], key[rows]))]
        is_first = (np.diff(key[rows], prepend=-1) != 0) | (np.diff(units[rows], prepend=-1) != 0)
        for mine in np.split(rows, np.flatnonzero(is_first)[1:]) if len(rows) else ():
            row = int(mine[0])
            yield (
                int(scopes[row]),
                Listed(
                    underlying=int(key[row] % count),
                    units=float(units[row]),
                    lots=self._lots(float(shares[place[row]]), units=float(units[row])),
                    instruments=tuple(int(each) for each in books.instruments[mine]),
                    contracts=tuple(int(each) for each in books.quantities[mine]),
                ),
            )

    def _lots(self, shares: float, *, units: float) -> int:
        """Contracts that shares may cover, signed as the shares."""
        if units != self.parameters.cover_units:
            return 0
        lots = int(abs(shares) // units)
        return lots if shares > 0 else -lots

    def _groups(self, listed: Listed) -> tuple[StrategyGroup, ...]:
        """The cheapest grouping, its requirements for contracts of one unit.

        Shares are given in contracts and at no price: here they only cover.
        """
        contract, places = self.market.instruments, np.array(listed.instruments)
        name = self.market.underlyings[listed.underlying]
        spot = float(self.market.spots[listed.underlying])
        lots = np.array([listed.lots] if listed.lots else [], dtype=np.float64)
        book = Book(
            underlying=self.parameters.underlying(name, price=spot),
            options=OptionLegs(
                is_call=contract.rights[places] > 0,
                strike=contract.strikes[places],
                premium=self.market.prices[places],
                contracts=np.array(listed.contracts, dtype=np.int64),
                expires_in_days=self.days[places],
            ),
            shares=ShareLots(price=np.zeros(len(lots)), quantity=lots),
            multiplier=1,
        )
        try:
            found = strategy_requirement(
                book,
                account=Account.MARGIN,
                premium_required=self.parameters.premium_required,
            )
        except RejectedInputError as refused:
            raise RejectedInputError(f"{name}: {refused}") from refused
        assert found is not None, "a margin account carries every book"
        return found.groups

    def _largest(self, count: int, *, scopes: Index, underlyings: Index, amounts: Float) -> Index:
        """(A,) the underlying that requires most of each scope, the first of equals."""
        width = len(self.market.underlyings)
        cells, place = np.unique(scopes * width + underlyings, return_inverse=True)
        totals = added(amounts, rows=place, count=len(cells))
        # Greatest first within a scope, then by place; the first row of a scope is its answer.
        order = np.lexsort((cells, -totals, cells // width))
        scope = cells[order] // width
        is_first = np.diff(scope, prepend=-1) != 0
        largest = np.full(count, NOTHING_BINDS, dtype=np.intp)
        largest[scope[is_first]] = cells[order][is_first] % width
        return largest

    def _refuse(self, books: Books) -> None:
        contract = self.market.instruments
        books.require(instruments=len(contract))
        kinds = contract.kinds[books.instruments]
        is_part = (kinds == Kind.OPTION) & (books.quantities != np.rint(books.quantities))
        for refused, why in (
            (~np.isin(kinds, [int(kind) for kind in KINDS]), "is neither a share nor an option"),
            (is_part, "options are held in whole contracts"),
        ):
            if refused.any():
                name = contract.names[books.instruments[refused][0]]
                raise RejectedInputError(f"{name}: {why}")


MODEL: Final = Model(
    name="strategies",
    version="v1",
    title="Strategy margin",
    parameters=StrategiesParameters,
    standard=StrategiesParameters(
        underlyings=(),
        initial_rate=0.50,
        long_rate=0.25,
        short_rate=0.30,
        short_least=5.00,
        low_price=5.00,
        low_short_rate=1.00,
        low_short_least=2.50,
        cover_units=100.0,
        premium_required=True,
    ),
    prepare=PreparedStrategies,
    laws=frozenset({Law.MONOTONE}),
    source="Regulation T, 12 CFR 220.12; FINRA rule 4210(c) (shares) and (f)(2) (options); Cboe"
    " Margin Manual.",
    breaks={
        Law.SCALE: Counterexample(
            "Shares that cover no whole contract once do so three times over.", {"seed": 27}
        ),
        Law.SUBADDITIVE: Counterexample(
            "Options bought in one book close those sold in the other, and what was spread against"
            " them is left uncovered: it then requires its premium, of which a spread is net.",
            {"seed": 44},
        ),
    },
    kinds=KINDS,
    whole_contracts=True,
)
