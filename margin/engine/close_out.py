"""How much of one position must be closed for an account to meet its margin again."""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from margin.engine.given import Float, not_negative, positive, share, together

NO_RELIEF: Final = 1e-12  # a share of notional this small is the rounding of the rates


def minimum_close_out(
    shortage: ArrayLike,
    *,
    margin_rate: ArrayLike,
    price: ArrayLike,
    quote_price: ArrayLike = 1.0,
    liquidator_fee: ArrayLike = 0.0,
    insurance_fee: ArrayLike = 0.0,
) -> Float:
    """The quantity whose margin, less what closing it costs, is what is missing.

    Args:
        shortage: (N,) margin less equity, from 0, in the currency of account.
        margin_rate: (N,) share of notional that closing sets free.
        price: (N,) of the instrument in its quote currency, from 0.
        quote_price: (N,) of the quote currency in the currency of account, above 0.
        liquidator_fee: (N,) share of notional that goes to whoever closes it.
        insurance_fee: (N,) share of notional that goes to the insurance fund.

    Returns:
        (N,) quantity; NaN where no quantity helps: the fees take all that closing sets free, or
        the price is 0. It may be more than is held: then all of it does not cover the shortage.

    Raises:
        RejectedInputError: a value is outside of what it may be, or shapes do not go together.

    Source:
        Drift protocol v2, base asset amount that covers a margin shortage.
    """
    missing, rate, paid, quote, liquidator, insurance = together(
        not_negative("shortage", shortage),
        share("margin_rate", margin_rate),
        not_negative("price", price),
        positive("quote_price", quote_price),
        share("liquidator_fee", liquidator_fee),
        share("insurance_fee", insurance_fee),
    )
    relief = rate - liquidator - insurance
    helps = (relief > NO_RELIEF) & (paid > 0)
    freed = np.where(helps, paid * relief * quote, 1.0)
    return np.where(helps, missing / freed, np.nan)
