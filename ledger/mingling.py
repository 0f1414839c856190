"""Where the house's trading and clients' funds would meet: looked for, not assumed away.

The guards of the book refuse every one of these; the report asks the rows themselves.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from django.db import connection


class Mingled(NamedTuple):
    """A place where two owner classes meet that must not.

    Attributes:
        kind: account, entry, location or obligation.
        name: of the row.
        classes: the owner classes that meet, as text.
    """

    kind: str
    name: str
    classes: str
    detail: str


# Each returns name, classes, detail; the transactions that count are those a snapshot knows.
ACCOUNTS = """
    SELECT a.id::text, p.owner_class || ', ' || m.owner_class, p.code || ' ' || m.code
    FROM ledger_ledgeraccount a
    JOIN ledger_pool p ON p.id = a.pool_id
    JOIN accounts_marginaccount m ON m.id = a.margin_account_id
    WHERE pg_visible_in_snapshot(a.xid, %(known)s::pg_snapshot) AND p.legal_entity_id = %(entity)s
      AND (a.owner_class <> p.owner_class
           OR a.account_class IN ('claim', 'position') AND m.owner_class <> p.owner_class
           OR a.account_class = 'loan_receivable'
              AND (m.owner_class <> 'CLIENT' OR p.owner_class <> 'HOUSE'))
    ORDER BY a.id
"""
# Claims and positions of two owner classes in one entry; and anything of a trading pool beside
# client funds. Only kinds that may touch several pools are looked at, and whatever else did.
ENTRIES = """
    SELECT e.id::text, string_agg(DISTINCT p.owner_class, ', ' ORDER BY p.owner_class),
           e.kind_id || ' ' || e.reference
    FROM ledger_entry e
    JOIN ledger_posting q ON q.entry_id = e.id
    JOIN ledger_ledgeraccount a ON a.id = q.account_id
    JOIN ledger_pool p ON p.id = q.pool_id
    WHERE pg_visible_in_snapshot(e.xid, %(known)s::pg_snapshot) AND p.legal_entity_id = %(entity)s
      AND (%(ends_at)s::timestamptz IS NULL OR e.effective_at < %(ends_at)s::timestamptz)
    GROUP BY e.id, e.kind_id, e.reference
    HAVING count(DISTINCT a.owner_class) FILTER (
               WHERE a.account_class IN ('claim', 'position')) > 1
        OR bool_or(p.owner_class = 'CLIENT') AND bool_or(p.owner_class = 'HOUSE_PROP')
    ORDER BY e.id
"""
# One account at one keeper that two pools of different classes both call theirs.
LOCATIONS = """
    SELECT string_agg(l.code, ', ' ORDER BY l.code),
           string_agg(DISTINCT p.owner_class, ', ' ORDER BY p.owner_class), l.account_number
    FROM ledger_location l JOIN ledger_pool p ON p.id = l.pool_id
    WHERE l.account_number <> '' AND p.legal_entity_id = %(entity)s
      AND pg_visible_in_snapshot(p.xid, %(known)s::pg_snapshot)
    GROUP BY l.account_number, l.keeper, l.kind
    HAVING count(DISTINCT p.owner_class) > 1
    ORDER BY 1
"""
OBLIGATIONS = """
    SELECT o.reference, concat_ws(', ', b.owner_class, s.owner_class, l.owner_class), o.kind
    FROM ledger_obligation o
    CROSS JOIN LATERAL ledger.party_of(o.by_account_id, o.by_client_id, o.by_entity_id) b
    LEFT JOIN accounts_marginaccount s ON s.id = o.secures_account_id
    LEFT JOIN accounts_bucket k ON k.id = o.bucket_id
    LEFT JOIN accounts_marginaccount l ON l.id = k.account_id
    WHERE pg_visible_in_snapshot(o.xid, %(known)s::pg_snapshot) AND o.legal_entity_id = %(entity)s
      AND (s.owner_class <> b.owner_class OR l.owner_class <> s.owner_class)
    ORDER BY o.reference
"""
QUESTIONS = (
    ("account", ACCOUNTS),
    ("entry", ENTRIES),
    ("location", LOCATIONS),
    ("obligation", OBLIGATIONS),
)


def mingled(*, legal_entity_id: int, snapshot: str, ends_at: datetime | None) -> Iterator[Mingled]:
    """Every place where owner classes meet that must not, as known at a snapshot.

    Args:
        ends_at: the first instant of business time that no longer counts; None for all.
    """
    asked: dict[str, int | str | datetime | None] = {
        "entity": legal_entity_id,
        "known": snapshot,
        "ends_at": ends_at,
    }
    for kind, question in QUESTIONS:
        with connection.cursor() as cursor:
            cursor.execute(question, asked)
            for row in cursor.fetchall():
                yield Mingled(kind, *row)
