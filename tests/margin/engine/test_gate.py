"""The lean way through one scope says what the engine says."""

from decimal import Decimal

import pytest
from hypothesis import given

from margin.engine.gate import Standing, scope_equity_and_initial
from margin.engine.house_rules import evaluate
from margin.engine.inputs import InputError, house_rules_input
from tests.margin.engine.firm import ASSETS, rows

D = Decimal
TERMS = {asset.name: asset.terms for asset in ASSETS}
MARKS = {"USD": D(1), "BTC": D(10_000), "SPY": D(280), "IBM": D(150), "BTC-PERP": D(9_000)}


def standing(usd: str, *, loan: str = "0", spy: str = "0", **changes: object) -> Standing:
    arguments = {
        "claims": {"USD": D(usd)},
        "positions": {"SPY": (D(spy), D(275))},
        "loan": D(loan),
        "is_cash_account": False,
        "marks": MARKS,
        "terms": TERMS,
    }
    return scope_equity_and_initial(**arguments | changes)


def test_worked_example_refuses_the_withdrawal() -> None:
    after = standing("1000.00", spy="100", loan="23000.00")
    assert after == Standing(D(6_000), D(14_000), D(7_000))
    assert not after.meets_initial


@pytest.mark.parametrize(("usd", "met"), [("9000.00", True), ("8999.99", False)])
def test_exactly_initial_margin_is_enough(usd: str, met: bool) -> None:
    assert standing(usd, spy="100", loan="23000").meets_initial is met


def test_a_cash_account_needs_only_not_to_owe() -> None:
    assert standing("0", spy="100", is_cash_account=True) == Standing(D(28_000), D(0), D(0))
    assert not standing("0", loan="0.01", is_cash_account=True).meets_initial


def test_what_is_in_the_wrong_place_is_refused() -> None:
    with pytest.raises(InputError, match="claim_is_money"):
        standing("0", claims={"SPY": D(1)})
    with pytest.raises(InputError, match="position_is_an_instrument"):
        standing("0", positions={"BTC": (D(1), D(1))})
    with pytest.raises(KeyError):
        standing("0", claims={"EUR": D(1)})


@given(rows())
def test_it_says_what_the_engine_says_of_every_scope(drawn: dict) -> None:
    result = evaluate(house_rules_input(**drawn))
    for of, scope in enumerate(drawn["scopes"]):
        after = scope_equity_and_initial(
            claims={row.asset: row.amount for row in drawn["claims"] if row.scope == scope.name},
            positions={
                row.asset: (row.quantity, row.average_cost)
                for row in drawn["positions"]
                if row.scope == scope.name
            },
            loan=scope.loan,
            is_cash_account=scope.is_cash_account,
            marks={asset.name: asset.mark for asset in drawn["assets"]},
            terms={asset.name: asset.terms for asset in drawn["assets"]},
        )
        assert after == (
            result.equity[of], result.initial_margin[of], result.maintenance_margin[of]
        )  # fmt: skip
