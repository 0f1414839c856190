"""The statement of one ledger account: its postings, newest first, each with what it left behind.

A page is found by the place of its first posting in the account, so it costs the same however
long the history is; nothing is counted. The account's own order is that of its postings: a late
entry stands where it was posted, with its own date beside it.

Up to the first posting of a later date than the one asked for, an account has nothing but what
counts for that date. Behind it only what came late counts, and that is on a list of its own.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import connection

from ledger.times import ReadingPoint, reading_point

PAGE_SIZE = 50
PAGE_SIZE_MAX = 500


class StatementLine(NamedTuple):
    """One posting, in the signs of the book: a debit is positive.

    Attributes:
        account_seq: its place in the account.
        balance: what the account held with it and the lines below it; what takes effect after the
            date asked for is not in it.
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
        after: the place to ask for the page of newer lines from; None where the newest page is
            that page, or where it cannot be told without reading what came late.
    """

    lines: list[StatementLine]
    balance: Decimal
    newest: int
    before: int | None
    after: int | None = None


class Reach(NamedTuple):
    """Which postings count at a point: all before `end`, and those that came late from there on."""

    balance: Decimal
    newest: int
    end: int


HELD = """
    SELECT n.account_seq, n.amount, (
        SELECT m.first_seq FROM ledger_dailymovement m
        WHERE m.account_id = %(account)s AND m.effective_on > %(as_of)s::date
          AND m.first_seq IS NOT NULL
        ORDER BY m.effective_on LIMIT 1)
    FROM ledger.balance_of(%(account)s, %(known)s::pg_snapshot, %(as_of)s::date) n
"""
# What a horizon knows of an account is the first so many of its postings, so a range says it.
STRETCH = """
    SELECT x.account_seq, x.entry_id, x.reference, x.amount, x.balance_after, x.price,
           x.average_after, x.realised
    FROM ledger_posting x
    WHERE x.account_id = %(account)s AND x.account_seq < least(%(before)s, %(end)s)
    ORDER BY x.account_seq DESC LIMIT %(size)s
"""
LATE = """
    SELECT * FROM (
        SELECT x.account_seq, x.entry_id, x.reference, x.amount,
               %(balance)s - coalesce(sum(x.amount) OVER (
                   ORDER BY x.account_seq DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
                   0) AS balance_after,
               x.price, x.average_after, x.realised
        FROM ledger_backdatedentry d JOIN ledger_posting x ON x.entry_id = d.entry_id
        WHERE daterange(d.effective_on, d.overtaken_on) @> %(as_of)s::date
          AND x.account_id = %(account)s AND x.account_seq BETWEEN %(end)s AND %(newest)s) x
    WHERE x.account_seq < %(before)s
    ORDER BY x.account_seq DESC LIMIT %(size)s
"""
LINES = """
    SELECT p.account_seq, p.entry_id, e.kind_id, e.effective_at, e.reference, e.narrative,
           p.reference, p.amount, p.balance_after, p.price, p.average_after, p.realised
    FROM ({postings}) p JOIN ledger_entry e ON e.id = p.entry_id
    ORDER BY p.account_seq DESC LIMIT %(size)s
"""
ALL_COUNT = LINES.format(postings=STRETCH)
SOME_CAME_LATE = LINES.format(postings=f"({STRETCH}) UNION ALL ({LATE})")


def statement_page(
    account_id: int,
    *,
    point: ReadingPoint | None = None,
    before: int | None = None,
    size: int = PAGE_SIZE,
) -> StatementPage:
    """A page of an account's statement, as known at a point; every page but the last is full.

    Args:
        account_id: the ledger account; one that the point does not know has nothing to state.
        point: where in the two times it is read. With `as_of` lines and balances are of what
            takes effect by the end of that date.
        before: only postings before this place; None for the newest page.
        size: how many lines a page has, 500 at most.
    """
    at = reading_point() if point is None else point
    wanted = max(1, min(size, PAGE_SIZE_MAX))
    reach = reach_of(account_id, at)
    start = reach.newest + 1 if before is None else max(1, min(before, reach.newest + 1))
    asked: dict[str, Any] = {
        "account": account_id,
        "as_of": at.as_of,
        "before": start,
        # One line more says whether a page follows.
        "size": wanted + 1,
        **reach._asdict(),
    }
    with connection.cursor() as cursor:
        cursor.execute(ALL_COUNT if reach.end > reach.newest else SOME_CAME_LATE, asked)
        found = [StatementLine(*row) for row in cursor.fetchall()]
    lines = found[:wanted]
    following = lines[-1].account_seq if len(found) > wanted else None
    newer = start + wanted if start + wanted <= reach.end else None
    return StatementPage(lines, reach.balance, reach.newest, following, newer)


def reach_of(account_id: int, point: ReadingPoint) -> Reach:
    """Which postings of an account count at a point, and what they come to."""
    asked: dict[str, Any] = {
        "account": account_id,
        "known": point.snapshot,
        "as_of": point.as_of,
    }
    with connection.cursor() as cursor:
        cursor.execute(HELD, asked)
        held = cursor.fetchone()
    if held is None:
        return Reach(balance=Decimal(0), newest=0, end=1)
    newest, balance, moved_on = held
    end = newest + 1 if moved_on is None else min(moved_on, newest + 1)
    return Reach(balance=balance, newest=newest, end=end)
