"""Marks and terms of assets as the constants that columns are multiplied by.

Terms that are not known here, and numbers that do not fit, are odd: whoever holds such an asset is
left to `house_rules.evaluate`. Axes: I assets, K brackets, R rows of constants, V agreements.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Final

import numpy as np

from margin.engine.exact import ONE, ZERO, Flag, Index, exact
from margin.engine.inputs import (
    AssetRow,
    HouseRulesInput,
    MoneyTerms,
    PerpetualTerms,
    SecurityTerms,
)
from margin.engine.states import CENTS
from margin.engine.wide import DECIMALS, HIGH_MAX, Ints, Wide, units_of, wide_of

DIGITS: Final = 18
SCALE_MAX: Final = 9
LEVEL_MAX: Final = 10**9
# What an evaluation is made from, as far as it is known here; anything more is left to it.
KNOWN: Final = {
    MoneyTerms: ("haircut",),
    SecurityTerms: ("initial_rate", "maintenance_rate"),
    PerpetualTerms: ("initial", "maintenance"),
    HouseRulesInput: (
        "assets", "terms", "kinds", "marks", "insufficient", "overridden", "currency", "scopes",
        "is_cash_account", "loans", "call_levels", "liquidation_levels",
        "minimum_transfer_amounts", "claim_scopes", "claim_assets", "claim_amounts",
        "position_scopes", "position_assets", "quantities", "average_costs", "charges", "doubts",
        "surcharges", "options",
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


def is_known_rule() -> bool:
    """Whether an evaluation is made from what is known here and from nothing more."""
    return all(tuple(each.name for each in fields(kind)) == names for kind, names in KNOWN.items())


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
        elif isinstance(terms, PerpetualTerms):
            initial, maintenance = terms.initial, terms.maintenance
            if initial.floors != maintenance.floors:
                return ODD
            found = _charged(
                row.mark,
                scale,
                list(zip(initial.rates, initial.deductions, strict=True)),
                list(zip(maintenance.rates, maintenance.deductions, strict=True)),
                [_units_from(floor, row.mark, scale) for floor in initial.floors],
            )
        else:
            return ODD
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
    rounded_down = -floor_over * mark_under * int(10**scale) // (floor_under * mark_over)
    return -rounded_down


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
