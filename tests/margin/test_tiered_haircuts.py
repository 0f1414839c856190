"""Haircuts with tiers: asked by one, agreed by another, in runs, gate and what-if, replayed."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse

from accounts.approvals import AskRefusedError, describe
from accounts.audit import RefusedError
from accounts.models import Approval, Bucket, LegalEntity, Role
from brokerage.inbox.cycle import run_day
from ledger.models import Asset
from margin.engine.collateral import CollateralTerms, ConcentrationTier, HaircutTier
from margin.engine.collateral_schedule import read_schedule
from margin.engine.inputs import MoneyTerms
from margin.explanation import as_json, find_result
from margin.holding import ScopeBalances, balances_of, newest_gate, standing_of
from margin.models import Haircut, HaircutSchedule, MarginRun, Mark, ResultComponent
from margin.parameters import request_haircut
from margin.preview import of_request, preview
from margin.releases import InitialMarginGate, Portfolios
from margin.runs import replay
from margin.spare import units_of
from margin.terms import terms_in_force
from margin.what_if import Change, what_if
from tests.accounts.people import Desk, found_desk, person, sign_in
from tests.accounts.raw import act
from tests.accounts.raw import refused as raw_refused
from tests.ledger.agreeing import agreed, standing
from tests.margin.kept import code_of, parts_of_results, parts_of_run
from tests.stage import booked_days

D = Decimal
DAYS = (date(2031, 3, 3), date(2031, 3, 4), date(2031, 3, 5))
WHY = "Sizes grew beyond what the market takes in a day"
FLAT = {"concentration": [], "peg": [], "volatility": None}
TIERS = FLAT | {
    "tiers": [{"floor": "0", "haircut": "0.2"}, {"floor": "500", "haircut": "0.4"}],
}  # fmt: skip
ALL = TIERS | {
    "peg": [{"below": "1000000", "multiplier": "1.5", "least": "0.1"}],
    "volatility": {
        "estimator": "ewma", "multiple": "3", "horizon_days": 2, "lookback_days": 20,
        "decay": "0.94", "least_days": 5, "without_history": "0.25",
    },
}  # fmt: skip


@pytest.fixture
def days(db: None, tmp_path: Path) -> list[Path]:
    return booked_days(tmp_path / "firm", accounts=30, seed=4, days=3, booked=1)


@pytest.fixture
def desk(days: list[Path]) -> Desk:
    return found_desk(entity=LegalEntity.objects.get())


def asked(desk: Desk, values: dict[str, Any], day: date, *, haircut: str = "0.2") -> Any:
    return request_haircut(
        asset=Asset.objects.get(code="BTC"), haircut=D(haircut), effective_from=day,
        legal_entity=desk.entity, reason=WHY, actor=person(desk[Role.RISK]),
        schedule=read_schedule(values),
    )  # fmt: skip


def set_tiers(desk: Desk, values: dict[str, Any], day: date) -> None:
    agreed(asked(desk, values, day), desk[Role.COMPLIANCE])


def claims_of(run: MarginRun) -> list[ResultComponent]:
    """What money in BTC counts for, scope by scope."""
    return [part for part in parts_of_run(run, kinds=["money_claim"]) if code_of(part) == "BTC"]


def counts(value: Decimal, second: str = "0.4") -> Decimal:
    """Two tiers by hand, the second from 500."""
    low = min(value, D(500))
    return low * D("0.8") + (value - low) * (1 - D(second))


def test_tiers_value_deposits_slice_by_slice_and_runs_of_before_stay(
    days: list[Path], desk: Desk
) -> None:
    set_tiers(desk, TIERS, DAYS[1])
    run_day(days[1])
    run = MarginRun.objects.get(business_day=DAYS[1])
    found = claims_of(run)
    values = [D(part.terms["quantity"]) * part.mark.price for part in found if part.mark]
    assert len(values) == len(found) == 3
    assert any(value > 500 for value in values)
    for part, value in zip(found, values, strict=True):
        assert part.amount == counts(value)
        assert part.haircut is not None
        assert part.haircut.version == 2
    assert replay(run.number).is_same
    first = MarginRun.objects.get(business_day=DAYS[0])
    assert replay(first.number).is_same
    assert all("slices" not in part.terms for part in claims_of(first))


def test_a_change_of_a_tier_moves_equity_by_the_slice_and_nothing_else(
    days: list[Path], desk: Desk
) -> None:
    set_tiers(desk, TIERS, DAYS[1])
    run_day(days[1])
    run = MarginRun.objects.get(business_day=DAYS[1])
    other = FLAT | {"tiers": [TIERS["tiers"][0], {"floor": "500", "haircut": "0.45"}]}
    approval = Approval.objects.get(pk=asked(desk, other, DAYS[2]))
    before = standing()
    found = preview(run, replaced=of_request(approval))
    assert standing() == before, "a preview writes nothing"
    above = {
        part.result.scope_id: D(part.terms["quantity"]) * part.mark.price - 500
        for part in claims_of(run)
        if part.mark and D(part.terms["quantity"]) * part.mark.price > 500
    }
    assert len(found.affected) == len(above) > 0
    lost = sorted(each.before.equity - each.after.equity for each in found.affected)
    assert lost == sorted(value * D("0.05") for value in above.values())
    agreed(approval.pk, desk[Role.COMPLIANCE])
    run_day(days[2])
    for part in claims_of(MarginRun.objects.get(business_day=DAYS[2])):
        assert part.mark is not None
        assert part.amount == counts(D(part.terms["quantity"]) * part.mark.price, "0.45")


def test_gate_what_if_and_run_say_the_same_of_tiers(days: list[Path], desk: Desk) -> None:
    set_tiers(desk, ALL, DAYS[1])
    run_day(days[1])
    run = MarginRun.objects.get(business_day=DAYS[1])
    gate = newest_gate()
    assert isinstance(gate.terms["BTC"], CollateralTerms)
    for part in claims_of(run):
        bucket: Bucket | None = part.result.scope.bucket
        assert bucket is not None
        assert what_if(bucket, Change()).now.equity == part.result.equity
        held = balances_of(bucket)
        assert standing_of(bucket, held, gate=gate).equity == part.result.equity


def test_every_step_is_a_line_that_opens_down_to_its_closes(days: list[Path], desk: Desk) -> None:
    set_tiers(desk, ALL, DAYS[1])
    run_day(days[1])
    run = MarginRun.objects.get(business_day=DAYS[1])
    part = max(claims_of(run), key=lambda each: each.amount)
    kinds = {
        each.kind: each.terms
        for each in parts_of_results([part.result])
        if (code_of(each), each.total) == ("BTC", "equity")
    }
    # Two closes are too few: a quarter is taken where the schedule takes a fifth.
    assert kinds["haircut_volatility"]["facts"]["sigma"] == "too few closes"
    assert kinds["haircut_volatility"]["facts"]["closes"] == "2"
    assert kinds["haircut_peg"]["facts"]["multiplier"] == "1.5"
    bucket: Any = part.result.scope.bucket
    said = as_json(find_result(run.number, f"{bucket.account.code}/{bucket.code}"))
    by_label = {group["label"]: group for group in said["equity"]["children"]}
    peg = by_label["Haircut for a lost peg"]["children"][0]
    assert {each["what"] for each in peg["inputs"]} >= {"mark", "haircut", "haircut_peg", "posting"}
    tiers = next(c for c in by_label["Money"]["children"] if c["label"] == "BTC")["children"]
    assert next(tier["label"] for tier in tiers) == "from 0 to 500"
    assert replay(run.number).is_same


def test_closes_that_come_later_do_not_change_a_run_of_before(days: list[Path], desk: Desk) -> None:
    set_tiers(desk, ALL, DAYS[1])
    run_day(days[1])
    run = MarginRun.objects.get(business_day=DAYS[1])
    seen = terms_in_force(DAYS[1], horizon_id=run.horizon_id).collateral
    volatility = next(iter(seen.values())).volatility
    assert volatility is not None
    assert [close.day for close in volatility.closes] == [date(2031, 2, 28), DAYS[0]]
    mark = Mark.objects.get(asset__code="BTC", business_day=DAYS[0])
    assert volatility.closes[1].price == mark.price
    run_day(days[2])
    assert replay(run.number).is_same


# ---------------------------------------------------------------- two people


def test_without_a_second_person_there_are_no_tiers(days: list[Path], desk: Desk) -> None:
    approval = asked(desk, TIERS, DAYS[1])
    with pytest.raises(RefusedError):
        agreed(approval, desk[Role.RISK])
    assert not HaircutSchedule.objects.exists()
    said = describe(Approval.objects.get(pk=approval))
    assert ("From 500", "none", "0.4") in [tuple(each) for each in said.fields]


def test_tiers_that_begin_with_another_haircut_are_not_asked(days: list[Path], desk: Desk) -> None:
    with pytest.raises(AskRefusedError):
        asked(desk, TIERS, DAYS[1], haircut="0.1")
    assert not Approval.objects.filter(action="parameter.haircut").exists()


def test_the_database_refuses_tiers_that_nobody_agreed_to(
    days: list[Path], desk: Desk, owner: Any
) -> None:
    haircut = Haircut.objects.get(asset__code="BTC")
    before = standing()
    with raw_refused("haircut_is_set_by_two"), act(owner):
        owner.execute(
            "INSERT INTO margin_haircutschedule (haircut_id, values) VALUES (%s, %s)",
            [haircut.pk, '{"tiers": [{"floor": "0", "haircut": "0.2"}]}'],
        )
    assert standing() == before
    set_tiers(desk, TIERS, DAYS[1])
    before = standing()
    for statement in ("UPDATE margin_haircutschedule SET values = '{}'",
                      "DELETE FROM margin_haircutschedule"):  # fmt: skip
        with raw_refused("history_is_append_only"), act(owner):
            owner.execute(statement)
    assert standing() == before


# ---------------------------------------------------------------- screens


def signed_in(desk: Desk, role: Role) -> Browser:
    browser = Browser()
    sign_in(browser, desk[role])
    return browser


def test_risk_types_tiers_and_sees_whom_they_would_call(days: list[Path], desk: Desk) -> None:
    browser = signed_in(desk, Role.RISK)
    asset = Asset.objects.get(code="BTC")
    address = reverse("margin:parameter-new", args=[asset.pk])
    typed = {
        "haircut": "0.2", "effective_from": "2031-03-04", "tiers": "500, 0.4",
        "volatility": "ewma, 3, 2, 20, 0.94, 5, 0.25", "reason": WHY,
    }  # fmt: skip
    for wrong in ({"tiers": "500"}, {"tiers": "500, 0.1"}, {"volatility": "guess, 3"},
                  {"volatility": "ewma, 3, 2, 20, 2, 5, 0.25"}):  # fmt: skip
        assert browser.post(address, typed | wrong).status_code == 422
    assert browser.post(address, typed).status_code == 302
    approval = Approval.objects.get()
    page = browser.get(reverse("margin:parameter", args=[asset.pk])).content.decode()
    preview_at = reverse("margin:parameter-preview", args=[approval.pk])
    assert preview_at in page
    shown = browser.get(preview_at).content.decode()
    bucket: Any = claims_of(MarginRun.objects.get(business_day=DAYS[0]))[0].result.scope.bucket
    assert bucket.account.code in shown
    agreed(approval.pk, desk[Role.COMPLIANCE])
    page = browser.get(reverse("margin:parameter", args=[asset.pk])).content.decode()
    assert "From 500: 0.4" in page
    assert "M. Okafor, J. Moreau" in page
    assert signed_in(desk, Role.ADMINISTRATOR).get(preview_at).status_code in (403, 404)


# ---------------------------------------------------------------- what may leave


def spare_gate(terms: CollateralTerms) -> InitialMarginGate:
    return InitialMarginGate(
        marks={"USD": D(1), "BTC": D(100)}, terms={"USD": MoneyTerms(D(0)), "BTC": terms},
        price_snapshot="", portfolios=Portfolios({}, day=date(2031, 3, 3)),
    )  # fmt: skip


def test_what_may_leave_is_taken_from_the_highest_tier_first() -> None:
    terms = CollateralTerms((HaircutTier(D(0), D("0.2")), HaircutTier(D(500), D("0.4"))))
    held = ScopeBalances({"BTC": D(10), "USD": D(50)}, positions={}, loan=D(0), version=1)
    btc, usd = Asset(code="BTC", scale=8), Asset(code="USD", scale=2)
    gate = spare_gate(terms)
    # The upper five coins count 60 each, the lower ones 80.
    assert units_of(D(60), held, btc, gate) == 1
    assert units_of(D(340), held, btc, gate) == D("5.5")
    assert units_of(D(10_000), held, btc, gate) == 10
    assert units_of(D(20), held, usd, gate) == 20
    assert units_of(D(-3), held, usd, gate) == -3


def test_dollars_that_leave_make_the_rest_more_concentrated() -> None:
    tiers = (HaircutTier(D(0), D(0)),)
    terms = CollateralTerms(tiers, concentration=(ConcentrationTier(D("0.5"), D("0.5")),))
    held = ScopeBalances({"BTC": D(10), "USD": D(1000)}, positions={}, loan=D(0), version=1)
    # A hundred dollars less, and fifty more of the coins exceed half of all, at a half.
    assert units_of(D(125), held, Asset(code="USD", scale=2), spare_gate(terms)) == 100
