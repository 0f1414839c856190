"""Several models with floors: one case for each term that binds, and laws of what is combined."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margin.engine.model import Model, in_order
from margin.engine.models import MODELS
from margin.engine.models.delta import DeltaParameters
from margin.engine.models.hybrid import COMBINABLE, MODEL, Child, Combination, HybridParameters
from margin.engine.parameters import parameters_sha256, read_parameters, written_parameters
from margin.engine.rejected import RejectedInputError
from margin.engine.slow import SLOW
from margin.engine.worlds import world
from tests.margin.engine.coin_markets import coin_market, holdings

HYBRID: Model[Any] = MODEL
SEEDS = st.integers(0, 2**32 - 1)


def delta(label: str, *, shock: float, residual: float, weight: float = 1.0) -> Child:
    return Child(
        label=label,
        model="delta",
        weight=weight,
        parameters=DeltaParameters(shock=shock, residual=residual, maintenance_share=0.5),
    )


# A fall of a tenth of what is net, or a twentieth of what is gross; a hundredth on top.
BOTH = HybridParameters(
    combination=Combination.MAX,
    children=(
        delta("net", shock=0.10, residual=0.0),
        delta("gross", shock=0.0, residual=0.05),
    ),
    add_ons=(delta("on top", shock=0.0, residual=0.01),),
    floor_share=0.04,
    minimum=100.0,
    maintenance_share=0.75,
)
MARKET = coin_market(np.zeros((3, 2)), prices=[100.0, 100.0])


def asked(parameters: HybridParameters, *scope: float) -> tuple[str, list[float], float]:
    """Which term binds, the parts of initial margin, and maintenance margin."""
    priced = HYBRID.prepare(MARKET, parameters)
    said = priced.requirement(holdings(list(scope)))
    place = int(said.binding[0])
    name = "nothing" if place < 0 else priced.bindings[place]
    return name, np.round(said.initial_parts[0], 9).tolist(), round(float(said.maintenance[0]), 9)


@pytest.mark.parametrize(
    ("change", "name", "parts", "maintenance"),
    [
        # 10 000 long: 1 000 net, 500 gross, 400 by rule, 100 at least; 100 on top.
        ({}, "net", [1000, 0, 0, 0, 100], 550),
        ({"children": BOTH.children[::-1]}, "net", [0, 1000, 0, 0, 100], 550),
        ({"children": (delta("net", shock=0.045, residual=0.0), BOTH.children[1])},
         "gross", [0, 500, 0, 0, 100], 350),
        ({"floor_share": 0.11}, "rule floor", [0, 0, 1100, 0, 100], 875),
        ({"minimum": 1200.0}, "minimum", [0, 0, 0, 1200, 100], 950),
        ({"combination": Combination.SUM}, "net", [1000, 500, 0, 0, 100], 800),
        ({"combination": Combination.SUM, "floor_share": 0.16},
         "rule floor", [0, 0, 1600, 0, 100], 1250),
        ({"combination": Combination.WEIGHTED,
          "children": (delta("net", shock=0.1, residual=0.0, weight=0.5),
                       delta("gross", shock=0.0, residual=0.05, weight=2.0))},
         "gross", [500, 1000, 0, 0, 100], 800),
        ({"children": (delta("net", shock=0.0, residual=0.0),), "floor_share": 0.0,
          "minimum": 0.0}, "on top", [0, 0, 0, 100], 50),
    ],
    ids=[
        "first model", "second model listed", "second model", "rule floor", "minimum",
        "sum of models", "rule floor above the sum", "weighted", "only add-ons",
    ],
)  # fmt: skip
def test_each_term_binds_once(
    change: dict[str, Any], name: str, parts: list[float], maintenance: float
) -> None:
    parameters = replace(BOTH, **change)
    assert asked(parameters, 100.0, 0.0) == (name, parts, maintenance)
    tree = HYBRID.prepare(MARKET, parameters).explain(holdings([100.0, 0.0]), scope=0).initial
    assert f"{name} binds" in tree.how
    shown = {child.label for child in tree.children} | {each.label for each in tree.beside}
    assert {"rule floor", "minimum", "on top"} <= shown
    assert sum(child.amount for child in tree.children) == pytest.approx(tree.amount)


def test_maintenance_has_a_binding_term_of_its_own() -> None:
    """Initial is 100 net against 99; maintenance 50 against 74.25 by rule."""
    parameters = replace(BOTH, add_ons=(), floor_share=0.099, minimum=0.0)
    assert asked(parameters, 10.0, 0.0) == ("net", [100, 0, 0, 0], 74.25)


def test_nothing_held_requires_no_minimum() -> None:
    assert asked(BOTH, 0.0, 0.0) == ("nothing", [0, 0, 0, 0, 0], 0.0)


def test_what_did_not_bind_stands_beside() -> None:
    parameters = replace(BOTH, children=(delta("net", shock=0.01, residual=0.0), BOTH.children[1]))
    tree = HYBRID.prepare(MARKET, parameters).explain(holdings([100.0, -100.0]), scope=0).initial
    assert [child.label for child in tree.children] == ["gross", "on top"]
    beside = {each.label: round(each.amount, 6) for each in tree.beside}
    assert beside == {"net": 200.0, "rule floor": 800.0, "minimum": 100.0}


def test_a_weighted_model_is_shown_times_its_weight() -> None:
    parameters = replace(
        BOTH,
        combination=Combination.WEIGHTED,
        children=(delta("net", shock=0.1, residual=0.0, weight=0.5),),
        add_ons=(),
    )
    tree = HYBRID.prepare(MARKET, parameters).explain(holdings([100.0, 0.0]), scope=0).initial
    (net,) = tree.children
    assert net.amount == 500.0
    assert sum(child.amount for child in net.children) == pytest.approx(500.0)


def any_hybrid(combination: Combination, weights: list[float], minimum: float) -> HybridParameters:
    plain = combination is not Combination.WEIGHTED
    names = ("value-at-risk", "parametric", "factors")
    return HybridParameters(
        combination=combination,
        children=tuple(
            Child(
                label=name,
                model=name,
                weight=1.0 if plain else weight,
                parameters=MODELS[name].standard,
            )
            for name, weight in zip(names, weights, strict=True)
        ),
        add_ons=BOTH.add_ons,
        floor_share=0.05,
        minimum=minimum,
        maintenance_share=0.9,
    )


@given(
    SEEDS,
    st.sampled_from([*Combination]),
    st.lists(st.sampled_from([0.0, 0.3, 1.7]), min_size=3, max_size=3),
    st.sampled_from([0.0, 2_000.0]),
)
@settings(max_examples=25, deadline=None)
def test_the_slow_implementation_agrees_on_every_combination(
    seed: int, combination: Combination, weights: list[float], minimum: float
) -> None:
    market, books = world(seed, scopes=4)
    parameters = any_hybrid(combination, weights, minimum)
    priced = HYBRID.prepare(market, parameters)
    said = priced.requirement(books)
    slow = np.array(SLOW["hybrid"](market, parameters, books))
    np.testing.assert_allclose(said.initial, slow[:, 0], rtol=1e-7, atol=1e-4)
    np.testing.assert_allclose(said.maintenance, slow[:, 1], rtol=1e-7, atol=1e-4)
    assert (in_order(said.initial_parts) == said.initial).all()
    assert (said.initial >= said.maintenance).all()
    for scope in range(len(books)):
        for part in priced.explain(books, scope=scope):
            total = sum(child.amount for child in part.children)
            assert total == pytest.approx(part.amount, rel=1e-9, abs=1e-6)


def test_parameters_of_children_are_read_by_the_model_they_name() -> None:
    parameters = any_hybrid(Combination.WEIGHTED, [0.5, 1.0, 2.0], 1.0)
    again = read_parameters(HybridParameters, written_parameters(parameters))
    assert again == parameters
    assert parameters_sha256(again) == parameters_sha256(parameters)


def test_every_registered_model_but_itself_can_be_combined() -> None:
    assert set(COMBINABLE) == set(MODELS) - {"hybrid"}
    assert all(COMBINABLE[name] is MODELS[name] for name in COMBINABLE)


def test_a_model_that_is_not_registered_or_has_other_parameters_is_refused() -> None:
    written = written_parameters(BOTH)
    written["children"][0]["model"] = "unheard of"
    with pytest.raises(RejectedInputError, match="unheard of"):
        read_parameters(HybridParameters, written)
    written["children"][0]["model"] = ["delta"]
    with pytest.raises(RejectedInputError, match="delta"):
        read_parameters(HybridParameters, written)
    written["children"][0]["model"] = "parametric"
    with pytest.raises(RejectedInputError, match=r"children\.0\.parameters"):
        read_parameters(HybridParameters, written)
    other = replace(BOTH.children[0], model="parametric")
    with pytest.raises(RejectedInputError):
        HYBRID.prepare(MARKET, replace(BOTH, children=(other,)))


@pytest.mark.parametrize(
    "change",
    [
        {"children": ()},
        {"children": (BOTH.children[0], BOTH.children[0])},
        {"children": (delta("minimum", shock=0.1, residual=0.0),)},
        {"children": (delta("net", shock=0.1, residual=0.0, weight=0.5),)},
        {"floor_share": 1.1},
    ],
    ids=["none", "one label twice", "label of a floor", "weight without a weighted sum", "share"],
)
def test_sets_that_say_nothing_clear_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(RejectedInputError):
        replace(BOTH, **change)
