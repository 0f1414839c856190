"""The four sample days: marks from their prices, margin from their balances, field for field."""

import csv
import json
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from margin.engine.exact import round_half_even
from margin.engine.explain import Figures, explain
from margin.engine.gate import scope_equity_and_initial
from margin.engine.house_rules import HouseRulesResult, evaluate
from margin.engine.inputs import (
    AssetRow,
    AssetTerms,
    Bracket,
    ClaimRow,
    HouseRulesInput,
    MoneyTerms,
    PositionRow,
    ScopeRow,
    SecurityTerms,
    house_rules_input,
    perpetual_terms,
)
from margin.engine.marks import Mark, PriceObservation, compose_marks

D = Decimal
DAYS = ["2018-02-01", "2018-02-02", "2018-02-05", "2018-02-06"]
SCOPE_OF = {"cash": "FREE", "cross": "FREE", "isolated": "ISO-BTC-PERP"}


@pytest.fixture
def firm(shared_dir: Path) -> Path:
    folder = shared_dir / "inbox/2018-02"
    if not folder.is_dir():
        pytest.skip("no sample folder beside the project")
    return folder


def reference_of(firm: Path) -> dict[str, Any]:
    return yaml.safe_load((firm / "reference.yaml").read_text(encoding="utf-8"))


def expected_of(firm: Path, day: str) -> dict[str, Any]:
    return json.loads((firm / day / "expected.json").read_text(encoding="utf-8"))


def written(value: Decimal, decimals: int = 8) -> str:
    return format(round_half_even(value, decimals), "f")


def terms_of(reference: dict[str, Any]) -> dict[str, AssetTerms]:
    terms: dict[str, AssetTerms] = {
        row["asset"]: MoneyTerms(D(row["haircut"])) for row in reference["assets"]
    }
    for row in reference["instruments"]:
        if row["kind"] == "security":
            rates = D(row["initial_rate"]), D(row["maintenance_rate"])
            terms[row["instrument"]] = SecurityTerms(*rates)
        else:
            terms[row["instrument"]] = perpetual_terms(
                [
                    Bracket(D(b["floor"]), D(b["initial_rate"]), D(b["maintenance_rate"]))
                    for b in row["brackets"]
                ]
            )
    return terms


def observations(firm: Path, day: str) -> Iterator[PriceObservation]:
    rejected = {
        row["line"]
        for row in expected_of(firm, day)["rejected_rows"]
        if row["file"] == "prices.csv"
    }
    with (firm / day / "prices.csv").open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        for row in reader:
            if reader.line_num not in rejected:
                yield PriceObservation(
                    row["instrument"],
                    row["source"],
                    datetime.fromisoformat(row["observed_at"]),
                    D(row["price"]),
                    reader.line_num,
                )


def marks_by_day(firm: Path) -> Iterator[tuple[dict[str, Any], list[Mark]]]:
    """Each day's expected result and composed marks, carried from day to day."""
    opening = reference_of(firm)["opening"]["marks"]
    previous = {row["instrument"]: D(row["mark"]) for row in opening}
    for day in DAYS:
        expected = expected_of(firm, day)
        marks = compose_marks(
            observations(firm, day),
            as_of=datetime.fromisoformat(expected["as_of"]),
            names=sorted(previous),
            previous=previous,
        )
        previous = {mark.instrument: mark.price for mark in marks}
        yield expected, marks


def entry(mark: Mark) -> dict[str, Any]:
    return {
        "instrument": mark.instrument,
        "mark": written(mark.price),
        "state": mark.state,
        "used": list(mark.used),
        "dropped": [
            {
                "source": dropped.source,
                "observed_at": dropped.observed_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "reason": dropped.reason,
            }
            for dropped in mark.dropped
        ],
    }


def inputs_of(
    reference: dict[str, Any], expected: dict[str, Any], marks: list[Mark]
) -> HouseRulesInput:
    agreements = {row["agreement"]: row for row in reference["agreements"]}
    accounts = {row["account"]: row for row in reference["accounts"]}
    loans = {row["account"]: D(row["amount"]) for row in expected["loans"]}
    terms, names = terms_of(reference), []
    for code in sorted(accounts):
        bucket = SCOPE_OF[accounts[code]["mode"]]
        levels = agreements[accounts[code]["agreement"]]
        names.append(
            ScopeRow(
                name=f"{code}/{bucket}",
                is_cash_account=accounts[code]["mode"] == "cash",
                loan=loans.get(code, D(0)) if bucket == "FREE" else D(0),
                call_level=D(levels["call_level"]),
                liquidation_level=D(levels["liquidation_level"]),
                minimum_transfer_amount=D(levels["minimum_transfer_amount"]),
            )
        )
    scopes = {row.name for row in names}
    return house_rules_input(
        assets=[
            AssetRow("USD", terms["USD"], D(1)),
            *(
                AssetRow(m.instrument, terms[m.instrument], m.price, m.state == "INSUFFICIENT")
                for m in marks
            ),
        ],
        scopes=names,
        claims=[
            ClaimRow(f"{row['account']}/{row['bucket']}", row["asset"], D(row["amount"]))
            for row in expected["balances"]
            if f"{row['account']}/{row['bucket']}" in scopes
        ],
        positions=[
            PositionRow(
                f"{row['account']}/{row['bucket']}",
                row["instrument"],
                D(row["quantity"]),
                D(row["average_cost"]),
            )
            for row in expected["positions"]
        ],
    )


def margin_block(result: HouseRulesResult) -> list[dict[str, Any]]:
    return [
        {
            "account": name.split("/")[0],
            "bucket": name.split("/")[1],
            "equity": written(result.equity[scope]),
            "initial_margin": written(result.initial_margin[scope]),
            "maintenance_margin": written(result.maintenance_margin[scope]),
            "state": result.state_of(scope),
            "call_amount": written(result.call_amount[scope], 2),
            "flags": result.flags_of(scope),
        }
        for scope, name in enumerate(result.scopes)
    ]


def test_the_marks_of_every_day_are_composed_from_its_prices(firm: Path) -> None:
    days = [(expected["marks"], marks) for expected, marks in marks_by_day(firm)]
    assert len(days) == 4
    for expected, marks in days:
        assert [entry(mark) for mark in marks] == expected


def test_the_margin_of_every_day_follows_from_its_balances(firm: Path) -> None:
    reference = reference_of(firm)
    for expected, marks in marks_by_day(firm):
        result = evaluate(inputs_of(reference, expected, marks))
        assert margin_block(result) == expected["margin"]
        assert len(result.scopes) == 60


def test_every_scope_of_every_day_can_be_explained_and_computed_alone(firm: Path) -> None:
    reference = reference_of(firm)
    for expected, marks in marks_by_day(firm):
        inputs = inputs_of(reference, expected, marks)
        result = evaluate(inputs)
        for scope, name in enumerate(result.scopes):
            said = Figures(
                scope=name,
                equity=result.equity[scope],
                initial_margin=result.initial_margin[scope],
                maintenance_margin=result.maintenance_margin[scope],
                state=result.state_of(scope),
                call_amount=result.call_amount[scope],
                flags=tuple(result.flags_of(scope)),
                call_level=inputs.call_levels[scope],
                liquidation_level=inputs.liquidation_levels[scope],
                minimum_transfer_amount=inputs.minimum_transfer_amounts[scope],
            )
            parts = result.components.of(scope)
            assert explain(said, components=parts).equity.amount == said.equity
            alone = scope_equity_and_initial(
                claims={p.asset: p.quantity for p in parts if p.kind.name == "MONEY_CLAIM"},
                positions={
                    p.asset: (p.quantity, p.average_cost or D(0))
                    for p in parts
                    if p.kind.name in ("SECURITY", "PERPETUAL_UNREALISED")
                },
                loan=inputs.loans[scope],
                is_cash_account=bool(inputs.is_cash_account[scope]),
                marks=dict(zip(inputs.assets, inputs.marks, strict=True)),
                terms=dict(zip(inputs.assets, inputs.terms, strict=True)),
            )
            assert alone == (said.equity, said.initial_margin, said.maintenance_margin)
