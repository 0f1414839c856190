"""What moves many underlyings at once: a market, its sectors, and what is left to each.

return of an underlying = beta x market + its sector + its own. The market is the mean of all
returns, a sector the mean of what the market leaves of its members'. Axes: T days, U underlyings,
G sectors.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from margin.engine.covariance import CovarianceParameters, shrunk, weighted_days
from margin.engine.given import Float
from margin.engine.market import Index
from margin.engine.parameters import check_parameters, parameter
from margin.engine.rejected import RejectedInputError

OTHERS: Final = "others"


@dataclass(frozen=True, slots=True)
class Sector:
    """Underlyings that share a part of their moves."""

    name: str = parameter("Name of the sector")
    underlyings: tuple[str, ...] = parameter("Names of its underlyings")

    def __post_init__(self) -> None:
        check_parameters(self)


class Factors(NamedTuple):
    """Market and sectors, as estimated.

    Attributes:
        sectors: (G,) names; what is listed in none is in the last of them, OTHERS.
        sector: (U,) index of each underlying's.
        betas: (U,) how far each moves with the market.
        covariance: (1 + G, 1 + G) of one day, the market first.
        own_variances: (U,) of one day's return that neither moves.
    """

    sectors: tuple[str, ...]
    sector: Index
    betas: Float
    covariance: Float
    own_variances: Float


def check_sectors(sectors: tuple[Sector, ...]) -> None:
    """Refuse sectors of one name, or that share an underlying.

    Raises:
        RejectedInputError: naming it.
    """
    names = [OTHERS, *(each.name for each in sectors)]
    listed = [name for each in sectors for name in each.underlyings]
    for kind, values in (("sector", names), ("underlying", listed)):
        twice = sorted({name for name in values if values.count(name) > 1})
        if twice:
            raise RejectedInputError(f"sectors: the {kind} {twice[0]} is listed twice")


def factors_of(
    returns: Float,
    *,
    underlyings: tuple[str, ...],
    sectors: tuple[Sector, ...],
    parameters: CovarianceParameters,
) -> Factors:
    """Estimate market and sectors.

    Args:
        returns: (T, U) of past days, the oldest first.
        underlyings: (U,) names.
        sectors: an underlying that the market does not have is passed over.

    Raises:
        RejectedInputError: fewer days are known than are looked back on.
    """
    days, weights = weighted_days(returns, parameters=parameters)
    names = (*(each.name for each in sectors), OTHERS)
    listed = {name: place for place, each in enumerate(sectors) for name in each.underlyings}
    sector = np.array([listed.get(name, len(sectors)) for name in underlyings], dtype=np.intp)
    market = days.sum(axis=1) / max(len(underlyings), 1)
    variance = float((weights * market * market).sum())
    together = (weights[:, None] * market[:, None] * days).sum(axis=0)
    betas = together / variance if variance > 0 else np.zeros(len(underlyings))
    left = days - market[:, None] * betas
    common = np.column_stack(
        [
            left[:, sector == place].mean(axis=1) if (sector == place).any() else 0.0 * market
            for place in range(len(names))
        ]
    )
    own = left - common[:, sector]
    both = np.column_stack([market, common])
    return Factors(
        sectors=names,
        sector=sector,
        betas=betas,
        covariance=shrunk(both, weights=weights, target=parameters.target).covariance,
        own_variances=(weights[:, None] * own * own).sum(axis=0),
    )
