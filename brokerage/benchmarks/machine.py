"""What the machine itself can do, so that figures of two machines can be held side by side."""

import time
from statistics import median
from typing import NamedTuple

import numpy
import psycopg

ROWS = 100_000
NUMBERS = 4_000_000
ROUNDS = 3


class MachineScore(NamedTuple):
    """Rates of two plain things.

    Attributes:
        copy_rows_s: rows of two numbers and a text that COPY writes in a second, committed.
        numpy_sum_m_s: millions of float64 that numpy adds up in a second.
    """

    copy_rows_s: float
    numpy_sum_m_s: float


def score(connection: psycopg.Connection[tuple[object, ...]]) -> MachineScore:
    """Measure the machine; `connection` may make a temporary table."""
    numbers = numpy.arange(NUMBERS, dtype=numpy.float64)
    sums = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        numbers.sum()
        sums.append(NUMBERS / (time.perf_counter() - start) / 1e6)
    return MachineScore(
        copy_rows_s=median(_copy_rate(connection) for _ in range(ROUNDS)),
        numpy_sum_m_s=median(sums),
    )


def _copy_rate(connection: psycopg.Connection[tuple[object, ...]]) -> float:
    rows = "".join(f"{n}\t{n * 7}\trow number {n}\n" for n in range(ROWS)).encode()
    with connection.transaction():
        connection.execute("CREATE TABLE machine_score (a bigint, b bigint, c text)")
    start = time.perf_counter()
    with (
        connection.transaction(),
        connection.cursor() as cursor,
        cursor.copy("COPY machine_score FROM STDIN") as copy,
    ):
        copy.write(rows)
    rate = ROWS / (time.perf_counter() - start)
    connection.execute("DROP TABLE machine_score")
    return rate
