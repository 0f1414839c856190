"""Explanations: products that are what they say, trees that add up, tests in their order."""
# ruff: noqa: RUF001  (the true multiplication and minus signs are what is tested)

import json
import re
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given

from margin.engine.components import Component, component_of
from margin.engine.explain import (
    Explanation,
    ExplanationError,
    Figures,
    Node,
    explain,
    figure,
    product,
)
from margin.engine.house_rules import HouseRulesResult, evaluate
from margin.engine.inputs import HouseRulesInput
from tests.margin.engine.firm import ASSETS, SPY, firms, one_scope

D = Decimal


def figures_of(result: HouseRulesResult, inputs: HouseRulesInput | None = None) -> Figures:
    """The first scope's figures; levels of 1 and 0.5 and a minimum of 100 unless given."""
    levels = (D(1), D("0.5"), D(100))
    if inputs is not None:
        levels = (
            inputs.call_levels[0],
            inputs.liquidation_levels[0],
            inputs.minimum_transfer_amounts[0],
        )
    return Figures(
        scope=result.scopes[0],
        equity=result.equity[0],
        initial_margin=result.initial_margin[0],
        maintenance_margin=result.maintenance_margin[0],
        state=result.state_of(0),
        call_amount=result.call_amount[0],
        flags=tuple(result.flags_of(0)),
        call_level=levels[0],
        liquidation_level=levels[1],
        minimum_transfer_amount=levels[2],
    )


def explained(result: HouseRulesResult) -> Explanation:
    return explain(figures_of(result), components=result.components.of(0))


def leaves(node: Node) -> list[Node]:
    return [leaf for child in node.children for leaf in leaves(child)] or [node]


def computed(how: str) -> Fraction:
    """What a product as written comes to."""
    ascii_text = how.replace("×", "*").replace("−", "-").replace(",", "")
    assert re.fullmatch(r"[-0-9.*() ]+", ascii_text), how
    return eval(re.sub(r"[0-9.]+", r'Fraction("\g<0>")', ascii_text))


def test_a_called_scope_opened_to_its_products() -> None:
    told = explained(
        one_scope(
            usd="2500.00",
            claims=[("BTC", "0.5")],
            positions=[("SPY", "100", "275"), ("BTC-PERP", "-16.9848", "10290.09236498")],
            loan=D("50000.00"),
        )
    )
    assert [(leaf.label, leaf.how) for leaf in leaves(told.equity)] == [
        ("USD", "2,500"),
        ("BTC", "0.5 × 7,691.335 × (1 − 0.2)"),
        ("SPY", "100 × 262.05"),
        ("BTC-PERP", "−16.9848 × (9,000 − 10,290.09236498)"),
        ("USD", "−50,000"),
    ]
    assert [(leaf.label, leaf.how) for leaf in leaves(told.initial_margin)] == [
        ("SPY", "100 × 262.05 × 0.5"),
        ("BTC-PERP, bracket 2", "16.9848 × 9,000 × 0.2 − 5,000"),
    ]
    assert [child.label for child in told.equity.children] == [
        "Money",
        "Securities",
        "Unrealised profit of perpetuals",
        "Loan",
    ]
    assert told.equity.amount == told.figures.equity
    assert told.equity.how == "sum of its parts"


def test_the_tests_are_told_in_order_up_to_the_one_that_holds() -> None:
    told = explained(one_scope(usd="2500.00", positions=[("SPY", "100", "275")], loan=D(23_000)))
    assert [(test.state, test.holds, test.figures) for test in told.tests] == [
        ("DEFICIT", False, "equity 5,705.00 ≥ 0"),
        ("OK", False, "equity 5,705.00 < initial margin 13,102.50"),
        (
            "BELOW_INITIAL",
            False,
            "equity 5,705.00 < call level 1 × maintenance margin 6,551.25 = 6,551.25",
        ),
        (
            "CALL",
            True,
            "equity 5,705.00 ≥ liquidation level 0.5 × maintenance margin 6,551.25 = 3,275.625",
        ),
    ]
    assert told.steps == (
        "Missing: initial margin 13,102.50 − equity 5,705.00 = 7,397.50, up to the cent 7,397.50.",
    )


def test_liquidation_and_what_a_carried_mark_makes_of_it() -> None:
    held = {"usd": "2500", "positions": [("SPY", "100", "275")], "loan": D("26000")}
    told = explained(one_scope(**held))
    assert told.figures.state == "LIQUIDATE"
    assert told.tests[-1].figures == (
        "equity 2,705.00 < liquidation level 0.5 × maintenance margin 6,551.25 = 3,275.625"
    )
    assets = [SPY._replace(insufficient=True) if a is SPY else a for a in ASSETS]
    carried = explained(one_scope(**held, assets=assets))
    assert carried.figures.state == "CALL"
    assert carried.tests == told.tests
    assert carried.steps[0] == (
        "LIQUIDATE becomes CALL: something held is valued at a carried mark."
    )


def test_a_small_call_says_that_it_is_not_made() -> None:
    told = explained(one_scope(usd="5", loan=D("55.005")))
    assert told.steps == (
        "Missing: initial margin 0.00 − equity −50.005 = 50.005, up to the cent 50.01.",
        "Less than the minimum transfer amount 100.00: nothing is called.",
    )


def test_a_call_of_exactly_the_minimum_is_explained_as_made() -> None:
    told = explained(one_scope(usd="5", loan=D(105)))
    assert told.figures.call_amount == D("100.00")
    assert told.steps == (
        "Missing: initial margin 0.00 − equity −100.00 = 100.00, up to the cent 100.00.",
    )


def test_an_empty_scope_is_explained_too() -> None:
    told = explained(one_scope())
    assert (told.equity.how, told.equity.children) == ("nothing is held that counts", ())
    assert [test.state for test in told.tests] == ["DEFICIT", "OK"]


def test_json_holds_exact_text_and_the_references_of_the_caller() -> None:
    result = one_scope(usd="1", positions=[("SPY", "1", "1")])

    def references(part: Component) -> list[dict[str, object]]:
        return [{"price": part.asset}] if part.asset == "SPY" else []

    told = explain(
        figures_of(result), components=result.components.of(0), references=references
    ).as_json()
    assert told == json.loads(json.dumps(told)), "nothing but JSON values"
    assert told["maintenance_margin"] == {
        "label": "Maintenance margin",
        "amount": "65.5125",
        "how": "sum of its parts",
        "inputs": [],
        "children": [
            {
                "label": "Securities",
                "amount": "65.5125",
                "how": "sum of its parts",
                "inputs": [],
                "children": [
                    {
                        "label": "SPY",
                        "amount": "65.5125",
                        "how": "1 × 262.05 × 0.25",
                        "inputs": [{"price": "SPY"}],
                        "children": [],
                    }
                ],
            }
        ],
    }
    assert told["state"]["state"] == "OK"
    assert told["state"]["call_amount"] == "0.00"
    assert told["state"]["tests"][0] == {
        "state": "DEFICIT",
        "holds": False,
        "figures": "equity 263.05 ≥ 0",
    }


def test_a_tree_that_does_not_add_up_is_never_built() -> None:
    assert Node("sum", D(3), "", children=(Node("a", D(1), ""), Node("b", D(2), ""))).children
    with pytest.raises(ExplanationError, match="parts_add_up"):
        Node("sum", D("3.0000000001"), "", children=(Node("a", D(1), ""), Node("b", D(2), "")))


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("parts_add_up", {"equity": D("5706")}),
        ("parts_add_up", {"initial_margin": D("0")}),
        ("state_follows", {"state": "LIQUIDATE"}),
        ("state_follows", {"call_amount": D("7397.51")}),
        ("state_follows", {"flags": ("below_mta",)}),
    ],
)
def test_a_result_that_does_not_follow_is_not_explained_away(rule: str, changes: dict) -> None:
    result = one_scope(usd="2500", positions=[("SPY", "100", "275")], loan=D(23_000))
    said = figures_of(result)
    assert explained(result).figures == said
    wrong = {name: getattr(said, name) for name in Figures.__slots__} | changes
    with pytest.raises(ExplanationError) as refused:
        explain(Figures(**wrong), components=result.components.of(0))
    assert refused.value.rule == rule


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        ("1234567.8900", 0, "1,234,567.89"),
        ("-1000", 2, "−1,000.00"),
        ("0.00000001", 2, "0.00000001"),
        ("-0.5", 0, "−0.5"),
        ("-0", 2, "0.00"),
        ("123456789012345678901234567890.5", 2, "123,456,789,012,345,678,901,234,567,890.50"),
    ],
)
def test_numbers_as_people_read_them(value: str, decimals: int, text: str) -> None:
    assert figure(D(value), decimals=decimals) == text


@given(firms())
def test_every_product_comes_to_its_amount_and_every_tree_holds(inputs: HouseRulesInput) -> None:
    result = evaluate(inputs)
    components = result.components.of(0)
    for part in components:
        assert computed(product(part)) == Fraction(part.amount)
    told = explain(figures_of(result, inputs), components=components)
    for root in (told.equity, told.initial_margin, told.maintenance_margin):
        assert sum((Fraction(leaf.amount) for leaf in leaves(root)), Fraction(0)) == root.amount
    assert sum(test.holds for test in told.tests) == 1
    assert told.tests[-1].holds


@given(firms())
def test_stored_components_explain_as_computed_ones(inputs: HouseRulesInput) -> None:
    result = evaluate(inputs)
    computed_parts = result.components.of(0)
    stored = [
        component_of(
            kind=part.kind.name.lower(), asset=part.asset, amount=part.amount, terms=part.terms()
        )
        for part in computed_parts
    ]
    said = figures_of(result, inputs)
    assert explain(said, components=stored) == explain(said, components=computed_parts)
