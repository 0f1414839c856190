"""Migrations without the long wait between two statements.

After each operation Django makes anew the class of every model that is related to the changed
one, however distantly. With a hundred tables that is nine tenths of the time. Our operations need
no other model than the one they name and the keys of those it points to.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from django.db.migrations.state import ProjectState


def _named(state: ProjectState, app: str, model: str, delay: bool = False) -> set[tuple[str, str]]:
    # Before a migration written in Python, Django makes everything anew that was put off.
    state.is_delayed = True
    return {(app, model)}


@contextmanager
def quick_migrations() -> Iterator[None]:
    """Make anew what an operation names, and all of it where a migration is written in Python."""
    with patch.object(ProjectState, "_find_reload_model", _named):
        yield
