"""What models are told of a market beside marks: curves, volatilities, volumes, open interest."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from statistics import median
from typing import Final

import numpy as np

from margin.engine.given import Float
from margin.engine.market import DAYS_PER_YEAR
from margin.engine.quotes import VolatilityQuotes
from margin.engine.rate_curve import RateCurve, curve_of, forward_price
from margin.engine.surface import Surface, SurfacePolicy, surface_of
from margin.market.rows import Kind, newest_rows
from margin.market.rules import FIRST_RULES, rules_in_force
from margin.models import MarketRow, MarketRule

KINDS: Final = (Kind.VOLATILITY, Kind.RATE, Kind.VOLUME, Kind.OPEN_INTEREST)
SECONDS_PER_YEAR: Final = DAYS_PER_YEAR * 86_400.0


@dataclass(frozen=True, slots=True)
class MarketData:
    """Rows as a run's horizon knew them; nothing is there where nobody said anything.

    Attributes:
        curves: by id of the currency; of several sources the middle rate of each date.
        quotes: of volatilities, by id of the underlying.
        policies: when a quote is good, by code of the underlying; the standard one for others.
        volumes, open_interests: value by id of the asset, the sources added up.
    """

    as_of: datetime
    curves: Mapping[int, RateCurve] = field(default_factory=dict)
    quotes: Mapping[int, Sequence[MarketRow]] = field(default_factory=dict)
    policies: Mapping[str, SurfacePolicy] = field(default_factory=dict)
    volumes: Mapping[int, float] = field(default_factory=dict)
    open_interests: Mapping[int, float] = field(default_factory=dict)

    def rates(self, currency: int, years: Float) -> Float:
        """(N,) zero rates of a currency; 0 where it has no curve, and of what does not expire."""
        curve = self.curves.get(currency)
        if curve is None:
            return np.zeros(len(years))
        return np.where(years > 0, curve.zero_rate(years), 0.0)

    def forwards(self, currency: int, spots: Float, years: Float) -> Float:
        """(N,) spots carried to each date; the spots themselves without a curve."""
        curve = self.curves.get(currency)
        return spots if curve is None else forward_price(spots, curve=curve, years=years)

    def policy(self, code: str) -> SurfacePolicy:
        """When a quote of an underlying is good, and what holds where none is."""
        standard = FIRST_RULES[MarketRule.Kind.SURFACE]
        assert isinstance(standard, SurfacePolicy)
        return self.policies.get(code, standard)

    def surface(self, underlying: int, *, code: str, spot: float, currency: int) -> Surface | None:
        """The volatilities of an underlying; None where nobody quoted any."""
        rows = self.quotes.get(underlying, ())
        if not rows:
            return None
        quotes = _quotes(rows, as_of=self.as_of)
        carried = self.forwards(currency, np.full(len(quotes.years), spot), quotes.years)
        return surface_of(
            VolatilityQuotes(
                strikes=quotes.strikes, years=quotes.years, forwards=carried,
                bids=quotes.bids, asks=quotes.asks, ages=quotes.ages,
            ),
            policy=self.policy(code),
        )  # fmt: skip


def read_market(*, horizon_id: int | None, as_of: datetime, day: date) -> MarketData:
    """Everything of a market beside its marks that a horizon knew; two queries."""
    rows: dict[str, list[MarketRow]] = defaultdict(list)
    for row in newest_rows(as_of, kinds=KINDS, horizon_id=horizon_id):
        rows[row.kind].append(row)
    rules = rules_in_force(day, MarketRule.Kind.SURFACE, horizon_id=horizon_id)
    quotes: dict[int, list[MarketRow]] = defaultdict(list)
    for row in rows[Kind.VOLATILITY]:
        if row.expires_at is not None and row.expires_at > as_of:
            quotes[row.asset_id].append(row)
    return MarketData(
        as_of=as_of,
        curves=rate_curves(rows[Kind.RATE]),
        quotes=quotes,
        policies={code: found.rules for code, found in rules.items()},
        volumes=_added_up(rows[Kind.VOLUME]),
        open_interests=_added_up(rows[Kind.OPEN_INTEREST]),
    )


def rate_curves(rows: Iterable[MarketRow]) -> dict[int, RateCurve]:
    """By id of the currency, the curve through the middle of what the sources say of each date."""
    said: dict[int, dict[int, list[Decimal]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        assert row.value is not None, "a rate has a value"
        assert row.tenor_days is not None, "and a date"
        said[row.asset_id][row.tenor_days].append(row.value)
    return {
        currency: curve_of(
            {days / DAYS_PER_YEAR: float(median(rates)) for days, rates in by_tenor.items()}
        )
        for currency, by_tenor in said.items()
    }


def _added_up(rows: Iterable[MarketRow]) -> dict[int, float]:
    found: dict[int, Decimal] = defaultdict(Decimal)
    for row in rows:
        assert row.value is not None, "an amount has a value"
        found[row.asset_id] += row.value
    return {asset: float(value) for asset, value in found.items()}


def _quotes(rows: Sequence[MarketRow], *, as_of: datetime) -> VolatilityQuotes:
    """One quote for each strike of an expiry: the middle of what the sources bid and ask."""
    options: dict[tuple[datetime, Decimal], list[MarketRow]] = defaultdict(list)
    for row in rows:
        assert row.expires_at is not None, "a volatility has an expiry"
        assert row.strike is not None, "and a strike"
        options[row.expires_at, row.strike].append(row)
    listed = sorted(options)
    years = np.array([_years(as_of, expires_at) for expires_at, _ in listed])
    return VolatilityQuotes(
        strikes=np.array([float(strike) for _, strike in listed]),
        years=years,
        forwards=np.ones(len(listed)),
        bids=np.array([_middle(row.bid for row in options[each]) for each in listed]),
        asks=np.array([_middle(row.ask for row in options[each]) for each in listed]),
        ages=np.array(
            [
                min((as_of - row.observed_at).total_seconds() for row in options[each])
                for each in listed
            ]
        ),
    )


def _middle(sides: Iterable[Decimal | None]) -> float:
    """The median of what is there; NaN of nothing."""
    said = [side for side in sides if side is not None]
    return float(median(said)) if said else float("nan")


def _years(now: datetime, expires_at: datetime) -> float:
    return (expires_at.astimezone(UTC) - now).total_seconds() / SECONDS_PER_YEAR
