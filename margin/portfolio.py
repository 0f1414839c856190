"""Requirements of scopes that are under a portfolio model: computed once, kept as exact money."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from typing import Final, NamedTuple

import numpy as np

from margin.book import ReadInputs, without_scopes
from margin.book.arrays import books_of_scopes, market_rows
from margin.engine.books import Books
from margin.engine.explain import Node
from margin.engine.inputs import ChargeRow
from margin.engine.model import NOTHING_BINDS, Prepared, WorstColumn
from margin.engine.parameters import parameters_sha256
from margin.engine.rejected import RejectedInputError
from margin.engine.source import model_sha256
from margin.engine.tree import exact_tree, units_of_parts, units_up
from margin.model_registry import UsedModel
from margin.prepared_models import Group, PreparedModels

DECIMALS: Final = 2
REJECTED: Final = "model_refused"


class Refusal(NamedTuple):
    """Why a model that is watched would not say what it requires of a scope."""

    scope: int
    used: UsedModel
    why: str


class Charge(NamedTuple):
    """What a model requires of one scope.

    Attributes:
        scope: its place on the axis of the run.
        initial, maintenance: parts by name, in whole cents; they add up to the requirement.
        binding: what decided; empty where nothing is required.
    """

    scope: int
    used: UsedModel
    initial: tuple[tuple[str, Decimal], ...]
    maintenance: tuple[tuple[str, Decimal], ...]
    binding: str

    @property
    def initial_margin(self) -> Decimal:
        return sum((amount for _, amount in self.initial), Decimal(0))

    @property
    def maintenance_margin(self) -> Decimal:
        return sum((amount for _, amount in self.maintenance), Decimal(0))


@dataclass(frozen=True, slots=True)
class Charged:
    """A run's inputs without the scopes a model refused, and what the models require of the others.

    Attributes:
        shadows: what models that are only watched would require, and why of others they would not.
        market_sha256: of the arrays that the models were prepared with; empty where none was.
    """

    read: ReadInputs
    charges: Mapping[int, Charge]
    shadows: Sequence[Charge | Refusal]
    market_sha256: str


def wrong_market(refusal: RejectedInputError) -> str:
    """Why no model can be asked at all."""
    return f"The market cannot be what it says: {refusal}."


def charged(read: ReadInputs) -> Charged:
    """Ask every model in use about its scopes, and every model that is watched about all."""
    if not read.models and not read.shadows:
        return Charged(read, {}, (), "")
    try:
        ready = PreparedModels.of_rows(market_rows(read))
    except RejectedInputError as refusal:
        return _without_any_model(read, wrong_market(refusal))
    refused: dict[int, tuple[str, str]] = {}
    found: dict[int, Charge] = {}
    for key, places in _places_by_model(read).items():
        answers, wrong = answers_of(read, read.models[key], ready, places)
        found |= {answer.scope: answer for answer in answers}
        refused |= {place: (REJECTED, detail) for place, detail in wrong.items()}
    everyone = list(range(len(read.scopes)))
    shadows = [
        answer
        for used in read.shadows.values()
        for answer in _watched(read, used, ready, everyone)
        if answer.scope not in refused
    ]
    left = without_scopes(read, refused)
    kept = [place for place in everyone if place not in refused]
    moved = {old: new for new, old in enumerate(kept)}
    return Charged(
        read=left,
        charges={
            moved[place]: charge._replace(scope=moved[place]) for place, charge in found.items()
        },
        shadows=[charge._replace(scope=moved[charge.scope]) for charge in shadows],
        market_sha256=ready.sha256(),
    )


def charge_rows(charges: Mapping[int, Charge], names: Sequence[str]) -> list[ChargeRow]:
    """The charges as the evaluation takes them."""
    return [
        ChargeRow(names[place], total, part, amount)
        for place, charge in sorted(charges.items())
        for total, parts in (("initial", charge.initial), ("maintenance", charge.maintenance))
        for part, amount in parts
        if amount
    ]


def portfolio_trees(read: ReadInputs, *, scope: int) -> tuple[Node, Node] | None:
    """Why a model requires of a scope what it does: both trees; None under house rules."""
    if read.scopes[scope].model_key is None:
        return None
    group, books = _asked_alone(read, scope)
    said = group.prepared.explain(books, scope=0)
    return (
        exact_tree(said.initial, decimals=DECIMALS),
        exact_tree(said.maintenance, decimals=DECIMALS),
    )


class OfColumns(NamedTuple):
    """The scenarios that decided for a scope, and what it is required by these columns alone.

    Attributes:
        initial, maintenance: rounded as those of a run are.
    """

    columns: tuple[WorstColumn, ...]
    initial: Decimal
    maintenance: Decimal


def worst_columns(read: ReadInputs, *, scope: int) -> OfColumns | None:
    """Which scenario was worst for each unit of a scope, with what every position gains in it.

    The requirement is computed again by these columns alone. None under house rules, and of a
    model that knows no scenarios.
    """
    if read.scopes[scope].model_key is None:
        return None
    group, books = _asked_alone(read, scope)
    columns = group.prepared.worst(books, scope=0)
    if not columns:
        return None
    said = group.prepared.of_columns(books, scope=0, columns=[each.column for each in columns])
    initial, maintenance = (
        Decimal(int(units_up(total, decimals=DECIMALS)[0])).scaleb(-DECIMALS)
        for total in (said.initial, said.maintenance)
    )
    return OfColumns(columns, initial, maintenance)


def _asked_alone(read: ReadInputs, scope: int) -> tuple[Group, Books]:
    key = read.scopes[scope].model_key
    assert key is not None, "house rules ask nobody"
    ready, used = PreparedModels.of_rows(market_rows(read)), read.models[key]
    groups, wrong = ready.groups(read, used, [scope])
    for why in wrong.values():
        raise RejectedInputError(why)
    (group,) = groups
    return group, books_of_scopes(read, market=group.market, places=[scope])


def models_sha256(read: ReadInputs) -> tuple[str, str]:
    """Hashes of the code and of the parameters of every model that a run used or watched."""
    used = [*read.models.values(), *read.shadows.values()]
    said = sorted((each.parameter_set.model, each.parameter_set.code, each) for each in used)
    code = "\n".join(f"{model} {model_sha256(each.model)}" for model, _, each in said)
    values = "\n".join(
        f"{model} {c} {parameters_sha256(each.parameters)}" for model, c, each in said
    )
    return sha256(code.encode()).hexdigest(), sha256(values.encode()).hexdigest()


def _without_any_model(read: ReadInputs, why: str) -> Charged:
    """No model can be asked: its scopes are exceptions, those under house rules are not."""
    places = [place for group in _places_by_model(read).values() for place in group]
    left = without_scopes(read, dict.fromkeys(places, (REJECTED, why)))
    return Charged(left, {}, (), "")


def _places_by_model(read: ReadInputs) -> dict[tuple[str, str], list[int]]:
    places: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, row in enumerate(read.scopes):
        if row.model_key is not None:
            places[row.model_key].append(place)
    return places


def _watched(
    read: ReadInputs, used: UsedModel, ready: PreparedModels, places: Sequence[int]
) -> list[Charge | Refusal]:
    answers, wrong = answers_of(read, used, ready, places)
    return [*answers, *(Refusal(place, used, why) for place, why in wrong.items())]


def answers_of(
    read: ReadInputs, used: UsedModel, ready: PreparedModels, places: Sequence[int]
) -> tuple[list[Charge], dict[int, str]]:
    """What a model requires of scopes, and why it refuses others, by their places.

    Where the batch is refused each scope is asked by itself, so that one that a model cannot take
    does not keep the others from their requirement.
    """
    groups, wrong = ready.groups(read, used, places)
    refused = {place: f"{used.parameter_set}: {why}" for place, why in wrong.items()}
    answers: list[Charge] = []
    for group in groups:
        try:
            books = books_of_scopes(read, market=group.market, places=group.places)
            answers += _charges(used, group.prepared, books, group.places)
        except RejectedInputError:
            for place in group.places:
                try:
                    alone = books_of_scopes(read, market=group.market, places=[place])
                    answers += _charges(used, group.prepared, alone, [place])
                except RejectedInputError as refusal:
                    refused[place] = f"{used.parameter_set}: {refusal}."
    return sorted(answers, key=lambda charge: charge.scope), refused


def _charges(
    used: UsedModel, prepared: Prepared, books: Books, places: Sequence[int]
) -> list[Charge]:
    said = prepared.requirement(books)
    columns = [
        units_of_parts(parts, totals=units_up(totals, decimals=DECIMALS), decimals=DECIMALS)
        for totals, parts in (
            (said.initial, said.initial_parts),
            (said.maintenance, said.maintenance_parts),
        )
    ]
    return [
        Charge(
            scope=place,
            used=used,
            initial=_named(prepared, columns[0][n]),
            maintenance=_named(prepared, columns[1][n]),
            binding="" if bound == NOTHING_BINDS else prepared.bindings[bound],
        )
        for n, (place, bound) in enumerate(zip(places, said.binding.tolist(), strict=True))
    ]


def _named(prepared: Prepared, units: np.ndarray) -> tuple[tuple[str, Decimal], ...]:
    return tuple(
        (name, Decimal(int(amount)).scaleb(-DECIMALS))
        for name, amount in zip(prepared.parts, units.tolist(), strict=True)
    )
