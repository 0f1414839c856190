"""What holds of every book at every moment, and of its whole history at the end."""

from array import array
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import psycopg

from tests.ledger.history import WRONG

Connection = psycopg.Connection[Any]

# The wrong side of a balance, by class: positive is a debit. Said here once more, and not asked of
# the database, whose own rule is what is tested.
WRONG_SIDE = """
    (a.asset_kind <> 'derivative' AND (
        {amount} > 0 AND a.account_class IN
            ('claim', 'unallocated', 'position', 'residual_interest')
        OR {amount} < 0 AND a.account_class IN
            ('custody', 'loan_receivable', 'shortfall', 'in_transit')))"""
SEEN = f"""
    SELECT 'a balance on the wrong side' FROM ledger_balance b
    JOIN ledger_ledgeraccount a ON a.id = b.account_id
    WHERE {WRONG_SIDE.format(amount="b.amount")}
    UNION ALL
    SELECT 'a pool that does not add up' FROM ledger_balance b
    JOIN ledger_ledgeraccount a ON a.id = b.account_id
    GROUP BY a.pool_id, a.asset_id HAVING sum(b.amount) <> 0
"""
# Entries that a reader takes apart in each look: the newest it can see.
NEWEST = "(SELECT max(id) - 400 FROM ledger_entry)"
LOOKS = {
    "an entry that does not add up in its pools": f"""
        SELECT entry_id FROM ledger_posting WHERE entry_id > {NEWEST}
        GROUP BY entry_id, pool_id, asset_id HAVING sum(amount) <> 0""",
    "an entry without all its postings": f"""
        SELECT e.id FROM ledger_entry e WHERE e.id > {NEWEST}
          AND e.posting_count <> (SELECT count(*) FROM ledger_posting p WHERE p.entry_id = e.id)""",
    "an entry without its key": f"""
        SELECT e.id FROM ledger_entry e WHERE e.id > {NEWEST}
          AND 1 <> (SELECT count(*) FROM ledger_entrykey k WHERE k.entry_id = e.id)""",
    "a row of another transaction than its entry": f"""
        SELECT e.id FROM ledger_entry e JOIN ledger_posting p ON p.entry_id = e.id
        WHERE e.id > {NEWEST} AND p.xid IS DISTINCT FROM e.xid
           OR e.id > {NEWEST} AND NOT EXISTS (SELECT FROM accounts_act a WHERE a.xid = e.xid)""",
    "a balance that is not its last posting": """
        SELECT b.account_id FROM ledger_balance b CROSS JOIN LATERAL (
            SELECT p.account_seq, p.balance_after, p.average_after FROM ledger_posting p
            WHERE p.account_id = b.account_id ORDER BY p.account_seq DESC LIMIT 1) p
        WHERE (b.amount, b.seq, b.average_cost)
              IS DISTINCT FROM (p.balance_after, p.account_seq, p.average_after)""",
    "days that do not make their balance": """
        SELECT b.account_id FROM ledger_balance b LEFT JOIN (
            SELECT account_id, sum(debit) - sum(credit) AS moved FROM ledger_dailymovement
            GROUP BY 1) d USING (account_id)
        WHERE b.amount <> coalesce(d.moved, 0)""",
}
# What a pool holds is what it owes: in the words of the desk, class by class.
IDENTITY = """
    SELECT 'custody that is not what the pool owes' FROM (
        SELECT a.pool_id, a.asset_id,
               sum(b.amount) FILTER (WHERE a.account_class IN
                   ('custody', 'in_transit', 'shortfall', 'loan_receivable')) AS held,
               -sum(b.amount) FILTER (WHERE a.account_class NOT IN
                   ('custody', 'in_transit', 'shortfall', 'loan_receivable')) AS owed
        FROM ledger_balance b JOIN ledger_ledgeraccount a ON a.id = b.account_id GROUP BY 1, 2
    ) p WHERE coalesce(held, 0) <> coalesce(owed, 0)
"""
LAST = "SELECT account_id, seq FROM ledger_balance"
# Of the history as a whole, besides what holds of every book.
HISTORY = {
    **WRONG,
    "running balances": f"""
        SELECT account_id, account_seq FROM (
            SELECT p.account_id, p.account_seq, p.balance_after, a.asset_kind, a.account_class,
                   row_number() OVER w AS place, sum(p.amount) OVER w AS total
            FROM ledger_posting p JOIN ledger_ledgeraccount a ON a.id = p.account_id
            WINDOW w AS (PARTITION BY p.account_id ORDER BY p.account_seq)
        ) a
        WHERE account_seq <> place OR balance_after <> total
           OR {WRONG_SIDE.format(amount="a.balance_after")}""",
    "average costs that trades do not make": """
        SELECT account_id, account_seq FROM (
            SELECT p.*, a.asset_kind, e.kind_id, m.scale::integer AS settlement,
                   p.amount - p.balance_after AS quantity,
                   coalesce(lag(p.average_after) OVER w, 0) AS average
            FROM ledger_posting p
            JOIN ledger_ledgeraccount a ON a.id = p.account_id AND a.account_class = 'position'
            JOIN ledger_entry e ON e.id = p.entry_id
            JOIN ledger_asset t ON t.id = p.asset_id JOIN ledger_asset m ON m.id = t.settles_in_id
            WINDOW w AS (PARTITION BY p.account_id ORDER BY p.account_seq)
        ) p CROSS JOIN LATERAL (SELECT sign(quantity) = sign(amount) AS is_closing) c
        WHERE p.kind_id NOT IN ('opening', 'reversal') AND (
            NOT is_closing AND abs(average_after - (abs(quantity) * average + abs(amount) * price)
                                  / abs(quantity - amount)) > 0.00000001
            OR is_closing AND abs(amount) < abs(quantity) AND average_after <> average
            OR is_closing AND amount = quantity AND average_after <> 0
            OR is_closing AND abs(realised - sign(quantity) * least(abs(quantity), abs(amount))
                                  * (price - average)) > 0.5 / 10::numeric ^ settlement
            OR is_closing <> (realised IS NOT NULL))""",
    "rows of nobody": """
        SELECT e.id FROM ledger_entry e LEFT JOIN accounts_act a ON a.xid = e.xid
        WHERE a.xid IS NULL
        UNION ALL
        SELECT p.entry_id FROM ledger_posting p JOIN ledger_entry e ON e.id = p.entry_id
        WHERE p.xid IS DISTINCT FROM e.xid
        UNION ALL
        SELECT k.entry_id FROM ledger_entrykey k JOIN ledger_entry e ON e.id = k.entry_id
        WHERE k.xid IS DISTINCT FROM e.xid""",
    "margined buckets lowered without their release": """
        SELECT p.entry_id FROM ledger_posting p
        JOIN ledger_ledgeraccount a ON a.id = p.account_id AND a.account_class = 'claim'
        JOIN accounts_bucket b ON b.id = a.bucket_id AND b.is_margined
        JOIN ledger_entry e ON e.id = p.entry_id
        JOIN ledger_entrykind k ON k.code = e.kind_id AND k.needs_release
        LEFT JOIN ledger_releaseuse u ON u.entry_id = p.entry_id
        WHERE p.amount > 0 AND u.entry_id IS NULL""",
    "releases used twice": """
        SELECT release_id FROM ledger_releaseuse GROUP BY 1 HAVING count(*) > 1""",
    "entries reversed twice": """
        SELECT reverses_id FROM ledger_entry WHERE reverses_id IS NOT NULL
        GROUP BY 1 HAVING count(*) > 1""",
    "entries without the approval they need": """
        SELECT e.id FROM ledger_entry e
        JOIN ledger_entrykind k ON k.code = e.kind_id AND k.needs_approval
        JOIN ledger_entrykey y ON y.entry_id = e.id
        WHERE NOT EXISTS (
            SELECT FROM accounts_approval p WHERE p.used_xid = e.xid AND p.decision = 'approved'
              AND p.maker_id <> p.checker_id AND p.payload_sha256 = y.digest)""",
    "losses without their record": """
        SELECT e.id FROM ledger_entry e LEFT JOIN ledger_loss l ON l.entry_id = e.id
        WHERE e.kind_id IN ('covered_loss', 'uncovered_loss') AND l.entry_id IS NULL""",
}


class Reader:
    """Somebody who looks at the whole book again and again, in one snapshot each time."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.looks = 0
        self._seen: dict[int, int] = {}

    def look(self) -> list[str]:
        """What is wrong now, as one snapshot shows it."""
        self.looks += 1
        with self.connection.transaction():
            run = self.connection.execute
            run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            wrong = [str(row[0]) for query in (SEEN, IDENTITY) for row in run(query)]
            for what, query in LOOKS.items():
                row = run(f"{query} LIMIT 1").fetchone()  # type: ignore[arg-type]
                if row is not None:
                    wrong.append(f"{what}: {row[0]}")
            wrong += self._goes_forward()
        return wrong

    def _goes_forward(self) -> Iterator[str]:
        for account, seq in self.connection.execute(LAST):
            if seq < self._seen.get(account, 0):
                yield f"account {account} at posting {seq} after {self._seen[account]}"
            self._seen[account] = seq


def wrong_book(connection: Connection, first: "array[int]", sums: dict[int, int]) -> Iterator[str]:
    """What is wrong with the history, with itself or with what the tellers were told."""
    connection.execute("SET work_mem = '256MB'")
    for what, query in HISTORY.items():
        row = connection.execute(f"{query} LIMIT 1").fetchone()  # type: ignore[arg-type]
        if row is not None:
            yield f"{what}: {row}"
    yield from _keys(connection, first)
    rows = connection.execute(
        "SELECT b.account_id, b.amount, a.scale FROM ledger_balance b"
        " JOIN ledger_ledgeraccount a ON a.id = b.account_id"
    )
    for account, amount, scale in rows:
        expected = Decimal(sums.get(account, 0)).scaleb(-scale)
        if account in sums and amount != expected:
            yield f"account {account} stands at {amount}, the tellers were told {expected}"


def _keys(connection: Connection, first: "array[int]") -> Iterator[str]:
    """Every key that was answered names that entry, and no other key was taken."""
    found = 0
    with connection.transaction(), connection.cursor(name="keys") as cursor:
        cursor.itersize = 50_000
        cursor.execute(
            "SELECT substr(k.key, 6)::bigint, k.entry_id FROM ledger_entrykey k"
            " WHERE starts_with(k.key, 'bank:')"
        )
        for number, entry in cursor:
            found += 1
            if first[number] != entry:
                yield f"key {number} names entry {entry}, the teller was told {first[number]}"
                return
    answered = sum(1 for entry in first if entry)
    if found != answered:
        yield f"{answered} keys were answered, {found} are kept"
