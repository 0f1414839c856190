"""What money costs by when it is due: a curve of one currency, and the forwards it gives.

Rates are continuous and per year, zero to their date. Axes: N nodes, I instruments, U underlyings.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from margin.engine.black76 import black76_price
from margin.engine.given import Float, finite, not_negative, positive
from margin.engine.market import Kind, Market
from margin.engine.rejected import RejectedInputError


@dataclass(frozen=True, slots=True, eq=False)
class RateCurve:
    """Zero rates at some dates; between two the logarithm of the discount factor is straight.

    That is one forward rate between each two dates. Before the first date and beyond the last its
    own zero rate holds, so that a curve with one node is flat. A parallel shift of the nodes moves
    every zero rate by as much.

    Attributes:
        years: (N,) from now, above 0, ascending.
        rates: (N,) continuous, per year; 0.05 is 5 %.
    """

    years: Float
    rates: Float

    def __post_init__(self) -> None:
        if self.years.shape != self.rates.shape or self.years.ndim != 1 or not len(self.years):
            raise RejectedInputError("curve: one rate for each of its dates is expected")
        if not (np.diff(positive("years", self.years)) > 0).all():
            raise RejectedInputError("curve: its dates ascend, each once")
        finite("rates", self.rates)

    def zero_rate(self, years: ArrayLike) -> Float:
        """The continuous rate from now to a date; at no distance that of the first node."""
        due = not_negative("years", years)
        inside = np.clip(due, self.years[0], self.years[-1])
        rate: Float = np.interp(inside, self.years, self.rates * self.years) / inside
        return rate

    def discount(self, years: ArrayLike) -> Float:
        """What one unit of money at a date is worth now; 1 at once."""
        factor: Float = np.exp(-self.zero_rate(years) * np.asarray(years, dtype=np.float64))
        return factor

    def forward_rate(self, start: ArrayLike, *, end: ArrayLike) -> Float:
        """The continuous rate, agreed now, from one date to a later one."""
        begin, until = not_negative("start", start), not_negative("end", end)
        if not (until > begin).all():
            raise RejectedInputError("end: it comes after the start")
        owed: Float = self.zero_rate(until) * until - self.zero_rate(begin) * begin
        return owed / (until - begin)

    def interest(self, amount: ArrayLike, *, start: ArrayLike, end: ArrayLike) -> Float:
        """What an amount lent from one date to a later one earns by its end; signed as it is."""
        begin, until = not_negative("start", start), not_negative("end", end)
        growth = self.forward_rate(begin, end=until) * (until - begin)
        earned: Float = finite("amount", amount) * np.expm1(growth)
        return earned

    def shifted(self, shift: float) -> "RateCurve":
        """The curve with every rate so much higher; 0.01 is one hundred basis points."""
        return RateCurve(self.years, self.rates + finite("shift", shift))


def curve_of(nodes: dict[float, float]) -> RateCurve:
    """A curve out of years and rates in any order; raises as `RateCurve` does."""
    years = sorted(nodes)
    return RateCurve(np.array(years, dtype=float), np.array([nodes[each] for each in years]))


def forward_price(
    spot: ArrayLike, *, curve: RateCurve, years: ArrayLike, carry_yield: ArrayLike = 0.0
) -> Float:
    """What a delivery at a date is worth: the spot, grown by the cost of money less what it yields.

    Args:
        spot: above 0.
        years: to delivery, from 0.
        carry_yield: continuous, per year: dividends, borrow fees earned, or the foreign rate.

    Source:
        Cost of carry; J. Hull, "Options, Futures, and Other Derivatives", chapter 5.
    """
    due = not_negative("years", years)
    grown = (curve.zero_rate(due) - finite("carry_yield", carry_yield)) * due
    price: Float = positive("spot", spot) * np.exp(grown)
    return price


def at_rates(market: Market, *, curve: RateCurve, yields: ArrayLike = 0.0) -> Market:
    """The market marked by a curve: forwards, rates, and the marks of futures and options.

    Spots, volatilities, perpetuals and securities stay as they are.

    Args:
        curve: of the settlement currency.
        yields: (U,) what each underlying earns, continuous, per year.
    """
    contract = market.instruments
    earned = np.broadcast_to(finite("yields", yields), market.spots.shape)
    spots, years = market.spots[contract.underlyings], contract.years
    rates = np.where(years > 0, curve.zero_rate(years), 0.0)
    forwards = forward_price(
        spots, curve=curve, years=years, carry_yield=earned[contract.underlyings]
    )
    premiums = black76_price(
        forwards,
        strike=np.where(contract.is_option, contract.strikes, 1.0),
        volatility=market.volatilities,
        years=years,
        discount=np.exp(-rates * years),
        is_call=contract.rights > 0,
    )
    prices = np.where(contract.kinds == Kind.FUTURE, forwards, market.prices)
    prices = np.where(contract.is_option, premiums, prices)
    return replace(market, rates=rates, forwards=forwards, prices=prices)
