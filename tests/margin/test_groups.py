"""Accounts that are margined as one: seen before, agreed to by two, and then what the run says."""

from decimal import Decimal
from pathlib import Path

import pytest

from accounts.group_changes import Membership
from accounts.models import Bucket
from brokerage.inbox.cycle import run_day
from margin.explanation import as_json
from margin.group_standing import preview_members, standing_of_group
from margin.models import MarginResult, MarginRun, RunException
from margin.runs import replay
from tests.margin.grouped import changed, fit, group_bucket, made, result_of
from tests.margin.thinking import assert_same, newest_marks, write_day
from tests.margin.under import SECOND_DAY, THIRD_DAY, FirmUnderModels, firm_under_models

D = Decimal


@pytest.fixture
def firm(db: None, tmp_path: Path) -> FirmUnderModels:
    return firm_under_models(tmp_path / "firm")


def run_third_day(firm: FirmUnderModels) -> MarginRun:
    """A day on which nothing happens."""
    marks = {mark.asset.code: mark.price for mark in newest_marks()}
    write_day(firm.days[2], marks, [], day=THIRD_DAY)
    run_day(firm.days[2])
    return MarginRun.objects.get(business_day=THIRD_DAY)


@pytest.mark.parametrize("agreement", ["PLAIN", "PM"])
def test_a_group_is_one_scope_and_the_run_says_what_the_preview_said(
    firm: FirmUnderModels, agreement: str
) -> None:
    members = fit(SECOND_DAY)
    group = made(firm.desk, members[0], agreement, THIRD_DAY)
    seen = preview_members(Membership(group, THIRD_DAY, join=tuple(members)))
    assert seen.refusal is None
    changed(firm.desk, group, THIRD_DAY, join=members)
    run = run_third_day(firm)
    result = result_of(group_bucket(group), run.number)
    assert_same(seen.after["group G1"], result, group_bucket(group))
    inside = Bucket.objects.filter(account__in=members, is_margined=True)
    assert not MarginResult.objects.filter(run=run, scope__bucket__in=inside).exists()
    assert not RunException.objects.filter(run=run, account__in=members).exists()
    assert replay(run.number).is_same
    said = as_json(result)
    assert {child["label"] for child in said["equity"]["children"]} >= {
        f"{account.code}/FREE" for account in members
    }
    stands = standing_of_group(group)
    assert stands.side.initial_margin == result.initial_margin <= stands.alone_initial
    assert stands.side.equity == sum((each.side.equity for each in stands.members), D(0))
