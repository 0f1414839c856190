"""What options lose in an hour as time passes, all else as it is: theta at their own prices."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from ledger.models import Asset
from margin.book.market_data import MarketData
from margin.book.options import EXPIRED, Moment, OptionPrice
from margin.engine.exact import exact, round_half_even
from margin.engine.market import DAYS_PER_YEAR
from margin.engine.pricing import black_76, implied_volatility
from margin.models import Contract, Mark

HOURS_PER_YEAR: Final = DAYS_PER_YEAR * 24.0
PLACES: Final = 12


def hourly_decay(
    prices: Mapping[int, OptionPrice],
    *,
    assets: Mapping[int, Asset],
    contracts: Mapping[int, Contract],
    marks: Mapping[int, Mark],
    market: MarketData,
) -> dict[int, Decimal]:
    """What one contract loses to who holds it, in its settlement currency, by asset id.

    Whoever owes it gains as much. An option that is over, or whose price leaves nothing to time,
    is left out.

    Args:
        marks: of what the options are written on.
    """
    found = {}
    for pk, price in prices.items():
        contract = contracts[pk]
        beneath = marks.get(contract.underlying_id)
        settled_in = assets[pk].settles_in_id
        if price.basis == EXPIRED or beneath is None or settled_in is None:
            continue
        moment = Moment(
            market, beneath, code=assets[contract.underlying_id].code, currency=settled_in
        )
        theta = _theta(contract, price, moment)
        if theta is not None:
            hourly = round_half_even(Decimal(theta / HOURS_PER_YEAR), PLACES)
            with exact():
                found[pk] = -hourly * price.multiplier
    return found


def _theta(contract: Contract, price: OptionPrice, moment: Moment) -> float | None:
    """Change per year of the price of one unit, at the volatility that its price implies."""
    assert contract.strike is not None, "an option has a strike"
    years, right = moment.years(contract), 1 if contract.is_call else -1
    strike, forward = float(contract.strike), moment.forward(years)
    rate = moment.market.rates(moment.currency, years)
    volatility = implied_volatility(
        float(price.middle), right=right, spot=forward, strike=strike, t=years, rate=rate,
        dividend_yield=rate,
    )  # fmt: skip
    if not volatility[0] > 0:  # nothing, or no number
        return None
    values = black_76(
        forward, right=right, strike=strike, t=years, volatility=volatility, rate=rate
    )
    return float(values.theta[0])
