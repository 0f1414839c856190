"""How much memory the embedded server keeps pages in: a share of what this machine may use."""

import os
from pathlib import Path

CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
SHARE = 8
SMALLEST_MB, LARGEST_MB = 128, 2048


def available_mb(cgroup_limit: Path = CGROUP_LIMIT) -> int:
    """Memory of this machine, or of the container it works in if that has less."""
    of_machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = int(cgroup_limit.read_text())
    except (OSError, ValueError):
        limit = of_machine  # none, or "max"
    return min(of_machine, limit) // 2**20


def shared_buffers(available: int | None = None) -> str:
    """The setting: an eighth of the memory there is, in whole steps that PostgreSQL likes.

    Args:
        available: megabytes of memory; of this machine if not said.
    """
    memory = available_mb() if available is None else available
    return f"{max(SMALLEST_MB, min(LARGEST_MB, memory // SHARE))}MB"
