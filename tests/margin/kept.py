"""What a run keeps, asked so that it does not matter whether by rows or in columns."""

from collections.abc import Iterable

from django.db.models import prefetch_related_objects

from margin.models import MarginResult, MarginRun, ResultComponent
from margin.parts import parts_of


def parts_of_results(results: Iterable[MarginResult]) -> list[ResultComponent]:
    """Parts, result by result, with their assets, marks and haircuts at hand."""
    found = parts_of(list(results))
    prefetch_related_objects(found, "asset", "mark", "haircut")
    return found


def parts_of_run(run: MarginRun, *, kinds: Iterable[str] = ()) -> list[ResultComponent]:
    """Every part of a run, or those of some kinds, by account and bucket of their scopes."""
    results = run.results.select_related("run", "scope__bucket__account", "agreement_version")
    ordered = results.order_by("scope__bucket__account__code", "scope__bucket__code")
    wanted = frozenset(kinds)
    return [part for part in parts_of_results(ordered) if not wanted or part.kind in wanted]


def code_of(part: ResultComponent) -> str:
    """The asset of a part; "" of a part of a model, which has none."""
    return "" if part.asset is None else str(part.asset.code)


def holders_of(run: MarginRun, codes: Iterable[str]) -> list[MarginResult]:
    """Results with a part of any of some assets, by account and bucket."""
    wanted = frozenset(codes)
    found = {part.result_id: part.result for part in parts_of_run(run) if code_of(part) in wanted}
    return list(found.values())
