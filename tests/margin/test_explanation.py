"""Why a number is what it is: parts that add up, leaves that lead to the rows behind them."""

import json
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from accounts.audit import Actor, acting
from ledger.models import Posting
from margin.engine.explain import ExplanationError
from margin.explanation import (
    StoredPart,
    UnknownScopeError,
    as_json,
    explain_result,
    find_result,
    stored_parts,
)
from margin.models import MarginResult, MarginRun, Mark
from margin.parts import parts_of
from margin.screens.drawer import drawer
from tests.margin.firm import PERPETUAL, SmallFirm

DESK = Actor.command("test")


def names_of(run: str) -> list[str]:
    """The scopes of a run as the command names them."""
    rows = MarginResult.objects.filter(run__number=run).values_list(
        "scope__bucket__account__code", "scope__bucket__code"
    )
    return [f"{account}/{bucket}" for account, bucket in rows.order_by("pk")]


def perpetual_part(firm: SmallFirm) -> StoredPart:
    """A part of initial margin that a bracket was charged for."""
    for name in names_of(firm.second_run):
        for part in stored_parts(find_result(firm.second_run, name)):
            if part.bracket is not None and part.row.total == "initial_margin":
                return part
    raise AssertionError("nobody holds a perpetual")


def test_every_scope_is_explained_from_what_is_stored(firm: SmallFirm) -> None:
    names = names_of(firm.second_run)
    assert names
    for name in names:
        result = find_result(firm.second_run, name)
        said = explain_result(result, stored_parts(result))
        assert said.equity.amount == result.equity
        assert sum(part.amount for part in said.equity.children) == result.equity
        assert said.figures.state == result.state


def test_the_drawer_says_that_parts_add_up_only_where_they_do(firm: SmallFirm) -> None:
    result = find_result(firm.second_run, names_of(firm.second_run)[0])
    assert drawer(result, "equity", close="/", unit="USD").adds_up
    result.equity += Decimal("0.000000000000000001")
    shown = drawer(result, "equity", close="/", unit="USD")
    assert not shown.adds_up
    assert shown.difference == Decimal("0.000000000000000001")
    with pytest.raises(ExplanationError, match="parts_add_up"):
        explain_result(result, stored_parts(result))


def test_a_leaf_leads_to_its_mark_its_bracket_and_its_posting(firm: SmallFirm) -> None:
    part = perpetual_part(firm)
    mark, bracket, posting = part.row.mark, part.bracket, part.posting
    assert mark is not None
    assert bracket is not None
    assert posting is not None
    assert (mark.asset_id, mark.price) == (part.row.asset_id, Decimal(part.row.terms["price"]))
    notional = abs(part.component.quantity) * mark.price
    assert bracket.floor <= notional
    assert bracket.ceiling is None or notional < bracket.ceiling
    assert bracket.initial_rate == part.component.rate
    assert -Posting.objects.get(pk=posting.pk).balance_after == part.component.quantity


def test_a_carried_mark_names_the_valid_one_it_comes_from(firm: SmallFirm) -> None:
    part = perpetual_part(firm)
    assert part.row.asset.code == PERPETUAL
    assert part.row.mark is not None
    assert part.row.mark.state == Mark.State.INSUFFICIENT
    assert part.valid_mark is not None
    assert part.valid_mark.state == Mark.State.VALID
    assert part.valid_mark.price == part.row.mark.price


@pytest.mark.parametrize(
    ("run", "scope", "words"),
    [
        ("MR-000000-9", "A0001/FREE", "There is no run MR-000000-9."),
        ("MR-310304-1", "nobody/FREE", "Run MR-310304-1 says nothing of a scope nobody/FREE."),
    ],
    ids=["run", "scope"],
)
def test_an_unknown_name_is_refused_with_a_sentence(
    firm: SmallFirm, run: str, scope: str, words: str
) -> None:
    with pytest.raises(UnknownScopeError, match=words.replace(".", r"\.")):
        find_result(run, scope)
    with pytest.raises(CommandError) as refused:
        call_command("explain", run, scope, stdout=StringIO())
    assert (str(refused.value), refused.value.returncode) == (words, 2)


def test_the_command_prints_one_object_with_exact_text(firm: SmallFirm) -> None:
    name = names_of(firm.second_run)[0]
    printed = StringIO()
    call_command("explain", firm.second_run, name, "--json", stdout=printed)
    said = json.loads(printed.getvalue())
    result = find_result(firm.second_run, name)
    assert said == json.loads(json.dumps(as_json(result)))
    assert said["scope"] == name
    assert Decimal(said["initial_margin"]["amount"]) == result.initial_margin
    assert said["state"]["state"] == result.state


def test_explaining_asks_the_same_number_of_queries_for_any_number_of_parts(
    firm: SmallFirm, django_assert_max_num_queries: object
) -> None:
    results = [find_result(firm.first_run, name) for name in names_of(firm.first_run)]
    # A run in columns has its ground and its block in place of rows.
    most = 7 if results[0].run.layout == MarginRun.Layout.ROWS else 8
    for result in sorted(results, key=lambda each: len(parts_of([each])))[-3:]:
        with django_assert_max_num_queries(most):  # type: ignore[operator]
            assert stored_parts(result)


def test_a_past_run_replays_to_the_same_result(firm: SmallFirm) -> None:
    printed = StringIO()
    call_command("replay", firm.first_run, "--json", stdout=printed)
    said = json.loads(printed.getvalue())
    assert (said["same"], said["same_inputs"]) == (True, True)
    assert said["result_sha256"]["now"] == said["result_sha256"]["stored"]


def copied_run(firm: SmallFirm, **changed: str) -> MarginRun:
    """A run that claims other hashes than its inputs give."""
    run = MarginRun.objects.filter(number=firm.second_run).values().get()
    kept = {name: run[name] for name in run.keys() - {"id", "xid", "finished_at"}}
    with acting(DESK, reason="A run whose result nobody could repeat"):
        return MarginRun.objects.create(**(kept | {"number": "MR-310304-9"} | changed))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"result_sha256": "0" * 64}, "gives another result from the same inputs"),
        ({"inputs_sha256": "0" * 64}, "its inputs read differently now"),
    ],
    ids=["result", "inputs"],
)
def test_a_run_that_does_not_repeat_ends_with_one(
    firm: SmallFirm, changed: dict[str, str], words: str
) -> None:
    copied_run(firm, **changed)
    printed = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("replay", "MR-310304-9", stdout=printed)
    assert ended.value.code == 1
    assert words in printed.getvalue()


def test_replaying_an_unknown_run_ends_with_two(firm: SmallFirm) -> None:
    with pytest.raises(CommandError, match=r"There is no run MR-1\.") as refused:
        call_command("replay", "MR-1", stdout=StringIO())
    assert refused.value.returncode == 2
