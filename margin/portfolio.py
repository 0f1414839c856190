"""Requirements of scopes that are under a portfolio model: computed once, kept as exact money."""

from collections import OrderedDict, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from typing import Final, NamedTuple

import numpy as np

from margin.book import ReadInputs, without_scopes
from margin.book.arrays import MarketRows, books_of_scopes, market_rows
from margin.engine.books import Books
from margin.engine.explain import Node
from margin.engine.inputs import ChargeRow
from margin.engine.market import Market
from margin.engine.model import NOTHING_BINDS, Prepared
from margin.engine.parameters import parameters_sha256
from margin.engine.past import Past, PastKey
from margin.engine.rejected import RejectedInputError
from margin.engine.source import model_sha256
from margin.engine.tree import exact_tree, units_of_parts, units_up
from margin.model_registry import UsedModel

DECIMALS: Final = 2
REJECTED: Final = "model_refused"
# A house has few different pasts; scopes that hold many different things have a market each.
MARKETS_KEPT: Final = 16


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


class Group(NamedTuple):
    """Scopes that are asked together: what they are asked, at which market."""

    prepared: Prepared
    market: Market
    places: list[int]


class PreparedModels:
    """A market, and every model prepared for it when it is first asked.

    A model that looks back is prepared for the days of each scope, so that what one scope holds
    never shortens the past of another. Where a market is refused for what somebody else holds,
    each scope is asked at a market of its own holdings.

    Attributes:
        past: where each scope's days are taken from; none for runs of before, whose scopes have
            the days that all have in common.
    """

    def __init__(self, market: Market, past: Past | None) -> None:
        self.market, self.past = market, past
        self._prepared: OrderedDict[Hashable, tuple[Prepared, Market]] = OrderedDict()

    @classmethod
    def of_rows(cls, rows: MarketRows) -> "PreparedModels":
        """At the marks.

        Raises:
            RejectedInputError: they cannot be what they say.
        """
        return cls(rows.market(), rows.past)

    def sha256(self) -> str:
        """The sha256, in hex, of all that models are told of the market and its past."""
        said = market_sha256(self.market)
        if self.past is None:
            return said
        days = "\n".join((said, *self.past.days)).encode()
        return sha256(days + np.ascontiguousarray(self.past.closes).tobytes()).hexdigest()

    def groups(
        self, read: ReadInputs, used: UsedModel, places: Sequence[int]
    ) -> tuple[list[Group], dict[int, str]]:
        """Scopes by the market that they are asked at, and why others cannot be asked."""
        columns = columns_held(read, self.market, places)
        groups: list[Group] = []
        wrong: dict[int, str] = {}
        for key, together in self._by_key(used, columns).items():
            try:
                groups.append(Group(*self._of(used, key), together))
            except RejectedInputError as refusal:
                if self.past is None:
                    wrong |= dict.fromkeys(together, f"{refusal}.")
                else:
                    self._alone(used, self.past, columns, together, groups, wrong)
        return groups, wrong

    def _alone(
        self,
        used: UsedModel,
        past: Past,
        columns: Mapping[int, tuple[int, ...]],
        places: Sequence[int],
        groups: list[Group],
        wrong: dict[int, str],
    ) -> None:
        """Ask scopes at markets of what they hold, where one of everything is refused."""
        for held in sorted({columns[place] for place in places}):
            together = [place for place in places if columns[place] == held]
            try:
                groups.append(Group(*self._of(used, PastKey(held, None)), together))
            except RejectedInputError as refusal:
                fewest = past.least(held) if used.looks_back else None
                beside = (
                    f". {self.market.underlyings[fewest[0]]} has {fewest[1]} closes"
                    if fewest
                    else ""
                )
                wrong |= dict.fromkeys(together, f"{refusal}{beside}.")

    def _by_key(
        self, used: UsedModel, columns: Mapping[int, tuple[int, ...]]
    ) -> dict[PastKey | None, list[int]]:
        if self.past is None or not used.looks_back:
            return {None: list(columns)}
        found: dict[PastKey | None, list[int]] = defaultdict(list)
        mixes = used.model.mixes(used.parameters)
        for place, held in columns.items():
            found[self.past.key(held, mixes=mixes)].append(place)
        return found

    def _of(self, used: UsedModel, key: PastKey | None) -> tuple[Prepared, Market]:
        """The model with its parameters, prepared for a market of the key; the newest are kept.

        Raises:
            RejectedInputError: it cannot be asked at this market.
        """
        said = used.parameter_set
        whole = said.model, said.code, said.version, key
        if whole in self._prepared:
            self._prepared.move_to_end(whole)
            return self._prepared[whole]
        market = self.market
        if key is not None:
            assert self.past is not None, "keys are of a past"
            market = self.past.market(market, key)
        found = used.model.prepare(market, used.parameters), market
        self._prepared[whole] = found
        if len(self._prepared) > MARKETS_KEPT:
            self._prepared.popitem(last=False)
        return found


def columns_held(
    read: ReadInputs, market: Market, places: Sequence[int]
) -> dict[int, tuple[int, ...]]:
    """Underlyings of what each scope holds, ascending; nothing of what has no price."""
    contract = market.instruments
    of = dict(zip(contract.names, contract.underlyings.tolist(), strict=True))
    held: dict[int, set[int]] = {place: set() for place in places}
    for row in (*read.claims, *read.positions):
        if row.scope in held and row.amount:
            column = of.get(read.assets[row.asset_id].code)
            if column is not None:
                held[row.scope].add(column)
    return {place: tuple(sorted(columns)) for place, columns in held.items()}


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
    key = read.scopes[scope].model_key
    if key is None:
        return None
    ready, used = PreparedModels.of_rows(market_rows(read)), read.models[key]
    groups, wrong = ready.groups(read, used, [scope])
    for why in wrong.values():
        raise RejectedInputError(why)
    (group,) = groups
    books = books_of_scopes(read, market=group.market, places=[scope])
    said = group.prepared.explain(books, scope=0)
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
