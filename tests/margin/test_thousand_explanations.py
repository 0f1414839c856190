"""Leaves of random scopes, under house rules and several models, add up to the last unit."""

import random
import sys
from collections import Counter
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import pytest

from accounts.models import Agreement, LegalEntity
from brokerage.inbox.cycle import run_day
from margin.book import ReadInputs, read_inputs
from margin.engine.explain import Node
from margin.explanation import explain_result, figures_of, stored_parts
from margin.model_trees import model_trees
from margin.models import MarginResult, MarginRun
from margin.portfolio import portfolio_trees
from tests.accounts.people import found_desk
from tests.margin.under_models import leaves, used_by
from tests.stage import booked_days, staged

# Which agreement is under which model on which day of the firm; the first day has house rules.
USED = (
    {"STD": "greeks", "EARLY": "scenario", "STRICT": "tiers"},
    {"STD": "hybrid", "EARLY": "delta", "STRICT": "risk-arrays"},
)


class Size(NamedTuple):
    """How large a firm, and how many of its scopes are asked."""

    accounts: int
    scopes: int


def asked_of(size: Size, folder: Path) -> None:
    """Three days: house rules, then agreements under several models, then under others."""
    days = booked_days(folder, accounts=size.accounts, seed=9, days=3, booked=1)

    def build() -> None:
        desk = found_desk(entity=LegalEntity.objects.get())
        for folder, models in zip(days[1:], USED, strict=True):
            day = date.fromisoformat(folder.name)
            for code, model in models.items():
                used_by(desk, Agreement.objects.get(code=code), model, day)
            run_day(folder)

    staged(f"{size.accounts} accounts under several models", build)


@pytest.mark.parametrize(
    "size",
    [Size(40, 60), pytest.param(Size(420, 1000), marks=pytest.mark.soak)],
    ids=["some", "all"],
)
def test_leaves_add_up_to_the_last_unit(
    db: None,
    size: Size,
    tmp_path: Path,
    chance: random.Random,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked_of(size, tmp_path / "firm")
    results = list(
        MarginResult.objects.select_related(
            "run", "scope__bucket__account", "agreement_version__agreement", "parameter_set"
        ).order_by("pk")
    )
    chosen = chance.sample(results, size.scopes)
    reads = {
        run.pk: read_inputs(horizon_id=run.horizon_id, as_of=run.as_of)
        for run in MarginRun.objects.all()
    }
    asked: Counter[str] = Counter()
    for result in chosen:
        asked[proven(result, reads[result.run_id])] += 1
    with capsys.disabled():
        sys.stdout.write(f"\n{asked.total()} scopes explained: {dict(asked)}\n")
    assert asked.total() == size.scopes
    assert len(asked) > 3


def proven(result: MarginResult, read: ReadInputs) -> str:
    """Prove every total of one result from its leaves; says which model it is under."""
    said = explain_result(result, stored_parts(result))
    for tree, total in (
        (said.equity, result.equity),
        (said.initial_margin, result.initial_margin),
        (said.maintenance_margin, result.maintenance_margin),
    ):
        assert added(tree) == total, figures_of(result).scope
    if result.parameter_set is None:
        return "house rules"
    place = next(n for n, row in enumerate(read.scopes) if row.scope_id == result.scope_id)
    trees = portfolio_trees(read, scope=place)
    assert trees is not None
    initial, maintenance = trees
    assert added(initial) == initial.amount == result.initial_margin
    assert added(maintenance) == maintenance.amount == result.maintenance_margin
    return result.parameter_set.model


def added(tree: Node) -> Decimal:
    return sum((leaf.amount for leaf in leaves(tree)), Decimal(0))


def test_the_explanation_of_a_scope_is_that_of_the_whole_run(db: None, tmp_path: Path) -> None:
    asked_of(Size(40, 60), tmp_path / "firm")
    result = MarginResult.objects.filter(parameter_set__isnull=False, initial_margin__gt=0)[0]
    trees = model_trees(result)
    assert trees is not None
    assert (added(trees.initial_margin), added(trees.maintenance_margin)) == (
        result.initial_margin,
        result.maintenance_margin,
    )
