"""Fingerprints: equal for equal content, different for any difference."""

import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from margin.engine import hashing
from margin.engine.hashing import (
    MODEL_MODULES,
    content_sha256,
    inputs_hash,
    model_hash,
    parameters_hash,
    result_hash,
)
from margin.engine.house_rules import evaluate
from margin.engine.inputs import (
    Bracket,
    ClaimRow,
    HouseRulesInput,
    MoneyTerms,
    PositionRow,
    SecurityTerms,
    house_rules_input,
    perpetual_terms,
)
from tests.margin.engine.firm import ASSETS, BRACKETS, BTC, IBM, PERP, SPY, USD, scope

D = Decimal
ROWS = {
    "assets": ASSETS,
    "scopes": [scope("A/FREE", loan=D("10.00")), scope("B/FREE")],
    "claims": [ClaimRow("A/FREE", "USD", D("100.00")), ClaimRow("B/FREE", "BTC", D(1))],
    "positions": [PositionRow("A/FREE", "BTC-PERP", D("-0.5"), D("9100.00000000"))],
}


def inputs(**changes: object) -> HouseRulesInput:
    return house_rules_input(**ROWS | changes)


def test_a_known_firm_has_a_known_hash_on_every_machine() -> None:
    assert (
        inputs_hash(inputs()) == "2ad05ebe40ac3fd965eb198596a47e2ccbd98f6bfd41ce07db223d565cae2142"
    )
    assert (
        parameters_hash(inputs())
        == "c487c90bb2403061ca128163d58c8bcde614f4a09053d8d3c8764f7f835abfc4"
    )
    assert (
        result_hash(evaluate(inputs()))
        == "734d12cff88bee2e0f05fc8dc9fdd76a6c23495b3a431cb1d16ae26e2584f40c"
    )


def test_another_process_with_another_hash_seed_says_the_same() -> None:
    program = (
        "from tests.margin.engine.test_hashing import *;"
        "print(inputs_hash(inputs()), result_hash(evaluate(inputs())), model_hash())"
    )
    said = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(hashing.__file__).parents[2],
        env={"PYTHONHASHSEED": "12345"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert said == [inputs_hash(inputs()), result_hash(evaluate(inputs())), model_hash()]


def test_how_a_number_is_written_does_not_matter() -> None:
    written = [ClaimRow("A/FREE", "USD", D("1E+2")), ClaimRow("B/FREE", "BTC", D("1.000"))]
    assert inputs_hash(inputs(claims=written)) == inputs_hash(inputs())
    assert result_hash(evaluate(inputs(claims=written))) == result_hash(evaluate(inputs()))


def test_a_zero_balance_says_the_same_as_none() -> None:
    zeros = {
        "claims": [*ROWS["claims"], ClaimRow("A/FREE", "BTC", D("0.00"))],
        "positions": [*ROWS["positions"], PositionRow("B/FREE", "SPY", D(0), D(5))],
    }
    assert inputs_hash(inputs(**zeros)) == inputs_hash(inputs())
    assert result_hash(evaluate(inputs(**zeros))) == result_hash(evaluate(inputs()))


A, B = ROWS["scopes"]
CHANGED = {
    "a claim": {"claims": [ClaimRow("A/FREE", "USD", D("100.01")), ROWS["claims"][1]]},
    "whose claim": {"claims": [ClaimRow("B/FREE", "USD", D(100)), ROWS["claims"][1]]},
    "a position": {"positions": [PositionRow("A/FREE", "BTC-PERP", D("0.5"), D(9100))]},
    "an average": {"positions": [PositionRow("A/FREE", "BTC-PERP", D("-0.5"), D("9100.1"))]},
    "a mark": {"assets": [USD, BTC, SPY._replace(mark=D(1)), IBM, PERP]},
    "a mark's state": {"assets": [USD, BTC, SPY._replace(insufficient=True), IBM, PERP]},
    "a loan": {"scopes": [A._replace(loan=D(11)), B]},
    "a mode": {"scopes": [A, B._replace(is_cash_account=True)]},
    "a call level": {"scopes": [A._replace(call_level=D(2)), B]},
    "a liquidation level": {"scopes": [A._replace(liquidation_level=D("0.4")), B]},
    "a minimum": {"scopes": [A._replace(minimum_transfer_amount=D(1)), B]},
    "one scope more": {"scopes": [A, B, scope("C/FREE")]},
}
PARAMETERS = {
    "a haircut": [USD, BTC._replace(terms=MoneyTerms(D("0.21"))), SPY, IBM, PERP],
    "an initial rate": [
        USD, BTC, SPY._replace(terms=SecurityTerms(D("0.51"), D("0.25"))), IBM, PERP,
    ],
    "a maintenance rate": [
        USD, BTC, SPY._replace(terms=SecurityTerms(D("0.5"), D("0.26"))), IBM, PERP,
    ],
    "a bracket": [
        USD, BTC, SPY, IBM,
        PERP._replace(
            terms=perpetual_terms([*BRACKETS, Bracket(D(10**6), D("0.9"), D("0.8"))])
        ),
    ],
}  # fmt: skip


@pytest.mark.parametrize("changes", CHANGED.values(), ids=CHANGED.keys())
def test_any_other_input_has_another_hash(changes: dict) -> None:
    assert inputs_hash(inputs(**changes)) != inputs_hash(inputs())
    assert parameters_hash(inputs(**changes)) == parameters_hash(inputs())


@pytest.mark.parametrize("assets", PARAMETERS.values(), ids=PARAMETERS.keys())
def test_any_other_parameter_has_another_hash(assets: list) -> None:
    assert inputs_hash(inputs(assets=assets)) != inputs_hash(inputs())
    assert parameters_hash(inputs(assets=assets)) != parameters_hash(inputs())


def test_a_result_of_other_parts_has_another_hash() -> None:
    # The same equity out of other claims.
    claims = [ClaimRow("A/FREE", "USD", D(100)), ClaimRow("B/FREE", "USD", D("6153.068"))]
    one, other = evaluate(inputs()), evaluate(inputs(claims=claims))
    assert one.equity.tolist() == other.equity.tolist()
    assert result_hash(one) != result_hash(other)


def test_contents_cannot_be_made_to_look_alike() -> None:
    apart = content_sha256({"t": [("a", "b")]})
    assert apart != content_sha256({"t": [("ab",)]}) != content_sha256({"t": [("a",), ("b",)]})
    assert apart != content_sha256({"t": [], "u": [("a", "b")]})
    with pytest.raises(ValueError, match="separator"):
        content_sha256({"t": [("a\x1fb",)]})


def test_the_model_is_known_by_its_source() -> None:
    assert len(model_hash()) == 64
    program = "import sys, margin.engine.house_rules; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(hashing.__file__).parents[2], capture_output=True, text=True, check=True,
    )  # fmt: skip
    loaded = {name for name in done.stdout.split() if name.startswith("margin.engine.")}
    assert {f"{name.rpartition('.')[2]}.py" for name in loaded} == set(MODEL_MODULES)
