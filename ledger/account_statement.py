"""The statement of one ledger account: its postings, newest first, each with what it left behind.

A page is found by the place of its first posting in the account, so it costs the same however
long the history is; nothing is counted. The account's own order is that of its postings: a late
entry stands where it was posted, with its own date beside it.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from django.db import connection

from ledger.times import ReadingPoint, reading_point

PAGE_SIZE = 50
PAGE_SIZE_MAX = 500


class StatementLine(NamedTuple):
    """One posting, in the signs of the book: a debit is positive.

    Attributes:
        account_seq: its place in the account.
        balance: what it left behind.
    """

    account_seq: int
    entry_id: int
    kind: str
    effective_at: datetime
    entry_reference: str
    narrative: str
    reference: str | None
    amount: Decimal
    balance: Decimal
    price: Decimal | None
    average_cost: Decimal | None
    realised: Decimal | None


@dataclass(frozen=True)
class StatementPage:
    """A stretch of a statement.

    Attributes:
        lines: newest first.
        balance: what the account held at the point, in the signs of the book.
        newest: the place of the newest posting that counts at the point; 0 if there is none.
        before: the place to ask the next page from; None on the last one.
    """

    lines: list[StatementLine]
    balance: Decimal
    newest: int
    before: int | None


# What a horizon knows of an account is the first so many of its postings, so a range says it.
LINES = """
    SELECT p.account_seq, p.entry_id, e.kind_id, e.effective_at, e.reference, e.narrative,
           p.reference, p.amount, p.balance_after, p.price, p.average_after, p.realised
    FROM (SELECT * FROM ledger_posting x WHERE x.account_id = %(account)s
          AND x.account_seq < %(before)s ORDER BY x.account_seq DESC LIMIT %(size)s) p
    JOIN ledger_entry e ON e.id = p.entry_id
    ORDER BY p.account_seq DESC
"""
HELD = """
    SELECT n.account_seq, n.amount
    FROM ledger.balance_of(%(account)s, %(known)s::pg_snapshot, %(as_of)s::date) n
"""


def statement_page(
    account_id: int,
    *,
    point: ReadingPoint | None = None,
    before: int | None = None,
    size: int = PAGE_SIZE,
) -> StatementPage:
    """A page of an account's statement, as known at a point.

    Args:
        account_id: the ledger account; one that the point does not know has nothing to state.
        point: where in the two times it is read. With `as_of` the balance is of that date, and
            lines that take effect later are left out of the page.
        before: only postings before this place; None for the newest page.
        size: how many postings a page reads, 500 at most.
    """
    at = reading_point() if point is None else point
    with connection.cursor() as cursor:
        cursor.execute(HELD, {"account": account_id, "known": at.snapshot, "as_of": at.as_of})
        held = cursor.fetchone()
        if held is None:
            return StatementPage([], Decimal(0), 0, None)
        newest, balance = held
        start = newest + 1 if before is None else min(before, newest + 1)
        wanted = max(1, min(size, PAGE_SIZE_MAX))
        cursor.execute(LINES, {"account": account_id, "before": start, "size": wanted})
        lines = [StatementLine(*row) for row in cursor.fetchall()]
    following = lines[-1].account_seq if lines and lines[-1].account_seq > 1 else None
    ends_at = at.ends_at
    shown = [line for line in lines if ends_at is None or line.effective_at < ends_at]
    return StatementPage(shown, balance, newest, following)
