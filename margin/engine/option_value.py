"""How the value of options counts against what is required: as the firm declares.

Axes: A scopes, K parts, I instruments.
"""

from enum import StrEnum
from typing import Final

import numpy as np

from margin.engine.explain import figure_of
from margin.engine.given import Float
from margin.engine.market import Index, Market
from margin.engine.model import Part, in_order
from margin.engine.option_equity import OptionEquity

# What is left of a sum of this share of its largest term is rounding.
NOISE: Final = 1e-12


class OptionValue(StrEnum):
    """What the requirement makes of the net market value of a scope's options.

    IN_EQUITY: nothing; equity counts it. LONG_ONLY: what is above 0 lessens the requirement. NET:
    so does it, and what is below 0 adds to it. `beside_option_value` says what equity then counts.
    """

    IN_EQUITY = "in_equity"
    LONG_ONLY = "long_only"
    NET = "net"


def beside_option_value(counts: OptionValue) -> OptionEquity:
    """What equity counts where a requirement counts option value so."""
    return {
        OptionValue.IN_EQUITY: OptionEquity.ALL,
        OptionValue.LONG_ONLY: OptionEquity.DEBT,
        OptionValue.NET: OptionEquity.NONE,
    }[counts]


def option_values(market: Market) -> Float:
    """(I,) market value of one contract of every option, 0 of anything else."""
    contract = market.instruments
    values: Float = np.where(contract.is_option, contract.multipliers * market.prices, 0.0)
    return values


def with_option_value(parts: Float, *, values: Float, counts: OptionValue) -> Float:
    """(A, K + 1) parts with what option value takes off as the last; totals are never below 0.

    Args:
        parts: (A, K) whose totals are not below 0.
        values: (A,) net value of the options of each scope, signed.
    """
    if counts is OptionValue.IN_EQUITY:
        usable: Float = np.zeros(len(values))
    elif counts is OptionValue.LONG_ONLY:
        usable = np.maximum(values, 0.0)
    else:
        usable = values
    return np.column_stack([parts, 0.0 - np.minimum(usable, in_order(parts))])


def value_part(market: Market, *, amount: float, instruments: Index, values: Float) -> Part:
    """The part of a tree that says what option value takes off, opened to positions.

    Args:
        amount: what it takes off, negative, or adds.
        instruments: (P,) of one scope.
        values: (P,) value of each position, 0 of what is no option.
    """
    legs = [
        Part(
            market.instruments.names[place],
            -float(value),
            f"market value {figure_of(value)}",
            ({"price": market.instruments.names[place]}, {"parameter": "option_value"}),
        )
        for place, value in zip(instruments, values, strict=True)
        if value
    ]
    rest = amount - sum(leg.amount for leg in legs)
    if legs and abs(rest) > NOISE * max(1.0, float(np.abs(values).max())):
        legs.append(Part("Of which does not count", rest, "beyond the requirement, or below 0"))
    return Part("Option value", amount, "net market value of options", children=tuple(legs))
