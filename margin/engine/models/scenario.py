"""Scenario margin: what the worst of many scenarios would cost, and contingencies beside it.

Of each netting unit the worst of all scenarios and of the basis of its expiries counts, times a
factor; contingencies for sizes, short options, liquidity, rates, doubted prices and a lost peg
come on top, each as a part of its own.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from scipy.sparse import csr_array

from margin.engine.books import Books
from margin.engine.contingencies import short_options, strike_matrix
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
    WorstColumn,
    in_order,
)
from margin.engine.models.scenario_parameters import STANDARD, Netting, ScenarioParameters
from margin.engine.models.scenario_trees import trees
from margin.engine.option_value import beside_option_value, option_values, with_option_value
from margin.engine.scenario_columns import (
    ScenarioTerms,
    basis_outcome,
    columns_of,
    expiry_rows,
    rate_outcome,
    scenario_outcomes,
)
from margin.engine.scenario_market import Options
from margin.engine.units import Units, in_pieces, largest_of_each, sums, units_of
from margin.engine.worst import worst_losses

PARTS: Final = (
    "scenario_loss",
    "basis",
    "perpetual",
    "future",
    "option",
    "liquidity",
    "interest_rate",
    "confidence",
    "peg",
    "option_value",
)
BASIS: Final = "basis"
CONTINGENCIES: Final = "contingencies"


class Losses(NamedTuple):
    """The worst of each netting unit; N rows, a scope and a unit each.

    Attributes:
        held: positions by expiry within each unit.
        rows: (expiries held) the row of each.
        scopes, units: (N,).
        outcomes: (N,) the scenario that is worst; the number of scenarios for the basis.
        gains: (P,) what each position gains in it.
        amounts: (N,) the loss, from 0: what its positions gain, added in their order.
    """

    held: Units
    rows: Index
    scopes: Index
    units: Index
    outcomes: Index
    gains: Float
    amounts: Float


class Contingencies(NamedTuple):
    """What contingencies are reckoned on, (A,) each and from 0.

    Attributes:
        perpetual, future: notional.
        short: spot value of options net short at a strike.
        liquidity: what large positions ask.
        rate: loss when all interest rates move.
        doubt: what doubted prices ask.
    """

    perpetual: Float
    future: Float
    short: Float
    liquidity: Float
    rate: Float
    doubt: Float


class PreparedScenario(Prepared):
    """A market with what one contract gains in every scenario.

    Attributes:
        scenarios: names, in the order of the columns.
        columns: by scenario, the basis last.
        expiries: what is netted by itself.
        rates: (I, 3) notional that perpetuals, futures and doubt are reckoned on, per contract.
        rate_columns: of all interest rates moving together.
        strikes: (I, strikes) spot value of a contract at its expiry and strike.
        maintenance_rates, initial_rates: what each of the first nine parts is multiplied by.
    """

    parts = PARTS

    def __init__(self, market: Market, parameters: ScenarioParameters) -> None:
        self.market, self.parameters = market, parameters
        contract, basis = market.instruments, parameters.basis
        self.scenarios = tuple(each.name for each in parameters.scenarios)
        self.bindings = (*self.scenarios, BASIS, CONTINGENCIES)
        terms = ScenarioTerms(
            parameters.grid,
            parameters.spot_moves(market),
            parameters.volatility,
            parameters.skew,
            parameters.discount,
            parameters.days_passed / DAYS_PER_YEAR,
        )
        outcomes = scenario_outcomes(market, terms=terms)
        shares = basis.base + basis.per_year * contract.years
        alone = basis_outcome(market, up=basis.spot_up, down=basis.spot_down, shares=shares)
        self.scenario_columns = columns_of(outcomes)
        self.columns = columns_of([*outcomes, alone])
        self.basis_columns = columns_of([alone])
        together = parameters.netting is Netting.ALL_TOGETHER
        self.unit_of = np.zeros(len(contract), np.intp) if together else contract.underlyings
        self.unit_names = ("all underlyings",) if together else market.underlyings
        self.expiries = expiry_rows(market, unit_of=self.unit_of)
        self.rate_columns = columns_of([rate_outcome(market, move=parameters.rate_move)])
        self.rates = self._rates()
        self.strikes = self._strikes()
        self.option_values = option_values(market)
        self.peg_addition = parameters.peg_addition(market)
        size, factor = parameters.contingencies, parameters.maintenance_factor
        self.maintenance_rates = np.array(
            [factor, factor, size.perpetual, size.future, size.option, 1.0, 1.0, 0.0, 0.0]
        )
        self.initial_rates = np.array(
            [
                parameters.initial_factor,
                parameters.initial_factor,
                size.perpetual + size.initial_perpetual,
                size.future + size.initial_future,
                size.option + size.initial_option,
                1.0,
                1.0,
                1.0,
                self.peg_addition,
            ]
        )

    def requirement(self, books: Books) -> Requirement:
        books.require(instruments=len(self.market.instruments))
        return in_pieces(books, self._requirement)

    def explain(self, books: Books, *, scope: int) -> Explained:
        one = books.select([scope])
        return trees(self, one, losses=self.losses(one), said=self.requirement(one))

    def worst(self, books: Books, *, scope: int) -> tuple[WorstColumn, ...]:
        found = self.losses(books.select([scope]))
        units = found.rows[found.held.books.scopes]
        instruments = found.held.books.instruments
        names = self.market.instruments.names
        return tuple(
            WorstColumn(
                self.unit_names[unit],
                self.bindings[outcome],
                outcome,
                tuple(
                    (names[instruments[place]], float(found.gains[place]))
                    for place in np.flatnonzero(units == number).tolist()
                ),
            )
            for number, (unit, outcome) in enumerate(
                zip(found.units.tolist(), found.outcomes.tolist(), strict=True)
            )
        )

    def of_columns(self, books: Books, *, scope: int, columns: Sequence[int]) -> Requirement:
        one = books.select([scope])
        return self._required(one, self.losses(one, outcome=np.asarray(columns, dtype=np.intp)))

    def losses(self, books: Books, *, outcome: int | Index | None = None) -> Losses:
        """What each position gains in the worst scenario of its netting unit, or in a given one.

        Args:
            outcome: a scenario, or the basis after the last of them, for all units alike or one
                for each; the worst if None.
        """
        held = units_of(books, unit_of=self.expiries.numbers)
        units = self.expiries.units[held.units]
        first, rows = _runs(held.scopes, units)
        if outcome is None:
            outcomes = self._worst(books, held, rows)
        else:
            outcomes = np.broadcast_to(np.asarray(outcome, dtype=np.intp), len(first)).copy()
        gains = self.columns.position_gains(held, outcomes=outcomes[rows])
        total = sums(gains, groups=rows[held.books.scopes], count=len(first))
        return Losses(
            held, rows, held.scopes[first], units[first], outcomes, gains, np.maximum(-total, 0.0)
        )

    def contingencies(self, books: Books) -> Contingencies:
        """What contingencies are reckoned on."""
        count, sizes = len(books), np.abs(books.quantities)
        perpetual, future, doubt = (
            sums(sizes * rate[books.instruments], groups=books.scopes, count=count)
            for rate in self.rates.T
        )
        moved = self.rate_columns.of(Units(books, np.arange(count), np.arange(count)))
        held = books.matrix(instruments=len(self.market.instruments))
        large, whose, _ = self.large_positions(books)
        return Contingencies(
            perpetual=perpetual,
            future=future,
            short=short_options(held, strikes=self.strikes),
            liquidity=sums(large, groups=whose, count=count),
            rate=0.0 - moved[:, 0],
            doubt=doubt,
        )

    def large_positions(self, books: Books) -> tuple[Float, Index, Index]:
        """What each scope's underlyings ask for their size, with scope and underlying of each."""
        market, terms = self.market, self.parameters.liquidity
        units = units_of(books, unit_of=market.instruments.underlyings)
        held = units.books
        gross = units.per_row(np.abs(held.quantities) * market.notionals[held.instruments])
        free = terms.volume_share * market.daily_volumes[units.units]
        return terms.rate * np.maximum(gross - free, 0.0), units.scopes, units.units

    def _worst(self, books: Books, held: Units, rows: Index) -> Index:
        """(N,) the worst outcome of each unit, the first of equals."""
        basis = len(self.scenarios)
        if not self.scenario_columns.is_linear:
            worst: Index = _added(self.columns.of(held), rows).argmin(axis=1)
            return worst
        units = units_of(books, unit_of=self.unit_of)
        lowest, which = worst_losses(units.books, profits=self.scenario_columns.gains)
        alone = _added(self.basis_columns.of(held), rows)[:, 0]
        return np.where(alone < lowest, basis, which)

    def _requirement(self, books: Books) -> Requirement:
        return self._required(books, self.losses(books))

    def _required(self, books: Books, losses: Losses) -> Requirement:
        count = len(books)
        is_basis = losses.outcomes == len(self.scenarios)
        by_scenario, by_basis = (
            sums(np.where(chosen, losses.amounts, 0.0), groups=losses.scopes, count=count)
            for chosen in (~is_basis, is_basis)
        )
        reckoned = np.column_stack(
            [by_scenario, by_basis, *self.contingencies(books), by_scenario + by_basis]
        )
        held_values = books.quantities * self.option_values[books.instruments]
        values = sums(held_values, groups=books.scopes, count=count)
        initial_parts, maintenance_parts = (
            with_option_value(reckoned * rates, values=values, counts=self.parameters.option_value)
            for rates in (self.initial_rates, self.maintenance_rates)
        )
        initial = in_order(initial_parts)
        return Requirement(
            initial=initial,
            maintenance=in_order(maintenance_parts),
            initial_parts=initial_parts,
            maintenance_parts=maintenance_parts,
            binding=np.where(initial > 0, self._binding(losses, count), NOTHING_BINDS),
        )

    def _binding(self, losses: Losses, count: int) -> Index:
        """(A,) the worst outcome of the unit that loses most, the first of equals."""
        binding = np.full(count, self.bindings.index(CONTINGENCIES), dtype=np.intp)
        scopes, largest = largest_of_each(losses.scopes, losses.amounts)
        loses = losses.amounts[largest] > 0
        binding[scopes[loses]] = losses.outcomes[largest[loses]]
        return binding

    def _rates(self) -> Float:
        """(I, 3) as `rates`."""
        kinds, notionals = self.market.instruments.kinds, self.market.notionals
        doubt = notionals * self.parameters.confidence.cost(self.market.confidences)
        perpetual, future = (
            np.where(kinds == kind, notionals, 0.0) for kind in (Kind.PERPETUAL, Kind.FUTURE)
        )
        return np.column_stack([perpetual, future, doubt])

    def _strikes(self) -> csr_array:
        """(I, strikes) as `strikes`."""
        contract = self.market.instruments
        places = np.flatnonzero(contract.is_option)
        options = Options(
            self.expiries.numbers[places],
            contract.strikes[places],
            contract.rights[places] > 0,
            self.market.volatilities[places],
        )
        ones = strike_matrix(options).tocoo()
        rows = places[ones.coords[0]]
        values = ones.data * self.market.notionals[rows]
        return csr_array((values, (rows, ones.coords[1])), shape=(len(contract), ones.shape[1]))


def _runs(*keys: Index) -> tuple[Index, Index]:
    """Where runs of equal keys begin, and the number of the run of each row."""
    is_first = np.zeros(len(keys[0]), dtype=bool)
    for key in keys:
        is_first |= np.diff(key, prepend=-1) != 0
    return np.flatnonzero(is_first), np.cumsum(is_first) - 1


def _added(amounts: Float, rows: Index) -> Float:
    """(N, K) the amounts (.., K) of each run of rows, added in their order."""
    count = int(rows[-1]) + 1 if len(rows) else 0
    starts = np.searchsorted(rows, np.arange(count + 1))
    ones = csr_array((np.ones(len(rows)), np.arange(len(rows)), starts), shape=(count, len(rows)))
    added: Float = ones @ amounts
    return added


MODEL: Final = Model(
    name="scenario",
    version="v1",
    title="Scenario margin of portfolios",
    parameters=ScenarioParameters,
    standard=STANDARD,
    prepare=PreparedScenario,
    laws=frozenset({Law.MONOTONE}),
    breaks={
        Law.SCALE: Counterexample(
            "What a position asks for its size grows faster than the position: up to a share of"
            " what is traded on a day it asks nothing.",
            {"seed": 28, "scopes": 4, "positions_most": 2},
        ),
        Law.SUBADDITIVE: Counterexample(
            "Two positions that are each small beside what is traded on a day are large together.",
            {"seed": 28, "scopes": 4, "positions_most": 2},
        ),
    },
    source="The published scenario margin of a crypto exchange (`scenario_portfolio`), for any"
    " market: a static discount counts the worse of asset and debt, a skew the worse of both ways.",
    option_equity=lambda said: beside_option_value(said.option_value),
)
