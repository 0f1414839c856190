"""How a scope stands: from well to worst, and what it is called for."""

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from margin.engine.exact import ZERO, Exact, Flag, exact, round_up

CENTS = 2

StateCode = NDArray[np.int8]


class State(IntEnum):
    """Where equity lies between the requirements."""

    OK = 0
    BELOW_INITIAL = 1
    CALL = 2
    LIQUIDATE = 3
    DEFICIT = 4


class CallAmounts(NamedTuple):
    """What scopes are asked to bring.

    Attributes:
        amount: (A,) in the currency with its two decimals; 0.00 where nothing is called.
        below_mta: (A,) something is missing, but less than is worth moving.
    """

    amount: Exact
    below_mta: Flag


def decide_states(
    *,
    equity: Exact,
    initial_margin: Exact,
    maintenance_margin: Exact,
    call_levels: Exact,
    liquidation_levels: Exact,
) -> StateCode:
    """The state of every scope, all arrays (A,); the first that holds, on unrounded figures.

    DEFICIT: equity < 0. OK: equity >= initial margin. BELOW_INITIAL: equity >= call level x
    maintenance margin. CALL: equity >= liquidation level x maintenance margin. Else LIQUIDATE.
    """
    with exact():
        tests: list[Flag] = [
            equity < ZERO,
            equity >= initial_margin,
            equity >= call_levels * maintenance_margin,
            equity >= liquidation_levels * maintenance_margin,
        ]
    states = [State.DEFICIT, State.OK, State.BELOW_INITIAL, State.CALL]
    return np.select([test.astype(bool) for test in tests], states, default=State.LIQUIDATE).astype(
        np.int8
    )


def spare_uncertain(states: StateCode, *, insufficient_mark: Flag) -> StateCode:
    """States (A,) of which none liquidates on a carried mark: LIQUIDATE and DEFICIT are CALL."""
    return np.where(insufficient_mark & (states > State.CALL), State.CALL, states).astype(np.int8)


def call_amounts(
    states: StateCode,
    *,
    equity: Exact,
    initial_margin: Exact,
    minimum_transfer_amounts: Exact,
) -> CallAmounts:
    """What restores initial margin, up to the next cent, in CALL, LIQUIDATE and DEFICIT."""
    amount: Exact = np.full(len(states), round_up(ZERO, CENTS), dtype=object)
    below_mta: Flag = np.zeros(len(states), dtype=bool)
    for scope in np.flatnonzero(states >= State.CALL):
        with exact():
            missing = round_up(initial_margin[scope] - equity[scope], CENTS)
        if missing < minimum_transfer_amounts[scope]:
            below_mta[scope] = True
        else:
            amount[scope] = missing
    return CallAmounts(amount, below_mta)
