"""Scopes under portfolio models thought of, against the run that follows when it is booked."""

from datetime import UTC, datetime, time
from decimal import Decimal
from pathlib import Path

import pytest
from django.test import Client as Browser
from django.urls import reverse
from django.utils.html import escape

from accounts.audit import Actor, acting
from accounts.models import Bucket, Role
from brokerage.digest import digest
from brokerage.inbox.cycle import run_day
from ledger.horizons import take_horizon
from ledger.models import Asset, Location
from margin.book import read_inputs
from margin.collateral import Payment, deposit
from margin.models import MarginRun, ModelDecision, ShadowResult
from margin.runs import computed
from margin.what_if import Change, WhatIf, what_if
from margin.what_if_ground import WhatIfRefusedError
from tests.accounts.people import sign_in
from tests.margin.kept import code_of, parts_of_results
from tests.margin.thinking import assert_same, thought_then_booked
from tests.margin.under import (
    CODE,
    PERPETUAL,
    SECOND_DAY,
    THIRD_DAY,
    FirmUnderModels,
    decide,
    firm_under_models,
    results_of,
)

D = Decimal
# What looks back is required other things once another day is past.
LOOK_BACK = {"value-at-risk"}


@pytest.fixture
def firm(db: None, tmp_path: Path) -> FirmUnderModels:
    return firm_under_models(tmp_path / "firm")


def under(model: str, *, holding: str = "") -> list[Bucket]:
    """Scopes under a model that are required something, and whose parts name such an asset."""
    return [
        bucket
        for bucket, result in results_of(SECOND_DAY).items()
        if result.agreement_version.model == model
        and result.initial_margin > 0
        and (not holding or holding in map(code_of, parts_of_results([result])))
    ]


# ---------------------------------------------------------------- equal to the next run


def test_without_a_change_both_sides_are_the_newest_run(firm: FirmUnderModels) -> None:
    for bucket, result in list(results_of(SECOND_DAY).items())[::2]:
        said = what_if(bucket, Change(), has_points=False)
        assert_same(said.now, result, bucket)
        assert_same(said.after, result, bucket)


def test_what_is_shown_is_what_the_next_run_says(firm: FirmUnderModels) -> None:
    known = results_of(SECOND_DAY)
    looking = {b.pk for b, r in known.items() if r.agreement_version.model not in LOOK_BACK}
    equal = thought_then_booked(
        firm.days[2], seed=5, day=THIRD_DAY, of=lambda bucket: bucket.pk in looking
    )
    models = {side.parameter_set.split()[0] for side in equal.values() if side.parameter_set}
    assert models == {"scenario", "tiers", "delta"}
    assert len(equal) >= 20


@pytest.mark.soak
@pytest.mark.parametrize("seed", [1, 2])
def test_hundreds_of_changes_under_models_are_what_the_next_run_says(
    db: None, tmp_path: Path, seed: int
) -> None:
    firm = firm_under_models(tmp_path / "firm", accounts=330, seed=seed)
    known = results_of(SECOND_DAY)
    looking = {b.pk for b, r in known.items() if r.agreement_version.model not in LOOK_BACK}
    equal = thought_then_booked(
        firm.days[2], seed=seed, day=THIRD_DAY, of=lambda bucket: bucket.pk in looking
    )
    assert len(equal) >= 150


def test_money_thought_of_is_what_a_run_at_the_same_marks_says(firm: FirmUnderModels) -> None:
    as_of = MarginRun.objects.get(business_day=SECOND_DAY).as_of
    buckets = under("value-at-risk")[:3]
    assert buckets
    paid_in = Change(money={"USD": D("250.00")})
    thought = {b: what_if(b, paid_in, has_points=False).after for b in buckets}
    for place, bucket in enumerate(buckets):
        paid = Payment(
            key=f"D{place}", bucket=bucket, asset=Asset.objects.get(code="USD"),
            amount=D("250.00"), location=Location.objects.get(code="bank:client-usd"),
            reference=f"D{place}",
            effective_at=datetime.combine(SECOND_DAY, time(12), tzinfo=UTC),
        )  # fmt: skip
        deposit(paid, actor=Actor.job("test"), reason="A wire of the morning")
    with acting(Actor.job("test"), reason="Horizon for a run"):
        horizon = take_horizon("test")
    done = computed(read_inputs(horizon_id=horizon.pk, as_of=as_of))
    places = {row.bucket_id: n for n, row in enumerate(done.charged.read.scopes)}
    for bucket, after in thought.items():
        place = places[bucket.pk]
        assert after.equity == done.result.equity[place]
        assert after.initial_margin == done.result.initial_margin[place]
        assert after.maintenance_margin == done.result.maintenance_margin[place]
        assert after.state == done.result.state_of(place)


def test_another_model_says_what_it_says_where_it_is_watched(firm: FirmUnderModels) -> None:
    shadows = ShadowResult.objects.filter(run__business_day=SECOND_DAY).select_related(
        "scope__bucket__account", "parameter_set"
    )
    seen: dict[str, int] = {}
    for shadow in shadows.order_by("pk"):
        model, bucket = shadow.parameter_set.model, shadow.scope.bucket
        assert bucket is not None
        if seen.get(model, 0) >= 4:
            continue
        seen[model] = seen.get(model, 0) + 1
        change = Change(model=(model, CODE))
        if shadow.refusal:
            with pytest.raises(WhatIfRefusedError) as refused:
                what_if(bucket, change)
            assert (refused.value.rule, refused.value.detail) == ("model_refused", shadow.refusal)
            continue
        after = what_if(bucket, change, has_points=False).after
        assert after.initial_margin == shadow.initial_margin
        assert after.maintenance_margin == shadow.maintenance_margin
        assert (after.binding, after.parameter_set) == (shadow.binding, str(shadow.parameter_set))
    assert len(seen) == 8


def test_house_rules_instead_are_the_agreements_that_name_them(firm: FirmUnderModels) -> None:
    (bucket, *_) = under("scenario", holding=PERPETUAL)
    said = what_if(bucket, Change(model=("house-rules", "v1")))
    assert said.now.parameter_set
    assert not said.after.parameter_set
    kinds = {part.kind.name for part in said.after.components if part.total != "equity"}
    assert kinds <= {"IM_SECURITY", "MM_SECURITY", "IM_PERPETUAL", "MM_PERPETUAL"}
    as_cash = what_if(bucket, Change(model=("house-rules", "v1"), mode="cash"))
    assert as_cash.after.initial_margin == 0
    assert as_cash.after.equity == said.after.equity


# ---------------------------------------------------------------- prices, refusals


def test_a_price_moves_the_market_and_leaves_the_past(firm: FirmUnderModels) -> None:
    (bucket, *_) = under("value-at-risk", holding=PERPETUAL)
    now = what_if(bucket, Change()).now
    double = what_if(bucket, Change(prices={PERPETUAL: mark_of(bucket, PERPETUAL) * 2})).after
    assert double.initial_margin != now.initial_margin
    assert double.equity != now.equity


def mark_of(bucket: Bucket, code: str) -> Decimal:
    return what_if(bucket, Change(prices={code: D(1)})).ground.marks[code]


def test_what_cannot_be_said_is_refused_and_nothing_moves(firm: FirmUnderModels) -> None:
    (bucket, *_) = under("delta")
    before = digest()
    for change, rule in (
        (Change(model=("delta", "NOTHING")), "unknown_model"),
        (Change(model=("fortune", CODE)), "unknown_model"),
        (Change(mode="isolated"), "invalid"),
        (Change(volatilities={PERPETUAL: D("0.5")}), "invalid"),
        (Change(volatilities={PERPETUAL: D(0)}), "invalid"),
    ):
        with pytest.raises(WhatIfRefusedError) as refused:
            what_if(bucket, change)
        assert refused.value.rule == rule, change
    assert digest() == before


def test_a_retired_model_is_refused_by_name(firm: FirmUnderModels) -> None:
    (bucket, *_) = under("delta")
    decide(firm.desk, "delta", ModelDecision.Standing.SHADOW, SECOND_DAY.replace(day=5))
    what_if(bucket, Change())
    run_day(firm.days[2])
    with pytest.raises(WhatIfRefusedError) as refused:
        what_if(bucket, Change())
    assert refused.value.rule == "model_not_in_use"


# ---------------------------------------------------------------- liquidation points


def test_every_point_leaves_equity_at_the_level_of_maintenance(firm: FirmUnderModels) -> None:
    seen: dict[str, int] = {}
    jumps = 0
    for model in ("scenario", "value-at-risk", "tiers", "delta"):
        for bucket in under(model)[:2]:
            said = what_if(bucket, Change())
            for code, points in said.now.liquidation.items():
                for price in filter(None, (points.below, points.above)):
                    equity, level = at(said, bucket, code, price)
                    assert abs(equity - level) <= D("1e-9") * max(abs(equity), level)
                    seen[model] = seen.get(model, 0) + 1
                for price in filter(None, (points.jumps_below, points.jumps_above)):
                    equity, level = at(said, bucket, code, price)
                    assert equity < level
                    closer = price + (said.ground.marks[code] - price) * D("1e-8")
                    equity, level = at(said, bucket, code, round(closer, 18))
                    assert equity >= level
                    jumps += 1
    assert len(seen) >= 3, "points of few models were looked at"


def test_points_are_searched_under_a_model_only_where_they_are_asked_for(
    firm: FirmUnderModels,
) -> None:
    bucket = next(each for each in under("delta") if what_if(each, Change()).now.liquidation)
    by_house_rules = Change(model=("house-rules", "v1"))
    said = what_if(bucket, by_house_rules, has_points=None)
    assert said.now.liquidation == {}
    assert said.after.liquidation != {}, "house rules have a formula"
    assert said.after == what_if(bucket, by_house_rules).after
    without = what_if(bucket, Change(), has_points=False).now
    assert said.now == without


def test_the_page_answers_first_and_asks_for_searched_points_by_itself(
    firm: FirmUnderModels,
) -> None:
    bucket = next(each for each in under("delta") if what_if(each, Change()).now.liquidation)
    browser = Browser()
    sign_in(browser, firm.desk[Role.RISK])
    address = reverse("margin:what-if", args=[bucket.account.code])
    first = browser.get(address, {"bucket": bucket.code, "money1-asset": "USD"})
    assert (first.context["said"].now.liquidation, first.context["points"]) == ({}, [])
    search = first.context["search"]
    assert f'hx-get="{escape(search)}" hx-trigger="load"' in first.content.decode()
    assert "money1-asset=USD" in search, "the second request thinks of the same"
    part = browser.get(search, headers={"HX-Request": "true"})
    assert b"<html" not in part.content
    assert b"hx-trigger" not in part.content, "it asks once"
    points = what_if(bucket, Change()).now.liquidation
    assert {row.asset: row.now for row in part.context["points"]} == dict(points)
    whole = browser.get(search)
    assert whole.context["points"] == part.context["points"], "without scripts the link shows them"


def at(said: WhatIf, bucket: Bucket, code: str, price: Decimal) -> tuple[Decimal, Decimal]:
    """Equity and the liquidation level of a scope at another price."""
    moved = what_if(bucket, Change(prices={code: price}), has_points=False).after
    return moved.equity, said.agreement.liquidation_level * moved.maintenance_margin
