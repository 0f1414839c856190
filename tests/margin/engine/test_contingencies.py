"""What is asked beside scenarios, computed by hand on single portfolios."""

from typing import Any

import pytest

from margin.published.scenarios import scenario_portfolio
from tests.margin.engine.scenario_portfolios import collateral, feed, option, portfolio

LATER = 5_184_000


def figures(scenario: dict[str, Any], **parameters: Any) -> dict[str, float | None]:
    return scenario_portfolio(portfolio(scenario, **parameters))


def test_perpetuals_cost_a_share_of_their_spot_value_whichever_side() -> None:
    for count in (3, -3):
        answer = figures({"NumPerps": count})
        assert answer["MMPerpCont"] == -6
        assert answer["IMPerpCont"] == -3
        assert answer["IMPerpContNormal"] == -9


@pytest.mark.parametrize(
    ("held", "shorts"),
    [
        ([option(Amount=-2), option(Amount=1, IsCall=0)], 1),
        ([option(Amount=-2), option(Amount=-1, IsCall=0)], 3),
        ([option(Amount=2), option(Amount=-1, IsCall=0)], 0),
        ([option(Amount=-2), option(Amount=2, Strike=110.0)], 2),
        ([option(Amount=-2), option(Amount=2, Expiry=LATER)], 2),
        ([option(Amount=-2), option(Amount=5), option(Amount=-1)], 0),
    ],
    ids=["call and put", "both short", "covered", "spread", "calendar", "one option twice"],
)
def test_shorts_are_bare_where_nothing_at_their_strike_covers_them(
    held: list[dict[str, Any]], shorts: int
) -> None:
    answer = figures({"Options": held, "OptionFeeds": [feed(), feed(FeedExpiry=LATER)]})
    assert answer["MMOptionCont"] == pytest.approx(-shorts * 100 * 0.004, rel=1e-15)
    assert answer["IMOptionCont"] == pytest.approx(-shorts * 100 * 0.003, rel=1e-15)


def test_collateral_counts_less_its_haircut_in_settlement_currency() -> None:
    answer = figures({"Collaterals": [collateral()], "StablePrice": 0.5})
    assert answer["CollateralMTM"] == 40
    assert answer["MMBaseCont"] == -4
    assert answer["IMBaseCont"] == -2
    assert answer["IMBaseContNormal"] == -6


def test_confidence_at_the_threshold_is_enough() -> None:
    assert figures({"NumPerps": 1, "PerpConfidence": 0.6})["OracleCont"] == 0
    doubted = figures({"NumPerps": 1, "PerpConfidence": 0.5})["OracleCont"]
    assert doubted == pytest.approx(-0.5 * 0.8 * 100, rel=1e-15)


def test_a_perpetual_that_is_not_held_casts_no_doubt_on_options() -> None:
    written = {"Options": [option(Amount=-2)], "OptionFeeds": [feed()], "PerpConfidence": 0.25}
    assert figures(written)["OracleCont"] == 0
    doubted = figures(written | {"NumPerps": 1})["OracleCont"]
    assert doubted == pytest.approx(-(2 + 1) * 0.75 * 0.8 * 100, rel=1e-15)


@pytest.mark.parametrize("source", ["ForwardConfidence", "RateConfidence", "OptionVolConfidences"])
def test_the_lowest_confidence_of_an_expiry_decides_for_its_options_alone(source: str) -> None:
    held = [option(Amount=-2), option(Amount=1, Expiry=LATER)]
    listed = [feed(**{source: 0.5}), feed(FeedExpiry=LATER)]
    answer = figures({"Options": held, "OptionFeeds": listed})["OracleCont"]
    assert answer == pytest.approx(-2 * 0.5 * 0.8 * 100, rel=1e-15)


def test_collateral_is_doubted_by_its_own_price_and_by_spot() -> None:
    held = [collateral(Confidence=0.25), collateral(Price=5.0, Confidence=0.5)]
    own = figures({"Collaterals": held})["OracleCont"]
    assert own == pytest.approx(-0.8 * (20 * 0.75 + 50 * 0.5), rel=1e-15)
    spot = figures({"Collaterals": held, "SpotConfidence": 0.375})["OracleCont"]
    assert spot == pytest.approx(-0.8 * (20 * 0.75 + 50 * 0.625), rel=1e-15)


def test_doubt_is_asked_of_initial_margin_only() -> None:
    sure, unsure = figures({"NumPerps": 1}), figures({"NumPerps": 1, "SpotConfidence": 0.5})
    assert sure["MM"] == unsure["MM"]
    assert sure["IM"] is not None
    assert unsure["IM"] == pytest.approx(sure["IM"] - 40, rel=1e-15)


@pytest.mark.parametrize(("price", "factor"), [(1.5, 1.1), (0.99, 1.1), (0.79, 1.4), (0.5, 1.835)])
def test_a_lost_peg_raises_the_initial_factor(price: float, factor: float) -> None:
    answer = figures({"StablePrice": price})
    assert answer["IMLossFactor"] == pytest.approx(factor, rel=1e-14)
    assert answer["MMLossFactor"] == 0.75


def test_the_basis_counts_the_worse_side_of_each_expiry() -> None:
    """Without volatility options at the money are worth nothing until the forward moves.

    From 100 it moves to 106 or 95: a short call struck at 100 loses 6 and a short put 5, each
    for 0.4 of it and 1.5 per year on top; a long option cannot lose.
    """
    year = 31_536_000
    held = [
        option(Expiry=year, MarkVol=0, Amount=-1),
        option(Expiry=2 * year, MarkVol=0, Amount=-1, IsCall=0),
        option(Expiry=3 * year, MarkVol=0, Amount=9),
    ]
    answer = figures(
        {"Options": held, "OptionFeeds": [feed(FeedExpiry=n * year) for n in (1, 2, 3)]}
    )
    expected = -6 * (0.4 + 1.5) - 5 * (0.4 + 3)
    assert answer["ForwardContingency"] == pytest.approx(expected, rel=1e-14)
