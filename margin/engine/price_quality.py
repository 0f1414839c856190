"""The state of a mark with rules: how it was composed, how far it is trusted, what that adds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Context, Decimal, InvalidOperation, localcontext
from itertools import pairwise
from typing import Final, NamedTuple

from margin.engine.exact import ONE, ZERO, exact, round_half_even
from margin.engine.marks import DroppedPrice, MarkError, PriceObservation
from margin.engine.price_choice import Chosen, choose_prices, composed_price, quotient
from margin.engine.price_rules import PriceRules, exactly
from margin.engine.trading_calendar import TradingCalendar

SHARE_DECIMALS: Final = 8
BASIS_DECIMALS: Final = 8
# Wide enough that no comparison of a move with a deviation depends on its last digits.
_WORK: Final = Context(prec=50, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation])


class Fact(NamedTuple):
    """Something that was seen of a mark.

    Attributes:
        what: "dislocated", "moved", "uncertain", "closed", "stale", "non_positive", "no_nav",
            "few", "from_index".
        source: of which, where it is one's.
        amount: share or price behind it.
    """

    what: str
    source: str = ""
    amount: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of an asset beside today's prices.

    Attributes:
        previous, previous_at: the mark before, and of when it is.
        closes: marks of days before, oldest first.
        depths: by source, the value on its book.
        stated: by source, the confidence it states.
        volume, usual_volume: value traded today, and on an average day before.
        index: mark of the underlying, where it may carry a derivative.
        basis: the smoothed distance from it so far.
    """

    previous: Decimal | None = None
    previous_at: datetime | None = None
    closes: Sequence[Decimal] = ()
    depths: Mapping[str, Decimal] = field(default_factory=dict)
    stated: Mapping[str, Decimal] = field(default_factory=dict)
    volume: Decimal | None = None
    usual_volume: Decimal | None = None
    index: Decimal | None = None
    basis: Decimal | None = None


@dataclass(frozen=True, slots=True)
class QualifiedMark:
    """A mark with its state and all that led to it.

    Attributes:
        state: a name of `PRICE_STATES`.
        used: the rows behind the price, by source; none where it is carried.
        is_carried: it is the mark before.
        confidence: from 0 to 1.
        contingency: share of value that both requirements add; 0 in full confidence.
        basis: smoothed distance from the index, of a derivative that is marked by one.
    """

    instrument: str
    price: Decimal
    state: str
    used: tuple[PriceObservation, ...]
    dropped: tuple[DroppedPrice, ...]
    is_carried: bool
    confidence: Decimal
    contingency: Decimal
    basis: Decimal | None
    facts: tuple[Fact, ...]


class _Price(NamedTuple):
    price: Decimal
    used: tuple[PriceObservation, ...]
    basis: Decimal | None
    is_carried: bool
    facts: tuple[Fact, ...]


def qualified_mark(
    name: str,
    rows: Sequence[PriceObservation],
    *,
    as_of: datetime,
    rules: PriceRules,
    calendar: TradingCalendar,
    known: Known,
) -> QualifiedMark:
    """The mark of an asset with rules.

    The first of these that holds is its state: STALE or INSUFFICIENT where too few prices count,
    NON_POSITIVE, DISLOCATED, TOO_UNCERTAIN, TOO_VOLATILE, MARKET_CLOSED, VALID. What else was seen
    stands in the facts.

    Raises:
        MarkError: `mark_exists`: too few sources, and nothing before to carry.
    """
    chosen = choose_prices(rows, as_of=as_of, rules=rules, calendar=calendar, depths=known.depths)
    made = _price(name, chosen, rules=rules, known=known)
    trust, doubts = _confidence(chosen, rules=rules, known=known)
    facts = [*made.facts, *_strange(chosen, made.price, rules=rules, known=known), *doubts]
    if not calendar.is_open(as_of):
        facts.append(Fact("closed"))
    state = _state(chosen, facts)
    with exact():
        contingency = (ONE - trust) * exactly(rules.confidence.rate) + rules.add_on(state)
    return QualifiedMark(
        instrument=name,
        price=made.price,
        state=state,
        used=made.used,
        dropped=_all_dropped(chosen, made),
        is_carried=made.is_carried,
        confidence=trust,
        contingency=contingency,
        basis=made.basis,
        facts=tuple(facts),
    )


def _all_dropped(chosen: Chosen, made: _Price) -> tuple[DroppedPrice, ...]:
    """What does not count: also old prices that are no newer than the mark that is carried."""
    old = [
        DroppedPrice(row.source, row.observed_at, "stale", row.line, row.price)
        for row in chosen.left
        if row not in made.used
    ]
    found = (*chosen.dropped, *old)
    return tuple(sorted(found, key=lambda d: (d.source, d.observed_at, d.reason, d.line)))


def _state(chosen: Chosen, facts: Sequence[Fact]) -> str:
    if not chosen.is_enough:
        return "STALE" if chosen.is_stale else "INSUFFICIENT"
    states = {
        "non_positive": "NON_POSITIVE",
        "dislocated": "DISLOCATED",
        "uncertain": "TOO_UNCERTAIN",
        "moved": "TOO_VOLATILE",
        "closed": "MARKET_CLOSED",
    }
    seen = {fact.what for fact in facts}
    return next((state for what, state in states.items() if what in seen), "VALID")


def _price(name: str, chosen: Chosen, *, rules: PriceRules, known: Known) -> _Price:
    """The price, by its first ground: redemption value, index, market, or the mark before."""
    if chosen.nav is not None:
        used = tuple(sorted((*chosen.left, chosen.nav), key=lambda row: row.source))
        facts = () if chosen.is_enough else (Fact("few"),)
        return _Price(chosen.nav.price, used, None, is_carried=False, facts=facts)
    missing = (Fact("no_nav", rules.nav_source),) if rules.nav_source else ()
    if chosen.is_enough:
        own = composed_price(chosen.left, rules=rules)
        if not rules.index.underlying or known.index is None:
            return _Price(own, chosen.left, known.basis, is_carried=False, facts=missing)
        basis = _smoothed(own, rules=rules, known=known)
        with exact():
            price = known.index + basis
        return _Price(price, chosen.left, basis, is_carried=False, facts=missing)
    if chosen.is_stale:
        newest = max(row.observed_at for row in chosen.left)
        facts = (*missing, Fact("stale"))
        if known.previous is None or known.previous_at is None or newest > known.previous_at:
            price = composed_price(chosen.left, rules=rules)
            return _Price(price, chosen.left, known.basis, is_carried=False, facts=facts)
        return _Price(known.previous, (), known.basis, is_carried=True, facts=facts)
    facts = (*missing, Fact("few"))
    if rules.index.underlying and known.index is not None and known.basis is not None:
        with exact():
            price = known.index + known.basis
        said = (*facts, Fact("from_index", amount=known.index))
        return _Price(price, (), known.basis, is_carried=False, facts=said)
    if known.previous is None:
        raise MarkError("mark_exists", f"{name} has too few sources and no mark of the day before")
    return _Price(known.previous, (), known.basis, is_carried=True, facts=facts)


def _smoothed(own: Decimal, *, rules: PriceRules, known: Known) -> Decimal:
    """The distance from the index, moved towards today's and held within its bound."""
    assert known.index is not None
    with exact():
        today = own - known.index
        share = exactly(rules.index.smoothing)
        basis = today if known.basis is None else share * today + (ONE - share) * known.basis
        most = abs(known.index) * exactly(rules.index.basis_most)
        if most:
            basis = max(-most, min(basis, most))
    return round_half_even(basis, BASIS_DECIMALS)


def _strange(chosen: Chosen, price: Decimal, *, rules: PriceRules, known: Known) -> list[Fact]:
    """What is out of the ordinary of a price that enough sources bear out."""
    facts: list[Fact] = []
    if price <= 0:
        facts.append(Fact("non_positive", amount=price))
    if not chosen.is_enough:
        return facts
    market = composed_price(chosen.left, rules=rules)
    if rules.dislocated_beyond:
        facts += _far(chosen.latest, market, limit=exactly(rules.dislocated_beyond))
    if chosen.nav is not None and rules.nav_band:
        nav = chosen.nav.price
        if _is_off(market, nav, limit=exactly(rules.nav_band)):
            facts.append(Fact("dislocated", rules.nav_source, _off(market, nav)))
    moved = _moved(price, rules=rules, known=known)
    return facts if moved is None else [*facts, Fact("moved", amount=moved)]


def _far(rows: Sequence[PriceObservation], market: Decimal, *, limit: Decimal) -> list[Fact]:
    return [
        Fact("dislocated", row.source, _off(row.price, market))
        for row in rows
        if _is_off(row.price, market, limit=limit)
    ]


def _is_off(price: Decimal, middle: Decimal, *, limit: Decimal) -> bool:
    """Whether a price lies further from another than such a share of it; exactly so far is not."""
    with exact():
        return abs(price - middle) > limit * abs(middle)


def _off(price: Decimal, middle: Decimal) -> Decimal | None:
    """How far a price lies from another, as a share of it to 8 decimals; None from nothing."""
    if not middle:
        return None
    with exact():
        distance = price - middle
    return quotient(distance, abs(middle), decimals=SHARE_DECIMALS)


def _moved(price: Decimal, *, rules: PriceRules, known: Known) -> Decimal | None:
    """The move from the mark before, where it is too large and no volume bears it out."""
    if known.previous is None or known.previous <= 0:
        return None
    before = known.previous
    limits = [exactly(rules.move.limit)] if rules.move.limit else []
    if rules.move.sigmas and len(known.closes) >= rules.move.closes_min:
        with localcontext(_WORK):
            deviation = _deviation(known.closes)
            # What never moved has no usual move to measure another by.
            limits += [exactly(rules.move.sigmas) * deviation] if deviation else []
    with localcontext(_WORK):
        if not any(abs(price - before) > limit * before for limit in limits):
            return None
    multiple = rules.move.volume_multiple
    if multiple and known.volume is not None and known.usual_volume:
        with exact():
            if known.volume >= exactly(multiple) * known.usual_volume:
                return None
    return _off(price, before)


def _deviation(closes: Sequence[Decimal]) -> Decimal:
    """The sample standard deviation of simple returns; closes of zero or below have none."""
    pairs = [(a, b) for a, b in pairwise(closes) if a > 0 and b > 0]
    if len(pairs) < 2:
        return ZERO
    returns = [after / before - ONE for before, after in pairs]
    mean = sum(returns, ZERO) / len(returns)
    return (sum(((each - mean) ** 2 for each in returns), ZERO) / (len(returns) - 1)).sqrt()


def _confidence(chosen: Chosen, *, rules: PriceRules, known: Known) -> tuple[Decimal, list[Fact]]:
    """The least of what number, distance and statements leave, rounded down; and the doubts."""
    asked, terms = rules.confidence, [ONE]
    if asked.sources_full:
        counted = len({rules.venue_of(row.source) for row in chosen.left})
        with localcontext(_WORK):
            terms.append(Decimal(counted) / Decimal(asked.sources_full))
    if asked.spread_wide and chosen.left:
        prices = [row.price for row in chosen.left]
        tight, wide = exactly(asked.spread_tight), exactly(asked.spread_wide)
        low, high = min(prices), max(prices)
        with localcontext(_WORK):
            apart = (high - low) / abs(low) if low else wide
            terms.append((wide - apart) / (wide - tight))
    terms += known.stated.values()
    least = max(ZERO, min(terms)).quantize(
        Decimal(1).scaleb(-SHARE_DECIMALS), rounding=ROUND_DOWN, context=_WORK
    )
    if asked.least and least < exactly(asked.least):
        return least, [Fact("uncertain", amount=least)]
    return least, []
