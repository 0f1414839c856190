"""Covariances: by hand, by the published figures, and never with a negative eigenvalue."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from margin.engine.covariance import (
    CovarianceParameters,
    Estimate,
    Target,
    correlations_of,
    estimated,
    nearest_correlations,
    nearest_covariance,
    psd_root,
    shrunk,
)
from margin.engine.rejected import RejectedInputError
from margin.engine.slow import statistics as slow

SAMPLE = CovarianceParameters(
    lookback_days=3, estimate=Estimate.SAMPLE, decay=0.5, target=Target.NONE
)
DAYS = np.array([[9.0, 9.0], [1.0, 4.0], [3.0, 2.0], [5.0, 0.0]])
histories = st.tuples(st.integers(2, 12), st.integers(1, 5)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.integers(-9, 9).map(lambda n: n / 100))
)


def test_a_sample_is_taken_around_its_mean() -> None:
    """The newest three days are 1, 3, 5 and 4, 2, 0: variances 8/3, covariance -8/3."""
    covariance, intensity = estimated(DAYS, parameters=SAMPLE)
    np.testing.assert_allclose(covariance, [[8 / 3, -8 / 3], [-8 / 3, 8 / 3]], rtol=1e-14)
    assert intensity == 0.0


def test_newer_days_weigh_more_around_zero() -> None:
    """Weights 1, 2, 4 of 7: (1 + 18 + 100) / 7, (4 + 12 + 0) / 7, (16 + 8 + 0) / 7."""
    newer = replace(SAMPLE, estimate=Estimate.EWMA)
    covariance, _intensity = estimated(DAYS, parameters=newer)
    np.testing.assert_allclose(covariance, [[17, 16 / 7], [16 / 7, 24 / 7]], rtol=1e-14)


def test_an_estimate_is_drawn_to_the_identity_by_the_closed_form() -> None:
    """Days (1, 0), (-1, 0), (0, 3), (0, -3), by hand.

    The sample is diag(1/2, 9/2), the aim 5/2 on the diagonal, 8 apart in squares. Squared errors:
    of the variances 4 x 1/4 / 16 = 1/16 and 81/16, of the covariance none.
    """
    days = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 3.0], [0.0, -3.0]])
    covariance, intensity = shrunk(days, weights=np.full(4, 0.25), target=Target.SCALED_IDENTITY)
    assert intensity == pytest.approx(82 / 16 / 8, rel=1e-14)
    expected = np.diag([0.5 + intensity * 2, 4.5 - intensity * 2])
    np.testing.assert_allclose(covariance, expected, rtol=1e-13)


def test_shrinkage_gives_the_figures_of_another_library() -> None:
    """scikit-learn prints [[0.44, 0.16], [0.16, 0.80]] and 0.23 for these 50 days."""
    draw = np.random.RandomState(0)
    days = draw.multivariate_normal([0, 0], [[0.4, 0.2], [0.2, 0.8]], size=50)
    parameters = replace(SAMPLE, lookback_days=50, target=Target.SCALED_IDENTITY)
    covariance, intensity = estimated(days, parameters=parameters)
    assert np.round(covariance, 2).tolist() == [[0.44, 0.16], [0.16, 0.80]]
    assert round(intensity, 2) == 0.23


def test_what_has_one_correlation_already_is_left() -> None:
    """Two returns have one correlation: the estimate is its own aim."""
    parameters = replace(SAMPLE, lookback_days=4, target=Target.CONSTANT_CORRELATION)
    covariance, intensity = estimated(DAYS, parameters=parameters)
    plain, _intensity = estimated(DAYS, parameters=replace(parameters, target=Target.NONE))
    assert intensity == 0.0
    assert covariance.tolist() == plain.tolist()


@given(
    histories, st.sampled_from([*Estimate]), st.sampled_from([*Target]), st.sampled_from([0.9, 1.0])
)
@settings(max_examples=200, deadline=None)
def test_the_slow_covariance_agrees_and_has_a_root(
    days: np.ndarray, estimate: Estimate, target: Target, decay: float
) -> None:
    parameters = CovarianceParameters(
        lookback_days=len(days), estimate=estimate, decay=decay, target=target
    )
    covariance, intensity = estimated(days, parameters=parameters)
    assert 0.0 <= intensity <= 1.0
    expected = slow.covariance(days.tolist(), parameters)
    np.testing.assert_allclose(covariance, expected, rtol=1e-7, atol=1e-12)
    root = psd_root(covariance)
    np.testing.assert_allclose(root @ root.T, covariance, atol=1e-15)


def test_more_underlyings_than_days_still_have_a_root_once_shrunk() -> None:
    days = np.random.default_rng(5).normal(size=(10, 30))
    sample = replace(SAMPLE, lookback_days=10)
    assert np.linalg.matrix_rank(estimated(days, parameters=sample).covariance) == 9
    tamed = estimated(days, parameters=replace(sample, target=Target.SCALED_IDENTITY))
    assert np.linalg.eigvalsh(tamed.covariance)[0] > 0.01


def test_the_nearest_correlations_are_those_of_the_paper() -> None:
    """Higham (2002), section 1: 0.7607 and 0.1573, at a distance of 0.5278."""
    given_matrix = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0, 1.0]])
    matrix, distance = nearest_correlations(given_matrix, tolerance=0.25)
    expected = [[1, 0.7607, 0.1573], [0.7607, 1, 0.7607], [0.1573, 0.7607, 1]]
    assert np.round(matrix, 4).tolist() == expected
    assert round(distance, 4) == 0.5278
    assert np.diag(matrix).tolist() == [1.0, 1.0, 1.0]
    psd_root(matrix)
    with pytest.raises(RejectedInputError):
        nearest_correlations(given_matrix, tolerance=0.1)


def test_correlations_that_are_some_are_left_as_they_are() -> None:
    matrix = np.array([[1.0, -0.3], [-0.3, 1.0]])
    kept, distance = nearest_correlations(matrix, tolerance=0.0)
    assert kept.tolist() == matrix.tolist()
    assert distance == 0.0


def test_a_negative_eigenvalue_is_clipped_where_it_is_near() -> None:
    """Eigenvalues 3 and -1 of [[1, 2], [2, 1]]: what is left is 3/2 everywhere, 1 away."""
    matrix = np.array([[1.0, 2.0], [2.0, 1.0]])
    clipped, distance = nearest_covariance(matrix, tolerance=0.32)
    np.testing.assert_allclose(clipped, np.full((2, 2), 1.5), rtol=1e-14)
    assert distance == pytest.approx(1.0)
    with pytest.raises(RejectedInputError):
        nearest_covariance(matrix, tolerance=0.31)
    kept, distance = nearest_covariance(np.eye(2), tolerance=0.0)
    assert kept.tolist() == np.eye(2).tolist()
    assert distance == 0.0


@given(arrays(np.float64, (4, 4), elements=st.floats(-1, 1)))
@settings(max_examples=100, deadline=None)
def test_any_matrix_has_nearest_correlations(values: np.ndarray) -> None:
    matrix = (values + values.T) / 2.0
    np.fill_diagonal(matrix, 1.0)
    nearest = nearest_correlations(matrix, tolerance=10.0).matrix
    assert np.diag(nearest).tolist() == [1.0] * 4
    assert np.linalg.eigvalsh(nearest)[0] >= -1e-12
    assert (np.abs(nearest) <= 1.0).all()


@pytest.mark.parametrize(
    "matrix", [[[1.0, 2.0], [2.0, 1.0]], [[1.0, 0.5], [0.4, 1.0]], [[1.0, 0.5]], [[np.nan]]]
)
def test_what_is_no_covariance_has_no_root(matrix: list[list[float]]) -> None:
    with pytest.raises(RejectedInputError):
        psd_root(np.array(matrix))


def test_what_never_moves_has_no_correlation_but_with_itself() -> None:
    covariance = np.array([[4.0, 0.0, 3.0], [0.0, 0.0, 0.0], [3.0, 0.0, 9.0]])
    assert correlations_of(covariance).tolist() == [[1, 0, 0.5], [0, 1, 0], [0.5, 0, 1]]


def test_too_few_days_are_refused() -> None:
    with pytest.raises(RejectedInputError):
        estimated(DAYS, parameters=replace(SAMPLE, lookback_days=5))
