"""The scenario that decided for each unit, its profit by position, and that column alone."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margin.engine.model import Prepared, Requirement
from margin.engine.models import MODELS
from margin.engine.models.scenario_parameters import Netting
from margin.engine.worlds import World, world_for

SETS: dict[str, tuple[str, Any]] = {
    "scenario": ("scenario", MODELS["scenario"].proven),
    "scenario, all together": (
        "scenario", replace(MODELS["scenario"].proven, netting=Netting.ALL_TOGETHER),
    ),
    "risk-arrays": ("risk-arrays", MODELS["risk-arrays"].proven),
}  # fmt: skip


def same(one: Requirement, other: Requirement) -> bool:
    """Every figure, bit for bit."""
    return all(
        getattr(one, name).tobytes() == getattr(other, name).tobytes()
        for name in ("initial", "maintenance", "initial_parts", "maintenance_parts", "binding")
    )


def asked(said: str, seed: int) -> tuple[World, Prepared]:
    name, parameters = SETS[said]
    world = world_for(MODELS[name], seed)
    return world, MODELS[name].prepare(world.market, parameters)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
@pytest.mark.parametrize("said", SETS)
def test_the_columns_that_decided_alone_are_the_requirement(said: str, seed: int) -> None:
    world, prepared = asked(said, seed)
    for scope in range(len(world.books)):
        one = world.books.select([scope])
        worst = prepared.worst(world.books, scope=scope)
        columns = [each.column for each in worst]
        alone = prepared.of_columns(world.books, scope=scope, columns=columns)
        assert same(alone, prepared.requirement(one))
        held, _ = one.of(0)
        named = [name for each in worst for name, _ in each.gains]
        assert sorted(named) == sorted(world.market.instruments.names[n] for n in held.tolist())


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), data=st.data())
@pytest.mark.parametrize("said", SETS)
def test_no_other_column_loses_more(said: str, seed: int, data: st.DataObject) -> None:
    world, prepared = asked(said, seed)
    scope = data.draw(st.integers(1, len(world.books) - 1))
    worst = prepared.worst(world.books, scope=scope)
    place = data.draw(st.integers(0, len(worst) - 1))
    other = data.draw(st.integers(0, 15))
    columns = [each.column for each in worst]
    lost = prepared.of_columns(world.books, scope=scope, columns=columns)
    columns[place] = other
    less = prepared.of_columns(world.books, scope=scope, columns=columns)
    scan = slice(0, 2) if said.startswith("scenario") else slice(0, 1)
    assert less.maintenance_parts[0, scan].sum() <= lost.maintenance_parts[0, scan].sum() * (
        1 + 1e-12
    )


def test_profits_by_position_add_up_to_the_loss_of_each_underlying() -> None:
    world, prepared = asked("risk-arrays", 3)
    for scope in range(len(world.books)):
        worst = prepared.worst(world.books, scope=scope)
        losses = [max(-sum(gain for _, gain in each.gains), 0.0) for each in worst]
        scan = prepared.requirement(world.books.select([scope])).maintenance_parts[0, 0]
        np.testing.assert_allclose(sum(losses), scan, rtol=1e-9, atol=1e-6)


def test_a_model_without_scenarios_has_no_column() -> None:
    model = MODELS["delta"]
    world = world_for(model, 1)
    prepared = model.prepare(world.market, model.standard)
    assert prepared.worst(world.books, scope=1) == ()
