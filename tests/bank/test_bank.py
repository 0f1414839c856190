"""Sixteen tellers at one book: no moment, no answer and no line of the history is wrong."""

import os
from collections.abc import Callable
from random import Random
from typing import Any

import psycopg
import pytest
from django.db import connections

from accounts.seals import seal_history
from brokerage.verify import verify
from tests.bank.bank import run_bank
from tests.bank.firm import found_bank

Connect = Callable[[str], psycopg.Connection[Any]]
OPERATIONS = int(os.environ.get("BANK_OPERATIONS", "20000"))
MANY = int(os.environ.get("BANK_SOAK_OPERATIONS", "5000000"))
# The night's run ends its work after so many seconds, if the operations are not done by then.
SECONDS_MAX = float(os.environ.get("BANK_SECONDS", "0")) or None


def seal() -> None:
    """Seal what is below the horizon, as the scheduler does."""
    try:
        seal_history()
    finally:
        connections.close_all()


@pytest.mark.parametrize(
    "count", [OPERATIONS, pytest.param(MANY, marks=pytest.mark.soak)], ids=["some", "many"]
)
def test_a_bank_of_sixteen_tellers_keeps_its_books(
    db: None, connect: Connect, chance: Random, count: int
) -> None:
    book = found_bank(db)
    seed = str(chance.random())
    outcome = run_bank(
        book, connect, seed=seed, operations=count, seconds_max=SECONDS_MAX, beside=seal
    )
    print(f"SEED={os.environ['SEED']}: {outcome}")  # noqa: T201
    assert outcome.violations == []
    assert outcome.looks > 0
    if SECONDS_MAX is None:
        assert outcome.operations >= count
    expected = {"deposit", "withdrawal", "internal_trade", "derivative_trade", "reversal"}
    assert expected <= outcome.kinds.keys()
    assert outcome.kinds["covered_loss"] + outcome.kinds["uncovered_loss"] > 0
    assert outcome.refusals["key_names_one_content"] > 0
    seal()
    wrong = [check for check in verify().checks if not check.is_sound]
    assert [check for check in wrong if check.name != "guards_are_as_pinned"] == []
