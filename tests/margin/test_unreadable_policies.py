"""Policies and tiers that a later program cannot read stop those alone whom they are about."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from accounts.audit import Actor
from accounts.models import LegalEntity, Role
from brokerage.inbox.cycle import run_day
from brokerage.proposal_watch import ask_for_proposals
from margin.dynamic import propose
from margin.engine import policies as named
from margin.engine.parameters import parameter
from margin.engine.policies import CROWDING, DYNAMIC, POLICIES
from margin.engine.rejected import RejectedInputError
from margin.model_registry import request_parameters
from margin.models import MarginProposal, MarginRun, RunException
from margin.policies import policies_decided
from margin.runs import replay
from tests.accounts.people import Desk, found_desk, person
from tests.ledger.agreeing import agreed
from tests.margin.kept import holders_of
from tests.margin.test_dynamic_margin import DAYS, FOLLOW, HERD, PERP, WHY
from tests.stage import booked_days


@pytest.fixture
def days(db: None, tmp_path: Path) -> list[Path]:
    return booked_days(tmp_path / "firm", accounts=30, seed=4, days=3, booked=1)


@pytest.fixture
def desk(days: list[Path]) -> Desk:
    return found_desk(entity=LegalEntity.objects.get())


@dataclass(frozen=True, slots=True)
class Later:
    """What a policy might ask for in a later version of the program."""

    half_life: float = parameter("A parameter that came later", unit="days", least=1.0, most=9.0)


def set_policy(desk: Desk, kind: str, values: dict[str, Any]) -> None:
    asked = request_parameters(
        model=kind, code=PERP, values=values, effective_from=DAYS[1],
        legal_entity=desk.entity, reason=WHY, actor=person(desk[Role.RISK]),
    )  # fmt: skip
    agreed(asked, desk[Role.COMPLIANCE])


def holders(run: MarginRun) -> set[str]:
    """Scopes that hold the instrument on margin."""
    return {
        f"{each.scope.bucket.account.code}/{each.scope.bucket.code}"
        for each in holders_of(run, [PERP])
        if each.scope.bucket is not None and each.scope.bucket.account.mode != "cash"
    }


def test_policies_that_cannot_be_read_stop_those_alone_who_hold_the_instrument(
    days: list[Path], desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_policy(desk, CROWDING, HERD)
    set_policy(desk, DYNAMIC, FOLLOW)
    first = MarginRun.objects.get(business_day=DAYS[0])
    for kind in POLICIES:
        monkeypatch.setitem(named.POLICIES, kind, POLICIES[kind]._replace(parameters=Later))
    run_day(days[1])
    run = MarginRun.objects.get(business_day=DAYS[1])
    exceptions = list(RunException.objects.filter(run=run).select_related("account"))
    assert {each.reason for each in exceptions} == {"policy_unreadable"}
    assert all(f"crowding {PERP} v1 can no longer be read" in each.detail for each in exceptions)
    out = {f"{each.account.code}/{each.bucket_code}" for each in exceptions}
    assert out == holders(first)
    assert out
    assert not holders(run)
    assert run.scope_count + len(out) == first.scope_count
    assert run.scope_count > len(out)
    assert replay(run.number).is_same
    assert ask_for_proposals() is None, "nothing that can be read proposes"
    said = propose(run, actor=Actor.command("test"))
    assert "can no longer be read" in said["refused"][PERP]
    assert not MarginProposal.objects.exists()


def test_tiers_that_cannot_be_read_stop_those_alone_who_hold_the_money(
    days: list[Path], desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(haircut: Any) -> None:
        if haircut.asset.code == "BTC":
            raise RejectedInputError("tiers: half_life is missing")

    monkeypatch.setattr("margin.terms.schedule_of", unreadable)
    run_day(days[1])
    run = MarginRun.objects.get(business_day=DAYS[1])
    details = list(RunException.objects.filter(run=run).values_list("detail", flat=True))
    assert details
    assert all("holds BTC" in each and "half_life is missing" in each for each in details)
    assert run.scope_count > 0
    assert policies_decided(CROWDING, day=DAYS[1]) == ([], [])
