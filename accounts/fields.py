"""Column types that PostgreSQL has and Django does not: exact numbers, transactions, snapshots."""

from decimal import Decimal
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper


class ExactField(models.DecimalField):  # type: ignore[type-arg]
    """An exact decimal of any size: PostgreSQL `numeric` without a limit, Python `Decimal`.

    Scales belong to assets, not to columns, so the column keeps whatever digits it is given;
    the book's guards refuse an amount with more decimals than its asset has.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_digits", 200)
        kwargs.setdefault("decimal_places", 100)
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> tuple[str, str, list[Any], dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        del kwargs["max_digits"], kwargs["decimal_places"]
        return name, path, list(args), kwargs

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        return "numeric"

    def get_db_prep_value(
        self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False
    ) -> Decimal | None:
        return None if value is None else Decimal(value)

    def get_db_prep_save(self, value: Any, connection: BaseDatabaseWrapper) -> Any:
        if hasattr(value, "as_sql"):
            return value
        return self.get_db_prep_value(value, connection)


class TransactionIdField(models.BigIntegerField):  # type: ignore[type-arg]
    """The id of the transaction that wrote the row (`xid8`); the database fills it in."""

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        return "xid8"

    def rel_db_type(self, connection: BaseDatabaseWrapper) -> str:
        return "xid8"

    def get_prep_value(self, value: Any) -> Any:
        return value if value is None or hasattr(value, "as_sql") else str(int(value))

    def get_db_prep_value(
        self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False
    ) -> Any:
        return value if prepared else self.get_prep_value(value)

    def from_db_value(self, value: Any, *args: Any) -> int | None:
        return None if value is None else int(value)

    def get_placeholder(self, value: Any, compiler: Any, connection: Any) -> str:
        return "%s" if hasattr(value, "as_sql") else "%s::xid8"

    @property
    def validators(self) -> list[Any]:
        return []


class SnapshotField(models.TextField):  # type: ignore[type-arg]
    """A committed horizon (`pg_snapshot`) as PostgreSQL prints it."""

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        return "pg_snapshot"

    def get_placeholder(self, value: Any, compiler: Any, connection: Any) -> str:
        return "%s" if hasattr(value, "as_sql") else "%s::pg_snapshot"


class CurrentTransaction(models.Func):
    """`pg_current_xact_id()`: the id of the running transaction."""

    function = "pg_current_xact_id"
    arity = 0
    output_field = TransactionIdField()


class CurrentSnapshot(models.Func):
    """`pg_current_snapshot()`: which transactions have committed."""

    function = "pg_current_snapshot"
    arity = 0
    output_field = SnapshotField()


class ClockTime(models.Func):
    """`clock_timestamp()`: the time on the server's clock, for people; it decides nothing."""

    function = "clock_timestamp"
    arity = 0
    output_field = models.DateTimeField()
