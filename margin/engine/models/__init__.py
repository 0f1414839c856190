"""All margin models of portfolios, by name and version."""

from collections.abc import Mapping
from typing import Any, Final

from margin.engine.model import Model
from margin.engine.models import delta, greeks, risk_arrays, scenario, strategies, tiers

MODELS: Final[Mapping[str, Model[Any]]] = {
    model.name: model
    for model in (
        delta.MODEL,
        greeks.MODEL,
        risk_arrays.MODEL,
        scenario.MODEL,
        strategies.MODEL,
        tiers.MODEL,
    )
}
