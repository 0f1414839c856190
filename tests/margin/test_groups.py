"""Accounts that are margined as one: seen before, agreed to by two, and then what the run says."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.http import HttpRequest
from django.test import Client as Browser
from django.urls import reverse

from accounts.agreements import request_signature
from accounts.audit import Actor, RefusedError, acting, refusals
from accounts.figures import plain
from accounts.group_changes import Membership
from accounts.models import (
    AccountGroup,
    Agreement,
    Approval,
    Bucket,
    GroupMember,
    MarginAccount,
    Role,
)
from accounts.roles import Roles, roles_of
from ledger.horizons import store_horizon
from ledger.models import Asset, Location
from margin.book import read_inputs
from margin.collateral import Payment, WithdrawalRefusedError, withdraw
from margin.column_runs import read_for_run
from margin.engine.house_rules import HouseRulesResult
from margin.explanation import as_json
from margin.free import free_amount
from margin.group_standing import preview_members, standing_of_group
from margin.holding import balances_of, newest_gate, standing_of
from margin.runs import computed, record_run, replay
from margin.scope_standing import Side
from margin.screens.visible import check_account
from margin.what_if import Change, what_if
from margin.what_if_ground import newest_as_of
from tests.accounts.people import person, sign_in
from tests.ledger.agreeing import agreed, standing
from tests.margin.grouped import (
    asked_to,
    changed,
    fit,
    group_bucket,
    made,
    place_of,
    run_now,
)
from tests.margin.under import (
    SECOND_DAY,
    FirmUnderModels,
    firm_under_models,
    put_under,
    register_model,
)

D = Decimal
DESK = Actor.job("test")
NAME = "group G1"


class Linked(NamedTuple):
    """Three accounts of three clients, and a group that they may join."""

    firm: FirmUnderModels
    group: AccountGroup
    members: list[MarginAccount]

    @property
    def joined(self) -> Membership:
        return Membership(self.group, SECOND_DAY, join=tuple(self.members))

    def join(self) -> None:
        changed(self.firm.desk, self.group, SECOND_DAY, join=self.members)

    def leave(self) -> None:
        changed(self.firm.desk, self.group, SECOND_DAY, leave=self.members)


@pytest.fixture(params=["house-rules", "scenario"])
def linked(request: pytest.FixtureRequest, db: None, tmp_path: Path) -> Linked:
    return linked_under(request.param, tmp_path)


@pytest.fixture
def under_rules(db: None, tmp_path: Path) -> Linked:
    return linked_under("house-rules", tmp_path)


def linked_under(model: str, folder: Path) -> Linked:
    firm = firm_under_models(folder / "firm")
    put_under(firm.desk, "LINKED", model, SECOND_DAY, of="STD")
    members = fit(SECOND_DAY)
    assert len({account.client_id for account in members}) == len(members) == 3
    return Linked(firm, made(firm.desk, members[0], "LINKED", SECOND_DAY), members)


def assert_says(side: Side, result: HouseRulesResult, place: int | None) -> None:
    """What was thought of is what the run says, to the last digit."""
    assert place is not None
    assert side.equity == result.equity[place]
    assert side.initial_margin == result.initial_margin[place]
    assert side.maintenance_margin == result.maintenance_margin[place]
    assert side.state == result.state_of(place)
    assert side.call_amount == result.call_amount[place]
    assert list(side.flags) == result.flags_of(place)


def test_a_group_is_one_scope_and_the_run_says_what_the_preview_said(linked: Linked) -> None:
    before = run_now(SECOND_DAY)
    seen = preview_members(linked.joined)
    assert seen.refusal is None
    linked.join()
    done, bucket = run_now(SECOND_DAY), group_bucket(linked.group)
    place = place_of(done, bucket)
    assert_says(seen.after[NAME], done.result, place)
    pooled = Bucket.objects.filter(account__in=linked.members, is_margined=True)
    assert pooled
    assert all(place_of(done, each) is None for each in pooled)
    assert not any(
        each.account_id in {account.pk for account in linked.members}
        for each in done.charged.read.exceptions
    )
    alone = [place_of(before, each) for each in pooled]
    assert done.result.equity[place] == sum(
        (before.result.equity[n] for n in alone if n is not None), D(0)
    )
    # Every balance is in one scope.
    assert len(done.charged.read.scopes) == len(before.charged.read.scopes) - len(pooled)
    for rows in ("claims", "positions", "loans"):
        ids = [each.ledger_account_id for each in getattr(done.charged.read, rows)]
        assert sorted(ids) == sorted(
            each.ledger_account_id for each in getattr(before.charged.read, rows)
        )
        assert len(set(ids)) == len(ids)
    stands = standing_of_group(linked.group)
    assert_says(stands.side, done.result, place)
    # Brackets of house rules ask more of one side together than apart; a model never does.
    assert stands.saved >= 0 or not stands.side.parameter_set
    assert [each.account for each in stands.members] == linked.members


def test_leaving_restores_the_run_bit_for_bit_and_old_horizons_stay(linked: Linked) -> None:
    before = run_now(SECOND_DAY)
    linked.join()
    horizon = store_horizon("test")
    together = computed(read_inputs(horizon_id=horizon.pk, as_of=before.charged.read.as_of))
    assert together.result_sha256 != before.result_sha256
    linked.leave()
    after = run_now(SECOND_DAY)
    assert (after.inputs_sha256, after.result_sha256) == (
        before.inputs_sha256, before.result_sha256,
    )  # fmt: skip
    again = computed(read_inputs(horizon_id=horizon.pk, as_of=before.charged.read.as_of))
    assert (again.inputs_sha256, again.result_sha256) == (
        together.inputs_sha256, together.result_sha256,
    )  # fmt: skip


def test_a_kept_run_replays_and_explains_by_member(linked: Linked) -> None:
    linked.join()
    read = read_for_run(horizon_id=store_horizon("test").pk, as_of=newest_as_of())
    with acting(person(linked.firm.desk[Role.RISK]), reason="A run for a test"):
        run = record_run(read, business_day=SECOND_DAY, purpose="end-of-day")  # type: ignore[arg-type]
    assert replay(run.number).is_same
    result = run.results.select_related(
        "run", "scope__bucket__account", "agreement_version__agreement", "parameter_set"
    ).get(scope__bucket=group_bucket(linked.group))
    said = as_json(result)
    labels = {child["label"] for child in said["equity"]["children"]}
    assert labels >= {f"{account.code}/FREE" for account in linked.members}
    assert result.initial_margin > 0


def test_the_gate_is_the_run_and_what_leaves_a_member_is_the_least_of_both(
    linked: Linked,
) -> None:
    linked.join()
    done = run_now(SECOND_DAY)
    place = place_of(done, group_bucket(linked.group))
    gate, asset = newest_gate(), Asset.objects.get(code="USD")
    for account in linked.members:
        bucket = Bucket.objects.select_related("account").get(account=account, code="FREE")
        held = balances_of(bucket)
        stands = standing_of(bucket, held, gate=gate)
        assert stands.equity == done.result.equity[place]
        assert stands.initial_margin == done.result.initial_margin[place]
        free = free_amount(bucket, asset, gate=gate)
        names = {term.name: term.amount for term in free.terms}
        assert "group_headroom" in names
        assert "initial_margin" not in names
        assert free.amount <= max(D(0), held.claims.get("USD", D(0)))
        with pytest.raises(WithdrawalRefusedError):
            pay_out(bucket, free.amount + 1, "too much")
        assert balances_of(bucket) == held


def pay_out(bucket: Bucket, amount: Decimal, key: str) -> None:
    withdraw(
        Payment(
            key=key, bucket=bucket, asset=Asset.objects.get(code="USD"), amount=amount,
            location=Location.objects.get(code="bank:client-usd"), reference=key,
            effective_at=newest_as_of(),
        ),
        actor=DESK, reason="Paid out in a test",
    )  # fmt: skip


def test_two_members_cannot_both_take_the_groups_headroom(under_rules: Linked) -> None:
    under_rules.join()
    gate, asset = newest_gate(), Asset.objects.get(code="USD")
    taken = 0
    for n, account in enumerate(under_rules.members):
        bucket = Bucket.objects.select_related("account").get(account=account, code="FREE")
        free = free_amount(bucket, asset, gate=gate)
        if free.amount > 0:
            pay_out(bucket, free.amount, f"all {n}")
            taken += 1
    assert taken
    stands = standing_of_group(under_rules.group, has_free=False).side
    assert stands.equity >= stands.initial_margin


def test_what_if_in_a_member_is_about_the_group(linked: Linked) -> None:
    linked.join()
    bucket = Bucket.objects.select_related("account").get(account=linked.members[0], code="FREE")
    said = what_if(bucket, Change(money={"USD": D(1000)}), has_points=False)
    side = standing_of_group(linked.group, has_free=False).side
    assert (said.now.equity, said.now.initial_margin) == (side.equity, side.initial_margin)
    assert said.after.equity == side.equity + 1000
    assert any("group G1" in note for note in said.notes)


# ---------------------------------------------------------------- who may not


def refused(linked: Linked, rule: str, **who: list[MarginAccount]) -> None:
    """A change is refused by its name, when asked or when it would count; nothing moved."""
    before = GroupMember.objects.count()
    with pytest.raises(RefusedError) as told:
        changed(linked.firm.desk, linked.group, SECOND_DAY, **who)
    assert told.value.rule == rule
    assert GroupMember.objects.count() == before


def test_rules_of_members_have_names(under_rules: Linked) -> None:
    desk, first = under_rules.firm.desk, under_rules.members[0]
    alone = made(desk, first, "LINKED", SECOND_DAY, code="G2", guarantee="")
    bare = under_rules._replace(group=alone)
    refused(bare, "clients_are_linked_by_a_guarantee", join=[under_rules.members[1]])
    house = MarginAccount.objects.exclude(owner_class="CLIENT").first()
    if house is not None:
        refused(under_rules, "group_shares_one_owner", join=[house])
    cash = MarginAccount.objects.filter(mode="cash", owner_class="CLIENT").order_by("code")[0]
    refused(under_rules, "cash_account_is_in_no_margin_group", join=[cash])
    assert alone.account is not None
    refused(under_rules, "group_is_no_member", join=[alone.account])
    under_rules.join()
    refused(bare, "account_is_margined_once", join=[first])


def test_nobody_links_accounts_alone(under_rules: Linked) -> None:
    desk, before = under_rules.firm.desk, standing()
    approval = asked_to(desk, under_rules.group, SECOND_DAY, join=under_rules.members)
    with pytest.raises(RefusedError):
        agreed(approval, desk[Role.RISK])
    with (
        pytest.raises(RefusedError) as told,
        acting(person(desk[Role.RISK]), reason="By hand, alone"),
        refusals(),
        connection.cursor() as cursor,
    ):
        cursor.execute(
            "INSERT INTO accounts_groupmember (group_id, account_id, joined_on)"
            " VALUES (%s, %s, %s)",
            [under_rules.group.pk, under_rules.members[0].pk, SECOND_DAY],
        )
    assert told.value.rule == "group_is_changed_by_two"
    assert standing() == before


def test_a_change_that_breaches_is_refused_and_nothing_moves(under_rules: Linked) -> None:
    desk = under_rules.firm.desk
    register_model(
        desk, "delta", SECOND_DAY, is_used=True, code="HARSH2",
        shock=1.0, residual=1.0, maintenance_share=1.0,
    )  # fmt: skip
    put_under(desk, "HARSH2", "delta", SECOND_DAY, of="STD", parameters="HARSH2")
    group = made(desk, under_rules.members[0], "HARSH2", SECOND_DAY, code="G3")
    harsh = under_rules._replace(group=group)
    said = preview_members(harsh.joined)
    assert said.after["group G3"].equity < said.after["group G3"].initial_margin
    refused(harsh, "group_keeps_initial_margin", join=under_rules.members)


def test_other_terms_of_a_group_are_looked_at_with_all_that_it_holds(under_rules: Linked) -> None:
    desk = under_rules.firm.desk
    under_rules.join()
    register_model(
        desk, "delta", SECOND_DAY, is_used=True, code="HARSH2",
        shock=1.0, residual=1.0, maintenance_share=1.0,
    )  # fmt: skip
    put_under(desk, "HARSH2", "delta", SECOND_DAY, of="STD", parameters="HARSH2")
    assert under_rules.group.account is not None
    with pytest.raises(RefusedError) as told:
        request_signature(
            account=under_rules.group.account, agreement=Agreement.objects.get(code="HARSH2"),
            effective_from=SECOND_DAY + timedelta(days=1), reason="A harsher model for all",
            actor=person(desk[Role.RISK]),
        )  # fmt: skip
    assert told.value.rule == "switch_keeps_initial_margin"


# ---------------------------------------------------------------- on screen, for programs


def test_screens_and_api_show_the_group_and_ask(under_rules: Linked) -> None:
    browser, desk = Browser(), under_rules.firm.desk
    sign_in(browser, desk[Role.RISK])
    codes = [account.code for account in under_rules.members]
    page = reverse("margin:group-members", args=["G1"])
    asked = {"join": codes, "day": SECOND_DAY.isoformat()}
    looked = browser.get(page, asked)
    assert looked.status_code == 200
    assert b"group G1" in looked.content
    sent = browser.post(page, {**asked, "reason": "They signed the guarantee"})
    assert sent.status_code == 302
    agreed(
        Approval.objects.filter(action="group.member").latest("made_at").pk, desk[Role.COMPLIANCE]
    )
    assert {each.account.code for each in GroupMember.objects.select_related("account")} == {*codes}
    for address in (reverse("margin:groups"), reverse("margin:group", args=["G1"])):
        shown = browser.get(address)
        assert shown.status_code == 200
        assert b"G1" in shown.content
    account = browser.get(reverse("margin:account", args=[codes[0]]))
    assert reverse("margin:group", args=["G1"]).encode() in account.content
    said = browser.get("/api/margin-groups/G1/").json()
    stands = standing_of_group(under_rules.group)
    assert said["together"]["initial_margin"] == plain(stands.side.initial_margin)
    assert [each["account"] for each in said["members"]] == codes
    left = browser.post(
        "/api/margin-groups/G1/preview/",
        {"leave": codes[:1], "day": SECOND_DAY.isoformat()}, content_type="application/json",
    )  # fmt: skip
    assert left.status_code == 200
    assert f"{codes[0]}/FREE" in left.json()["after"]
    assert browser.get("/api/margin-groups/NONE/").status_code == 404
    assert browser.get(reverse("margin:group-new")).status_code == 200


def test_who_is_limited_to_desks_acts_for_a_group_whose_members_are_all_on_them(
    under_rules: Linked, monkeypatch: pytest.MonkeyPatch
) -> None:
    under_rules.join()
    account, desk = under_rules.group.account, under_rules.firm.desk
    assert account is not None
    request = HttpRequest()
    request.roles = roles_of(desk[Role.OPERATIONS])  # type: ignore[attr-defined]
    monkeypatch.setattr(Roles, "desks", lambda *_: frozenset({"futures", "options"}))

    def may() -> bool:
        try:
            check_account(request, "call.carry", account)  # type: ignore[arg-type]
        except PermissionDenied:
            return False
        return True

    desks = []
    for placed in (["futures"] * 3, ["futures", "options", "futures"], ["futures", "", "futures"]):
        with acting(DESK, reason="A test gives accounts to desks"):
            for member, name in zip(under_rules.members, placed, strict=True):
                MarginAccount.objects.filter(pk=member.pk).update(desk=name)
        desks.append(may())
    assert desks == [True, True, False]
    with acting(DESK, reason="A test gives the group itself to a desk"):
        MarginAccount.objects.filter(pk=account.pk).update(desk="futures")
    assert not may(), "one of its members is of no desk that the person has"
