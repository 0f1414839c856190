"""Offsets between risk units by approved correlations: gross, credit and net, in parts that add up.

Every risk unit (an underlying, a sector, a book) has its own requirement and a direction: whether
it loses as its market falls (+1) or rises (-1). Units hedge each other where their directions times
their correlation are negative. net = root of the sum over all pairs of c x r x r, where c of a pair
follows from the correlation by a named rule; the credit, gross less net, is limited to a declared
share. As c is never below what directions and correlation make, and these have no negative
eigenvalue, no net is the root of a negative number. Axes: A scopes, R risk units.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from margin.engine.covariance import nearest_correlations, psd_root
from margin.engine.given import Float, finite, not_negative
from margin.engine.market import Flag
from margin.engine.model import in_order
from margin.engine.rejected import RejectedInputError
from margin.engine.rowwise import times


class OffsetRule(StrEnum):
    """What a correlation is worth.

    HEDGES: only what hedges gives credit; c is 1 where a pair does not, and falls by twice the
    correlation where it does, so that the credit falls to nothing as the sign turns.
    DIVERSIFIED: c is the correlation, signed by both directions; units that merely do not move
    together give credit too.
    """

    HEDGES = "hedges"
    DIVERSIFIED = "diversified"


@dataclass(frozen=True, slots=True, eq=False)
class ApprovedCorrelations:
    """Correlations that somebody approved; build with `approved`.

    Attributes:
        version: under which they were approved; belongs into the record of every run.
        units: (R,) names of the risk units.
        matrix: (R, R) what is used: within floors and caps, without a negative eigenvalue.
        repair: how far the repair moved the matrix (Frobenius); 0 where none was needed.
    """

    version: str
    units: tuple[str, ...]
    matrix: Float
    repair: float


class Offset(NamedTuple):
    """What scopes are required, hedges counted.

    Attributes:
        gross: (A,) sum of the requirements of the units.
        credit: (A,) what hedges take away, not negative; gross - net.
        net: (A,) what is required.
        parts: (A, R) net by unit (Euler); signed, added from left to right they are the net.
        is_limited: (A,) the limit on credit binds.
        stressed_up, stressed_down: (A,) net were every correlation between two units +1, and -1.
            Three units or more cannot all move against each other; the figure counts pair by pair
            and is at least 0.
    """

    gross: Float
    credit: Float
    net: Float
    parts: Float
    is_limited: Flag
    stressed_up: Float
    stressed_down: Float


def approved(
    estimate: ArrayLike,
    *,
    version: str,
    units: tuple[str, ...],
    floors: ArrayLike,
    caps: ArrayLike,
    tolerance: float,
) -> ApprovedCorrelations:
    """Correlations within their floors and caps, repaired where that broke them.

    Args:
        estimate: (R, R) correlations, 1 on the diagonal.
        floors, caps: (R, R) or one for all; of every pair the least and the greatest.
        tolerance: how far a repair may move the matrix, as a share of its size.

    Raises:
        RejectedInputError: no correlations, not symmetric, a floor above its cap, no version, or a
            matrix too far from one without a negative eigenvalue.
    """
    matrix = finite("correlations", estimate)
    size = len(units)
    if not version or len(set(units)) != size:
        raise RejectedInputError("correlations: a version and one name a unit are needed")
    if matrix.shape != (size, size) or not (np.diag(matrix) == 1.0).all():
        raise RejectedInputError("correlations: one row a unit is needed, 1 on the diagonal")
    low, high = (np.broadcast_to(finite("bounds", each), (size, size)) for each in (floors, caps))
    if (low > high).any() or (np.abs(low) > 1).any() or (np.abs(high) > 1).any():
        raise RejectedInputError("correlations: a floor lies above its cap, or beyond 1")
    if (np.abs(matrix) > 1).any():
        raise RejectedInputError("correlations: one lies beyond 1")
    bounded = np.clip(matrix, low, high)
    np.fill_diagonal(bounded, 1.0)
    repaired = nearest_correlations(bounded, tolerance=tolerance, floors=low, caps=high)
    psd_root(repaired.matrix)
    return ApprovedCorrelations(version, units, repaired.matrix, repaired.distance)


def offsets(
    gross: ArrayLike,
    *,
    directions: ArrayLike,
    correlations: ApprovedCorrelations,
    rule: OffsetRule,
    credit_most: float,
) -> Offset:
    """Net requirements of scopes over their risk units.

    Args:
        gross: (A, R) requirement of each unit on its own, not negative.
        directions: (A, R) +1 where it loses as the unit's market falls, -1 where it rises, 0 where
            neither is known: such a unit hedges nothing.
        credit_most: share of gross that hedges may take away at most.

    Raises:
        RejectedInputError: a negative requirement, another direction, shapes that do not go
            together, or no share.

    Source:
        Square root aggregation by correlations, as in the Basel framework, MAR21.4; allocation by
        Euler's theorem, Tasche (1999).
    """
    own, sides = not_negative("gross", gross), finite("directions", directions)
    if own.ndim != 2 or own.shape != sides.shape or own.shape[1] != len(correlations.units):
        raise RejectedInputError("gross: a row of units is needed for each scope")
    if not np.isin(sides, (-1.0, 0.0, 1.0)).all():
        raise RejectedInputError("directions: +1, -1 or 0 is needed")
    if not 0 <= credit_most <= 1:
        raise RejectedInputError(f"credit_most: {credit_most} is no share")
    matrix = correlations.matrix
    total = in_order(own)
    pulls = _pulls(own, sides, matrix, rule)
    root = _root(own, pulls)
    full = np.maximum(total - root, 0.0)
    allowed = np.minimum(full, credit_most * total)
    share = np.divide(allowed, full, out=np.zeros_like(full), where=full > 0)
    parts = _parts(own, pulls, root, share)
    net = in_order(parts)
    alike = np.ones_like(matrix)
    against = 2.0 * np.eye(len(matrix)) - alike
    return Offset(
        gross=total,
        credit=total - net,
        net=net,
        parts=parts,
        is_limited=full > allowed,
        stressed_up=_root(own, _pulls(own, sides, alike, rule)),
        stressed_down=_root(own, _pulls(own, sides, against, rule)),
    )


def _pulls(own: Float, sides: Float, matrix: Float, rule: OffsetRule) -> Float:
    """(A, R) sum of c x requirement over the units, each paired with all."""
    apart = matrix - np.diag(np.diag(matrix))
    up, down, unknown = (np.where(sides == side, own, 0.0) for side in (1.0, -1.0, 0.0))
    if rule is OffsetRule.DIVERSIFIED:
        # A unit of no known direction counts in full beside each of the others.
        signed = sides * times(up - down, apart) + own
        others = in_order(own)[:, None] - own
        return np.where(sides == 0, own + others, signed + in_order(unknown)[:, None])
    alike, opposite = np.maximum(-apart, 0.0), np.maximum(apart, 0.0)
    hedged = np.where(
        sides > 0, times(up, alike) + times(down, opposite),
        times(down, alike) + times(up, opposite),
    )  # fmt: skip
    pulls: Float = in_order(own)[:, None] - 2.0 * np.where(sides == 0, 0.0, hedged)
    return pulls


def _root(own: Float, pulls: Float) -> Float:
    """(A,) the root of the sum over all pairs; at most the sum of the units."""
    root: Float = np.sqrt(np.maximum(in_order(own * pulls), 0.0))
    return np.minimum(root, in_order(own))


def _parts(own: Float, pulls: Float, root: Float, share: Float) -> Float:
    """(A, R) each requirement less its share of the credit (Euler), as far as that is allowed.

    Where nothing is left of a perfect hedge, all of each requirement is credit.
    """
    per_root = np.where(root > 0, root, 1.0)[:, None]
    left = np.where(root[:, None] > 0, own * pulls / per_root, 0.0)
    parts: Float = own - share[:, None] * (own - left)
    total = in_order(parts)
    # Rounding gives nothing away and takes nothing more than there is.
    parts = np.where((total < 0)[:, None], 0.0, parts)
    return np.where((total > in_order(own))[:, None], own, parts)
