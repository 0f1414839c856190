"""Margin at the size of a large house, each figure beside its baseline in the same run.

A run of everything is measured against copying what it reads and writes, the kernel against the
whole sparse product, what one moved price costs against the kernel, and the repricing of options
against a loop over the pricer of a library.
"""

import resource
from typing import Any

from brokerage.benchmarks import machine, margin_grid, margin_kernel, margin_run
from brokerage.benchmarks.scratch import found_scratch

ACCOUNTS, ACCOUNTS_QUICK = 1_000_000, 100_000
ROUNDS, ROUNDS_QUICK = 9, 5

Figures = dict[str, Any]


def measure(quick: bool, *, accounts: int | None = None) -> Figures:
    """All figures of margin, for `accounts` of five positions each.

    Returns:
        `name`, `figures`, `ratios` (of those that were measured), `peak_memory_mb`.
    """
    many = accounts or (ACCOUNTS_QUICK if quick else ACCOUNTS)
    rounds = ROUNDS_QUICK if quick else ROUNDS
    scratch = found_scratch(clients=1, banks=1)
    with scratch.connect_superuser() as superuser:
        figures: Figures = {"machine": machine.score(superuser)._asdict()}
    run = margin_run.measure(scratch, accounts=many)
    kernel = margin_kernel.measure(accounts=many, rounds=rounds)
    grid = margin_grid.measure(rounds=rounds)
    return {
        "name": "margin",
        "figures": figures
        | {
            "accounts": many,
            "run": run.figures,
            "kernel": kernel.figures,
            "grid": grid.figures,
        },
        "ratios": run.ratios | kernel.ratios | grid.ratios,
        "peak_memory_mb": peak_memory_mb(),
    }


def peak_memory_mb() -> float:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
