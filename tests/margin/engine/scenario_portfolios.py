"""Portfolios of a scenario margin, drawn at random, in the form of published cases."""

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
from hypothesis import strategies as st

from margin.engine.scenario_market import Books, Holdings
from margin.engine.scenario_portfolio import PreparedMarket, prepare
from margin.published.scenarios import read_market, read_parameters

PARAMETERS: dict[str, Any] = {
    "Scenarios": [
        {"SpotShock": 1.2, "VolShockDirection": "Up", "DampeningFactor": 1},
        {"SpotShock": 1.1, "VolShockDirection": "Down", "DampeningFactor": 1},
        {"SpotShock": 1, "VolShockDirection": "None", "DampeningFactor": 1},
        {"SpotShock": 0.9, "VolShockDirection": "Down", "DampeningFactor": 1},
        {"SpotShock": 0.8, "VolShockDirection": "Up", "DampeningFactor": 1},
        {"SpotShock": 0.4, "VolShockDirection": "Up", "DampeningFactor": 0.25},
        {"SpotShock": 3, "VolShockDirection": "Up", "DampeningFactor": 0.05},
        {"SpotShock": 1, "VolShockDirection": "LINEAR", "DampeningFactor": 1},
        {"SpotShock": 1, "VolShockDirection": "ABS", "DampeningFactor": 1},
    ],
    "SkewShock": {
        "LINEAR_SCALE_CAP": 0.2,
        "LINEAR_CBASE": -0.04,
        "ABS_SCALE_CAP": 0.12,
        "ABS_CBASE": 0.03,
        "MIN_K_STAR": 0.02,
        "MIN_WIDTH_SCALE": 3.0,
        "VOL_PARAM_STATIC": 0.7,
        "VOL_PARAM_SCALE": -0.2,
    },
    "VolShock": {
        "VOLRANGEUP": 0.4,
        "MIN_VOL_EVAL_SHOCKED": 0.35,
        "VOLRANGEDOWN": 0.3,
        "SHORTTERMPOWER": 0.25,
        "LONGTERMPOWER": 0.15,
        "DTE_FLOOR": 2,
    },
    "Margin": {
        "MM_LOSS_FACTOR": 0.75,
        "IM_LOSS_FACTOR": 1.1,
        "SHORT_RATE_MULTSCALE": 0.6,
        "LONG_RATE_MULTSCALE": 1.2,
        "SHORT_RATE_ADDSCALE": 0.05,
        "LONG_RATE_ADDSCALE": 0.07,
        "BASE_STATIC_DISCOUNT": 0.96,
        "BASE_STATIC_DISCOUNT_NEG": 1.03,
    },
    "BasisContingency": {
        "SCENARIO_SPOT_UP": 1.06,
        "SCENARIO_SPOT_DOWN": 0.95,
        "BASIS_CONT_ADD_FACTOR": 0.4,
        "BASIS_CONT_MULT_FACTOR": 1.5,
    },
    "OtherContingency": {
        "PEG_LOSS_THRESHOLD": 0.99,
        "PEG_LOSS_FACTOR": 1.5,
        "CONF_THRESHOLD": 0.6,
        "CONF_MARGIN": 0.8,
        "MM_PERP_PERCENT": 0.02,
        "IM_PERP_PERCENT": 0.01,
        "MM_OPTION_PERCENT": 0.004,
        "IM_OPTION_PERCENT": 0.003,
    },
}

EMPTY: dict[str, Any] = {
    "Cash": 0,
    "Collaterals": [],
    "SpotPrice": 100.0,
    "SpotConfidence": 1.0,
    "NumPerps": 0,
    "PerpPrice": 101.0,
    "PerpConfidence": 1.0,
    "UnrealisedPerpPNL": 0.0,
    "UnrealisedFunding": 0.0,
    "StablePrice": 1.0,
    "Options": [],
    "OptionFeeds": [],
}


def portfolio(
    scenario: Mapping[str, Any] | None = None, **parameters: Mapping[str, Any]
) -> dict[str, Any]:
    """The empty portfolio with such fields, under the parameters above with such changes."""
    changed = copy.deepcopy(PARAMETERS)
    for group, fields in parameters.items():
        changed[group] |= fields
    return {"Scenario": copy.deepcopy(EMPTY) | dict(scenario or {}), "Parameters": changed}


def option(**fields: Any) -> dict[str, Any]:
    """One short call a month away, at the money, changed as named."""
    standard = {"Expiry": 2_592_000, "Strike": 100.0, "IsCall": 1, "MarkVol": 0.5, "Amount": -1.0}
    return standard | fields


def feed(**fields: Any) -> dict[str, Any]:
    """The month's forward without rate or doubt, changed as named."""
    standard = {"FeedExpiry": 2_592_000, "Forward": 100.0, "ForwardConfidence": 1.0, "Rate": 0.0}
    return standard | {"RateConfidence": 1.0, "OptionVolConfidences": 1.0} | fields


def collateral(**fields: Any) -> dict[str, Any]:
    """Ten units that do not move with the underlying, changed as named."""
    standard = {"Amount": 10.0, "Price": 2.0, "Confidence": 1.0, "IsRiskCancelling": False}
    return standard | {"MMHaircut": 0.1, "IMHaircut": 0.05} | fields


def engine(inputs: dict[str, Any]) -> tuple[PreparedMarket, Books]:
    """The market of a portfolio, and its book as the engine takes it."""
    market = read_market(inputs["Scenario"])
    prepared = prepare(market, parameters=read_parameters(inputs["Parameters"]))
    scenario = inputs["Scenario"]
    options = [each["Amount"] for each in scenario["Options"]]
    pledged = [each["Amount"] for each in scenario["Collaterals"]]
    return prepared, Books(
        cash=np.array([float(scenario["Cash"])]),
        perpetuals=np.array([float(scenario["NumPerps"])]),
        perpetual_profits=np.array([scenario["UnrealisedPerpPNL"]]),
        fundings=np.array([scenario["UnrealisedFunding"]]),
        options=holdings([(0, n, amount) for n, amount in enumerate(options)]),
        collateral=holdings([(0, n, amount) for n, amount in enumerate(pledged)]),
    )


def holdings(rows: list[tuple[int, int, float]]) -> Holdings:
    return Holdings(
        scopes=np.array([row[0] for row in rows], dtype=np.intp),
        assets=np.array([row[1] for row in rows], dtype=np.intp),
        amounts=np.array([row[2] for row in rows], dtype=float),
    )


amounts = st.integers(-40, 40).map(lambda n: n / 4)
shares = st.sampled_from([0.0, 0.3, 0.59, 0.6, 0.95, 1.0])


@st.composite
def feeds(draw: st.DrawFn) -> list[dict[str, Any]]:
    seconds = st.sampled_from([600, 1_800, 86_400, 1_000_000, 2_592_000, 9_000_000, 40_000_000])
    return [
        feed(
            FeedExpiry=expiry,
            Forward=draw(st.floats(60, 160)),
            Rate=draw(st.floats(-0.5, 0.5)),
            ForwardConfidence=draw(shares),
            RateConfidence=draw(shares),
            OptionVolConfidences=draw(shares),
        )
        for expiry in draw(st.lists(seconds, min_size=1, max_size=3, unique=True))
    ]


@st.composite
def portfolios(draw: st.DrawFn) -> dict[str, Any]:
    listed = draw(feeds())
    options = [
        option(Expiry=each["FeedExpiry"], Strike=strike, IsCall=is_call, MarkVol=volatility)
        | {"Amount": draw(amounts)}
        for each in listed
        for strike, is_call, volatility in draw(
            st.lists(
                st.tuples(
                    st.sampled_from([70.0, 90.0, 100.0, 130.0]),
                    st.sampled_from([0, 1]),
                    st.floats(0, 1.5),
                ),
                min_size=1,
                max_size=4,
                unique_by=lambda drawn: drawn[:2],
            )
        )
    ]
    assets = draw(st.integers(0, 2))
    fields = {
        "Cash": draw(amounts) * 100,
        "SpotConfidence": draw(shares),
        "NumPerps": draw(amounts),
        "PerpConfidence": draw(shares),
        "UnrealisedPerpPNL": draw(amounts),
        "UnrealisedFunding": draw(amounts),
        "StablePrice": draw(st.sampled_from([0.7, 0.989, 0.99, 1.0, 1.02])),
        "Options": options,
        "OptionFeeds": listed,
        "Collaterals": [
            collateral(Amount=abs(draw(amounts)), Price=draw(st.floats(0, 200)))
            | {"Confidence": draw(shares), "IsRiskCancelling": draw(st.booleans())}
            for _ in range(assets)
        ],
    }
    return portfolio(fields)
