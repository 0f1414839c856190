"""The border to the engine: what a run reads, as rows that lead back and as arrays of floats."""

from margin.book.rows import (
    BASE,
    MODEL_NOT_IN_USE,
    NO_AGREEMENT,
    UNPRICED,
    Holding,
    ReadInputs,
    ScopeRow,
    Unmargined,
    read_ground,
    read_inputs,
    without_scopes,
)

__all__ = [
    "BASE",
    "MODEL_NOT_IN_USE",
    "NO_AGREEMENT",
    "UNPRICED",
    "Holding",
    "ReadInputs",
    "ScopeRow",
    "Unmargined",
    "read_ground",
    "read_inputs",
    "without_scopes",
]
