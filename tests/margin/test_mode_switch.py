"""An account under another way of margining: seen before, agreed to, and then what the run says."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest
from django.test import Client as Browser
from django.urls import reverse

from accounts.agreements import request_signature
from accounts.approvals import describe
from accounts.audit import RefusedError
from accounts.models import AccountAgreement, Agreement, Approval, Bucket, MarginAccount, Role
from brokerage.digest import digest
from brokerage.inbox.cycle import run_day
from margin.holding import balances_of
from margin.mode_switch import BREACH, Switch, preview_pooled, preview_switch
from margin.scope_frame import holding_of
from margin.what_if_ground import WhatIfRefusedError
from tests.accounts.people import person, sign_in
from tests.ledger.agreeing import agreed, standing
from tests.margin.thinking import assert_same, newest_marks, write_day
from tests.margin.under import (
    SECOND_DAY,
    THIRD_DAY,
    WHY,
    FirmUnderModels,
    firm_under_models,
    results_of,
)

D = Decimal
API = "/api/margin-mode/"


@pytest.fixture
def firm(db: None, tmp_path: Path) -> FirmUnderModels:
    return firm_under_models(tmp_path / "firm")


def accounts_under(model: str) -> list[MarginAccount]:
    """Accounts of clients with something required of them by a model."""
    found = {
        bucket.account.code: bucket.account
        for bucket, result in results_of(SECOND_DAY).items()
        if result.agreement_version.model == model
        and result.initial_margin > 0
        and bucket.account.owner_class == "CLIENT"
    }
    return [found[code] for code in sorted(found)]


def previewed(account: MarginAccount, code: str) -> Switch:
    agreement = Agreement.objects.get(code=code)
    return preview_switch(account, agreement, day=THIRD_DAY, has_points=False)


def asked(firm: FirmUnderModels, account: MarginAccount, code: str) -> UUID:
    return request_signature(
        account=account, agreement=Agreement.objects.get(code=code), effective_from=THIRD_DAY,
        reason=WHY, actor=person(firm.desk[Role.RISK]),
    )  # fmt: skip


def test_what_was_previewed_is_what_the_next_run_says(firm: FirmUnderModels) -> None:
    switched: dict[str, Switch] = {}
    wanted = [("tiers", "PLAIN"), ("scenario", "PM"), ("value-at-risk", "PM"), ("delta", "PLAIN")]
    for model, code in wanted:
        for account in accounts_under(model)[:2]:
            said = previewed(account, code)
            if said.refusal is None:
                agreed(asked(firm, account, code), firm.desk[Role.COMPLIANCE])
                switched[account.code] = said
    assert {said.after.mode for said in switched.values()} >= {"portfolio"}
    marks = {mark.asset.code: mark.price for mark in newest_marks()}
    write_day(firm.days[2], marks, [], day=THIRD_DAY)
    run_day(firm.days[2])
    compared = 0
    for bucket, result in results_of(THIRD_DAY).items():
        if bucket.account.code in switched:
            said = switched[bucket.account.code]
            assert_same(said.after.sides[bucket.code], result, bucket)
            assert result.agreement_version == said.after.terms
            compared += 1
    assert compared >= 4


def test_now_is_what_the_newest_run_said(firm: FirmUnderModels) -> None:
    for bucket, result in list(results_of(SECOND_DAY).items())[:12]:
        assert_same(previewed(bucket.account, "PLAIN").now.sides[bucket.code], result, bucket)


def test_a_switch_that_breaches_is_refused_and_nothing_moves(firm: FirmUnderModels) -> None:
    refused = 0
    for account in [*accounts_under("tiers"), *accounts_under("scenario")][:6]:
        said = previewed(account, "HARSH")
        if said.refusal is None:
            continue
        assert said.refusal[0] == BREACH
        assert any(side.equity < side.initial_margin for side in said.after.sides.values())
        before = standing()
        with pytest.raises(RefusedError) as told:
            asked(firm, account, "HARSH")
        assert told.value.rule == BREACH
        assert standing() == before
        refused += 1
    assert refused


def test_nobody_switches_an_account_alone(firm: FirmUnderModels) -> None:
    account = next(a for a in accounts_under("tiers") if previewed(a, "PM").refusal is None)
    approval = asked(firm, account, "PM")
    fields = {each.label: each for each in describe(Approval.objects.get(pk=approval)).fields}
    assert any(label.endswith("initial margin") for label in fields)
    with pytest.raises(RefusedError):
        agreed(approval, firm.desk[Role.RISK])
    assert not AccountAgreement.objects.filter(account=account, agreement__code="PM").exists()


def test_a_switch_is_looked_at_again_when_it_is_agreed_to(firm: FirmUnderModels) -> None:
    day = THIRD_DAY + timedelta(days=1)
    account = next(a for a in accounts_under("tiers") if previewed(a, "PM").refusal is None)
    approval = request_signature(
        account=account, agreement=Agreement.objects.get(code="PM"), effective_from=day,
        reason=WHY, actor=person(firm.desk[Role.RISK]),
    )  # fmt: skip
    held: dict[str, Decimal] = {}
    for bucket in Bucket.objects.filter(account=account, is_margined=True):
        for code, position in holding_of(bucket).positions.items():
            held[code] = held.get(code, D(0)) + position.quantity
    against = {True: D("0.55"), False: D("1.6")}
    marks = {
        mark.asset.code: (mark.price * against[held[mark.asset.code] > 0]).quantize(D("0.01"))
        if held.get(mark.asset.code)
        else mark.price
        for mark in newest_marks()
    }
    write_day(firm.days[2], marks, [], day=THIRD_DAY)
    run_day(firm.days[2])
    said = preview_switch(account, Agreement.objects.get(code="PM"), day=day, has_points=False)
    assert said.refusal is not None
    before = standing()
    with pytest.raises(RefusedError) as told:
        agreed(approval, firm.desk[Role.COMPLIANCE])
    assert told.value.rule == BREACH
    assert standing() == before
    assert not AccountAgreement.objects.filter(account=account, agreement__code="PM").exists()


def test_all_buckets_as_one_scope_are_only_looked_at(firm: FirmUnderModels) -> None:
    isolated = MarginAccount.objects.filter(mode="isolated").order_by("code")
    for account in isolated[:4]:
        said = preview_pooled(account)
        assert not said.can_be_asked
        (after,) = said.after.sides.values()
        free = balances_of(Bucket.objects.get(account=account, code="FREE")).claims
        assert set(free) <= {"USD"}
        apart = sum((side.equity for side in said.now.sides.values()), D(0))
        assert after.equity == apart + free.get("USD", D(0))
    cross = MarginAccount.objects.filter(mode="cross").order_by("code")[0]
    with pytest.raises(WhatIfRefusedError) as told:
        preview_pooled(cross)
    assert told.value.rule == "not_isolated"


# ---------------------------------------------------------------- on screen, for programs


def test_screen_and_api_show_the_preview_and_ask(firm: FirmUnderModels) -> None:
    browser = Browser()
    sign_in(browser, firm.desk[Role.RISK])
    account = next(a for a in accounts_under("tiers") if previewed(a, "PM").refusal is None)
    address = reverse("margin:mode-switch", args=[account.code])
    typed = {"agreement": "PM", "effective_from": THIRD_DAY.isoformat()}
    before = digest()
    assert browser.get(address).status_code == 200
    page = browser.get(address, typed)
    assert page.status_code == 200
    (name, side), *_ = page.context["said"].after.sides.items()
    assert f"{side.initial_margin:,.2f}" in page.content.decode()
    said = browser.post(
        f"{API}preview/", {"account": account.code, **typed}, content_type="application/json"
    ).json()
    assert said["after"]["mode"] == "portfolio"
    assert D(said["after"]["scopes"][name]["initial_margin"]) == side.initial_margin
    assert digest() == before
    sent = browser.post(address, {**typed, "reason": WHY})
    assert sent.status_code == 302
    assert Approval.objects.filter(subject=f"{account.code} under PM").exists()


def test_a_breach_is_said_with_its_rule(firm: FirmUnderModels) -> None:
    browser = Browser()
    sign_in(browser, firm.desk[Role.RISK])
    account = next(a for a in accounts_under("tiers") if previewed(a, "HARSH").refusal is not None)
    typed = {"agreement": "HARSH", "effective_from": THIRD_DAY.isoformat()}
    address = reverse("margin:mode-switch", args=[account.code])
    assert BREACH in browser.get(address, typed).content.decode()
    assert browser.post(address, {**typed, "reason": WHY}).status_code == 409
    sent = {"account": account.code, **typed, "reason": WHY}
    answer = browser.post(API, sent, content_type="application/json")
    assert (answer.status_code, answer.json()["rule"]) == (409, BREACH)
    shown = browser.post(f"{API}preview/", sent, content_type="application/json").json()
    assert (shown["refusal"], shown["can_be_asked"]) == (BREACH, False)
    assert not Approval.objects.filter(subject=f"{account.code} under HARSH").exists()


def test_what_is_not_there_is_not_found(firm: FirmUnderModels) -> None:
    browser = Browser()
    assert browser.get(reverse("margin:mode-switch", args=["C0001"])).status_code == 302
    sign_in(browser, firm.desk[Role.AUDITOR])
    assert browser.get(reverse("margin:mode-switch", args=["NOBODY"])).status_code == 404
    sent = {"account": "NOBODY", "agreement": "PM", "effective_from": THIRD_DAY.isoformat()}
    for address in (API, f"{API}preview/"):
        assert browser.post(address, sent, content_type="application/json").status_code == 404
    account = accounts_under("tiers")[0]
    sent["account"] = account.code
    sent["reason"] = WHY
    refused = browser.post(API, sent, content_type="application/json")
    assert refused.status_code == 403
    page = browser.get(reverse("margin:mode-switch", args=[account.code]), {"agreement": "PM"})
    assert page.status_code == 422
