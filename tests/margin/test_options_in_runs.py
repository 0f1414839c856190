"""Options traded, held and margined: premium, worth, requirement, explanation, replay."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from accounts.audit import Actor
from brokerage.inbox.cycle import run_day
from ledger.models import Asset, Balance, Entry
from margin.explanation import as_json, find_result
from margin.market.rows import load_market
from margin.models import Contract, MarginResult, RunException
from margin.runs import replay
from tests.ledger.agreeing import standing
from tests.margin.optioned import (
    ACCOUNTS,
    OWN,
    PLAIN,
    SECOND_DAY,
    SHARE,
    OptionFirm,
    cash,
    held,
    newest_run,
    option_firm,
    parts,
    result_of,
    volatilities,
    write_day,
)

D = Decimal
FUNDED = dict.fromkeys(ACCOUNTS, "100000.00")
CALL, PUT = "LUMQ-C550", "LUMQ-P500"
ACTOR = Actor.command("test")


@pytest.fixture
def firm(db: None, tmp_path: Path) -> OptionFirm:
    return option_firm(tmp_path / "firm", model="delta")


@pytest.fixture
def rules(db: None, tmp_path: Path) -> OptionFirm:
    return option_firm(tmp_path / "firm", model="strategies", premium_required=False)


def inputs_below(node: dict[str, Any]) -> list[dict[str, Any]]:
    below = [each for child in node["children"] for each in inputs_below(child)]
    return [*node["inputs"], *below]


def test_premium_changes_hands_and_worth_counts_on_both_sides(firm: OptionFirm) -> None:
    load_market(volatilities(SECOND_DAY), actor=ACTOR)
    write_day(
        firm.days[1], deposits=FUNDED, prices={CALL: "13.00"},
        trades=[("B0001", CALL, "buy", "2", "12.50"), ("B0002", CALL, "sell", "2", "12.50")],
    )  # fmt: skip
    outcome = run_day(firm.days[1])
    assert outcome["rejected"] == []
    # Two contracts of a hundred shares at 12.50, and a fee of 1.00 on each side.
    assert (cash("B0001"), cash("B0002")) == (D("97499.00"), D("102499.00"))
    assert held("B0001", CALL) == (D(2), D(1250))
    assert held("B0002", CALL) == (D(-2), D(1250))
    assert Entry.objects.filter(kind_id="option_trade").count() == 2
    at_venue = Balance.objects.get(account__account_class="custody", account__asset__code=CALL)
    assert at_venue.amount == 0
    for account, worth in (("B0001", D(2600)), ("B0002", D(-2600))):
        (part,) = parts(account, "option")
        assert part.amount == worth
        assert (part.mark_id, part.terms["quantity"]) != (None, "0")
        assert result_of(account).equity == cash(account) + worth
        assert result_of(account).initial_margin > 0
        assert result_of(account).flags == []
    position = next(each for each in outcome["positions"] if each["account"] == "B0001")
    assert position["unrealised"] == "100.00000000"
    assert replay(newest_run().number).is_same


def test_every_part_of_an_option_opens_to_its_rows(firm: OptionFirm) -> None:
    load_market(volatilities(SECOND_DAY), actor=ACTOR)
    write_day(firm.days[1], deposits=FUNDED, trades=[("B0001", CALL, "buy", "1", "12.50")])
    run_day(firm.days[1])
    said = as_json(find_result(newest_run().number, "B0001/FREE"))
    found = [each for each in inputs_below(said["equity"]) if "what" in each]
    by_kind = {each["what"]: each for each in found}
    assert by_kind["contract"]["strike"] == "550"
    assert by_kind["contract"]["multiplier"] == "100"
    assert by_kind["option_value"]["basis"] == "volatilities of its underlying"
    assert by_kind["mark"]["asset"] == SHARE
    assert sum(each["what"] == "volatility" for each in found) == 4
    model = inputs_below(said["portfolio_model"]["initial_margin"])
    assert any(each.get("what") == "parameter" for each in model)
    assert any(each.get("what") == "contract" for each in model)


def test_without_prices_an_option_is_marked_against_its_holder(firm: OptionFirm) -> None:
    load_market(volatilities(SECOND_DAY), actor=ACTOR)
    write_day(
        firm.days[1], deposits=FUNDED,
        trades=[
            ("B0001", "LUMQ-C500", "buy", "3", "60"), ("B0002", "LUMQ-C500", "sell", "3", "60"),
        ],
    )  # fmt: skip
    run_day(firm.days[1])
    (long,), (short,) = parts("B0001", "option"), parts("B0002", "option")
    assert long.mark_id is None
    assert D(50) < D(long.terms["price"]) <= D(short.terms["price"]) < D(100)
    assert long.amount == 300 * D(long.terms["price"])
    assert short.amount == -300 * D(short.terms["price"])
    for account in ACCOUNTS:
        assert result_of(account).flags == ["insufficient_mark", "modelled_option"]
    assert replay(newest_run().number).is_same


def test_a_modelled_option_sets_off_no_liquidation(firm: OptionFirm) -> None:
    load_market(volatilities(SECOND_DAY), actor=ACTOR)
    write_day(
        firm.days[1], deposits={"B0002": "1000.00"},
        trades=[("B0002", "LUMQ-C500", "sell", "20", "60")],
    )  # fmt: skip
    run_day(firm.days[1])
    result = result_of("B0002")
    assert result.equity < result.maintenance_margin / 2
    assert result.state == "CALL"


def test_what_nothing_prices_is_an_exception(firm: OptionFirm) -> None:
    write_day(firm.days[1], deposits=FUNDED, trades=[("B0001", PUT, "buy", "1", "9")])
    run_day(firm.days[1])
    (why,) = RunException.objects.filter(run=newest_run(), account__code="B0001")
    assert (why.reason, PUT in why.detail) == ("unpriced_position", True)
    assert not MarginResult.objects.filter(
        run=newest_run(), scope__bucket__account__code="B0001"
    ).exists()


@pytest.mark.parametrize(
    ("trade", "why"),
    [
        ((PLAIN, CALL, "buy", "1", "1"), "model_without_options"),
        ((OWN, CALL, "buy", "1", "1"), "not_allowed"),
        (("B0001", CALL, "buy", "81", "12.50"), "claim_below_zero"),
        (("B0001", CALL, "buy", "0.5", "12.50"), "invalid"),
        (("B0001", CALL, "buy", "1", "12.505"), "invalid"),
    ],
)
def test_a_trade_that_cannot_be_is_refused_and_moves_nothing(
    firm: OptionFirm, trade: Any, why: str
) -> None:
    write_day(firm.days[1], deposits=FUNDED, trades=[trade])
    outcome = run_day(firm.days[1])
    assert [each["reason"] for each in outcome["rejected"]] == [why]
    assert not Entry.objects.filter(kind_id="option_trade").exists()
    assert not Balance.objects.filter(account__asset__code=CALL).exclude(amount=0).exists()


def test_regulation_t_requires_a_share_beside_what_equity_deducts(rules: OptionFirm) -> None:
    write_day(
        rules.days[1], deposits=FUNDED, prices={CALL: "13.00", "LUMQ-C500": "55.00"},
        trades=[
            ("B0001", CALL, "sell", "1", "13.00"),
            ("B0002", "LUMQ-C500", "buy", "1", "55.00"), ("B0002", CALL, "sell", "1", "13.00"),
        ],
    )  # fmt: skip
    run_day(rules.days[1])
    naked, spread = result_of("B0001"), result_of("B0002")
    # 20 % of 54,000 less 1,000 out of the money; equity deducts the premium of 1,300.
    assert naked.initial_margin == naked.maintenance_margin == D("9800.00")
    assert naked.equity == cash("B0001") - 1300 == D("99999.00")
    # A spread that was paid for may lose what it is worth: 5,500 less 1,300.
    assert spread.equity == cash("B0002") + 5500 - 1300 == D("99998.00")
    assert spread.initial_margin == D("4200.00")
    assert replay(newest_run().number).is_same


def test_a_spread_sold_requires_what_it_may_lose_beyond_its_worth(rules: OptionFirm) -> None:
    write_day(
        rules.days[1], deposits=FUNDED, prices={CALL: "13.00", "LUMQ-C500": "55.00"},
        trades=[("B0001", "LUMQ-C500", "sell", "1", "55.00"), ("B0001", CALL, "buy", "1", "13.00")],
    )  # fmt: skip
    run_day(rules.days[1])
    result = result_of("B0001")
    # Strikes 50 apart, a hundred shares: 5,000 at worst, of which 4,200 is owed already.
    assert result.initial_margin == D("800.00")
    assert result.equity == cash("B0001") + 1300 - 5500 == D("99998.00")


def test_net_option_value_counts_in_the_requirement_alone(db: None, tmp_path: Path) -> None:
    firm = option_firm(tmp_path / "firm", model="risk-arrays")
    write_day(
        firm.days[1], deposits=FUNDED, prices={CALL: "13.00"},
        trades=[("B0001", CALL, "buy", "2", "13.00"), ("B0002", CALL, "sell", "2", "13.00")],
    )  # fmt: skip
    run_day(firm.days[1])
    for account in ACCOUNTS:
        (part,) = parts(account, "option")
        assert part.amount == 0
        assert "requirement holds" in dict(part.terms["facts"])["equity"]
        assert result_of(account).equity == cash(account)
    (value,) = [each for each in parts("B0002", "im_model") if each.terms["part"] == "option_value"]
    assert value.amount >= 2600
    assert replay(newest_run().number).is_same


def test_a_covered_call_requires_its_shares_alone(rules: OptionFirm) -> None:
    write_day(
        rules.days[1], deposits=FUNDED, prices={CALL: "13.00"},
        trades=[("B0001", SHARE, "buy", "100", "540"), ("B0001", CALL, "sell", "1", "13.00")],
    )  # fmt: skip
    outcome = run_day(rules.days[1])
    assert outcome["rejected"] == []
    result = result_of("B0001")
    assert cash("B0001") == D(100000) - 54000 + 1300 - 2
    assert result.initial_margin == D("27000.00")
    assert result.equity == cash("B0001") + 54000 - 1300


def test_a_price_without_quotes_implies_its_volatility(db: None, tmp_path: Path) -> None:
    firm = option_firm(tmp_path / "firm", model="scenario")
    write_day(
        firm.days[1], deposits=FUNDED, prices={CALL: "13.00"},
        trades=[("B0001", CALL, "buy", "2", "13.00"), ("B0002", CALL, "sell", "2", "13.00")],
    )  # fmt: skip
    run_day(firm.days[1])
    (part,) = parts("B0002", "option")
    facts = dict(part.terms["facts"])
    assert facts["volatility_from"] == "implied by its price"
    assert D("0.05") < D(facts["volatility"]) < D(1)
    # What is sold may lose more than its premium.
    assert result_of("B0002").initial_margin > 2600
    assert result_of("B0001").initial_margin > 0
    assert result_of("B0002").flags == []
    assert replay(newest_run().number).is_same


def test_an_option_is_listed_by_two_and_once(firm: OptionFirm) -> None:
    before = standing()
    contract = Contract.objects.get(asset__code=CALL)
    assert (contract.underlying.code, contract.strike, contract.style) == (
        SHARE, D(550), "european",
    )  # fmt: skip
    assert Asset.objects.get(code=CALL).is_option
    assert standing() == before
