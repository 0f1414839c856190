"""What holds for every model, and what each model says of itself; by hypothesis."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margin.engine.books import books_of
from margin.engine.explain import Node
from margin.engine.laws import law_excess, slow_excess
from margin.engine.market import Instruments, Market
from margin.engine.model import ALWAYS, NOTHING_BINDS, Law, Model, Prepared, in_order
from margin.engine.models import MODELS
from margin.engine.parameters import (
    parameter_fields,
    read_parameters,
    written_parameters,
)
from margin.engine.rejected import RejectedInputError
from margin.engine.tree import decimal_up, exact_tree
from margin.engine.worlds import world_for

CENTS = 2
SEEDS = st.integers(0, 2**32 - 1)
EVERY_MODEL = pytest.mark.parametrize("model", MODELS.values(), ids=list(MODELS))
OPTIONAL_LAWS = [
    pytest.param(model, law, id=f"{model.name}-{law}")
    for model in MODELS.values()
    for law in Law
    if law not in ALWAYS
]
A_FEW = settings(max_examples=20, deadline=None)


def prepared(model: Model[Any], market: Market) -> Prepared:
    return model.prepare(market, model.proven)


@EVERY_MODEL
@given(SEEDS)
@A_FEW
def test_a_batch_is_the_scopes_one_by_one(model: Model[Any], seed: int) -> None:
    market, books = world_for(model, seed)
    priced = prepared(model, market)
    together = priced.requirement(books)
    for scope in range(len(books)):
        alone = priced.requirement(books.select([scope]))
        assert alone.initial[0] == together.initial[scope]
        assert alone.maintenance[0] == together.maintenance[scope]
        assert alone.binding[0] == together.binding[scope]
        assert (alone.initial_parts[0] == together.initial_parts[scope]).all()
        assert (alone.maintenance_parts[0] == together.maintenance_parts[scope]).all()


@EVERY_MODEL
@given(SEEDS)
@A_FEW
def test_a_model_asks_for_past_days_if_it_says_so_and_else_does_without(
    model: Model[Any], seed: int
) -> None:
    market, books = world_for(model, seed)
    today = replace(
        market,
        returns=market.returns[:0],
        daily_volatilities=np.zeros_like(market.daily_volatilities),
    )
    if model.looks_back(model.proven):
        with pytest.raises(RejectedInputError, match="days are known"):
            prepared(model, today)
        return
    known, unknown = (prepared(model, each).requirement(books) for each in (market, today))
    assert (known.initial_parts == unknown.initial_parts).all()
    assert (known.maintenance_parts == unknown.maintenance_parts).all()
    assert (known.binding == unknown.binding).all()


@EVERY_MODEL
@given(SEEDS)
@A_FEW
def test_the_order_of_rows_changes_nothing(model: Model[Any], seed: int) -> None:
    market, books = world_for(model, seed)
    order = np.random.default_rng(seed).permutation(len(books.quantities))
    shuffled = books_of(
        scopes=books.scopes[order],
        instruments=books.instruments[order],
        quantities=books.quantities[order],
        cash=books.cash,
    )
    priced = prepared(model, market)
    assert (priced.requirement(shuffled).initial == priced.requirement(books).initial).all()


@EVERY_MODEL
@given(SEEDS)
@A_FEW
def test_the_order_of_instruments_changes_nothing(model: Model[Any], seed: int) -> None:
    market, books = world_for(model, seed)
    order = np.random.default_rng(seed).permutation(len(market.instruments))
    place = np.argsort(order)
    turned = books_of(
        scopes=books.scopes,
        instruments=place[books.instruments],
        quantities=books.quantities,
        cash=books.cash,
    )
    here = prepared(model, market).requirement(books)
    there = prepared(model, _reordered(market, order)).requirement(turned)
    np.testing.assert_allclose(there.initial, here.initial, rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(there.maintenance, here.maintenance, rtol=1e-9, atol=1e-6)


@EVERY_MODEL
@given(SEEDS)
@A_FEW
def test_parts_add_up_and_requirements_are_in_order(model: Model[Any], seed: int) -> None:
    market, books = world_for(model, seed, scopes=20)
    priced = prepared(model, market)
    said = priced.requirement(books)
    assert said.initial_parts.shape == (len(books), len(priced.parts))
    assert (in_order(said.initial_parts) == said.initial).all()
    assert (in_order(said.maintenance_parts) == said.maintenance).all()
    assert (said.initial >= said.maintenance).all()
    assert (said.maintenance >= 0).all()
    assert ((said.binding >= 0) == (said.initial > 0)).all()
    assert (said.binding < len(priced.bindings)).all()


@EVERY_MODEL
def test_nothing_held_requires_nothing(model: Model[Any]) -> None:
    market, books = world_for(model, 7)
    nothing = books_of(scopes=[], instruments=[], quantities=[], cash=[5.0, -5.0])
    said = prepared(model, market).requirement(nothing)
    assert said.initial.tolist() == said.maintenance.tolist() == [0.0, 0.0]
    assert said.binding.tolist() == [NOTHING_BINDS, NOTHING_BINDS]
    assert prepared(model, market).requirement(books).initial[0] == 0.0


@EVERY_MODEL
@given(SEEDS)
@A_FEW
def test_explanations_are_the_requirement_opened(model: Model[Any], seed: int) -> None:
    market, books = world_for(model, seed, scopes=5)
    priced = prepared(model, market)
    said = priced.requirement(books)
    for scope in range(len(books)):
        tree = priced.explain(books, scope=scope)
        for part, total in ((tree.initial, said.initial), (tree.maintenance, said.maintenance)):
            assert part.amount == total[scope]
            _adds_up(part, scale=max(1.0, float(total[scope])))
            exact = exact_tree(part, decimals=CENTS)
            assert exact.amount == decimal_up(float(total[scope]), decimals=CENTS)
            assert sum(leaf.amount for leaf in _leaves(exact)) == exact.amount


@EVERY_MODEL
@given(SEEDS)
@settings(max_examples=40, deadline=None)
def test_the_slow_implementation_agrees(model: Model[Any], seed: int) -> None:
    assert slow_excess(model, model.proven, seed=seed) <= 0


@EVERY_MODEL
def test_parameters_are_read_as_they_were_written(model: Model[Any]) -> None:
    written = written_parameters(model.proven)
    assert read_parameters(model.parameters, written) == model.proven
    assert all(each.declared.meaning for each in parameter_fields(model.proven))


@EVERY_MODEL
def test_a_model_says_of_every_law_whether_it_holds(model: Model[Any]) -> None:
    assert model.laws | set(model.breaks) == set(Law) - ALWAYS
    assert not model.laws & set(model.breaks)


@pytest.mark.parametrize(("model", "law"), OPTIONAL_LAWS)
def test_a_declared_law_holds_and_an_undeclared_one_is_broken(model: Model[Any], law: Law) -> None:
    if law in model.breaks:
        stored = model.breaks[law].world
        assert law_excess(law, model, model.proven, **stored) > 0, model.breaks[law].why
        return

    @given(SEEDS)
    @A_FEW
    def holds(seed: int) -> None:
        assert law_excess(law, model, model.proven, seed=seed) <= 0

    holds()


def _adds_up(part: Any, *, scale: float) -> None:
    if part.children:
        total = sum(child.amount for child in part.children)
        assert abs(total - part.amount) <= 1e-9 * scale, part.label
        for child in part.children:
            _adds_up(child, scale=scale)


def _leaves(node: Node) -> list[Node]:
    if not node.children:
        return [node]
    return [leaf for child in node.children for leaf in _leaves(child)]


def _reordered(market: Market, order: Any) -> Market:
    rows = market.instruments
    columns = {
        name: getattr(rows, name)[order] for name in Instruments.__slots__ if name != "names"
    }
    return replace(
        market,
        instruments=Instruments(names=tuple(rows.names[n] for n in order), **columns),
        **{
            name: getattr(market, name)[order]
            for name in (
                "prices", "forwards", "volatilities", "rates", "confidences", "open_interests"
            )
        },
    )  # fmt: skip
