"""Days nobody prepared by hand: an invented firm, and what the oracle expects of each day."""

from copy import deepcopy
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from brokerage.synthetic import ROUGH, Profile, write_firm
from tests.golden.oracle import load_reference, run_day

FIRST_DAY = date(2031, 3, 3)  # a Monday


class GeneratedDay(NamedTuple):
    """A day folder, and the object its expected.json would hold."""

    folder: Path
    expected: dict[str, Any]


# What the oracle said of the same files before.
_expected: dict[tuple[object, ...], list[dict[str, Any]]] = {}


def generated_days(
    tmp_path: Path, seed: int, accounts: int, days: int, *, profile: Profile = ROUGH
) -> list[GeneratedDay]:
    """Write a firm of its own folder under `tmp_path`; its days in order, with what is expected."""
    firm = tmp_path / f"firm-{seed}-{accounts}"
    folders = write_firm(
        firm, accounts=accounts, seed=seed, first_day=FIRST_DAY, days=days, profile=profile
    )
    key = seed, accounts, days, repr(profile)
    if key not in _expected:
        state = load_reference(firm / "reference.yaml")
        _expected[key] = []
        for folder in folders:
            expected, state = run_day(state, folder)
            _expected[key].append(expected)
    return list(map(GeneratedDay, folders, deepcopy(_expected[key])))
