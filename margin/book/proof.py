"""That the balances a run reads are what their postings add up to."""

from datetime import datetime

from django.db import connection, transaction


def unproved_balances(*, horizon_id: int, as_of: datetime) -> tuple[int, ...]:
    """Ledger accounts whose balance, as a run reads it, is not the sum of their postings.

    A run reads the running balance that the newest posting carries; whoever proves it again adds
    up all of them, so that an amount that was changed later does not go unseen.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        # Everything that was ever posted is added up, which may take longer than a screen waits.
        cursor.execute("SET LOCAL statement_timeout = '15min'")
        cursor.execute(
            "WITH h AS (SELECT snapshot FROM ledger_horizon WHERE id = %(horizon)s),"
            " added AS (SELECT p.account_id, sum(p.amount) AS amount"
            "   FROM ledger_posting p JOIN ledger_entry e ON e.id = p.entry_id, h"
            "   WHERE pg_visible_in_snapshot(p.xid, h.snapshot) AND e.effective_at <= %(as_of)s"
            "   GROUP BY p.account_id)"
            " SELECT b.ledger_account_id FROM h,"
            " LATERAL margin.balances_at(h.snapshot, %(as_of)s) b"
            " LEFT JOIN added a ON a.account_id = b.ledger_account_id"
            " WHERE b.amount <> coalesce(a.amount, 0) ORDER BY 1",
            {"horizon": horizon_id, "as_of": as_of},
        )
        return tuple(row[0] for row in cursor.fetchall())
