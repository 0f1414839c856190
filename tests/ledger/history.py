"""What must be true of a book however many wrote to it at once, read from its history.

A wrong book can have a right end: money that two people drew at once is back after the next
deposit. So every posting is looked at, not the balances alone.
"""

from typing import Any

import psycopg

Connection = psycopg.Connection[Any]

# What one account says of itself, posting by posting: a gap, a jump, or a claim on the wrong side.
RUNNING = """
    SELECT account_id, account_seq FROM (
        SELECT p.account_id, p.account_seq, p.amount, p.balance_after, a.account_class,
               row_number() OVER w AS place, sum(p.amount) OVER w AS total
        FROM {postings} p JOIN {accounts} a ON a.id = p.account_id
        WINDOW w AS (PARTITION BY p.account_id ORDER BY p.account_seq)
    ) r
    WHERE account_seq <> place OR balance_after <> total
       OR account_class = 'claim' AND balance_after > 0
       OR account_class = 'custody' AND balance_after < 0
"""
WRONG = {
    "running balances": RUNNING.format(postings="ledger_posting", accounts="ledger_ledgeraccount"),
    "balances and their last postings": """
        SELECT b.account_id FROM ledger_balance b
        LEFT JOIN (SELECT account_id, count(*) AS seq, sum(amount) AS amount FROM ledger_posting
                   GROUP BY 1) p USING (account_id)
        WHERE b.amount <> coalesce(p.amount, 0) OR b.seq <> coalesce(p.seq, 0)""",
    "pools and assets that do not add up": """
        SELECT pool_id, asset_id FROM ledger_posting GROUP BY 1, 2 HAVING sum(amount) <> 0""",
    "entries that do not add up": """
        SELECT entry_id FROM ledger_posting GROUP BY entry_id, pool_id, asset_id
        HAVING sum(amount) <> 0""",
    "entries without all their postings": """
        SELECT e.id FROM ledger_entry e LEFT JOIN ledger_posting p ON p.entry_id = e.id
        GROUP BY e.id HAVING count(p.entry_id) <> e.posting_count""",
    "entries without one key": """
        SELECT e.id FROM ledger_entry e FULL JOIN ledger_entrykey k ON k.entry_id = e.id
        WHERE e.id IS NULL OR k.key IS NULL""",
    "days that differ from their postings": """
        SELECT account_id FROM ledger_dailymovement d FULL JOIN (
            SELECT p.account_id, (e.effective_at AT TIME ZONE 'UTC')::date AS effective_on,
                   sum(greatest(p.amount, 0)) AS debit, sum(greatest(-p.amount, 0)) AS credit
            FROM ledger_posting p JOIN ledger_entry e ON e.id = p.entry_id GROUP BY 1, 2
        ) p USING (account_id, effective_on)
        WHERE d.debit IS DISTINCT FROM p.debit OR d.credit IS DISTINCT FROM p.credit""",
}
# What nobody may see at any moment, in one statement and so in one snapshot.
SEEN = """
    SELECT 'a balance beyond its floor' FROM ledger_balance b
    JOIN ledger_ledgeraccount a ON a.id = b.account_id
    WHERE ledger.broken_floor(a.account_class, a.asset_kind, b.amount) IS NOT NULL
    UNION ALL
    SELECT 'a pool that does not add up' FROM ledger_balance b
    JOIN ledger_ledgeraccount a ON a.id = b.account_id
    GROUP BY a.pool_id, a.asset_id HAVING sum(b.amount) <> 0
"""


def wrong_history(connection: Connection) -> dict[str, list[tuple[Any, ...]]]:
    """What is wrong, by what it is; nothing in a right book."""
    found = {name: connection.execute(query).fetchall() for name, query in WRONG.items()}
    return {name: rows for name, rows in found.items() if rows}
