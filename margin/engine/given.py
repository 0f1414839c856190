"""Numbers as they are given: arrays of floats, refused where they cannot be what they say."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from margin.engine.rejected import RejectedInputError

Float = NDArray[np.float64]


def finite(name: str, values: ArrayLike) -> Float:
    """The values as floats.

    Raises:
        RejectedInputError: one of them is no number, NaN or without end.
    """
    try:
        array: Float = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise RejectedInputError(f"{name} is not numbers of one shape") from error
    if not np.isfinite(array).all():
        raise RejectedInputError(f"{name} has a value that is not a finite number")
    return array


def positive(name: str, values: ArrayLike) -> Float:
    """The values as floats above 0; raises as `finite` does."""
    array = finite(name, values)
    if not (array > 0).all():
        raise RejectedInputError(f"{name} has a value that is not above 0")
    return array


def not_negative(name: str, values: ArrayLike) -> Float:
    """The values as floats from 0; raises as `finite` does."""
    array = finite(name, values)
    if not (array >= 0).all():
        raise RejectedInputError(f"{name} has a value below 0")
    return array


def share(name: str, values: ArrayLike) -> Float:
    """The values as floats from 0 to 1; raises as `finite` does."""
    array = not_negative(name, values)
    if not (array <= 1).all():
        raise RejectedInputError(f"{name} has a value above 1, and it is a share of a whole")
    return array


def sign(name: str, values: ArrayLike) -> Float:
    """The values as floats that are +1 or -1; raises as `finite` does."""
    array = finite(name, values)
    if not (np.abs(array) == 1).all():
        raise RejectedInputError(f"{name} has a value that is neither +1 nor -1")
    return array


def together(*arrays: Float) -> tuple[Float, ...]:
    """The arrays at their common shape, a number on its own beside any of them.

    Raises:
        RejectedInputError: their shapes have none in common.
    """
    try:
        return np.broadcast_arrays(*arrays)
    except ValueError as error:
        shapes = ", ".join(str(array.shape) for array in arrays)
        raise RejectedInputError(f"inputs of the shapes {shapes} do not go together") from error
