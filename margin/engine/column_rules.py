"""House rules v1 over columns of whole numbers: what `house_rules.evaluate` says, some hundred
times as fast.

`evaluate` is the rule. This is the same arithmetic where all of it fits into whole numbers of 128
bits; scopes in which anything does not fit, and terms that are not known here, are named and left
to `evaluate`. Axes: A scopes, I assets, N holdings (claims and positions alike, by scope), K
brackets, R rows of constants.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from margin.engine.column_ground import DIGITS, SCALE_MAX, Factors, Ground, Levels
from margin.engine.exact import Exact, Flag, Index
from margin.engine.states import State, StateCode, spare_uncertain
from margin.engine.wide import (
    DECIMALS,
    HIGH_MAX,
    PARTS_MAX,
    Ints,
    Wide,
    in_order,
    product,
    scaled,
    sums,
)

COST_DECIMALS: Final = 8
COST_MAX: Final = 10**15
TOTAL_MAX: Final = 9 * 10**16


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """What scopes hold.

    Attributes:
        starts: (A + 1,) where the holdings of each scope begin.
        assets: (N,) places in the ground.
        units: (N,) signed, whole units of the asset's last decimal.
        costs: (N,) average cost in units of 10^-8; 0 where there is none.
    """

    starts: Index
    assets: Index
    units: Ints
    costs: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Scopes:
    """Scopes with the levels of their agreements; (A,) each.

    Attributes:
        loans: owed, in cents.
        agreements: places in `Levels`.
        is_odd: left to `evaluate` whatever they hold.
    """

    is_cash_account: Flag
    loans: Ints
    agreements: Index
    is_odd: Flag


@dataclass(frozen=True, slots=True, eq=False)
class ColumnResult:
    """What the rules say of every scope; (A,) each but `brackets`.

    Attributes:
        call_cents: 0 where nothing is called.
        is_odd: that must be asked of `evaluate`; nothing else here is said of them.
        brackets: (N,) of each holding, 0 where it has none.
    """

    equity: Wide
    initial: Wide
    maintenance: Wide
    states: StateCode
    call_cents: Ints
    insufficient: Flag
    overridden: Flag
    below_mta: Flag
    is_odd: Flag
    brackets: Ints


def evaluate_columns(ground: Ground, held: Held, *, scopes: Scopes, levels: Levels) -> ColumnResult:
    """Equity, requirements, states and call amounts of every scope."""
    asset, units = held.assets, held.units
    size = np.abs(units)
    sign = np.sign(units)
    is_odd = ground.is_odd[asset] | (held.costs < 0) | (held.costs >= COST_MAX)
    worth, beyond = _amounts(ground.value, asset, size)
    worth = worth.times(sign)
    is_odd |= beyond
    perpetual = np.flatnonzero(ground.is_perpetual[asset])
    if perpetual.size:
        worth, beyond = _less_cost(ground, held, worth, perpetual, size=size, sign=sign)
        is_odd[perpetual] |= beyond
    row, bracket = ground.first[asset], np.zeros(len(units), dtype=np.int64)
    for threshold in ground.thresholds:
        bracket += size >= threshold[asset]
    row = row + bracket
    initial, beyond = _amounts(ground.initial, row, size)
    is_odd |= beyond
    maintenance, beyond = _amounts(ground.maintenance, row, size)
    is_odd |= beyond
    odd = _any(is_odd, held.starts) | scopes.is_odd | levels.is_odd[scopes.agreements]
    odd |= np.diff(held.starts) > PARTS_MAX
    odd |= (scopes.loans < 0) | (scopes.loans >= HIGH_MAX)
    loans = np.where(odd, 0, scopes.loans)
    equity = sums(worth, starts=held.starts)
    charged = (~scopes.is_cash_account).astype(np.int64)
    requirements = [
        sums(parts, starts=held.starts).times(charged) for parts in (initial, maintenance)
    ]
    for total in (equity, *requirements):
        odd |= np.abs(total.high) >= TOTAL_MAX
    is_held = units != 0
    return _judged(
        Wide(equity.high - loans, equity.low),
        *requirements,
        scopes=scopes,
        levels=levels,
        insufficient=_any(ground.insufficient[asset] & is_held, held.starts),
        overridden=_any(ground.overridden[asset] & is_held, held.starts),
        is_odd=odd,
        brackets=bracket,
    )


def _amounts(factors: Factors, row: Index, size: Ints) -> tuple[Wide, Flag]:
    """Amounts of sizes by rows of factors, and where they do not fit; 0 for nothing held."""
    beyond: Flag = size >= factors.units_max[row]
    raised = np.where(beyond, 0, size) * factors.raise_by[row]
    found = product(raised, factors.times[row])
    if factors.deduction.high.any() or factors.deduction.low.any():
        taken = (size != 0).astype(np.int64)
        less = factors.deduction.at(row).times(taken)
        found = in_order(found.high - less.high, found.low - less.low)
    return found, beyond | (found.high >= HIGH_MAX)


def _less_cost(
    ground: Ground, held: Held, worth: Wide, rows: Index, *, size: Ints, sign: Ints
) -> tuple[Wide, Flag]:
    """What is gained on perpetuals: worth less cost; and which of them do not fit."""
    raise_by = ground.cost_raise_by[held.assets[rows]]
    beyond: Flag = size[rows] >= 10**DIGITS // raise_by
    # Units are raised to nine decimals and costs by three: with their eight, twenty.
    paid = product(
        np.where(beyond, 0, size[rows]) * raise_by,
        np.clip(held.costs[rows], 0, COST_MAX - 1) * 10 ** (DECIMALS - SCALE_MAX - COST_DECIMALS),
    )
    beyond |= paid.high >= HIGH_MAX
    paid = paid.times(sign[rows])
    high, low = worth.high.copy(), worth.low.copy()
    high[rows] -= paid.high
    low[rows] -= paid.low
    return Wide(high, low), beyond


def _any(flags: Flag, starts: Index) -> Flag:
    """(A,) whether any of a scope's holdings is flagged."""
    found: Flag = np.zeros(len(starts) - 1, dtype=bool)
    flagged = np.flatnonzero(flags)
    if flagged.size:
        found[np.searchsorted(starts, flagged, side="right") - 1] = True
    return found


def _judged(
    equity: Wide,
    initial: Wide,
    maintenance: Wide,
    *,
    scopes: Scopes,
    levels: Levels,
    insufficient: Flag,
    overridden: Flag,
    is_odd: Flag,
    brackets: Ints,
) -> ColumnResult:
    """States and calls, as `margin.engine.states` decides them."""
    # Only those below initial margin are asked for more; what they are asked is scaled by levels.
    low = np.flatnonzero(~equity.at_least(initial) & ~is_odd)
    agreement = scopes.agreements[low]
    unit, call, liquidation = (
        each[agreement] for each in (levels.unit, levels.call, levels.liquidation)
    )
    most = np.iinfo(np.int64).max // np.maximum(np.maximum(unit, call), np.maximum(liquidation, 1))
    fits = (np.abs(equity.high[low]) < most) & (maintenance.high[low] < most)
    is_odd = is_odd.copy()
    is_odd[low[~fits]] = True
    low, unit, call, liquidation = low[fits], unit[fits], call[fits], liquidation[fits]
    standing, least = scaled(equity.at(low), unit), maintenance.at(low)
    states = np.zeros(len(is_odd), dtype=np.int8)
    states[low] = np.select(
        [
            equity.high[low] < 0,
            standing.at_least(scaled(least, call)),
            standing.at_least(scaled(least, liquidation)),
        ],
        [State.DEFICIT, State.BELOW_INITIAL, State.CALL],
        default=State.LIQUIDATE,
    )
    # Equity below 0 is a deficit also where nothing is required.
    states[(equity.high < 0) & ~is_odd] = State.DEFICIT
    states = spare_uncertain(states, insufficient_mark=insufficient)
    called = np.flatnonzero((states >= State.CALL) & ~is_odd)
    missing = initial.at(called).minus(equity.at(called))
    cents = missing.high + (missing.low > 0)
    below = cents < levels.minimum[scopes.agreements[called]]
    call_cents = np.zeros(len(is_odd), dtype=np.int64)
    call_cents[called] = np.where(below, 0, cents)
    below_mta: Flag = np.zeros(len(is_odd), dtype=bool)
    below_mta[called] = below
    return ColumnResult(
        equity=equity,
        initial=initial,
        maintenance=maintenance,
        states=states,
        call_cents=call_cents,
        insufficient=insufficient,
        overridden=overridden,
        below_mta=below_mta,
        is_odd=is_odd,
        brackets=brackets,
    )


def exact_column(values: Wide) -> Exact:
    """Pairs in order as decimals."""
    found: Exact = np.empty(len(values.high), dtype=object)
    found[:] = [values.decimal(place) for place in range(len(values.high))]
    return found
