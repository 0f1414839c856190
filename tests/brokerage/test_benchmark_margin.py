"""The benchmark of margin compares results before it times them: what it times is right."""

from importlib.util import find_spec

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from brokerage.benchmarks import margin_grid, margin_kernel
from brokerage.benchmarks.margin_kernel import MOVED, UnsoundError, setting_of


def test_the_ways_to_the_worst_loss_agree_and_every_ratio_is_there() -> None:
    measured = margin_kernel.measure(accounts=300, rounds=1)
    assert set(measured.ratios) == {"kernel_over_csr", "incremental_over_kernel"}
    assert all(ratio > 0 for ratio in measured.ratios.values())
    assert 0 < measured.figures["incremental_scopes"] < 300


def test_accounts_hold_five_different_instruments_of_two_thousand() -> None:
    market, books, profits, moved = setting_of(1_000)
    assert (len(market.instruments), len(market.underlyings), len(profits)) == (2_000, 50, 33)
    held = books.instruments.reshape(1_000, 5)
    assert (np.diff(held, axis=1) > 0).all()
    assert 0 <= held.min() < held.max() < 2_000
    assert (books.quantities != 0).all()
    changed = np.flatnonzero((moved[MOVED[0]] != profits).any(axis=0))
    assert set(market.instruments.underlyings[changed]) == {MOVED[0]}


def test_the_same_accounts_are_made_every_time() -> None:
    one, other = setting_of(50), setting_of(50)
    assert (one.books.instruments == other.books.instruments).all()
    assert (one.books.quantities == other.books.quantities).all()
    assert (one.profits == other.profits).all()


def test_a_way_that_is_wrong_is_no_figure() -> None:
    right = np.array([-5.0, 2.0]), np.array([0, 1])
    margin_kernel._require_same(right, right)
    with pytest.raises(UnsoundError, match="two worst losses"):
        margin_kernel._require_same((right[0] + 1e-6, right[1]), right)
    with pytest.raises(UnsoundError, match="two worst scenarios"):
        margin_kernel._require_same((right[0], right[1][::-1]), right)


def test_options_in_scenarios_are_priced_as_the_library_prices_them() -> None:
    measured = margin_grid.measure(rounds=1)
    assert (measured.figures["options"], measured.figures["scenarios"]) == (2_000, 33)
    has_library = find_spec("QuantLib") is not None
    assert set(measured.ratios) == ({"grid_over_loop"} if has_library else set())
    assert ("loop_s" if has_library else "loop") in measured.figures


@pytest.mark.parametrize(("name", "accounts"), [("posting", "10"), ("margin", "0")])
def test_a_number_of_accounts_that_means_nothing_is_refused(name: str, accounts: str) -> None:
    with pytest.raises(CommandError, match="--accounts"):
        call_command("benchmark", name, "--accounts", accounts)
