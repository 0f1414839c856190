"""What scopes would require under other models: asked all at once, or one scope as a run would."""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from decimal import Decimal
from typing import NamedTuple

from margin.book import ReadInputs, ScopeRow, without_uncarried
from margin.book.arrays import market_rows
from margin.engine.house_rules import MODEL as HOUSE_RULES
from margin.engine.house_rules import evaluate
from margin.engine.rejected import RejectedInputError
from margin.model_registry import UsedModel
from margin.models import ModelDecision
from margin.portfolio import answers_of
from margin.prepared_models import PreparedModels
from margin.runs import Computed, arrays_of, computed

HOUSE: tuple[str, str] = (HOUSE_RULES, "v1")
ModelKey = tuple[str, str]
NO_OPTIONS = "House rules have no requirement for options."


class Alternative(NamedTuple):
    """What a model would require of one scope.

    Attributes:
        key: model and code of parameters.
        standing: production, where agreements may name it; or shadow, where it is only watched.
        initial, maintenance: none where the model would not say.
        why: it would not.
    """

    key: ModelKey
    standing: str
    initial: Decimal | None
    maintenance: Decimal | None
    why: str = ""


def current_key(row: ScopeRow) -> ModelKey:
    """The model and parameters that a scope is under."""
    return row.model_key or HOUSE


def alternatives_of(read: ReadInputs) -> list[list[Alternative]]:
    """(A,) by scope of the run what every model in production or watched would require of it.

    House rules are one of them, and so is the model that the scope is under.

    Args:
        read: as `read_with_models` reads it.
    """
    places = list(range(len(read.scopes)))
    found: list[list[Alternative]] = [[each] for each in _by_house_rules(read)]
    used = {**read.models, **read.shadows}
    if not used:
        return found
    try:
        everything = frozenset(held.asset_id for held in (*read.claims, *read.positions))
        ready = PreparedModels.of_rows(market_rows(replace(read, asked=everything)))
    except RejectedInputError as refusal:
        for key, model in used.items():
            for place in places:
                found[place].append(_refused(key, model, f"{refusal}."))
        return found
    for key, model in sorted(used.items(), key=lambda each: each[0]):
        answers, wrong = answers_of(read, model, ready, places)
        for answer in answers:
            found[answer.scope].append(
                Alternative(key, model.standing, answer.initial_margin, answer.maintenance_margin)
            )
        for place, why in wrong.items():
            found[place].append(_refused(key, model, why))
    return found


def _by_house_rules(read: ReadInputs) -> Sequence[Alternative]:
    result = evaluate(arrays_of(read))
    optioned = {held.scope for held in read.positions if held.asset_id in read.options}
    production = ModelDecision.Standing.PRODUCTION.value
    return [
        Alternative(HOUSE, production, None, None, NO_OPTIONS)
        if place in optioned
        else Alternative(
            HOUSE,
            production,
            result.initial_margin[place],
            result.maintenance_margin[place],
        )
        for place in range(len(read.scopes))
    ]


def _refused(key: ModelKey, model: UsedModel, why: str) -> Alternative:
    return Alternative(key, model.standing, None, None, why)


def previewed(read: ReadInputs, *, places: Sequence[int], key: ModelKey) -> Computed:
    """A run of these scopes alone as if their agreements named a model; nothing is written.

    It goes the whole way of a run, so it says what the next run says once the agreement is
    changed and nothing else is. A scope that the model refuses is an exception of it.

    Args:
        read: as `read_with_models` reads it.
        key: house rules, or a model in production or watched.

    Raises:
        KeyError: no such model is in production or watched.
    """
    models = dict(read.models)
    if key != HOUSE:
        models[key] = {**read.models, **read.shadows}[key]
    chosen = list(places)
    moved = {old: new for new, old in enumerate(chosen)}
    alone = replace(
        read,
        scopes=[_under(read.scopes[place], key) for place in chosen],
        claims=[h._replace(scope=moved[h.scope]) for h in read.claims if h.scope in moved],
        positions=[h._replace(scope=moved[h.scope]) for h in read.positions if h.scope in moved],
        loans=[h._replace(scope=moved[h.scope]) for h in read.loans if h.scope in moved],
        exceptions=[],
        models=models,
        shadows={},
    )
    return computed(without_uncarried(alone))


def _under(row: ScopeRow, key: ModelKey) -> ScopeRow:
    agreement = copy(row.agreement)
    agreement.model, agreement.parameters = key
    return row._replace(agreement=agreement)


def requirements(done: Computed) -> Mapping[int, tuple[Decimal, Decimal]]:
    """Initial and maintenance margin by id of the scope; refused scopes are not there."""
    return {
        row.scope_id: (done.result.initial_margin[place], done.result.maintenance_margin[place])
        for place, row in enumerate(done.charged.read.scopes)
    }
