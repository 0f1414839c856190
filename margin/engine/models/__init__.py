"""All margin models of portfolios, by name and version."""

from collections.abc import Mapping
from typing import Any, Final

from margin.engine.model import Model
from margin.engine.models import (
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

MODELS: Final[Mapping[str, Model[Any]]] = {
    model.name: model
    for model in (
        correlation_offsets.MODEL,
        delta.MODEL,
        value_at_risk.EXPECTED_SHORTFALL,
        factors.MODEL,
        greeks.MODEL,
        hybrid.MODEL,
        parametric.MODEL,
        risk_arrays.MODEL,
        scenario.MODEL,
        strategies.MODEL,
        tiers.MODEL,
        value_at_risk.VALUE_AT_RISK,
    )
}
