"""The scheduler asks for margin proposals of each run, once, where a policy makes rates."""

from datetime import date
from pathlib import Path

import pytest

from accounts.models import LegalEntity, Role
from brokerage.inbox.cycle import run_day
from brokerage.models import Job
from brokerage.proposal_watch import ask_for_proposals
from brokerage.worker import run_job
from margin.engine.policies import DYNAMIC, POLICIES
from margin.model_registry import request_parameters
from margin.models import InstrumentTerms, MarginProposal, MarginRun
from tests.accounts.people import Desk, found_desk, person
from tests.ledger.agreeing import agreed
from tests.stage import booked_days

PERP = "BTC-PERP"
FOLLOW = dict(POLICIES[DYNAMIC].standard) | {
    "estimator": "sample", "decay": 0.0, "lookback_days": 2, "rising_days": 1, "multiple": 20.0,
    "floor": 0.02, "cap": 1.0, "rise_most": 0.05,
}  # fmt: skip


@pytest.fixture
def days(db: None, tmp_path: Path) -> list[Path]:
    return booked_days(tmp_path / "firm", accounts=30, seed=4, days=3, booked=1)


def set_policy(desk: Desk) -> None:
    asked = request_parameters(
        model=DYNAMIC, code=PERP, values=FOLLOW, effective_from=date(2031, 3, 4),
        legal_entity=desk.entity, reason="Rates follow the market", actor=person(desk[Role.RISK]),
    )  # fmt: skip
    agreed(asked, desk[Role.COMPLIANCE])


@pytest.mark.usefixtures("sent")
def test_rates_are_proposed_once_a_run_and_change_nothing(days: list[Path]) -> None:
    desk = found_desk(entity=LegalEntity.objects.get())
    assert ask_for_proposals() is None, "no policy makes rates yet"
    set_policy(desk)
    for day in days[1:]:
        run_day(day)
    terms = InstrumentTerms.objects.count()
    job = ask_for_proposals()
    assert job is not None
    assert ask_for_proposals() == job
    run_job(job.pk)
    job.refresh_from_db()
    assert job.state == Job.State.DONE, job.error
    assert job.outcome is not None
    assert job.outcome["run"] == MarginRun.objects.latest("pk").number
    assert [each["asset"] for each in job.outcome["proposed"]] == [PERP]
    assert MarginProposal.objects.count() == 1
    assert ask_for_proposals() == job, "of one run it is asked for once"
    assert InstrumentTerms.objects.count() == terms
