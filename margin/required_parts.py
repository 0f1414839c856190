"""Stored parts of requirements, read for reports."""

from collections.abc import Collection, Iterator, Sequence
from decimal import Decimal
from typing import NamedTuple

from django.db.models import prefetch_related_objects

from margin.models import MarginResult
from margin.parts import parts_of


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
    results: Sequence[MarginResult], *, totals: Collection[str]
) -> Iterator[RequiredPart]:
    """The parts of some totals of results, in their order."""
    rows = [row for row in parts_of(results) if row.total in totals]
    prefetch_related_objects(rows, "asset")
    for row in rows:
        name = str(row.terms["part"]) if row.asset is None else row.asset.code
        yield RequiredPart(row.result_id, row.total, name, row.asset_id, row.amount)
