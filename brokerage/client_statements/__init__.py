"""Statements of account for clients: a day or a month, as PDF and CSV."""

from brokerage.client_statements.keeping import (
    CONTENT_TYPES,
    NAME,
    TOTALS,
    WRITERS,
    WrittenStatement,
    clients_of,
    keep,
    made_again,
    point_for,
    write_statement,
)
from brokerage.client_statements.period import Period, StatementRefusedError, period_of

__all__ = [
    "CONTENT_TYPES", "NAME", "TOTALS", "WRITERS", "Period", "StatementRefusedError",
    "WrittenStatement", "clients_of", "keep", "made_again", "period_of", "point_for",
    "write_statement",
]  # fmt: skip
