"""European options: price and Greeks in closed form, and the volatility a price implies."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from margin.engine.black76 import deviations, exchange_value
from margin.engine.given import Float, finite, not_negative, positive, sign, together
from margin.engine.rejected import RejectedInputError

DEVIATIONS_MAX = 80.0  # volatility x sqrt(t) beyond which a price no longer tells two apart
GROWTH_MAX = 600.0  # rate x t whose discount factor a float can still hold
STEPS_MAX = 200
ROUNDING = 1e-14  # of forward and strike: how far a price may lie below what it must be worth


class OptionValues(NamedTuple):
    """One option, or one of each in arrays of any one shape.

    Attributes:
        price: per unit of the underlying, in its currency.
        delta: change of the price per 1.00 of the underlying (of the forward for Black-76).
        gamma: change of delta per 1.00 of the underlying.
        vega: change of the price per 1.00 of volatility.
        theta: change of the price per year that passes.
        rho: change of the price per 1.00 of the rate.
    """

    price: Float
    delta: Float
    gamma: Float
    vega: Float
    theta: Float
    rho: Float


def black_scholes(
    spot: ArrayLike,
    *,
    right: ArrayLike,
    strike: ArrayLike,
    t: ArrayLike,
    volatility: ArrayLike,
    rate: ArrayLike = 0.0,
    dividend_yield: ArrayLike = 0.0,
) -> OptionValues:
    """Price and Greeks of European options on an underlying that pays a steady yield.

    Where no time or no volatility is left the values are their limits: the price is what the
    option is worth at the forward, delta jumps at it. Exactly at the forward delta is the middle
    of the jump and gamma is infinite, as is theta where only the time is gone.

    Args:
        spot: (N,) price of the underlying, above 0.
        right: (N,) +1 a call, -1 a put.
        strike: (N,) above 0, in the currency of the spot.
        t: (N,) years to expiry, from 0.
        volatility: (N,) per year, from 0; 0.2 is 20 %.
        rate: (N,) continuous, per year.
        dividend_yield: (N,) continuous, per year.

    Raises:
        RejectedInputError: a value is outside of what it may be, or shapes do not go together.

    Source:
        Black and Scholes (1973), Merton (1973); E. G. Haug, "The Complete Guide to Option
        Pricing Formulas", chapters 1 and 2.
    """
    spot, strike, years, volatility, right, rate, dividend_yield = together(
        positive("spot", spot),
        positive("strike", strike),
        not_negative("t", t),
        not_negative("volatility", volatility),
        sign("right", right),
        finite("rate", rate),
        finite("dividend_yield", dividend_yield),
    )
    _refuse_what_overflows(rate * years, dividend_yield * years)
    root = np.sqrt(years)
    deviation = volatility * root
    log_moneyness = np.log(spot / strike) + (rate - dividend_yield) * years
    d1, d2 = deviations(log_moneyness, deviation)
    density = _density(d1)
    underlying = spot * np.exp(-dividend_yield * years)
    money = strike * np.exp(-rate * years)
    exercised, received = ndtr(right * d2), ndtr(right * d1)
    decay = _limit(underlying * density * volatility, 2 * root)
    return OptionValues(
        price=exchange_value(underlying, money, deviations=(d1, d2), right=right),
        delta=right * np.exp(-dividend_yield * years) * received,
        gamma=_limit(np.exp(-dividend_yield * years) * density, spot * deviation),
        vega=underlying * density * root,
        theta=right * (dividend_yield * underlying * received - rate * money * exercised) - decay,
        rho=right * years * money * exercised,
    )


def black_76(
    forward: ArrayLike,
    *,
    right: ArrayLike,
    strike: ArrayLike,
    t: ArrayLike,
    volatility: ArrayLike,
    rate: ArrayLike = 0.0,
) -> OptionValues:
    """Price and Greeks of European options on a forward, discounted at `rate`.

    A forward earns nothing, which is an underlying that pays the rate away; only rho differs,
    since the forward is held where the rate moves. Arguments and limits as `black_scholes`.

    Source:
        Black (1976), "The pricing of commodity contracts".
    """
    values = black_scholes(
        forward,
        right=right,
        strike=strike,
        t=t,
        volatility=volatility,
        rate=rate,
        dividend_yield=rate,
    )
    return values._replace(rho=-np.asarray(t, dtype=np.float64) * values.price)


def implied_volatility(
    price: ArrayLike,
    *,
    right: ArrayLike,
    spot: ArrayLike,
    strike: ArrayLike,
    t: ArrayLike,
    rate: ArrayLike = 0.0,
    dividend_yield: ArrayLike = 0.0,
) -> Float:
    """The volatility at which `black_scholes` gives such prices.

    For `black_76` the spot is the forward and the dividend yield is the rate.

    Newton's steps on the option out of the money, each kept inside a bracket that only shrinks,
    so it ends for every price. 0 where the price is no more than the option is worth without
    volatility, within rounding.

    Args:
        price: (N,) per unit of the underlying; the others as `black_scholes`, t above 0.

    Returns:
        (N,) volatility per year; NaN where none gives the price: it is below what the option is
        worth without volatility, or not below what it is worth with an endless one.

    Raises:
        RejectedInputError: a value is outside of what it may be, or shapes do not go together.
    """
    price, right, spot, strike, years, rate, dividend_yield = together(
        finite("price", price),
        sign("right", right),
        positive("spot", spot),
        positive("strike", strike),
        positive("t", t),
        finite("rate", rate),
        finite("dividend_yield", dividend_yield),
    )
    _refuse_what_overflows(rate * years, dividend_yield * years)
    money = strike * np.exp(-rate * years)
    underlying = spot * np.exp(-dividend_yield * years)
    intrinsic = np.maximum(right * (underlying - money), 0.0)
    time_value = price - intrinsic
    nothing = np.where(intrinsic > 0, ROUNDING * (underlying + money), 0.0)
    # A call and a put with one time value imply one volatility, by parity, so the side whose
    # price is all time value stands for both.
    distance = -np.abs(np.log(spot / strike) + (rate - dividend_yield) * years)
    share = time_value / np.sqrt(underlying * money)
    solvable = (time_value > nothing) & (share < _time_value(distance, DEVIATIONS_MAX))
    deviation = _solved(distance, np.where(solvable, share, 0.5 * np.exp(distance / 2)))
    none = np.where(np.abs(time_value) <= nothing, 0.0, np.nan)
    return np.where(solvable, deviation / np.sqrt(years), none)


def _density(deviations: Float) -> Float:
    """Of the normal distribution; 0 beyond all that floats can square."""
    with np.errstate(over="ignore"):
        value: Float = np.exp(-0.5 * deviations**2) / np.sqrt(2 * np.pi)
    return value


def _refuse_what_overflows(*growths: Float) -> None:
    if any((np.abs(growth) > GROWTH_MAX).any() for growth in growths):
        raise RejectedInputError("a rate x t is beyond what any money grows to")


def _limit(numerator: Float, denominator: Float) -> Float:
    """A ratio whose numerator, where it vanishes, vanishes faster."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.where(numerator == 0, 0.0, numerator / denominator)


def _time_value(distance: Float, deviation: Float | float) -> Float:
    """Price of the option out of the money as a share of sqrt(forward x strike), discounted."""
    d1, d2 = deviations(distance, np.asarray(deviation, dtype=np.float64))
    value: Float = np.exp(distance / 2) * ndtr(d1) - np.exp(-distance / 2) * ndtr(d2)
    return np.maximum(value, 0.0)


def _solved(distance: Float, share: Float) -> Float:
    """The deviation at which `_time_value` is `share`, which some deviation gives."""
    low, high = np.zeros_like(share), np.full_like(share, DEVIATIONS_MAX)
    # The inflection of the price, from which Newton's steps do not overshoot.
    at = np.clip(np.sqrt(-2 * distance), 1e-8, DEVIATIONS_MAX / 2)
    for _ in range(STEPS_MAX):
        value = _time_value(distance, at)
        low, high = np.where(value < share, at, low), np.where(value < share, high, at)
        d1, _unused = deviations(distance, at)
        slope = np.exp(distance / 2) * _density(d1)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            # Far below the inflection the price falls as an exponential does: follow its logarithm.
            plain, steep = (share - value) / slope, np.log(share / value) * value / slope
            step = np.where((share < value) | (value == 0), steep, plain)
        newton = at + step
        inside = np.isfinite(newton) & (newton > low) & (newton < high)
        ahead = np.where(inside, newton, (low + high) / 2)
        done = np.abs(ahead - at) <= 1e-16 + 4e-16 * at
        at = ahead
        if done.all():
            break
    return at
