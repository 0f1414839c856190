"""How long what a scope has will last if it goes on losing as it did: a straight line in time.

level = the equity at which something happens; hours = (equity - level) / burn. A level already
passed is reached in no time; without a burn none is ever reached.
"""

from decimal import ROUND_FLOOR, Decimal
from typing import Final

from margin.engine.exact import ZERO, exact

HOURS: Final = Decimal("0.1")
# Beyond ten years a straight line says nothing.
HOURS_MAX: Final = Decimal(87_600)


def hours_until(equity: Decimal, *, level: Decimal, burn: Decimal) -> Decimal | None:
    """Hours until equity falls to a level, rounded down to a tenth; None where it does not.

    Args:
        equity, level: in the base currency.
        burn: what is lost in an hour, in the base currency; not above 0 where nothing is.
    """
    if equity <= level:
        return ZERO
    if burn <= ZERO:
        return None
    with exact():
        left = equity - level
    hours = (left / burn).quantize(HOURS, rounding=ROUND_FLOOR)
    return hours if hours <= HOURS_MAX else None
