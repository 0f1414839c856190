"""What quotes of options allow nobody to earn for nothing; each breach is named.

Prices here are per unit of the underlying and at expiry, undiscounted, unless said otherwise.
"""

from collections.abc import Iterator
from enum import StrEnum
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np

from margin.engine.black76 import black76_price
from margin.engine.given import Float
from margin.engine.quotes import PriceQuotes
from margin.engine.surface import Smile, Surface

TOLERANCE: Final = 1e-9  # of the forward, and of total variance


class Rule(StrEnum):
    """What is broken."""

    VERTICAL = (
        "vertical"  # a higher strike makes a call cheaper, by no more than the strikes differ
    )
    BUTTERFLY = "butterfly"  # a call is convex in its strike
    CALENDAR = "calendar"  # total variance does not fall with expiry
    PARITY = "parity"  # a call less a put is the discounted forward less the strike


class Breach(NamedTuple):
    """Where a rule is broken, and by how much.

    Attributes:
        years: the expiry, or of a calendar the later one.
        strikes: one, two or three, ascending.
        amount: what is earned for nothing, per unit of the underlying; of a calendar the fall of
            total variance.
        said: in a sentence.
    """

    rule: Rule
    years: float
    strikes: tuple[float, ...]
    amount: float
    said: str


def surface_breaches(surface: Surface) -> tuple[Breach, ...]:
    """What is wrong between the good quotes of a surface, at their middles, by expiry and strike.

    Source:
        P. Carr and D. Madan, "A note on sufficient conditions for no arbitrage" (2005); J.
        Gatheral and A. Jacquier, "Arbitrage-free SVI volatility surfaces" (2014) for calendars.
    """
    found = [breach for smile in surface.smiles for breach in _of_smile(smile)]
    for earlier, later in pairwise(surface.smiles):
        found += _of_calendar(earlier, later)
    return tuple(found)


def parity_breaches(quotes: PriceQuotes) -> tuple[Breach, ...]:
    """Calls and puts of one strike and expiry that can be traded against the forward at a gain.

    Both sides are bought at the ask and sold at the bid; a side that is missing cannot be traded.
    """
    rows: dict[tuple[float, float], dict[float, int]] = {}
    columns = quotes.years.tolist(), quotes.strikes.tolist(), quotes.rights.tolist()
    for row, (years, strike, right) in enumerate(zip(*columns, strict=True)):
        rows.setdefault((years, strike), {})[right] = row
    found: list[Breach] = []
    for (years, strike), pair in sorted(rows.items()):
        if len(pair) == 2:
            found += _of_pair(quotes, years, strike, call=pair[1.0], put=pair[-1.0])
    return tuple(found)


def _of_smile(smile: Smile) -> Iterator[Breach]:
    strikes = smile.forward * np.exp(smile.moneyness)
    calls = black76_price(
        smile.forward,
        strike=strikes,
        volatility=np.sqrt(smile.variances / smile.years),
        years=smile.years,
        discount=1.0,
        is_call=True,
    )
    least = TOLERANCE * smile.forward
    for place in range(len(strikes) - 1):
        pair = strikes[place : place + 2]
        fall, width = float(calls[place] - calls[place + 1]), float(pair[1] - pair[0])
        amount = max(-fall, fall - width)
        if amount > least:
            yield _breach(Rule.VERTICAL, smile.years, pair, amount)
    for place in range(1, len(strikes) - 1):
        wings = strikes[place - 1 : place + 2]
        share = (wings[2] - wings[1]) / (wings[2] - wings[0])
        straight = share * calls[place - 1] + (1 - share) * calls[place + 1]
        amount = float(calls[place] - straight)
        if amount > least:
            yield _breach(Rule.BUTTERFLY, smile.years, wings, amount)


def _of_calendar(earlier: Smile, later: Smile) -> Iterator[Breach]:
    """At every log-moneyness that either expiry quotes, where both have quotes around it."""
    every = np.union1d(earlier.moneyness, later.moneyness)
    both = every[earlier.covers(every) & later.covers(every)]
    falls = earlier.variance(both) - later.variance(both)
    for moneyness, fall in zip(both, falls, strict=True):
        if fall > TOLERANCE:
            strike = later.forward * np.exp([moneyness])
            yield _breach(Rule.CALENDAR, later.years, strike, float(fall))


def _of_pair(
    quotes: PriceQuotes, years: float, strike: float, *, call: int, put: int
) -> Iterator[Breach]:
    gap = float(quotes.discounts[call] * (quotes.forwards[call] - strike))
    sold = float(quotes.bids[call] - quotes.asks[put]) - gap
    bought = gap - float(quotes.asks[call] - quotes.bids[put])
    for amount in (sold, bought):
        if amount > TOLERANCE * quotes.forwards[call]:  # a missing side is NaN, and never above
            yield _breach(Rule.PARITY, years, np.array([strike]), amount)


def _breach(rule: Rule, years: float, strikes: Float, amount: float) -> Breach:
    named = tuple(float(strike) for strike in strikes)
    at = ", ".join(f"{strike:.10g}" for strike in named)
    said = f"{rule} at {at} to {years:.6g} years: {amount:.6g}"
    return Breach(rule, years, named, amount, said)
