"""Marks of assets with rules: what is known of each is gathered, and the engine says its state."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from accounts.figures import plain
from margin.book.market_data import SECONDS_PER_YEAR, rate_curves
from margin.engine.inputs import Doubt
from margin.engine.marks import PRICE_STATES, PriceObservation
from margin.engine.price_quality import Fact, Known, QualifiedMark, qualified_mark
from margin.engine.rate_curve import RateCurve, forward_price
from margin.engine.trading_calendar import TradingCalendar
from margin.market.rows import Kind as RowKind
from margin.market.rows import by_source, newest_rows, volumes
from margin.market.rules import InForce, calendars_in_force
from margin.models import Contract, Mark

# So far back closes are looked at; three months of trading days.
CLOSES_OVER: Final = timedelta(days=92)
# An index carries a derivative only where it is itself one that may.
INDEX_STATES: Final = frozenset({Mark.State.VALID, Mark.State.MARKET_CLOSED})
FLAGGED_BY_RULES_V1: Final = frozenset(
    {Mark.State.VALID, Mark.State.INSUFFICIENT, Mark.State.OVERRIDDEN}
)


@dataclass(frozen=True, slots=True)
class Carry:
    """How a spot becomes the forward of a future: the curve of its currency, and its time."""

    curve: RateCurve
    years: float

    def of(self, spot: Decimal) -> Decimal:
        """The forward, to 8 decimals."""
        forward = forward_price(float(spot), curve=self.curve, years=self.years)
        return Decimal(f"{float(forward):.8f}")


@dataclass(frozen=True, slots=True)
class Moment:
    """When marks are composed, what is carried to them, and which two people set instead."""

    business_day: date
    as_of: datetime
    previous: Mapping[str, Mark]
    overridden: frozenset[str] = frozenset()


def qualified_marks(
    rules: Mapping[str, InForce],
    *,
    observed: Mapping[str, Sequence[PriceObservation]],
    marked: Mapping[str, tuple[Decimal, str]],
    moment: Moment,
) -> dict[str, QualifiedMark]:
    """The marks of assets with rules, by code; those that are an index come before the others.

    Args:
        rules: of assets that had a mark before.
        marked: price and state of assets without rules, which may be an index too.
    """
    if not rules:
        return {}
    calendars = calendars_in_force(moment.business_day)
    known = _known(rules, moment)
    done: dict[str, QualifiedMark] = {}
    indices = dict(marked)
    carries = _carries(rules, moment)
    for code in sorted(rules, key=lambda each: (bool(_index(rules[each])), each)):
        index = indices.get(_index(rules[code]))
        if index is not None and code in carries:
            index = carries[code].of(index[0]), index[1]
        done[code] = found = _qualified(
            code,
            rules[code],
            observed.get(code, ()),
            calendars=calendars,
            as_of=moment.as_of,
            known=known[code] if index is None else _with_index(known[code], index),
        )
        if not _index(rules[code]) and code not in moment.overridden:
            indices[code] = found.price, found.state
    return done


def mark_fields(found: QualifiedMark, rule: InForce) -> dict[str, Any]:
    """What a mark keeps of its rules, beside price and state."""
    return {
        "rule": rule.row,
        "confidence": found.confidence,
        "contingency": found.contingency,
        "basis": found.basis,
        "facts": [_fact(each) for each in found.facts],
    }


def doubt_of(mark: Mark) -> Doubt | None:
    """What a mark's state and confidence mean for scopes; None where they mean nothing new."""
    contingency = mark.contingency or Decimal(0)
    if mark.state in FLAGGED_BY_RULES_V1 and not contingency:
        return None
    is_known = mark.state in FLAGGED_BY_RULES_V1
    flag = "doubted_mark" if is_known else f"{mark.state.lower()}_mark"
    return Doubt(flag, waits=not PRICE_STATES[mark.state].call, contingency=contingency)


def _index(rule: InForce) -> str:
    underlying: str = rule.rules.index.underlying
    return underlying


def _with_index(known: Known, index: tuple[Decimal, str]) -> Known:
    price, state = index
    if state not in INDEX_STATES or price <= 0:
        return known
    return Known(**{name: getattr(known, name) for name in Known.__slots__} | {"index": price})


def _qualified(
    code: str,
    rule: InForce,
    rows: Sequence[PriceObservation],
    *,
    calendars: Mapping[str, TradingCalendar],
    as_of: datetime,
    known: Known,
) -> QualifiedMark:
    return qualified_mark(
        code,
        rows,
        as_of=as_of,
        rules=rule.rules,
        calendar=calendars[rule.rules.calendar],
        known=known,
    )


def _known(rules: Mapping[str, InForce], moment: Moment) -> dict[str, Known]:
    """What is known of every asset with rules; a fixed number of queries."""
    before = {code: moment.previous[code] for code in rules}
    ids = [mark.asset_id for mark in before.values()]
    depths = by_source(moment.as_of, kind=RowKind.DEPTH, assets=ids)
    stated = by_source(moment.as_of, kind=RowKind.CONFIDENCE, assets=ids)
    traded = volumes(moment.as_of, day=moment.business_day, assets=ids)
    closes = _closes(ids, before=moment.business_day)
    return {
        code: Known(
            previous=mark.price,
            previous_at=mark.as_of,
            closes=closes.get(mark.asset_id, ()),
            depths=depths.get(mark.asset_id, {}),
            stated=stated.get(mark.asset_id, {}),
            volume=traded[mark.asset_id].today if mark.asset_id in traded else None,
            usual_volume=traded[mark.asset_id].usual if mark.asset_id in traded else None,
            basis=mark.basis,
        )
        for code, mark in before.items()
    }


def _carries(rules: Mapping[str, InForce], moment: Moment) -> dict[str, Carry]:
    """By code, of futures with an index whose currency has a curve."""
    ids = {moment.previous[code].asset_id: code for code in rules if _index(rules[code])}
    if not ids:
        return {}
    curves = rate_curves(newest_rows(moment.as_of, kinds=[RowKind.RATE]))
    futures = Contract.objects.filter(
        asset_id__in=ids, form=Contract.Form.FUTURE, expires_at__gt=moment.as_of
    ).select_related("asset")
    found = {}
    for each in futures:
        curve = curves.get(each.asset.settles_in_id or 0)
        if curve is not None and each.expires_at is not None:
            years = (each.expires_at - moment.as_of).total_seconds() / SECONDS_PER_YEAR
            found[ids[each.asset_id]] = Carry(curve, years)
    return found


def _closes(assets: Sequence[int], *, before: date) -> dict[int, list[Decimal]]:
    """The last composed mark of every day, oldest first; what was carried or set is no close."""
    rows = (
        Mark.objects.of_days()
        .filter(
            asset_id__in=assets,
            business_day__lt=before,
            business_day__gte=before - CLOSES_OVER,
            carried_from__isnull=True,
            override__isnull=True,
        )
        .order_by("asset_id", "business_day", "-as_of")
        .distinct("asset_id", "business_day")
    )
    found: dict[int, list[Decimal]] = defaultdict(list)
    for mark in rows:
        found[mark.asset_id].append(mark.price)
    return found


def _fact(fact: Fact) -> dict[str, str]:
    said = {"what": fact.what}
    if fact.source:
        said["source"] = fact.source
    if fact.amount is not None:
        said["amount"] = plain(fact.amount)
    return said
