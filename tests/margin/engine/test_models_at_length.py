"""Every model beside its slow implementation on many random books, and its laws at length."""

import sys
from typing import Any

import pytest

from margin.engine.laws import broken_always, law_excess, slow_excess
from margin.engine.model import Model
from margin.engine.models import MODELS

# Of each world's books the first holds nothing, so it is not counted.
BOOKS_OF_A_WORLD = 20
EVERY_MODEL = pytest.mark.parametrize("model", MODELS.values(), ids=list(MODELS))
BOOKS = pytest.mark.parametrize(
    "books", [200, pytest.param(10_000, marks=pytest.mark.soak)], ids=["some", "all"]
)
WORLDS = pytest.mark.parametrize(
    "worlds", [3, pytest.param(300, marks=pytest.mark.soak)], ids=["some", "all"]
)


def told(capsys: pytest.CaptureFixture[str], sentence: str) -> None:
    """Say how much was tried, whatever is shown of a test that passes."""
    with capsys.disabled():
        sys.stdout.write(f"\n{sentence}\n")


@EVERY_MODEL
@BOOKS
def test_the_slow_implementation_agrees(
    model: Model[Any], books: int, capsys: pytest.CaptureFixture[str]
) -> None:
    worlds = books // BOOKS_OF_A_WORLD
    wrong = {
        seed: excess
        for seed in range(worlds)
        if (excess := slow_excess(model, model.proven, seed=seed, scopes=BOOKS_OF_A_WORLD + 1)) > 0
    }
    told(capsys, f"{model.name}: {worlds * BOOKS_OF_A_WORLD} books compared, {len(wrong)} differ")
    assert not wrong


@EVERY_MODEL
@WORLDS
def test_the_laws_hold(model: Model[Any], worlds: int, capsys: pytest.CaptureFixture[str]) -> None:
    # Other worlds than those that the validation pack looks at.
    seeds = range(1_000_000, 1_000_000 + worlds)
    broken = {seed: found for seed in seeds if (found := list(broken_always(
        model, model.proven, seed=seed)))}  # fmt: skip
    excess = {
        (law, seed): by
        for law in sorted(model.laws)
        for seed in seeds
        if (by := law_excess(law, model, model.proven, seed=seed)) > 0
    }
    told(capsys, f"{model.name}: laws of all and {len(model.laws)} more in {worlds} worlds")
    assert not broken
    assert not excess
