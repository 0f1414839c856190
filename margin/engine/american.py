"""American options: what may be exercised on any day, by the two flat boundaries of 2002.

The price is that of a holder who exercises at one level up to a moment in between and at a lower
one after it. Anyone can exercise like that, so the price is never above what the option is worth,
and the best of several pairs of levels is close to it: within 0.4 % of the strike for volatility
up to 100 % and three years, and within 0.07 % for most options. Where the formula gives less than
another way anyone can follow (never, now, on the best day without volatility), that way's value
stands.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log_ndtr, ndtr, owens_t

from margin.engine.given import Float, finite, not_negative, positive, sign, together
from margin.engine.pricing import black_scholes

EARLIER: Final = (np.sqrt(5.0) - 1.0) / 2.0  # where the boundary steps, as a share of the time
TINY: Final = 1e-150
# How soon the boundary falls to its last level, as multiples of what the paper takes.
HASTES: Final = tuple(2.0 ** (half / 2) for half in range(-4, 5))


def american_price(
    spot: ArrayLike,
    *,
    right: ArrayLike,
    strike: ArrayLike,
    t: ArrayLike,
    volatility: ArrayLike,
    rate: ArrayLike = 0.0,
    dividend_yield: ArrayLike = 0.0,
) -> Float:
    """Prices of American options on an underlying that pays a steady yield.

    Never below the European price nor what exercise gives now. A call whose underlying pays
    nothing and whose rate is not negative is worth the European one, exactly. For an option on a
    forward the yield is the rate. Where a call's yield is below 0 and the rate below that (of a
    put the other way round) no boundary is tried, only exercise on a day known now.

    Args:
        spot, right, strike, t, volatility, rate, dividend_yield: (N,) as `black_scholes`.

    Returns:
        (N,) per unit of the underlying.

    Raises:
        RejectedInputError: a value is outside of what it may be, or shapes do not go together.

    Source:
        P. Bjerksund and G. Stensland, "Closed form valuation of American options" (2002); a put
        is the call with spot and strike, rate and yield changed over, by their 1993 paper. The
        bivariate normal distribution by D. B. Owen's T function (1956).
    """
    spot, right, strike, years, volatility, rate, yields = together(
        positive("spot", spot),
        sign("right", right),
        positive("strike", strike),
        not_negative("t", t),
        not_negative("volatility", volatility),
        finite("rate", rate),
        finite("dividend_yield", dividend_yield),
    )
    european = black_scholes(
        spot,
        right=right,
        strike=strike,
        t=years,
        volatility=volatility,
        rate=rate,
        dividend_yield=yields,
    ).price
    is_call = right > 0
    terms = _Call(
        spot=np.where(is_call, spot, strike),
        strike=np.where(is_call, strike, spot),
        years=years,
        volatility=volatility,
        rate=np.where(is_call, rate, yields),
        yields=np.where(is_call, yields, rate),
    )
    early = np.maximum(_two_boundaries(terms), _best_day_without_volatility(terms))
    early = np.minimum(early, _most(terms))
    # Nothing is gained by holding money back from an underlying that pays nothing.
    is_kept = (terms.yields <= 0) & (terms.rate >= terms.yields)
    price: Float = np.where(is_kept, european, np.maximum(european, early))
    return np.maximum(price, np.maximum(right * (spot - strike), 0.0))


class _Call(NamedTuple):
    """A call, or the put that is worth the same changed over; (N,) each."""

    spot: Float
    strike: Float
    years: Float
    volatility: Float
    rate: Float
    yields: Float


def _best_day_without_volatility(call: _Call) -> Float:
    """The most that exercise on a day known now gives when the price moves by its carry alone.

    The gain S e^(-q t) - K e^(-r t) has one turning point, where q S e^((r - q) t) = r K.
    """
    carry = call.rate - call.yields
    with np.errstate(all="ignore"):
        turn = np.log(call.rate * call.strike / (call.yields * call.spot)) / carry
    day = np.clip(np.nan_to_num(turn, nan=0.0), 0.0, call.years)
    with np.errstate(over="ignore", invalid="ignore"):
        gain = call.spot * np.exp(-call.yields * day) - call.strike * np.exp(-call.rate * day)
    return np.nan_to_num(gain, nan=0.0, posinf=0.0, neginf=0.0)


def _two_boundaries(call: _Call) -> Float:
    """The formula; 0 where it has no number, as without volatility or a yield."""
    with np.errstate(all="ignore"):
        values = np.array([_formula(call, haste) for haste in HASTES])
    usable = np.isfinite(values) & (call.yields > 0) & (call.volatility > 0) & (call.years > 0)
    best: Float = np.where(usable, values, 0.0).max(axis=0)
    return best


def _most(call: _Call) -> Float:
    """What no way of exercising gives more than: no yield is missed, no interest is paid early.

    It keeps the formula in its place where its large terms cancel out.
    """
    return black_scholes(
        call.spot,
        right=1,
        strike=call.strike,
        t=call.years,
        volatility=call.volatility,
        rate=np.maximum(call.rate, 0.0),
        dividend_yield=np.minimum(call.yields, 0.0),
    ).price


def _formula(call: _Call, haste: float) -> Float:
    """The price between the boundaries, and exercise beyond the higher."""
    spot, strike, carry = call.spot, call.strike, call.rate - call.yields
    variance, earlier = call.volatility**2, EARLIER * call.years
    tilt = carry / variance - 0.5
    beta = -tilt + np.sqrt(tilt**2 + 2 * call.rate / variance)
    endless = beta / (beta - 1) * strike
    last = np.maximum(strike, call.rate / call.yields * strike)

    def boundary(years: Float) -> Float:
        spread = carry * years + 2 * call.volatility * np.sqrt(years)
        decay = -haste * np.maximum(spread, 0.0) * strike**2 / ((endless - last) * last)
        return last + (endless - last) * -np.expm1(decay)

    low, high = boundary(earlier), boundary(call.years)

    def early(level: Float, power: Float | float, weight: Float | float) -> Float:
        return _before(call, earlier, level, power, high) * weight

    def late(level: Float, power: Float | float, weight: Float | float) -> Float:
        return _through(call, earlier, level, power, low, high) * weight

    # Powers of the spot are taken relative to their boundary, so that they stay small.
    of_high, of_low = (spot / high) ** beta, (spot / low) ** beta
    value = (
        (high - strike) * (of_high - early(high, beta, of_high))
        + early(high, 1.0, spot)
        - early(low, 1.0, spot)
        - early(high, 0.0, strike)
        + early(low, 0.0, strike)
        + (low - strike) * (early(low, beta, of_low) - late(low, beta, of_low))
        + late(low, 1.0, spot)
        - late(strike, 1.0, spot)
        - late(low, 0.0, strike)
        + late(strike, 0.0, strike)
    )
    return np.where(spot >= high, spot - strike, value)


def _before(call: _Call, years: Float, level: Float, power: Float | float, high: Float) -> Float:
    """The paper's phi over spot ** power: what is below `level` then and never met `high`."""
    drift, growth, mirror = _drifts(call, power)
    root = call.volatility * np.sqrt(years)
    at = -(np.log(call.spot / level) + drift * years) / root
    away = np.log(high / call.spot)
    # The mirror's power may be beyond floats where its probability is next to nothing.
    mirrored = np.exp(mirror * away + log_ndtr(at - 2 * away / root))
    value: Float = np.exp(growth * years) * (ndtr(at) - mirrored)
    return value


def _through(
    call: _Call,
    earlier: Float,
    level: Float,
    power: Float | float,
    low: Float,
    high: Float,
) -> Float:
    """The paper's psi over spot ** power: the same at expiry, past both boundaries."""
    drift, growth, mirror = _drifts(call, power)
    spot, years = call.spot, call.years
    roots = call.volatility * np.sqrt(earlier), call.volatility * np.sqrt(years)
    to_low, by_high = np.log(spot / low), np.log(high**2 / (spot * low))
    step, whole = drift * earlier, drift * years
    e = [each / roots[0] for each in (to_low + step, by_high + step, to_low - step, by_high - step)]
    distances = (
        np.log(spot / level),
        np.log(high**2 / (spot * level)),
        np.log(low**2 / (spot * level)),
        np.log(spot * low**2 / (level * high**2)),
    )
    f = [(distance + whole) / roots[1] for distance in distances]
    together_at = np.sqrt(EARLIER)
    value: Float = np.exp(growth * years) * (
        both_below(-e[0], -f[0], correlation=together_at)
        - (high / spot) ** mirror * both_below(-e[1], -f[1], correlation=together_at)
        - (low / spot) ** mirror * both_below(-e[2], -f[2], correlation=-together_at)
        + (low / high) ** mirror * both_below(-e[3], -f[3], correlation=-together_at)
    )
    return value


def _drifts(call: _Call, power: Float | float) -> tuple[Float, Float, Float]:
    """Of spot ** power: drift of the logarithm under it, growth a year, power of the mirror."""
    carry, variance = call.rate - call.yields, call.volatility**2
    drift = carry + (power - 0.5) * variance
    growth = -call.rate + power * carry + 0.5 * power * (power - 1) * variance
    return drift, growth, 2 * carry / variance + (2 * power - 1)


def both_below(first: Float, second: Float, *, correlation: float) -> Float:
    """Chance that two normal variables of a correlation lie below a level each.

    Source:
        D. B. Owen, "Tables for computing bivariate normal probabilities" (1956).
    """
    # At 0 the formula divides by it; next to 0 it has the same value.
    h = np.where(first == 0, TINY, first)
    k = np.where(second == 0, TINY, second)
    rest = np.sqrt(1 - correlation**2)
    apart = np.where((h > 0) == (k > 0), 0.0, 0.5)
    value: Float = (
        0.5 * (ndtr(h) + ndtr(k))
        - owens_t(h, (k / h - correlation) / rest)
        - owens_t(k, (h / k - correlation) / rest)
        - apart
    )
    return np.maximum(value, 0.0)
