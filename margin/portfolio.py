"""Requirements of scopes that are under a portfolio model: computed once, kept as exact money."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from typing import Final, NamedTuple

import numpy as np

from margin.book import ReadInputs, without_scopes
from margin.book.arrays import books_of_scopes, market_of
from margin.engine.books import Books
from margin.engine.explain import Node
from margin.engine.inputs import ChargeRow
from margin.engine.market import Market
from margin.engine.model import NOTHING_BINDS, Prepared
from margin.engine.parameters import parameters_sha256
from margin.engine.rejected import RejectedInputError
from margin.engine.source import model_sha256
from margin.engine.tree import exact_tree, units_of_parts, units_up
from margin.model_registry import UsedModel

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


class PreparedModels:
    """A market, and every model prepared for it when it is first asked."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self._prepared: dict[tuple[str, str, int], Prepared] = {}

    def of(self, used: UsedModel) -> Prepared:
        """The model with its parameters, prepared for the market.

        Raises:
            RejectedInputError: it cannot be asked at this market.
        """
        said = used.parameter_set
        key = said.model, said.code, said.version
        if key not in self._prepared:
            self._prepared[key] = used.model.prepare(self.market, used.parameters)
        return self._prepared[key]


def wrong_market(refusal: RejectedInputError) -> str:
    """Why no model can be asked at all."""
    return f"The market cannot be what it says: {refusal}."


def charged(read: ReadInputs) -> Charged:
    """Ask every model in use about its scopes, and every model that is watched about all."""
    if not read.models and not read.shadows:
        return Charged(read, {}, (), "")
    try:
        market = market_of(read)
    except RejectedInputError as refusal:
        return _without_any_model(read, wrong_market(refusal))
    ready = PreparedModels(market)
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
        market_sha256=market_sha256(market),
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
    key = read.scopes[scope].model_key
    if key is None:
        return None
    market, used = market_of(read), read.models[key]
    books = books_of_scopes(read, market=market, places=[scope])
    said = used.model.prepare(market, used.parameters).explain(books, scope=0)
    return (
        exact_tree(said.initial, decimals=DECIMALS),
        exact_tree(said.maintenance, decimals=DECIMALS),
    )


def market_sha256(market: Market) -> str:
    """The sha256, in hex, of a market's arrays, bit for bit."""
    digest = sha256()
    for holder in (market.instruments, market):
        for name in sorted(holder.__slots__):
            value = getattr(holder, name)
            digest.update(f"{name}\n".encode())
            if isinstance(value, np.ndarray):
                digest.update(f"{value.dtype.str}{value.shape}".encode())
                digest.update(np.ascontiguousarray(value).tobytes())
            elif isinstance(value, tuple):
                digest.update("\x1f".join(value).encode())
    return digest.hexdigest()


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
    market = ready.market
    try:
        prepared = ready.of(used)
    except RejectedInputError as refusal:
        return [], dict.fromkeys(places, f"{used.parameter_set}: {refusal}.")
    try:
        books = books_of_scopes(read, market=market, places=places)
        return _charges(used, prepared, books, places), {}
    except RejectedInputError:
        answers, wrong = [], {}
        for place in places:
            try:
                alone = books_of_scopes(read, market=market, places=[place])
                answers += _charges(used, prepared, alone, [place])
            except RejectedInputError as refusal:
                wrong[place] = f"{used.parameter_set}: {refusal}."
        return answers, wrong


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
