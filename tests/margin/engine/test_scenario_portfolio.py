"""A scenario margin: published portfolios, one by hand, its laws, and a slow one beside it."""

import copy
import json
import random
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margin.engine.scenario_market import Books, Holdings
from margin.engine.scenario_portfolio import (
    PortfolioRequirement,
    requirement,
)
from margin.published.scenarios import (
    scenario_portfolio,
    scenario_portfolio_lists,
    single_figures,
)
from tests.margin.engine.scenario_portfolios import (
    collateral,
    engine,
    feed,
    holdings,
    option,
    portfolio,
    portfolios,
)
from tests.margin.engine.slow_scenarios import slow_scenario_portfolio

TOLERANCE = 1e-8
# A hedged book moves by rounding alone, and what rounding leaves has no digits to agree on.
NOISE = 1e-8


def published(shared_dir: Path) -> list[dict[str, Any]]:
    table = json.loads((shared_dir / "vectors/margin/scenario_portfolio.json").read_text())
    cases: list[dict[str, Any]] = table["cases"]
    return cases


def leaves(figure: Any) -> list[float]:
    """The numbers of a published figure; of a labelled loss, which is text, only the loss."""
    if not isinstance(figure, list):
        return [float(figure)]
    rows = [row[-1] if isinstance(row, list) and isinstance(row[-1], str) else row
            for row in figure]  # fmt: skip
    return [number for row in rows for number in leaves(row)]


def test_published_portfolios_in_every_part(shared_dir: Path) -> None:
    for case in published(shared_dir):
        expected = case["expected"]
        got = single_figures(case["inputs"]) | scenario_portfolio_lists(case["inputs"])
        unnamed = {name for name, figure in expected.items() if not isinstance(figure, str)}
        unnamed -= set(got) | {"worst_reg_scenario", "worst_tail_scenario"}
        assert unnamed == set(), case["id"]
        for name, figure in got.items():
            wanted = pytest.approx(leaves(expected[name]), rel=TOLERANCE, abs=NOISE)
            assert leaves(figure) == wanted, (case["id"], name)


def test_published_portfolios_are_decided_by_the_same_kind_of_scenario(shared_dir: Path) -> None:
    for case in published(shared_dir):
        prepared, books = engine(case["inputs"])
        answer, grid = requirement(books, prepared=prepared), prepared.parameters.grid
        if -NOISE < answer.worst[0] < 0:
            continue
        kinds = {"regular": grid.regular, "tail": grid.tails, "skew": grid.skewed}
        kind = case["expected"]["worst_all_scenarios"]
        assert kinds[kind][answer.binding[0]], case["id"]


def test_a_perpetual_hedged_by_collateral_by_hand() -> None:
    """Two perpetuals short at 101 lose 40.4 when prices rise by a fifth; ten units worth 2 gain 4.

    Far out they lose 404 and gain 40, of which a twentieth counts: 18.2.
    """
    inputs = portfolio(
        {"NumPerps": -2, "Cash": 1_000, "UnrealisedPerpPNL": -2, "UnrealisedFunding": 1}
        | {"Collaterals": [collateral(IsRiskCancelling=True)]}
    )
    answer = scenario_portfolio(inputs)
    assert answer["worst_reg_loss"] == pytest.approx(-36.4, rel=1e-14)
    assert answer["worst_tail_loss"] == pytest.approx(-18.2, rel=1e-14)
    assert answer["worst_skew_loss"] == 0
    assert answer["PortfolioMTM"] == 1_019
    assert answer["MM"] == pytest.approx(1_019 - 0.75 * 36.4 - 4 - 2, rel=1e-14)
    assert answer["IM"] == pytest.approx(1_019 - 1.1 * 36.4 - 4 - 2 - 2 - 1, rel=1e-14)
    prepared, books = engine(inputs)
    found = requirement(books, prepared=prepared)
    assert found.binding.tolist() == [0]
    assert found.maintenance.required() == pytest.approx([0.75 * 36.4 + 6], rel=1e-14)


def test_an_expired_option_is_worth_its_exercise_and_moves_no_more() -> None:
    inputs = portfolio(
        {
            "Options": [option(Expiry=0, Strike=90.0, Amount=-3.0)],
            "OptionFeeds": [feed(FeedExpiry=0)],
        },
        Margin={"BASE_STATIC_DISCOUNT_NEG": 1},
    )
    answer = scenario_portfolio(inputs)
    assert answer["OptionMTM"] == -30
    assert answer["worst_reg_loss"] == answer["worst_tail_loss"] == 0
    assert answer["ForwardContingency"] == 0


def test_the_basis_may_decide() -> None:
    inputs = portfolio(
        {"Options": [option(MarkVol=0)], "OptionFeeds": [feed()]},
        BasisContingency={"BASIS_CONT_ADD_FACTOR": 20},
    )
    prepared, books = engine(inputs)
    answer = requirement(books, prepared=prepared)
    assert answer.binding.tolist() == [len(prepared.parameters.grid.spot_shocks)]
    assert answer.worst.tolist() == answer.options.basis[:, 0].tolist()


def test_the_worst_loss_of_no_scenario_is_none() -> None:
    inputs = portfolio({"NumPerps": 1})
    inputs["Parameters"]["Scenarios"] = inputs["Parameters"]["Scenarios"][:5]
    answer = scenario_portfolio(inputs)
    assert answer["worst_tail_loss"] is None
    assert answer["worst_skew_loss"] is None
    assert answer["worst_reg_loss"] == pytest.approx(-20.2, rel=1e-14)


def agree(inputs: dict[str, Any]) -> None:
    fast, slow = single_figures(inputs), slow_scenario_portfolio(inputs)
    for name, figure in slow.items():
        assert fast[name] == pytest.approx(figure, rel=1e-9, abs=1e-7), name


@settings(max_examples=200, deadline=None)
@given(portfolios())
def test_a_slow_computation_comes_to_the_same(inputs: dict[str, Any]) -> None:
    agree(inputs)


@pytest.mark.soak
@settings(max_examples=10_000, deadline=None)
@given(portfolios())
def test_a_slow_computation_comes_to_the_same_ten_thousand_times(inputs: dict[str, Any]) -> None:
    agree(inputs)


def copies(books: Books, *, factors: list[float]) -> Books:
    """One book held by several scopes, each in another size."""
    sizes = np.array(factors)

    def held(rows: Holdings, sign: Callable[[Any], Any]) -> Holdings:
        return Holdings(
            scopes=np.repeat(np.arange(len(sizes)), len(rows.amounts)),
            assets=np.tile(rows.assets, len(sizes)),
            amounts=np.outer(sign(sizes), rows.amounts).reshape(-1),
        )

    return Books(
        cash=sizes * books.cash[0],
        perpetuals=sizes * books.perpetuals[0],
        perpetual_profits=sizes * books.perpetual_profits[0],
        fundings=sizes * books.fundings[0],
        options=held(books.options, lambda size: size),
        collateral=held(books.collateral, np.abs),
    )


def shuffled(rows: Holdings, order: list[int]) -> Holdings:
    return Holdings(rows.scopes[order], rows.assets[order], rows.amounts[order])


def everything(answer: PortfolioRequirement) -> list[list[Any]]:
    """All figures that scopes have, one list per scope."""
    tables = [
        *answer.profits, *answer.options, *answer.maintenance, *answer.initial, answer.worst,
        answer.binding, answer.maintenance_surplus, answer.initial_surplus, answer.market_value,
    ]  # fmt: skip
    return [list(row) for row in zip(*(table.tolist() for table in tables), strict=True)]


sizes = st.lists(st.sampled_from([-3.0, -1.0, 0.0, 0.5, 1.0, 7.0]), min_size=1, max_size=5)


@settings(max_examples=50, deadline=None)
@given(portfolios(), sizes, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(
    inputs: dict[str, Any], factors: list[float], chance: random.Random
) -> None:
    prepared, books = engine(inputs)
    several = copies(books, factors=factors)
    order = list(range(len(several.options.amounts)))
    chance.shuffle(order)
    moved = Books(
        cash=several.cash,
        perpetuals=several.perpetuals,
        perpetual_profits=several.perpetual_profits,
        fundings=several.fundings,
        options=shuffled(several.options, order),
        collateral=shuffled(several.collateral, list(range(len(several.collateral.amounts)))[::-1]),
    )
    first, second = (requirement(each, prepared=prepared) for each in (several, moved))
    assert everything(first) == everything(second)


@settings(max_examples=50, deadline=None)
@given(portfolios(), sizes)
def test_one_at_a_time_is_the_same_as_all_at_once(
    inputs: dict[str, Any], factors: list[float]
) -> None:
    prepared, books = engine(inputs)
    together = everything(requirement(copies(books, factors=factors), prepared=prepared))
    for factor, found in zip(factors, together, strict=True):
        alone = requirement(copies(books, factors=[factor]), prepared=prepared)
        assert everything(alone) == [found]


@settings(max_examples=100, deadline=None)
@given(portfolios())
def test_the_parts_add_up_to_the_last_digit(inputs: dict[str, Any]) -> None:
    prepared, books = engine(inputs)
    answer = requirement(books, prepared=prepared)
    for parts, surplus in (
        (answer.maintenance, answer.maintenance_surplus),
        (answer.initial, answer.initial_surplus),
    ):
        assert reduce(lambda a, b: a + b, [float(part[0]) for part in parts]) == surplus[0]
        rest = answer.market_value - parts.required()
        assert rest == pytest.approx(surplus, rel=1e-12, abs=1e-8)
    by_scenario = zip(*(table[0].tolist() for table in answer.profits), strict=True)
    assert all(one + two + three == total for one, two, three, total in by_scenario)
    basis = reduce(lambda a, b: a + b, answer.options.basis[0].tolist(), 0.0)
    outcomes = [*answer.profits.total[0].tolist(), basis]
    assert outcomes[answer.binding[0]] == answer.worst[0] == min(outcomes)
    assert answer.maintenance.worst_loss[0] == answer.maintenance_factor * answer.worst[0]
    assert answer.initial.worst_loss[0] == answer.initial_factor * answer.worst[0]


@settings(max_examples=50, deadline=None)
@given(portfolios())
def test_an_empty_book_has_nothing_to_lose(inputs: dict[str, Any]) -> None:
    prepared, books = engine(inputs)
    answer = requirement(copies(books, factors=[0.0]), prepared=prepared)
    assert answer.worst.tolist() == [0]
    assert answer.maintenance_surplus.tolist() == answer.initial_surplus.tolist() == [0]


@settings(max_examples=100, deadline=None)
@given(portfolios())
def test_initial_margin_is_no_less_than_maintenance_margin(inputs: dict[str, Any]) -> None:
    prepared, books = engine(inputs)
    answer = requirement(books, prepared=prepared)
    assert answer.worst[0] <= 0
    assert answer.initial.required()[0] >= answer.maintenance.required()[0] >= 0


@settings(max_examples=100, deadline=None)
@given(portfolios(), st.data())
def test_books_together_lose_no_more_than_apart(
    inputs: dict[str, Any], data: st.DataObject
) -> None:
    """Which holds where a debt counts for no less than an asset, as it does in these markets."""
    prepared, one = engine(inputs)
    assert (prepared.discounts.short >= prepared.discounts.long).all()
    count = len(one.options.amounts)
    drawn = data.draw(st.lists(st.integers(-20, 20), min_size=count, max_size=count))
    other = Books(
        cash=np.zeros(1),
        perpetuals=np.array([float(data.draw(st.integers(-20, 20)))]),
        perpetual_profits=np.zeros(1),
        fundings=np.zeros(1),
        options=holdings([(0, n, float(amount)) for n, amount in enumerate(drawn)]),
        collateral=holdings([]),
    )
    both = Books(
        cash=one.cash,
        perpetuals=one.perpetuals + other.perpetuals,
        perpetual_profits=one.perpetual_profits,
        fundings=one.fundings,
        options=Holdings(
            *(np.concatenate(pair) for pair in zip(one.options, other.options, strict=True))
        ),
        collateral=one.collateral,
    )
    worst = [requirement(each, prepared=prepared).worst[0] for each in (one, other, both)]
    assert worst[2] >= worst[0] + worst[1] - 1e-9 * (1 + abs(worst[0]) + abs(worst[1]))


RATES = [
    ("OtherContingency", "MM_PERP_PERCENT"),
    ("OtherContingency", "IM_PERP_PERCENT"),
    ("OtherContingency", "MM_OPTION_PERCENT"),
    ("OtherContingency", "IM_OPTION_PERCENT"),
    ("OtherContingency", "CONF_MARGIN"),
    ("OtherContingency", "CONF_THRESHOLD"),
    ("OtherContingency", "PEG_LOSS_FACTOR"),
    ("BasisContingency", "BASIS_CONT_ADD_FACTOR"),
    ("BasisContingency", "BASIS_CONT_MULT_FACTOR"),
    ("Margin", "MM_LOSS_FACTOR"),
    ("Margin", "IM_LOSS_FACTOR"),
]


@pytest.mark.parametrize(("group", "rate"), RATES, ids=[rate for _, rate in RATES])
@settings(max_examples=25, deadline=None)
@given(portfolios(), st.floats(0, 2))
def test_a_higher_rate_asks_for_no_less(
    group: str, rate: str, inputs: dict[str, Any], rise: float
) -> None:
    raised = copy.deepcopy(inputs)
    raised["Parameters"][group][rate] += rise
    before, after = single_figures(inputs), single_figures(raised)
    for surplus in ("IM", "MM"):
        now, then = before[surplus], after[surplus]
        assert now is not None
        assert then is not None
        assert then <= now + 1e-12 * (1 + abs(now))
