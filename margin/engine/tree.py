"""Requirements as money: figures rounded by name, trees that add up to the last unit."""

from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from typing import Final

import numpy as np
from numpy.typing import NDArray

from margin.engine.exact import ZERO, exact
from margin.engine.explain import Node
from margin.engine.given import Float
from margin.engine.model import Part
from margin.engine.rejected import RejectedInputError

Units = NDArray[np.int64]

# What binary sums leave behind is smaller than this share of a unit; it is not rounded up.
NOISE_DECIMALS: Final = 6
# Rounding is what it is for, also where whoever asks wants sums to be exact.
NEAREST: Final = Context(prec=60, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation])
# Beyond it a float skips whole units.
UNITS_MOST: Final = 2.0**53


def units_up(amounts: Float, *, decimals: int) -> Units:
    """(N,) whole units of the currency, rounded up: what is required is never less than computed.

    A figure that exceeds whole units by less than a millionth of one is those units.

    Raises:
        RejectedInputError: a figure is no number, or so large that units cannot be told apart.
    """
    scaled = np.round(amounts * 10.0**decimals, NOISE_DECIMALS)
    if not (np.abs(scaled) <= UNITS_MOST).all():
        raise RejectedInputError("a requirement is too large for its units to be told apart")
    return np.ceil(scaled).astype(np.int64)


def units_of_parts(parts: Float, *, totals: Units, decimals: int) -> Units:
    """(A, K) parts as whole units that add up to the totals (A,) exactly.

    Each is rounded to the nearest; what is then missing or too much goes to the largest part, the
    first of equals.
    """
    units = np.rint(parts * 10.0**decimals).astype(np.int64)
    largest = np.abs(units).argmax(axis=1)
    units[np.arange(len(units)), largest] += totals - units.sum(axis=1)
    return units


def exact_tree(part: Part, *, decimals: int) -> Node:
    """The tree in exact decimals, its root rounded up as `units_up` does."""
    (units,) = units_up(np.array([part.amount]), decimals=decimals)
    return _node(part, Decimal(int(units)).scaleb(-decimals), decimals)


def decimal_up(amount: float, *, decimals: int) -> Decimal:
    """One figure as `units_up` rounds it."""
    (units,) = units_up(np.array([amount]), decimals=decimals)
    return Decimal(int(units)).scaleb(-decimals)


def _node(part: Part, amount: Decimal, decimals: int) -> Node:
    shares = _shares([child.amount for child in part.children], amount, decimals)
    return Node(
        label=part.label,
        amount=amount,
        how=part.how,
        inputs=part.inputs,
        children=tuple(
            _node(child, share, decimals)
            for child, share in zip(part.children, shares, strict=True)
        ),
        beside=tuple(_node(each, _near(each.amount, decimals), decimals) for each in part.beside),
    )


def _shares(amounts: Sequence[float], total: Decimal, decimals: int) -> list[Decimal]:
    """The amounts to the nearest unit, the rest with the largest, so that they add up."""
    shares = [_near(amount, decimals) for amount in amounts]
    if shares:
        largest = max(range(len(shares)), key=lambda place: (abs(shares[place]), -place))
        with exact():
            shares[largest] += total - sum(shares, ZERO)
    return shares


def _near(amount: float, decimals: int) -> Decimal:
    return Decimal.from_float(amount).quantize(Decimal(1).scaleb(-decimals), context=NEAREST)
