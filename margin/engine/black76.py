"""Black-76: what an option on a forward is worth."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

Floats = NDArray[np.float64]


def black76_price(
    forward: ArrayLike,
    *,
    strike: ArrayLike,
    volatility: ArrayLike,
    years: ArrayLike,
    discount: ArrayLike,
    is_call: ArrayLike,
) -> Floats:
    """Present values of European options, all arguments broadcast against each other.

    Without time or without volatility the option is worth its discounted exercise value, and
    never less than that.

    Args:
        forward: price of the underlying for the expiry, not negative.
        strike: above 0, in the currency of the forward.
        volatility: standard deviation of the logarithm of the forward over one year.
        years: time to expiry, not negative.
        discount: what one unit of money at expiry is worth now.
        is_call: True for a call, False for a put.

    Source:
        F. Black, "The pricing of commodity contracts", 1976.
    """
    forward, strike = np.asarray(forward, dtype=float), np.asarray(strike, dtype=float)
    sign = np.where(is_call, 1.0, -1.0)
    deviation = np.asarray(volatility, dtype=float) * np.sqrt(np.asarray(years, dtype=float))
    exercised = np.maximum(sign * (forward - strike), 0.0)
    # A forward of 0 has no logarithm and a deviation of 0 no quotient; the limits are right.
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        middle = np.log(forward / strike) / deviation
        upper, lower = middle + deviation / 2, middle - deviation / 2
        living = sign * (forward * ndtr(sign * upper) - strike * ndtr(sign * lower))
    value = np.where(deviation > 0, np.maximum(living, exercised), exercised)
    price: Floats = np.asarray(value * np.asarray(discount, dtype=float))
    return price
