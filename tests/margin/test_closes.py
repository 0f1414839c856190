"""Closes: what is made of them is made once, and cannot be changed."""

from pathlib import Path

import pytest

from margin.book.closes import Closes, closes_until
from margin.models import Mark
from tests.stage import booked_days


@pytest.fixture
def days(db: None, tmp_path: Path) -> list[Path]:
    return booked_days(tmp_path, accounts=12, seed=5, days=2, booked=2)


def test_returns_are_made_once_and_cannot_be_changed(days: list[Path]) -> None:
    found = closes_until(Mark.objects.latest("as_of").as_of)
    ids = sorted({close.asset_id for close in found})
    returns = found.returns(ids)
    assert returns.shape == (len({close.day for close in found}) - 1, len(ids))
    assert found.returns(tuple(ids)) is returns
    with pytest.raises(ValueError, match="read-only"):
        returns[0, 0] = 1.0
    assert Closes().returns(ids).shape == (0, len(ids))
