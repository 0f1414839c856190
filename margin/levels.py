"""Where the states of a scope begin, and what of it may leave."""

from decimal import Decimal

from accounts.drawing import Levels
from accounts.explanation import share_of
from accounts.figures import WIDE
from margin.engine.house_rules import INSUFFICIENT_MARK
from margin.models import MarginResult, MarginState

ZERO = Decimal(0)
# From well to worst.
SEVERITY = {state.value: place for place, state in enumerate(MarginState)}


def levels_of(result: MarginResult) -> Levels:
    """The levels of a result under the agreement it was computed with; exact."""
    terms, maintenance = result.agreement_version, result.maintenance_margin
    return Levels(
        liquidation=WIDE.multiply(terms.liquidation_level, maintenance),
        call=WIDE.multiply(terms.call_level, maintenance),
        initial=result.initial_margin,
    )


def is_held_at_call(result: MarginResult) -> bool:
    """Whether only a price that is not valid keeps the scope from liquidation."""
    return (
        INSUFFICIENT_MARK in result.flags
        and result.state == MarginState.CALL
        and result.equity < levels_of(result).liquidation
    )


def missing(result: MarginResult) -> Decimal:
    """Initial margin less equity, exact; negative where there is more than enough."""
    return WIDE.subtract(result.initial_margin, result.equity)


def equity_share(result: MarginResult) -> Decimal | None:
    """Equity as part of initial margin, to a millionth; None where nothing is required."""
    if not result.initial_margin:
        return None
    return share_of(result.equity, result.initial_margin)


def withdrawable(result: MarginResult, *, money: Decimal) -> Decimal:
    """What could leave the scope: equity beyond initial margin, as far as its money reaches.

    Args:
        money: the scope's money claims as the run counted them.
    """
    return max(ZERO, min(-missing(result), money))
