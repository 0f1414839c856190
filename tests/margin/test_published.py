"""Files of published cases: what is matched, what is not, and what is no case at all."""

import json
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from math import inf, nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import call_command

from margin.engine.rejected import RejectedInputError
from margin.published import KINDS, SCHEDULES
from margin.published.agreement import Among, disagreements, tolerance
from margin.published.checked import FileReport, as_json, check_file, check_path, totals

ROOT = Path(__file__).resolve().parents[2]
NAKED = {
    "right": "Call",
    "strike": 100,
    "option_price": 2,
    "underlying": 110,
    "short_contracts": 1,
    "multiplier": 100,
    "pct": 0.2,
}
# A case of every kind, computed by hand.
BY_HAND: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {
    "black_scholes": [
        (
            {"type": "Put", "strike": 12, "spot": 10, "q": 0, "r": 0, "t": 0, "vol": 0.2},
            {"price": 2, "delta": -1, "gamma": 0, "vega": 0, "theta": 0, "rho": 0},
        )
    ],
    "leverage_margin": [
        (
            {"quantity": 1000, "price": 50, "leverage": 2, "rate": 0.04, "inverse": True},
            {"margin": 0.4},
        )
    ],
    "liquidation_price": [
        (
            {
                "exchange": "bybit",
                "side": side,
                "leverage": leverage,
                "entry": 100,
                "size": 2,
                "wallet": 200 / leverage,
                "mmr": 0,
                "maintenance_amount": 0,
                "taker_fee": 0,
            },
            {"liquidation_price": price},
        )
        for side, leverage, price in [(1, 4, 75.0), (-1, 4, 125.0), (1, 1, None)]
    ],
    "minimum_close_out": [
        (
            {"shortage": 5, "mr": mr, "liq_fee": 0.125, "if_fee": 0.125, "px": 10, "quote_px": 2},
            {"quantity": quantity},
        )
        for mr, quantity in [(0.5, 1.0), (0.25, None)]
    ],
    "naked_option": [(NAKED, {"maintenance": 2400})],
    "naked_option_observed": [(NAKED | {"right": "Put"}, {"maintenance": 1400})],
    "open_interest_scaled": [
        (
            {
                "price": 300,
                "exponent": -1,
                "baseCurrencyAtomicResolution": -6,
                "bigBaseQuantums": -100,
                "initialMarginPpm": 200_000,
                "maintenanceFractionPpm": 500_000,
                "openInterest": 500,
                "openInterestLowerCap": 10_000,
                "openInterestUpperCap": 20_000,
            },
            {"imr": 1800, "mmr": 300},
        )
    ],
    "span_scan": [({"arrays": [[-0.1] * 16, [-0.2] * 16]}, {"scan_risk": 0.3})],
    "tier_deductions": [
        ({"cap": 1000, "mmr": 0.01}, {"maint_amount": 0}),
        ({"cap": 5000, "mmr": 0.025}, {"maint_amount": 15}),
        ({"cap": None, "mmr": 0.1}, {"maint_amount": 390}),
    ],
    "value_at_risk": [
        ({"returns": [-4, -2, 1, 3], "confidence": 0.5}, {"value_at_risk": 2}),
        ({"returns": [-4, -2, 1, 3], "cutoff": 0.5}, {"value_at_risk": -0.5}),
    ],
}
WriteCases = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> WriteCases:
    """A file of cases; what is named replaces what would be written."""

    def write_file(kind: str = "naked_option", name: str | None = None, **changed: Any) -> Path:
        cases = [
            {"id": f"{kind} {place}", "inputs": inputs, "expected": expected}
            for place, (inputs, expected) in enumerate(BY_HAND.get(kind, BY_HAND["naked_option"]))
        ]
        document = {"kind": kind, "tolerance": {"abs": 0}, "cases": cases} | changed
        path = tmp_path / f"{name or kind}.json"
        path.write_text(json.dumps(document))
        return path

    return write_file


def counts(report: FileReport) -> tuple[int, int, int, int]:
    return report.cases, report.matched, report.mismatched, report.unsupported


def run(*paths: Path) -> tuple[dict[str, Any], int]:
    """What the command prints, and how it ends."""
    output, code = StringIO(), 0
    try:
        call_command("check_vectors", *map(str, paths), "--json", stdout=output)
    except SystemExit as ended:
        code = int(str(ended.code))
    said: dict[str, Any] = json.loads(output.getvalue())
    return said, code


@pytest.mark.parametrize("kind", sorted(BY_HAND))
def test_cases_by_hand_are_matched_and_wrong_ones_are_not(write: WriteCases, kind: str) -> None:
    count = len(BY_HAND[kind])
    assert counts(check_file(write(kind))) == (count, count, 0, 0)
    for figure in BY_HAND[kind][0][1]:
        cases = json.loads(write(kind).read_text())["cases"]
        cases[0]["expected"][figure] = 1e9 + 1
        report = check_file(write(kind, cases=cases))
        assert counts(report) == (count, count - 1, 1, 0)
        (mismatch,) = report.mismatches
        assert mismatch.id == f"{kind} 0"
        assert mismatch.expected == {figure: 1e9 + 1}
        assert mismatch.got == {figure: pytest.approx(BY_HAND[kind][0][1][figure])}


def test_shared_cases_are_matched(shared_dir: Path) -> None:
    folder = shared_dir / "vectors/margin"
    if not folder.is_dir():
        pytest.skip("no published cases beside the project")
    reports = [report for report in check_path(folder) if not report.unsupported]
    assert {report.kind for report in reports} & {*BY_HAND}
    assert [mismatch for report in reports for mismatch in report.mismatches] == []
    assert all(report.is_matched for report in reports)


@pytest.mark.parametrize("kind", sorted(BY_HAND))
def test_inputs_that_are_missing_or_of_another_sort_match_nothing(
    write: WriteCases, kind: str
) -> None:
    inputs, expected = BY_HAND[kind][0]
    optional = {"cutoff", "inverse", "openInterest", "openInterestLowerCap", "openInterestUpperCap"}
    for name in inputs.keys() - optional:
        others: list[Any] = [{}, "x", True, nan]
        wrongs: list[dict[str, Any]] = [{}, *({name: other} for other in others)]
        rest = {key: value for key, value in inputs.items() if key != name}
        for wrong in wrongs:
            report = check_file(
                write(kind, cases=[{"id": "a", "inputs": rest | wrong, "expected": expected}])
            )
            assert counts(report) == (1, 0, 1, 0), wrong
            assert report.mismatches[0].reason is not None


def test_an_unknown_kind_is_unsupported(write: WriteCases) -> None:
    assert "horoscope" not in {*KINDS, *SCHEDULES}
    report = check_file(write("horoscope"))
    assert counts(report) == (1, 0, 0, 1)
    assert not report.is_matched


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (7, "Case 0 is not an object."),
        ({}, "Case 0 has no id."),
        ({"id": "", "inputs": NAKED, "expected": {"maintenance": 2400}}, "Case 0 has no id."),
        ({"id": "a", "expected": {"maintenance": 2400}}, "Its inputs are not an object."),
        ({"id": "a", "inputs": NAKED}, "Its expected is not an object."),
        ({"id": "a", "inputs": NAKED, "expected": {}}, "It expects no figure."),
        ({"id": "a", "inputs": NAKED, "expected": {"b": []}}, "It expects no figure."),
        (
            {"id": "a", "inputs": NAKED, "expected": {"maintenance": nan}},
            "Expected gives maintenance as what is no finite number.",
        ),
        (
            {"id": "a", "inputs": NAKED, "expected": {"maintenance": "NaN"}},
            "Expected gives maintenance as what is no finite number.",
        ),
        (
            {"id": "a", "inputs": NAKED, "expected": {"maintenance": True}},
            "Expected gives maintenance as what is no finite number.",
        ),
        (
            {"id": "a", "inputs": NAKED, "expected": {"maintenance": 2400, "b": 1}},
            "The engine does not give b.",
        ),
        (
            {"id": "a", "inputs": NAKED | {"strike": -1}, "expected": {"maintenance": 2400}},
            "Strike has a value that is not above 0.",
        ),
    ],
)
def test_a_case_that_is_none_is_not_matched_and_says_why(
    write: WriteCases, entry: Any, reason: str
) -> None:
    good = {"id": "good", "inputs": NAKED, "expected": {"maintenance": 2400}}
    report = check_file(write(cases=[entry, good]))
    assert counts(report) == (2, 1, 1, 0)
    assert report.mismatches[0].reason == reason


def test_one_bad_tier_leaves_no_schedule(write: WriteCases) -> None:
    cases = json.loads(write("tier_deductions").read_text())["cases"]
    report = check_file(write("tier_deductions", cases=[*cases, 7]))
    assert counts(report) == (4, 0, 4, 0)
    report = check_file(write("tier_deductions", cases=cases[::-1]))
    assert counts(report) == (3, 0, 3, 0)
    assert {each.reason for each in report.mismatches} == {
        "Only the last tier may be without a cap."
    }


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "It is not JSON"),
        ("{", "It is not JSON"),
        ("[" * 100_000, "It is not JSON"),
        ("[]", "It is not an object"),
        ("{}", "It names no kind."),
        ('{"kind": 7}', "It names no kind."),
        ('{"kind": "a", "tolerance": {"abs": 1}}', "It has no list of cases."),
        ('{"kind": "a", "tolerance": {"abs": 1}, "cases": []}', "It has no list of cases."),
        ('{"kind": "a", "cases": [1]}', "The tolerance is neither"),
        ('{"kind": "a", "kind": "b", "tolerance": {"abs": 1}, "cases": [1]}', "It is not JSON"),
    ],
)
def test_a_file_that_is_none_is_said_in_a_sentence(tmp_path: Path, text: str, error: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    report = check_file(path)
    assert report.error is not None
    assert report.error.startswith(error)
    assert "\n" not in report.error
    assert counts(report) == (0, 0, 0, 0)
    assert not report.is_matched


@pytest.mark.parametrize(
    "given",
    [None, 1, {}, {"abs": -1}, {"abs": nan}, {"abs": True}, {"abs": "1"}, {"abs": None},
     {"abs": inf}, {"rel": [1]}, {"far": 1}, {"abs": 1, "rel": 1}],
)  # fmt: skip
def test_a_tolerance_that_is_none_is_refused(given: Any) -> None:
    assert tolerance({"abs": 0}).amount == 0
    with pytest.raises(RejectedInputError):
        tolerance(given)


@pytest.mark.parametrize(
    ("within", "expected", "got", "agrees"),
    [
        ({"abs": 0}, 10**40 + 1, 10**40 + 1, True),
        ({"abs": 0}, 10**40 + 1, 10**40, False),
        ({"abs": 0}, 1, np.float64(1), True),
        ({"abs": 0}, 1, np.int64(1), True),
        ({"abs": 0.5}, 10, 10.5, True),
        ({"abs": 0.5}, 10, 10.500001, False),
        ({"rel": 0.5}, -10, -5, True),
        ({"rel": 0.5}, -10, -4.99, False),
        ({"rel": 0.5}, 0, 1e-300, False),
        ({"rel": 1e-9}, "0.1000", 0.1, True),
        ({"abs": 1e9}, 1, nan, False),
        ({"abs": 1e9}, 1, inf, False),
        ({"abs": 1e9}, 1, None, False),
        ({"abs": 1e9}, 1, True, False),
        ({"abs": 1e9}, None, 0, False),
        ({"abs": 1e9}, None, nan, False),
        ({"abs": 1e9}, None, None, True),
        ({"abs": 0}, "regular", "regular", True),
        ({"abs": 0}, "regular", "tail", False),
        ({"abs": 0}, [[1, "2"], None], [(1.0, 2), None], True),
        ({"abs": 0}, [[1, "2"], None], [(1.0, 3), None], False),
        ({"abs": 0}, [1, 2], np.array([1.0, 2.0]), True),
        ({"abs": 0}, [1, 2], [1], False),
        ({"abs": 0}, [], [], True),
        ({"abs": 0}, [1], 1, False),
        ({"abs": 0}, {"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}, True),
        ({"abs": 0}, {"a": {"b": 1}}, {"a": {"c": 1}}, False),
        ({"abs": 0}, {"a": 1}, [1], False),
    ],
)
def test_what_agrees(within: dict[str, float], expected: Any, got: Any, agrees: bool) -> None:
    found = list(disagreements(got, expected=expected, within=tolerance(within)))
    assert (not found) is agrees


def test_rounding_of_larger_figures_is_passed_over_and_nothing_more() -> None:
    expected = {"sum": 0.0, "parts": [30_000, "-30000"]}
    within = tolerance({"rel": 1e-8}).beside(expected)
    near = {"sum": 2e-10, "parts": [30_000, -30_000]}
    assert not list(disagreements(near, expected=expected, within=within))
    for wrong in ({"sum": 4e-10}, {"sum": None}, {"parts": [30_000, -30_001]}):
        assert list(disagreements(near | wrong, expected=expected, within=within)), wrong
    exact = tolerance({"rel": 0}).beside(expected)
    assert list(disagreements(near, expected=expected, within=exact))
    assert tolerance({"abs": 1e-12}).beside(expected) == tolerance({"abs": 1e-12})


def test_of_equals_any_will_do() -> None:
    within = tolerance({"abs": 0})
    equals = Among([["up", 1], ["down", -1]])
    assert not list(disagreements(equals, expected=["down", -1], within=within))
    (found,) = disagreements(equals, expected=["down", 2], within=within, name="worst")
    assert found.name == "worst[1]"
    assert list(disagreements(Among(), expected="up", within=within))


def test_a_disagreement_is_named_by_its_path() -> None:
    expected, got = {"a": [{"b.c": 1}, {"b.c": 2}]}, {"a": [{"b.c": 1}, {"b.c": 3}]}
    (found,) = disagreements(got, expected=expected, within=tolerance({"abs": 0}))
    assert (found.name, found.expected, found.got) == ("a[1].b.c", 2, 3)


def test_the_command_ends_well_only_where_all_is_matched(write: WriteCases, tmp_path: Path) -> None:
    good = write("naked_option"), write("tier_deductions")
    said, code = run(*good)
    whole = {"cases": 4, "matched": 4, "mismatched": 0, "unsupported": 0, "unreadable": 0}
    assert (said["total"], code) == (whole, 0)
    assert [each["file"] for each in said["files"]] == [str(path) for path in good]

    wrong = write(cases=[{"id": "a", "inputs": NAKED, "expected": {"maintenance": nan}}])
    unknown, absent = write("horoscope"), tmp_path / "absent.json"
    for path, name in [(wrong, "mismatched"), (unknown, "unsupported"), (absent, "unreadable")]:
        said, code = run(good[1], path)
        assert (said["total"][name], said["total"]["matched"], code) == (1, 3, 1)
        assert said["total"] == totals([*check_path(good[1]), *check_path(path)])


def test_a_folder_is_its_files(write: WriteCases, tmp_path: Path) -> None:
    assert check_path(tmp_path)[0].error == "The folder has no file of cases."
    write("span_scan"), write("naked_option")
    (tmp_path / "notes.txt").write_text("no case")
    said, code = run(tmp_path)
    assert [each["kind"] for each in said["files"]] == ["naked_option", "span_scan"]
    assert code == 0


def test_a_figure_without_end_is_still_json(write: WriteCases) -> None:
    at_the_strike = BY_HAND["black_scholes"][0][0] | {"spot": 12}
    path = write(
        "black_scholes",
        cases=[{"id": "a", "inputs": at_the_strike, "expected": {"gamma": 1, "theta": 1}}],
    )
    said = as_json(check_file(path))
    assert said["mismatches"][0]["got"] == {"gamma": "inf", "theta": "-inf"}
    json.dumps(said, allow_nan=False)


def test_the_table_says_what_differs(write: WriteCases) -> None:
    output = StringIO()
    path = write(
        cases=[
            {"id": "a", "inputs": NAKED, "expected": {"maintenance": 2401}},
            {"id": "b", "inputs": {}, "expected": {"maintenance": 2401}},
            {"id": "\ud800", "inputs": NAKED, "expected": {"maintenance": 2401}},
        ]
    )
    with pytest.raises(SystemExit):
        call_command("check_vectors", str(path), stdout=output)
    table = output.getvalue()
    assert "a: maintenance is 2400.0, expected 2401" in table
    assert "\\ud800: maintenance is 2400.0, expected 2401" in table
    assert "b: The inputs have no short_contracts." in table


def test_the_command_needs_no_database(write: WriteCases, tmp_path: Path) -> None:
    environment = {
        "DATABASE_URL": "host=/nonexistent dbname=none",
        "SECRET_KEY": "unused",
        "BROKERAGE_VAR": str(tmp_path / "var"),
    }
    command = [sys.executable, "manage.py", "check_vectors", str(write("span_scan")), "--json"]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert json.loads(ended.stdout)["total"]["matched"] == 1
