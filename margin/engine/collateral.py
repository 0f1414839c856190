"""What money counts for where its haircut has tiers: by size, volatility, concentration and peg.

A claim is cut into slices at every floor it reaches, as income is by tax brackets. Each slice is
charged in four steps: the schedule's haircut; up to what the volatility asks, if that is more; an
addition where the money is much of all that the scope has; the multiple for a lost peg. Every
step only adds, and none beyond the whole, so nothing counts below 0 or above its schedule.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import Final, NamedTuple

from margin.engine.exact import ONE, ZERO

# The steps, in their order, as the parts of a result are named after them.
SCHEDULE, VOLATILITY, CONCENTRATION, PEG = range(4)


class HaircutTier(NamedTuple):
    """The share that does not count of value from `floor` on, in the currency of the run."""

    floor: Decimal
    haircut: Decimal


class ConcentrationTier(NamedTuple):
    """An addition to the haircut of what exceeds such a share of all money of the scope."""

    share: Decimal
    addition: Decimal


class PegTier(NamedTuple):
    """What becomes of haircuts while the price is below `below`: a multiple, and at least so much.

    Attributes:
        below: price in the currency of the run.
        multiplier: at least 1.
        least: haircut that none is below then.
    """

    below: Decimal
    multiplier: Decimal
    least: Decimal


class CloseRow(NamedTuple):
    """A close that a volatility was estimated from."""

    day: date
    price: Decimal


@dataclass(frozen=True, slots=True)
class VolatilityHaircut:
    """A haircut that no tier may be below, as its closes make it: multiple x sigma x root of days.

    Attributes:
        haircut: from 0 to 1; `without_history` where there are too few closes.
        sigma: daily volatility; None where there are too few closes.
        estimator: its name.
        closes: what it was estimated from, the oldest first.
    """

    haircut: Decimal
    sigma: Decimal | None
    estimator: str
    multiple: Decimal
    horizon_days: int
    closes: tuple[CloseRow, ...]


@dataclass(frozen=True, slots=True)
class CollateralTerms:
    """Money whose haircut has tiers, resolved for one day.

    Attributes:
        tiers: floors ascending from 0.
        concentration: shares ascending from above 0.
        peg: prices descending, so that the last one that is reached decides.
    """

    tiers: tuple[HaircutTier, ...]
    volatility: VolatilityHaircut | None = None
    concentration: tuple[ConcentrationTier, ...] = ()
    peg: tuple[PegTier, ...] = ()

    def peg_at(self, price: Decimal) -> PegTier | None:
        """The tier of a lost peg at a price; None while the peg holds."""
        reached = [tier for tier in self.peg if price < tier.below]
        return reached[-1] if reached else None


class Slice(NamedTuple):
    """Value from `start` to `stop`, and the share of it that a step takes."""

    start: Decimal
    stop: Decimal
    share: Decimal


Fact = tuple[str, str]
NOTHING_TAKEN: Final[tuple[Slice, ...]] = ()


class Detail(NamedTuple):
    """What a part of money was made from, slice by slice, and what else is worth saying of it."""

    slices: tuple[Slice, ...]
    facts: tuple[Fact, ...] = ()


class Counted(NamedTuple):
    """What a claim counts for.

    Attributes:
        value: amount x price, signed.
        steps: the slices each step takes of it, in the order of the steps.
    """

    value: Decimal
    steps: tuple[tuple[Slice, ...], ...]

    def taken(self, step: int) -> Decimal:
        """What one step takes, not negative; call inside `exact()`."""
        return sum(((s.stop - s.start) * s.share for s in self.steps[step]), ZERO)

    @property
    def amount(self) -> Decimal:
        """What counts after all steps; call inside `exact()`."""
        return self.value - sum((self.taken(step) for step in range(len(self.steps))), ZERO)


def counted(value: Decimal, *, price: Decimal, pool: Decimal, terms: CollateralTerms) -> Counted:
    """What money of such a value counts for; call inside `exact()`.

    Args:
        value: amount x price; what is negative is a debt, and counts whole.
        price: in the currency of the run.
        pool: value of all money of the scope that is above 0, this included.
    """
    if value <= 0:
        return Counted(value, (NOTHING_TAKEN,) * 4)
    steps: list[list[Slice]] = [[], [], [], []]
    peg = terms.peg_at(price)
    least = ZERO if terms.volatility is None else terms.volatility.haircut
    for start, stop in pairwise(_bounds(value, pool, terms)):
        schedule = _at(terms.tiers, start)
        by_volatility = max(schedule, least)
        by_concentration = min(ONE, by_volatility + _addition(terms, start, pool))
        by_peg = by_concentration
        if peg is not None:
            by_peg = min(ONE, max(by_concentration * peg.multiplier, peg.least, by_concentration))
        shares = (schedule, by_volatility, by_concentration, by_peg)
        for step, share in enumerate(shares):
            before = shares[step - 1] if step else ZERO
            _add(steps[step], Slice(start, stop, share - before), is_kept=step == SCHEDULE)
    return Counted(value, tuple(tuple(step) for step in steps))


def bends(
    amount: Decimal, *, rest: Decimal, terms: CollateralTerms
) -> Iterator[tuple[Decimal, Decimal]]:
    """Prices of money at which what it counts for bends, as quotients (above, below the line).

    Args:
        amount: of the money, above 0.
        rest: value of all other money of the scope that is above 0.
    """
    for tier in terms.tiers:
        yield tier.floor, amount
    for share in terms.concentration:
        yield share.share * rest, amount * (ONE - share.share)


def bends_of_others(
    amount: Decimal, *, rest: Decimal, others: Iterable[tuple[Decimal, CollateralTerms]]
) -> Iterator[tuple[Decimal, Decimal]]:
    """Prices of money at which the concentration of other money bends, as quotients.

    Args:
        others: value and terms of each other money.
    """
    for value, terms in others:
        for tier in terms.concentration:
            yield value - tier.share * rest, tier.share * amount


def _bounds(value: Decimal, pool: Decimal, terms: CollateralTerms) -> Sequence[Decimal]:
    """Where slices begin and end, from 0 to the value."""
    inner = {tier.floor for tier in terms.tiers}
    inner |= {tier.share * pool for tier in terms.concentration}
    return [ZERO, *sorted(bound for bound in inner if ZERO < bound < value), value]


def _at(tiers: Sequence[HaircutTier], start: Decimal) -> Decimal:
    return [tier.haircut for tier in tiers if tier.floor <= start][-1]


def _addition(terms: CollateralTerms, start: Decimal, pool: Decimal) -> Decimal:
    reached = [t.addition for t in terms.concentration if t.share * pool <= start]
    return reached[-1] if reached else ZERO


def _add(slices: list[Slice], one: Slice, *, is_kept: bool) -> None:
    """Put a slice behind the others, as one with the last where both are charged alike."""
    if slices and slices[-1].stop == one.start and slices[-1].share == one.share:
        slices[-1] = slices[-1]._replace(stop=one.stop)
    elif one.share or is_kept:
        slices.append(one)
