"""Delta margin less correlation offsets in plain loops; a matrix that needs no repair."""

from margin.engine.books import Books
from margin.engine.market import Market
from margin.engine.models.correlation_offsets import CorrelationOffsetsParameters
from margin.engine.slow.contracts import contract_of
from margin.engine.slow.delta import delta_value
from margin.engine.slow.offsets import net_of


def requirements(
    market: Market, parameters: CorrelationOffsetsParameters, books: Books
) -> list[tuple[float, float]]:
    """Initial and maintenance margin of every scope."""
    found = []
    for scope in range(len(books)):
        net = _net(market, books, scope)
        names = sorted(net)
        gross = [parameters.shock * abs(net[name]) for name in names]
        directions = [float((net[name] > 0) - (net[name] < 0)) for name in names]
        matrix = [[_correlation(parameters, one, other) for other in names] for one in names]
        initial, _ = net_of(
            gross, directions, matrix, rule=parameters.rule, credit_most=parameters.credit_most
        )
        found.append((initial, parameters.maintenance_share * initial))
    return found


def _net(market: Market, books: Books, scope: int) -> dict[str, float]:
    """Net delta value by name of the underlying."""
    net: dict[str, float] = {}
    for place, quantity in zip(*books.of(scope), strict=True):
        contract = contract_of(market, int(place))
        name = market.underlyings[contract.underlying]
        net[name] = net.get(name, 0.0) + float(quantity) * delta_value(contract)
    return net


def _correlation(parameters: CorrelationOffsetsParameters, one: str, other: str) -> float:
    if one == other:
        return 1.0
    for pair in parameters.pairs:
        if {pair.first, pair.second} == {one, other}:
            return min(max(pair.correlation, pair.floor), pair.cap)
    return 0.0
