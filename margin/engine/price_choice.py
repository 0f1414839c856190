"""Which prices of an asset with rules count: too old, too thin, alone, or far from the others."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from margin.engine.exact import ZERO, exact
from margin.engine.marks import DroppedPrice, DropReason, PriceObservation, median
from margin.engine.price_rules import Method, PriceRules, exactly
from margin.engine.trading_calendar import TradingCalendar


@dataclass(frozen=True, slots=True)
class Chosen:
    """The prices that count.

    Attributes:
        left: by source; too few of them say nothing.
        latest: the newest usable price of every source, outliers included; what is looked at for
            dislocation.
        nav: the redemption value that was stated, if one was.
        dropped: by source, time, reason and line.
        is_enough: so many sources and venues are left as the rules ask.
        is_stale: only with prices that are too old were there enough.
    """

    left: tuple[PriceObservation, ...]
    latest: tuple[PriceObservation, ...]
    nav: PriceObservation | None
    dropped: tuple[DroppedPrice, ...]
    is_enough: bool
    is_stale: bool = False


def choose_prices(
    rows: Sequence[PriceObservation],
    *,
    as_of: datetime,
    rules: PriceRules,
    calendar: TradingCalendar,
    depths: Mapping[str, Decimal],
) -> Chosen:
    """What counts as of an instant; where fresh prices are too few, old ones may make it up.

    Args:
        depths: by source, the value it shows on its book.
    """
    why = {
        row: _unfit(row, as_of=as_of, rules=rules, calendar=calendar, depths=depths) for row in rows
    }
    fresh = _newest(row for row, reason in why.items() if reason is None)
    old = _newest(
        row
        for row, reason in why.items()
        if reason == "stale" and row.source not in {each.source for each in fresh}
    )
    nav = next((row for row in fresh if row.source == rules.nav_source), None)
    market = [row for row in fresh if row is not nav]
    found = _settled(market, rules=rules)
    if not _is_enough(found, rules=rules) and old:
        together = [*market, *(row for row in old if row.source != rules.nav_source)]
        with_old = _settled(together, rules=rules)
        if _is_enough(with_old, rules=rules):
            stated = () if nav is None else (nav,)
            dropped = _dropped(why, used=(*with_old, *stated), considered=together)
            return Chosen(with_old, tuple(together), nav, dropped, is_enough=False, is_stale=True)
    is_enough = _is_enough(found, rules=rules)
    used = (*(found if is_enough else ()), *([] if nav is None else [nav]))
    alone = () if is_enough else found
    return Chosen(
        found if is_enough else (),
        tuple(market),
        nav,
        _dropped(why, used=used, considered=market, alone=alone),
        is_enough=is_enough,
    )


def composed_price(left: Sequence[PriceObservation], *, rules: PriceRules) -> Decimal:
    """One price out of those that count; a weighted one to 12 decimals, half-even."""
    if rules.method is Method.MEDIAN:
        return median(row.price for row in left)
    with exact():
        weights = [rules.weight_of(row.source) for row in left]
        whole = sum(weights, ZERO)
        value = sum((weight * row.price for weight, row in zip(weights, left, strict=True)), ZERO)
    return quotient(value, whole, decimals=12)


def quotient(value: Decimal, whole: Decimal, *, decimals: int) -> Decimal:
    """A quotient to so many decimals, half-even in one step; both numbers are exact."""
    with exact():
        numerator, denominator = (abs(each).as_integer_ratio() for each in (value, whole))
    over = numerator[0] * denominator[1] * 10**decimals
    under = numerator[1] * denominator[0]
    units, rest = divmod(over, under)
    if 2 * rest > under or (2 * rest == under and units % 2):
        units += 1
    sign = -1 if (value < 0) != (whole < 0) else 1
    with exact():
        return Decimal(sign * units).scaleb(-decimals)


def _unfit(
    row: PriceObservation,
    *,
    as_of: datetime,
    rules: PriceRules,
    calendar: TradingCalendar,
    depths: Mapping[str, Decimal],
) -> DropReason | None:
    """Why a price does not count on its own."""
    if row.price <= 0 and not rules.may_be_non_positive:
        return "not_positive"
    if row.observed_at > as_of:
        return "future"
    is_market = row.source != rules.nav_source
    if (
        is_market
        and rules.depth_least
        and depths.get(row.source, ZERO) < exactly(rules.depth_least)
    ):
        return "thin"
    limit = timedelta(seconds=rules.age_of(row.source))
    return "stale" if calendar.open_time(row.observed_at, end=as_of) > limit else None


def _newest(rows: Iterable[PriceObservation]) -> list[PriceObservation]:
    """The newest row of every source, at one instant the later line."""
    newest = {row.source: row for row in sorted(rows, key=lambda r: (r.observed_at, r.line))}
    return sorted(newest.values(), key=lambda row: row.source)


def _settled(
    rows: Sequence[PriceObservation], *, rules: PriceRules
) -> tuple[PriceObservation, ...]:
    """The rows without those far from the median of all; one pass."""
    if not rows:
        return ()
    middle = median(row.price for row in rows)
    with exact():
        reach = abs(middle) * exactly(rules.outlier_fraction)
        return tuple(row for row in rows if abs(row.price - middle) <= reach)


def _is_enough(rows: Sequence[PriceObservation], *, rules: PriceRules) -> bool:
    """Whether so many sources of so many venues are left, and one of them has a weight."""
    venues = {rules.venue_of(row.source) for row in rows}
    return (
        len(rows) >= rules.sources_min
        and len(venues) >= rules.venues_min
        and (rules.method is Method.MEDIAN or any(rules.weight_of(row.source) for row in rows))
    )


def _dropped(
    why: Mapping[PriceObservation, DropReason | None],
    *,
    used: Sequence[PriceObservation],
    considered: Sequence[PriceObservation],
    alone: Sequence[PriceObservation] = (),
) -> tuple[DroppedPrice, ...]:
    """Everything that does not count, each with the first reason."""
    found = []
    for row, reason in why.items():
        if row in used:
            continue
        if row in alone:
            reason = "too_few"
        elif row in considered:
            reason = "outlier"
        said: DropReason = "superseded" if reason is None else reason
        found.append(DroppedPrice(row.source, row.observed_at, said, row.line, row.price))
    return tuple(sorted(found, key=lambda d: (d.source, d.observed_at, d.reason, d.line)))
