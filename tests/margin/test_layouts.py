"""Every reader of a run says the same of one kept by rows and of one kept in columns."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from brokerage.audit_file import audit_file
from margin.models import MarginRun
from tests.brokerage.test_audit_file import files_of
from tests.margin.firm import SmallFirm, crashed_firm
from tests.margin.readers import READERS, Said
from tests.stage import emptied

# From how many scopes on a run is kept so.
LEAST = {"rows": 10**9, "columns": 0}


def firm_kept(layout: str, folder: Path, settings: Any) -> SmallFirm:
    """The firm after a crash, with every run kept in one way."""
    settings.MARGIN_COLUMNS_FROM = LEAST[layout]
    firm = crashed_firm(folder / layout)
    assert set(MarginRun.objects.values_list("layout", flat=True)) == {layout}
    return firm


@pytest.mark.parametrize("reader", READERS, ids=lambda each: each.__name__)
def test_a_reader_says_the_same_of_rows_and_of_columns(
    db: None, tmp_path: Path, settings: Any, reader: Callable[[SmallFirm], Said]
) -> None:
    by_rows = reader(firm_kept("rows", tmp_path, settings))
    emptied()
    in_columns = reader(firm_kept("columns", tmp_path, settings))
    assert len(by_rows) == len(in_columns) > 1
    pairs = zip(by_rows, in_columns, strict=True)
    # As texts, so that every digit counts; the first pair says enough.
    assert [pair for pair in pairs if repr(pair[0]) != repr(pair[1])][:1] == []


@pytest.mark.parametrize("layout", LEAST)
def test_the_audit_file_names_the_code_of_every_run(
    db: None, tmp_path: Path, settings: Any, layout: str
) -> None:
    firm_kept(layout, tmp_path, settings)
    inventory = files_of(audit_file())["inventory.json"].decode()
    for run in MarginRun.objects.all():
        assert run.model_sha256 in inventory
