"""Numbers that others published, computed by the engine: which function answers which kind."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from margin.published import closed_forms, scenarios, strategies

# What `expected` names: a number, none, or lists, texts and maps of such.
Figures = Mapping[str, Any]

# One case at a time.
KINDS: Final[Mapping[str, Callable[[Mapping[str, Any]], Figures]]] = {
    "black_scholes": closed_forms.black_scholes,
    "leverage_margin": closed_forms.leverage_margin,
    "liquidation_price": closed_forms.liquidation_price,
    "minimum_close_out": closed_forms.minimum_close_out,
    "naked_option": closed_forms.naked_option,
    "naked_option_observed": closed_forms.naked_option,
    "open_interest_scaled": closed_forms.open_interest_scaled,
    "scenario_portfolio": scenarios.scenario_portfolio,
    "span_scan": closed_forms.span_scan,
    "strategy_margin": strategies.strategy_margin,
    "value_at_risk": closed_forms.value_at_risk,
}

# All cases of a file together, in their order; an answer for each.
SCHEDULES: Final[Mapping[str, Callable[[Sequence[Mapping[str, Any]]], Sequence[Figures]]]] = {
    "tier_deductions": closed_forms.tier_deductions,
}
