"""Hybrid margin: the greatest, the sum or a weighted sum of other models, with floors and add-ons.

requirement = max(combined models, rule floor, minimum) + add-ons. The rule floor is a share of what
positions stand for, the minimum an amount as soon as anything is held. It is recorded which term
binds. The laws declared are those of the standard set: a hybrid breaks what its models break.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple

import numpy as np

from margin.engine.books import Books
from margin.engine.explain import TIMES, figure_of
from margin.engine.given import Float
from margin.engine.market import Index, Market
from margin.engine.model import (
    NOTHING_BINDS,
    Counterexample,
    Explained,
    Law,
    Model,
    Part,
    Prepared,
    Requirement,
    in_order,
)
from margin.engine.models import (
    correlation_offsets,
    delta,
    factors,
    greeks,
    parametric,
    risk_arrays,
    scenario,
    strategies,
    tiers,
    value_at_risk,
)
from margin.engine.option_equity import OptionEquity
from margin.engine.parameters import check_parameters, parameter
from margin.engine.rejected import RejectedInputError

# Named here and not looked up among all, so that the code of a hybrid is known to be theirs too.
COMBINABLE: Final[Mapping[str, Model[Any]]] = {
    model.name: model
    for model in (
        correlation_offsets.MODEL,
        delta.MODEL,
        value_at_risk.EXPECTED_SHORTFALL,
        factors.MODEL,
        greeks.MODEL,
        parametric.MODEL,
        risk_arrays.MODEL,
        scenario.MODEL,
        strategies.MODEL,
        tiers.MODEL,
        value_at_risk.VALUE_AT_RISK,
    )
}
RULE_FLOOR: Final = "rule floor"
MINIMUM: Final = "minimum"


class Combination(StrEnum):
    """How models are taken together."""

    MAX = "max"
    SUM = "sum"
    WEIGHTED = "weighted"


@dataclass(frozen=True, slots=True)
class Child:
    """One of the models, with its parameters."""

    label: str = parameter("Under which name it is shown")
    model: str = parameter("Registered name of the model")
    weight: float = parameter(
        "Factor on its requirement; 1 but in a weighted sum and of add-ons",
        unit="factor",
        least=0.0,
    )
    parameters: Any = parameter("Parameters of the model")

    def __post_init__(self) -> None:
        check_parameters(self)

    @staticmethod
    def field_types(values: Mapping[str, Any]) -> dict[str, Any]:
        """Types of the fields of a set written down, by the model that it names.

        Raises:
            RejectedInputError: no such model can be combined.
        """
        kind = _combinable(values["model"]).parameters
        return {"label": str, "model": str, "weight": float, "parameters": kind}


@dataclass(frozen=True, slots=True)
class HybridParameters:
    """Which models, how they are combined, and what is required at least."""

    combination: Combination = parameter("How the models are taken together")
    children: tuple[Child, ...] = parameter("The models")
    add_ons: tuple[Child, ...] = parameter("Models whose requirements come on top")
    floor_share: float = parameter(
        "Share of gross notional that is required at least",
        unit="share", least=0.0, most=1.0, is_shock=True,
    )  # fmt: skip
    minimum: float = parameter(
        "What is required at least as soon as anything is held",
        unit="settlement currency", least=0.0, is_shock=True,
    )  # fmt: skip
    maintenance_share: float = parameter(
        "Rule floor and minimum of maintenance margin as a share of those of initial margin",
        unit="share", least=0.0, most=1.0,
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_parameters(self)
        if not self.children:
            raise RejectedInputError("children: at least one model is needed")
        labels = [each.label for each in (*self.children, *self.add_ons)]
        if len({*labels, RULE_FLOOR, MINIMUM}) != len(labels) + 2:
            raise RejectedInputError("children: each has a label of its own")
        if self.combination is not Combination.WEIGHTED and any(
            each.weight != 1.0 for each in self.children
        ):
            raise RejectedInputError("children: weights other than 1 need a weighted sum")


class Terms(NamedTuple):
    """What is compared, of initial or of maintenance margin.

    Attributes:
        children: (A, N) requirements of the models times their weights.
        floors: (A, 2) rule floor and minimum.
        add_ons: (A, M) what comes on top.
    """

    children: Float
    floors: Float
    add_ons: Float


class PreparedHybrid(Prepared):
    """A market prepared by each of the models."""

    def __init__(self, market: Market, parameters: HybridParameters) -> None:
        self.market, self.parameters = market, parameters
        self.children = tuple(_prepared(market, each) for each in parameters.children)
        self.add_ons = tuple(_prepared(market, each) for each in parameters.add_ons)
        labels = tuple(each.label for each in parameters.children)
        add_ons = tuple(each.label for each in parameters.add_ons)
        self.parts = self.bindings = (*labels, RULE_FLOOR, MINIMUM, *add_ons)

    def requirement(self, books: Books) -> Requirement:
        initial, maintenance = self._terms(books)
        initial_parts, maintenance_parts = self._parts(initial), self._parts(maintenance)
        total = in_order(initial_parts)
        return Requirement(
            initial=total,
            maintenance=in_order(maintenance_parts),
            initial_parts=initial_parts,
            maintenance_parts=maintenance_parts,
            binding=np.where(total > 0, self._binding(initial), NOTHING_BINDS),
        )

    def explain(self, books: Books, *, scope: int) -> Explained:
        one = books.select([scope])
        said = self.requirement(one)
        children = [each.explain(one, scope=0) for each in (*self.children, *self.add_ons)]
        place = int(said.binding[0])
        name = "nothing" if place == NOTHING_BINDS else self.bindings[place]
        return Explained(
            self._tree(
                one, "Initial", said.initial_parts[0], [each.initial for each in children], 1.0,
                f"{name} binds",
            ),
            self._tree(
                one, "Maintenance", said.maintenance_parts[0],
                [each.maintenance for each in children], self.parameters.maintenance_share,
                "the same terms for maintenance",
            ),
        )  # fmt: skip

    def _terms(self, books: Books) -> tuple[Terms, Terms]:
        children = [each.requirement(books) for each in self.children]
        add_ons = [each.requirement(books) for each in self.add_ons]
        given = self.parameters
        held = books.matrix(instruments=len(self.market.instruments))
        gross: Float = abs(held) @ self.market.notionals
        is_held = np.diff(books.starts) > 0
        floors = np.column_stack([given.floor_share * gross, np.where(is_held, given.minimum, 0.0)])
        initial = Terms(
            _weighted([each.initial for each in children], given.children, len(books)),
            floors,
            _weighted([each.initial for each in add_ons], given.add_ons, len(books)),
        )
        maintenance = Terms(
            _weighted([each.maintenance for each in children], given.children, len(books)),
            given.maintenance_share * floors,
            _weighted([each.maintenance for each in add_ons], given.add_ons, len(books)),
        )
        return initial, maintenance

    def _compared(self, terms: Terms) -> Float:
        """(A, terms) of which the greatest binds: models one by one, or together."""
        if self.parameters.combination is Combination.MAX:
            return np.column_stack([terms.children, terms.floors])
        return np.column_stack([in_order(terms.children), terms.floors])

    def _parts(self, terms: Terms) -> Float:
        """(A, K) the binding term where it stands, 0 for the others; add-ons on top."""
        compared = self._compared(terms)
        binds = np.arange(compared.shape[1]) == compared.argmax(axis=1)[:, None]
        if self.parameters.combination is Combination.MAX:
            counted = np.where(binds, compared, 0.0)
        else:
            together = np.where(binds[:, :1], terms.children, 0.0)
            counted = np.column_stack([together, np.where(binds[:, 1:], terms.floors, 0.0)])
        return np.column_stack([counted, terms.add_ons])

    def _binding(self, terms: Terms) -> Index:
        """(A,) the term that binds; of models taken together the greatest of them."""
        parts = self._parts(terms)
        counted = parts[:, : len(self.children) + 2]
        # Where only add-ons are required, they are what decides.
        above = counted.any(axis=1)
        on_top = parts.argmax(axis=1)
        binding: Index = np.where(above, counted.argmax(axis=1), on_top)
        return binding

    def _tree(
        self, one: Books, name: str, parts: Float, trees: list[Part], share: float, how: str
    ) -> Part:
        given, count = self.parameters, len(self.children)
        declared = (*given.children, *given.add_ons)
        shown = [_labelled(tree, child) for tree, child in zip(trees, declared, strict=True)]
        candidates = [*shown[:count], self._rule_floor(one, share), self._minimum(one, share)]
        # A sum counts all of its models, a model that requires nothing among them.
        counts = parts[: len(candidates)] > 0
        counted = [each for each, does in zip(candidates, counts, strict=True) if does]
        others = [each for each, does in zip(candidates, counts, strict=True) if not does]
        return Part(
            f"{name} margin by several models",
            float(in_order(parts[None])[0]),
            f"{given.combination} of models, at least the floors, plus add-ons; {how}",
            ({"parameter": "combination"},),
            (*counted, *shown[count:]),
            tuple(others),
        )

    def _rule_floor(self, one: Books, share: float) -> Part:
        rate = share * self.parameters.floor_share
        instruments, quantities = one.of(0)
        legs = tuple(
            Part(
                self.market.instruments.names[place],
                float(rate * notional),
                f"notional {figure_of(notional)} {TIMES} {figure_of(rate)}",
                ({"price": self.market.instruments.names[place]}, {"parameter": "floor_share"}),
            )
            for place, notional in zip(
                instruments, np.abs(quantities) * self.market.notionals[instruments], strict=True
            )
        )
        amount = sum((leg.amount for leg in legs), 0.0)
        return Part(RULE_FLOOR, amount, f"{figure_of(rate)} {TIMES} gross notional", children=legs)

    def _minimum(self, one: Books, share: float) -> Part:
        amount = share * self.parameters.minimum if len(one.quantities) else 0.0
        return Part(MINIMUM, amount, "as soon as anything is held", ({"parameter": "minimum"},))


def _combinable(name: object) -> Model[Any]:
    if not isinstance(name, str) or name not in COMBINABLE:
        raise RejectedInputError(f"model: {name!r} is none of {', '.join(COMBINABLE)}")
    return COMBINABLE[name]


def _prepared(market: Market, child: Child) -> Prepared:
    model = _combinable(child.model)
    if type(child.parameters) is not model.parameters:
        raise RejectedInputError(f"{child.label}: parameters are not those of {child.model}")
    return model.prepare(market, child.parameters)


def _weighted(totals: list[Float], children: tuple[Child, ...], count: int) -> Float:
    """(A, N) requirements of models times their weights."""
    weighted = [each.weight * total for each, total in zip(children, totals, strict=True)]
    return np.column_stack(weighted) if weighted else np.zeros((count, 0))


def _labelled(tree: Part, child: Child) -> Part:
    """The tree of a model under the label of the child, times its weight."""
    named = Part(
        child.label,
        tree.amount,
        f"{child.model}: {tree.how}",
        (*tree.inputs, {"parameter": "children"}),
        tree.children,
        tree.beside,
    )
    return named if child.weight == 1.0 else _scaled(named, child.weight)


def _scaled(tree: Part, factor: float) -> Part:
    return Part(
        tree.label,
        factor * tree.amount,
        f"{tree.how}, {TIMES} {figure_of(factor)}",
        tree.inputs,
        tuple(_scaled(each, factor) for each in tree.children),
        tree.beside,
    )


def _looks_back(parameters: HybridParameters) -> bool:
    """Whether one of its models does."""
    combined = (*parameters.children, *parameters.add_ons)
    return any(COMBINABLE[each.model].looks_back(each.parameters) for each in combined)


def _mixes(parameters: HybridParameters) -> bool:
    """Whether one of its models does."""
    combined = (*parameters.children, *parameters.add_ons)
    return any(COMBINABLE[each.model].mixes(each.parameters) for each in combined)


def _option_equity(parameters: HybridParameters) -> OptionEquity:
    """What all its models say alike; equity is one number.

    Raises:
        RejectedInputError: they do not agree.
    """
    said = {
        COMBINABLE[each.model].option_equity(each.parameters)
        for each in (*parameters.children, *parameters.add_ons)
    }
    if len(said) > 1:
        raise RejectedInputError("children: they do not agree how equity counts options")
    return said.pop()


MODEL: Final = Model(
    name="hybrid",
    version="v1",
    title="Several models with floors",
    parameters=HybridParameters,
    standard=HybridParameters(
        combination=Combination.MAX,
        children=(
            Child(
                label="scenarios",
                model="scenario",
                weight=1.0,
                parameters=scenario.MODEL.standard,
            ),
            Child(
                label="delta floor",
                model="delta",
                weight=1.0,
                parameters=delta.DeltaParameters(shock=0.08, residual=0.01, maintenance_share=0.75),
            ),
        ),
        add_ons=(
            Child(
                label="hedges that fail",
                model="delta",
                weight=0.1,
                parameters=delta.DeltaParameters(shock=0.0, residual=0.02, maintenance_share=0.5),
            ),
        ),
        floor_share=0.03,
        minimum=100.0,
        maintenance_share=0.75,
    ),
    prepare=PreparedHybrid,
    looks_back=_looks_back,
    mixes=_mixes,
    laws=frozenset({Law.MONOTONE}),
    breaks={
        Law.SCALE: Counterexample(
            "The minimum stays as it is, and what scenarios ask for size grows faster than size.",
            {"seed": 1},
        ),
        Law.SUBADDITIVE: Counterexample(
            "Two books that are each small beside what is traded on a day are large together.",
            {"seed": 16},
        ),
    },
    source="Portfolio margin with a minimum charge and a floor by rule, as in FINRA rule 4210(g)"
    " and EMIR RTS 153/2013.",
    option_equity=_option_equity,
)
