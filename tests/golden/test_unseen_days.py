"""Days nobody has seen before: the product against an independent reading of the rules."""

import json
from pathlib import Path

import pytest

from brokerage.inbox.cycle import run_day
from tests.brokerage.test_cycle import differences
from tests.golden.generated import generated_days


@pytest.mark.parametrize("seed", [11, 12, 13, 14, 15, 16])
def test_generated_days_are_judged_alike(db: None, tmp_path: Path, seed: int) -> None:
    for day in generated_days(tmp_path, seed=seed, accounts=40, days=3):
        result = json.loads(json.dumps(run_day(day.folder)))
        assert differences(day.expected, result) == []
