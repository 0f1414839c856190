"""The volatility of every option of an underlying, out of the quotes of some.

Good quotes give, for each expiry, total variance over log-moneyness, straight between strikes;
between expiries total variance is straight in time at one log-moneyness. Whatever does not rest on
good quotes is flagged with the reason and marked against the holder: lower for who is long, higher
for who is short. Nothing is ever marked at no volatility, and nothing without saying so.

Axes: N options, E expiries, Q quotes, K strikes of one expiry.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from margin.engine.black76 import black76_price
from margin.engine.given import Float, positive, together
from margin.engine.market import Code, Flag, Index
from margin.engine.parameters import check_parameters, parameter
from margin.engine.quotes import FLAGGED_FROM, Support, VolatilityQuotes

SLOPE_BOUND: Final = 2.0  # R. Lee (2004): total variance rises no faster in log-moneyness


@dataclass(frozen=True, slots=True)
class SurfacePolicy:
    """When a quote is good, and what is done where none is."""

    width_most: float = parameter(
        "How far the ask may lie above the bid", unit="share of their middle", least=0.0, most=2.0
    )
    age_most: float = parameter("How old a quote may be", unit="seconds", least=0.0)
    markup: float = parameter(
        "What is added for shorts and taken off for longs where no good quote supports the mark",
        unit="share of the volatility",
        least=0.0,
        most=0.95,
        is_shock=True,
    )
    wing_slope_most: float = parameter(
        "Most that total variance rises per unit of log-moneyness beyond the quoted strikes",
        unit="variance",
        least=0.0,
        most=SLOPE_BOUND,
    )
    unquoted: float = parameter(
        "Volatility where no option of the underlying has a good quote",
        unit="per year",
        least=0.01,
        most=20.0,
    )

    def __post_init__(self) -> None:
        check_parameters(self)


@dataclass(frozen=True, slots=True, eq=False)
class Smile:
    """One expiry, out of its good quotes.

    Attributes:
        years: to expiry.
        forward: of the underlying.
        moneyness: (K,) ln(strike / forward), ascending.
        variances: (K,) volatility squared x years, above 0.
        wing_slope_most: as the policy says.
    """

    years: float
    forward: float
    moneyness: Float
    variances: Float
    wing_slope_most: float

    def variance(self, moneyness: Float) -> Float:
        """(N,) total variance: straight between strikes, and on in the wings.

        A wing goes on as its last two strikes say, but never falls and never rises faster than
        the policy lets it.
        """
        low, high = self.moneyness[0], self.moneyness[-1]
        left, right = self._wing_slopes()
        inside = np.interp(moneyness, self.moneyness, self.variances)
        beyond = left * np.maximum(low - moneyness, 0) + right * np.maximum(moneyness - high, 0)
        total: Float = inside + beyond
        return total

    def covers(self, moneyness: Float) -> Flag:
        """(N,) whether good quotes lie on either side."""
        flag: Flag = (self.moneyness[0] <= moneyness) & (moneyness <= self.moneyness[-1])
        return flag

    def _wing_slopes(self) -> tuple[float, float]:
        """Outward, of the lowest and of the highest strikes."""
        if len(self.moneyness) < 2:
            return 0.0, 0.0
        slopes = np.diff(self.variances) / np.diff(self.moneyness)
        left, right = np.clip([-slopes[0], slopes[-1]], 0.0, self.wing_slope_most).tolist()
        return left, right


class Volatilities(NamedTuple):
    """Marks of options, (N,) each.

    Attributes:
        middle: by the surface alone, per year, above 0.
        long: for who holds the option; the middle, or less where it is flagged.
        short: for who owes it; the middle, or more where it is flagged.
        support: what each rests on, Support.
    """

    middle: Float
    long: Float
    short: Float
    support: Code

    @property
    def is_flagged(self) -> Flag:
        """(N,) which are fallbacks."""
        flag: Flag = self.support >= FLAGGED_FROM
        return flag

    def of_side(self, quantities: ArrayLike) -> Float:
        """(N,) the volatility that is against a holder of such quantities; the middle of none."""
        held = np.asarray(quantities, dtype=np.float64)
        return np.where(held > 0, self.long, np.where(held < 0, self.short, self.middle))


@dataclass(frozen=True, slots=True, eq=False)
class Surface:
    """The smiles of an underlying and the quotes they came from; build with `surface_of`.

    Attributes:
        policy: what was asked of quotes.
        quotes: all of them, good or not.
        support: (Q,) of each quote.
        smiles: of each expiry with a good quote, by expiry.
    """

    policy: SurfacePolicy
    quotes: VolatilityQuotes
    support: Code
    smiles: tuple[Smile, ...]

    def volatilities(
        self, strikes: ArrayLike, *, years: ArrayLike, forwards: ArrayLike
    ) -> Volatilities:
        """The marks of options of the underlying.

        Args:
            strikes: (N,) above 0.
            years: (N,) to expiry, above 0.
            forwards: (N,) of the underlying for each expiry, above 0.
        """
        strike, due, forward = (
            np.atleast_1d(each)
            for each in together(
                positive("strikes", strikes),
                positive("years", years),
                positive("forwards", forwards),
            )
        )
        variance, support = self._surface(np.log(strike / forward), due)
        middle = np.sqrt(variance / due)
        own = self._own_quotes(strike, due)
        has_own = own >= 0
        support[has_own] = self.support[own[has_own]]
        long, short = self._sides(middle, support, own)
        return Volatilities(middle, long, short, support)

    def prices(
        self,
        strikes: ArrayLike,
        *,
        rights: ArrayLike,
        years: ArrayLike,
        forwards: ArrayLike,
        discounts: ArrayLike,
        quantities: ArrayLike,
    ) -> tuple[Float, Code]:
        """Marks in money, by Black-76, against a holder of such quantities, and their support."""
        marks = self.volatilities(strikes, years=years, forwards=forwards)
        value = black76_price(
            forwards,
            strike=strikes,
            volatility=marks.of_side(quantities),
            years=years,
            discount=discounts,
            is_call=np.asarray(rights) > 0,
        )
        return value, marks.support

    def _surface(self, moneyness: Float, years: Float) -> tuple[Float, Code]:
        """(N,) total variance above 0, and what it rests on, own quotes apart."""
        if not self.smiles:
            nothing = np.full(len(years), Support.NOTHING, dtype=np.int8)
            return self.policy.unquoted**2 * years, nothing
        expiries = np.array([smile.years for smile in self.smiles])
        each = np.array([smile.variance(moneyness) for smile in self.smiles])
        covers = np.array([smile.covers(moneyness) for smile in self.smiles])
        # On or beyond an end of the expiries both neighbours are the same one.
        later = np.minimum(np.searchsorted(expiries, years), len(expiries) - 1)
        is_between = (expiries[0] <= years) & (years <= expiries[-1])
        earlier = np.where(is_between & (years < expiries[later]), later - 1, later)
        options = np.arange(len(years))
        before, after = each[earlier, options], each[later, options]
        span = np.where(later > earlier, expiries[later] - expiries[earlier], 1.0)
        share = np.where(later > earlier, (years - expiries[earlier]) / span, 0.0)
        # Beyond the ends the volatility goes on, so total variance is in proportion to time.
        stretched = before * np.where(is_between, 1.0, years / expiries[earlier])
        variance = np.where(later > earlier, before + share * (after - before), stretched)
        is_covered = covers[earlier, options] & covers[later, options]
        support = np.select(
            [~is_between, ~is_covered], [Support.EXPIRY, Support.WING], Support.BETWEEN
        )
        return variance, support.astype(np.int8)

    def _own_quotes(self, strikes: Float, years: Float) -> Index:
        """(N,) the quote of each very option; -1 where there is none."""
        rows = zip(self.quotes.strikes.tolist(), self.quotes.years.tolist(), strict=True)
        place = {option: row for row, option in enumerate(rows)}
        asked = zip(strikes.tolist(), years.tolist(), strict=True)
        return np.array([place.get(option, -1) for option in asked], dtype=np.intp)

    def _sides(self, middle: Float, support: Code, own: Index) -> tuple[Float, Float]:
        """(N,) of long and short: the middle, marked down and up where it is flagged.

        A quote of its own that is fresh but wide, crossed or one-sided still says what somebody
        bids or asks: a long is marked no higher than its bid, a short no lower than its ask.
        """
        is_flagged = support >= FLAGGED_FROM
        long = np.where(is_flagged, middle * (1 - self.policy.markup), middle)
        short = np.where(is_flagged, middle * (1 + self.policy.markup), middle)
        is_said = (own >= 0) & is_flagged & (support != Support.STALE)
        bids, asks = self.quotes.bids[own[is_said]], self.quotes.asks[own[is_said]]
        long[is_said] = np.fmin(long[is_said], np.fmin(bids, asks))
        short[is_said] = np.fmax(short[is_said], np.fmax(bids, asks))
        return long, short


def surface_of(quotes: VolatilityQuotes, *, policy: SurfacePolicy) -> Surface:
    """The surface of one underlying; quotes that are not good are kept beside it, with the reason.

    Source:
        J. Gatheral, "The Volatility Surface" (2006), chapter 3, for total variance over
        log-moneyness; wings are held to R. Lee, "The moment formula for implied volatility at
        extreme strikes" (2004).
    """
    support = quotes.support(width_most=policy.width_most, age_most=policy.age_most)
    is_good = support == Support.QUOTED
    smiles = []
    for years in np.unique(quotes.years[is_good]):
        rows = np.flatnonzero(is_good & (quotes.years == years))
        rows = rows[np.argsort(quotes.strikes[rows])]
        middle = (quotes.bids[rows] + quotes.asks[rows]) / 2
        forward = float(quotes.forwards[rows[0]])
        moneyness = np.log(quotes.strikes[rows] / forward)
        variances = middle**2 * years
        smiles.append(Smile(float(years), forward, moneyness, variances, policy.wing_slope_most))
    return Surface(policy, quotes, support, tuple(smiles))
