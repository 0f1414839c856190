"""What kind of record each table is; its triggers, its seal and its checks follow from that.

Every app says of its own tables, in its `apps.py`:

- `sealed_tables`: rows are added under a header and never change; the sealer covers them.
- `sealed_parts`: sealed tables whose rows are covered by the leaf of another table's row.
- `editable_tables`: rows change; before and after of every change is in the audit trail.
- `asked_by_a_guard`: sealed tables whose own guard asks who acts, together with all else it asks;
  the guard's trigger is named beside them.
- `derived_tables`: rows repeat what sealed rows say, so `verify` recomputes them; the triggers
  that keep them true are named beside them.
- `transient_tables`: sessions, the queue, the framework's own; no business fact stands there.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from django.apps import AppConfig, apps
from django.db.backends.utils import CursorWrapper

# Knowledge points one way: an app may refer to itself and to those before it.
LAYERS = ("accounts", "ledger", "margin", "brokerage")

SEALED_TRIGGERS = ("history_is_append_only", "change_has_an_actor")
# The header of a transaction cannot ask for itself.
HEADER_TABLE = "accounts_act"
HEADER_TRIGGERS = ("history_is_append_only", "row_carries_its_transaction")
EDITABLE_TRIGGERS = ("audit_insert", "audit_update", "audit_delete", "history_is_append_only")


class SealedPart(NamedTuple):
    """A table whose rows hang on another table's row and are sealed in its leaf.

    Attributes:
        table: the part.
        whole: the table it hangs on.
        link: the part's column that holds the whole's key.
    """

    table: str
    whole: str
    link: str


class TableClasses(NamedTuple):
    """All tables of all apps, by class."""

    sealed: tuple[str, ...]
    parts: tuple[SealedPart, ...]
    guarded: Mapping[str, str]
    editable: tuple[str, ...]
    derived: Mapping[str, Sequence[str]]
    transient: tuple[str, ...]

    def every(self) -> list[str]:
        """All names, once per class in which they stand."""
        parts = [part.table for part in self.parts]
        return [*self.sealed, *parts, *self.editable, *self.derived, *self.transient]

    def triggers(self) -> dict[str, tuple[str, ...]]:
        """The triggers each table needs, ENABLE ALWAYS."""
        needed: dict[str, tuple[str, ...]] = dict.fromkeys(
            [*self.sealed, *(part.table for part in self.parts)], SEALED_TRIGGERS
        )
        needed[HEADER_TABLE] = HEADER_TRIGGERS
        needed |= {table: (SEALED_TRIGGERS[0], guard) for table, guard in self.guarded.items()}
        needed |= dict.fromkeys(self.editable, EDITABLE_TRIGGERS)
        return needed | {table: tuple(names) for table, names in self.derived.items()}


def table_classes() -> TableClasses:
    """What the apps say of their tables, united."""
    configs = [apps.get_app_config(label) for label in LAYERS]
    derived: dict[str, Sequence[str]] = {}
    guarded: dict[str, str] = {}
    for config in configs:
        derived |= getattr(config, "derived_tables", {})
        guarded |= getattr(config, "asked_by_a_guard", {})
    return TableClasses(
        sealed=_united(configs, "sealed_tables"),
        parts=tuple(part for config in configs for part in getattr(config, "sealed_parts", ())),
        guarded=guarded,
        editable=_united(configs, "editable_tables"),
        derived=derived,
        transient=_united(configs, "transient_tables"),
    )


def _united(configs: Iterable[AppConfig], name: str) -> tuple[str, ...]:
    return tuple(table for config in configs for table in getattr(config, name, ()))


def tables_in_database(cursor: CursorWrapper) -> list[str]:
    """Every table of the schema in which business data stand."""
    cursor.execute(
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p')"
        " AND relnamespace = 'public'::regnamespace ORDER BY 1"
    )
    return [name for (name,) in cursor.fetchall()]


def missing_triggers(cursor: CursorWrapper, classes: TableClasses) -> list[str]:
    """`table.trigger` of every trigger a class needs that is not there or not always on."""
    cursor.execute(
        "SELECT tgrelid::regclass::text, tgname FROM pg_trigger"
        " WHERE NOT tgisinternal AND tgenabled = 'A'"
    )
    found = set(cursor.fetchall())
    return sorted(
        f"{table}.{name}"
        for table, names in classes.triggers().items()
        for name in names
        if (table, name) not in found
    )


def upward_references(cursor: CursorWrapper) -> list[str]:
    """Foreign keys from an app to one that stands above it."""
    cursor.execute(
        "SELECT conrelid::regclass::text, confrelid::regclass::text, conname"
        " FROM pg_constraint WHERE contype = 'f'"
    )
    layer = {
        model._meta.db_table: LAYERS.index(label)
        for label in LAYERS
        for model in apps.get_app_config(label).get_models(include_auto_created=True)
    }
    return sorted(
        f"{table}.{name}"
        for table, target, name in cursor.fetchall()
        if layer.get(table, -1) < layer.get(target, -1)
    )
