"""What a short option without cover requires, by the exchange's rule."""

import numpy as np
from numpy.typing import ArrayLike

from margin.engine.given import Float, not_negative, positive, share, sign, together


def naked_option_maintenance(
    contracts: ArrayLike,
    *,
    right: ArrayLike,
    strike: ArrayLike,
    premium: ArrayLike,
    underlying: ArrayLike,
    rate: ArrayLike,
    multiplier: ArrayLike = 100,
    floor_rate: ArrayLike = 0.1,
) -> Float:
    """The premium, and the larger of a share of the underlying less what is out of the money and a
    floor: a share of the underlying for calls, of the strike for puts.

    Args:
        contracts: (N,) contracts sold, from 0.
        right: (N,) +1 a call, -1 a put.
        strike: (N,) above 0, per unit.
        premium: (N,) present price of the option per unit, from 0.
        underlying: (N,) price of the underlying, from 0.
        rate: (N,) share of the underlying: 0.2 for equities, 0.15 for broad indices.
        multiplier: (N,) units per contract, above 0.
        floor_rate: (N,) share that is required however far out of the money.

    Returns:
        (N,) maintenance in the currency of the prices, the premium included.

    Raises:
        RejectedInputError: a value is outside of what it may be, or shapes do not go together.

    Source:
        Cboe, "Margin Manual", short put or call; FINRA rule 4210(f)(2)(E).
    """
    sold, signed, struck, paid, price, part, units, least = together(
        not_negative("contracts", contracts),
        sign("right", right),
        positive("strike", strike),
        not_negative("premium", premium),
        not_negative("underlying", underlying),
        not_negative("rate", rate),
        positive("multiplier", multiplier),
        share("floor_rate", floor_rate),
    )
    out_of_the_money = np.maximum(signed * (struck - price), 0.0)
    floor = least * np.where(signed > 0, price, struck)
    per_unit = paid + np.maximum(part * price - out_of_the_money, floor)
    maintenance: Float = sold * units * per_unit
    return maintenance
