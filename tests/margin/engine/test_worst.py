"""The worst scenario of many scopes: the sums of the whole product, bit for bit, in little room."""

import multiprocessing
import sys
import tracemalloc
from collections.abc import Callable
from importlib.util import find_spec
from types import CodeType, FunctionType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margin.engine import worst
from margin.engine.books import Books, books_of
from margin.engine.given import Float
from margin.engine.market import Index
from margin.engine.rejected import RejectedInputError
from margin.engine.worst import PLAIN, Kernel, compiled, worst_losses, worst_losses_of

SCENARIOS, INSTRUMENTS = 33, 40
NEEDS_NUMBA = pytest.mark.skipif(find_spec("numba") is None, reason="numba is not installed")
KERNELS = pytest.mark.parametrize(
    "kernel_of", [lambda: PLAIN, pytest.param(compiled, marks=NEEDS_NUMBA)], ids=["scipy", "numba"]
)


def drawn(seed: int, *, scopes: int) -> tuple[Books, Float]:
    """Books with none to nine positions each, and profits of 33 scenarios."""
    draw = np.random.default_rng(seed)
    scope = np.repeat(np.arange(scopes), draw.integers(0, 10, scopes))
    books = books_of(
        scopes=scope,
        instruments=draw.integers(0, INSTRUMENTS, len(scope)),
        quantities=np.round(draw.normal(0, 50, len(scope)), 2),
        cash=np.zeros(scopes),
    )
    return books, draw.normal(0, 10, (SCENARIOS, INSTRUMENTS))


def whole(books: Books, profits: Float) -> tuple[Float, Index]:
    """The same by a product of all scopes with all scenarios at once."""
    totals: Float = books.matrix(instruments=profits.shape[1]) @ np.ascontiguousarray(profits.T)
    at = totals.argmin(axis=1)
    return np.take_along_axis(totals, at[:, None], axis=1)[:, 0], at


def test_the_worst_of_two_scenarios_is_the_lowest_sum_and_the_first_of_equals() -> None:
    """2 x 10 - 3 x 4 = 8 and 2 x (-10) - 3 x (-8) = 4; nothing held is 0.0 in scenario 0."""
    books = books_of(
        scopes=[0, 0, 2, 3], instruments=[0, 1, 1, 2], quantities=[2, -3, 1, 7], cash=[0] * 4
    )
    profits = np.array([[10.0, 4.0, -1.0], [-10.0, -8.0, -1.0]])
    lowest, at = worst_losses(books, profits=profits)
    assert lowest.tolist() == [4.0, 0.0, -8.0, -7.0]
    assert at.tolist() == [1, 0, 1, 0]
    assert (lowest.dtype.name, at.dtype.name) == ("float64", "int64")


@KERNELS
@pytest.mark.parametrize("scopes", [0, 1, 5, 4_096, 8_193, 30_001])
def test_chunks_and_threads_give_the_bits_of_the_whole_product(
    kernel_of: Callable[[], Kernel], scopes: int
) -> None:
    kernel = kernel_of()
    books, profits = drawn(scopes, scopes=scopes)
    lowest, at = worst_losses(books, profits=profits, kernel=kernel)
    expected, expected_at = whole(books, profits)
    assert lowest.tobytes() == expected.tobytes()
    assert (at == expected_at).all()


@KERNELS
def test_some_scopes_in_any_order_have_the_bits_of_all(kernel_of: Callable[[], Kernel]) -> None:
    kernel = kernel_of()
    books, profits = drawn(3, scopes=7_000)
    scopes = np.random.default_rng(4).integers(0, 7_000, 6_000)
    lowest, at = worst_losses_of(books, profits=profits, scopes=scopes, kernel=kernel)
    every, every_at = worst_losses(books, profits=profits, kernel=kernel)
    assert lowest.tobytes() == every[scopes].tobytes()
    assert (at == every_at[scopes]).all()


@NEEDS_NUMBA
@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.floats(1e-3, 1e12))
def test_compiled_or_not_the_bits_are_the_same(seed: int, scenarios: int, size: float) -> None:
    books, profits = drawn(seed, scopes=30)
    table = np.ascontiguousarray(size * profits[: scenarios % SCENARIOS + 1].T)
    scopes = np.arange(30)
    results = []
    for each in (PLAIN, compiled()):
        assert each is not None
        lowest, at = np.empty(30), np.empty(30, dtype=np.intp)
        holdings = books.starts, books.instruments, books.quantities
        assert each.sums(*holdings, table, scopes, lowest, at)
        results.append((lowest.tobytes(), at.tobytes()))
    assert results[0] == results[1]


@KERNELS
def test_an_instrument_that_has_no_profits_is_refused(kernel_of: Callable[[], Kernel]) -> None:
    kernel = kernel_of()
    books, profits = drawn(5, scopes=50)
    held = int(books.instruments.max())
    with pytest.raises(RejectedInputError, match="does not have"):
        worst_losses(books, profits=profits[:, :held], kernel=kernel)
    worst_losses(books, profits=profits[:, : held + 1], kernel=kernel)


@pytest.mark.parametrize(
    ("profits", "said"),
    [
        (np.zeros((0, INSTRUMENTS)), "at least one"),
        (np.zeros(INSTRUMENTS), "scenarios by instruments"),
        (np.full((2, INSTRUMENTS), np.nan), "not a finite number"),
    ],
)
def test_profits_that_are_none_are_refused(profits: Float, said: str) -> None:
    books, _profits = drawn(5, scopes=50)
    with pytest.raises(RejectedInputError, match=said):
        worst_losses(books, profits=profits)


@pytest.mark.parametrize("scope", [-1, 50])
def test_a_scope_that_is_not_there_is_refused(scope: int) -> None:
    books, profits = drawn(5, scopes=50)
    with pytest.raises(RejectedInputError, match="not there"):
        worst_losses_of(books, profits=profits, scopes=np.array([0, scope]))


def test_the_table_of_scopes_by_scenarios_is_never_held_whole() -> None:
    books, profits = drawn(6, scopes=60_000)
    tracemalloc.start()
    try:
        worst_losses_of(books, profits=profits, scopes=np.arange(60_000))
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 60_000 * SCENARIOS * 8 / 3


def test_a_process_that_was_forked_computes_the_same() -> None:
    """The threads of the parent are not there in the child."""
    books, profits = drawn(9, scopes=20_000)
    expected = worst_losses(books, profits=profits, kernel=PLAIN)[0]
    with multiprocessing.get_context("fork").Pool(1) as pool:
        found = pool.apply(_lowest, (books, profits))
    assert found.tobytes() == expected.tobytes()


def _lowest(books: Books, profits: Float) -> Float:
    return worst_losses(books, profits=profits, kernel=PLAIN)[0]


def test_without_numba_the_same_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "margin.engine.worst_numba", raising=False)
    monkeypatch.delattr("margin.engine.worst_numba", raising=False)
    monkeypatch.setattr(worst, "LARGE", 0)
    compiled.cache_clear()
    try:
        assert compiled() is None
        books, profits = drawn(8, scopes=20)
        assert worst_losses(books, profits=profits)[0].tolist() == whole(books, profits)[0].tolist()
    finally:
        compiled.cache_clear()


@NEEDS_NUMBA
def test_where_nothing_can_be_kept_it_is_compiled_all_the_same() -> None:
    """Code that came from no file has no place for what it is compiled to."""
    from margin.engine.worst_numba import _kept

    code = compile("def doubled(number):\n    return 2 * number\n", "<nowhere>", "exec")
    body = next(each for each in code.co_consts if isinstance(each, CodeType))
    assert _kept(FunctionType(body, {"__name__": "nowhere"}, "doubled"))(21) == 42
