"""Benchmarks: figures of this machine, each beside a baseline measured in the same run."""

from collections.abc import Callable
from typing import Any

from brokerage.benchmarks import board, margin, posting, price_to_browser, reads, verifying, what_if

# Measures in a scratch cluster; returns the object to print. The first argument asks for a
# minute's worth; margin, price_to_browser and what_if take `accounts` too.
Measure = Callable[..., dict[str, Any]]

BENCHMARKS: dict[str, Measure] = {
    "board": board.measure,
    "margin": margin.measure,
    "posting": posting.measure,
    "price_to_browser": price_to_browser.measure,
    "reads": reads.measure,
    "verify": verifying.measure,
    "what_if": what_if.measure,
}
"""By the name that `manage.py benchmark` is given."""

__all__ = ["BENCHMARKS", "Measure"]
