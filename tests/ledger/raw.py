"""Entries written by hand as the owner of the tables, past the posting functions.

What is written here is right in every respect unless a test says otherwise, so that a refusal is
the rule's and nobody else's. Each entry is one statement in an act of its own.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest

from ledger.models import Balance, LedgerAccount
from tests.ledger.book import NOON, Book

Owner = psycopg.Connection[Any]
ACT = (
    "INSERT INTO accounts_act (actor, channel, request_id, reason)"
    " VALUES ('system:command:by-hand', 'command', '', 'By hand')"
)
POSTING_COLUMNS = (
    "account_id", "account_seq", "entry_id", "pool_id", "asset_id", "amount", "balance_after",
    "reference", "price", "average_after", "realised",
)  # fmt: skip


@dataclass(frozen=True)
class Raw:
    """An entry to be written by hand.

    Attributes:
        kind: its kind.
        legs: names and amounts.
        rows: columns of the postings that differ from what is right, by the leg's place.
        entry: columns of the entry that differ.
        has_key: whether it has its key.
        has_act: whether its transaction says who acts.
        loss: columns of its record of a loss, except the entry.
        release: the release it uses.
    """

    kind: str
    legs: tuple[tuple[str, str], ...]
    rows: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    entry: Mapping[str, Any] = field(default_factory=dict)
    has_key: bool = True
    has_act: bool = True
    loss: Mapping[str, Any] | None = None
    release: UUID | None = None

    def write(self, owner: Owner, book: Book) -> int:
        """Write the entry; returns its id."""
        (entry_id,) = owner.execute("SELECT nextval('ledger_entry_id')").fetchone() or (0,)
        parts = [
            insert("ledger_entry", self._entry(entry_id)),
            *([insert("ledger_entrykey", self._key(entry_id))] if self.has_key else []),
            *([insert("ledger_loss", {"entry_id": entry_id, **self.loss})] if self.loss else []),
            *([self._release_use(entry_id)] if self.release else []),
        ]
        postings = self._postings(entry_id, book)
        if postings:
            parts.append(insert("ledger_posting", *postings))
        *ctes, last = parts
        text = ", ".join(f"part_{n} AS ({part[0]})" for n, part in enumerate(ctes))
        values = [value for part in parts for value in part[1]]
        with owner.transaction():
            if self.has_act:
                owner.execute(ACT)
            owner.execute(f"WITH {text} {last[0]}" if ctes else last[0], values)
        return int(entry_id)

    def _entry(self, entry_id: int) -> dict[str, Any]:
        right = {
            "id": entry_id,
            "kind_id": self.kind,
            "effective_at": NOON,
            "reference": "by hand",
            "narrative": "",
            "posting_count": len(self.legs),
        }
        return {**right, **self.entry}

    def _key(self, entry_id: int) -> dict[str, Any]:
        return {"key": f"by hand {entry_id}", "entry_id": entry_id, "digest": b"\0" * 32}

    def _release_use(self, entry_id: int) -> tuple[str, list[Any]]:
        return insert("ledger_releaseuse", {"release_id": self.release, "entry_id": entry_id})

    def _postings(self, entry_id: int, book: Book) -> list[dict[str, Any]]:
        standing: dict[int, tuple[int, Decimal]] = {}
        postings = []
        for place, (name, amount) in enumerate(self.legs):
            account = LedgerAccount.objects.get(pk=book[name])
            balance = Balance.objects.get(account=account)
            seq, stood = standing.get(account.pk, (balance.seq, balance.amount))
            after = stood + Decimal(amount)
            standing[account.pk] = seq + 1, after
            right = dict.fromkeys(POSTING_COLUMNS) | {
                "account_id": account.pk, "account_seq": seq + 1, "entry_id": entry_id,
                "pool_id": account.pool_id, "asset_id": account.asset_id,
                "amount": Decimal(amount), "balance_after": after,
            }  # fmt: skip
            postings.append({**right, **self.rows.get(place, {})})
        return postings


def insert(table: str, *rows: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """An INSERT of rows with the same columns."""
    columns = list(rows[0])
    marks = ", ".join(f"({', '.join(['%s'] * len(columns))})" for _ in rows)
    text = f"INSERT INTO {table} ({', '.join(columns)}) VALUES {marks}"
    return text, [row[column] for row in rows for column in columns]


def run(owner: Owner, *statements: str | tuple[str, list[Any]], acts: bool = True) -> None:
    """Run statements in one transaction, which says who acts unless it shall not."""
    with owner.transaction():
        if acts:
            owner.execute(ACT)
        for statement in statements:
            text, values = statement if isinstance(statement, tuple) else (statement, [])
            owner.execute(text, values)


@contextmanager
def refused_by_hand(book: Book, rule: str) -> Iterator[None]:
    """Prove that the database refuses what is done inside by this rule, and that nothing moved."""
    before = book.digest()
    with pytest.raises(psycopg.Error) as refusal:
        yield
    assert refusal.value.diag.constraint_name == rule, refusal.value
    assert book.digest() == before, "a refusal moved something"


@contextmanager
def not_permitted(book: Book) -> Iterator[None]:
    """Prove that whoever is connected lacks the right, and that nothing moved."""
    before = book.digest()
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        yield
    assert book.digest() == before, "a refusal moved something"
