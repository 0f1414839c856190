"""Invented prices: a path from day to day, and the rows that several sources report of it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import NamedTuple

from brokerage.synthetic.events import instant_text
from brokerage.synthetic.profile import Profile, drawn
from brokerage.synthetic.reference import PERPETUAL, Reference

SOURCES = ("primary", "second", "third")
PRICE_AGE_MAX = timedelta(seconds=900)
OUTLIER = Decimal("0.05")


class Price(NamedTuple):
    """A row of prices.csv."""

    instrument: str
    source: str
    observed_at: datetime
    price: Decimal

    def cells(self) -> list[str]:
        return [self.instrument, self.source, instant_text(self.observed_at), f"{self.price:f}"]


def rounded(value: float, places: int) -> Decimal:
    return Decimal(f"{value:.{places}f}")


def last_place(number: Decimal) -> Decimal:
    """One unit of the number's last decimal."""
    return Decimal(1).scaleb(int(number.as_tuple().exponent))


@dataclass
class Market:
    """Closing prices of the evening before and of today; prices run from one to the other."""

    reference: Reference
    before: dict[str, Decimal]
    close: dict[str, Decimal]

    @classmethod
    def invented(cls, rng: Random, reference: Reference) -> "Market":
        """Prices on the evening before the first day."""
        close = {code: rounded(rng.uniform(14, 640), 4) for code in reference.securities}
        coin = rng.uniform(9_000, 11_000)
        close |= {PERPETUAL: rounded(coin * 1.0005, 2), "BTC": rounded(coin, 2)}
        close["USDC"] = Decimal("1.0000")
        return cls(reference, dict(close), close)

    def next_day(self, rng: Random, profile: Profile, *, number: int) -> None:
        """Move every price by the market's move of that day and something of its own."""
        self.before = dict(self.close)
        stocks = profile.security_moves[number % len(profile.security_moves)]
        coin = profile.coin_moves[number % len(profile.coin_moves)] + rng.uniform(-0.01, 0.01)
        for code in self.reference.securities:
            move = stocks * rng.uniform(0.5, 1.5) + rng.uniform(-0.012, 0.012)
            self.close[code] = max(
                rounded(float(self.close[code]) * (1 + move), 4), Decimal("1.0000")
            )
        self.close["BTC"] = rounded(float(self.close["BTC"]) * (1 + coin), 2)
        self.close[PERPETUAL] = rounded(
            float(self.close["BTC"]) * (1 + rng.uniform(-0.001, 0.001)), 2
        )
        self.close["USDC"] = rounded(1 + rng.uniform(-0.0006, 0.0006), 4)

    def traded(self, rng: Random, instrument: str, *, elapsed: float) -> Decimal:
        """A price at which a trade happens when the share `elapsed` of the day has passed."""
        start, end = float(self.before[instrument]), float(self.close[instrument])
        price = (start + (end - start) * elapsed) * (1 + rng.uniform(-0.002, 0.002))
        scale = self.reference.instruments[instrument].price_scale
        return rounded(price, scale if rng.random() < 0.2 else 2)


def quote_day(rng: Random, market: Market, profile: Profile, *, as_of: datetime) -> list[Price]:
    """The day's price rows in file order, with the profile's faults."""
    rows: list[Price] = []
    for code in market.reference.priced:
        quotes = ordinary_quotes(rng, code, market.close[code], as_of=as_of)
        fault = drawn(rng, profile.faults.prices)
        if fault:
            SPOILERS[fault](rng, quotes, as_of)
        elif rng.random() < profile.edges:
            put_on_the_limits(rng, quotes, as_of)
        rows += quotes
    rng.shuffle(rows)
    return rows


def ordinary_quotes(rng: Random, code: str, close: Decimal, *, as_of: datetime) -> list[Price]:
    places = 2 if code in ("BTC", PERPETUAL) else 4
    quotes = []
    for source in SOURCES:
        away = 0.0 if source == "primary" else rng.uniform(-0.0007, 0.0007)
        observed_at = as_of - timedelta(seconds=rng.randrange(600))
        quotes.append(Price(code, source, observed_at, rounded(float(close) * (1 + away), places)))
    return quotes


def spoil_not_positive(rng: Random, quotes: list[Price], as_of: datetime) -> None:
    at = rng.randrange(len(quotes))
    price = quotes[at].price
    quotes[at] = quotes[at]._replace(price=rng.choice((-price, price * 0)))


def spoil_future(rng: Random, quotes: list[Price], as_of: datetime) -> None:
    at = rng.randrange(len(quotes))
    quotes[at] = quotes[at]._replace(observed_at=as_of + timedelta(seconds=rng.randrange(1, 90)))


def spoil_stale(rng: Random, quotes: list[Price], as_of: datetime) -> None:
    at = rng.randrange(len(quotes))
    late = PRICE_AGE_MAX + timedelta(seconds=rng.choice((1, rng.randrange(1, 6_000))))
    quotes[at] = quotes[at]._replace(observed_at=as_of - late)


def spoil_superseded(rng: Random, quotes: list[Price], as_of: datetime) -> None:
    """A source that reported twice: earlier, or at the same second on another line."""
    twice = rng.choice(quotes)
    price = twice.price + rng.randrange(1, 60) * last_place(twice.price)
    earlier = twice.observed_at - timedelta(seconds=rng.choice((0, 60, 240)))
    quotes.append(twice._replace(price=price, observed_at=earlier))


def spoil_outlier(rng: Random, quotes: list[Price], as_of: datetime) -> None:
    at = rng.randrange(len(quotes))
    price = quotes[at].price
    wrong = price * Decimal(rng.choice(("0.65", "0.9", "1.1", "1.35")))
    quotes[at] = quotes[at]._replace(price=wrong.quantize(last_place(price)))


def spoil_too_few(rng: Random, quotes: list[Price], as_of: datetime) -> None:
    """One price left, or none: the mark of the day before stays."""
    rng.shuffle(quotes)
    if rng.random() < 0.3:
        del quotes[rng.randrange(2) :]
        return
    late = PRICE_AGE_MAX + timedelta(seconds=rng.randrange(1, 6_000))
    quotes[0] = quotes[0]._replace(observed_at=as_of - late)
    quotes[1] = quotes[1]._replace(price=Decimal("0.00"))


def put_on_the_limits(rng: Random, quotes: list[Price], as_of: datetime) -> None:
    """Kept by the rules, but only just: exactly 900 seconds old, exactly 5 % from the median."""
    unit = last_place(quotes[0].price)
    middle = quotes[0].price // (20 * unit) * 20 * unit  # so that 5 % of it is a whole unit
    for at, price in enumerate((middle, middle, middle * (1 + OUTLIER))):
        quotes[at] = quotes[at]._replace(price=price.quantize(unit))
    at = rng.randrange(len(quotes))
    quotes[at] = quotes[at]._replace(observed_at=rng.choice((as_of, as_of - PRICE_AGE_MAX)))


SPOILERS: dict[str, Callable[[Random, list[Price], datetime], None]] = {
    "not_positive": spoil_not_positive,
    "future": spoil_future,
    "stale": spoil_stale,
    "superseded": spoil_superseded,
    "outlier": spoil_outlier,
    "too_few": spoil_too_few,
}


def marks_of(
    rows: list[Price], *, as_of: datetime, previous: dict[str, Decimal]
) -> dict[str, Decimal]:
    """The marks the firm expects from these rows: section 7 of the inbox format."""
    by_name: dict[str, list[Price]] = {name: [] for name in previous}
    for row in rows:
        by_name[row.instrument].append(row)
    return {name: mark_of(by_name[name], as_of=as_of) or previous[name] for name in previous}


def mark_of(rows: list[Price], *, as_of: datetime) -> Decimal | None:
    newest: dict[str, Price] = {}
    for row in rows:
        if row.price <= 0 or not as_of - PRICE_AGE_MAX <= row.observed_at <= as_of:
            continue
        if row.source not in newest or newest[row.source].observed_at <= row.observed_at:
            newest[row.source] = row
    prices = sorted(row.price for row in newest.values())
    if not prices:
        return None
    middle = median(prices)
    kept = [price for price in prices if abs(price - middle) <= OUTLIER * middle]
    return median(kept) if len(kept) >= 2 else None


def median(prices: list[Decimal]) -> Decimal:
    middle = len(prices) // 2
    return prices[middle] if len(prices) % 2 else (prices[middle - 1] + prices[middle]) / 2
