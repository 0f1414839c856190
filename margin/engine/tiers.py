"""Tiers as venues publish them: the upper bound of each and its rate."""

from collections.abc import Sequence
from decimal import Decimal

from margin.engine.brackets import BracketError, RateSchedule, rate_schedule
from margin.engine.rejected import RejectedInputError


def tiered_schedule(caps: Sequence[Decimal | None], *, rates: Sequence[Decimal]) -> RateSchedule:
    """The schedule of such tiers, with the deductions that leave no jump between two of them.

    The cap of a tier is the floor of the next. Exact, since deductions are published to the last
    unit and a tier's rate is a decimal.

    Args:
        caps: (K,) upper bound of each tier in notional, ascending; None for a last one without.
        rates: (K,) share of notional required, 0 to 1.

    Raises:
        RejectedInputError: caps that do not ascend from above 0, a rate that is no share, or
            not as many of the one as of the other.

    Source:
        House rules v1, requirements of perpetuals; Binance, "Leverage and margin of USD-M
        futures", maintenance amount.
    """
    if not caps or len(caps) != len(rates):
        raise RejectedInputError("a schedule has a cap and a rate for each of its tiers")
    bounds = [cap for cap in caps if cap is not None]
    if None in caps[:-1] or not all(bound.is_finite() for bound in bounds):
        raise RejectedInputError("only the last tier may be without a cap")
    if any(not rate.is_finite() or not 0 <= rate <= 1 for rate in rates):
        raise RejectedInputError("the rate of a tier is not a share from 0 to 1")
    try:
        # Floors up to the last cap, so that the last tier too is seen to be one.
        rate_schedule(floors=[Decimal(0), *bounds], rates=[Decimal(0)] * (len(bounds) + 1))
        return rate_schedule(floors=[Decimal(0), *bounds[: len(caps) - 1]], rates=rates)
    except BracketError as refused:
        raise RejectedInputError("the caps of tiers do not ascend from above 0") from refused
