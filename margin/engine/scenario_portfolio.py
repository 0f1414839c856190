"""A scenario margin: what the worst of many scenarios would cost, and what is asked beside it.

Prices are made once for a market (`prepare`); the requirement of any number of scopes is then a
product of their positions with these prices.

Axes: S scopes, G scenarios, E expiries, O options, C collateral assets. Figures are floats in the
settlement currency. Profits and surpluses are positive when good.
"""

from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from margin.engine.black76 import Floats, black76_price
from margin.engine.contingencies import (
    BasisTerms,
    ConfidenceTerms,
    ContingencyRates,
    PegTerms,
    basis_contingency,
    doubt_contingency,
    short_options,
    strike_matrix,
)
from margin.engine.scenario_grid import (
    DiscountTerms,
    ScenarioGrid,
    ShockedVolatility,
    SkewTerms,
    StaticDiscounts,
    VolatilityShock,
    VolatilityTerms,
    shocked_forwards,
    shocked_volatility,
    static_discounts,
)
from margin.engine.scenario_market import (
    Books,
    Flag,
    Index,
    Market,
    position_matrix,
    require_numbers,
)


@dataclass(frozen=True, slots=True)
class ScenarioParameters:
    """The model's parameters.

    Attributes:
        maintenance_factor, initial_factor: what the worst loss is multiplied by.
    """

    grid: ScenarioGrid
    volatility: VolatilityTerms
    skew: SkewTerms
    discount: DiscountTerms
    basis: BasisTerms
    contingencies: ContingencyRates
    confidence: ConfidenceTerms
    peg: PegTerms
    maintenance_factor: float
    initial_factor: float

    def __post_init__(self) -> None:
        for name in ("maintenance_factor", "initial_factor"):
            require_numbers(getattr(self, name), name=name, least=0)


@dataclass(frozen=True, slots=True)
class PreparedMarket:
    """A market priced in every scenario.

    Attributes:
        prices: (O,) present value of one option.
        up_prices, down_prices: (O,) with the forward moved as the basis terms say.
        shocked_prices: (O, G) in every scenario, before the static discount.
        discounts: of shocked values, by expiry.
        perpetual_moves: (G,) profit of one perpetual, before dampening.
        collateral_values: (C,) value of one unit.
        collateral_moves: (C, G) profit of one unit, before dampening.
        options_of: for each expiry the indices of its options.
        strikes: (O, strikes) ones where an option is of a strike of an expiry.
        initial_factor: what initial margin multiplies the worst loss by, a lost peg included.
    """

    market: Market
    parameters: ScenarioParameters
    volatility: ShockedVolatility
    prices: Floats
    up_prices: Floats
    down_prices: Floats
    shocked_prices: Floats
    discounts: StaticDiscounts
    perpetual_moves: Floats
    collateral_values: Floats
    collateral_moves: Floats
    options_of: tuple[Index, ...]
    strikes: csr_array
    initial_factor: float


def prepare(market: Market, *, parameters: ScenarioParameters) -> PreparedMarket:
    """Price a market in every scenario.

    A skew moves volatilities and leaves the forwards of options where they are.
    """
    grid, expiries, options = parameters.grid, market.expiries, market.options
    volatility = shocked_volatility(
        options, expiries=expiries, terms=parameters.volatility, skew=parameters.skew
    )
    unmoved = volatility.by_shock[VolatilityShock.NONE]
    basis = np.array([1.0, parameters.basis.spot_up, parameters.basis.spot_down])
    prices, up_prices, down_prices = _prices(market, shocks=basis, volatilities=unmoved)
    values = market.collateral.prices / market.stable_price
    moves = grid.spot_shocks - 1
    return PreparedMarket(
        market=market,
        parameters=parameters,
        volatility=volatility,
        prices=prices,
        up_prices=up_prices,
        down_prices=down_prices,
        shocked_prices=_prices(
            market,
            shocks=np.where(grid.skewed, 1.0, grid.spot_shocks),
            volatilities=volatility.by_shock[grid.volatility],
        ).T,
        discounts=static_discounts(expiries, terms=parameters.discount),
        perpetual_moves=moves * market.perpetual_price,
        collateral_values=values,
        collateral_moves=np.outer(np.where(market.collateral.risk_cancelling, values, 0.0), moves),
        options_of=tuple(
            np.flatnonzero(options.expiries == expiry) for expiry in range(len(expiries.seconds))
        ),
        strikes=strike_matrix(options),
        initial_factor=parameters.initial_factor + parameters.peg.addition(market.stable_price),
    )


def _prices(market: Market, *, shocks: Floats, volatilities: Floats) -> Floats:
    """Prices of all options, one row per shock of spot."""
    options, expiries = market.options, market.expiries
    forwards = shocked_forwards(shocks, expiries=expiries)
    return black76_price(
        forwards[:, options.expiries],
        strike=options.strikes,
        volatility=volatilities,
        years=expiries.years[options.expiries],
        discount=expiries.discounts[options.expiries],
        is_call=options.is_call,
    )


class ScenarioProfits(NamedTuple):
    """What each scope gains in each scenario, dampened, (S, G) each; `total` adds the three."""

    options: Floats
    perpetuals: Floats
    collateral: Floats
    total: Floats


class OptionFigures(NamedTuple):
    """What the options of scopes come to.

    Attributes:
        values: (S, E) present value by expiry.
        discounted: (S, E) that value after the static discount.
        basis: (S, E) basis contingency by expiry, not above 0.
        profits: (S, G) dampened.
    """

    values: Floats
    discounted: Floats
    basis: Floats
    profits: Floats


class SurplusParts(NamedTuple):
    """What is left after margin, part by part, (S,) each; what is asked is negative.

    Maintenance margin has 0 for what only initial margin asks.
    """

    worst_loss: Floats
    perpetual_contingency: Floats
    option_contingency: Floats
    collateral_contingency: Floats
    initial_perpetual_contingency: Floats
    initial_option_contingency: Floats
    initial_collateral_contingency: Floats
    perpetual_doubt: Floats
    option_doubt: Floats
    collateral_doubt: Floats
    options: Floats
    collateral: Floats
    perpetual_profit: Floats
    funding: Floats
    cash: Floats

    def total(self) -> Floats:
        """The surplus: all parts added in their order."""
        return in_order(*self)

    def required(self) -> Floats:
        """The requirement: what is asked, added in its order, as a positive number."""
        return -in_order(*self[: self._fields.index("options")])


@dataclass(frozen=True, slots=True)
class PortfolioRequirement:
    """What scopes are required, with everything it is made of.

    Attributes:
        profits: by scenario.
        options: by expiry.
        worst: (S,) lowest of all scenarios and of the basis contingency; not above 0.
        binding: (S,) index of the scenario that decided, the first of equals; G where the basis
            contingency did.
        maintenance_factor, initial_factor: what `worst` was multiplied by.
        maintenance, initial: the parts of each surplus.
        maintenance_surplus, initial_surplus: (S,) their totals.
        market_value: (S,) options, collateral, perpetual, funding and cash.
    """

    profits: ScenarioProfits
    options: OptionFigures
    worst: Floats
    binding: Index
    maintenance_factor: float
    initial_factor: float
    maintenance: SurplusParts
    initial: SurplusParts
    maintenance_surplus: Floats
    initial_surplus: Floats
    market_value: Floats


def in_order(*parts: Floats) -> Floats:
    """The sum of the parts, added from left to right, so that anyone can repeat it exactly."""
    return reduce(np.add, parts)


def across(table: Floats) -> Floats:
    """(S,) each row's sum, added from left to right; 0 for rows without columns."""
    return in_order(np.zeros(len(table)), *table.T)


def worst_among(profits: Floats, *, scenarios: Flag) -> Floats | None:
    """(S,) lowest profit among the chosen scenarios (G,), None where none is chosen."""
    lowest: Floats | None = profits[:, scenarios].min(axis=1) if scenarios.any() else None
    return lowest


def requirement(books: Books, *, prepared: PreparedMarket) -> PortfolioRequirement:
    """What each scope is required in a prepared market.

    Raises:
        RejectedInputError: a holding names a scope, an option or an asset that there is not.

    Source:
        The published reference portfolios of a crypto exchange's scenario margin.
    """
    scopes = len(books.cash)
    held = position_matrix(books.options, scopes=scopes, assets=len(prepared.prices))
    pledged = position_matrix(
        books.collateral, scopes=scopes, assets=len(prepared.collateral_values)
    )
    options = _option_figures(held, prepared=prepared)
    profits = _profits(books, options=options, pledged=pledged, prepared=prepared)
    outcomes = np.column_stack([profits.total, across(options.basis)])
    worst = outcomes.min(axis=1)
    maintenance, initial = _surplus_parts(
        books, options=options, worst=worst, held=held, pledged=pledged, prepared=prepared
    )
    return PortfolioRequirement(
        profits=profits,
        options=options,
        worst=worst,
        binding=outcomes.argmin(axis=1),
        maintenance_factor=prepared.parameters.maintenance_factor,
        initial_factor=prepared.initial_factor,
        maintenance=maintenance,
        initial=initial,
        maintenance_surplus=maintenance.total(),
        initial_surplus=initial.total(),
        market_value=in_order(
            maintenance.options,
            maintenance.collateral,
            maintenance.perpetual_profit,
            maintenance.funding,
            maintenance.cash,
        ),
    )


def _option_figures(held: csr_array, *, prepared: PreparedMarket) -> OptionFigures:
    """Options by expiry, because each expiry is discounted by the sign of its whole value."""
    scopes, grid = held.shape[0], prepared.parameters.grid
    shares = prepared.parameters.basis.shares(prepared.market.expiries)
    by_expiry = [np.zeros((scopes, len(shares))) for _ in range(3)]
    values, discounted, basis = by_expiry
    profits = np.zeros((scopes, len(grid.dampenings)))
    columns = held.tocsc()
    for expiry, chosen in enumerate(prepared.options_of):
        amounts = columns[:, chosen]
        now = amounts @ prepared.prices[chosen]
        values[:, expiry] = now
        discounted[:, expiry] = prepared.discounts.of(now, expiry=expiry)
        basis[:, expiry] = basis_contingency(
            now,
            up=amounts @ prepared.up_prices[chosen],
            down=amounts @ prepared.down_prices[chosen],
            share=float(shares[expiry]),
        )
        shocked = prepared.discounts.of(amounts @ prepared.shocked_prices[chosen], expiry=expiry)
        change = shocked - now[:, np.newaxis]
        # A smile may tilt either way, so what a tilt would gain counts as what it may lose.
        change[:, grid.skewed] = -np.abs(change[:, grid.skewed])
        profits += change * grid.dampenings
    return OptionFigures(values, discounted, basis, profits)


def _profits(
    books: Books, *, options: OptionFigures, pledged: csr_array, prepared: PreparedMarket
) -> ScenarioProfits:
    """Profits of everything that moves with the underlying, by scenario."""
    dampenings = prepared.parameters.grid.dampenings
    perpetuals = np.outer(books.perpetuals, prepared.perpetual_moves) * dampenings
    collateral = (pledged @ prepared.collateral_moves) * dampenings
    total = in_order(options.profits, perpetuals, collateral)
    return ScenarioProfits(options.profits, perpetuals, collateral, total)


def _surplus_parts(
    books: Books,
    *,
    options: OptionFigures,
    worst: Floats,
    held: csr_array,
    pledged: csr_array,
    prepared: PreparedMarket,
) -> tuple[SurplusParts, SurplusParts]:
    """Parts of the maintenance surplus and of the initial surplus."""
    market, parameters = prepared.market, prepared.parameters
    rates = parameters.contingencies
    sizes = np.abs(books.perpetuals) * market.spot
    shorts = short_options(held, strikes=prepared.strikes) * market.spot
    values = pledged.multiply(prepared.collateral_values).tocsr()
    doubt = doubt_contingency(
        perpetuals=books.perpetuals,
        options=held,
        collateral_values=values,
        market=market,
        options_of=prepared.options_of,
        terms=parameters.confidence,
    )
    nothing = np.zeros(len(worst))
    maintenance = SurplusParts(
        worst_loss=parameters.maintenance_factor * worst,
        perpetual_contingency=-sizes * rates.perpetual,
        option_contingency=-shorts * rates.option,
        collateral_contingency=-(values @ market.collateral.maintenance_haircuts),
        initial_perpetual_contingency=nothing,
        initial_option_contingency=nothing,
        initial_collateral_contingency=nothing,
        perpetual_doubt=nothing,
        option_doubt=nothing,
        collateral_doubt=nothing,
        options=across(options.values),
        collateral=pledged @ prepared.collateral_values,
        perpetual_profit=books.perpetual_profits,
        funding=books.fundings,
        cash=books.cash,
    )
    initial = maintenance._replace(
        worst_loss=prepared.initial_factor * worst,
        initial_perpetual_contingency=-sizes * rates.initial_perpetual,
        initial_option_contingency=-shorts * rates.initial_option,
        initial_collateral_contingency=-(values @ market.collateral.initial_haircuts),
        perpetual_doubt=-doubt.perpetual,
        option_doubt=-doubt.options,
        collateral_doubt=-doubt.collateral,
    )
    return maintenance, initial
