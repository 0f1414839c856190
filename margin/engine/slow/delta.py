"""Delta margin in plain loops; deltas by moving the price a little."""

from margin.engine.books import Books
from margin.engine.market import Kind, Market
from margin.engine.models.delta import DeltaParameters
from margin.engine.slow.contracts import Contract, contract_of

BUMP = 1e-4


def requirements(
    market: Market, parameters: DeltaParameters, books: Books
) -> list[tuple[float, float]]:
    """Initial and maintenance margin of every scope."""
    return [_requirement(market, parameters, books, scope) for scope in range(len(books))]


def _requirement(
    market: Market, parameters: DeltaParameters, books: Books, scope: int
) -> tuple[float, float]:
    net: dict[int, float] = {}
    gross = 0.0
    for place, quantity in zip(*books.of(scope), strict=True):
        contract = contract_of(market, int(place))
        value = float(quantity) * delta_value(contract)
        net[contract.underlying] = net.get(contract.underlying, 0.0) + value
        gross += abs(value)
    directional = sum(parameters.shock * abs(value) for value in net.values())
    initial = directional + parameters.residual * gross
    return initial, parameters.maintenance_share * initial


def delta_value(contract: Contract) -> float:
    """The slope by five points, good to the fourth order of the bump; exact where it is linear."""
    if contract.kind is not Kind.OPTION:
        return contract.value()
    up, down = contract.value(move=1 + BUMP), contract.value(move=1 - BUMP)
    far_up, far_down = contract.value(move=1 + 2 * BUMP), contract.value(move=1 - 2 * BUMP)
    return (8 * (up - down) - (far_up - far_down)) / (12 * BUMP)
