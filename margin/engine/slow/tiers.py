"""Tiered margin in plain loops: what lies in each bracket is charged that bracket's rate."""

from margin.engine.books import Books
from margin.engine.market import Kind, Market
from margin.engine.models.tiers import TiersParameters
from margin.engine.models.tiers_terms import Schedule
from margin.engine.slow.contracts import Contract, contract_of


def requirements(
    market: Market, parameters: TiersParameters, books: Books
) -> list[tuple[float, float]]:
    """Initial and maintenance margin of every scope."""
    answers = []
    for scope in range(len(books)):
        initial = maintenance = 0.0
        for place, quantity in zip(*books.of(scope), strict=True):
            first, kept = _position(market, parameters, int(place), float(quantity))
            initial, maintenance = initial + first, maintenance + kept
        answers.append((initial, maintenance))
    return answers


def _position(
    market: Market, parameters: TiersParameters, place: int, quantity: float
) -> tuple[float, float]:
    contract = contract_of(market, place)
    if contract.kind is Kind.OPTION:
        terms = parameters.options
        first, kept = (
            _option(contract, quantity, parameters, rate)
            for rate in (terms.initial_rate, terms.maintenance_rate)
        )
        return max(first, kept), kept
    schedule = _schedule(market.instruments.names[place], contract, parameters, quantity)
    notional = abs(quantity) * contract.units * contract.price
    near = contract.kind is Kind.FUTURE and round(contract.years * 365.0, 6) <= schedule.expiry_days
    times = schedule.expiry_multiplier if near else 1.0
    initial = maintenance = 0.0
    for number, bracket in enumerate(schedule.brackets):
        is_last = number + 1 == len(schedule.brackets)
        upper = notional if is_last else min(notional, schedule.brackets[number + 1].floor)
        inside = max(upper - bracket.floor, 0.0)
        initial += times * inside * bracket.initial_rate
        maintenance += times * inside * bracket.maintenance_rate
    interest = float(market.open_interests[place])
    if schedule.interest_upper and interest > schedule.interest_lower:
        reach = schedule.interest_upper - schedule.interest_lower
        rise = min((interest - schedule.interest_lower) / reach, 1.0) if reach else 1.0
        initial = max(initial, initial + rise * (notional - initial))
    return max(initial, times * notional / schedule.leverage), maintenance


def _schedule(
    name: str, contract: Contract, parameters: TiersParameters, quantity: float
) -> Schedule:
    side = "long" if quantity > 0 else "short"
    for schedule in parameters.schedules:
        is_kind = schedule.kind in ("any", contract.kind.name.lower())
        if name.startswith(schedule.prefix) and is_kind and schedule.side in ("both", side):
            return schedule
    raise LookupError(name)


def _option(contract: Contract, quantity: float, parameters: TiersParameters, rate: float) -> float:
    size = abs(quantity) * contract.multiplier
    if quantity > 0:
        return size * contract.price
    away = contract.strike - contract.spot if contract.is_call else contract.spot - contract.strike
    floor = parameters.options.floor_rate * (contract.spot if contract.is_call else contract.strike)
    premium = contract.price if parameters.options.premium_required else 0.0
    return size * (premium + max(rate * contract.spot - max(away, 0.0), floor))
