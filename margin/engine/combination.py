"""How charges of many risks become one: norms, so that books together never cost more than apart.

Axes: N rows (a scope, or an underlying of one), K charges of a row.

Each rule has the slope of the whole along every charge. Rules are homogeneous of degree one, so
that charges times slopes add up to the whole: Euler's exact shares.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from margin.engine.given import Float
from margin.engine.market import Index
from margin.engine.model import in_order


class Rule(Protocol):
    """A way to make one charge of several; sub-additive and homogeneous."""

    def charge(self, values: Float) -> Float:
        """(N,) the charge of (N, K) values, not negative."""

    def slopes(self, values: Float) -> Float:
        """(N, K) what the charge gains per unit of each value; values x slopes add up to it."""


@dataclass(frozen=True, slots=True)
class Correlated:
    """Charges that do not hedge each other: sqrt(r (sum v)^2 + (1 - r) sum v^2).

    Values are not negative. r from 0 to 1 is a correlation matrix of equal entries, which is
    positive semidefinite: 1 adds the charges, 0 takes the root of the sum of their squares.
    """

    correlation: float

    def charge(self, values: Float) -> Float:
        """(N,) as `Rule`."""
        return self.of_sums(in_order(values), squares=in_order(values * values))

    def of_sums(self, total: Float, *, squares: Float) -> Float:
        """(N,) the charge of rows whose values, and their squares, have these sums."""
        mixed = self.correlation * (total * total) + (1 - self.correlation) * squares
        charge: Float = np.sqrt(mixed)
        return charge

    def slopes(self, values: Float) -> Float:
        """(N, K) as `Rule`; 0 where nothing is charged."""
        total = in_order(values)[:, None]
        return _over(
            self.correlation * total + (1 - self.correlation) * values, self.charge(values)
        )


@dataclass(frozen=True, slots=True)
class PartlyHedged:
    """Signed charges of which opposite ones offset in part.

    The greater of one move of all alike, |sum v|, and of moves that are correlated by r,
    sqrt(r (sum v)^2 + (1 - r) sum v^2): charges of one sign add up in full, opposite ones are
    netted no further than r allows. The greater of two norms is a norm; r = 1 is |sum v| exactly.

    Source:
        The curve and volatility risk of the Basel standardised approach (MAR21.4 to 21.6): sums by
        correlation, under the correlation that costs most.
    """

    correlation: float

    def charge(self, values: Float) -> Float:
        """(N,) as `Rule`."""
        total, squares = in_order(values), in_order(values * values)
        alike = total * total
        unhedged = np.maximum(squares - alike, 0.0)
        charge: Float = np.sqrt(alike + (1 - self.correlation) * unhedged)
        return charge

    def slopes(self, values: Float) -> Float:
        """(N, K) as `Rule`; 0 where nothing is charged."""
        total, squares = in_order(values), in_order(values * values)
        is_hedged = (squares > total * total)[:, None]
        mixed = self.correlation * total[:, None] + (1 - self.correlation) * values
        return _over(np.where(is_hedged, mixed, total[:, None]), self.charge(values))


@dataclass(frozen=True, slots=True)
class OneSided:
    """Signed charges of which gains count in part: max(0, sum of losses - share x gains).

    Convex for a share from 0 to 1. What is gained on the whole lowers nothing else.
    """

    gains_share: float

    def charge(self, values: Float) -> Float:
        """(N,) as `Rule`."""
        charge: Float = np.maximum(in_order(values * self._shares(values)), 0.0)
        return charge

    def slopes(self, values: Float) -> Float:
        """(N, K) as `Rule`; 0 where nothing is charged."""
        slopes: Float = np.where(self.charge(values)[:, None] > 0, self._shares(values), 0.0)
        return slopes

    def _shares(self, values: Float) -> Float:
        shares: Float = np.where(values > 0, 1.0, self.gains_share)
        return shares


def added(values: Float, *, rows: Index, count: int) -> Float:
    """(count,) sums of the values (V,) of each row, added in the order they come in.

    Args:
        rows: (V,) row of each value, below `count`.
    """
    sums: Float = np.bincount(rows, weights=values, minlength=count).astype(np.float64, copy=False)
    return sums


def _over(values: Float, charge: Float) -> Float:
    """(N, K) values over the charge (N,) of their row, 0 where that is 0."""
    is_charged = charge > 0
    slopes: Float = np.where(
        is_charged[:, None], values / np.where(is_charged, charge, 1.0)[:, None], 0.0
    )
    return slopes
