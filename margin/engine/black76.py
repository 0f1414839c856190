"""What a European option is worth: the one formula behind every price, and Black-76 itself."""

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
    deviation = np.asarray(volatility, dtype=float) * np.sqrt(np.asarray(years, dtype=float))
    with np.errstate(divide="ignore"):  # a forward of 0 has no logarithm; the limit is right
        log_moneyness = np.log(forward / strike)
    value = exchange_value(
        forward,
        strike,
        deviations=deviations(log_moneyness, deviation),
        right=np.where(is_call, 1.0, -1.0),
    )
    price: Floats = np.asarray(value * np.asarray(discount, dtype=float))
    return price


def exchange_value(
    received: Floats, given: Floats, *, deviations: tuple[Floats, Floats], right: Floats
) -> Floats:
    """What the right to exchange one value for another is worth, never below doing it now.

    Args:
        received: the value of the underlying, which a call receives and a put gives.
        given: the value of the strike, at the same time.
        deviations: as `deviations` gives them.
        right: +1 a call, -1 a put.
    """
    upper, lower = deviations
    living = right * (received * ndtr(right * upper) - given * ndtr(right * lower))
    value: Floats = np.maximum(np.maximum(living, right * (received - given)), 0.0)
    return value


def deviations(log_moneyness: Floats, deviation: Floats) -> tuple[Floats, Floats]:
    """How many deviations the forward lies above the strike, half a deviation up and down.

    Without deviation they are without end, but 0 exactly at the strike.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        middle = log_moneyness / deviation
    middle = np.where(log_moneyness == 0, 0.0, middle)
    return middle + deviation / 2, middle - deviation / 2
