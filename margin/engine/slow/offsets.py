"""Offsets in plain loops over pairs of units."""

import math
from collections.abc import Sequence

from margin.engine.offsets import OffsetRule


def net_of(
    gross: Sequence[float],
    directions: Sequence[float],
    matrix: Sequence[Sequence[float]],
    *,
    rule: OffsetRule,
    credit_most: float,
) -> tuple[float, list[float]]:
    """What one scope is required, and the share of each unit."""
    size, total = len(gross), sum(gross)
    worth = [[_worth(directions, matrix, rule, i, j) for j in range(size)] for i in range(size)]
    pulls = [sum(worth[i][j] * gross[j] for j in range(size)) for i in range(size)]
    square = sum(gross[i] * pulls[i] for i in range(size))
    root = math.sqrt(max(square, 0.0))
    credit = max(total - root, 0.0)
    share = min(credit, credit_most * total) / credit if credit > 0 else 0.0
    euler = [gross[i] * pulls[i] / root if root > 0 else 0.0 for i in range(size)]
    parts = [own - share * (own - left) for own, left in zip(gross, euler, strict=True)]
    return sum(parts), parts


def _worth(
    directions: Sequence[float], matrix: Sequence[Sequence[float]], rule: OffsetRule, i: int, j: int
) -> float:
    """What a pair counts in the square of the net."""
    if i == j or directions[i] == 0 or directions[j] == 0:
        return 1.0
    signed = directions[i] * directions[j] * matrix[i][j]
    if rule is OffsetRule.DIVERSIFIED:
        return signed
    return 1.0 - 2.0 * max(-signed, 0.0)
