"""Options that are thought of, and money that leaves a scope that holds some."""

from decimal import Decimal
from pathlib import Path

import pytest

from accounts.audit import Actor
from brokerage.inbox.cycle import run_day
from margin.market.rows import load_market
from margin.what_if import Change, ThoughtTrade, what_if
from margin.what_if_ground import WhatIfRefusedError
from tests.ledger.agreeing import standing
from tests.margin.optioned import (
    PLAIN,
    SECOND_DAY,
    SHARE,
    OptionFirm,
    bucket,
    cash,
    option_firm,
    result_of,
    volatilities,
    write_day,
)

D = Decimal
CALL = "LUMQ-C550"
PRICED = {CALL: "13.00"}
ACTOR = Actor.command("test")


@pytest.fixture
def firm(db: None, tmp_path: Path) -> OptionFirm:
    """B0001 sold a call under Regulation T, at a price of its own."""
    found = option_firm(tmp_path / "firm", model="strategies", premium_required=False)
    write_day(
        found.days[1], deposits={"B0001": "100000.00"}, prices=PRICED,
        trades=[("B0001", CALL, "sell", "1", "13.00")],
    )  # fmt: skip
    assert run_day(found.days[1])["rejected"] == []
    return found


def test_what_is_thought_of_is_what_the_run_then_says(firm: OptionFirm) -> None:
    before = standing()
    thought = ThoughtTrade(CALL, D(-1), D("12.00"), D("1.00"))
    said = what_if(bucket("B0001"), Change(trades=(thought,)))
    assert standing() == before
    assert (said.now.equity, said.now.initial_margin) == (D("99999.00"), D("9800.00"))
    assert said.after.equity == D("99898.00")
    assert said.after.initial_margin == D("19600.00")
    assert said.after.liquidation == {}
    assert said.notes == ("Liquidation points are not searched while options are held.",)
    write_day(firm.days[2], prices=PRICED, trades=[("B0001", CALL, "sell", "1", "12.00")])
    assert run_day(firm.days[2])["rejected"] == []
    result = result_of("B0001")
    assert (result.equity, result.initial_margin) == (D("99898.00"), D("19600.00"))


def test_an_option_has_the_price_that_is_thought_of(firm: OptionFirm) -> None:
    said = what_if(bucket("B0001"), Change(prices={CALL: D("20.00"), SHARE: D(545)}))
    # 20 % of 54,500 less 500 out of the money; equity owes 2,000 instead of 1,300.
    assert said.after.initial_margin == D("10400.00")
    assert said.after.equity == said.now.equity - 700


def test_an_option_moves_with_what_it_is_written_on(firm: OptionFirm) -> None:
    said = what_if(bucket("B0001"), Change(prices={SHARE: D(600)}))
    (part,) = [each for each in said.after.components if each.asset == CALL]
    # Worth 13 at 540; at 600 it pays 50 and is worth more, and gained less than the share.
    assert D(50) < part.price < D(73)
    assert said.after.equity == cash("B0001") - 100 * part.price
    assert said.now.equity == cash("B0001") - 1300
    assert said.after.initial_margin == D("12000.00")
    still = what_if(bucket("B0001"), Change(prices={"BTC": D(9000)}))
    assert still.after.equity == still.now.equity


@pytest.mark.parametrize(
    ("account", "change", "rule"),
    [
        ("B0001", Change(trades=(ThoughtTrade(CALL, D(90), D("13.00")),)), "claim_below_zero"),
        ("B0001", Change(trades=(ThoughtTrade("LUMQ-P500", D(1)),)), "unpriced_position"),
        ("B0001", Change(model=("house-rules", "v1")), "no_option_rules"),
        (PLAIN, Change(trades=(ThoughtTrade(CALL, D(1)),)), "no_option_rules"),
    ],
)
def test_what_could_not_be_booked_is_refused(
    firm: OptionFirm, account: str, change: Change, rule: str
) -> None:
    before = standing()
    with pytest.raises(WhatIfRefusedError) as refused:
        what_if(bucket(account), change)
    assert refused.value.rule == rule
    assert standing() == before


def test_money_leaves_as_far_as_the_requirement_lets_it(firm: OptionFirm) -> None:
    # What would stay is 9,799.00 in equity against 9,800.00.
    write_day(firm.days[2], prices=PRICED, withdrawals={"B0001": "90200.00"})
    outcome = run_day(firm.days[2])
    assert [each["reason"] for each in outcome["rejected"]] == ["initial_margin"]
    assert cash("B0001") == D("101299.00")


def test_money_leaves_a_scope_whose_options_have_prices(firm: OptionFirm) -> None:
    write_day(firm.days[2], prices=PRICED, withdrawals={"B0001": "90199.00"})
    assert run_day(firm.days[2])["rejected"] == []
    assert cash("B0001") == D("11100.00")


def test_nothing_leaves_on_a_modelled_price(db: None, tmp_path: Path) -> None:
    firm = option_firm(tmp_path / "firm", model="strategies", premium_required=False)
    load_market(volatilities(SECOND_DAY), actor=ACTOR)
    write_day(
        firm.days[1], deposits={"B0001": "100000.00"},
        trades=[("B0001", CALL, "buy", "1", "13.00")],
    )  # fmt: skip
    run_day(firm.days[1])
    write_day(firm.days[2], withdrawals={"B0001": "1.00"})
    outcome = run_day(firm.days[2])
    assert [each["reason"] for each in outcome["rejected"]] == ["initial_margin"]
    assert cash("B0001") == D("98699.00")
