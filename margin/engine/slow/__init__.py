"""Every model once more, slowly: plain loops over one scope at a time, apart from the arrays.

A slow implementation follows the rule as it is written and shares no code with the model but the
types of its inputs. It exists to disagree.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from margin.engine.books import Books
from margin.engine.market import Market
from margin.engine.slow import (
    correlation_offsets,
    delta,
    factors,
    greeks,
    hybrid,
    parametric,
    risk_arrays,
    scenario,
    strategies,
    tiers,
    value_at_risk,
)

# Initial and maintenance margin of every scope.
Slow = Callable[[Market, Any, Books], list[tuple[float, float]]]

SLOW: Final[Mapping[str, Slow]] = {
    "correlation-offsets": correlation_offsets.requirements,
    "delta": delta.requirements,
    "expected-shortfall": value_at_risk.shortfall_requirements,
    "factors": factors.requirements,
    "greeks": greeks.requirements,
    "hybrid": hybrid.requirements,
    "parametric": parametric.requirements,
    "risk-arrays": risk_arrays.requirements,
    "scenario": scenario.requirements,
    "strategies": strategies.requirements,
    "tiers": tiers.requirements,
    "value-at-risk": value_at_risk.quantile_requirements,
}
