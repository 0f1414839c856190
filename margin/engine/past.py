"""Past days of a market as each scope sees them: those of what it holds, whoever else is asked.

A day counts for a scope where everything that it holds has a close. Where a model takes each
underlying by itself, scopes with the same days share a market; where it takes underlyings
together, scopes that hold the same ones do. Axes: D days, U underlyings, I instruments.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

import numpy as np

from margin.engine.given import Float
from margin.engine.market import Flag, Instruments, Market

# More days than any set may look back on: of nothing each of them is known, and nothing happens.
DAYS_OF_NOTHING: Final = 100_000


class PastKey(NamedTuple):
    """What scopes share that are asked at one market: their days, or what they hold.

    Attributes:
        days: (D,) flags as bytes; none where the columns of what is held say it.
    """

    columns: tuple[int, ...]
    days: bytes | None


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """Closes of underlyings.

    Attributes:
        days: (D,) names, the oldest first; part of what a run rests on.
        closes: (D, U); not a number where an underlying has none.
    """

    days: tuple[str, ...]
    closes: Float
    _days: dict[tuple[int, ...], bytes | None] = field(default_factory=dict)

    def key(self, columns: Sequence[int], *, mixes: bool) -> PastKey:
        """At which market a scope is asked.

        Args:
            columns: underlyings of what it holds, ascending.
            mixes: whether the model takes underlyings together.
        """
        held = tuple(columns)
        if mixes or not held:
            return PastKey(held, None)
        if held not in self._days:
            is_refused = bool((self.closes[:, list(held)] <= 0).any())
            self._days[held] = None if is_refused else self._has(held).tobytes()
        days = self._days[held]
        return PastKey(held if days is None else (), days)

    def _has(self, columns: Sequence[int]) -> Flag:
        has: Flag = np.asarray(~np.isnan(self.closes[:, list(columns)]).any(axis=1), dtype=np.bool_)
        return has

    def market(self, market: Market, key: PastKey) -> Market:
        """The market with the past of a key.

        Raises:
            RejectedInputError: a price fell by more than all of it.
        """
        if key.days is None:
            return self._of_holding(market, key.columns)
        return self._of_days(market, np.frombuffer(key.days, dtype=bool))

    def _of_days(self, market: Market, days: Flag) -> Market:
        """Everything, on some days; nobody asks here about what lacks a close on one of them."""
        closes = self.closes[days]
        is_whole = (closes > 0).all(axis=0)
        returns = _returns(np.where(is_whole, closes, 1.0))
        return replace(market, returns=returns, daily_volatilities=_deviations(returns))

    def _of_holding(self, market: Market, columns: Sequence[int]) -> Market:
        """These underlyings and what is written on them, on the days that they have in common."""
        kept = list(columns)
        returns = (
            _returns(self.closes[self._has(kept)][:, kept])
            if kept
            else np.zeros((DAYS_OF_NOTHING, 0))
        )
        contract = market.instruments
        place = np.full(len(market.underlyings), -1, dtype=np.intp)
        place[kept] = np.arange(len(kept))
        rows = np.flatnonzero(place[contract.underlyings] >= 0)
        return Market(
            instruments=Instruments(
                names=tuple(contract.names[n] for n in rows.tolist()),
                underlyings=place[contract.underlyings[rows]],
                **{
                    name: getattr(contract, name)[rows]
                    for name in (
                        "kinds", "multipliers", "strikes", "rights", "years", "is_inverse",
                    )
                },
            ),
            underlyings=tuple(market.underlyings[n] for n in kept),
            spots=market.spots[kept],
            daily_volumes=market.daily_volumes[kept],
            daily_volatilities=_deviations(returns),
            returns=returns,
            **{
                name: getattr(market, name)[rows]
                for name in (
                    "prices", "forwards", "volatilities", "rates", "confidences", "open_interests",
                )
            },
        )  # fmt: skip

    def least(self, columns: Sequence[int]) -> tuple[int, int] | None:
        """The underlying with the fewest closes, and how many; none of nothing."""
        if not columns:
            return None
        counts = (~np.isnan(self.closes[:, list(columns)])).sum(axis=0)
        place = int(counts.argmin())
        return columns[place], int(counts[place])


def _returns(closes: Float) -> Float:
    with np.errstate(divide="ignore", invalid="ignore"):
        returns: Float = closes[1:] / closes[:-1] - 1.0
    return returns


def _deviations(returns: Float) -> Float:
    """(U,) standard deviation of a day; of one day or none nothing is known."""
    if not returns.size:
        return np.zeros(returns.shape[1])
    deviations: Float = np.nan_to_num(returns.std(axis=0), nan=0.0, posinf=0.0)
    return deviations
