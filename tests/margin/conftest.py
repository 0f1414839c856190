"""What tests of margin's screens share."""

from pathlib import Path

import pytest

from margin.models import MarginCall
from tests.margin.firm import SmallFirm, crashed_firm


@pytest.fixture
def firm(db: None, tmp_path: Path) -> SmallFirm:
    """A firm after a crash, with open calls in more than two states."""
    firm = crashed_firm(tmp_path / "firm")
    states = set(MarginCall.objects.open().values_list("last_result__state", flat=True))
    assert len(states) > 2, "the invented days no longer bring about what these tests are about"
    return firm
