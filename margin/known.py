"""Rows as a committed horizon knew them: what was written later is not there."""

from typing import TypeVar

from django.db.models import BooleanField, F, Func, Model, QuerySet, Subquery

from ledger.models import Horizon

M = TypeVar("M", bound=Model)


def known_at(rows: "QuerySet[M]", horizon_id: int | None) -> "QuerySet[M]":
    """The rows that a horizon knew; all where None. Their table keeps its transaction ids."""
    if horizon_id is None:
        return rows
    snapshot = Subquery(Horizon.objects.filter(pk=horizon_id).values("snapshot"))
    return rows.filter(
        Func(F("xid"), snapshot, function="pg_visible_in_snapshot", output_field=BooleanField())
    )
