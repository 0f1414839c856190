"""Published portfolios of a scenario margin."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import numpy as np

from margin.engine.black76 import Floats
from margin.engine.contingencies import BasisTerms, ConfidenceTerms, ContingencyRates, PegTerms
from margin.engine.rejected import RejectedInputError
from margin.engine.scenario_grid import (
    DiscountTerms,
    Scenario,
    SkewCap,
    SkewTerms,
    VolatilityShock,
    VolatilityTerms,
    scenario_grid,
)
from margin.engine.scenario_market import (
    Books,
    CollateralAssets,
    Expiries,
    Holdings,
    Market,
    Options,
)
from margin.engine.scenario_portfolio import (
    PortfolioRequirement,
    PreparedMarket,
    ScenarioParameters,
    across,
    in_order,
    prepare,
    requirement,
    worst_among,
)
from margin.published.agreement import ROUNDING, Among

Fields = Mapping[str, Any]

SHOCKS: Final = {
    "None": VolatilityShock.NONE,
    "Up": VolatilityShock.UP,
    "Down": VolatilityShock.DOWN,
    "LINEAR": VolatilityShock.LINEAR_SKEW,
    "ABS": VolatilityShock.ABSOLUTE_SKEW,
}


DIRECTIONS: Final = {"None": 0, "Up": 1, "Down": -1}
KIND_NAMES: Final = {"reg": "regular", "tail": "tail", "skew": "skew"}


class Computed(NamedTuple):
    """A published portfolio as the engine sees it: one scope in one market."""

    prepared: PreparedMarket
    answer: PortfolioRequirement


def scenario_portfolio(inputs: Fields) -> dict[str, Any]:
    """All figures of a published portfolio under its names: numbers, lists, and which scenario.

    Raises:
        RejectedInputError: a field is missing or cannot be what it says.
    """
    return {**single_figures(inputs), **_said_by_scenario(inputs)}


def _said_by_scenario(inputs: Fields) -> dict[str, Any]:
    """Losses behind the scenario that made them, the worst of each kind, and the worst of all.

    Where losses differ by rounding alone, any of their scenarios is the worst.
    """
    lists: dict[str, Any] = dict(scenario_portfolio_lists(inputs))
    said = [_labels(each) for each in inputs["Parameters"]["Scenarios"]]
    grid = scenario_grid([_scenario(each) for each in inputs["Parameters"]["Scenarios"]])
    worst: dict[str, float] = {}
    noise = _gross(inputs) * float(ROUNDING)
    for kind, chosen in (("reg", grid.regular), ("tail", grid.tails), ("skew", grid.skewed)):
        losses = lists[f"{kind}_losses"]
        labels = [label for label, is_chosen in zip(said, chosen, strict=True) if is_chosen]
        lists[f"{kind}_losses"] = [
            [*label.row, loss] for label, loss in zip(labels, losses, strict=True)
        ]
        if losses:
            worst[KIND_NAMES[kind]] = min(losses)
            lists[f"worst_{kind}_scenario"] = Among(
                label.named(kind)
                for label, loss in zip(labels, losses, strict=True)
                if loss <= min(losses) + noise
            )
    lists["worst_all_scenarios"] = Among(
        kind for kind, loss in worst.items() if loss <= min(worst.values()) + noise
    )
    return lists


def _gross(inputs: Fields) -> float:
    """The size of the amounts that profits are differences of."""
    scenario = inputs["Scenario"]
    held = sum(abs(float(option["Amount"])) for option in scenario["Options"])
    lent = sum(abs(float(c["Amount"]) * float(c["Price"])) for c in scenario["Collaterals"])
    return (held + abs(float(scenario["NumPerps"]))) * float(scenario["SpotPrice"]) + lent


class _Label(NamedTuple):
    """How published figures name a scenario."""

    row: tuple[float | str, ...]
    dampening: float

    def named(self, kind: str) -> float | str | list[float | str]:
        """As the worst of its kind: a skew by its name, a tail with its dampening."""
        if kind == "skew":
            return self.row[0]
        return [*self.row, self.dampening] if kind == "tail" else list(self.row)


def _labels(fields: Fields) -> _Label:
    shock, direction = float(fields["SpotShock"]), fields["VolShockDirection"]
    damped = float(fields["DampeningFactor"])
    if direction in DIRECTIONS:
        return _Label((shock - 1, DIRECTIONS[direction]), damped)
    return _Label((direction if shock == 1 else f"{direction}_SPOT_SHOCK",), damped)


def single_figures(inputs: Fields) -> dict[str, float | None]:
    """The figures of a published portfolio that are single numbers, under its names.

    The worst loss of a kind of scenario is None where there is no scenario of the kind.

    Raises:
        RejectedInputError: a field is missing or cannot be what it says.
    """
    prepared, answer = _computed(inputs)
    grid, profits = prepared.parameters.grid, answer.profits.total
    asked, added = answer.maintenance, answer.initial
    figures: dict[str, Floats | None] = {
        "worst_reg_loss": worst_among(profits, scenarios=grid.regular),
        "worst_tail_loss": worst_among(profits, scenarios=grid.tails),
        "worst_skew_loss": worst_among(profits, scenarios=grid.skewed),
        "ForwardContingency": across(answer.options.basis),
        "Cash": asked.cash,
        "PortfolioMTM": answer.market_value,
        "OptionMTM": asked.options,
        "CollateralMTM": asked.collateral,
        "PerpMTM": asked.perpetual_profit,
        "MMPerpCont": asked.perpetual_contingency,
        "IMPerpCont": added.initial_perpetual_contingency,
        "IMPerpContNormal": in_order(
            asked.perpetual_contingency, added.initial_perpetual_contingency
        ),
        "MMBaseCont": asked.collateral_contingency,
        "IMBaseCont": added.initial_collateral_contingency,
        "IMBaseContNormal": in_order(
            asked.collateral_contingency, added.initial_collateral_contingency
        ),
        "MMOptionCont": asked.option_contingency,
        "IMOptionCont": added.initial_option_contingency,
        "IMOptionContNormal": in_order(asked.option_contingency, added.initial_option_contingency),
        "OracleCont": in_order(added.perpetual_doubt, added.option_doubt, added.collateral_doubt),
        "UnrealisedFunding": asked.funding,
        "UnrealisedPerpPNL": asked.perpetual_profit,
        "IMHand": answer.initial_surplus,
        "MMHand": answer.maintenance_surplus,
        "IM": answer.initial_surplus,
        "MM": answer.maintenance_surplus,
    }
    return {
        **{name: None if value is None else float(value[0]) for name, value in figures.items()},
        "MMLossFactor": answer.maintenance_factor,
        "IMLossFactor": answer.initial_factor,
        "im_loss_factor": answer.initial_factor,
    }


def scenario_portfolio_lists(inputs: Fields) -> dict[str, list[float] | list[list[float]]]:
    """The figures of a published portfolio that are lists, under its names.

    Losses are profits by scenario; other lists have one figure per expiry, in the order in which
    options name them, or per option. A discount factor is a pair, long and short.

    Raises:
        RejectedInputError: a field is missing or cannot be what it says.
    """
    prepared, answer = _computed(inputs)
    grid, profits = prepared.parameters.grid, answer.profits.total[0]
    expiries = prepared.market.options.expiries
    volatility = prepared.volatility
    lists: dict[str, Floats] = {
        "reg_losses": profits[grid.regular],
        "tail_losses": profits[grid.tails],
        "skew_losses": profits[grid.skewed],
        "OptionMTMPerExpiry": answer.options.values[0],
        "OptionMTMPerExpiryDiscounted": answer.options.discounted[0],
        "discount_factors": np.column_stack(prepared.discounts),
        "VolShockUpMultiplier": volatility.multipliers.up[expiries],
        "VolShockDownMultiplier": volatility.multipliers.down[expiries],
        "VolShockUpEvaluated": volatility.by_shock[VolatilityShock.UP],
        "VolShockDownEvaluated": volatility.by_shock[VolatilityShock.DOWN],
    }
    return {name: values.tolist() for name, values in lists.items()}


def _computed(inputs: Fields) -> Computed:
    with _reading():
        parameters = read_parameters(inputs["Parameters"])
        market = read_market(inputs["Scenario"])
        books = read_books(inputs["Scenario"])
    prepared = prepare(market, parameters=parameters)
    return Computed(prepared, requirement(books, prepared=prepared))


@contextmanager
def _reading() -> Iterator[None]:
    """Say which field was missing, or that one is no number."""
    try:
        yield
    except RejectedInputError:
        raise
    except KeyError as missing:
        raise RejectedInputError(f"{missing.args[0]}: not among the inputs") from missing
    except (TypeError, ValueError) as unreadable:
        raise RejectedInputError(f"inputs: {unreadable}") from unreadable


def read_parameters(fields: Fields) -> ScenarioParameters:
    """The parameters of a published portfolio."""
    margin, other, basis = fields["Margin"], fields["OtherContingency"], fields["BasisContingency"]
    return ScenarioParameters(
        grid=scenario_grid([_scenario(each) for each in fields["Scenarios"]]),
        volatility=_volatility_terms(fields["VolShock"]),
        skew=_skew_terms(fields["SkewShock"]),
        discount=DiscountTerms(
            long_base=float(margin["BASE_STATIC_DISCOUNT"]),
            short_base=float(margin["BASE_STATIC_DISCOUNT_NEG"]),
            long_rate_scale=float(margin["LONG_RATE_MULTSCALE"]),
            long_rate_add=float(margin["LONG_RATE_ADDSCALE"]),
            short_rate_scale=float(margin["SHORT_RATE_MULTSCALE"]),
            short_rate_add=float(margin["SHORT_RATE_ADDSCALE"]),
        ),
        basis=BasisTerms(
            spot_up=float(basis["SCENARIO_SPOT_UP"]),
            spot_down=float(basis["SCENARIO_SPOT_DOWN"]),
            base=float(basis["BASIS_CONT_ADD_FACTOR"]),
            per_year=float(basis["BASIS_CONT_MULT_FACTOR"]),
        ),
        contingencies=ContingencyRates(
            perpetual=float(other["MM_PERP_PERCENT"]),
            option=float(other["MM_OPTION_PERCENT"]),
            initial_perpetual=float(other["IM_PERP_PERCENT"]),
            initial_option=float(other["IM_OPTION_PERCENT"]),
        ),
        confidence=ConfidenceTerms(
            threshold=float(other["CONF_THRESHOLD"]), rate=float(other["CONF_MARGIN"])
        ),
        peg=PegTerms(
            threshold=float(other["PEG_LOSS_THRESHOLD"]), factor=float(other["PEG_LOSS_FACTOR"])
        ),
        maintenance_factor=float(margin["MM_LOSS_FACTOR"]),
        initial_factor=float(margin["IM_LOSS_FACTOR"]),
    )


def _scenario(fields: Fields) -> Scenario:
    """One scenario. The reference caps a linear skew that has a spot shock like an absolute one:
    its method does not say so, its published losses do."""
    shock, direction = float(fields["SpotShock"]), fields["VolShockDirection"]
    if direction not in SHOCKS:
        raise RejectedInputError(f"VolShockDirection: {direction!r} is none of {list(SHOCKS)}")
    volatility = SHOCKS[direction]
    if volatility is VolatilityShock.LINEAR_SKEW and shock != 1:
        volatility = VolatilityShock.CAPPED_LINEAR_SKEW
    return Scenario(shock, volatility, float(fields["DampeningFactor"]))


def _volatility_terms(fields: Fields) -> VolatilityTerms:
    return VolatilityTerms(
        range_up=float(fields["VOLRANGEUP"]),
        range_down=float(fields["VOLRANGEDOWN"]),
        least_after_up=float(fields["MIN_VOL_EVAL_SHOCKED"]),
        short_power=float(fields["SHORTTERMPOWER"]),
        long_power=float(fields["LONGTERMPOWER"]),
        days_floor=float(fields["DTE_FLOOR"]),
    )


def _skew_terms(fields: Fields) -> SkewTerms:
    return SkewTerms(
        linear=SkewCap(float(fields["LINEAR_SCALE_CAP"]), float(fields["LINEAR_CBASE"])),
        absolute=SkewCap(float(fields["ABS_SCALE_CAP"]), float(fields["ABS_CBASE"])),
        least_width=float(fields["MIN_K_STAR"]),
        width_scale=float(fields["MIN_WIDTH_SCALE"]),
        width_volatility=float(fields["VOL_PARAM_STATIC"]),
        width_slope=float(fields["VOL_PARAM_SCALE"]),
    )


def read_market(fields: Fields) -> Market:
    """The market of a published portfolio: what it holds is all that is listed."""
    options, collateral = fields["Options"], fields["Collaterals"]
    named = list(dict.fromkeys(option["Expiry"] for option in options))
    feeds = {feed["FeedExpiry"]: feed for feed in fields["OptionFeeds"]}
    if len(feeds) != len(fields["OptionFeeds"]):
        raise RejectedInputError("OptionFeeds: two are of one expiry")
    listed = [feeds[expiry] for expiry in named]
    return Market(
        spot=float(fields["SpotPrice"]),
        spot_confidence=float(fields["SpotConfidence"]),
        perpetual_price=float(fields["PerpPrice"]),
        perpetual_confidence=float(fields["PerpConfidence"]),
        stable_price=float(fields["StablePrice"]),
        expiries=Expiries(
            seconds=_column(listed, "FeedExpiry"),
            forwards=_column(listed, "Forward"),
            rates=_column(listed, "Rate"),
            forward_confidences=_column(listed, "ForwardConfidence"),
            rate_confidences=_column(listed, "RateConfidence"),
            volatility_confidences=_column(listed, "OptionVolConfidences"),
        ),
        options=Options(
            expiries=np.array([named.index(option["Expiry"]) for option in options], dtype=np.intp),
            strikes=_column(options, "Strike"),
            is_call=np.array([bool(option["IsCall"]) for option in options], dtype=bool),
            volatilities=_column(options, "MarkVol"),
        ),
        collateral=CollateralAssets(
            prices=_column(collateral, "Price"),
            confidences=_column(collateral, "Confidence"),
            risk_cancelling=np.array([bool(c["IsRiskCancelling"]) for c in collateral], dtype=bool),
            maintenance_haircuts=_column(collateral, "MMHaircut"),
            initial_haircuts=_column(collateral, "IMHaircut"),
        ),
    )


def read_books(fields: Fields) -> Books:
    """The one book of a published portfolio."""
    return Books(
        cash=_column([fields], "Cash"),
        perpetuals=_column([fields], "NumPerps"),
        perpetual_profits=_column([fields], "UnrealisedPerpPNL"),
        fundings=_column([fields], "UnrealisedFunding"),
        options=_holdings(fields["Options"]),
        collateral=_holdings(fields["Collaterals"]),
    )


def _holdings(rows: Sequence[Fields]) -> Holdings:
    """One row per option or collateral asset, all of the first scope."""
    return Holdings(
        scopes=np.zeros(len(rows), dtype=np.intp),
        assets=np.arange(len(rows), dtype=np.intp),
        amounts=_column(rows, "Amount"),
    )


def _column(rows: Sequence[Fields], name: str) -> Floats:
    return np.array([row[name] for row in rows], dtype=float)
