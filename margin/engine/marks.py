"""Marks: one price per name out of what several sources saw, and what each state permits."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, Literal, NamedTuple

from margin.engine.exact import HALF, exact

DropReason = Literal["not_positive", "future", "stale", "thin", "superseded", "outlier", "too_few"]


class PriceAct(NamedTuple):
    """Which acts a price in a certain state may carry."""

    value: bool
    call: bool
    liquidate: bool
    withdraw: bool


# Nothing is liquidated on a price that is not VALID. A carried mark still values, calls and lets
# withdraw: house rules v1 judge withdrawals at the marks of the day before, whatever their state.
PRICE_STATES: Final[Mapping[str, PriceAct]] = {
    "VALID": PriceAct(value=True, call=True, liquidate=True, withdraw=True),
    "INSUFFICIENT": PriceAct(value=True, call=True, liquidate=False, withdraw=True),
    "STALE": PriceAct(value=True, call=True, liquidate=False, withdraw=False),
    "DISLOCATED": PriceAct(value=True, call=False, liquidate=False, withdraw=False),
    "NON_POSITIVE": PriceAct(value=True, call=True, liquidate=False, withdraw=False),
    "TOO_UNCERTAIN": PriceAct(value=True, call=True, liquidate=False, withdraw=False),
    "TOO_VOLATILE": PriceAct(value=True, call=True, liquidate=False, withdraw=False),
    "MARKET_CLOSED": PriceAct(value=True, call=True, liquidate=False, withdraw=True),
    "OVERRIDDEN": PriceAct(value=True, call=True, liquidate=False, withdraw=True),
}


class MarkError(ValueError):
    """A mark that cannot be composed; `rule` names why."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(f"{rule}: {detail}")
        self.rule = rule


@dataclass(frozen=True, slots=True)
class MarkPolicy:
    """How old and how far off a price may be, and how many sources make a mark.

    Attributes:
        max_age_seconds: a price exactly as old is kept.
        outlier_fraction: of the median; a price exactly as far off is kept.
        sources_min: sources left for a VALID mark.
    """

    max_age_seconds: int = 900
    outlier_fraction: Decimal = Decimal("0.05")
    sources_min: int = 2


@dataclass(frozen=True, slots=True)
class PriceObservation:
    """What one source saw; `line` orders rows of one instant and points back to the file."""

    instrument: str
    source: str
    observed_at: datetime
    price: Decimal
    line: int


@dataclass(frozen=True, slots=True)
class DroppedPrice:
    """A price that does not count, and the first reason why."""

    source: str
    observed_at: datetime
    reason: DropReason
    line: int
    price: Decimal


@dataclass(frozen=True, slots=True)
class Mark:
    """The price at which a name is valued.

    Attributes:
        price: the exact median, or the mark of the day before if INSUFFICIENT.
        used: sources behind a VALID mark, sorted; empty otherwise.
        dropped: by source, time, reason and line.
        used_prices: the rows of `used`, in its order.
    """

    instrument: str
    price: Decimal
    state: Literal["VALID", "INSUFFICIENT"]
    used: tuple[str, ...]
    dropped: tuple[DroppedPrice, ...]
    used_prices: tuple[PriceObservation, ...]


STANDARD: Final = MarkPolicy()


def compose_marks(
    observations: Iterable[PriceObservation],
    *,
    as_of: datetime,
    names: Sequence[str],
    previous: Mapping[str, Decimal],
    policy: MarkPolicy = STANDARD,
) -> list[Mark]:
    """The mark of every name, in the order of `names`.

    Args:
        names: everything that needs a mark, whether or not it was seen.
        previous: marks of the day before, which stay where too few sources are left.

    Raises:
        MarkError: `name_is_priced` for an observation of another name, `mark_exists` for a name
            with neither enough sources nor a previous mark.
    """
    seen: dict[str, list[PriceObservation]] = {name: [] for name in names}
    for observation in observations:
        if observation.instrument not in seen:
            raise MarkError("name_is_priced", observation.instrument)
        seen[observation.instrument].append(observation)
    return [
        _compose(name, rows, as_of=as_of, previous=previous.get(name), policy=policy)
        for name, rows in seen.items()
    ]


def median(prices: Iterable[Decimal]) -> Decimal:
    """The middle price, or the exact mean of the middle two; of at least one price."""
    ranked = sorted(prices)
    middle = len(ranked) // 2
    if len(ranked) % 2:
        return ranked[middle]
    with exact():
        return (ranked[middle - 1] + ranked[middle]) * HALF


def _compose(
    name: str,
    rows: list[PriceObservation],
    *,
    as_of: datetime,
    previous: Decimal | None,
    policy: MarkPolicy,
) -> Mark:
    dropped: list[DroppedPrice] = []

    def keep(row: PriceObservation, reason: DropReason | None) -> bool:
        if reason is not None:
            dropped.append(DroppedPrice(row.source, row.observed_at, reason, row.line, row.price))
        return reason is None

    left = [row for row in rows if keep(row, _unfit(row, as_of=as_of, policy=policy))]
    latest = {row.source: row for row in sorted(left, key=lambda r: (r.observed_at, r.line))}
    left = [row for row in left if keep(row, None if latest[row.source] is row else "superseded")]
    far = _far_off(left, policy=policy)
    left = [row for row in left if keep(row, "outlier" if row.source in far else None)]
    valid = len(left) >= policy.sources_min
    if not valid:
        left = [row for row in left if keep(row, "too_few")]
    price = median(row.price for row in left) if valid else previous
    if price is None:
        raise MarkError("mark_exists", f"{name} has too few sources and no mark of the day before")
    left.sort(key=lambda row: row.source)
    return Mark(
        instrument=name,
        price=price,
        state="VALID" if valid else "INSUFFICIENT",
        used=tuple(row.source for row in left),
        dropped=tuple(sorted(dropped, key=lambda d: (d.source, d.observed_at, d.reason, d.line))),
        used_prices=tuple(left),
    )


def _unfit(row: PriceObservation, *, as_of: datetime, policy: MarkPolicy) -> DropReason | None:
    """Why a price does not count on its own."""
    if row.price <= 0:
        return "not_positive"
    if row.observed_at > as_of:
        return "future"
    if as_of - row.observed_at > timedelta(seconds=policy.max_age_seconds):
        return "stale"
    return None


def _far_off(rows: Sequence[PriceObservation], *, policy: MarkPolicy) -> set[str]:
    """Sources whose price is too far from the median of all; one pass."""
    if not rows:
        return set()
    middle = median(row.price for row in rows)
    with exact():
        reach = middle * policy.outlier_fraction
        return {row.source for row in rows if abs(row.price - middle) > reach}
