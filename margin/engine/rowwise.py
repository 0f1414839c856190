"""Products of rows with a matrix, each row for itself: a batch is its rows one by one, bit for bit.

BLAS orders its sums by how many rows there are, so it is not used where that must hold.
"""

from functools import reduce

import numpy as np

from margin.engine.given import Float
from margin.engine.model import in_order


def times(rows: Float, matrix: Float) -> Float:
    """(A, M) rows (A, K) times a matrix (K, M), added up in the order of K."""
    products = (column[:, None] * line for column, line in zip(rows.T, matrix, strict=True))
    return reduce(np.add, products, np.zeros((len(rows), matrix.shape[1])))


def lengths(rows: Float) -> Float:
    """(A,) root of the sum of squares of each row."""
    length: Float = np.sqrt(in_order(rows * rows))
    return length
