"""Operations that first look at what they hold: perpetuals, losses, releases and reversals.

Each is one act: hold every balance it will touch, look, decide, post. What it says under its key
follows from what stands, so it is asked again only with the very content that was posted.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import uuid4

import psycopg

from accounts.models import Role
from ledger.positions import Position, apply_trade
from ledger.posting import plain
from tests.accounts.people import session_of
from tests.bank.firm import RICH
from tests.bank.operations import FLOORS, Asked, Content, Teller, said
from tests.ledger.book import Book

Connection = psycopg.Connection[Any]
Standing = dict[int, tuple[Decimal, int, Decimal | None]]
LOSS_ACCOUNTS = (
    "client_bank", "venue", "venue:BTC-PERP", "insurance_bank", "insurance_equity", "house_bank",
    "house_equity", "shortfall",
)  # fmt: skip
# What may stand against undoing an entry, besides money that is gone.
UNDOING = frozenset(
    {
        "entry_is_reversed_once",
        "residual_interest_not_below_zero",
        "residual_interest_covers_shortfall",
    }
)
PAYERS = (("insurance_bank", "insurance_equity"), ("house_bank", "house_equity"))


@dataclass
class Desk:
    """One writer's sessions of the people whose leave it needs."""

    maker: str
    checker: str

    @classmethod
    def of(cls, book: Book) -> "Desk":
        """Open a session each of one who asks and one who decides."""
        return cls(session_of(book.desk[Role.OPERATIONS]), session_of(book.desk[Role.TREASURY]))


def hold(connection: Connection, accounts: Iterable[int], buckets: list[int]) -> Standing:
    """Lock balances and read them."""
    rows = connection.execute(
        "SELECT account_id, amount, seq, average_cost FROM ledger.lock_balances(%s, %s)",
        [list(accounts), buckets],
    )
    return {row[0]: (row[1], row[2], row[3]) for row in rows}


# ---------------------------------------------------------------- perpetuals


def perpetual(teller: Teller, connection: Connection) -> Asked:
    """A trade at a price that jumps; who loses more than the bucket has is helped in order."""
    book, random = teller.book, teller.random
    who = f"{random.choice(RICH)}/ISO"
    price = Decimal(random.randint(6_000, 14_000)) / 100
    quantity = Decimal(random.choice([-60, -40, -10, 10, 40, 60]))
    names = [who, f"{who}:BTC-PERP", *LOSS_ACCOUNTS]
    held = hold(connection, [book[name] for name in names], [])
    stands = {name: held[book[name]] for name in names}
    amount, _, average = stands[f"{who}:BTC-PERP"]
    effect = apply_trade(
        Position(-amount, average or Decimal(0)), signed_quantity=quantity, price=price,
        kind="perpetual",
    )  # fmt: skip
    realised = effect.realised or Decimal(0)
    legs: list[Content] = [
        {"account": book[f"{who}:BTC-PERP"], "amount": plain(-quantity), "price": plain(price)},
        {"account": book["venue:BTC-PERP"], "amount": plain(quantity)},
    ]
    number, kind, loss = teller.number(), "derivative_trade", None
    money = {who: -realised, "venue": realised}
    if -realised > -stands[who][0]:
        kind, loss, money = _settled(stands, who, lost=-realised)
        loss["bucket"] = book.buckets[who].pk
    legs += [{"account": book[n], "amount": plain(m)} for n, m in money.items() if m]
    content = teller.content(number, kind, legs)
    return Asked(number, content if loss is None else {**content, "loss": loss}, FLOORS)


def _settled(
    stands: dict[str, Any], who: str, *, lost: Decimal
) -> tuple[str, Content, dict[str, Decimal]]:
    """Kind, record and money of a loss: the bucket pays, then INSURANCE, then HOUSE."""
    own = -stands[who][0]
    missing = rest = lost - own
    money = {who: own, "venue": -lost, "client_bank": Decimal(0)}
    paid = []
    for bank, equity in PAYERS:
        part = min(rest, stands[bank][0])
        money |= {bank: -part, equity: part, "client_bank": money["client_bank"] + part}
        paid.append(part)
        rest -= part
    record = {
        "realised": plain(-lost), "shortfall": plain(missing), "insurance": plain(paid[0]),
        "house": plain(paid[1]), "uncovered": plain(rest),
    }  # fmt: skip
    kind = "uncovered_loss" if rest else "covered_loss"
    return kind, record, money | {"shortfall": rest}


# ---------------------------------------------------------------- releases


def released(teller: Teller, connection: Connection) -> Asked:
    """A withdrawal from a margined bucket, with a release for it as it stands."""
    book = teller.book
    who = f"{teller.random.choice(RICH)}/ISO"
    cents, bucket = teller.random.randint(1, 3_000), book.buckets[who].pk
    held = hold(connection, [book["client_bank"]], [bucket])
    version = sum(seq for pk, (_, seq, _) in held.items() if pk != book["client_bank"])
    release = str(uuid4())
    connection.execute(
        "INSERT INTO ledger_release (id, bucket_id, kind_id, asset_id, amount, price_snapshot,"
        " scope_version, binding_term) VALUES (%s, %s, 'withdrawal', %s, %s, '', %s, '')",
        [release, bucket, book.assets["USD"].pk, said(cents), version],
    )
    made = teller.entry("withdrawal", (who, cents), ("client_bank", -cents), may=FLOORS)
    return Asked(made.number, {**made.content, "release": release}, made.may)


def released_again(teller: Teller, before: Asked) -> Asked:
    """The same release under another key, after it was used."""
    number = teller.number()
    content = {**before.content, "key": f"bank:{number}"}
    return Asked(number, content, must=frozenset({"release_is_used_once", "release_is_current"}))


# ---------------------------------------------------------------- reversals


def reversal(
    teller: Teller,
    connection: Connection,
    desk: Desk,
    entry: int,
    *,
    is_first: bool,
) -> Asked:
    """The entry that undoes another, asked for by one person and approved by a second."""
    (legs,) = connection.execute("SELECT ledger.reversal_of(%s)", [entry]).fetchone() or (None,)
    number = teller.number()
    content = {**teller.content(number, "reversal", legs), "reverses": entry}
    with connection.transaction():
        _act_as(connection, desk.maker)
        (approval,) = connection.execute(
            "SELECT accounts.request_approval(%s, 'entry.reversal', %s, %s::jsonb, %s)",
            [teller.book.desk.entity.pk, content["key"], json.dumps(content), "It is in order."],
        ).fetchone() or (None,)
    with connection.transaction():
        _act_as(connection, desk.checker)
        connection.execute(
            "SELECT accounts.decide_approval(%s, 'approved', 'I have looked at it.')", [approval]
        )
    approved = {**content, "approval": str(approval)}
    if is_first:  # though another teller may have undone it by now
        return Asked(number, approved, FLOORS | UNDOING)
    return Asked(number, approved, must=frozenset({"entry_is_reversed_once"}))


def _act_as(connection: Connection, session: str) -> None:
    connection.execute(
        "SELECT accounts.act(NULL, %s, 'screen', '', 'A person at the bank')", [session]
    )


HELD: dict[str, Callable[[Teller, Connection], Asked]] = {
    "perpetual": perpetual,
    "released": released,
}
