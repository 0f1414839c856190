"""Tiered margin: brackets of rates on the notional of each position, as exchanges publish them.

    maintenance = notional x rate - deduction of the bracket
    initial     = the same by initial rates, at least notional / leverage

Futures near expiry require a multiple of both. Where the open interest of a contract is great,
initial rates rise to all of the notional: rate + (1 - rate) x rise. Long and short positions may
have schedules of their own. An option sold requires the premium (unless equity already carries it
as a debt) and the rule of naked options; an option bought, its premium. Nothing offsets, and a
position for which there is no schedule is refused.

Axes: A scopes, P positions, I instruments, 5 parts.
"""

from dataclasses import dataclass
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
from margin.engine.models import tiers_tree
from margin.engine.models.tiers_terms import (
    LONG,
    NO_SCHEDULE,
    SHORT,
    Bracket,
    InstrumentKind,
    Schedule,
    Side,
    check_order,
    schedule_places,
    table_of,
)
from margin.engine.naked_option import naked_option_maintenance
from margin.engine.open_interest import interest_rise
from margin.engine.option_equity import beside_premium
from margin.engine.parameters import check_parameters, parameter
from margin.engine.rejected import RejectedInputError

PARTS: Final = ("bracket", "expiry", "open_interest", "leverage", "options")
DAYS_DECIMALS: Final = 6  # 7 days as a share of a year are 7 days again


@dataclass(frozen=True, slots=True)
class OptionTerms:
    """What options held beside brackets require."""

    initial_rate: float = parameter(
        "Initial margin of a short option, less what it is out of the money",
        unit="share of the underlying",
        least=0.0,
        most=1.0,
        is_shock=True,
    )
    maintenance_rate: float = parameter(
        "Maintenance margin of a short option, less what it is out of the money",
        unit="share of the underlying",
        least=0.0,
        most=1.0,
        is_shock=True,
    )
    floor_rate: float = parameter(
        "What a short option requires however far it is out of the money",
        unit="share of the underlying for calls, of the strike for puts",
        least=0.0,
        most=1.0,
        is_shock=True,
    )
    premium_required: bool = parameter(
        "Whether a short option requires its premium too: yes where equity does not deduct it"
    )

    def __post_init__(self) -> None:
        check_parameters(self)

    @property
    def first_rate(self) -> float:
        """The rate at first: initial margin is never below maintenance margin."""
        return max(self.initial_rate, self.maintenance_rate)


@dataclass(frozen=True, slots=True)
class TiersParameters:
    """Schedules, the first that is for a position deciding, and the terms of options."""

    schedules: tuple[Schedule, ...]
    options: OptionTerms

    def __post_init__(self) -> None:
        check_order(self.schedules)


class Terms(NamedTuple):
    """How each of P positions is required.

    Attributes:
        notionals: (P,) size, not negative.
        schedules: (P,) NO_SCHEDULE for options.
        brackets: (P,) bracket reached, from 0.
        multipliers: (P,) 1 but near expiry.
        rises: (P,) how far open interest raises rates, 0 to 1.
        initial, maintenance: (P, 5) parts.
    """

    notionals: Float
    schedules: Index
    brackets: Index
    multipliers: Float
    rises: Float
    initial: Float
    maintenance: Float


class PreparedTiers(Prepared):
    """A market with the schedule of every instrument.

    Attributes:
        places: (I, 2) schedule of long and short positions.
        option_initial, option_maintenance: (I, 2) what one option bought, or sold, requires.
    """

    parts = PARTS

    def __init__(self, market: Market, parameters: TiersParameters) -> None:
        self.market, self.parameters = market, parameters
        self.bindings = market.instruments.names
        self.places = schedule_places(parameters.schedules, market.instruments)
        self.table = table_of(parameters.schedules)
        self.notionals = market.notionals
        self.days = np.round(market.instruments.years * DAYS_PER_YEAR, DAYS_DECIMALS)
        self.option_initial = self._options(parameters.options.first_rate)
        self.option_maintenance = self._options(parameters.options.maintenance_rate)

    def requirement(self, books: Books) -> Requirement:
        terms = self.terms(books.instruments, quantities=books.quantities)
        initial_parts = self._by_scope(terms.initial, books)
        maintenance_parts = self._by_scope(terms.maintenance, books)
        return Requirement(
            initial=in_order(initial_parts),
            maintenance=in_order(maintenance_parts),
            initial_parts=initial_parts,
            maintenance_parts=maintenance_parts,
            binding=_largest(in_order(terms.initial), books),
        )

    def explain(self, books: Books, *, scope: int) -> Explained:
        return tiers_tree.explained(self, one=books.select([scope]))

    def terms(self, instruments: Index, *, quantities: Float) -> Terms:
        """How positions are required, each by itself.

        Raises:
            RejectedInputError: an instrument is not in the market, or has no schedule.
        """
        self._refuse(instruments, quantities)
        side = np.where(quantities < 0, SHORT, LONG)
        schedules = self.places[instruments, side]
        size = np.abs(quantities)
        notionals = size * self.notionals[instruments]
        has_brackets = schedules != NO_SCHEDULE
        brackets = np.zeros(len(instruments), dtype=np.intp)
        multipliers, rises = np.ones(len(instruments)), np.zeros(len(instruments))
        initial, maintenance = np.zeros((2, len(PARTS), len(instruments))).transpose(0, 2, 1)
        rows = np.flatnonzero(has_brackets)
        if len(rows):
            schedule, held = schedules[rows], instruments[rows]
            brackets[rows] = self._brackets(notionals[rows], schedule)
            multipliers[rows] = self._multipliers(held, schedule)
            rises[rows] = interest_rise(
                self.market.open_interests[held],
                lower_cap=self.table.interest_lowers[schedule],
                upper_cap=self.table.interest_uppers[schedule],
            )
            first, kept = self._bracketed(
                notionals[rows], schedule, brackets[rows], multipliers[rows], rises[rows]
            )
            for parts, amounts in ((initial, first), (maintenance, kept)):
                for part, amount in enumerate(amounts):
                    parts[rows, part] = amount
        rows = np.flatnonzero(~has_brackets)
        held = instruments[rows]
        initial[rows, 4] = size[rows] * self.option_initial[held, side[rows]]
        maintenance[rows, 4] = size[rows] * self.option_maintenance[held, side[rows]]
        return Terms(notionals, schedules, brackets, multipliers, rises, initial, maintenance)

    def _bracketed(
        self, notional: Float, schedule: Index, bracket: Index, multiplier: Float, rise: Float
    ) -> tuple[tuple[Float, ...], tuple[Float, ...]]:
        """Initial and maintenance parts (P,) of positions with brackets, in the order of PARTS."""
        table, at = self.table, (schedule, bracket)
        kept = np.maximum(
            notional * table.maintenance_rates[at] - table.maintenance_deductions[at], 0.0
        )
        # Rates are in order; the deductions' last digits need not be.
        first = np.maximum(notional * table.initial_rates[at] - table.initial_deductions[at], kept)
        extra = (multiplier - 1.0) * first
        crowded = rise * np.maximum(notional - (first + extra), 0.0)
        leveraged = multiplier * notional / table.leverages[schedule]
        missing = np.maximum(leveraged - (first + extra + crowded), 0.0)
        return (first, extra, crowded, missing), (kept, (multiplier - 1.0) * kept)

    def _brackets(self, notionals: Float, schedules: Index) -> Index:
        """The last bracket whose floor each position reaches."""
        brackets = np.zeros(len(notionals), dtype=np.intp)
        for floors in self.table.floors[:, 1:].T:
            brackets += notionals >= floors[schedules]
        return brackets

    def _multipliers(self, instruments: Index, schedules: Index) -> Float:
        is_future = self.market.instruments.kinds[instruments] == Kind.FUTURE
        is_near = is_future & (self.days[instruments] <= self.table.expiry_days[schedules])
        multipliers: Float = np.where(is_near, self.table.expiry_multipliers[schedules], 1.0)
        return multipliers

    def _options(self, rate: float) -> Float:
        """(I, 2) what one option bought, and one sold, requires; 0 of anything else."""
        contract, market, terms = self.market.instruments, self.market, self.parameters.options
        required = np.zeros((len(contract), 2))
        rows = np.flatnonzero(contract.is_option)
        required[rows, LONG] = contract.multipliers[rows] * market.prices[rows]
        required[rows, SHORT] = naked_option_maintenance(
            np.ones(len(rows)),
            right=contract.rights[rows],
            strike=contract.strikes[rows],
            premium=market.prices[rows] if terms.premium_required else 0.0,
            underlying=market.spots[contract.underlyings[rows]],
            rate=rate,
            multiplier=contract.multipliers[rows],
            floor_rate=terms.floor_rate,
        )
        return required

    def _refuse(self, instruments: Index, quantities: Float) -> None:
        count = len(self.market.instruments)
        if (instruments >= count).any():
            raise RejectedInputError("positions: one names an instrument that is not there")
        schedules = self.places[instruments, np.where(quantities < 0, SHORT, LONG)]
        is_missing = (schedules == NO_SCHEDULE) & ~self.market.instruments.is_option[instruments]
        if is_missing.any():
            row = int(np.flatnonzero(is_missing)[0])
            side = "short" if quantities[row] < 0 else "long"
            name = self.market.instruments.names[instruments[row]]
            raise RejectedInputError(f"{name}: no schedule is for a {side} position in it")

    def _by_scope(self, parts: Float, books: Books) -> Float:
        """(A, 5) the parts of positions added up by scope, in their order."""
        scopes = books.scopes
        return np.column_stack([added(part, rows=scopes, count=len(books)) for part in parts.T])


def _largest(required: Float, books: Books) -> Index:
    """(A,) the instrument that requires most of each scope, the first of equals."""
    binding = np.full(len(books), NOTHING_BINDS, dtype=np.intp)
    scopes = np.flatnonzero(np.diff(books.starts))
    if len(scopes):
        first = books.starts[scopes]
        most = np.maximum.reduceat(required, first)
        is_most = required == np.repeat(most, np.diff(books.starts)[scopes])
        row = np.minimum.reduceat(np.where(is_most, np.arange(len(required)), len(required)), first)
        binding[scopes] = np.where(most > 0, books.instruments[row], NOTHING_BINDS)
    return binding


def _brackets(*rates: tuple[float, float, float]) -> tuple[Bracket, ...]:
    return tuple(Bracket(floor, initial, maintenance) for floor, initial, maintenance in rates)


def _schedule(
    kind: InstrumentKind,
    *rates: tuple[float, float, float],
    leverage: float,
    side: Side = Side.BOTH,
    near: tuple[float, float] = (0.0, 1.0),
    interest: tuple[float, float] = (0.0, 0.0),
) -> Schedule:
    return Schedule(_brackets(*rates), "", kind, side, leverage, *near, *interest)


STANDARD: Final = TiersParameters(
    schedules=(
        _schedule(
            InstrumentKind.PERPETUAL,
            (0.0, 0.02, 0.01),
            (10_000.0, 0.05, 0.025),
            (50_000.0, 0.10, 0.05),
            (250_000.0, 0.20, 0.10),
            leverage=20.0,
            side=Side.LONG,
            interest=(20e6, 80e6),
        ),
        _schedule(
            InstrumentKind.PERPETUAL,
            (0.0, 0.03, 0.015),
            (10_000.0, 0.06, 0.03),
            (50_000.0, 0.12, 0.06),
            leverage=20.0,
            interest=(20e6, 80e6),
        ),
        _schedule(
            InstrumentKind.FUTURE,
            (0.0, 0.05, 0.03),
            (20_000.0, 0.10, 0.06),
            leverage=15.0,
            near=(7.0, 1.5),
        ),
        _schedule(InstrumentKind.SECURITY, (0.0, 0.50, 0.25), leverage=2.0, side=Side.LONG),
        _schedule(InstrumentKind.SECURITY, (0.0, 0.50, 0.30), leverage=2.0),
        _schedule(InstrumentKind.ANY, (0.0, 0.20, 0.10), (25_000.0, 0.40, 0.20), leverage=5.0),
    ),
    options=OptionTerms(
        initial_rate=0.20, maintenance_rate=0.20, floor_rate=0.10, premium_required=True
    ),
)

MODEL: Final = Model(
    name="tiers",
    version="v1",
    title="Tiered margin",
    parameters=TiersParameters,
    standard=STANDARD,
    prepare=PreparedTiers,
    laws=frozenset({Law.MONOTONE}),
    source="Brackets with deductions: Binance, leverage and margin of USD-M futures. Open interest:"
    " dYdX v4, liquidity tiers. Options: Cboe Margin Manual and FINRA rule 4210(f)(2)(E).",
    breaks={
        Law.SCALE: Counterexample(
            "A position three times as great reaches a bracket with a higher rate.", {"seed": 1}
        ),
        Law.SUBADDITIVE: Counterexample(
            "Two positions in one instrument are small apart and great together.", {"seed": 1}
        ),
    },
    option_equity=lambda said: beside_premium(is_required=said.options.premium_required),
)
