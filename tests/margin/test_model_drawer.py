"""The model's own tree on screen: down to positions, prices, parameters and the agreement."""

import csv
from datetime import date
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client as Browser
from django.urls import reverse

from accounts.exports import STRICT_DECIMAL
from accounts.models import Agreement, LegalEntity, Role
from brokerage.inbox.cycle import run_day
from margin.engine.explain import Node
from margin.explanation import _lines, as_json, find_result
from margin.model_trees import model_trees
from margin.models import MarginResult
from tests.accounts.people import Desk, found_desk, sign_in
from tests.margin.under_models import leaves, used_by
from tests.stage import booked_days, staged

DAY = date(2031, 3, 4)


@pytest.fixture
def desk(db: None, tmp_path: Path) -> Desk:
    """A firm whose standard agreement is under the delta margin on its second day."""
    days = booked_days(tmp_path / "firm", accounts=30, seed=4, days=2, booked=1)

    def build() -> Desk:
        desk = found_desk(entity=LegalEntity.objects.get())
        used_by(desk, Agreement.objects.get(code="STD"), "delta", DAY)
        run_day(days[1])
        return desk

    return staged("standard agreement under delta", build)


def a_result() -> MarginResult:
    """A scope under the model with more than one position."""
    rows = MarginResult.objects.filter(
        run__business_day=DAY, parameter_set__isnull=False, initial_margin__gt=0
    ).select_related("run", "scope__bucket__account", "agreement_version", "parameter_set")
    return max(rows, key=lambda row: (len(leaves(tree_of(row))), -row.pk))


def tree_of(result: MarginResult) -> Node:
    trees = model_trees(result)
    assert trees is not None
    return trees.initial_margin


def opened(desk: Desk, result: MarginResult, total: str) -> Any:
    browser = Browser()
    sign_in(browser, desk[Role.RISK])
    bucket: Any = result.scope.bucket
    address = reverse("margin:account", args=[bucket.account.code])
    answer = browser.get(f"{address}?scope={bucket.code}&explain={total}")
    assert answer.status_code == 200
    return browser, answer


@pytest.mark.parametrize("total", ["initial_margin", "maintenance_margin"])
def test_the_drawer_opens_the_model_down_to_its_positions(desk: Desk, total: str) -> None:
    result = a_result()
    _, answer = opened(desk, result, total)
    shown = answer.context["explanation"]
    assert shown.total == getattr(result, total)
    assert shown.adds_up
    ends = [leaf for part in shown.parts for leaf in part.leaves()]
    assert sum((leaf.amount for leaf in ends), Decimal(0)) == getattr(result, total)
    trees = model_trees(result)
    assert trees is not None
    assert [(leaf.label, leaf.amount) for leaf in ends] == [
        (leaf.label, leaf.amount) for leaf in leaves(getattr(trees, total))
    ]
    assert "add up exactly" in answer.content.decode()
    assert "net delta value" in answer.content.decode()


def test_every_leaf_leads_to_its_price_its_parameter_and_the_agreement(desk: Desk) -> None:
    result = a_result()
    browser, answer = opened(desk, result, "initial_margin")
    ends = [leaf for part in answer.context["explanation"].parts for leaf in part.leaves()]
    for leaf in ends:
        what = {source.what: source for source in leaf.sources}
        assert set(what) == {"Price", "Parameter", "Agreement"}
        for source in what.values():
            page = browser.get(source.address)
            assert page.status_code == 200, source
            _, _, anchor = source.address.partition("#")
            assert not anchor.startswith("set-") or f'id="{anchor}"' in page.content.decode()
        assert leaf.label in what["Price"].text
        assert what["Parameter"].text in ("shock 0.15, S1 v1", "residual 0.02, S1 v1")


def test_equity_is_explained_as_under_house_rules(desk: Desk) -> None:
    result = a_result()
    _, answer = opened(desk, result, "equity")
    assert answer.context["explanation"].adds_up
    assert answer.context["explanation"].total == result.equity


def test_a_model_that_says_something_else_is_not_opened_and_says_so(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = a_result()
    other = tree_of(result)
    monkeypatch.setattr(
        "margin.model_trees.portfolio_trees",
        lambda read, scope: (Node("x", other.amount + 1, ""), Node("x", other.amount, "")),
    )
    _, answer = opened(desk, result, "initial_margin")
    shown = answer.context["explanation"]
    assert shown.adds_up
    facts = {fact.term: fact.text for fact in shown.facts}
    assert "model_says_so" in facts["Not opened further"]


def test_inputs_of_the_tree_are_rows_with_their_values(desk: Desk) -> None:
    result = a_result()
    trees = model_trees(result)
    assert trees is not None
    for leaf in leaves(trees.initial_margin):
        mark, parameter = leaf.inputs
        assert (mark["what"], mark["asset"]) == ("mark", leaf.label)
        assert trees.marks[leaf.label].mark.pk == mark["id"]
        assert (parameter["what"], parameter["version"]) == ("parameter", 1)
        assert parameter["value"] == {"shock": "0.15", "residual": "0.02"}[parameter["parameter"]]


def test_text_of_the_table_runs_in_no_spreadsheet(desk: Desk) -> None:
    result = a_result()
    bucket: Any = result.scope.bucket
    name = f"{bucket.account.code}/{bucket.code}"
    printed = StringIO()
    call_command("explain", result.run.number, name, "--csv", stdout=printed)
    _, *rows = csv.reader(StringIO(printed.getvalue()))
    for row in rows:
        for text in row:
            assert STRICT_DECIMAL.fullmatch(text) or not text.startswith(("=", "+", "-", "@"))
    assert (
        as_json(find_result(result.run.number, name))["portfolio_model"]["parameter_set"]["code"]
        == "S1"
    )


def test_a_label_that_a_spreadsheet_would_run_is_made_harmless(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = a_result()
    bucket: Any = result.scope.bucket
    monkeypatch.setattr(
        "margin.explanation._lines",
        lambda node, above: _lines(Node("=1+1", Decimal(-1), "@x"), above),
    )
    printed = StringIO()
    call_command(
        "explain", result.run.number, f"{bucket.account.code}/{bucket.code}", "--csv",
        stdout=printed,
    )  # fmt: skip
    _, first, *_ = csv.reader(StringIO(printed.getvalue()))
    assert first[:4] == ["'=1+1", "leaf", "-1", "'@x"]
