"""Maintenance margin of scopes by what they hold: stored parts, and the trees of models."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import NamedTuple

from margin.book import ReadInputs
from margin.book.arrays import books_of_scopes, market_rows
from margin.engine.explain import Node
from margin.engine.rejected import RejectedInputError
from margin.engine.tree import exact_tree
from margin.models import MarginResult
from margin.parts import parts_of
from margin.portfolio import DECIMALS
from margin.prepared_models import PreparedModels


class HeldPart(NamedTuple):
    """A part of a scope's maintenance margin and the asset it is for, if it is for one."""

    place: int
    asset_id: int | None
    amount: Decimal


def maintenance_by_asset(
    read: ReadInputs, results: Mapping[int, MarginResult]
) -> Iterator[HeldPart]:
    """Parts that add up to the maintenance margin of every scope, exactly."""
    place_of = {
        result.pk: place
        for place, row in enumerate(read.scopes)
        if (result := results[row.scope_id]).parameter_set_id is None
    }
    rows = [result for result in results.values() if result.pk in place_of]
    for part in parts_of(rows):
        if part.total == "maintenance_margin":
            yield HeldPart(place_of[part.result_id], part.asset_id, part.amount)
    yield from _of_models(read)


def _of_models(read: ReadInputs) -> Iterator[HeldPart]:
    """Leaves of the models' trees by the asset they name, or whose underlying they lie under."""
    by_key: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, row in enumerate(read.scopes):
        if row.model_key is not None:
            by_key[row.model_key].append(place)
    if not by_key:
        return
    ready = PreparedModels.of_rows(market_rows(read))
    ids = {asset.code: pk for pk, asset in read.assets.items()}
    for key, places in by_key.items():
        groups, wrong = ready.groups(read, read.models[key], places)
        for why in wrong.values():
            raise RejectedInputError(why)
        for group in groups:
            books = books_of_scopes(read, market=group.market, places=group.places)
            for scope, place in enumerate(group.places):
                tree = group.prepared.explain(books, scope=scope).maintenance
                for asset_id, amount in leaves_by_asset(exact_tree(tree, decimals=DECIMALS), ids):
                    yield HeldPart(place, asset_id, amount)


def leaves_by_asset(
    node: Node, ids: Mapping[str, int], above: int | None = None
) -> Iterator[tuple[int | None, Decimal]]:
    """The ends of a tree, each with the asset it names or whose underlying it lies under.

    Args:
        ids: of assets by their codes.
        above: the asset that a node above names.
    """
    named = ids.get(node.label, above)
    if node.children:
        for child in node.children:
            yield from leaves_by_asset(child, ids, named)
        return
    prices = {str(each["price"]) for each in node.inputs if "price" in each}
    if node.label not in ids and len(prices) == 1:
        named = ids.get(prices.pop(), named)
    yield named, node.amount
