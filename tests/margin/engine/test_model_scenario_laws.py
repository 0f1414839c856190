"""What holds for the scenario margin whatever is declared, and that it is the published one."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margin.engine import units
from margin.engine.books import Books
from margin.engine.contingencies import BasisTerms, ConfidenceTerms, PegTerms
from margin.engine.given import Float
from margin.engine.market import Kind, Market
from margin.engine.model import Part, in_order
from margin.engine.models.scenario import MODEL, PreparedScenario
from margin.engine.models.scenario_parameters import (
    STANDARD,
    ContingencyTerms,
    DeclaredScenario,
    LiquidityTerms,
    NamedRange,
    Netting,
    ScenarioParameters,
    VolatilityMove,
)
from margin.engine.option_value import OptionValue
from margin.engine.scenario_grid import DiscountTerms, SkewCap, SkewTerms, VolatilityTerms
from margin.engine.scenario_portfolio import requirement as published_requirement
from margin.engine.slow.scenario import requirements
from margin.engine.worlds import world
from margin.published.scenarios import read_parameters
from tests.margin.engine.scenario_portfolios import engine, portfolios
from tests.margin.engine.tiny_market import Listed, hold, market_of

SEEDS = st.integers(0, 2**32 - 1)
NETTINGS = pytest.mark.parametrize("netting", list(Netting))
UNSKEWED = tuple(each for each in STANDARD.scenarios if "skew" not in each.volatility)
NO_DISCOUNT = DiscountTerms(1.0, 1.0, 0.0, 0.0, 0.0, 0.0)
LINEAR = replace(STANDARD, scenarios=UNSKEWED, discount=NO_DISCOUNT)


def rolled(books: Books) -> Books:
    return books.select(np.roll(np.arange(len(books)), 1))


@st.composite
def parameters(draw: st.DrawFn) -> ScenarioParameters:
    """Parameters for worlds of three underlyings."""
    share, some = st.floats(0.0, 1.0), st.floats(0.0, 0.1)
    plain = st.sampled_from([VolatilityMove.UP, VolatilityMove.SAME, VolatilityMove.DOWN])
    skews = st.sampled_from([move for move in VolatilityMove if "skew" in move])
    scenario = st.builds(DeclaredScenario, st.floats(-4.0, 4.0), plain, share)
    tilted = st.builds(DeclaredScenario, st.just(0.0), skews, share)
    listed = draw(st.lists(scenario, min_size=1, max_size=8, unique_by=lambda each: each.name))
    listed += draw(st.lists(tilted, max_size=3, unique_by=lambda each: each.name))
    factor = draw(share)
    linear, absolute = (SkewCap(draw(share), draw(st.floats(-0.2, 0.2))) for _ in range(2))
    up, down, floor, near, far = (draw(share) for _ in range(5))
    slope = draw(st.floats(-0.5, 0.5))
    discount = DiscountTerms(draw(share), 1.0 + draw(share), *(draw(share) for _ in range(4)))
    return ScenarioParameters(
        netting=draw(st.sampled_from(Netting)),
        price_range=draw(share),
        named=(NamedRange("U1", draw(share)), NamedRange("U8", 0.5)),
        scenarios=tuple(listed),
        days_passed=draw(st.sampled_from([0.0, 1.0, 5.0])),
        volatility=VolatilityTerms(up, down, floor, near, far, 1.0),
        skew=SkewTerms(linear, absolute, draw(some), draw(share), draw(share), slope),
        discount=draw(st.sampled_from([NO_DISCOUNT, discount])),
        basis=BasisTerms(1.0 + draw(some), 1.0 - draw(some), draw(share), draw(share)),
        contingencies=ContingencyTerms(*(draw(some) for _ in range(6))),
        confidence=ConfidenceTerms(draw(share), draw(share)),
        stable_coin=draw(st.sampled_from(["", "U2"])),
        peg=PegTerms(draw(st.floats(0.0, 100.0)), draw(some)),
        liquidity=LiquidityTerms(draw(some), draw(share)),
        rate_move=draw(some),
        option_value=draw(st.sampled_from(OptionValue)),
        maintenance_factor=factor,
        initial_factor=factor + draw(share),
    )


@given(SEEDS, parameters())
@settings(max_examples=40, deadline=None)
def test_whatever_is_declared_the_slow_implementation_agrees(
    seed: int, declared: ScenarioParameters
) -> None:
    market, books = world(seed, scopes=6)
    said = PreparedScenario(market, declared).requirement(books)
    slow = np.array(requirements(market, declared, books))
    np.testing.assert_allclose(said.initial, slow[:, 0], rtol=1e-7, atol=1e-4)
    np.testing.assert_allclose(said.maintenance, slow[:, 1], rtol=1e-7, atol=1e-4)


@given(SEEDS, parameters())
@settings(max_examples=40, deadline=None)
def test_whatever_is_declared_requirements_are_in_order_and_explained(
    seed: int, declared: ScenarioParameters
) -> None:
    market, books = world(seed, scopes=6)
    prepared = PreparedScenario(market, declared)
    said = prepared.requirement(books)
    assert (said.initial >= said.maintenance).all()
    assert (said.maintenance >= 0).all()
    assert (in_order(said.initial_parts) == said.initial).all()
    assert ((said.binding >= 0) == (said.initial > 0)).all()
    for scope in range(len(books)):
        totals = (said.initial[scope], said.maintenance[scope])
        sizes = np.abs(books.of(scope)[1]) * market.notionals[books.of(scope)[0]]
        for tree, total in zip(prepared.explain(books, scope=scope), totals, strict=True):
            assert tree.amount == total
            adds_up(tree, scale=1.0 + sizes.sum())


def adds_up(part: Part, *, scale: float) -> None:
    if part.children:
        total = sum(child.amount for child in part.children)
        assert abs(total - part.amount) <= 1e-9 * scale, part.label
    for child in part.children:
        adds_up(child, scale=scale)


@NETTINGS
@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_books_together_lose_no_more_than_apart(netting: Netting, seed: int) -> None:
    market, books = world(seed, scopes=12)
    prepared = PreparedScenario(market, replace(STANDARD, netting=netting))
    one, two, both = (
        prepared.requirement(each).maintenance_parts[:, :2].sum(axis=1)
        for each in (books, rolled(books), books.plus(rolled(books)))
    )
    assert (both <= one + two + 1e-9 * (one + two + 1.0)).all()


@given(SEEDS, parameters())
@settings(max_examples=40, deadline=None)
def test_all_but_the_liquidity_contingency_is_sub_additive_and_scales(
    seed: int, declared: ScenarioParameters
) -> None:
    """Where option value counts whatever its sign, or not at all: a value that one book may use
    and the debt of another, which counts for nothing, leave less to use together."""
    if declared.option_value is OptionValue.LONG_ONLY:
        declared = replace(declared, option_value=OptionValue.NET)
    market, books = world(seed, scopes=12)
    prepared = PreparedScenario(
        market, replace(declared, liquidity=LiquidityTerms(volume_share=0.0, rate=0.02))
    )
    one, two, both, three = (
        prepared.requirement(each).initial
        for each in (books, rolled(books), books.plus(rolled(books)), books.times(3.0))
    )
    # Sums of much larger values that cancel out leave their rounding behind.
    sizes = np.bincount(
        books.scopes,
        weights=np.abs(books.quantities) * market.notionals[books.instruments],
        minlength=len(books),
    )
    noise = 1e-10 * (1.0 + sizes + np.roll(sizes, 1))
    assert (both <= (one + two) * (1 + 1e-9) + noise).all()
    np.testing.assert_array_less(np.abs(three - 3 * one), 1e-9 * one + 3 * noise)


def worst_column(prepared: PreparedScenario, books: Books) -> Float:
    """(N,) what each unit loses, from the positions and its worst scenario's column alone."""
    found = prepared.losses(books)
    amounts = []
    for row, outcome in enumerate(found.outcomes):
        alone = prepared.losses(books, outcome=int(outcome))
        total = 0.0
        for whose, gain in zip(alone.rows[alone.held.books.scopes], alone.gains, strict=True):
            if whose == row:
                total += float(gain)
        amounts.append(max(-total, 0.0))
    return np.array(amounts)


@NETTINGS
@pytest.mark.parametrize("declared", [STANDARD, LINEAR], ids=["standard", "linear"])
@given(SEEDS)
@settings(max_examples=10, deadline=None)
def test_the_column_of_the_worst_scenario_gives_the_loss_to_the_last_bit(
    declared: ScenarioParameters, netting: Netting, seed: int
) -> None:
    market, books = world(seed, scopes=5)
    prepared = PreparedScenario(market, replace(declared, netting=netting))
    assert worst_column(prepared, books).tolist() == prepared.losses(books).amounts.tolist()


@pytest.mark.parametrize("declared", [STANDARD, LINEAR], ids=["standard", "linear"])
@given(SEEDS)
@settings(max_examples=15, deadline=None)
def test_a_market_with_the_worst_scenario_alone_requires_the_same_to_the_last_bit(
    declared: ScenarioParameters, seed: int
) -> None:
    together = replace(declared, netting=Netting.ALL_TOGETHER)
    market, books = world(seed, scopes=4)
    prepared = PreparedScenario(market, together)
    said = prepared.requirement(books)
    for scope in np.flatnonzero(np.diff(books.starts)).tolist():
        one = books.select([scope])
        (unit,) = prepared.losses(one).outcomes
        tree = prepared.explain(books, scope=scope).initial
        branch = tree.children[0].children or tree.children[1].children
        named = dict(branch[0].inputs[0])["scenario"]
        assert named == prepared.bindings[unit]
        chosen = tuple(each for each in together.scenarios if each.name == named)
        only = PreparedScenario(market, replace(together, scenarios=chosen or together.scenarios))
        again = only.requirement(one)
        assert again.initial[0] == said.initial[scope]
        assert again.maintenance[0] == said.maintenance[scope]
        assert (again.initial_parts[0] == said.initial_parts[scope]).all()


@given(SEEDS)
@settings(max_examples=20, deadline=None)
def test_linear_outcomes_are_found_as_by_expiry(seed: int) -> None:
    """A smile that does not tilt adds a scenario without loss, and takes the longer way."""
    flat = replace(STANDARD.skew, linear=SkewCap(0.0, 0.0))
    tilt = DeclaredScenario(0.0, VolatilityMove.LINEAR_SKEW, 1.0)
    market, books = world(seed)
    short = PreparedScenario(market, LINEAR)
    long = PreparedScenario(market, replace(LINEAR, scenarios=(*LINEAR.scenarios, tilt), skew=flat))
    assert short.scenario_columns.is_linear
    assert not long.scenario_columns.is_linear
    np.testing.assert_allclose(
        short.requirement(books).initial, long.requirement(books).initial, rtol=1e-12, atol=1e-9
    )


@given(SEEDS, st.floats(1.0, 3.0))
@settings(max_examples=20, deadline=None)
def test_what_is_dampened_less_requires_no_less(seed: int, factor: float) -> None:
    market, books = world(seed)
    raised = tuple(replace(each, dampening=each.dampening * factor) for each in STANDARD.scenarios)
    before = PreparedScenario(market, STANDARD).requirement(books)
    after = PreparedScenario(market, replace(STANDARD, scenarios=raised)).requirement(books)
    assert (after.initial >= before.initial * (1 - 1e-12)).all()


@pytest.mark.parametrize("declared", [STANDARD, LINEAR], ids=["standard", "linear"])
def test_pieces_change_nothing(
    declared: ScenarioParameters, monkeypatch: pytest.MonkeyPatch
) -> None:
    market, books = world(3, scopes=60)
    prepared = MODEL.prepare(market, declared)
    whole = prepared.requirement(books)
    monkeypatch.setattr(units, "PIECE", 16)
    pieces = prepared.requirement(books)
    assert (pieces.initial_parts == whole.initial_parts).all()
    assert (pieces.binding == whole.binding).all()


def as_market(scenario: dict[str, Any]) -> tuple[Market, Books]:
    """A published portfolio as a market of the models, and its holder."""
    feeds = {each["FeedExpiry"]: each for each in scenario["OptionFeeds"]}
    held = {"PERP": float(scenario["NumPerps"])}
    listed = [Listed("PERP", price=scenario["PerpPrice"], forward=scenario["PerpPrice"])]
    for place, each in enumerate(scenario["Options"]):
        feed = feeds[each["Expiry"]]
        listed.append(
            Listed(
                f"OPTION-{place}",
                Kind.OPTION,
                strike=each["Strike"],
                right=1 if each["IsCall"] else -1,
                days=each["Expiry"] / 86_400,
                volatility=each["MarkVol"],
                rate=feed["Rate"],
                forward=feed["Forward"],
            )
        )
        held[f"OPTION-{place}"] = each["Amount"]
    market = market_of(*listed, spots=(scenario["SpotPrice"],))
    return market, hold(market, held)


def as_parameters(fields: dict[str, Any]) -> ScenarioParameters:
    """The terms of the loss of a published portfolio."""
    read = read_parameters(fields)
    moves = list(VolatilityMove)
    order = ("None", "Up", "Down", "LINEAR", "ABS")
    return replace(
        STANDARD,
        price_range=1.0,
        named=(),
        scenarios=tuple(
            DeclaredScenario(
                each["SpotShock"] - 1,
                moves[order.index(each["VolShockDirection"])],
                float(each["DampeningFactor"]),
            )
            for each in fields["Scenarios"]
        ),
        volatility=read.volatility,
        skew=read.skew,
        discount=read.discount,
        basis=read.basis,
    )


@pytest.mark.parametrize("has_skews", [False, True], ids=["discounts", "skews"])
@given(portfolios())
@settings(max_examples=40, deadline=None)
def test_one_underlying_loses_what_the_published_margin_says(
    has_skews: bool, inputs: dict[str, Any]
) -> None:
    """Without the average of the last half hour. Where values are cut, a skew may ask more."""
    scenario, fields = inputs["Scenario"], inputs["Parameters"]
    scenario["Collaterals"] = []
    for each in scenario["OptionFeeds"]:
        each["Rate"] = abs(each["Rate"])
    for each in (*scenario["Options"], *scenario["OptionFeeds"]):
        for name in ("Expiry", "FeedExpiry"):
            if each.get(name) == 600:
                each[name] = 3_600
    if has_skews:
        fields["Margin"] |= {
            "BASE_STATIC_DISCOUNT": 1.0, "BASE_STATIC_DISCOUNT_NEG": 1.0,
            "LONG_RATE_MULTSCALE": 0.0, "LONG_RATE_ADDSCALE": 0.0,
            "SHORT_RATE_MULTSCALE": 0.0, "SHORT_RATE_ADDSCALE": 0.0,
        }  # fmt: skip
    else:
        fields["Scenarios"] = [
            each
            for each in fields["Scenarios"]
            if each["VolShockDirection"] in ("None", "Up", "Down")
        ]
    priced, book = engine(inputs)
    published = published_requirement(book, prepared=priced).worst[0]
    market, books = as_market(scenario)
    losses = PreparedScenario(market, as_parameters(fields)).losses(books)
    noise = 1e-12 * (np.abs(books.quantities) * 200).sum()
    assert losses.amounts.sum() == pytest.approx(-published, rel=1e-9, abs=1e-9 + noise)
