"""Average costs as of an instant that the book has gone beyond.

A posting keeps the average cost that it left behind, in the order in which postings came. Where one
that takes effect by the instant came after one that takes effect later, that average counts what
had not happened yet; here it is that of the trades in the order of their time.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final, NamedTuple

from django.db import connection

from ledger.positions import Position, apply_trade

FLAT: Final = Position(Decimal(0), Decimal(0))

STEPS = """
    SELECT p.account_id, -p.amount, p.price, p.average_after, e.id, e.reverses_id
    FROM ledger_horizon h, ledger_posting p JOIN ledger_entry e ON e.id = p.entry_id
    WHERE h.id = %(horizon)s AND p.account_id = ANY (%(accounts)s)
      AND pg_visible_in_snapshot(p.xid, h.snapshot) AND e.effective_at <= %(as_of)s
    ORDER BY p.account_id, e.effective_at, p.account_seq
"""


class Step(NamedTuple):
    """A posting to a position; `price` is None where it brought its average along."""

    quantity: Decimal
    price: Decimal | None
    average_after: Decimal
    entry_id: int
    reverses_id: int | None


def restated_averages(
    quantities: Mapping[int, Decimal], *, horizon_id: int, as_of: datetime
) -> dict[int, Decimal]:
    """The average cost of positions by ledger account, from the trades in the order of their time.

    Args:
        quantities: by ledger account, signed as people say it; what the trades have to come to.

    Returns:
        Nothing where trades do not come to the quantity, as where only the reversal of a later
        entry had taken effect.
    """
    if not quantities:
        return {}
    steps: dict[int, list[Step]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(STEPS, {"horizon": horizon_id, "accounts": list(quantities), "as_of": as_of})
        for account_id, *step in cursor.fetchall():
            steps[account_id].append(Step(*step))
    stood = {account_id: position_after(each) for account_id, each in steps.items()}
    return {
        account_id: position.average_cost
        for account_id, position in stood.items()
        if position.quantity == quantities[account_id]
    }


def position_after(steps: Sequence[Step]) -> Position:
    """The position that postings come to; an entry and its reversal are as if they had not been."""
    undone = {step.reverses_id for step in steps} - {None}
    position = FLAT
    for step in steps:
        if step.entry_id in undone or step.reverses_id is not None:
            continue
        if step.price is None and not position.quantity:
            position = Position(step.quantity, step.average_after)
            continue
        effect = apply_trade(
            position,
            signed_quantity=step.quantity,
            price=step.average_after if step.price is None else step.price,
            kind="perpetual",
        )
        position = Position(effect.quantity_after, effect.average_after)
    return position
