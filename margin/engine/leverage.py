"""Margin as a rate on notional over leverage, for linear and inverse contracts."""

import numpy as np
from numpy.typing import ArrayLike

from margin.engine.given import Float, finite, not_negative, positive, together
from margin.engine.rejected import RejectedInputError


def notional(
    quantity: ArrayLike, *, price: ArrayLike, inverse: ArrayLike = False, multiplier: ArrayLike = 1
) -> Float:
    """Size of positions in the currency they are settled in.

    Args:
        quantity: (N,) signed contracts; long and short count alike.
        price: (N,) quote currency per unit, above 0.
        inverse: (N,) whether the contract is settled in its own base currency.
        multiplier: (N,) units per contract, above 0; of the quote currency when inverse.

    Returns:
        (N,) |quantity| x multiplier x price in quote currency, or / price in base currency.

    Raises:
        RejectedInputError: a value is outside of what it may be, or shapes do not go together.
    """
    turned = np.asarray(inverse)
    if turned.dtype != np.bool_:
        raise RejectedInputError("inverse is neither true nor false")
    held, paid, units, flag = together(
        finite("quantity", quantity),
        positive("price", price),
        positive("multiplier", multiplier),
        turned.astype(np.float64),
    )
    size = np.abs(held) * units
    return np.where(flag == 1, size / paid, size * paid)


def leverage_margin(
    quantity: ArrayLike,
    *,
    price: ArrayLike,
    leverage: ArrayLike,
    rate: ArrayLike,
    inverse: ArrayLike = False,
    multiplier: ArrayLike = 1,
) -> Float:
    """Notional x rate / leverage, in the currency of the notional.

    Args:
        leverage: (N,) above 0.
        rate: (N,) share of notional required without leverage, from 0; the others as `notional`.

    Raises:
        RejectedInputError: a value is outside of what it may be, or shapes do not go together.
    """
    size, times, required = together(
        notional(quantity, price=price, inverse=inverse, multiplier=multiplier),
        positive("leverage", leverage),
        not_negative("rate", rate),
    )
    margin: Float = size * required / times
    return margin
