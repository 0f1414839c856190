"""Policies propose rates out of closes, two people make terms of them; crowded sides pay."""

import json
from datetime import date
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client as Browser
from django.urls import reverse

from accounts.approvals import AskRefusedError
from accounts.audit import RefusedError
from accounts.models import Approval, LegalEntity, Role
from brokerage.inbox.cycle import run_day
from ledger.models import Asset
from margin.dynamic import business_days_after, lines, request_proposal
from margin.engine.dynamic import DynamicPolicy
from margin.engine.policies import CROWDING, DYNAMIC, POLICIES
from margin.explanation import as_json, find_result
from margin.holding import balances_of, newest_gate, standing_of
from margin.model_registry import request_parameters
from margin.models import (
    InstrumentTerms,
    MarginProposal,
    MarginResult,
    MarginRun,
)
from margin.parameters import rate_lines, request_terms
from margin.runs import replay
from margin.what_if import Change, what_if
from tests.accounts.people import Desk, found_desk, person, sign_in
from tests.ledger.agreeing import agreed, standing
from tests.margin.kept import parts_of_run
from tests.margin.typed import typed_values
from tests.stage import booked_days

D = Decimal
DAYS = (date(2031, 3, 3), date(2031, 3, 4), date(2031, 3, 5))
PERP = "BTC-PERP"
WHY = "Volatility has risen for a week"
FOLLOW = dict(POLICIES[DYNAMIC].standard) | {
    "estimator": "sample", "decay": 0.0, "lookback_days": 2, "rising_days": 1, "multiple": 20.0,
    "floor": 0.02, "cap": 1.0, "rise_most": 0.05,
}  # fmt: skip
HERD = dict(POLICIES[CROWDING].standard) | {
    "holders_least": 2, "cluster_rate": 0.0, "herd_from": 0.01, "herd_rate": 0.03,
}  # fmt: skip


@pytest.fixture
def days(db: None, tmp_path: Path) -> list[Path]:
    return booked_days(tmp_path / "firm", accounts=30, seed=4, days=3, booked=1)


@pytest.fixture
def desk(days: list[Path]) -> Desk:
    return found_desk(entity=LegalEntity.objects.get())


def set_policy(desk: Desk, kind: str, values: dict[str, Any], *, code: str = PERP) -> None:
    asked = request_parameters(
        model=kind, code=code, values=values, effective_from=DAYS[1], legal_entity=desk.entity,
        reason=WHY, actor=person(desk[Role.RISK]),
    )  # fmt: skip
    agreed(asked, desk[Role.COMPLIANCE])


def proposed() -> dict[str, Any]:
    out = StringIO()
    call_command("propose_margin", "--json", stdout=out)
    said: dict[str, Any] = json.loads(out.getvalue())
    return said


def signed_in(desk: Desk, role: Role) -> Browser:
    browser = Browser()
    sign_in(browser, desk[role])
    return browser


def test_a_policy_proposes_and_two_people_make_ordinary_terms_of_it(
    days: list[Path], desk: Desk
) -> None:
    set_policy(desk, DYNAMIC, FOLLOW)
    run_day(days[1])
    assert proposed()["refused"] == {PERP: "3 closes are known, 4 are looked back on"}
    run_day(days[2])
    said = proposed()
    (one,) = said["proposed"]
    assert proposed() == said, "of one run it is proposed once"
    proposal = MarginProposal.objects.get()
    assert (one["asset"], one["effective_from"]) == (PERP, "2031-03-07")
    assert one["inputs"]["closes"] == 4
    for (floor, was, _), (same, now, _) in zip(
        lines(one["before"]), lines(one["after"]), strict=True
    ):
        assert floor == same
        assert was < now <= was * D("1.05"), "it rises no faster than its step"
    browser = signed_in(desk, Role.RISK)
    page = browser.get(reverse("margin:proposal", args=[proposal.pk])).content.decode()
    assert one["after"][0]["initial_rate"] in page
    address = reverse("margin:proposal-ask", args=[proposal.pk])
    assert browser.post(address, {"reason": WHY}).status_code == 302
    approval = Approval.objects.get(action="parameter.terms")
    with pytest.raises(RefusedError):
        agreed(approval.pk, desk[Role.RISK])
    assert not InstrumentTerms.objects.filter(asset=proposal.asset, version=2).exists()
    agreed(approval.pk, desk[Role.COMPLIANCE])
    assert rate_lines(proposal.asset, day=date(2031, 3, 7)) == one["after"]
    assert rate_lines(proposal.asset, day=date(2031, 3, 6)) == one["before"]
    log = browser.get(reverse("margin:dynamic")).content.decode()
    assert "M. Okafor, J. Moreau" in log
    assert "Applied" in log
    called = {each["account"] for each in one["affected"]["first"]}
    assert len(called) == one["affected"]["called"] <= one["affected"]["scopes"]


def test_a_proposal_whose_ground_has_moved_is_not_applied(days: list[Path], desk: Desk) -> None:
    set_policy(desk, DYNAMIC, FOLLOW)
    run_day(days[1])
    run_day(days[2])
    proposed()
    proposal = MarginProposal.objects.select_related("asset", "parameter_set").get()
    asked = request_proposal(
        proposal, legal_entity=desk.entity, reason=WHY, actor=person(desk[Role.RISK])
    )
    other = request_terms(
        asset=proposal.asset, brackets=[(D(0), D("0.3"), D("0.2"))], effective_from=DAYS[2],
        legal_entity=desk.entity, reason=WHY, actor=person(desk[Role.RISK]),
    )  # fmt: skip
    agreed(other, desk[Role.COMPLIANCE])
    before = rate_lines(proposal.asset, day=date(2031, 3, 8))
    with pytest.raises(RefusedError) as refused:
        agreed(asked, desk[Role.COMPLIANCE])
    assert refused.value.rule == "proposal_follows_the_rates_in_force"
    assert rate_lines(proposal.asset, day=date(2031, 3, 8)) == before
    with pytest.raises(AskRefusedError):
        request_proposal(
            proposal, legal_entity=desk.entity, reason=WHY, actor=person(desk[Role.RISK])
        )


def test_notice_is_given_in_weekdays() -> None:
    assert business_days_after(date(2031, 3, 6), 2) == date(2031, 3, 10)
    assert business_days_after(date(2031, 3, 8), 1) == date(2031, 3, 10)
    assert business_days_after(date(2031, 3, 6), 0) == date(2031, 3, 6)


# ---------------------------------------------------------------- crowds


def test_a_crowded_side_pays_in_runs_gate_and_what_if_and_is_replayed(
    days: list[Path], desk: Desk
) -> None:
    set_policy(desk, CROWDING, HERD)
    run_day(days[1])
    run = MarginRun.objects.get(business_day=DAYS[1])
    found = parts_of_run(run, kinds=["crowding"])
    assert len(found) > 3
    held = [D(part.terms["quantity"]) for part in found]
    count = len(held)
    for part, quantity in zip(found, held, strict=True):
        side = sum((other > 0) == (quantity > 0) for other in held)
        rate = D("0.03") * (D(side) / count - D("0.01")) / D("0.99")
        assert D(part.terms["rate"]) - D("0.000001") < rate <= D(part.terms["rate"])
        assert part.mark is not None
        assert part.amount == abs(quantity) * part.mark.price * D(part.terms["rate"])
        assert part.total == "initial_margin"
    assert replay(run.number).is_same
    first = MarginRun.objects.get(business_day=DAYS[0])
    assert replay(first.number).is_same
    gate = newest_gate()
    for part in found[:3]:
        bucket: Any = part.result.scope.bucket
        required = MarginResult.objects.get(pk=part.result_id).initial_margin
        assert what_if(bucket, Change()).now.initial_margin == required
        assert standing_of(bucket, balances_of(bucket), gate=gate).initial_margin == required
    bucket = found[0].result.scope.bucket
    said = as_json(find_result(run.number, f"{bucket.account.code}/{bucket.code}"))
    (line,) = [
        c for c in said["initial_margin"]["children"] if c["label"] == "Crowding"
    ]  # fmt: skip
    crowd = next(each for each in line["children"][0]["inputs"] if each["what"] == "crowding")
    assert crowd["policy"] == f"crowding {PERP} v1"


def test_a_policy_is_for_an_instrument_that_there_is(days: list[Path], desk: Desk) -> None:
    before = standing()
    for code in ("USD", "NOTHING"):
        with pytest.raises(AskRefusedError):
            set_policy(desk, CROWDING, HERD, code=code)
    assert standing() == before
    asset = Asset.objects.get(code=PERP)
    browser = signed_in(desk, Role.RISK)
    before = standing()
    address = reverse("margin:policy-new", args=[DYNAMIC, asset.pk])
    typed = typed_values(DynamicPolicy, FOLLOW) | {"effective_from": "2031-03-04", "reason": WHY}
    for field, wrong in (("buffer", "0.1"), ("cap", "2"), ("notice_days", "soon")):
        refused = browser.post(address, typed | {field: wrong})
        assert refused.status_code == 422
        assert list(refused.context["form"].errors) == [field]
        assert refused.context["form"]["multiple"].value() == "20.0"
    assert standing() == before
    assert browser.post(address, typed).status_code == 302
    assert browser.get(reverse("margin:dynamic")).status_code == 200
