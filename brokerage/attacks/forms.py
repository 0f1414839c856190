"""What an attack is, and the SQL that several of them share.

Statements name what they need of the invented firm as `$name` (`brokerage/attacks/firm.py`).
"""

import json
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Who = Literal["owner", "runtime", "auditor", "broker"]

ACT = "SELECT accounts.act('system:command:attack', NULL, 'command', '', 'An attack')"
# What a connection without the right is refused by.
NO_RIGHT = "42501"
CONSTRAINED = "23"
ANY = "00000000-0000-0000-0000-000000000001"  # an id nobody gives out
ENTRY = "4611686018427387904"  # an id no sequence reaches


@dataclass(frozen=True)
class Attack:
    """A statement that must be refused, and by which rule.

    Attributes:
        rule: the rule, or the name of a right that is missing.
        says: what is tried, in words.
        statements: what is run in one transaction; the last of them must be refused, those
            before it must pass.
        who: as which database role.
        acts: how the transaction says who acts: as a machine, as the person whose session key
            this names, or not at all.
        lacks_right: refused because the role lacks a right, not by a constraint.
    """

    rule: str
    says: str
    statements: tuple[str, ...]
    who: Who = "owner"
    acts: str | None = ACT
    lacks_right: bool = False


def by_owner(rule: str, says: str, *statements: str) -> Attack:
    """By hand, by the owner of the tables, under a header."""
    return Attack(rule, says, statements)


def by_nobody(rule: str, says: str, *statements: str, who: Who = "owner") -> Attack:
    """Without saying who acts."""
    return Attack(rule, says, statements, who=who, acts=None)


def by_person(person: str, rule: str, says: str, *statements: str, who: Who = "owner") -> Attack:
    """By somebody at the desk, through a live session."""
    acts = f"SELECT accounts.act(NULL, '$key_{person}', 'screen', '', 'An attack')"
    return Attack(rule, says, statements, who=who, acts=acts)


def through_the_door(rule: str, says: str, *drafts: dict[str, Any]) -> Attack:
    """By the program, through the posting function."""
    return Attack(rule, says, (posting(*drafts),), who="runtime")


def without_right(rule: str, says: str, statement: str, *, who: Who = "runtime") -> Attack:
    """By a role that has no right to do it."""
    return Attack(rule, says, (statement,), who=who, acts=None, lacks_right=True)


# ---------------------------------------------------------------- through the door


def draft(kind: str, /, *legs: tuple[str, Any], **said: object) -> dict[str, Any]:
    """An entry as the program asks for it; a leg is a name and an amount, or all it says."""
    told = [
        {"account": f"${name}", **(what if isinstance(what, dict) else {"amount": what})}
        for name, what in legs
    ]
    content = {
        "key": f"attack {kind}", "kind": kind, "effective_at": "$now", "reference": "attack",
        "narrative": "", "legs": told,
    }  # fmt: skip
    return {name: value for name, value in (content | said).items() if value is not None}


def posting(*drafts: dict[str, Any]) -> str:
    """The call of the posting function with these entries."""
    batch = json.dumps(drafts).replace("'", "''")
    return f"SELECT count(*) FROM ledger.post_entries('{batch}'::jsonb)"


# ---------------------------------------------------------------- by hand


class Leg(NamedTuple):
    """A posting by hand: values of its own, and SQL for columns that differ from what is right."""

    name: str
    amount: str
    price: str = "NULL"
    average: str = "NULL"
    realised: str = "NULL"


POSTED = (
    "account_id", "account_seq", "entry_id", "pool_id", "asset_id", "amount", "balance_after",
    "reference", "price", "average_after", "realised",
)  # fmt: skip


def entry(
    kind: str,
    *legs: Leg | tuple[str, str],
    header: dict[str, str] | None = None,
    rows: dict[str, str] | None = None,
    has_key: bool = True,
    also: str = "",
) -> str:
    """An entry written by hand as one statement, right in every respect but what is named.

    Args:
        header: SQL of columns of the entry that differ.
        rows: SQL of columns of its postings that differ, over what is right (`posted`).
        also: a further part of the statement, such as the use of a release.
    """
    written = [leg if isinstance(leg, Leg) else Leg(*leg) for leg in legs]
    values = ", ".join(
        f"({place}, ${leg.name}::bigint, {_number(leg.amount)}, {_number(leg.price)},"
        f" {_number(leg.average)}, {_number(leg.realised)})"
        for place, leg in enumerate(written, start=1)
    )
    right = {
        "id": ENTRY, "kind_id": f"'{kind}'", "effective_at": "'$now'", "reference": "'by hand'",
        "narrative": "''", "posting_count": str(len(written)),
    } | (header or {})  # fmt: skip
    columns = {name: name for name in POSTED} | {"entry_id": ENTRY, "reference": "NULL"}
    columns |= rows or {}
    key = (
        f", key AS (INSERT INTO ledger_entrykey (key, digest, entry_id)"
        f" VALUES ('by hand', sha256('by hand'), {ENTRY}))"
    )
    return (
        f"WITH legs(leg, account_id, amount, price, average_after, realised) AS (VALUES {values}),"
        " posted AS (SELECT l.*, a.pool_id, a.asset_id,"
        " b.seq + row_number() OVER w AS account_seq, b.amount + sum(l.amount) OVER w AS"
        " balance_after FROM legs l JOIN ledger_ledgeraccount a ON a.id = l.account_id"
        " JOIN ledger_balance b ON b.account_id = l.account_id"
        " WINDOW w AS (PARTITION BY l.account_id ORDER BY l.leg)),"
        f" header AS (INSERT INTO ledger_entry ({', '.join(right)})"
        f" VALUES ({', '.join(right.values())}))"
        f"{key if has_key else ''}{f', {also}' if also else ''}"
        f" INSERT INTO ledger_posting ({', '.join(columns)})"
        f" SELECT {', '.join(columns.values())} FROM posted ORDER BY leg"
    )


def _number(text: str) -> str:
    return "NULL::numeric" if text == "NULL" else f"'{text}'::numeric"


def row(table: str, **values: str) -> str:
    """An INSERT of one row; values are SQL."""
    return f"INSERT INTO {table} ({', '.join(values)}) VALUES ({', '.join(values.values())})"


def copy(table: str, where: str, **changed: object) -> str:
    """A row once more, under another id and with other columns where they are named.

    A text that begins with `$` stands for a value of the firm and is written without quotes.
    """
    said = json.dumps({"id": 1_000_000_001, **changed})
    return (
        f"INSERT INTO {table} SELECT (jsonb_populate_record(t, '{said}'::jsonb"
        " || CASE WHEN to_jsonb(t) ? 'xid' THEN"
        " jsonb_build_object('xid', pg_current_xact_id()::text) ELSE '{}' END)).*"
        f" FROM {table} t WHERE {where} LIMIT 1"
    )
