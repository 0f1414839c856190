"""Parameter sets of instruments that are no models: by name the type, and what people call it."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from margin.engine.crowding import CrowdingPolicy
from margin.engine.dynamic import DynamicPolicy

DYNAMIC: Final = "dynamic-margin"
CROWDING: Final = "crowding"


class Policy(NamedTuple):
    """A kind of parameter set whose code is that of an instrument.

    Attributes:
        purpose: what asking for one is for, in a sentence.
        standard: values that a first one begins with.
    """

    parameters: type[Any]
    title: str
    purpose: str
    standard: Mapping[str, Any]


POLICIES: Final = {
    DYNAMIC: Policy(
        DynamicPolicy,
        "Dynamic margin",
        "From its first day rates are proposed by it; each proposal still needs two people.",
        {
            "estimator": "ewma", "decay": 0.94, "lookback_days": 60, "multiple": 3.0,
            "horizon_days": 2, "daily_volume": 0.0, "participation": 0.1, "buffer": 0.25,
            "rising_days": 5, "stress_weight": 0.0, "long_days": 0, "floor": 0.02, "cap": 0.5,
            "rise_most": 0.05, "fall_most": 0.02, "notice_days": 2,
        },
    ),
    CROWDING: Policy(
        CrowdingPolicy,
        "Crowding",
        "From its first day whoever stands on a crowded side of the instrument pays for it.",
        {
            "holders_least": 5, "band": 0.02, "cluster_from": 0.25, "cluster_rate": 0.1,
            "herd_from": 0.8, "herd_rate": 0.0, "open_interest": 0.0, "interest_from": 0.1,
            "interest_rate": 0.0,
        },
    ),
}  # fmt: skip
