"""Several models with floors, in plain loops over the slow form of each."""

from margin.engine.books import Books
from margin.engine.market import Market
from margin.engine.models.hybrid import Child, Combination, HybridParameters
from margin.engine.slow.contracts import contract_of


def requirements(
    market: Market, parameters: HybridParameters, books: Books
) -> list[tuple[float, float]]:
    """Initial and maintenance margin of every scope."""
    children = [_child(market, each, books) for each in parameters.children]
    add_ons = [_child(market, each, books) for each in parameters.add_ons]
    found = []
    for scope in range(len(books)):
        floor = _floor(market, parameters, books, scope)
        both = []
        for level, share in ((0, 1.0), (1, parameters.maintenance_share)):
            terms = [child[scope][level] for child in children]
            together = max(terms) if parameters.combination is Combination.MAX else sum(terms)
            on_top = sum(each[scope][level] for each in add_ons)
            both.append(max(together, share * floor) + on_top)
        found.append((both[0], both[1]))
    return found


def _child(market: Market, child: Child, books: Books) -> list[tuple[float, float]]:
    # The registry holds this one too, so it is there only once all of them are read.
    from margin.engine.slow import SLOW

    return [
        (child.weight * initial, child.weight * maintenance)
        for initial, maintenance in SLOW[child.model](market, child.parameters, books)
    ]


def _floor(market: Market, parameters: HybridParameters, books: Books, scope: int) -> float:
    gross, is_held = 0.0, False
    for place, quantity in zip(*books.of(scope), strict=True):
        contract = contract_of(market, int(place))
        price = contract.spot if contract.strike > 0 else contract.price
        gross += abs(float(quantity)) * contract.units * price
        is_held = True
    return max(parameters.floor_share * gross, parameters.minimum if is_held else 0.0)
