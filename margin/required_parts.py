"""Stored parts of requirements, read for reports: the one place that knows how they are kept."""

from collections.abc import Collection, Iterator
from decimal import Decimal
from typing import NamedTuple

from margin.models import ResultComponent


class RequiredPart(NamedTuple):
    """A part of initial or maintenance margin of a result.

    Attributes:
        name: the asset of house rules, the part of a model.
        asset_id: of house rules.
    """

    result_id: int
    total: str
    name: str
    asset_id: int | None
    amount: Decimal


def required_parts(
    result_ids: Collection[int], *, totals: Collection[str]
) -> Iterator[RequiredPart]:
    """The parts of some totals of results, in their order."""
    rows = ResultComponent.objects.filter(result__in=result_ids, total__in=totals)
    for result_id, total, asset, asset_id, terms, amount in rows.order_by(
        "result", "ordinal"
    ).values_list("result_id", "total", "asset__code", "asset_id", "terms", "amount"):
        yield RequiredPart(result_id, total, asset or str(terms["part"]), asset_id, amount)
