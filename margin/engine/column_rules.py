"""House rules v1 over columns of whole numbers: what `house_rules.evaluate` says, some hundred
times as fast.

`evaluate` is the rule. This is the same arithmetic where all of it fits into whole numbers of 128
bits; scopes in which anything does not fit, and terms that are not known here, are named and left
to `evaluate`. Axes: A scopes, I assets, N holdings (claims and positions alike, by scope), K
brackets, R rows of constants.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Final

import numpy as np

from margin.engine.exact import ONE, ZERO, Exact, Flag, Index, exact
from margin.engine.inputs import (
    AssetRow,
    HouseRulesInput,
    MoneyTerms,
    PerpetualTerms,
    SecurityTerms,
)
from margin.engine.states import CENTS, State, StateCode, spare_uncertain
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
    units_of,
    wide_of,
)

COST_DECIMALS: Final = 8
COST_MAX: Final = 10**15
DIGITS: Final = 18
SCALE_MAX: Final = 9
LEVEL_MAX: Final = 10**9
TOTAL_MAX: Final = 9 * 10**16
# What an evaluation is made from, as far as it is known here; anything more is left to it.
KNOWN: Final = {
    MoneyTerms: ("haircut",),
    SecurityTerms: ("initial_rate", "maintenance_rate"),
    PerpetualTerms: ("initial", "maintenance"),
    HouseRulesInput: (
        "assets", "terms", "kinds", "marks", "insufficient", "overridden", "currency", "scopes",
        "is_cash_account", "loans", "call_levels", "liquidation_levels",
        "minimum_transfer_amounts", "claim_scopes", "claim_assets", "claim_amounts",
        "position_scopes", "position_assets", "quantities", "average_costs", "charges",
        "doubts",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Factors:
    """Constants by which whole units become amounts; (R,) each.

    amount = units x 10^`raise_by` x `times` - deduction, all in units of 10^-20.

    Attributes:
        units_max: from which units on a row is left to `evaluate`.
    """

    raise_by: Ints
    times: Ints
    units_max: Ints
    deduction: Wide


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """Marks and terms of all assets as constants.

    Attributes:
        rows: (I,) assets as the evaluation takes them.
        scales: (I,) decimals of an amount of each.
        is_odd: (I,) left to `evaluate`.
        is_perpetual, insufficient, overridden: (I,).
        value: (I,) factors of what a holding is worth.
        cost_raise_by: (I,) by which units are raised to be multiplied with a cost.
        thresholds: (K - 1, I) units from which the next bracket holds.
        first: (I,) where the rows of an asset begin in both requirements.
        initial, maintenance: (R,) a row a bracket.
    """

    rows: tuple[AssetRow, ...]
    scales: tuple[int, ...]
    is_odd: Flag
    is_perpetual: Flag
    insufficient: Flag
    overridden: Flag
    value: Factors
    cost_raise_by: Ints
    thresholds: Ints
    first: Index
    initial: Factors
    maintenance: Factors


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
class Levels:
    """Levels of agreements; (V,) each.

    Attributes:
        call, liquidation: times `unit`, whole.
        unit: powers of ten.
        minimum: the least call, in cents, rounded up.
        is_odd: left to `evaluate`.
    """

    call: Ints
    liquidation: Ints
    unit: Ints
    minimum: Ints
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


def is_known_rule() -> bool:
    """Whether an evaluation is made from what is known here and from nothing more."""
    return all(tuple(each.name for each in fields(kind)) == names for kind, names in KNOWN.items())


# ---------------------------------------------------------------- constants


def ground_of(assets: Sequence[AssetRow], *, scales: Sequence[int]) -> Ground:
    """The constants of assets whose amounts have so many decimals."""
    tables = [_asset(row, scale) for row, scale in zip(assets, scales, strict=True)]
    brackets = max((len(each.floors) for each in tables), default=1)
    thresholds = np.full((brackets - 1, len(tables)), np.iinfo(np.int64).max, dtype=np.int64)
    for place, each in enumerate(tables):
        for k, units in enumerate(each.floors[1:]):
            thresholds[k, place] = min(units, np.iinfo(np.int64).max)
    sizes = [len(each.floors) for each in tables]
    return Ground(
        rows=tuple(assets),
        scales=tuple(scales),
        is_odd=np.array([each.is_odd for each in tables], dtype=bool),
        is_perpetual=np.array(
            [isinstance(row.terms, PerpetualTerms) for row in assets], dtype=bool
        ),
        insufficient=np.array([row.insufficient for row in assets], dtype=bool),
        overridden=np.array([row.overridden for row in assets], dtype=bool),
        value=_factors([each.value for each in tables]),
        cost_raise_by=np.array(
            [10 ** max(SCALE_MAX - scale, 0) for scale in scales], dtype=np.int64
        ),
        thresholds=thresholds,
        first=np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.intp)
        if sizes
        else np.zeros(0, dtype=np.intp),
        initial=_factors([row for each in tables for row in each.initial]),
        maintenance=_factors([row for each in tables for row in each.maintenance]),
    )


@dataclass(frozen=True, slots=True)
class _Factor:
    raise_by: int
    times: int
    deduction: int = 0


NOTHING: Final = _Factor(0, 0)


@dataclass(frozen=True, slots=True)
class _Asset:
    value: _Factor
    initial: list[_Factor]
    maintenance: list[_Factor]
    floors: list[int]  # in units; the first is 0
    is_odd: bool = False


ODD: Final = _Asset(NOTHING, [NOTHING], [NOTHING], [0], is_odd=True)


def _asset(row: AssetRow, scale: int) -> _Asset:
    """One asset's constants; ODD where they do not fit or its terms are not known here."""
    terms = row.terms
    is_known = type(terms) in KNOWN and row.doubt is None
    if not 0 <= scale <= SCALE_MAX or row.mark <= 0 or not is_known:
        return ODD
    with exact():
        if isinstance(terms, MoneyTerms):
            value = _factor(row.mark * (ONE - terms.haircut), scale)
            found = None if value is None else _Asset(value, [NOTHING], [NOTHING], [0])
        elif isinstance(terms, SecurityTerms):
            found = _charged(
                row.mark, scale, [(terms.initial_rate, ZERO)], [(terms.maintenance_rate, ZERO)], [0]
            )
        else:
            schedules = [
                list(zip(one.rates, one.deductions, strict=True))
                for one in (terms.initial, terms.maintenance)
            ]
            if terms.initial.floors != terms.maintenance.floors:
                return ODD
            floors = [_units_from(floor, row.mark, scale) for floor in terms.initial.floors]
            found = _charged(row.mark, scale, *schedules, floors)
    return ODD if found is None else found


def _charged(
    mark: Decimal,
    scale: int,
    initial: Sequence[tuple[Decimal, Decimal]],
    maintenance: Sequence[tuple[Decimal, Decimal]],
    floors: list[int],
) -> _Asset | None:
    value = _factor(mark, scale)
    rows = [
        [_factor(mark * rate, scale, deduction) for rate, deduction in schedule]
        for schedule in (initial, maintenance)
    ]
    if value is None or any(row is None for schedule in rows for row in schedule):
        return None
    asked = [[row for row in schedule if row is not None] for schedule in rows]
    return _Asset(value, asked[0], asked[1], floors)


def _factor(price: Decimal, scale: int, deduction: Decimal = ZERO) -> _Factor | None:
    """The constants of price x units - deduction; None where they do not fit."""
    said = units_of(deduction, DECIMALS)
    if price < 0 or said is None or abs(said) >= HIGH_MAX * 10**DIGITS:
        return None
    decimals = max(0, -int(price.normalize().as_tuple().exponent)) if price else 0
    spare = DECIMALS - scale - decimals
    times = units_of(price, decimals)
    if spare < 0 or times is None or len(str(times)) > DIGITS:
        return None
    shift = min(spare, DIGITS - len(str(times)))
    return _Factor(10 ** (spare - shift), times * 10**shift, said)


def _units_from(floor: Decimal, mark: Decimal, scale: int) -> int:
    """The fewest units whose worth at the mark reaches a floor."""
    floor_over, floor_under = floor.as_integer_ratio()
    mark_over, mark_under = mark.as_integer_ratio()
    return -(-floor_over * mark_under * 10**scale // (floor_under * mark_over))


def _factors(rows: Sequence[_Factor]) -> Factors:
    return Factors(
        raise_by=np.array([row.raise_by for row in rows], dtype=np.int64),
        times=np.array([row.times for row in rows], dtype=np.int64),
        units_max=np.array([10**DIGITS // max(row.raise_by, 1) for row in rows], dtype=np.int64),
        deduction=wide_of([row.deduction for row in rows]),
    )


def levels_of(
    *, call: Sequence[Decimal], liquidation: Sequence[Decimal], minimum: Sequence[Decimal]
) -> Levels:
    """The levels of agreements as whole numbers."""
    found = [_level(*each) for each in zip(call, liquidation, minimum, strict=True)]
    columns = np.array([row or (0, 0, 1, 0) for row in found], dtype=np.int64).reshape(-1, 4)
    return Levels(
        call=columns[:, 0],
        liquidation=columns[:, 1],
        unit=columns[:, 2],
        minimum=columns[:, 3],
        is_odd=np.array([row is None for row in found], dtype=bool),
    )


def _level(call: Decimal, liquidation: Decimal, minimum: Decimal) -> tuple[int, ...] | None:
    decimals = max(0, *(-int(each.as_tuple().exponent) for each in (call, liquidation)))
    if decimals >= SCALE_MAX:
        return None
    levels = [units_of(each, decimals) for each in (call, liquidation)]
    over, under = minimum.as_integer_ratio()
    cents = -(-over * 10**CENTS // under)
    if any(each is None or not 0 <= each < LEVEL_MAX for each in levels) or abs(cents) >= HIGH_MAX:
        return None
    return (*[each or 0 for each in levels], 10**decimals, cents)


# ---------------------------------------------------------------- the rules


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
        less = factors.deduction[row].times(taken)
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
    standing, least = scaled(equity[low], unit), maintenance[low]
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
    missing = initial[called].minus(equity[called])
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
