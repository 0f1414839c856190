"""Closes are read once as long as nothing was marked since, and never from before a correction."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from accounts.audit import Actor, acting
from accounts.bulk import copy_rows
from margin.book.closes import Closes, closes_now, closes_until
from margin.models import Mark
from tests.stage import booked_days

DESK = Actor.command("test")


@pytest.fixture
def days(db: None, tmp_path: Path) -> list[Path]:
    return booked_days(tmp_path, accounts=12, seed=5, days=2, booked=2)


def marked(price: int, *, days_back: int) -> None:
    newest = Mark.objects.latest("as_of", "pk")
    back = timedelta(days=days_back)
    copy_rows(
        [
            Mark(
                asset=newest.asset, as_of=newest.as_of - back,
                business_day=newest.business_day - back, price=price, state=Mark.State.VALID,
                used=[], dropped=[],
            )
        ]
    )  # fmt: skip


def test_closes_are_read_once_and_again_after_a_mark(days: list[Path]) -> None:
    as_of = Mark.objects.latest("as_of").as_of
    first = closes_now(as_of)
    assert list(first) == list(closes_until(as_of)) != []
    assert closes_now(as_of) is first
    with acting(DESK, reason="A close of before"):
        marked(7, days_back=400)
    second = closes_now(as_of)
    assert len(second) == len(first) + 1
    assert list(second) == list(closes_until(as_of))
    assert closes_now(as_of) is second
    assert closes_now(as_of - timedelta(days=1)) is not second


def given_up(as_of: datetime, *, lengths: list[int]) -> None:
    """Mark, read, and take it back."""
    with acting(DESK, reason="Not to be"):
        marked(7, days_back=400)
        lengths.append(len(closes_now(as_of)))
        raise ZeroDivisionError


def test_what_a_writer_reads_is_not_kept(days: list[Path]) -> None:
    as_of = Mark.objects.latest("as_of").as_of
    before = closes_now(as_of)
    lengths: list[int] = []
    with pytest.raises(ZeroDivisionError):
        given_up(as_of, lengths=lengths)
    assert lengths == [len(before) + 1]
    assert closes_now(as_of) is before


def test_returns_are_made_once_and_cannot_be_changed(days: list[Path]) -> None:
    found = closes_now(Mark.objects.latest("as_of").as_of)
    ids = sorted({close.asset_id for close in found})
    returns = found.returns(ids)
    assert returns.shape == (len({close.day for close in found}) - 1, len(ids))
    assert found.returns(tuple(ids)) is returns
    with pytest.raises(ValueError, match="read-only"):
        returns[0, 0] = 1.0
    assert Closes().returns(ids).shape == (0, len(ids))
