"""Least cost under linear rules in whole numbers, by the textbook: simplex, then branches.

Plain lists and loops, for problems of some dozens of unknowns; nothing of a solver library.
"""

import math
from typing import Final, NamedTuple

EPSILON: Final = 1e-9
WHOLE: Final = 1e-6
PIVOTS_MAX: Final = 20_000

Tableau = list[list[float]]


class Rule(NamedTuple):
    """Unknowns times their factors are at most, or exactly, so much.

    Attributes:
        factors: by index of the unknown.
        limit: right-hand side.
        is_exact: equal to it, else at most.
    """

    factors: dict[int, float]
    limit: float
    is_exact: bool = False


def least_whole(costs: list[float], rules: list[Rule], *, whole: int) -> list[float]:
    """Unknowns from 0 that cost least, the first `whole` of them whole numbers.

    Raises:
        ArithmeticError: nothing keeps all rules.
    """
    best, best_cost = None, math.inf
    open_branches = [rules]
    while open_branches:
        branch = open_branches.pop()
        found = least(costs, branch)
        if found is None:
            continue
        cost = sum(each * value for each, value in zip(costs, found, strict=True))
        if cost >= best_cost - EPSILON * (1 + abs(best_cost if best else 0.0)):
            continue
        parts = [place for place in range(whole) if abs(found[place] - round(found[place])) > WHOLE]
        if not parts:
            best, best_cost = found, cost
            continue
        place, below = parts[0], math.floor(found[parts[0]])
        open_branches.append([*branch, Rule({place: -1.0}, -(below + 1.0))])
        open_branches.append([*branch, Rule({place: 1.0}, float(below))])
    if best is None:
        raise ArithmeticError("no whole numbers keep all rules")
    return best


def least(costs: list[float], rules: list[Rule]) -> list[float] | None:
    """Unknowns from 0 that cost least; None where nothing keeps all rules."""
    count = len(costs)
    table, basis, width = _start(count, rules)
    artificial = range(count + len(rules), width)
    if artificial:
        first = [1.0 if place in artificial else 0.0 for place in range(width)]
        if _descend(table, basis, first, width) > WHOLE:
            return None
        _drive_out(table, basis, artificial)
    second = [*costs, *[0.0] * len(rules)]
    _descend(table, basis, second, len(second))
    values = [0.0] * width
    for row, place in enumerate(basis):
        values[place] = table[row][-1]
    return values[:count]


def _start(count: int, rules: list[Rule]) -> tuple[Tableau, list[int], int]:
    """Rows with a slack each, and an unknown of its own where the slack cannot begin."""
    needs = [rule.is_exact or rule.limit < 0 for rule in rules]
    width = count + len(rules) + sum(needs)
    table, basis, extra = [], [], count + len(rules)
    for row, rule in enumerate(rules):
        sign = -1.0 if rule.limit < 0 else 1.0
        line = [0.0] * (width + 1)
        for place, factor in rule.factors.items():
            line[place] = sign * factor
        if not rule.is_exact:
            line[count + row] = sign
        line[-1] = sign * rule.limit
        if needs[row]:
            line[extra] = 1.0
            basis.append(extra)
            extra += 1
        else:
            basis.append(count + row)
        table.append(line)
    return table, basis, width


def _descend(table: Tableau, basis: list[int], costs: list[float], width: int) -> float:
    """Pivot until no unknown below `width` lowers the cost; the cost (Bland's rule)."""
    for _ in range(PIVOTS_MAX):
        prices = [costs[place] if place < len(costs) else 0.0 for place in basis]
        entering = next(
            (
                place
                for place in range(width)
                if place not in basis
                and costs[place]
                - sum(price * row[place] for price, row in zip(prices, table, strict=True) if price)
                < -EPSILON
            ),
            None,
        )
        if entering is None:
            return sum(price * row[-1] for price, row in zip(prices, table, strict=True))
        ratios = [
            (row[-1] / row[entering], basis[number], number)
            for number, row in enumerate(table)
            if row[entering] > EPSILON
        ]
        if not ratios:
            raise ArithmeticError("the cost has no least value")
        least_ratio = min(ratios)[0]
        ties = [each for each in ratios if each[0] <= least_ratio + EPSILON]
        _pivot(table, basis, min(ties, key=lambda each: each[1])[2], entering)
    raise ArithmeticError("too many pivots")


def _pivot(table: Tableau, basis: list[int], row: int, place: int) -> None:
    line = table[row]
    divisor = line[place]
    line[:] = [value / divisor for value in line]
    for other, values in enumerate(table):
        factor = values[place]
        if other != row and factor:
            values[:] = [
                value - factor * one if one else value
                for value, one in zip(values, line, strict=True)
            ]
    basis[row] = place


def _drive_out(table: Tableau, basis: list[int], artificial: range) -> None:
    """Exchange unknowns that stand for nothing, which are 0, for others where there are any."""
    for row in range(len(basis) - 1, -1, -1):
        if basis[row] not in artificial:
            continue
        place = next(
            (place for place in range(artificial.start) if abs(table[row][place]) > EPSILON), None
        )
        if place is None:
            del table[row], basis[row]
        else:
            _pivot(table, basis, row, place)
