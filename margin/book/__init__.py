"""The border to the engine: what a run reads, as rows that lead back and as arrays of floats."""

from margin.book.ground import read_ground
from margin.book.held import Holding, ScopeRow, Unmargined
from margin.book.rows import (
    BASE,
    MODEL_NOT_IN_USE,
    NO_AGREEMENT,
    ReadInputs,
    read_inputs,
    read_inputs_of,
    read_with_models,
    without_scopes,
    without_uncarried,
)
from margin.book.unpriced import UNPRICED

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
    "read_inputs_of",
    "read_with_models",
    "without_scopes",
    "without_uncarried",
]
