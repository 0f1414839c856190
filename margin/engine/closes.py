"""Returns of past days for backtests: out of a file of closes, or made from a seed and said so."""

import csv
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Final

import numpy as np

from margin.engine.given import Float
from margin.engine.market import Flag, Instruments, Kind, Market
from margin.engine.rejected import RejectedInputError
from margin.engine.worlds import world

SYNTHETIC_SEED: Final = 20_310_303
# A close that jumps to such a share of the one before, within a fiftieth, was split.
SPLITS: Final = (2, 3, 4, 5, 7, 10)
SPLIT_WITHIN: Final = 0.06
SPLIT_FROM: Final = 0.40


@dataclass(frozen=True, slots=True)
class History:
    """Simple returns of some names over days on which all have a close.

    Attributes:
        label: where they are from; says so where nobody ever traded at them.
        names: (U,).
        closes: (U,) the last ones.
        returns: (T, U), the oldest first.
        notes: what was done to them.
    """

    label: str
    names: tuple[str, ...]
    closes: Float
    returns: Float
    notes: tuple[str, ...]


def synthetic_history(*, days: int) -> History:
    """Returns with a common factor and fat tails, made from a fixed seed."""
    market, _ = world(SYNTHETIC_SEED, underlyings=4, history_days=days)
    return History(
        label="synthetic",
        names=market.underlyings,
        closes=market.spots,
        returns=market.returns,
        notes=("Made by a program; nobody traded at these prices.",),
    )


def history_of(path: Path, *, days: int) -> History:
    """The newest days of a file `date,NAME,NAME...`; names that lack some of them are left out.

    Raises:
        RejectedInputError: the file cannot be read so, or has too few days.
    """
    head, table = _table(path)
    if len(table) <= days:
        raise RejectedInputError(f"{path.name}: {len(table)} days, {days + 1} are needed")
    newest = table[-days - 1 :]
    whole: Flag = np.logical_and.reduce(np.isfinite(newest) & (newest > 0), axis=0)
    if not whole.any():
        raise RejectedInputError(f"{path.name}: no name has a close on every one of these days")
    names = tuple(name for name, kept in zip(head, whole, strict=True) if kept)
    closes = newest[:, whole]
    ratios, notes = _unsplit(closes[1:] / closes[:-1], names)
    return History(path.name, names, closes[-1], ratios - 1.0, notes)


def market_of_history(history: History, *, kind: Kind) -> Market:
    """One instrument of a kind for each name, at its last close."""
    count = len(history.names)
    zeros: Float = np.zeros(count)
    return Market(
        instruments=Instruments(
            names=history.names,
            kinds=np.full(count, int(kind), dtype=np.int8),
            underlyings=np.arange(count),
            multipliers=np.ones(count),
            strikes=zeros,
            rights=np.zeros(count, dtype=np.int8),
            years=zeros,
            is_inverse=np.zeros(count, dtype=bool),
        ),
        underlyings=history.names,
        spots=history.closes,
        prices=history.closes,
        forwards=history.closes,
        volatilities=zeros,
        rates=zeros,
        confidences=np.ones(count),
        daily_volatilities=history.returns.std(axis=0),
        daily_volumes=np.full(count, 1e12),
        open_interests=zeros,
        returns=history.returns,
    )


def _table(path: Path) -> tuple[list[str], Float]:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    if not rows or len(rows[0]) < 2:
        raise RejectedInputError(f"{path.name}: a date and at least one name are expected")
    head = rows[0][1:]
    wrong = next((n for n, row in enumerate(rows, 1) if len(row) != len(rows[0])), None)
    if wrong is not None:
        raise RejectedInputError(f"{path.name}: line {wrong} has not as many columns as the first")
    return head, np.array([[_number(cell) for cell in row[1:]] for row in rows[1:]], dtype=float)


def _number(cell: str) -> float:
    """A close; NaN where there is none."""
    try:
        value = float(cell)
    except ValueError:
        return float("nan")
    return value if isfinite(value) else float("nan")


def _unsplit(ratios: Float, names: tuple[str, ...]) -> tuple[Float, tuple[str, ...]]:
    """Ratios of closes with splits taken out, and which those were."""
    notes, whole = [], ratios.copy()
    jumps: Flag = np.abs(np.log(ratios)) > -np.log(1 - SPLIT_FROM)
    for day, name in zip(*np.nonzero(jumps), strict=True):
        for parts in SPLITS:
            for factor in (float(parts), 1.0 / parts):
                if abs(ratios[day, name] * factor - 1.0) <= SPLIT_WITHIN:
                    whole[day, name] = ratios[day, name] * factor
                    notes.append(f"{names[name]}: a split, {1 / factor:g} of the close before")
    return whole, tuple(notes)
