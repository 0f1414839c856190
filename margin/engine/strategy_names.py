"""Groups of option positions as the desk calls them, each with what it requires."""

import math
from typing import NamedTuple

import numpy as np

from margin.engine.strategy_grouping import (
    CarryingCosts,
    Count,
    Grouping,
    OptionLegs,
    spread_requirement,
)

# Far below a cent: requirements that differ by less are the same one summed in another order.
SAME = 1e-7


class GroupLeg(NamedTuple):
    """Contracts of one series in a group.

    Attributes:
        right: "call" or "put".
        strike: price of exercise.
        expires_in_days: days until expiry.
        contracts: signed.
    """

    right: str
    strike: float
    expires_in_days: int
    contracts: int


class StrategyGroup(NamedTuple):
    """Positions that are margined as one.

    Attributes:
        strategy: what the desk calls it.
        legs: its options.
        shares: its shares of the underlying, signed.
        requirement: what it costs, in the currency of the prices.
    """

    strategy: str
    legs: tuple[GroupLeg, ...]
    shares: float
    requirement: float


def named_groups(
    legs: OptionLegs,
    grouping: Grouping,
    *,
    costs: CarryingCosts,
    shares: float,
    share_requirement: float,
    multiplier: int,
) -> tuple[StrategyGroup, ...]:
    """The groups of a grouping: with shares first, then spreads, pairs and single options.

    Args:
        legs: L legs.
        grouping: how their contracts are carried.
        costs: what each way requires.
        shares: shares held, signed.
        share_requirement: what one of them requires.
        multiplier: units of the underlying in one contract.
    """
    sign = np.sign(legs.contracts)
    with_shares, alone = _share_groups(
        legs,
        grouping,
        costs=costs,
        shares=shares,
        share_requirement=share_requirement,
        multiplier=multiplier,
    )
    groups = list(with_shares)
    for spread in grouping.spread:
        for name, part in named_parts(legs, spread * sign):
            required = spread_requirement(legs, part) * multiplier
            groups.append(StrategyGroup(name, _group_legs(legs, part), 0.0, required))
    for call, put in np.argwhere(grouping.pair):
        part = np.zeros_like(legs.contracts)
        part[[call, put]] = -grouping.pair[call, put]
        name = "short straddle" if legs.strike[call] == legs.strike[put] else "short strangle"
        required = float(costs.pair[call, put]) * int(grouping.pair[call, put]) * multiplier
        groups.append(StrategyGroup(name, _group_legs(legs, part), 0.0, required))
    for leg in np.flatnonzero(alone):
        part = np.zeros_like(legs.contracts)
        part[leg] = alone[leg] * sign[leg]
        name = f"{'long' if sign[leg] > 0 else 'short'} {_right(legs, int(leg))}"
        required = float(costs.alone[leg]) * int(alone[leg]) * multiplier
        groups.append(StrategyGroup(name, _group_legs(legs, part), 0.0, required))
    return tuple(groups)


def group_lines(groups: tuple[StrategyGroup, ...]) -> tuple[str, ...]:
    """One line per group, for people: its name, its legs and what it requires."""
    return tuple(
        f"{group.strategy}: {', '.join(_leg_texts(group))}: {group.requirement:.2f}"
        for group in groups
    )


def named_parts(legs: OptionLegs, contracts: Count) -> list[tuple[str, Count]]:
    """A spread in the parts that the desk knows, as far as parts require no more than the whole.

    Pairs of a long and a short with near strikes are taken away first, until what remains has a
    name or no pair can be taken away without a higher requirement.

    Args:
        legs: L legs.
        contracts: (L,) signed contracts, balanced in calls and in puts.
    """
    parts: list[tuple[str, Count]] = []
    rest = contracts.copy()
    while rest.any():
        name = spread_name(legs, rest)
        pair = None if name else _separable_pair(legs, rest)
        if pair is None:
            parts.append((name or "spread", rest))
            return parts
        parts.append((spread_name(legs, pair) or "spread", pair))
        rest = rest - pair
    return parts


def spread_name(legs: OptionLegs, contracts: Count) -> str | None:
    """What the desk calls a spread of these contracts; None where it has no name of its own."""
    held = np.flatnonzero(contracts)
    held = held[np.argsort(legs.strike[held], kind="stable")]
    unit = contracts[held] // math.gcd(*(int(count) for count in contracts[held]))
    calls = int(legs.is_call[held].sum())
    one_day = len(np.unique(legs.expires_in_days[held])) == 1
    if len(held) == 2:
        one_strike = legs.strike[held[0]] == legs.strike[held[1]]
        return "vertical spread" if one_day else "calendar" if one_strike else "diagonal spread"
    if not one_day:
        return None
    if calls in (0, len(held)):
        side = "long" if unit[0] > 0 else "short"
        shape = tuple(int(count) for count in unit * np.sign(unit[0]))
        wings = {(1, -2, 1): "butterfly", (1, -1, -1, 1): "condor"}
        return f"{side} {wings[shape]}" if shape in wings else None
    if len(held) == 4 and calls == 2 and (np.abs(unit) == 1).all():
        return _two_sided_name(legs, held, unit)
    return None


def _two_sided_name(legs: OptionLegs, held: Count, unit: Count) -> str | None:
    """The name of one vertical spread of calls with one of puts."""
    strike = {
        (bool(legs.is_call[leg]), int(count)): float(legs.strike[leg])
        for leg, count in zip(held, unit, strict=True)
    }
    if len(strike) != 4:
        return None
    call_long, call_short = strike[True, 1], strike[True, -1]
    put_long, put_short = strike[False, 1], strike[False, -1]
    if call_long == put_short and call_short == put_long:
        return "long box" if call_long < call_short else "short box"
    if put_long < put_short <= call_short < call_long:
        return "iron butterfly" if put_short == call_short else "iron condor"
    if put_short < put_long <= call_long < call_short:
        return "long iron butterfly" if put_long == call_long else "long iron condor"
    return None


def _separable_pair(legs: OptionLegs, contracts: Count) -> Count | None:
    """A long and a short whose requirement apart adds up to that of the whole, if there is one."""
    whole = spread_requirement(legs, contracts)
    same_right = legs.is_call[:, None] == legs.is_call[None, :]
    opposite = (contracts > 0)[:, None] & (contracts < 0)[None, :]
    candidates = np.argwhere(same_right & opposite)
    distance = np.abs(legs.strike[candidates[:, 0]] - legs.strike[candidates[:, 1]])
    for long, short in candidates[np.argsort(distance, kind="stable")]:
        count = min(int(contracts[long]), -int(contracts[short]))
        pair = np.zeros_like(contracts)
        pair[long], pair[short] = count, -count
        apart = spread_requirement(legs, pair) + spread_requirement(legs, contracts - pair)
        if apart <= whole + SAME:
            return pair
    return None


def _share_groups(
    legs: OptionLegs,
    grouping: Grouping,
    *,
    costs: CarryingCosts,
    shares: float,
    share_requirement: float,
    multiplier: int,
) -> tuple[list[StrategyGroup], Count]:
    """Shares with the options they cover and those that protect them, and options left alone."""
    groups: list[StrategyGroup] = []
    alone = grouping.alone.copy()
    lots = int(abs(shares) // multiplier)
    protects = (legs.contracts > 0) & (legs.is_call == (shares < 0))
    covered = [(int(leg), int(grouping.covered[leg])) for leg in np.flatnonzero(grouping.covered)]
    side = math.copysign(1.0, shares)
    for leg, total in [*covered, (None, lots - sum(count for _, count in covered))]:
        open_count = total
        for option in [*(int(option) for option in np.flatnonzero(protects)), None]:
            if option is not None and not _protects(legs, option, covered=leg, side=side):
                continue
            count = open_count if option is None else min(open_count, int(alone[option]))
            if count == 0 or (leg is None and option is None):
                continue
            part = np.zeros_like(legs.contracts)
            required = abs(share_requirement) * count * multiplier
            if leg is not None:
                part[leg] = -count
            if option is not None:
                part[option] = count
                alone[option] -= count
                required += float(costs.alone[option]) * count * multiplier
            name = _share_name(legs, leg, option, side=side)
            held = side * count * multiplier
            groups.append(StrategyGroup(name, _group_legs(legs, part), held, required))
            open_count -= count
    rest = shares - math.fsum(group.shares for group in groups)
    if rest:
        name = "long shares" if rest > 0 else "short shares"
        groups.append(StrategyGroup(name, (), rest, abs(share_requirement * rest)))
    return groups, alone


def _protects(legs: OptionLegs, option: int, *, covered: int | None, side: float) -> bool:
    """Whether a long option belongs with shares whose other option, if any, is `covered`."""
    if covered is None:
        return True
    same_day = legs.expires_in_days[option] == legs.expires_in_days[covered]
    return bool(same_day and side * (legs.strike[covered] - legs.strike[option]) >= 0)


def _share_name(legs: OptionLegs, covered: int | None, option: int | None, *, side: float) -> str:
    if option is None:
        return "covered call" if side > 0 else "covered put"
    if covered is None:
        return "protective put" if side > 0 else "protective call"
    if legs.strike[covered] == legs.strike[option]:
        return "conversion" if side > 0 else "reverse conversion"
    return "collar" if side > 0 else "collar of short shares"


def _right(legs: OptionLegs, leg: int) -> str:
    return "call" if legs.is_call[leg] else "put"


def _group_legs(legs: OptionLegs, contracts: Count) -> tuple[GroupLeg, ...]:
    return tuple(
        GroupLeg(
            _right(legs, int(leg)),
            float(legs.strike[leg]),
            int(legs.expires_in_days[leg]),
            int(contracts[leg]),
        )
        for leg in np.flatnonzero(contracts)
    )


def _leg_texts(group: StrategyGroup) -> list[str]:
    options = [
        f"{leg.contracts:+d} {leg.right} {leg.strike:g} in {leg.expires_in_days} d"
        for leg in group.legs
    ]
    return [*options, f"{group.shares:+g} shares"] if group.shares else options
