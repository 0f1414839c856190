"""Greeks margin in plain loops; Greeks by pricing again a little to either side."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from margin.engine.books import Books
from margin.engine.market import Kind, Market
from margin.engine.models.greeks import GreeksParameters
from margin.engine.slow.contracts import Contract, contract_of

DAYS = 365.0
STEP = 0.01  # of how far the price moves in a standard deviation, of volatility, of time


def requirements(
    market: Market, parameters: GreeksParameters, books: Books
) -> list[tuple[float, float]]:
    """Initial and maintenance margin of every scope."""
    answers = []
    for scope in range(len(books)):
        initial = _initial(market, parameters, books, scope)
        answers.append((initial, parameters.maintenance_share * initial))
    return answers


def _initial(market: Market, parameters: GreeksParameters, books: Books, scope: int) -> float:
    # Net sensitivities by Greek, underlying and bucket.
    nets: dict[str, dict[int, dict[int, float]]] = {}
    for place, quantity in zip(*books.of(scope), strict=True):
        contract = contract_of(market, int(place))
        days = round(contract.years * DAYS, 6)
        bucket = sum(days > end for end in parameters.buckets_days)
        for greek, loss in _losses(contract, parameters, days).items():
            cells = nets.setdefault(greek, {}).setdefault(contract.underlying, {})
            cells[bucket] = cells.get(bucket, 0.0) + float(quantity) * loss
    by_greek = [
        _mixed(
            [_charge(greek, list(cells.values()), parameters) for cells in assets.values()],
            parameters.underlying_correlation,
        )
        for greek, assets in nets.items()
    ]
    return _mixed(by_greek, parameters.greek_correlation)


def _charge(greek: str, nets: list[float], parameters: GreeksParameters) -> float:
    """What an underlying is charged for one Greek, given what its buckets lose."""
    if greek == "delta":
        return abs(sum(nets))
    if greek == "theta":
        return max(0.0, sum(nets))
    if greek == "gamma":
        gains = sum(-net for net in nets if net < 0)
        losses = sum(net for net in nets if net > 0)
        return max(0.0, losses - parameters.long_gamma_share * gains)
    # The greatest of the charge under the correlation and under none but 1.
    return max(_mixed(nets, parameters.bucket_correlation), _mixed(nets, 1.0))


def _mixed(values: list[float], correlation: float) -> float:
    """Root of the sum over all pairs of their product times their correlation."""
    total = 0.0
    for row, left in enumerate(values):
        for column, right in enumerate(values):
            total += left * right * (1.0 if row == column else correlation)
    return math.sqrt(max(total, 0.0))


def _losses(contract: Contract, parameters: GreeksParameters, days: float) -> dict[str, float]:
    """What one contract adds to the loss by each Greek."""
    if contract.kind is not Kind.OPTION:
        return {"delta": parameters.price_shock * contract.value()}
    option = replace(contract, years=max(contract.years, parameters.days_least / DAYS))
    price = partial(_at_price, option)
    step = STEP * max(option.volatility * math.sqrt(option.years), 1e-3)
    term = (30.0 / max(days, parameters.volatility_days_least)) ** parameters.volatility_power
    vega = _slope(partial(_at_volatility, option), option.volatility, STEP * option.volatility)
    theta = -_slope(partial(_with_years, option), option.years, STEP * option.years)
    rho = _slope(partial(_at_rate, option), option.rate, STEP * 0.1)
    shock = parameters.price_shock
    return {
        "delta": shock * _slope(price, 1.0, step),
        "gamma": -shock * shock * _bend(price, 1.0, step) / 2,
        "vega": vega * parameters.volatility_shock * term,
        "theta": -theta * parameters.holding_days / DAYS,
        "rho": rho * parameters.rate_shock,
    }


def _at_price(option: Contract, move: float) -> float:
    return option.value(move=move)


def _at_volatility(option: Contract, volatility: float) -> float:
    return replace(option, volatility=volatility).value()


def _with_years(option: Contract, years: float) -> float:
    return replace(option, years=years).value()


def _at_rate(option: Contract, rate: float) -> float:
    return replace(option, rate=rate).value()


def _slope(value: Callable[[float], float], at: float, step: float) -> float:
    """First derivative by four points around."""
    near = value(at + step) - value(at - step)
    far = value(at + 2 * step) - value(at - 2 * step)
    return (8 * near - far) / (12 * step)


def _bend(value: Callable[[float], float], at: float, step: float) -> float:
    """Second derivative by five points."""
    near = value(at + step) + value(at - step)
    far = value(at + 2 * step) + value(at - 2 * step)
    return (16 * near - far - 30 * value(at)) / (12 * step * step)
