"""The price at which an isolated linear position has no more than its maintenance margin."""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from margin.engine.given import Float, finite, not_negative, positive, share, sign, together
from margin.engine.rejected import RejectedInputError

AGREES_WITHIN: Final = 1e-9  # equity and maintenance at the answer, relative to the larger


class IsolatedPosition(NamedTuple):
    """Positions with money of their own, in one quote currency; all (N,).

    Attributes:
        side: +1 long, -1 short.
        size: units of the instrument, above 0.
        entry: price at which it was opened, above 0.
        wallet: money set aside for it, in the quote currency.
        leverage: notional at entry over initial margin, above 0.
        maintenance_rate: share of notional required, 0 to 1.
        maintenance_amount: what the bracket deducts from it, in the quote currency, from 0.
        taker_fee: share of notional that closing costs, 0 to 1.
    """

    side: Float
    size: Float
    entry: Float
    wallet: Float
    leverage: Float
    maintenance_rate: Float
    maintenance_amount: Float
    taker_fee: Float


class LinearAccount(NamedTuple):
    """Equity and maintenance as straight lines: a + b x price, each (N,)."""

    equity: Float
    equity_per_price: Float
    maintenance: Float
    maintenance_per_price: Float


def isolated_position(
    side: ArrayLike,
    *,
    size: ArrayLike,
    entry: ArrayLike,
    wallet: ArrayLike,
    leverage: ArrayLike,
    maintenance_rate: ArrayLike,
    maintenance_amount: ArrayLike = 0.0,
    taker_fee: ArrayLike = 0.0,
) -> IsolatedPosition:
    """Such positions, checked and at one shape.

    Raises:
        RejectedInputError: a value is outside of what it may be, or shapes do not go together.
    """
    return IsolatedPosition(
        *together(
            sign("side", side),
            positive("size", size),
            positive("entry", entry),
            finite("wallet", wallet),
            positive("leverage", leverage),
            share("maintenance_rate", maintenance_rate),
            not_negative("maintenance_amount", maintenance_amount),
            share("taker_fee", taker_fee),
        )
    )


def liquidation_price(position: IsolatedPosition, *, convention: str) -> Float:
    """Where equity meets maintenance, as the named venue counts both.

    Each price is put back into equity and maintenance before it is reported.

    Args:
        position: what is held.
        convention: one of `CONVENTIONS`.

    Returns:
        (N,) price, in the quote currency; NaN where none above 0 makes the two equal, or where
        maintenance grows faster than a long's equity, so that a rise would not help it.

    Raises:
        RejectedInputError: the convention is not known.
    """
    if convention not in CONVENTIONS:
        known = ", ".join(sorted(CONVENTIONS))
        raise RejectedInputError(f"the convention {convention!r} is none of {known}")
    account = CONVENTIONS[convention](position)
    relief = account.equity_per_price - account.maintenance_per_price
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        price = (account.maintenance - account.equity) / relief
        equity = account.equity + account.equity_per_price * price
        maintenance = account.maintenance + account.maintenance_per_price * price
        larger = np.maximum(np.abs(equity), np.abs(maintenance))
        # Where nothing is required there is nothing to be relative to but what was added up.
        added = np.abs(account.equity) + np.abs(account.equity_per_price * price)
        scale = np.where(maintenance == 0, added, larger)
        holds = np.abs(equity - maintenance) <= AGREES_WITHIN * scale
    holds &= np.isfinite(price) & (price > 0) & (relief * position.side > 0)
    return np.where(holds, price, np.nan)


def _bracket_account(position: IsolatedPosition) -> LinearAccount:
    """Wallet and profit against rate x notional less the bracket's amount.

    Source:
        Binance, "How to calculate liquidation price of USD-M futures contracts".
    """
    signed = position.side * position.size
    return LinearAccount(
        equity=position.wallet - signed * position.entry,
        equity_per_price=signed,
        maintenance=-position.maintenance_amount,
        maintenance_per_price=position.size * position.maintenance_rate,
    )


def _fee_account(position: IsolatedPosition) -> LinearAccount:
    """Wallet and profit against rate and closing fee x notional, no bracket amount.

    Source:
        OKX, "Estimated liquidation price"; Gate, "Liquidation price" of perpetual contracts.
    """
    signed = position.side * position.size
    return LinearAccount(
        equity=position.wallet - signed * position.entry,
        equity_per_price=signed,
        maintenance=np.zeros_like(signed),
        maintenance_per_price=position.size * (position.maintenance_rate + position.taker_fee),
    )


def _entry_account(position: IsolatedPosition) -> LinearAccount:
    """Initial margin by leverage and profit against maintenance on the notional at entry.

    Source:
        Bybit, "Liquidation price (USDT contract)", isolated margin with nothing added.
    """
    signed, notional = position.side * position.size, position.size * position.entry
    return LinearAccount(
        equity=notional / position.leverage - signed * position.entry,
        equity_per_price=signed,
        maintenance=notional * position.maintenance_rate,
        maintenance_per_price=np.zeros_like(signed),
    )


CONVENTIONS: Final[Mapping[str, Callable[[IsolatedPosition], LinearAccount]]] = {
    "binance": _bracket_account,
    "okx": _fee_account,
    "gate": _fee_account,
    "bybit": _entry_account,
}
