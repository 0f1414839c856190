"""Risk arrays: the worst of sixteen scenarios of each underlying, with charges and credits.

Of each underlying: scan risk + calendar spread charge - credits against other underlyings, and at
least the minimum for its short options. The requirement is the sum of these, less option value
where the firm lets it count; initial margin is that times a ratio.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from margin.engine.books import Books
from margin.engine.given import Float
from margin.engine.greeks import delta_values
from margin.engine.market import DAYS_PER_YEAR, Index, Market
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
from margin.engine.models.risk_array_parameters import STANDARD, RiskArrayParameters
from margin.engine.models.risk_array_trees import trees
from margin.engine.option_value import beside_option_value, option_values, with_option_value
from margin.engine.risk_arrays import (
    SCAN_NAMES,
    CommodityPair,
    Legs,
    ScanRisk,
    ScanTerms,
    TierPair,
    calendar_charges,
    commodity_credits,
    scan_arrays,
    scan_risks,
)
from margin.engine.units import Units, in_pieces, largest_of_each, sums, units_of

PARTS: Final = (
    "scan_risk",
    "calendar_spreads",
    "commodity_credits",
    "short_option_minimum",
    "option_value",
)
BINDINGS: Final = (*SCAN_NAMES, "short_option_minimum", "option_value")


class Figures(NamedTuple):
    """What each scope's underlyings come to; N rows, a scope and an underlying each.

    Attributes:
        legs: scope, underlying, delta and scan risk of each row.
        scenarios: (N,) the worst of the sixteen.
        calendar: (N, pairs of tiers) charges.
        credits: (N, pairs of underlyings) given back.
        minimum: (N,) for short options.
        charges: (N,) scan risk + calendar charges - credits.
    """

    legs: Legs
    scenarios: Index
    calendar: Float
    credits: Float
    minimum: Float
    charges: Float

    @property
    def lifts(self) -> Float:
        """(N,) what the minimum asks on top of the charges."""
        missing: Float = np.maximum(self.minimum - self.charges, 0.0)
        return missing

    @property
    def credited(self) -> Float:
        """(N,) all credits of a row, not above its scan risk."""
        all_of_them: Float = np.minimum(in_order(self.credits), self.legs.charged)
        return all_of_them


class PreparedRiskArrays(Prepared):
    """A market with the risk arrays of one contract of everything.

    Attributes:
        arrays: (16, I) what one contract earns.
        deltas: (I,) settlement currency per 1.00 of relative move of the underlying.
        tiers: (I,) of expiry, from 0.
        short_minima: (I,) what one contract short asks at least; 0 of what is no option.
        option_values: (I,) market value of one contract.
        pairs: credits between underlyings that the market has.
        written_pairs: the place of each among the parameters.
    """

    parts = PARTS
    bindings = BINDINGS

    def __init__(self, market: Market, parameters: RiskArrayParameters) -> None:
        self.market, self.parameters = market, parameters
        contract = market.instruments
        terms = parameters.terms_of(market.underlyings)
        self.price_ranges = np.array([each.price_range for each in terms])
        self.arrays = scan_arrays(
            market,
            terms=ScanTerms(
                self.price_ranges,
                np.array([each.volatility_range for each in terms]),
                parameters.extreme_multiple,
                parameters.extreme_cover,
                parameters.look_ahead_days / DAYS_PER_YEAR,
            ),
        )
        self.deltas = delta_values(market)
        self.tiers = parameters.tiers(contract.years)
        self.tier_pairs = [
            TierPair(each.near - 1, each.far - 1, each.multiple) for each in parameters.calendar
        ]
        self.spread_rates = np.array([each.spread_rate for each in terms])
        place = {name: index for index, name in enumerate(market.underlyings)}
        self.written_pairs = [
            written
            for written, each in enumerate(parameters.credits)
            if each.first in place and each.second in place
        ]
        self.pairs = [
            CommodityPair(place[each.first], place[each.second], each.delta_ratio, each.credit)
            for each in (parameters.credits[written] for written in self.written_pairs)
        ]
        minima = np.array([each.short_minimum for each in terms])[contract.underlyings]
        self.short_minima: Float = np.where(contract.is_option, minima * market.notionals, 0.0)
        self.option_values = option_values(market)

    def requirement(self, books: Books) -> Requirement:
        books.require(instruments=len(self.market.instruments))
        return in_pieces(books, self._requirement)

    def explain(self, books: Books, *, scope: int) -> Explained:
        one = books.select([scope])
        return trees(self, one, figures=self.figures(one), said=self.requirement(one))

    def worst(self, books: Books, *, scope: int) -> tuple[WorstColumn, ...]:
        units = units_of(books.select([scope]), unit_of=self.market.instruments.underlyings)
        names, found = self.market.instruments.names, scan_risks(units.books, arrays=self.arrays)
        columns = []
        for row, (unit, column) in enumerate(
            zip(units.units.tolist(), found.scenario.tolist(), strict=True)
        ):
            held, quantities = units.books.of(row)
            gains = quantities * self.arrays[column, held]
            said = zip((names[n] for n in held.tolist()), gains.tolist(), strict=True)
            name = self.market.underlyings[unit]
            columns.append(WorstColumn(name, SCAN_NAMES[column], column, tuple(said)))
        return tuple(columns)

    def of_columns(self, books: Books, *, scope: int, columns: Sequence[int]) -> Requirement:
        return self._requirement(books.select([scope]), columns)

    def _scan(self, held: Books, columns: Sequence[int] | None) -> ScanRisk:
        """The scan risk of all sixteen scenarios, or of one for each row."""
        if columns is None:
            return scan_risks(held, arrays=self.arrays)
        amounts = [
            float(scan_risks(held.select([row]), arrays=self.arrays[[column]]).amount[0])
            for row, column in enumerate(columns)
        ]
        return ScanRisk(np.array(amounts, dtype=np.float64), np.array(columns, dtype=np.intp))

    def figures(self, books: Books, *, columns: Sequence[int] | None = None) -> Figures:
        """Everything of each scope's underlyings, before it is added up.

        Args:
            columns: the scenario of each underlying; the worst if None.
        """
        units = units_of(books, unit_of=self.market.instruments.underlyings)
        scan = self._scan(units.books, columns)
        by_tier = self._tier_deltas(units)
        legs = Legs(
            scopes=units.scopes,
            underlyings=units.units,
            deltas=in_order(by_tier),
            price_ranges=self.price_ranges[units.units],
            charged=scan.amount,
        )
        calendar = calendar_charges(
            by_tier, pairs=self.tier_pairs, rates=self.spread_rates[units.units]
        )
        credits_ = commodity_credits(legs, pairs=self.pairs)
        held = units.books
        shorts = np.maximum(-held.quantities, 0.0) * self.short_minima[held.instruments]
        found = Figures(legs, scan.scenario, calendar, credits_, units.per_row(shorts), scan.amount)
        return found._replace(charges=scan.amount + in_order(calendar) - found.credited)

    def _tier_deltas(self, units: Units) -> Float:
        """(N, T) net delta of each tier of expiry."""
        held, tiers = units.books, self.parameters.tier_count
        return sums(
            held.quantities * self.deltas[held.instruments],
            groups=held.scopes * tiers + self.tiers[held.instruments],
            count=len(units.scopes) * tiers,
        ).reshape(-1, tiers)

    def _requirement(self, books: Books, columns: Sequence[int] | None = None) -> Requirement:
        found, ratio = self.figures(books, columns=columns), self.parameters.initial_ratio
        legs, scopes = found.legs, len(books)
        charged = (legs.charged, in_order(found.calendar), 0.0 - found.credited, found.lifts)
        risk = np.column_stack([sums(each, groups=legs.scopes, count=scopes) for each in charged])
        held_values = books.quantities * self.option_values[books.instruments]
        values = sums(held_values, groups=books.scopes, count=scopes)
        counts = self.parameters.option_value
        parts = with_option_value(risk, values=values, counts=counts)
        raised = with_option_value(ratio * risk, values=ratio * values, counts=counts)
        maintenance = in_order(parts)
        # Where option value takes nearly all away, rounding may leave the greater a little less.
        is_less = in_order(raised) < maintenance
        raised = np.where(is_less[:, None], parts, raised)
        initial = in_order(raised)
        return Requirement(
            initial=initial,
            maintenance=maintenance,
            initial_parts=raised,
            maintenance_parts=parts,
            binding=np.where(initial > 0, self._binding(found, scopes), NOTHING_BINDS),
        )

    def _binding(self, found: Figures, scopes: int) -> Index:
        """(A,) what decided for the underlying that asks most, the first of equals."""
        asked = found.charges + found.lifts
        decided = np.where(found.lifts > 0, BINDINGS.index("short_option_minimum"), found.scenarios)
        binding = np.full(scopes, BINDINGS.index("option_value"), dtype=np.intp)
        whose, largest = largest_of_each(found.legs.scopes, asked)
        binding[whose] = np.where(asked[largest] > 0, decided[largest], binding[whose])
        return binding


MODEL: Final = Model(
    name="risk-arrays",
    version="v1",
    title="Risk arrays of sixteen scenarios",
    parameters=RiskArrayParameters,
    standard=STANDARD,
    prepare=PreparedRiskArrays,
    laws=frozenset({Law.SCALE, Law.MONOTONE}),
    source="CME Group, SPAN methodology: scan risk, intra- and inter-commodity spreads, short"
    " option minimum, net option value.",
    breaks={
        Law.SUBADDITIVE: Counterexample(
            "Two books that lose most in the same scenario lose as much together as apart; where"
            " their deltas of two expiries are opposite, a calendar spread is charged on top.",
            {
                "seed": 59,
                "scopes": 4,
                "underlyings": 2,
                "options_each": 2,
                "positions_most": 2,
            },
        )
    },
    option_equity=lambda said: beside_option_value(said.option_value),
)
