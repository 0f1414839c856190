"""Offsets by correlations: by hand, gone when the sign turns, in parts that add up."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from margin.engine.model import in_order
from margin.engine.offsets import ApprovedCorrelations, Offset, OffsetRule, approved, offsets
from margin.engine.rejected import RejectedInputError
from margin.engine.slow.offsets import net_of


def pair(correlation: float) -> ApprovedCorrelations:
    return approved(
        [[1.0, correlation], [correlation, 1.0]],
        version="2026-11",
        units=("A", "B"),
        floors=-1.0,
        caps=1.0,
        tolerance=0.0,
    )


def hedge(
    correlation: float, *, rule: OffsetRule = OffsetRule.HEDGES, credit_most: float = 1.0
) -> Offset:
    """A unit of 300 against one of 400."""
    return offsets(
        [[300.0, 400.0]],
        directions=[[1.0, -1.0]],
        correlations=pair(correlation),
        rule=rule,
        credit_most=credit_most,
    )


@pytest.mark.parametrize(
    ("correlation", "net"),
    [
        (1.0, 100.0),  # 400 - 300
        (0.5, 500.0),  # c is 0: the root of squares
        (0.0, 700.0),
        (-0.5, 700.0),
        (-1.0, 700.0),
    ],
)
def test_a_hedge_gives_credit_until_its_correlation_turns(correlation: float, net: float) -> None:
    found = hedge(correlation)
    assert float(found.gross[0]) == 700.0
    assert float(found.net[0]) == pytest.approx(net, rel=1e-12)
    assert float(found.credit[0]) == pytest.approx(700.0 - net, abs=1e-9)
    assert found.credit[0] == 0.0 or correlation > 0


@pytest.mark.parametrize(
    ("correlation", "net"), [(1.0, 100.0), (0.0, 500.0), (-1.0, 700.0), (0.5, 130_000**0.5)]
)
def test_the_other_rule_gives_credit_for_what_does_not_move_together(
    correlation: float, net: float
) -> None:
    found = hedge(correlation, rule=OffsetRule.DIVERSIFIED)
    assert float(found.net[0]) == pytest.approx(net, rel=1e-12)


def test_units_on_one_side_hedge_each_other_where_they_move_apart() -> None:
    said = offsets(
        [[300.0, 400.0]], directions=[[1.0, 1.0]], correlations=pair(-1.0),
        rule=OffsetRule.HEDGES, credit_most=1.0,
    )  # fmt: skip
    assert float(said.net[0]) == pytest.approx(100.0)


def test_credit_is_limited_and_allocated_by_what_each_adds() -> None:
    """c is 0: 300 x 300 / 500 = 180 and 400 x 400 / 500 = 320 are left of each; half is 350."""
    free = hedge(0.5)
    np.testing.assert_allclose(free.parts, [[180.0, 320.0]], rtol=1e-12)
    assert not free.is_limited[0]
    limited = hedge(0.5, credit_most=0.1)
    assert float(limited.credit[0]) == pytest.approx(70.0)
    # 70 of 200: 35 % of 120 and of 80.
    np.testing.assert_allclose(limited.parts, [[258.0, 372.0]], rtol=1e-12)
    assert limited.is_limited[0]


def test_a_hedge_is_stressed_at_both_ends() -> None:
    found = hedge(0.5)
    assert float(found.stressed_up[0]) == pytest.approx(100.0)
    assert float(found.stressed_down[0]) == pytest.approx(700.0)


def test_a_perfect_hedge_leaves_nothing_and_the_limit_something() -> None:
    alike = np.array([[500.0, 500.0]])
    sides = np.array([[1.0, -1.0]])
    given_pair = pair(1.0)
    whole, limited = (
        offsets(alike, directions=sides, correlations=given_pair, rule=OffsetRule.HEDGES,
                credit_most=most)
        for most in (1.0, 0.8)
    )  # fmt: skip
    assert whole.net.tolist() == [0.0]
    assert whole.parts.tolist() == [[0.0, 0.0]]
    np.testing.assert_allclose(limited.parts, [[100.0, 100.0]], rtol=1e-12)


def test_a_unit_of_no_known_direction_hedges_nothing() -> None:
    for rule in OffsetRule:
        said = offsets(
            [[300.0, 400.0]], directions=[[1.0, 0.0]], correlations=pair(1.0),
            rule=rule, credit_most=1.0,
        )  # fmt: skip
        assert said.net.tolist() == [700.0]
        assert said.parts.tolist() == [[300.0, 400.0]]


def test_floors_and_caps_hold_back_estimates() -> None:
    found = approved(
        [[1.0, 0.95, 0.2], [0.95, 1.0, 0.3], [0.2, 0.3, 1.0]],
        version="v7",
        units=("A", "B", "C"),
        floors=np.array([[1, -1, -1], [-1, 1, 0.4], [-1, 0.4, 1]]),
        caps=np.array([[1, 0.8, 1], [0.8, 1, 1], [1, 1, 1]]),
        tolerance=0.0,
    )
    assert found.matrix.tolist() == [[1.0, 0.8, 0.2], [0.8, 1.0, 0.4], [0.2, 0.4, 1.0]]
    assert (found.version, found.repair) == ("v7", 0.0)


def test_a_matrix_broken_by_its_caps_is_repaired_within_them() -> None:
    """0.9, 0.9 and 0 have an eigenvalue below 0; the nearest keeps 0 below its cap of 0.1."""
    broken = [[1.0, 0.9, 0.9], [0.9, 1.0, 0.0], [0.9, 0.0, 1.0]]
    caps = np.array([[1.0, 1.0, 1.0], [1.0, 1.0, 0.1], [1.0, 0.1, 1.0]])
    found = approved(
        broken, version="v1", units=("A", "B", "C"), floors=-1.0, caps=caps, tolerance=0.2
    )
    assert np.linalg.eigvalsh(found.matrix)[0] >= -1e-12
    assert (found.matrix <= caps + 1e-6).all()
    assert 0.1 < found.repair < 0.4
    with pytest.raises(RejectedInputError):
        approved(
            broken, version="v1", units=("A", "B", "C"), floors=-1.0, caps=caps, tolerance=0.01
        )
    with pytest.raises(RejectedInputError, match="none within"):
        approved(
            broken, version="v1", units=("A", "B", "C"), floors=np.array(broken),
            caps=np.array(broken), tolerance=1.0,
        )  # fmt: skip


scopes = arrays(np.float64, (3, 4), elements=st.floats(0, 1e6))
sides = arrays(np.float64, (3, 4), elements=st.sampled_from([-1.0, 0.0, 1.0]))
estimates = arrays(np.float64, (8, 4), elements=st.floats(-1, 1)).map(
    lambda days: np.clip(np.corrcoef(days + np.diag([1e-3] * 8)[:, :4], rowvar=False), -1, 1)
)


def symmetric(matrix: np.ndarray) -> np.ndarray:
    matrix = (matrix + matrix.T) / 2
    np.fill_diagonal(matrix, 1.0)
    return matrix


@given(scopes, sides, estimates, st.sampled_from([*OffsetRule]), st.sampled_from([0.0, 0.4, 1.0]))
@settings(max_examples=200, deadline=None)
def test_offsets_add_up_in_order_and_as_the_slow_ones(
    gross: np.ndarray, directions: np.ndarray, estimate: np.ndarray, rule: OffsetRule, most: float
) -> None:
    matrix = approved(
        symmetric(estimate), version="v1", units=("A", "B", "C", "D"), floors=-1.0, caps=1.0,
        tolerance=1e-6,
    )  # fmt: skip
    said = offsets(gross, directions=directions, correlations=matrix, rule=rule, credit_most=most)
    assert (in_order(said.parts) == said.net).all()
    assert (said.gross - said.net == said.credit).all()
    assert (said.net >= 0).all()
    assert (said.credit >= 0).all()
    assert (said.credit <= most * said.gross * (1 + 1e-12) + 1e-9).all()
    for scope in range(len(gross)):
        net, parts = net_of(
            gross[scope], directions[scope], matrix.matrix.tolist(), rule=rule, credit_most=most
        )
        assert float(said.net[scope]) == pytest.approx(net, rel=1e-7, abs=1e-2)
        alone = offsets(
            gross[[scope]], directions=directions[[scope]], correlations=matrix, rule=rule,
            credit_most=most,
        )  # fmt: skip
        assert alone.net[0] == said.net[scope]
        assert (alone.parts[0] == said.parts[scope]).all()
        if net > 1.0:
            np.testing.assert_allclose(said.parts[scope], parts, rtol=1e-6, atol=1e-1)


@given(scopes, sides, estimates)
@settings(max_examples=100, deadline=None)
def test_no_more_is_credited_by_hedges_than_by_everything(
    gross: np.ndarray, directions: np.ndarray, estimate: np.ndarray
) -> None:
    matrix = approved(
        symmetric(estimate), version="v1", units=("A", "B", "C", "D"), floors=-1.0, caps=1.0,
        tolerance=1e-6,
    )  # fmt: skip
    hedges, everything = (
        offsets(gross, directions=directions, correlations=matrix, rule=rule, credit_most=1.0)
        for rule in (OffsetRule.HEDGES, OffsetRule.DIVERSIFIED)
    )
    assert (hedges.credit <= everything.credit + 1e-2).all()


@pytest.mark.parametrize(
    "change",
    [
        {"estimate": [[1.0, 0.5], [0.4, 1.0]]},
        {"estimate": [[1.0, 1.5], [1.5, 1.0]]},
        {"estimate": [[0.9, 0.5], [0.5, 1.0]]},
        {"estimate": [[1.0]]},
        {"version": ""},
        {"units": ("A", "A")},
        {"floors": 0.5, "caps": 0.4},
        {"caps": 1.1},
    ],
)
def test_what_is_not_to_be_approved_is_refused(change: dict[str, Any]) -> None:
    kept: dict[str, Any] = {
        "estimate": [[1.0, 0.5], [0.5, 1.0]], "version": "v1", "units": ("A", "B"),
        "floors": -1.0, "caps": 1.0, "tolerance": 0.1,
    }  # fmt: skip
    assert approved(kept.pop("estimate"), **kept).repair == 0.0
    both = {"estimate": [[1.0, 0.5], [0.5, 1.0]], **kept} | change
    with pytest.raises(RejectedInputError):
        approved(both.pop("estimate"), **both)


@pytest.mark.parametrize(
    "change",
    [
        {"gross": [[-1.0, 2.0]]},
        {"gross": [[1.0, 2.0, 3.0]]},
        {"directions": [[0.5, 1.0]]},
        {"credit_most": 1.1},
    ],
)
def test_scopes_that_make_no_sense_are_refused(change: dict[str, Any]) -> None:
    kept: dict[str, Any] = {"gross": [[1.0, 2.0]], "directions": [[1.0, -1.0]], "credit_most": 0.5}
    both = kept | change
    with pytest.raises(RejectedInputError):
        offsets(
            both["gross"], directions=both["directions"], correlations=pair(0.5),
            rule=OffsetRule.HEDGES, credit_most=both["credit_most"],
        )  # fmt: skip
