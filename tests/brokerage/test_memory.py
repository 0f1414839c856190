"""The embedded server takes an eighth of the memory there is, within bounds."""

from pathlib import Path

import psycopg
import pytest

from brokerage.memory import available_mb, shared_buffers


@pytest.mark.parametrize(
    ("available", "setting"),
    [(512, "128MB"), (1024, "128MB"), (4096, "512MB"), (24_000, "2048MB"), (256_000, "2048MB")],
)
def test_the_share_keeps_its_bounds(available: int, setting: str) -> None:
    assert shared_buffers(available) == setting


def test_a_container_with_less_than_its_machine_counts(tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    whole = available_mb(limit)
    limit.write_text("max\n")
    assert available_mb(limit) == whole
    limit.write_text(f"{300 * 2**20}\n")
    assert available_mb(limit) == min(300, whole)
    limit.write_text(f"{2 * whole * 2**20}\n")
    assert available_mb(limit) == whole


def test_the_server_was_started_with_it(
    db: None, superuser: psycopg.Connection[tuple[str]]
) -> None:
    row = superuser.execute(
        "SELECT setting::int * 8 / 1024 || 'MB' FROM pg_settings WHERE name = 'shared_buffers'"
    ).fetchone()
    assert row == (shared_buffers(),)
