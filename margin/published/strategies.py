"""Published cases of rule-based option margin, read into books of positions."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from margin.engine.rejected import RejectedInputError
from margin.engine.strategies import (
    Account,
    Book,
    Breadth,
    ShareLots,
    Underlying,
    strategy_requirement,
)
from margin.engine.strategy_grouping import OptionLegs

BREADTH: Final = {
    None: Breadth.SINGLE,
    "NARROW": Breadth.NARROW,
    "BROAD": Breadth.BROAD,
    "VOLATILITY": Breadth.VOLATILITY,
}
IS_CALL: Final = {"CALL": True, "PUT": False}


def strategy_margin(inputs: Mapping[str, Any]) -> dict[str, float | None]:
    """What a margin account and a cash account must hold for the legs of a case, in USD.

    Raises:
        RejectedInputError: a leg or an underlying that cannot be.
    """
    book = book_of(inputs)
    margin = strategy_requirement(book, account=Account.MARGIN)
    cash = strategy_requirement(book, account=Account.CASH)
    return {
        "margin_requirement": margin.amount if margin else None,
        "cash_requirement": cash.amount if cash else None,
    }


def book_of(inputs: Mapping[str, Any]) -> Book:
    """The positions of a case.

    Raises:
        RejectedInputError: a field is missing or is not of its type.
    """
    try:
        return _book(inputs)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise RejectedInputError(f"a leg or the underlying cannot be read: {error!r}") from error


def _book(inputs: Mapping[str, Any]) -> Book:
    options = [leg for leg in inputs["legs"] if not leg.get("shares")]
    shares = [leg for leg in inputs["legs"] if leg.get("shares")]
    underlying = inputs["underlying"]
    return Book(
        underlying=Underlying(
            price=float(underlying["price"]),
            breadth=BREADTH[underlying.get("etf_type")],
            leverage=float(underlying.get("leverage_factor", 1)),
        ),
        options=OptionLegs(
            is_call=np.array([IS_CALL[leg["type"]] for leg in options], dtype=np.bool_),
            strike=np.array([leg["strike"] for leg in options], dtype=np.float64),
            premium=np.array([leg["price"] for leg in options], dtype=np.float64),
            contracts=np.array([_whole(leg["quantity"]) for leg in options], dtype=np.int64),
            expires_in_days=np.array(
                [_whole(leg["expires_in_days"]) for leg in options], dtype=np.int64
            ),
        ),
        shares=ShareLots(
            price=np.array([leg["price"] for leg in shares], dtype=np.float64),
            quantity=np.array([leg["quantity"] for leg in shares], dtype=np.float64),
        ),
        multiplier=_whole(inputs.get("multiplier", 100)),
    )


def _whole(number: Any) -> int:  # noqa: ANN401 (a number as it is published)
    if int(number) != number:
        raise ValueError(f"{number} is not a whole number")
    return int(number)
