"""Crowded sides: what many liquidation points in one place, one side, or one book cost."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from margin.engine.components import ComponentKind, component_of
from margin.engine.crowding import (
    Crowd,
    CrowdingPolicy,
    HoldingRow,
    Point,
    crowds,
    greatest_cluster,
)
from margin.engine.gate import scope_equity_and_initial
from margin.engine.hashing import inputs_hash
from margin.engine.house_rules import evaluate
from margin.engine.inputs import ClaimRow, PositionRow, SurchargeRow, house_rules_input
from margin.engine.policies import CROWDING, POLICIES
from margin.engine.rejected import RejectedInputError
from tests.margin.engine.firm import ASSETS, PERP, numbers, scope

D = Decimal
POLICY = CrowdingPolicy(
    holders_least=5, band=0.02, cluster_from=0.25, cluster_rate=0.1, herd_from=0.8, herd_rate=0.0,
    open_interest=0.0, interest_from=0.1, interest_rate=0.0,
)  # fmt: skip
SPREAD = ("5000", "5500", "6000", "6500", "7000", "7500", "8000", "8500", "9000", "9500")
CLUSTERED = ("9000", "9050", "9100", "9180", "5000", "5500", "6000", "6500", "7000", "7500")


def longs(prices: tuple[str, ...]) -> list[HoldingRow]:
    return [HoldingRow(D(1), D(price)) for price in prices]


def test_two_fifths_of_the_points_within_two_percent_cost_and_spreading_them_does_not() -> None:
    (crowd,) = crowds(longs(CLUSTERED), policy=POLICY)
    # 40 % are 15 points above 25 %, a fifth of what there is above it: a fifth of 10 %.
    assert (crowd.side, crowd.rate) == (1, D("0.02"))
    assert [(m.name, m.share) for m in crowd.measures] == [("cluster", D("0.4"))]
    assert crowds(longs(SPREAD), policy=POLICY) == []


def test_a_band_reaches_from_a_point_up_and_no_further() -> None:
    points = [Point(D(price), 1) for price in ("100", "101", "102", "102.01")]
    assert greatest_cluster(points, side=1, band=D("0.02")) == 3
    assert greatest_cluster(points, side=-1, band=D("0.02")) == 0
    assert greatest_cluster([*points, Point(D("102"), -1)], side=-1, band=D("0.02")) == 4
    assert greatest_cluster([], side=1, band=D("0.02")) == 0


def test_few_holders_are_no_crowd() -> None:
    assert crowds(longs(CLUSTERED[:4]), policy=POLICY) == []


def test_exactly_the_threshold_is_not_above_it() -> None:
    third = replace(POLICY, cluster_from=0.4)
    assert crowds(longs(CLUSTERED), policy=third) == []


def test_a_herd_pays_and_the_other_side_does_not() -> None:
    policy = replace(POLICY, cluster_rate=0.0, herd_rate=0.05)
    held = [*longs(SPREAD[:9]), HoldingRow(D(-1), None)]
    (crowd,) = crowds(held, policy=policy)
    assert (crowd.side, crowd.rate) == (1, D("0.025"))


def test_our_share_of_the_market_costs_by_side() -> None:
    policy = replace(POLICY, cluster_rate=0.0, open_interest=20.0, interest_rate=0.09)
    (crowd,) = crowds([*longs(SPREAD[:9]), HoldingRow(D(-1), None)], policy=policy)
    # Nine of twenty are 35 points above 10 %: 35 of 90 of 9 %.
    assert (crowd.side, crowd.rate) == (1, D("0.035"))


@given(st.lists(numbers("1", "20000", 2), min_size=5, max_size=12), numbers("0.5", "3", 2))
def test_the_rate_does_not_depend_on_order_or_on_the_unit_of_prices(
    prices: list[Decimal], unit: Decimal
) -> None:
    def asked(listed: list[Decimal]) -> list[Crowd]:
        return crowds([HoldingRow(D(2), price) for price in listed], policy=POLICY)

    assert asked(prices) == asked(prices[::-1]) == asked([price * unit for price in prices])
    assert all(0 < crowd.rate <= D("0.1") for crowd in asked(prices))


@given(st.lists(numbers("1", "20000", 2), min_size=1, max_size=12))
def test_the_greatest_cluster_is_that_of_plain_loops(prices: list[Decimal]) -> None:
    by_hand = max(sum(p <= q <= p * D("1.02") for q in prices) for p in prices)
    points = [Point(price, 1) for price in prices]
    assert greatest_cluster(points, side=1, band=D("0.02")) == by_hand


# ---------------------------------------------------------------- as a line of a run


def test_crowding_is_a_line_of_initial_margin_and_none_of_maintenance() -> None:
    rows = {
        "assets": ASSETS,
        "scopes": [scope("A/FREE")],
        "claims": [ClaimRow("A/FREE", "USD", D(10_000))],
        "positions": [PositionRow("A/FREE", "BTC-PERP", D("-0.5"), D(9100))],
    }
    quiet, plain = house_rules_input(**rows, surcharges=()), house_rules_input(**rows)
    assert inputs_hash(quiet) == inputs_hash(plain)
    crowded = house_rules_input(
        **rows, surcharges=[SurchargeRow("A/FREE", 0, D("0.02"), (("side", "short"),))]
    )
    assert inputs_hash(crowded) != inputs_hash(plain)
    before, after = evaluate(plain), evaluate(crowded)
    assert after.initial_margin[0] - before.initial_margin[0] == D("0.5") * PERP.mark * D("0.02")
    assert after.maintenance_margin[0] == before.maintenance_margin[0]
    line = next(p for p in after.components.of(0) if p.kind is ComponentKind.CROWDING)
    assert line.terms()["facts"] == {"side": "short"}
    read = component_of(kind="crowding", asset=line.asset, amount=line.amount, terms=line.terms())
    assert read == line._replace(row=None)
    gate = scope_equity_and_initial(
        claims={"USD": D(10_000)}, positions={"BTC-PERP": (D("-0.5"), D(9100))}, loan=D(0),
        is_cash_account=False, marks={a.name: a.mark for a in ASSETS},
        terms={a.name: a.terms for a in ASSETS}, crowding={("BTC-PERP", -1): D("0.02")},
    )  # fmt: skip
    assert (gate.initial_margin, gate.equity) == (after.initial_margin[0], after.equity[0])


@pytest.mark.parametrize(
    "wrong",
    [{"band": 0.0}, {"cluster_from": 1.0}, {"cluster_rate": 0.0}, {"holders_least": 1}],
    ids=str,
)
def test_what_is_no_policy_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(RejectedInputError):
        replace(POLICY, **wrong)  # type: ignore[arg-type]


def test_the_standard_policy_is_one() -> None:
    standard = POLICIES[CROWDING].standard
    assert POLICIES[CROWDING].parameters(**standard) == POLICY
