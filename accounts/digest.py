"""One hash per table over what it says, free of everything that another run would say otherwise.

A row is hashed without ids, recorded times and transaction ids; a reference is replaced by the
natural key of the row it points to, and that row's references by theirs. Two databases in which
the same things happened give the same hashes, however often one of them was interrupted.
"""

# Names in these queries come from the apps' models and declarations.
# ruff: noqa: S608

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.apps import apps
from django.db import models
from django.db.backends.utils import CursorWrapper

from accounts.fields import ClockTime, SnapshotField, TransactionIdField

NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True)
class DigestedTable:
    """How a table enters the digest.

    Attributes:
        table: its name.
        key: columns (a reference counts as what it points to) that tell its rows apart, or that
            bring them into order where nothing does.
        key_sql: in place of `key`, an expression over the row `w`.
        left_out: further columns that do not enter, and why.
        refers: columns that hold the id of a row elsewhere without a foreign key: their table.
        said: expressions over the row `w` that enter in place of a column, or besides.
        where: which rows enter, a condition on `w`.
    """

    table: str
    key: tuple[str, ...] = ()
    key_sql: str = ""
    left_out: Mapping[str, str] = field(default_factory=dict)
    refers: Mapping[str, str] = field(default_factory=dict)
    said: Mapping[str, str] = field(default_factory=dict)
    where: str = "true"


class TableDigest(NamedTuple):
    """What a table came to."""

    rows: int
    sha256: str


class Digester:
    """Hashes tables by their declarations.

    Args:
        declared: every table that enters, of all apps.
    """

    def __init__(self, declared: Iterable[DigestedTable]) -> None:
        self.declared = {one.table: one for one in declared}
        self._models = {model._meta.db_table: model for model in apps.get_models()}

    def digest(self, cursor: CursorWrapper, table: str) -> TableDigest:
        """Hash one table, its rows in the order of their keys."""
        needed: dict[str, str] = {}
        columns = self._columns(self.declared[table], needed)
        key = self._key(table, needed)
        row = f"ROW({', '.join(columns[name] for name in sorted(columns))})::text"
        keys = ",\n".join(f"{name} AS MATERIALIZED ({sql})" for name, sql in needed.items())
        cursor.execute(
            f"{'WITH ' + keys if keys else ''} SELECT count(*), encode(sha256(coalesce("
            "string_agg(sha256(convert_to(row, 'UTF8')), ''::bytea"
            " ORDER BY key COLLATE \"C\", row COLLATE \"C\"), '')), 'hex')"
            f" FROM (SELECT {key} AS key, {row} AS row"
            f" FROM public.{table} w{self._joins(table, needed)}"
            f" WHERE {self.declared[table].where}) r"
        )
        return TableDigest(*cursor.fetchone())

    def left_out(self, table: str) -> dict[str, str]:
        """The columns of a table that do not enter, and why."""
        declared = self.declared[table]
        found = dict(declared.left_out)
        for column in self._fields(table):
            why = _always_left_out(column)
            if why and column.column not in declared.said:
                found.setdefault(str(column.column), why)
        return found

    # Columns and keys as SQL

    def _fields(self, table: str) -> "list[models.Field[Any, Any]]":
        return [f for f in self._models[table]._meta.local_concrete_fields if f.column]

    def _columns(self, declared: DigestedTable, needed: dict[str, str]) -> dict[str, str]:
        out = self.left_out(declared.table)
        columns = {
            str(column.column): self._value(declared.table, str(column.column), needed)
            for column in self._fields(declared.table)
            if column.column not in out
        }
        return columns | {name: f"({sql})" for name, sql in declared.said.items()}

    def _target(self, table: str, column: str) -> str | None:
        """The table whose key stands in for a column; None where the column speaks for itself."""
        refers = self.declared[table].refers if table in self.declared else {}
        if column in refers:
            return refers[column]
        found = next(f for f in self._fields(table) if f.column == column)
        if found.remote_field is None:
            return None
        target: str = found.remote_field.model._meta.db_table
        own_key = self._models[target]._meta.pk
        is_natural = self.declared[target].key == (own_key.column,)
        return None if is_natural and own_key.remote_field is None else target

    def _value(self, table: str, column: str, needed: dict[str, str]) -> str:
        target = self._target(table, column)
        if target is not None:
            self._need(target, needed)
            return f"k_{column}.key"
        found = next(f for f in self._fields(table) if f.column == column)
        is_number = isinstance(found, models.DecimalField)
        return f"trim_scale(w.{column})" if is_number else f"w.{column}"

    def _need(self, table: str, needed: dict[str, str]) -> None:
        """Add the query that gives the natural key of every row of a table."""
        name = f"keys_of_{table}"
        if name in needed:
            return
        inner: dict[str, str] = {}
        key = self._key(table, inner)
        needed.update({one: sql for one, sql in inner.items() if one not in needed})
        pk = self._models[table]._meta.pk.column
        joins = self._joins(table, inner, only=self.declared[table].key)
        needed[name] = f"SELECT w.{pk} AS id, {key} AS key FROM public.{table} w{joins}"

    def _key(self, table: str, needed: dict[str, str]) -> str:
        declared = self.declared[table]
        if declared.key_sql:
            return f"({declared.key_sql})"
        values = ", ".join(self._value(table, column, needed) for column in declared.key)
        return f"ROW({values})::text"

    def _joins(
        self, table: str, needed: Mapping[str, str], only: Iterable[str] | None = None
    ) -> str:
        out = self.left_out(table)
        columns = [str(f.column) for f in self._fields(table)] if only is None else only
        joins = ""
        for column in columns:
            if column in out and column not in self.declared[table].key:
                continue
            target = self._target(table, column)
            if target is not None:
                joins += f"\nLEFT JOIN keys_of_{target} k_{column} ON k_{column}.id = w.{column}"
        return joins


def _always_left_out(column: "models.Field[Any, Any]") -> str:
    """Why a column never enters, or nothing."""
    default = column.db_default if column.has_db_default() else None
    if isinstance(column, TransactionIdField):
        return "transaction id"
    if isinstance(column, SnapshotField):
        return "snapshot"
    if isinstance(default, ClockTime):
        return "recorded time"
    if column.primary_key and isinstance(column, models.AutoField | models.UUIDField):
        return "surrogate id"
    return ""


# ---------------------------------------------------------------- this app

BY_CLOCK = "time on the clock of whoever acted"

TABLES = (
    DigestedTable("accounts_legalentity", key=("code",)),
    DigestedTable(
        "accounts_client",
        key=("legal_entity_id", "code"),
        left_out={
            "name_sealed": "encrypted under a random key",
            "person_key_id": "random key",
        },
    ),
    DigestedTable("accounts_marginaccount", key=("legal_entity_id", "code")),
    DigestedTable("accounts_bucket", key=("account_id", "code")),
    DigestedTable("accounts_accountgroup", key=("legal_entity_id", "code")),
    DigestedTable("accounts_groupmember", key=("group_id", "account_id", "joined_on")),
    DigestedTable("accounts_scope", key=("bucket_id", "account_id", "group_id")),
    DigestedTable("accounts_agreement", key=("legal_entity_id", "code")),
    DigestedTable("accounts_agreementversion", key=("agreement_id", "version")),
    DigestedTable("accounts_accountagreement", key=("account_id", "effective_from")),
    DigestedTable(
        "accounts_operator",
        key=("username",),
        left_out={
            "password": "salted at random",
            "last_login": BY_CLOCK,
            "time_zone": "how one person reads the clock",
        },
    ),
    DigestedTable(
        "accounts_rolegrant",
        key=("operator_id", "role", "legal_entity_id", "desk"),
        left_out={
            "expires_at": BY_CLOCK,
            "reason": "of emergencies, which run by the clock; their review is digested",
        },
        said={"is_revoked": "w.revoked_xid IS NOT NULL"},
    ),
    DigestedTable("accounts_signinrule", key=("legal_entity_id", "proof_minutes")),
    DigestedTable("accounts_signinbinding", key=("issuer", "subject", "operator_id", "is_bound")),
    DigestedTable("accounts_dutyconflict", key=("legal_entity_id", "first", "second")),
    DigestedTable("accounts_emergencyrule", key=("holder", "role")),
    DigestedTable("accounts_emergencyreview", key=("grant_id",)),
    DigestedTable("accounts_approvalaction", key=("code",)),
    DigestedTable(
        "accounts_approval",
        key=("legal_entity_id", "action_id", "subject", "maker_id", "reason"),
        left_out={
            "number": "given by a sequence",
            "payload": "holds ids; what was approved is in the tables it was used for",
            "payload_sha256": "hash of the payload",
            "made_at": BY_CLOCK,
            "expires_at": BY_CLOCK,
            "decided_at": BY_CLOCK,
            "used_at": BY_CLOCK,
        },
        said={"is_used": "w.used_xid IS NOT NULL"},
    ),
    DigestedTable("accounts_retentionclass", key=("code",)),
    DigestedTable("accounts_retentionrule", key=("record_id", "effective_from")),
    DigestedTable(
        "accounts_legalhold",
        key=("client_id", "reason"),
        said={"is_lifted": "w.lifted_xid IS NOT NULL"},
    ),
    DigestedTable(
        "accounts_erasure",
        key=("client_id",),
        left_out={"person_key_id": "random key", "kept_until": BY_CLOCK},
    ),
    DigestedTable(
        "accounts_approvallimit", key=("legal_entity_id", "role", "asset", "effective_from")
    ),
    DigestedTable("accounts_instructionrule", key=("legal_entity_id", "effective_from")),
    DigestedTable(
        "accounts_paymentinstruction",
        key=("client_id", "code", "version"),
        left_out={"details_sealed": "encrypted under a random key", "usable_from": BY_CLOCK},
    ),
)

LEFT_OUT = {
    "accounts_act": "the trail: who acted, how often, when",
    "accounts_approvalrecord": "names of rows, which hold ids; the request is digested",
    "accounts_auditrow": "the trail: before and after of every change",
    "accounts_emergencytask": "follows from emergencies and their reviews, by the clock",
    "accounts_limituse": "follows from requests and decisions, by the clock's day",
    "accounts_personkey": "random keys",
    "accounts_purge": "what went by the clock, and how much of it",
    "accounts_savedview": "how people look at lists; nothing of the business",
    "accounts_redaction": "seals of rows from which a name was taken",
    "accounts_sealblock": "seals",
    "accounts_sealepoch": "seals",
    "accounts_sealleaf": "seals",
    "accounts_operatorsession": "sessions",
    "accounts_providerlogout": "sessions",
    "accounts_recoverycode": "random codes",
    "accounts_secondfactor": "random secrets, and when they were used",
    "accounts_signinfailure": "sessions",
    "accounts_spentticket": "sessions",
    "auth_group": "the framework's own",
    "auth_group_permissions": "the framework's own",
    "auth_permission": "the framework's own",
    "django_content_type": "the framework's own",
    "django_migrations": "the framework's own",
    "django_session": "sessions",
}
