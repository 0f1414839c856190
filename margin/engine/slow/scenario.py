"""Scenario margin in plain loops: one scope, one unit, one scenario, one expiry at a time."""

import math
from collections.abc import Callable
from typing import NamedTuple

from margin.engine.books import Books
from margin.engine.market import Kind, Market
from margin.engine.models.scenario_parameters import (
    DeclaredScenario,
    Netting,
    ScenarioParameters,
    VolatilityMove,
)
from margin.engine.slow.contracts import Contract, contract_of, option_price

SKEWS = (
    VolatilityMove.LINEAR_SKEW,
    VolatilityMove.ABSOLUTE_SKEW,
    VolatilityMove.CAPPED_LINEAR_SKEW,
)


class _Held(NamedTuple):
    quantity: float
    contract: Contract
    underlying: str
    confidence: float

    @property
    def expires(self) -> bool:
        return self.contract.kind in (Kind.FUTURE, Kind.OPTION)

    @property
    def notional(self) -> float:
        contract = self.contract
        price = contract.spot if contract.kind is Kind.OPTION else contract.price
        return abs(self.quantity) * contract.units * price


def requirements(
    market: Market, parameters: ScenarioParameters, books: Books
) -> list[tuple[float, float]]:
    """Initial and maintenance margin of every scope."""
    said = []
    for scope in range(len(books)):
        held = []
        for place, quantity in zip(*books.of(scope), strict=True):
            contract = contract_of(market, int(place))
            name = market.underlyings[contract.underlying]
            sure = float(market.confidences[place])
            held.append(_Held(float(quantity), contract, name, sure))
        said.append(_requirement(market, parameters, held))
    return said


def _requirement(
    market: Market, parameters: ScenarioParameters, held: list[_Held]
) -> tuple[float, float]:
    terms = parameters.contingencies
    loss = sum(
        _loss(parameters, unit) for unit in _grouped(held, lambda each: _unit(parameters, each))
    )
    perpetual, future = (
        sum(each.notional for each in held if each.contract.kind is kind)
        for kind in (Kind.PERPETUAL, Kind.FUTURE)
    )
    short = _short(held)
    maintenance = parameters.maintenance_factor * loss
    maintenance += terms.perpetual * perpetual + terms.future * future + terms.option * short
    maintenance += _liquidity(market, parameters, held) + _rate_loss(parameters, held)
    initial = maintenance + (parameters.initial_factor - parameters.maintenance_factor) * loss
    initial += terms.initial_perpetual * perpetual + terms.initial_future * future
    initial += terms.initial_option * short
    for each in held:
        if each.confidence < parameters.confidence.threshold:
            initial += (1.0 - each.confidence) * parameters.confidence.rate * each.notional
    if parameters.stable_coin:
        price = float(market.spots[market.underlyings.index(parameters.stable_coin)])
        initial += max(parameters.peg.threshold - price, 0.0) * parameters.peg.factor * loss
    value = sum(
        each.quantity * each.contract.multiplier * each.contract.price
        for each in held
        if each.contract.kind is Kind.OPTION
    )
    if parameters.option_value == "in_equity":
        value = 0.0
    if parameters.option_value == "long_only":
        value = max(value, 0.0)
    return max(initial - value, 0.0), max(maintenance - value, 0.0)


def _unit(parameters: ScenarioParameters, held: _Held) -> str:
    return held.underlying if parameters.netting is Netting.EACH_UNDERLYING else ""


def _expiry(held: _Held) -> tuple[str, float]:
    return held.underlying, held.contract.years if held.expires else -1.0


def _grouped(held: list[_Held], key: Callable[[_Held], object]) -> list[list[_Held]]:
    groups: dict[object, list[_Held]] = {}
    for each in held:
        groups.setdefault(key(each), []).append(each)
    return list(groups.values())


def _loss(parameters: ScenarioParameters, unit: list[_Held]) -> float:
    """The worst of the scenarios and of the basis, from 0."""
    expiries = _grouped(unit, _expiry)
    worst = max(0.0, sum(_basis_loss(parameters, each) for each in expiries))
    for scenario in parameters.scenarios:
        gain = sum(_gain(parameters, scenario, each) for each in expiries)
        worst = max(worst, -scenario.dampening * gain)
    return worst


def _basis_loss(parameters: ScenarioParameters, expiry: list[_Held]) -> float:
    terms, worst = parameters.basis, 0.0
    for move in (terms.spot_up, terms.spot_down):
        gain = 0.0
        for each in expiry:
            if each.expires:
                share = terms.base + terms.per_year * each.contract.years
                change = each.contract.value(move=move) - each.contract.value()
                gain += each.quantity * change * share
        worst = max(worst, -gain)
    return worst


def _gain(parameters: ScenarioParameters, scenario: DeclaredScenario, expiry: list[_Held]) -> float:
    """The lowest gain of one expiry, counted as an asset or as a debt, and tilted either way."""
    gains = [
        sum(each.quantity * _change(parameters, scenario, each, is_asset) for each in expiry)
        for is_asset in (True, False)
    ]
    if scenario.volatility in SKEWS:
        gains += [-gain for gain in gains]
    return min(gains)


def _change(
    parameters: ScenarioParameters, scenario: DeclaredScenario, held: _Held, is_asset: bool
) -> float:
    own = {each.underlying: each.price_range for each in parameters.named}
    move = 1.0 + scenario.step * own.get(held.underlying, parameters.price_range)
    move, contract = max(move, 0.0), held.contract
    if contract.kind is not Kind.OPTION:
        return contract.value(move=move) - contract.value()
    left = max(contract.years - parameters.days_passed / 365.0, 0.0)
    volatility = _volatility(parameters, scenario.volatility, contract)
    after = contract.multiplier * option_price(
        contract.forward * move,
        strike=contract.strike,
        deviation=volatility * math.sqrt(left),
        discount=math.exp(-contract.rate * left),
        is_call=contract.is_call,
    )
    return after * _multiple(parameters, contract, is_asset) - contract.value()


def _multiple(parameters: ScenarioParameters, contract: Contract, is_asset: bool) -> float:
    terms, rate, years = parameters.discount, max(contract.rate, 0.0), contract.years
    if is_asset:
        cut = rate * terms.long_rate_scale + terms.long_rate_add
        return terms.long_base * math.exp(-cut * years)
    rise = rate * terms.short_rate_scale + terms.short_rate_add
    return min(math.exp(rate * years), terms.short_base * math.exp(rise * years))


def _volatility(parameters: ScenarioParameters, move: VolatilityMove, contract: Contract) -> float:
    terms, skew, volatility = parameters.volatility, parameters.skew, contract.volatility
    days = contract.years * 365.0
    power = terms.short_power if days <= 30.0 + 1e-9 else terms.long_power
    growth: float = (30.0 / max(days, terms.days_floor)) ** power
    if move is VolatilityMove.UP:
        return max(volatility * (1.0 + terms.range_up * growth), terms.least_after_up)
    if move is VolatilityMove.DOWN:
        return volatility * max(1.0 - terms.range_down * growth, 0.0)
    if move not in SKEWS:
        return volatility
    root = math.sqrt(contract.years)
    moneyness = math.log(contract.strike / contract.forward)
    if move is VolatilityMove.ABSOLUTE_SKEW:
        moneyness = abs(moneyness)
    caps = skew.linear if move is VolatilityMove.LINEAR_SKEW else skew.absolute
    cap = caps.at_zero + caps.per_root_year * root
    spread = skew.width_volatility + root * skew.width_slope
    width = max(skew.least_width, root * skew.width_scale * spread)
    steps = moneyness / width if width > 0.0 else math.copysign(1.0, moneyness) * (moneyness != 0)
    tilt = min(cap, steps * cap) if moneyness >= 0.0 else max(-cap, steps * cap)
    return volatility * max(1.0 + tilt, 0.0)


def _short(held: list[_Held]) -> float:
    """Spot value of options short after calls and puts of one expiry and strike are netted."""
    net: dict[tuple[str, float, float], float] = {}
    for each in held:
        contract = each.contract
        if contract.kind is Kind.OPTION:
            strike = (each.underlying, contract.years, contract.strike)
            value = each.quantity * contract.multiplier * contract.spot
            net[strike] = net.get(strike, 0.0) + value
    return sum(max(-value, 0.0) for value in net.values())


def _liquidity(market: Market, parameters: ScenarioParameters, held: list[_Held]) -> float:
    asked, terms = 0.0, parameters.liquidity
    for group in _grouped(held, lambda each: each.underlying):
        traded = float(market.daily_volumes[group[0].contract.underlying])
        beyond = sum(each.notional for each in group) - terms.volume_share * traded
        asked += terms.rate * max(beyond, 0.0)
    return asked


def _rate_loss(parameters: ScenarioParameters, held: list[_Held]) -> float:
    worst = 0.0
    for move in (parameters.rate_move, -parameters.rate_move):
        gain = sum(
            each.quantity * each.contract.value() * (math.exp(-move * each.contract.years) - 1.0)
            for each in held
            if each.contract.kind is Kind.OPTION
        )
        worst = max(worst, -gain)
    return worst
