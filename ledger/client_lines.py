"""What clients have and owe in the book over a period: opening, every movement, closing.

A period is read at a point of knowledge. Where an earlier statement was given out, the period
opens with what that one closed with, as it was known then; what came to be known since and takes
effect before the period stands among its movements, so that statements always follow each other.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import connection

from accounts.figures import WIDE
from ledger.models import AccountClass, AssetKind
from ledger.naming import said
from ledger.segregation import pool_assets
from ledger.standing import Stood, balances_at
from ledger.times import ReadingPoint, end_of

ZERO = Decimal(0)
# What belongs to the owner of an account, or is owed by them.
OWN_CLASSES = (AccountClass.CLAIM, AccountClass.POSITION, AccountClass.LOAN_RECEIVABLE)
TRADES = (
    "security_trade", "derivative_trade", "option_trade", "covered_loss", "uncovered_loss",
)  # fmt: skip


class BookAccount(NamedTuple):
    """A ledger account of a client; it never changes."""

    pk: int
    client_id: int
    account: str
    bucket: str
    account_class: str
    asset_id: int
    asset: str
    asset_kind: str
    scale: int
    pool: str
    regime: str


class Movement(NamedTuple):
    """One posting to a client's account, in the client's signs.

    Attributes:
        moved_by: the kind of the entry; of a reversal that of the entry it undoes.
        amount: what the account gained; of a loan what is owed more.
        balance: what the account had or owed after it, in the order of this list.
        fee: what the firm took inside a trade; none where the entry is no trade of one client.
        is_late: whether it takes effect before the period and was not known to the statement
            before.
    """

    account: BookAccount
    account_seq: int
    entry_id: int
    kind: str
    moved_by: str
    effective_at: datetime
    reference: str
    narrative: str
    amount: Decimal
    balance: Decimal
    price: Decimal | None
    realised: Decimal | None
    fee: Decimal | None
    is_late: bool


@dataclass(frozen=True, slots=True)
class BookLine:
    """One ledger account of a client over a period, in the client's signs."""

    account: BookAccount
    opening: Decimal
    movements: tuple[Movement, ...]
    closing: Decimal
    average_cost: Decimal | None

    @property
    def moved(self) -> Decimal:
        """What all movements come to."""
        total = ZERO
        for movement in self.movements:
            total = WIDE.add(total, movement.amount)
        return total


class UnsoundPeriodError(Exception):
    """Opening and movements of an account do not come to its closing."""


ACCOUNTS = """
    SELECT a.id, m.client_id, m.code, b.code, a.account_class, a.asset_id, t.code, t.kind,
           a.scale, p.code, p.regime
    FROM accounts_marginaccount m
    JOIN ledger_ledgeraccount a ON a.margin_account_id = m.id
    JOIN accounts_bucket b ON b.id = a.bucket_id
    JOIN ledger_asset t ON t.id = a.asset_id
    JOIN ledger_pool p ON p.id = a.pool_id
    WHERE m.client_id = ANY (%s) AND a.account_class = ANY (%s)
      AND pg_visible_in_snapshot(a.xid, %s::pg_snapshot)
    ORDER BY m.code, b.code, a.account_class, t.code, p.code
"""
# Movements of the period, and those before it that the statement before did not know.
MOVEMENTS = """
    WITH own AS MATERIALIZED (
        SELECT x.account_id, x.account_seq, x.entry_id, x.amount, x.price, x.realised,
               e.kind_id, e.reverses_id, e.effective_at, e.reference, e.narrative, false AS is_late
        FROM ledger_entry e JOIN ledger_posting x ON x.entry_id = e.id
        WHERE e.effective_at >= %(begins)s AND e.effective_at < %(ends)s
          AND x.account_id = ANY (%(accounts)s)
          AND pg_visible_in_snapshot(e.xid, %(known)s::pg_snapshot)
        UNION ALL
        SELECT x.account_id, x.account_seq, x.entry_id, x.amount, x.price, x.realised,
               e.kind_id, e.reverses_id, e.effective_at, e.reference, e.narrative, true
        FROM ledger_entry e JOIN ledger_posting x ON x.entry_id = e.id
        WHERE e.xid >= pg_snapshot_xmin(%(before)s::pg_snapshot)
          AND NOT pg_visible_in_snapshot(e.xid, %(before)s::pg_snapshot)
          AND e.effective_at < %(begins)s
          AND x.account_id = ANY (%(accounts)s)
          AND pg_visible_in_snapshot(e.xid, %(known)s::pg_snapshot)
    )
    SELECT o.account_id, o.account_seq, o.entry_id, o.kind_id, coalesce(r.kind_id, o.kind_id),
           o.effective_at, o.reference, o.narrative, o.amount, o.price, o.realised, o.is_late, (
        SELECT -sum(f.amount) FROM ledger_posting f
        JOIN ledger_ledgeraccount a ON a.id = f.account_id
            AND a.account_class = 'residual_interest'
        WHERE f.entry_id = o.entry_id AND o.price IS NOT NULL
          AND coalesce(r.kind_id, o.kind_id) = ANY (%(trades)s))
    FROM own o LEFT JOIN ledger_entry r ON r.id = o.reverses_id
    ORDER BY o.effective_at, o.entry_id, o.account_seq
"""


def client_lines(
    clients: Collection[int],
    *,
    first: date,
    last: date,
    point: ReadingPoint,
    before: ReadingPoint | None = None,
) -> dict[int, list[BookLine]]:
    """What clients had and owed over a period, by client, each in the order of its accounts.

    Accounts that held nothing and did not move are left out; a fixed number of queries. Call
    inside one snapshot.

    Args:
        point: what is known; its own business date does not count.
        before: what the statement before knew, where there is one; as much as `point` if None.

    Raises:
        UnsoundPeriodError: an account's opening and movements do not come to its closing.
    """
    accounts = book_accounts(clients, point=point)
    ids = [account.pk for account in accounts]
    known_before = point if before is None else before
    opening = balances_at(_as_of(known_before, first - timedelta(days=1)), account_ids=ids)
    closing = balances_at(_as_of(point, last), account_ids=ids)
    moved = _movements(
        {account.pk: account for account in accounts},
        first=first, last=last, point=point, before=known_before, opening=opening,
    )  # fmt: skip
    found: dict[int, list[BookLine]] = {client: [] for client in clients}
    for account in accounts:
        line = _line(account, opening.get(account.pk), moved[account.pk], closing.get(account.pk))
        if line.opening or line.closing or line.movements:
            found[account.client_id].append(line)
    return found


def book_accounts(clients: Collection[int], *, point: ReadingPoint) -> list[BookAccount]:
    """The claims, positions and loans of clients that a point knows, by their codes."""
    with connection.cursor() as cursor:
        cursor.execute(ACCOUNTS, [list(clients), list(OWN_CLASSES), point.snapshot])
        return [BookAccount(*row) for row in cursor.fetchall()]


def _as_of(point: ReadingPoint, day: date) -> ReadingPoint:
    return ReadingPoint(day, point.known_at, point.snapshot, point.horizon)


def _line(
    account: BookAccount, opened: Stood | None, movements: list[Movement], closed: Stood | None
) -> BookLine:
    def told(stood: Stood | None) -> Decimal:
        return ZERO if stood is None else said(account.account_class, stood.amount)

    cost = None if closed is None or not closed.amount else closed.average_cost
    line = BookLine(account, told(opened), tuple(movements), told(closed), cost)
    if WIDE.add(line.opening, line.moved) != line.closing:
        raise UnsoundPeriodError(
            f"{account.account}/{account.bucket} {account.asset}: {line.opening} and movements of"
            f" {line.moved} do not come to {line.closing}."
        )
    return line


def _movements(
    accounts: dict[int, BookAccount],
    *,
    first: date,
    last: date,
    point: ReadingPoint,
    before: ReadingPoint,
    opening: dict[int, Stood],
) -> dict[int, list[Movement]]:
    asked: dict[str, Any] = {
        "accounts": list(accounts),
        "begins": end_of(first - timedelta(days=1)),
        "ends": end_of(last),
        "known": point.snapshot,
        "before": before.snapshot,
        "trades": list(TRADES),
    }
    with connection.cursor() as cursor:
        cursor.execute(MOVEMENTS, asked)
        rows = cursor.fetchall()
    found: dict[int, list[Movement]] = defaultdict(list)
    balances = {pk: said(accounts[pk].account_class, stood.amount) for pk, stood in opening.items()}
    for account_id, seq, entry, kind, moved_by, at, reference, text, amount, *rest in rows:
        account = accounts[account_id]
        gained = said(account.account_class, amount)
        balances[account_id] = WIDE.add(balances.get(account_id, ZERO), gained)
        price, realised, is_late, fee = rest
        found[account_id].append(
            Movement(
                account, seq, entry, kind, moved_by, at, reference, text, gained,
                balances[account_id], price, realised, fee, is_late,
            )
        )  # fmt: skip
    return found


# ---------------------------------------------------------------- what pools owe


@dataclass(frozen=True, slots=True)
class PoolOwes:
    """One asset of one pool: what clients' statements come to, and what the pool owes.

    Attributes:
        of_clients: what the statements of all clients close with; a loan where `is_loan`.
        of_nobody: receipts that have no owner yet.
        of_the_firm: claims and positions of the firm's own accounts in the pool.
        liabilities: what the pool owes in all, by itself; what it has lent where `is_loan`.
    """

    pool: str
    asset: str
    scale: int
    is_loan: bool
    of_clients: Decimal
    of_nobody: Decimal
    of_the_firm: Decimal
    liabilities: Decimal

    @property
    def difference(self) -> Decimal:
        """What is left unexplained; 0 as long as the book is what it says."""
        explained = WIDE.add(WIDE.add(self.of_clients, self.of_nobody), self.of_the_firm)
        return WIDE.subtract(self.liabilities, explained)


FIRM_OWN = """
    SELECT p.code, t.code, -sum(n.amount)
    FROM ledger.balances_at(%s::pg_snapshot, %s::date) n
    JOIN ledger_ledgeraccount a ON a.id = n.account_id
        AND a.account_class IN ('claim', 'position')
    JOIN accounts_marginaccount m ON m.id = a.margin_account_id AND m.client_id IS NULL
    JOIN ledger_pool p ON p.id = a.pool_id AND p.legal_entity_id = %s
    JOIN ledger_asset t ON t.id = a.asset_id
    GROUP BY p.code, t.code
"""


def pools_owe(
    closings: Iterable[tuple[BookAccount, Decimal]],
    *,
    legal_entity_id: int,
    point: ReadingPoint,
    last: date,
) -> list[PoolOwes]:
    """Statements of all clients of a legal entity beside what its pools owe, by pool and asset.

    The two are read apart: statements account by account, pools as segregation adds them up.

    Args:
        closings: what every client's statement closes with, account by account.
    """
    at = _as_of(point, last)
    clients: dict[tuple[str, str, bool], Decimal] = defaultdict(Decimal)
    for account, closing in closings:
        is_loan = account.account_class == AccountClass.LOAN_RECEIVABLE
        owed = (account.pool, account.asset, is_loan)
        clients[owed] = WIDE.add(clients[owed], closing)
    with connection.cursor() as cursor:
        cursor.execute(FIRM_OWN, [at.snapshot, at.as_of, legal_entity_id])
        own = {(pool, asset): amount for pool, asset, amount in cursor.fetchall()}
    found = []
    for row in pool_assets(kinds=list(AssetKind), entities=[legal_entity_id], point=at):
        key = (row.pool, row.asset)
        found.append(
            PoolOwes(
                row.pool, row.asset, row.scale, False, clients.pop((*key, False), ZERO),
                row.unallocated, own.pop(key, ZERO), WIDE.add(row.claims, row.unallocated),
            )
        )  # fmt: skip
        lent = clients.pop((*key, True), ZERO)
        if lent or row.loans_receivable:
            found.append(PoolOwes(*key, row.scale, True, lent, ZERO, ZERO, row.loans_receivable))
    # What no place of the pool carries: the pool says nothing of it, so it shows as a difference.
    found += [
        PoolOwes(pool, asset, 0, is_loan, amount, ZERO, ZERO, ZERO)
        for (pool, asset, is_loan), amount in sorted(clients.items())
        if amount
    ]
    return [row for row in found if row.of_clients or row.liabilities or row.difference]
