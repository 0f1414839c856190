"""A validation that lets a broken model or parameter pass is worth nothing: each check can fail."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from margin.engine.books import Books
from margin.engine.closes import History, history_of, market_of_history, synthetic_history
from margin.engine.laws import broken_always, law_excess, slow_excess
from margin.engine.market import Kind, Market
from margin.engine.model import Counterexample, Law, Model, Requirement
from margin.engine.models import MODELS
from margin.engine.models.delta import MODEL as DELTA
from margin.engine.models.delta import DeltaParameters, PreparedDelta
from margin.engine.parameters import read_parameters, written_parameters
from margin.engine.rejected import RejectedInputError
from margin.engine.validation import BACKTEST_DAYS, LOOK_BACK_DAYS, as_json, validate

HISTORY = synthetic_history(days=BACKTEST_DAYS + LOOK_BACK_DAYS)


def failed(model: Model[Any], parameters: Any = None, *, history: History = HISTORY) -> list[str]:
    used = model.proven if parameters is None else parameters
    report = validate(model, used, name="tried", worlds=2, history=history)
    assert report.passed == (not [check for check in report.checks if not check.passed])
    return [check.name for check in report.checks if not check.passed]


@pytest.mark.parametrize("model", MODELS.values(), ids=list(MODELS))
def test_every_model_passes_with_the_set_it_is_proven_by(model: Model[Any]) -> None:
    assert failed(model) == []


BROKEN: dict[str, dict[str, Any]] = {
    "delta": {"shock": 0.001, "residual": 0.0},
    "expected-shortfall": {"confidence": 0.6, "maintenance_confidence": 0.55},
    "value-at-risk": {"confidence": 0.6, "maintenance_confidence": 0.55},
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_parameter_that_asks_for_too_little_fails_the_past(name: str) -> None:
    model = MODELS[name]
    written = written_parameters(model.proven)
    assert BROKEN[name].keys() <= written.keys()
    parameters = read_parameters(model.parameters, written | BROKEN[name])
    assert failed(model, parameters) == ["backtest"]


class Forgetful(PreparedDelta):
    """A model that asks a whole batch for a little more than its scopes one by one."""

    def requirement(self, books: Books) -> Requirement:
        said = super().requirement(books)
        if len(books) == 1:
            return said
        return replace(said, initial=said.initial + 0.01)


class Upside(PreparedDelta):
    """A model whose maintenance margin is above its initial margin."""

    def requirement(self, books: Books) -> Requirement:
        said = super().requirement(books)
        return replace(said, maintenance=said.initial * 2, maintenance_parts=said.initial_parts * 2)


class Offhand(PreparedDelta):
    """A model whose parts are not its total."""

    def requirement(self, books: Books) -> Requirement:
        said = super().requirement(books)
        return replace(said, initial_parts=said.initial_parts * 0.5)


def made_of(prepare: Callable[[Market, DeltaParameters], PreparedDelta]) -> Model[DeltaParameters]:
    return replace(DELTA, prepare=prepare)


@pytest.mark.parametrize(
    ("prepare", "law"),
    [(Forgetful, Law.BATCH), (Upside, Law.ORDERED), (Offhand, Law.ADDS_UP)],
)
def test_a_law_of_every_model_that_is_broken_is_named(prepare: Any, law: Law) -> None:
    assert law in set(broken_always(made_of(prepare), DELTA.standard, seed=3))
    assert "laws of every model" in failed(made_of(prepare))


def test_a_declared_law_that_does_not_hold_fails() -> None:
    tiers = MODELS["tiers"]
    boastful = replace(tiers, laws=tiers.laws | {Law.SCALE}, breaks={})
    assert any(
        law_excess(Law.SCALE, boastful, boastful.standard, seed=seed) > 0 for seed in range(8)
    )
    report = validate(boastful, boastful.standard, name="tried", worlds=8, history=HISTORY)
    assert Law.SCALE in [check.name for check in report.checks if not check.passed]


def test_a_counterexample_that_breaks_nothing_fails() -> None:
    timid = replace(
        DELTA,
        laws=DELTA.laws - {Law.SCALE},
        breaks={Law.SCALE: Counterexample("It is said to.", {"seed": 1})},
    )
    assert failed(timid) == ["scale is not declared"]


def test_a_model_that_differs_from_its_slow_twin_fails() -> None:
    class Generous(PreparedDelta):
        def __init__(self, market: Market, parameters: DeltaParameters) -> None:
            super().__init__(market, replace(parameters, shock=parameters.shock * 1.001))

    assert slow_excess(made_of(Generous), DELTA.standard, seed=3) > 0
    assert failed(made_of(Generous)) == ["slow implementation"]


def test_figures_are_the_same_again_and_are_json() -> None:
    once, again = (
        validate(DELTA, DELTA.standard, name="standard", worlds=2, history=HISTORY)
        for _ in range(2)
    )
    said = json.dumps(as_json([once]), allow_nan=False)
    assert said == json.dumps(as_json([again]), allow_nan=False)
    (sensitivity,) = [c for c in once.checks if c.name == "sensitivity"]
    assert set(sensitivity.figures) == {"shock", "residual", "maintenance_share"}
    assert 0 < sensitivity.figures["shock"] < 0.1
    assert sensitivity.figures["maintenance_share"] == 0.0
    (past,) = [check for check in once.checks if check.name == "backtest"]
    assert past.figures["history"] == "synthetic"


# ---------------------------------------------------------------- past days


def closes(path: Path, rows: list[str]) -> Path:
    path.write_text("\n".join(["date,AA,BB", *rows]) + "\n")
    return path


def test_returns_are_of_the_newest_days_and_of_whole_names(tmp_path: Path) -> None:
    rows = ["2031-01-01,10,", "2031-01-02,10,5", "2031-01-03,11,5", "2031-01-06,9.9,6"]
    found = history_of(closes(tmp_path / "c.csv", rows), days=2)
    assert found.names == ("AA", "BB")
    np.testing.assert_allclose(found.returns, [[0.1, 0.0], [-0.1, 0.2]])
    older = history_of(tmp_path / "c.csv", days=3)
    assert older.names == ("AA",)
    assert older.label == "c.csv"
    market = market_of_history(found, kind=Kind.SECURITY)
    assert market.spots.tolist() == [9.9, 6.0]


def test_splits_are_taken_out_and_said(tmp_path: Path) -> None:
    rows = ["2031-01-01,100,5", "2031-01-02,50.5,5", "2031-01-03,50.5,15.1", "2031-01-06,31,15"]
    found = history_of(closes(tmp_path / "c.csv", rows), days=3)
    np.testing.assert_allclose(found.returns[:, 0], [0.01, 0.0, 31 / 50.5 - 1])
    np.testing.assert_allclose(found.returns[:, 1], [0.0, 15.1 / 15 - 1, 15 / 15.1 - 1])
    assert found.notes == (
        "AA: a split, 0.5 of the close before", "BB: a split, 3 of the close before",
    )  # fmt: skip


@pytest.mark.parametrize(
    "rows", [[], ["2031-01-01,1,2"], ["2031-01-01,1", "2031-01-02,1", "2031-01-03,1"],
             ["2031-01-01,,x", "2031-01-02,,", "2031-01-03,,0"]],
)  # fmt: skip
def test_closes_that_cannot_be_used_are_refused(tmp_path: Path, rows: list[str]) -> None:
    with pytest.raises(RejectedInputError):
        history_of(closes(tmp_path / "c.csv", rows), days=2)
