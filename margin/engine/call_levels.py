"""The ladder of a scope: which levels its equity crosses, with a band in which nothing fires.

A level fires when equity falls below it times maintenance margin, and is restored when equity is
back above the level and the band together. In between it stays as it was.
"""

from collections.abc import Mapping, Set
from decimal import Decimal
from typing import Final, NamedTuple

from margin.engine.exact import ZERO, exact

DROPPED: Final = "dropped"
RESTORED: Final = "restored"


class Crossing(NamedTuple):
    """A level that was crossed, and which way."""

    level: str
    way: str


def crossings(
    equity: Decimal,
    maintenance: Decimal,
    *,
    levels: Mapping[str, Decimal],
    below: Set[str],
    band: Decimal,
) -> list[Crossing]:
    """The levels that a scope crosses, the highest first when it falls, the lowest when it rises.

    Args:
        equity, maintenance: exact; without a requirement nothing is below any level.
        levels: times maintenance margin, by name.
        below: the levels that the scope is below already.
        band: above a level, times maintenance margin; 0 restores it at the level itself.
    """
    fell, rose = [], []
    for name, level in sorted(levels.items(), key=lambda item: -item[1]):
        with exact():
            floor, back = level * maintenance, (level + band) * maintenance
        if name not in below and maintenance > ZERO and equity < floor:
            fell.append(Crossing(name, DROPPED))
        elif name in below and equity >= back:
            rose.append(Crossing(name, RESTORED))
    return fell + rose[::-1]
