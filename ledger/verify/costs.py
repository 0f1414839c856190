"""Average costs and realised profits, computed again trade by trade, apart from the database.

The same rules as `ledger.positions.apply_trade`, in plain decimals of a width at which a single
rounding cannot differ from the exact one; a test holds the two together.
"""

from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import NamedTuple

from django.db.backends.utils import CursorWrapper

from accounts.checks import Check, Query, Wrong

WIDE = Context(prec=400)
AVERAGE_UNIT = Decimal("1E-8")
ZERO = Decimal(0)
FETCHED_AT_ONCE = 20_000

POSITIONS = """
    SELECT p.account_id, p.account_seq, -p.amount, p.price, p.average_after, p.realised,
           coalesce(m.scale, 2)
    FROM ledger_posting p
    JOIN ledger_ledgeraccount a ON a.id = p.account_id AND a.account_class = 'position'
    JOIN ledger_asset t ON t.id = a.asset_id LEFT JOIN ledger_asset m ON m.id = t.settles_in_id
    ORDER BY p.account_id, p.account_seq
"""


UNPRICED = Query(
    "positions_change_at_a_price",
    "ledger_posting p JOIN ledger_ledgeraccount a ON a.id = p.account_id"
    " WHERE a.account_class = 'position'",
    """
    SELECT 'ledger_posting', p.account_id || '/' || p.account_seq, 'it names no price'
    FROM ledger_posting p
    JOIN ledger_ledgeraccount a ON a.id = p.account_id AND a.account_class = 'position'
    JOIN ledger_entry e ON e.id = p.entry_id AND e.kind_id <> 'opening'
    WHERE p.price IS NULL OR p.price < 0
       OR p.price = 0 AND e.kind_id NOT IN ('option_settlement', 'reversal')
    """,
)


class Cost(NamedTuple):
    """A position between two trades: signed quantity, average cost."""

    quantity: Decimal
    average: Decimal


def after_trade(
    held: Cost, change: Decimal, price: Decimal, scale: int
) -> tuple[Cost, Decimal | None]:
    """The position after a trade, and what it realised; None where nothing was closed."""
    quantity, average = held
    after = WIDE.add(quantity, change)
    if not quantity or (quantity > 0) == (change > 0):
        cost = WIDE.add(WIDE.multiply(abs(quantity), average), WIDE.multiply(abs(change), price))
        mean = WIDE.divide(cost, abs(after)).quantize(AVERAGE_UNIT, ROUND_HALF_EVEN, WIDE)
        return Cost(after, mean), None
    closed = quantity if abs(quantity) <= abs(change) else -change
    gain = WIDE.multiply(closed, WIDE.subtract(price, average))
    realised = gain.quantize(Decimal(1).scaleb(-scale), ROUND_HALF_EVEN, WIDE)
    if not after:
        return Cost(after, ZERO), realised
    if (after > 0) == (quantity > 0):
        return Cost(after, average), realised
    return Cost(after, price.quantize(AVERAGE_UNIT, ROUND_HALF_EVEN, WIDE)), realised


def check_average_costs(cursor: CursorWrapper) -> list[Check]:
    """Every position posting stores the average cost and the profit that its trade made."""
    return [UNPRICED.run(cursor, {}), _check_costs(cursor)]


def _check_costs(cursor: CursorWrapper) -> Check:
    name = "average_costs_and_profits_follow_from_trades"
    account, held, rows = None, Cost(ZERO, ZERO), 0
    # A cursor on the server, so that a large book is read piece by piece.
    with cursor.db.chunked_cursor() as stream:
        stream.execute(POSITIONS)
        while batch := stream.fetchmany(FETCHED_AT_ONCE):
            for account_id, seq, change, price, average, realised, scale in batch:
                if account_id != account:
                    account, held = account_id, Cost(ZERO, ZERO)
                if price is None:
                    # An opening brings its average along; nothing was traded.
                    held, profit = Cost(held.quantity + change, average), None
                else:
                    held, profit = after_trade(held, change, price, scale)
                if average is None or held.average != average or profit != realised:
                    return Check(name, rows, _wrong(account_id, seq, held, profit))
            rows += len(batch)
    return Check(name, rows)


def _wrong(account_id: int, seq: int, held: Cost, profit: Decimal | None) -> Wrong:
    detail = f"the trade leaves an average of {held.average} and realises {profit}"
    return Wrong("ledger_posting", f"{account_id}/{seq}", detail)
