"""Tiers of haircuts: exact slices, volatility, concentration, a lost peg; never below schedule."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from margin.engine.collateral import (
    CONCENTRATION,
    PEG,
    SCHEDULE,
    VOLATILITY,
    CloseRow,
    CollateralTerms,
    ConcentrationTier,
    HaircutTier,
    PegTier,
    VolatilityHaircut,
    counted,
)
from margin.engine.collateral_schedule import (
    VolatilityRule,
    collateral_terms,
    read_schedule,
    volatility_haircut,
    written_schedule,
)
from margin.engine.components import ComponentKind, component_of
from margin.engine.exact import exact
from margin.engine.explain import MINUS, TIMES, product
from margin.engine.gate import scope_equity_and_initial
from margin.engine.hashing import inputs_hash, parameters_hash
from margin.engine.house_rules import HouseRulesResult, evaluate
from margin.engine.inputs import AssetRow, ClaimRow, HouseRulesInput, MoneyTerms, house_rules_input
from margin.engine.rejected import RejectedInputError
from margin.engine.volatility import Estimator
from tests.margin.engine.firm import BTC, USD, numbers, scope

D = Decimal
TIERS = (HaircutTier(D(0), D("0.05")), HaircutTier(D(50_000), D("0.10")))
RULE = VolatilityRule(
    estimator=Estimator.SAMPLE, multiple=D(3), horizon_days=4, lookback_days=30, decay=D(0),
    least_days=3, without_history=D("0.5"),
)  # fmt: skip
VALUES: dict[str, Any] = {
    "tiers": [{"floor": "0", "haircut": "0.05"}, {"floor": "50000", "haircut": "0.1"}],
    "concentration": [{"share": "0.5", "addition": "0.1"}],
    "peg": [{"below": "0.98", "multiplier": "2", "least": "0"}],
    "volatility": {
        "estimator": "sample", "multiple": "3", "horizon_days": 4, "lookback_days": 30,
        "decay": "0", "least_days": 3, "without_history": "0.5",
    },
}  # fmt: skip


def closes(*prices: str) -> list[CloseRow]:
    return [CloseRow(date(2031, 3, 3) + timedelta(n), D(price)) for n, price in enumerate(prices)]


def inputs(
    terms: CollateralTerms | MoneyTerms, *, amount: str, price: str = "1", usd: str = "0"
) -> HouseRulesInput:
    """A scope that holds some USDT under these terms, and dollars."""
    return house_rules_input(
        assets=[USD, AssetRow("USDT", terms, D(price))],
        scopes=[scope("A/FREE")],
        claims=[ClaimRow("A/FREE", "USDT", D(amount)), ClaimRow("A/FREE", "USD", D(usd))],
    )


def held(terms: CollateralTerms, **said: str) -> HouseRulesResult:
    return evaluate(inputs(terms, **said))


def lines(result: HouseRulesResult) -> dict[str, Decimal]:
    """Amounts by kind of the parts in USDT."""
    return {p.kind.name: p.amount for p in result.components.of(0) if p.asset == "USDT"}


def test_a_deposit_above_the_first_tier_is_valued_by_tier() -> None:
    below, above = (held(CollateralTerms(TIERS), amount=a) for a in ("50000", "80000"))
    assert below.equity[0] == D("47500")
    assert above.equity[0] == D("50000") * D("0.95") + D("30000") * D("0.90")


def test_another_haircut_of_a_tier_changes_equity_by_exactly_that_slice() -> None:
    before = held(CollateralTerms(TIERS), amount="80000.01")
    other = (TIERS[0], HaircutTier(D(50_000), D("0.25")))
    after = held(CollateralTerms(other), amount="80000.01")
    assert before.equity[0] - after.equity[0] == D("30000.01") * D("0.15")


def test_one_tier_says_what_a_flat_haircut_says() -> None:
    flat = evaluate(inputs(MoneyTerms(D("0.05")), amount="123.45", price="7.1"))
    tiered = held(CollateralTerms(TIERS[:1]), amount="123.45", price="7.1")
    assert tiered.equity[0] == flat.equity[0]


def test_a_flat_haircut_is_fingerprinted_as_ever_and_tiers_otherwise() -> None:
    flat, one = (
        inputs(MoneyTerms(D("0.05")), amount="1"),
        inputs(CollateralTerms(TIERS[:1]), amount="1"),
    )
    assert inputs_hash(flat) != inputs_hash(one)
    hashes = {
        parameters_hash(inputs(terms, amount="1"))
        for terms in (
            CollateralTerms(TIERS),
            CollateralTerms(TIERS[:1]),
            CollateralTerms(TIERS, concentration=(ConcentrationTier(D("0.5"), D("0.1")),)),
            CollateralTerms(TIERS, peg=(PegTier(D("0.98"), D(2), D(0)),)),
            CollateralTerms(TIERS, volatility=volatility_haircut(RULE, closes=closes("1", "1"))),
            CollateralTerms(TIERS, volatility=volatility_haircut(RULE, closes=closes("1", "2"))),
        )
    }
    assert len(hashes) == 6


# ---------------------------------------------------------------- a lost peg


def test_a_stablecoin_at_97_shows_its_multiplier_as_a_line_of_its_own() -> None:
    terms = CollateralTerms(
        TIERS, peg=(PegTier(D("0.99"), D("1.5"), D(0)), PegTier(D("0.98"), D(2), D(0)))
    )
    result = held(terms, amount="100000", price="0.97")
    schedule = D(50_000) * D("0.05") + D(47_000) * D("0.10")
    assert lines(result) == {"MONEY_CLAIM": D(97_000) - schedule, "HAIRCUT_PEG": -schedule}
    line = next(p for p in result.components.of(0) if p.kind is ComponentKind.HAIRCUT_PEG)
    assert line.terms()["facts"] == {"multiplier": "2", "below": "0.98", "least": "0"}
    assert product(line) == f"{MINUS} 50,000 {TIMES} 0.05 {MINUS} 47,000 {TIMES} 0.1"
    assert "HAIRCUT_PEG" not in lines(held(terms, amount="100000", price="0.99"))


def test_no_haircut_at_all_becomes_the_least_one_where_the_peg_is_lost() -> None:
    terms = CollateralTerms((HaircutTier(D(0), D(0)),), peg=(PegTier(D("0.98"), D(2), D("0.2")),))
    assert held(terms, amount="100", price="0.97").equity[0] == D(97) * D("0.8")
    assert held(terms, amount="100", price="0.98").equity[0] == D(98)


# ---------------------------------------------------------------- volatility


def test_a_calm_asset_has_the_haircut_of_its_schedule() -> None:
    calm = volatility_haircut(RULE, closes=closes("1", "1", "1", "1", "1"))
    assert (calm.haircut, calm.sigma) == (D(0), D(0))
    result = held(CollateralTerms(TIERS, volatility=calm), amount="80000")
    assert lines(result) == {"MONEY_CLAIM": D("74500")}


def test_volatility_asks_for_its_multiple_times_the_root_of_the_horizon() -> None:
    # Returns +r, -r, +r, -r of logarithms: the mean is 0, the sample variance 4 r^2 / 3.
    wild = volatility_haircut(RULE, closes=closes("100", "101", "100", "101", "100"))
    by_hand = D(3) * ((D(4) / D(3)).sqrt() * (D(101) / D(100)).ln()) * D(2)
    assert by_hand < wild.haircut < by_hand + D("0.000001")
    result = held(CollateralTerms(TIERS, volatility=wild), amount="80000")
    extra = D(50_000) * max(D(0), wild.haircut - D("0.05"))
    assert lines(result)["HAIRCUT_VOLATILITY"] == -extra
    said = next(p for p in result.components.of(0) if p.kind is ComponentKind.HAIRCUT_VOLATILITY)
    facts = said.terms()["facts"]
    assert (facts["estimator"], facts["closes"], facts["last_close"]) == (
        "sample", "5", "2031-03-07",
    )  # fmt: skip


def test_too_few_closes_are_no_calm() -> None:
    short = volatility_haircut(RULE, closes=closes("1", "1", "1"))
    assert (short.haircut, short.sigma) == (D("0.5"), None)
    assert held(CollateralTerms(TIERS, volatility=short), amount="100").equity[0] == D(50)


def test_only_the_newest_closes_are_looked_back_on() -> None:
    rule = RULE._replace(lookback_days=3)
    shock = closes("1", "5", "5", "5", "5")
    assert volatility_haircut(rule, closes=shock).haircut == D(0)
    assert len(volatility_haircut(rule, closes=shock).closes) == 4


# ---------------------------------------------------------------- concentration


def test_what_exceeds_a_share_of_all_money_counts_for_less() -> None:
    terms = CollateralTerms(TIERS[:1], concentration=(ConcentrationTier(D("0.4"), D("0.3")),))
    result = held(terms, amount="600", usd="400")
    assert lines(result) == {"MONEY_CLAIM": D("570"), "HAIRCUT_CONCENTRATION": D("-60")}
    spread = held(terms, amount="400", usd="600")
    assert lines(spread) == {"MONEY_CLAIM": D("380")}


# ---------------------------------------------------------------- laws


@st.composite
def schedules(draw: st.DrawFn) -> CollateralTerms:
    """Terms with some of everything."""
    floors = sorted({D(0), *draw(st.lists(numbers("1", "90000", 2), max_size=3))})
    haircuts = sorted(draw(numbers("0", "1", 3)) for _ in floors)
    shares = sorted(set(draw(st.lists(numbers("0.01", "0.99", 2), max_size=2))))
    additions = sorted(draw(numbers("0", "1", 2)) for _ in shares)
    below = sorted(set(draw(st.lists(numbers("0.5", "1", 2), max_size=3))), reverse=True)
    multiples = sorted(draw(numbers("1", "9", 1)) for _ in below)
    least = sorted(draw(numbers("0", "1", 2)) for _ in below)
    volatility = VolatilityHaircut(draw(numbers("0", "1", 6)), D(0), "sample", D(1), 1, ())
    return CollateralTerms(
        tiers=tuple(map(HaircutTier, floors, haircuts)),
        volatility=draw(st.sampled_from([None, volatility])),
        concentration=tuple(map(ConcentrationTier, shares, additions)),
        peg=tuple(map(PegTier, below, multiples, least)),
    )


@given(schedules(), numbers("0", "200000", 2), numbers("0.4", "1.2", 3), numbers("0", "90000", 2))
def test_money_counts_for_no_less_than_nothing_and_no_more_than_its_schedule(
    terms: CollateralTerms, amount: Decimal, price: Decimal, rest: Decimal
) -> None:
    with exact():
        value = amount * price
        said = counted(value, price=price, pool=value + rest, terms=terms)
        assert 0 <= said.amount <= value - said.taken(SCHEDULE) <= value
        assert all(said.taken(step) >= 0 for step in (VOLATILITY, CONCENTRATION, PEG))
        assert sum(s.stop - s.start for s in said.steps[SCHEDULE]) == value


@given(schedules(), numbers("0", "100000", 2), numbers("0", "100000", 2), numbers("0.4", "1.2", 3))
def test_more_of_it_never_counts_for_less_where_nothing_is_concentrated(
    terms: CollateralTerms, amount: Decimal, more: Decimal, price: Decimal
) -> None:
    alone = CollateralTerms(terms.tiers, terms.volatility, (), terms.peg)
    with exact():
        one, two = (
            counted(a * price, price=price, pool=a * price, terms=alone).amount
            for a in (amount, amount + more)
        )
        assert two >= one


@given(schedules(), numbers("0", "200000", 2), numbers("0.4", "1.2", 3), numbers("0", "90000", 2))
def test_the_gate_says_what_the_run_says(
    terms: CollateralTerms, amount: Decimal, price: Decimal, usd: Decimal
) -> None:
    result = evaluate(inputs(terms, amount=str(amount), price=str(price), usd=str(usd)))
    gate = scope_equity_and_initial(
        claims={"USDT": amount, "USD": usd}, positions={}, loan=D(0), is_cash_account=False,
        marks={"USD": D(1), "USDT": price}, terms={"USD": MoneyTerms(D(0)), "USDT": terms},
    )  # fmt: skip
    assert gate.equity == result.equity[0]


@given(schedules(), numbers("0.01", "200000", 2), numbers("0.4", "1.2", 3))
def test_what_is_stored_of_a_part_reads_back_as_the_part(
    terms: CollateralTerms, amount: Decimal, price: Decimal
) -> None:
    result = held(terms, amount=str(amount), price=str(price))
    for part in result.components.of(0):
        said = component_of(
            kind=part.kind.name.lower(), asset=part.asset, amount=part.amount, terms=part.terms()
        )
        assert said == part._replace(row=None)


# ---------------------------------------------------------------- what is no schedule


def test_a_schedule_reads_back_as_it_was_written() -> None:
    schedule = read_schedule(VALUES)
    assert written_schedule(schedule) == VALUES
    assert collateral_terms(schedule, closes=closes("1", "1")).tiers == TIERS


@pytest.mark.parametrize(
    "wrong",
    [
        {"tiers": []},
        {"tiers": [{"floor": "1", "haircut": "0.1"}]},
        {"tiers": [{"floor": "0", "haircut": "1.1"}]},
        {"tiers": [{"floor": "0", "haircut": 0.1}]},
        {"tiers": [{"floor": "0", "haircut": "NaN"}]},
        {"tiers": [{"floor": "0", "haircut": "0.2"}, {"floor": "5", "haircut": "0.1"}]},
        {"tiers": [{"floor": "0", "haircut": "0.1"}, {"floor": "0", "haircut": "0.2"}]},
        {"tiers": [{"floor": "0", "haircut": "0"}]},
        {"concentration": [{"share": "1", "addition": "0.1"}]},
        {"concentration": [{"share": "0.5"}]},
        {"peg": [{"below": "0.98", "multiplier": "0.9", "least": "0"}]},
        {"peg": [
            {"below": "0.9", "multiplier": "2", "least": "0"},
            {"below": "0.98", "multiplier": "3", "least": "0"},
        ]},
        {"volatility": VALUES["volatility"] | {"estimator": "guess"}},
        {"volatility": VALUES["volatility"] | {"multiple": "0"}},
        {"volatility": VALUES["volatility"] | {"estimator": "ewma"}},
        {"volatility": VALUES["volatility"] | {"least_days": 31}},
        {"volatility": VALUES["volatility"] | {"horizon_days": "4"}},
        {"extra": 1},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_schedule_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(RejectedInputError):
        read_schedule(VALUES | wrong)


def test_other_money_is_valued_as_before_beside_tiers() -> None:
    result = evaluate(
        house_rules_input(
            assets=[USD, BTC, AssetRow("USDT", CollateralTerms(TIERS), D(1))],
            scopes=[scope("A/FREE"), scope("B/FREE")],
            claims=[
                ClaimRow("A/FREE", "BTC", D(2)), ClaimRow("B/FREE", "USDT", D(60_000)),
                ClaimRow("B/FREE", "BTC", D(1)),
            ],
        )
    )  # fmt: skip
    btc = BTC.mark * D("0.8")
    assert result.equity.tolist() == [2 * btc, D(47_500) + D(9_000) + btc]
