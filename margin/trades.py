"""What a trade does to the bucket it is booked to: its money, its position, its fee.

The same function decides trades of the inbox and shows what a trade would do.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from ledger.positions import Position, TradeEffect, apply_trade, half_even
from margin.engine.exact import ZERO

FEE_SCALE: Final = 2


class TradeRefusedError(ValueError):
    """The bucket cannot bear the trade; `rule` says why."""

    def __init__(self, rule: str) -> None:
        super().__init__(rule)
        self.rule = rule


@dataclass(frozen=True, slots=True)
class Trade:
    """An execution, or one that is thought of.

    Attributes:
        quantity: signed; positive buys. Not 0.
        price: per unit, above 0.
        fee: what the firm charges for it, from 0.
    """

    quantity: Decimal
    price: Decimal
    fee: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class TradeOutcome:
    """What a trade makes of its bucket.

    Attributes:
        effect: on the position.
        cash: what the pool's money changes by: the price of a security or an option, the realised
            profit.
        fee: what is charged; less than asked where the bucket has no more.
        claim_change: what the bucket's money changes by.
        shortfall: the part of a loss that the bucket cannot pay; 0 or more.
    """

    effect: TradeEffect
    cash: Decimal
    fee: Decimal
    claim_change: Decimal
    shortfall: Decimal


def security_trade(
    trade: Trade, *, position: Position, spare_position: Decimal, spare_claim: Decimal
) -> TradeOutcome:
    """A trade of a security, paid for in full.

    Args:
        position: before it.
        spare_position, spare_claim: what is not pledged.

    Raises:
        TradeRefusedError: `claim_below_zero`.
    """
    effect = _effect(trade, position=position, is_security=True)
    cash = -half_even(trade.quantity * trade.price, FEE_SCALE)
    change = cash - trade.fee
    if (trade.quantity < 0 and spare_position + trade.quantity < 0) or (
        change < 0 and spare_claim + change < 0
    ):
        raise TradeRefusedError("claim_below_zero")
    return TradeOutcome(effect, cash, trade.fee, change, ZERO)


def option_trade(trade: Trade, *, position: Position, spare_claim: Decimal) -> TradeOutcome:
    """A trade of an option: its premium changes hands in full, and either side may be sold.

    Args:
        trade: at the price of one contract: premium times units of the underlying.
        position: before it.
        spare_claim: money that is not pledged.

    Raises:
        TradeRefusedError: `claim_below_zero`: the bucket cannot pay premium and fee.
    """
    effect = _effect(trade, position=position, is_security=True)
    cash = -half_even(trade.quantity * trade.price, FEE_SCALE)
    change = cash - trade.fee
    if change < 0 and spare_claim + change < 0:
        raise TradeRefusedError("claim_below_zero")
    return TradeOutcome(effect, cash, trade.fee, change, ZERO)


def derivative_trade(trade: Trade, *, position: Position, claim: Decimal) -> TradeOutcome:
    """A trade of a derivative: what it closes settles against the bucket's money.

    A loss takes what the bucket has, and then no fee; a fee takes what the result leaves.

    Raises:
        TradeRefusedError: `claim_below_zero` where nothing is closed and the fee is not there.
    """
    effect = _effect(trade, position=position, is_security=False)
    if effect.realised is None:
        if trade.fee > claim:
            raise TradeRefusedError("claim_below_zero")
        return TradeOutcome(effect, ZERO, trade.fee, -trade.fee, ZERO)
    after = claim + effect.realised
    if after < 0:
        return TradeOutcome(effect, effect.realised, ZERO, -claim, -after)
    fee = min(trade.fee, after)
    return TradeOutcome(effect, effect.realised, fee, effect.realised - fee, ZERO)


def _effect(trade: Trade, *, position: Position, is_security: bool) -> TradeEffect:
    return apply_trade(
        position,
        signed_quantity=trade.quantity,
        price=trade.price,
        kind="security" if is_security else "perpetual",
    )
