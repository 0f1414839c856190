"""The day, end to end: files in, result out, exactly."""

import json
from pathlib import Path
from typing import Any

import pytest

from brokerage.inbox.cycle import DayRefusedError, run_day
from brokerage.models import BusinessDay

DAYS = ("2018-02-01", "2018-02-02", "2018-02-05", "2018-02-06")


def differences(expected: Any, got: Any, path: str = "") -> list[str]:
    """Where two JSON values differ, by path."""
    if isinstance(expected, dict) and isinstance(got, dict):
        return [
            line
            for key in sorted(expected.keys() | got.keys())
            for line in differences(expected.get(key), got.get(key), f"{path}.{key}")
        ]
    if isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        return [
            line
            for place, (one, other) in enumerate(zip(expected, got, strict=True))
            for line in differences(one, other, f"{path}[{place}]")
        ]
    return [] if expected == got else [f"{path}: expected {expected!r}, got {got!r}"]


def test_the_sample_days_give_the_expected_results(db: None, shared_dir: Path) -> None:
    for day in DAYS:
        folder = shared_dir / "inbox" / "2018-02" / day
        result = json.loads(json.dumps(run_day(folder)))
        expected = json.loads((folder / "expected.json").read_text())
        assert differences(expected, result) == []


def test_a_day_run_again_gives_the_same_result_and_writes_nothing(
    db: None, shared_dir: Path
) -> None:
    folder = shared_dir / "inbox" / "2018-02" / DAYS[0]
    first = run_day(folder)
    assert run_day(folder) == first
    assert BusinessDay.objects.count() == 1


def test_an_older_day_is_refused(db: None, shared_dir: Path) -> None:
    inbox = shared_dir / "inbox" / "2018-02"
    run_day(inbox / DAYS[1])
    with pytest.raises(DayRefusedError, match="does not follow"):
        run_day(inbox / DAYS[0])
    assert BusinessDay.objects.count() == 1
