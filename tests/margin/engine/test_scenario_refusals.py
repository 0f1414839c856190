"""What a scenario margin refuses to compute, by its name."""

import math
from typing import Any

import pytest

from margin.engine.rejected import RejectedInputError
from margin.engine.scenario_market import Books
from margin.engine.scenario_portfolio import requirement
from margin.published.scenarios import scenario_portfolio
from tests.margin.engine.scenario_portfolios import (
    collateral,
    engine,
    feed,
    holdings,
    option,
    portfolio,
)

NAN = math.nan
WRONG: list[tuple[str, dict[str, Any]]] = [
    ("strikes", {"Options": [option(Strike=0)]}),
    ("volatilities", {"Options": [option(MarkVol=-0.1)]}),
    ("volatilities", {"Options": [option(MarkVol=None)]}),
    ("option amounts", {"Options": [option(Amount=NAN)]}),
    ("forwards", {"OptionFeeds": [feed(Forward=0)]}),
    ("forward_confidences", {"OptionFeeds": [feed(ForwardConfidence=1.1)]}),
    ("seconds", {"Options": [option(Expiry=-1)], "OptionFeeds": [feed(FeedExpiry=-1)]}),
    ("2592000", {"OptionFeeds": []}),
    ("OptionFeeds", {"OptionFeeds": [feed(), feed()]}),
    ("stable_price", {"StablePrice": 0}),
    ("spot_confidence", {"SpotConfidence": -0.1}),
    ("cash", {"Cash": NAN}),
    ("collateral amounts", {"Collaterals": [collateral(Amount=-1)]}),
    ("prices", {"Collaterals": [collateral(Price=-1)]}),
    ("maintenance_haircuts", {"Collaterals": [collateral(MMHaircut=1.5)]}),
    ("inputs", {"SpotPrice": "dear"}),
]


@pytest.mark.parametrize(("name", "fields"), WRONG)
def test_what_cannot_be_is_refused_by_its_name(name: str, fields: dict[str, Any]) -> None:
    right = {"Options": [option()], "OptionFeeds": [feed()], "Collaterals": [collateral()]}
    assert scenario_portfolio(portfolio(right))["MM"] is not None
    with pytest.raises(RejectedInputError, match=name):
        scenario_portfolio(portfolio(right | fields))


@pytest.mark.parametrize(
    ("group", "field", "wrong"),
    [
        ("VolShock", "DTE_FLOOR", 0),
        ("VolShock", "VOLRANGEUP", -1),
        ("Margin", "MM_LOSS_FACTOR", -1),
        ("BasisContingency", "SCENARIO_SPOT_DOWN", -0.1),
        ("OtherContingency", "MM_PERP_PERCENT", -0.1),
        ("SkewShock", "MIN_K_STAR", -0.1),
        ("SkewShock", "LINEAR_CBASE", NAN),
    ],
)
def test_parameters_that_cannot_be_are_refused(group: str, field: str, wrong: float) -> None:
    inputs = portfolio()
    inputs["Parameters"][group][field] = wrong
    with pytest.raises(RejectedInputError):
        scenario_portfolio(inputs)
    del inputs["Parameters"][group][field]
    with pytest.raises(RejectedInputError, match=field):
        scenario_portfolio(inputs)


def test_a_scenario_of_no_known_kind_is_refused() -> None:
    inputs = portfolio()
    inputs["Parameters"]["Scenarios"][0]["VolShockDirection"] = "Sideways"
    with pytest.raises(RejectedInputError, match="Sideways"):
        scenario_portfolio(inputs)


def test_a_holding_of_nothing_listed_is_refused() -> None:
    prepared, books = engine(portfolio({"Options": [option()], "OptionFeeds": [feed()]}))
    for rows in ([(0, 1, 1.0)], [(0, -1, 1.0)], [(1, 0, 1.0)]):
        wrong = Books(
            cash=books.cash,
            perpetuals=books.perpetuals,
            perpetual_profits=books.perpetual_profits,
            fundings=books.fundings,
            options=holdings(rows),
            collateral=books.collateral,
        )
        with pytest.raises(RejectedInputError, match="holdings"):
            requirement(wrong, prepared=prepared)
