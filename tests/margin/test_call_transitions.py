"""A call's life: what the database lets it become, and what it does not."""

from pathlib import Path

import pytest

from accounts.audit import Actor, RefusedError, acting
from margin.calls.acts import carry_on
from margin.models import MarginCall
from tests.stage import booked_days

DESK = Actor.job("test")
LEGAL = {"acknowledged", "partially_met", "met", "cancelled", "disputed", "extended", "expired"}


@pytest.fixture
def delivered(db: None, tmp_path: Path) -> MarginCall:
    """A call that was delivered."""
    booked_days(tmp_path / "firm", accounts=90, seed=3, days=2)
    return MarginCall.objects.filter(state="delivered").order_by("number")[0]


def test_a_delivered_call_goes_only_where_its_life_leads(delivered: MarginCall) -> None:
    for state in sorted(set(MarginCall.State.values) - LEGAL - {"delivered"}):
        with pytest.raises(RefusedError) as refused, acting(DESK, reason="Try"):
            MarginCall.objects.filter(pk=delivered.pk).update(state=state)
        assert refused.value.rule == "margin_call_transition_is_legal"
        delivered.refresh_from_db()
        assert delivered.state == "delivered"
    carry_on(delivered.number, "acknowledge", actor=DESK, words="The permitted twin")
    delivered.refresh_from_db()
    assert delivered.state == "acknowledged"
