"""The trees behind a requirement that a portfolio model made: recomputed from the run's inputs."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final, NamedTuple

from accounts.figures import plain
from margin.aggregate_parts import leaves_by_asset
from margin.book import ReadInputs, read_inputs_of
from margin.engine.exact import ZERO, exact
from margin.engine.explain import ExplanationError, Node, Reference
from margin.engine.model import WorstColumn
from margin.engine.parameters import Field, parameter_fields
from margin.engine.rejected import RejectedInputError
from margin.models import MarginResult, Mark, ParameterSet
from margin.option_references import contract_reference
from margin.portfolio import OfColumns, portfolio_trees, worst_columns
from margin.references import mark_reference, parameter_reference, valid_mark_before

OTHER: Final = "other"


class PricedBy(NamedTuple):
    """A mark that a model read, and where it was carried the valid one it comes from."""

    mark: Mark
    valid: Mark | None


class RiskUnit(NamedTuple):
    """What a model requires for one underlying and all that is written on it."""

    name: str
    initial: Decimal
    maintenance: Decimal


@dataclass(frozen=True, slots=True)
class ModelTrees:
    """Why a model required what it did of one scope.

    Attributes:
        initial_margin, maintenance_margin: trees whose leaves add up to the last cent; their
            inputs name price rows and parameters.
        marks: the prices that they name, by asset.
        units: by underlying, the greatest first; each total is their sum exactly.
        worst: by unit the scenario that decided, with what each position gains in it; the
            requirement computed again by these columns alone is the one that was stored.
    """

    initial_margin: Node
    maintenance_margin: Node
    used: ParameterSet
    binding: str
    marks: Mapping[str, PricedBy]
    units: tuple[RiskUnit, ...]
    worst: tuple[WorstColumn, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The trees with the parameter set they rest on."""
        return {
            "parameter_set": {
                "model": self.used.model,
                "code": self.used.code,
                "version": self.used.version,
                "sha256": self.used.sha256,
            },
            "binding": self.binding,
            "risk_units": [
                {
                    "underlying": unit.name,
                    "initial_margin": plain(unit.initial),
                    "maintenance_margin": plain(unit.maintenance),
                }
                for unit in self.units
            ],
            "worst_scenarios": [
                {
                    "unit": each.unit,
                    "scenario": each.scenario,
                    "gains": {name: repr(gain) for name, gain in each.gains},
                }
                for each in self.worst
            ],
            "initial_margin": self.initial_margin.as_json(),
            "maintenance_margin": self.maintenance_margin.as_json(),
        }


def model_trees(result: MarginResult) -> ModelTrees | None:
    """The trees of a stored result, read again from the run's horizon; None under house rules.

    Raises:
        ExplanationError: `model_says_so`: the model says something else now.
    """
    used = result.parameter_set
    if used is None:
        return None
    read, (initial, maintenance), worst = _said_again(result)
    stored = result.initial_margin, result.maintenance_margin
    _require_same((initial.amount, maintenance.amount), stored)
    if worst is not None:
        _require_same((worst.initial, worst.maintenance), stored)
    marks = _marks(read, (initial, maintenance))
    fields = {
        each.path: each for each in parameter_fields(read.models[used.model, used.code].parameters)
    }
    rows = _Rows(used, marks, fields, _options(read))
    return ModelTrees(
        initial_margin=_referring(initial, rows),
        maintenance_margin=_referring(maintenance, rows),
        used=used,
        binding=result.binding,
        marks=marks,
        units=_units(read, initial, maintenance),
        worst=() if worst is None else worst.columns,
    )


def _require_same(said: tuple[Decimal, Decimal], stored: tuple[Decimal, Decimal]) -> None:
    if said != stored:
        detail = f"{' and '.join(map(plain, said))}, not {' and '.join(map(plain, stored))}"
        raise ExplanationError("model_says_so", detail)


def _units(read: ReadInputs, initial: Node, maintenance: Node) -> tuple[RiskUnit, ...]:
    """Subtotals by what things are written on; what names no asset is under "other"."""
    ids = {asset.code: pk for pk, asset in read.assets.items()}

    def name(asset_id: int | None) -> str:
        if asset_id is None:
            return OTHER
        contract = read.contracts.get(asset_id)
        return read.assets[asset_id if contract is None else contract.underlying_id].code

    sums: list[dict[str, Decimal]] = []
    for tree in (initial, maintenance):
        found: dict[str, Decimal] = defaultdict(lambda: ZERO)
        with exact():
            for asset_id, amount in leaves_by_asset(tree, ids):
                found[name(asset_id)] += amount
        sums.append(found)
    units = [
        RiskUnit(each, *(found.get(each, ZERO) for found in sums))
        for each in sorted({*sums[0], *sums[1]})
    ]
    return tuple(sorted(units, key=lambda unit: -unit.initial))


def _said_again(
    result: MarginResult,
) -> tuple[ReadInputs, tuple[Node, Node], OfColumns | None]:
    run = result.run
    read = read_inputs_of(run)
    place = next((n for n, row in enumerate(read.scopes) if row.scope_id == result.scope_id), None)
    try:
        trees = None if place is None else portfolio_trees(read, scope=place)
        worst = None if place is None else worst_columns(read, scope=place)
    except RejectedInputError as refused:
        raise ExplanationError("model_says_so", f"{refused}") from refused
    if trees is None:
        raise ExplanationError("model_says_so", "it is not asked about this scope any more")
    return read, trees, worst


def _marks(read: ReadInputs, trees: Iterable[Node]) -> dict[str, PricedBy]:
    """The marks that trees name, by asset; a query for each that was carried."""
    named = {str(each["price"]) for tree in trees for each in _inputs(tree) if each.get("price")}
    found = {}
    for pk, mark in read.marks.items():
        code, option = read.assets[pk].code, read.options.get(pk)
        if code in named and (option is None or option.is_own):
            is_valid = mark.state == Mark.State.VALID
            found[code] = PricedBy(mark, None if is_valid else valid_mark_before(mark))
    return found


def _inputs(node: Node) -> Iterator[Reference]:
    yield from node.inputs
    for below in (*node.children, *node.beside):
        yield from _inputs(below)


def _options(read: ReadInputs) -> dict[str, Sequence[Reference]]:
    """What options are, and how they were priced, by code."""
    return {
        read.assets[pk].code: (
            contract_reference(
                read.contracts[pk],
                asset=read.assets[pk].code,
                underlying=read.assets[read.contracts[pk].underlying_id].code,
            ),
            {"what": "option_value", **dict(price.facts)},
        )
        for pk, price in read.options.items()
    }


class _Rows(NamedTuple):
    """Rows that references of a tree lead to."""

    used: ParameterSet
    marks: Mapping[str, PricedBy]
    fields: Mapping[str, Field]
    options: Mapping[str, Sequence[Reference]]

    def of(self, said: Reference) -> Iterator[Reference]:
        """The rows that a reference names; itself where it names none."""
        price = said.get("price")
        if price in self.options or price in self.marks:
            yield from self.options.get(str(price), ())
            if price in self.marks:
                found = self.marks[str(price)]
                yield mark_reference(found.mark, asset=str(price), valid=found.valid)
        elif "parameter" in said:
            path = str(said["parameter"])
            yield parameter_reference(self.used, path=path, found=field_at(self.fields, path))
        else:
            yield said


def _referring(node: Node, rows: _Rows) -> Node:
    """The node with its inputs named by the rows they are, and all beneath it."""
    return replace(
        node,
        inputs=tuple(row for each in node.inputs for row in rows.of(each)),
        children=tuple(_referring(each, rows) for each in node.children),
        beside=tuple(_referring(each, rows) for each in node.beside),
    )


def field_at(fields: Mapping[str, Field], path: str) -> Field | None:
    """A value by its path, or by the end of it where only one ends so; None of a group."""
    if path in fields:
        return fields[path]
    ends = [each for name, each in fields.items() if name.endswith(f".{path}")]
    return ends[0] if len(ends) == 1 else None
