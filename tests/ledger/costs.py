"""What a page costs: statements sent to the database, on whatever connection."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db.backends.utils import CursorWrapper


@contextmanager
def counted(patch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Statements sent to the database on any connection."""
    sent: list[str] = []
    execute = CursorWrapper.execute

    def hear(self: CursorWrapper, sql: Any, params: Any = None) -> Any:
        sent.append(str(sql))
        return execute(self, sql, params)

    with patch.context() as patched:
        patched.setattr(CursorWrapper, "execute", hear)
        yield sent
