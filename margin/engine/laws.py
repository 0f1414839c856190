"""The laws of models as code: what is always so, and what a model says of itself.

Each is asked of a world made from a seed; the same seed asks the same on every machine.
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from margin.engine.books import Books, books_of
from margin.engine.given import Float
from margin.engine.market import Market
from margin.engine.model import Law, Model, Prepared, Requirement, in_order
from margin.engine.parameters import parameter_fields, read_parameters, written_parameters
from margin.engine.slow import SLOW
from margin.engine.tree import exact_tree
from margin.engine.worlds import world_for

# What binary sums leave behind, relative to the figure.
ROUNDING: Final = 1e-9
SLOW_WITHIN: Final = 1e-7
SLOW_AMOUNT: Final = 1e-4
FACTOR: Final = 3.0
RAISED_BY: Final = 1.1
SCOPES: Final = 12
CENTS: Final = 2


def broken_always(model: Model[Any], parameters: Any, *, seed: int) -> Iterator[str]:  # noqa: ANN401
    """Which laws of every model are broken in a world, in words; nothing where none is."""
    market, books = world_for(model, seed, scopes=SCOPES)
    priced = model.prepare(market, parameters)
    said = priced.requirement(books)
    if not _is_one_by_one(priced, books, said):
        yield Law.BATCH
    if _shuffled(priced, books, seed) != said.initial.tobytes():
        yield Law.PERMUTATION
    if not (
        (in_order(said.initial_parts) == said.initial).all()
        and (in_order(said.maintenance_parts) == said.maintenance).all()
        and _trees_add_up(priced, books, said)
    ):
        yield Law.ADDS_UP
    if not ((said.initial >= said.maintenance).all() and (said.maintenance >= 0).all()):
        yield Law.ORDERED
    nothing = books_of(scopes=[], instruments=[], quantities=[], cash=[1.0])
    if priced.requirement(nothing).initial[0] != 0:
        yield Law.EMPTY


def law_excess(
    law: Law,
    model: Model[Any],
    parameters: Any,  # noqa: ANN401 (of the type that the model declares)
    *,
    seed: int,
    **sizes: int,
) -> float:
    """By how much the worst scope breaks a law, beyond rounding; not above 0 where it holds.

    Args:
        law: SCALE, SUBADDITIVE or MONOTONE.
        sizes: of the world, as `margin.engine.worlds.world` takes them.
    """
    market, books = world_for(model, seed, **({"scopes": SCOPES} | sizes))
    if law is Law.SCALE:
        return _scale_excess(model.prepare(market, parameters), books)
    if law is Law.SUBADDITIVE:
        return _sum_excess(model.prepare(market, parameters), books)
    assert law is Law.MONOTONE, f"{law} is no law that a model may break"
    return _shock_excess(model, parameters, market, books)


def slow_excess(
    model: Model[Any],
    parameters: Any,  # noqa: ANN401
    *,
    seed: int,
    scopes: int = SCOPES // 2,
) -> float:
    """By how much the slow implementation differs, beyond what its own sums leave.

    Args:
        scopes: how many books the world has; the first holds nothing.
    """
    market, books = world_for(model, seed, scopes=scopes)
    said = model.prepare(market, parameters).requirement(books)
    slow = np.array(SLOW[model.name](market, parameters, books)).reshape(len(books), 2)
    return max(
        float((np.abs(fast - other) - SLOW_WITHIN * np.abs(other) - SLOW_AMOUNT).max())
        for fast, other in ((said.initial, slow[:, 0]), (said.maintenance, slow[:, 1]))
    )


def shocks(parameters: object) -> list[str]:
    """Paths of the parameters that are shocks."""
    return [each.path for each in parameter_fields(parameters) if each.declared.is_shock]


def raised(written: dict[str, Any], path: str, *, factor: float = RAISED_BY) -> dict[str, Any]:
    """A written set with one value so many times what it was; the set that is given changes."""
    place: Any = written
    *way, last = path.split(".")
    for step in way:
        place = place[int(step)] if isinstance(place, list) else place[step]
    place[int(last) if isinstance(place, list) else last] *= factor
    return written


def _is_one_by_one(priced: Prepared, books: Books, together: Requirement) -> bool:
    for scope in range(len(books)):
        alone = priced.requirement(books.select([scope]))
        same = (
            alone.initial[0] == together.initial[scope]
            and alone.maintenance[0] == together.maintenance[scope]
            and alone.binding[0] == together.binding[scope]
            and (alone.initial_parts[0] == together.initial_parts[scope]).all()
        )
        if not same:
            return False
    return True


def _shuffled(priced: Prepared, books: Books, seed: int) -> bytes:
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(books.quantities))
    turned = books_of(
        scopes=books.scopes[order],
        instruments=books.instruments[order],
        quantities=books.quantities[order],
        cash=books.cash,
    )
    return priced.requirement(turned).initial.tobytes()


def _trees_add_up(priced: Prepared, books: Books, said: Requirement) -> bool:
    for scope in range(len(books)):
        tree = priced.explain(books, scope=scope)
        if (tree.initial.amount, tree.maintenance.amount) != (
            said.initial[scope],
            said.maintenance[scope],
        ):
            return False
        # Its nodes refuse to exist where their children do not add up.
        exact_tree(tree.initial, decimals=CENTS)
        exact_tree(tree.maintenance, decimals=CENTS)
    return True


def _scale_excess(priced: Prepared, books: Books) -> float:
    one, more = priced.requirement(books), priced.requirement(books.times(FACTOR))
    off: Float = np.abs(more.initial - FACTOR * one.initial)
    return float((off - ROUNDING * (more.initial + 1.0)).max())


def _sum_excess(priced: Prepared, books: Books) -> float:
    other = books.select(np.roll(np.arange(len(books)), 1))
    apart, beside = priced.requirement(books), priced.requirement(other)
    together = priced.requirement(books.plus(other))
    return max(
        float((whole - (one + two) - ROUNDING * (one + two + 1.0)).max())
        for whole, one, two in (
            (together.initial, apart.initial, beside.initial),
            (together.maintenance, apart.maintenance, beside.maintenance),
        )
    )


def _shock_excess(
    model: Model[Any],
    parameters: Any,  # noqa: ANN401
    market: Market,
    books: Books,
) -> float:
    """Every shock a little greater, for scopes of one position each."""
    first = books.starts[:-1][np.diff(books.starts) > 0]
    single = books_of(
        scopes=np.arange(len(first)),
        instruments=books.instruments[first],
        quantities=books.quantities[first],
        cash=np.zeros(len(first)),
    )
    before = model.prepare(market, parameters).requirement(single).initial
    worst = -np.inf
    for path in shocks(parameters):
        greater = read_parameters(model.parameters, raised(written_parameters(parameters), path))
        after = model.prepare(market, greater).requirement(single).initial
        worst = max(worst, float((before - after - ROUNDING * (before + 1.0)).max(initial=-np.inf)))
    return worst
