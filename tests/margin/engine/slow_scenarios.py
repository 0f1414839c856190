"""A scenario margin once more, slowly: one portfolio, plain loops, nothing of the engine.

It takes a portfolio as published cases have it, so that both read the same fields.
"""

import math
from typing import Any

YEAR = 365 * 86_400


def normal(x: float) -> float:
    return math.erfc(-x / math.sqrt(2)) / 2


def price(forward: float, option: dict[str, Any], volatility: float, feed: dict[str, Any]) -> float:
    years, strike = feed["FeedExpiry"] / YEAR, float(option["Strike"])
    discount = math.exp(-max(float(feed["Rate"]), 0.0) * years)
    sign = 1 if option["IsCall"] else -1
    deviation = volatility * math.sqrt(years)
    if deviation == 0 or forward == 0:
        return discount * max(sign * (forward - strike), 0.0)
    upper = math.log(forward / strike) / deviation + deviation / 2
    lower = upper - deviation
    return discount * sign * (forward * normal(sign * upper) - strike * normal(sign * lower))


def moved(forward: float, shock: float, seconds: float) -> float:
    fixed = max(1800 - seconds, 0) / 1800
    return forward * fixed + forward * (1 - fixed) * shock


def shocked_volatility(
    option: dict[str, Any], direction: str, feed: dict[str, Any], parameters: dict[str, Any]
) -> float:
    terms: dict[str, float] = parameters["VolShock"]
    skew: dict[str, float] = parameters["SkewShock"]
    volatility, days = float(option["MarkVol"]), float(feed["FeedExpiry"]) / 86_400
    power = terms["SHORTTERMPOWER"] if days <= 30 else terms["LONGTERMPOWER"]
    m: float = (30 / max(days, terms["DTE_FLOOR"])) ** power
    if direction == "Up":
        return max(volatility * (1 + terms["VOLRANGEUP"] * m), terms["MIN_VOL_EVAL_SHOCKED"])
    if direction == "Down":
        return volatility * max(0.0, 1 - terms["VOLRANGEDOWN"] * m)
    if direction in ("LINEAR", "ABS"):
        root = math.sqrt(feed["FeedExpiry"] / YEAR)
        k = math.log(option["Strike"] / feed["Forward"])
        k = abs(k) if direction == "ABS" else k
        cap = skew[f"{direction}_CBASE"] * root + skew[f"{direction}_SCALE_CAP"]
        width = skew["VOL_PARAM_STATIC"] + root * skew["VOL_PARAM_SCALE"]
        k_star = max(skew["MIN_K_STAR"], root * skew["MIN_WIDTH_SCALE"] * width)
        return volatility * max(0.0, 1 + max(-cap, min(cap, k * cap / k_star)))
    return volatility


def expiries(scenario: dict[str, Any]) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    return [
        (feed, [each for each in scenario["Options"] if each["Expiry"] == feed["FeedExpiry"]])
        for feed in scenario["OptionFeeds"]
    ]


def value(
    feed: dict[str, Any],
    options: list[dict[str, Any]],
    shock: float,
    direction: str,
    parameters: dict[str, Any],
) -> float:
    forward = moved(feed["Forward"], shock, feed["FeedExpiry"])
    total = 0.0
    for option in options:
        volatility = shocked_volatility(option, direction, feed, parameters)
        total += option["Amount"] * price(forward, option, volatility, feed)
    return total


def statically_discounted(amount: float, feed: dict[str, Any], margin: dict[str, float]) -> float:
    years, rate = float(feed["FeedExpiry"]) / YEAR, max(float(feed["Rate"]), 0.0)
    if amount >= 0:
        cut = rate * margin["LONG_RATE_MULTSCALE"] + margin["LONG_RATE_ADDSCALE"]
        return amount * margin["BASE_STATIC_DISCOUNT"] * math.exp(-years * cut)
    rise = rate * margin["SHORT_RATE_MULTSCALE"] + margin["SHORT_RATE_ADDSCALE"]
    raised = margin["BASE_STATIC_DISCOUNT_NEG"] * math.exp(years * rise)
    return amount * min(math.exp(rate * years), raised)


def scenario_profit(
    move: dict[str, Any], scenario: dict[str, Any], parameters: dict[str, Any]
) -> float:
    direction = move["VolShockDirection"]
    skewed = direction in ("LINEAR", "ABS")
    total = scenario["NumPerps"] * scenario["PerpPrice"] * (move["SpotShock"] - 1)
    for held in scenario["Collaterals"]:
        if held["IsRiskCancelling"]:
            worth = held["Amount"] * held["Price"] / scenario["StablePrice"]
            total += worth * (move["SpotShock"] - 1)
    for feed, options in expiries(scenario):
        shock = 1.0 if skewed else move["SpotShock"]
        after = value(feed, options, shock, direction, parameters)
        change = statically_discounted(after, feed, parameters["Margin"])
        change -= value(feed, options, 1.0, "None", parameters)
        total += -abs(change) if skewed else change
    return float(total * move["DampeningFactor"])


def basis(scenario: dict[str, Any], parameters: dict[str, Any]) -> float:
    terms, total = parameters["BasisContingency"], 0.0
    for feed, options in expiries(scenario):
        now = value(feed, options, 1.0, "None", parameters)
        up = value(feed, options, terms["SCENARIO_SPOT_UP"], "None", parameters)
        down = value(feed, options, terms["SCENARIO_SPOT_DOWN"], "None", parameters)
        years = feed["FeedExpiry"] / YEAR
        share = terms["BASIS_CONT_ADD_FACTOR"] + terms["BASIS_CONT_MULT_FACTOR"] * years
        total += min(up - now, down - now, 0.0) * share
    return total


def doubt(confidence: float, notional: float, terms: dict[str, Any]) -> float:
    if confidence >= terms["CONF_THRESHOLD"]:
        return 0.0
    return float((1 - confidence) * terms["CONF_MARGIN"] * notional)


def contingencies(scenario: dict[str, Any], terms: dict[str, Any]) -> tuple[float, float]:
    """Of maintenance margin, and what initial margin adds."""
    spot, count = scenario["SpotPrice"], abs(scenario["NumPerps"])
    shared = scenario["SpotConfidence"]
    if count:
        shared = min(shared, scenario["PerpConfidence"])
    maintenance = count * spot * terms["MM_PERP_PERCENT"]
    initial = count * spot * terms["IM_PERP_PERCENT"] + doubt(shared, count * spot, terms)
    for feed, options in expiries(scenario):
        by_strike: dict[float, float] = {}
        for option in options:
            held = by_strike.get(option["Strike"], 0.0)
            by_strike[option["Strike"]] = held + option["Amount"]
        bare = sum(max(-net, 0.0) for net in by_strike.values())
        maintenance += bare * spot * terms["MM_OPTION_PERCENT"]
        initial += bare * spot * terms["IM_OPTION_PERCENT"]
        own = (feed["ForwardConfidence"], feed["RateConfidence"], feed["OptionVolConfidences"])
        size = sum(abs(option["Amount"]) for option in options) * spot
        initial += doubt(min(shared, *own), size, terms)
    for held in scenario["Collaterals"]:
        worth = held["Amount"] * held["Price"] / scenario["StablePrice"]
        maintenance += worth * held["MMHaircut"]
        initial += worth * held["IMHaircut"]
        own_and_spot = min(held["Confidence"], scenario["SpotConfidence"])
        initial += doubt(own_and_spot, worth, terms)
    return maintenance, initial


def slow_scenario_portfolio(inputs: dict[str, Any]) -> dict[str, float]:
    """Initial and maintenance surplus, basis contingency and mark to market."""
    scenario, parameters = inputs["Scenario"], inputs["Parameters"]
    other = parameters["OtherContingency"]
    outcomes = [scenario_profit(each, scenario, parameters) for each in parameters["Scenarios"]]
    basis_sum = basis(scenario, parameters)
    worst = min([*outcomes, basis_sum])
    maintenance, initial = contingencies(scenario, other)
    market = scenario["Cash"] + scenario["UnrealisedPerpPNL"] + scenario["UnrealisedFunding"]
    for feed, options in expiries(scenario):
        market += value(feed, options, 1.0, "None", parameters)
    for held in scenario["Collaterals"]:
        market += held["Amount"] * held["Price"] / scenario["StablePrice"]
    factor = parameters["Margin"]["IM_LOSS_FACTOR"]
    lost = max(other["PEG_LOSS_THRESHOLD"] - scenario["StablePrice"], 0.0)
    factor += lost * other["PEG_LOSS_FACTOR"]
    return {
        "MM": parameters["Margin"]["MM_LOSS_FACTOR"] * worst - maintenance + market,
        "IM": factor * worst - maintenance - initial + market,
        "ForwardContingency": basis_sum,
        "PortfolioMTM": market,
    }
