"""Amounts and ids as a scan of a whole book brings them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from margin.book.packed_book import ODD
from margin.book.scan import UNITS_MAX, finder, in_units

NANOS = st.integers(min_value=-(2**63) + 1, max_value=2**63 - 1)


@given(st.lists(st.tuples(NANOS, st.integers(0, 18)), max_size=20))
def test_amounts_come_in_units_of_their_scale_or_are_odd(drawn: list[tuple[int, int]]) -> None:
    amounts = np.array([amount for amount, _ in drawn], dtype=np.int64)
    scales = np.array([scale for _, scale in drawn], dtype=np.int64)
    for units, (amount, scale) in zip(in_units(amounts, scales).tolist(), drawn, strict=True):
        whole, left = divmod(amount, 10 ** max(9 - scale, 0))
        fits = scale <= 9 and left == 0 and abs(whole) < UNITS_MAX
        assert units == (whole if fits else ODD)


IDS = st.lists(st.integers(-(10**12), 10**12), unique=True, max_size=20)
NEAR = st.lists(st.integers(-30, 30), unique=True, max_size=20)


@pytest.mark.parametrize("ids", [IDS, NEAR], ids=["far_apart", "side_by_side"])
def test_what_is_said_of_an_id_is_found_or_nothing_is(ids: st.SearchStrategy[list[int]]) -> None:
    @given(ids, NEAR)
    def found(known: list[int], others: list[int]) -> None:
        said = {pk: 7 * n for n, pk in enumerate(known)}
        find = finder(np.array(known, dtype=np.int64), np.array([*said.values()], dtype=np.int64))
        wanted = [*known, *others]
        answers = find(np.array(wanted, dtype=np.int64)).tolist()
        assert answers == [said.get(pk, -1) for pk in wanted]

    found()
