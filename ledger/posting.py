"""The one door for value: entries go into the book through here and nowhere else."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from accounts.audit import RefusedError, refusals


class Leg(NamedTuple):
    """One side of an entry. `amount` is positive for a debit, negative for a credit.

    Attributes:
        account_id: the ledger account.
        amount: in units of the account's asset.
        reference: what the bank or venue calls the movement, on custody legs.
        price: on position legs of trades: currency per unit.
        average: on position legs of openings only: the average cost brought along.
    """

    account_id: int
    amount: Decimal
    reference: str | None = None
    price: Decimal | None = None
    average: Decimal | None = None


@dataclass(frozen=True)
class LossParts:
    """Who pays what a bucket cannot: all parts in the settlement currency, none negative."""

    bucket_id: int
    realised: Decimal
    shortfall: Decimal
    insurance: Decimal
    house: Decimal
    uncovered: Decimal


LOSS_PARTS = ("realised", "shortfall", "insurance", "house", "uncovered")


@dataclass(frozen=True)
class Draft:
    """An entry as it is asked for. The same key with the same content is the same entry."""

    key: str
    kind: str
    effective_at: datetime
    reference: str
    legs: Sequence[Leg]
    narrative: str = ""
    reverses: int | None = None
    approval_id: UUID | None = None
    release_id: UUID | None = None
    loss: LossParts | None = None

    def content(self) -> dict[str, Any]:
        """What the entry says, in the one form that its digest and its approval are bound to."""
        said: dict[str, Any] = {
            "key": self.key,
            "kind": self.kind,
            "effective_at": self.effective_at.isoformat(),
            "reference": self.reference,
            "narrative": self.narrative,
            "legs": [_leg_content(leg) for leg in self.legs],
        }
        if self.reverses is not None:
            said["reverses"] = self.reverses
        if self.loss is not None:
            said["loss"] = {
                "bucket": self.loss.bucket_id,
                **{part: plain(getattr(self.loss, part)) for part in LOSS_PARTS},
            }
        return said

    @classmethod
    def from_content(cls, said: Mapping[str, Any], *, approval_id: UUID | None = None) -> "Draft":
        """The draft that says exactly this, as an approval or a file kept it.

        Raises:
            KeyError, ValueError, ArithmeticError: it is not the content of a draft.
        """
        loss = said.get("loss")
        return cls(
            key=said["key"],
            kind=said["kind"],
            effective_at=datetime.fromisoformat(said["effective_at"]),
            reference=said["reference"],
            narrative=said.get("narrative", ""),
            legs=[_leg_from(leg) for leg in said["legs"]],
            reverses=said.get("reverses"),
            approval_id=approval_id,
            loss=None
            if loss is None
            else LossParts(
                bucket_id=loss["bucket"],
                **{part: Decimal(loss[part]) for part in LOSS_PARTS},
            ),
        )


class Posted(NamedTuple):
    """What became of a draft: its entry, and whether it is new or was there before."""

    entry_id: int
    is_new: bool


class Balance(NamedTuple):
    """A balance as locked: stored sign (debit positive), postings so far, average cost."""

    amount: Decimal
    seq: int
    average_cost: Decimal | None


class AccountKey(NamedTuple):
    """What makes a ledger account: ids of pool and asset, class, and where it hangs."""

    pool_id: int
    asset_id: int
    account_class: str
    bucket_id: int | None = None
    location_id: int | None = None


def plain(value: Decimal) -> str:
    """A decimal as the shortest plain text: no exponent, no trailing zeros, no minus zero."""
    text = format(value, "f") if value else "0"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _leg_content(leg: Leg) -> dict[str, Any]:
    said: dict[str, Any] = {"account": leg.account_id, "amount": plain(leg.amount)}
    if leg.reference is not None:
        said["reference"] = leg.reference
    if leg.price is not None:
        said["price"] = plain(leg.price)
    if leg.average is not None:
        said["average"] = plain(leg.average)
    return said


def _leg_from(said: Mapping[str, Any]) -> Leg:
    return Leg(
        account_id=said["account"],
        amount=Decimal(said["amount"]),
        reference=said.get("reference"),
        price=None if said.get("price") is None else Decimal(said["price"]),
        average=None if said.get("average") is None else Decimal(said["average"]),
    )


def post_entries(drafts: Iterable[Draft]) -> list[Posted]:
    """Post entries in their order, all or none; call inside `accounts.audit.acting`.

    Returns:
        One `Posted` per draft, in order. A key that was used before with the same content gives
        the first entry.

    Raises:
        RefusedError: a rule of the book refused it; nothing moved (docs/segregation.md lists the
            rules).
    """
    batch = [drafted(draft) for draft in drafts]
    if not batch:
        return []
    with refusals(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT entry_id, is_new FROM ledger.post_entries(%s::jsonb) ORDER BY ordinal",
            [json.dumps(batch)],
        )
        return [Posted(*row) for row in cursor.fetchall()]


def drafted(draft: Draft) -> dict[str, Any]:
    """The draft as the posting functions read it.

    Raises:
        RefusedError: it holds what no text of the database can.
    """
    check_texts(draft)
    asked = draft.content()
    if draft.approval_id is not None:
        asked["approval"] = str(draft.approval_id)
    if draft.release_id is not None:
        asked["release"] = str(draft.release_id)
    return asked


def check_texts(draft: Draft) -> None:
    """Refuse what the database cannot hold: a NUL, or half of a surrogate pair."""
    texts = [
        draft.key,
        draft.reference,
        draft.narrative,
        *(leg.reference or "" for leg in draft.legs),
    ]
    joined = "".join(texts)
    if "\0" in joined or joined.encode(errors="replace").decode() != joined:
        raise RefusedError("draft_is_complete", "an entry holds a character that is none")


AfterEntry = Callable[[Draft, Posted], None]
_after_entry: list[AfterEntry] = []


def register_after_entry(do: AfterEntry) -> None:
    """Have something done in the transaction of every single entry that is new.

    Files of a day post theirs together, and its run says what follows from them.
    """
    _after_entry.append(do)


def post_entry(draft: Draft) -> Posted:
    """Post one entry, with what follows from it at once; see `post_entries`."""
    (posted,) = post_entries([draft])
    if posted.is_new:
        for do in _after_entry:
            do(draft, posted)
    return posted


def open_accounts(wanted: Sequence[AccountKey]) -> dict[AccountKey, int]:
    """Ledger account ids for the keys; accounts that are not there yet are opened at zero."""
    rows = [
        {
            "pool": key.pool_id,
            "asset": key.asset_id,
            "class": key.account_class,
            "bucket": key.bucket_id,
            "location": key.location_id,
        }
        for key in wanted
    ]
    with refusals(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT ordinal, account_id FROM ledger.open_accounts(%s::jsonb)", [json.dumps(rows)]
        )
        return {wanted[ordinal - 1]: account_id for ordinal, account_id in cursor.fetchall()}


def lock_balances(
    *, account_ids: Sequence[int] = (), bucket_ids: Sequence[int] = ()
) -> dict[int, Balance]:
    """Lock balances in id order until the act ends, and return them as they stand.

    Name every account that the act will post to, the bank's too, in one call: locks taken in two
    steps can wait for each other in a ring. Accounts that are not there yet are opened before.

    Args:
        account_ids: ledger accounts to lock.
        bucket_ids: buckets all of whose ledger accounts are locked too; they get no new ones
            until the act ends.
    """
    with refusals(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT account_id, amount, seq, average_cost FROM ledger.lock_balances(%s, %s)",
            [list(account_ids), list(bucket_ids)],
        )
        return {row[0]: Balance(*row[1:]) for row in cursor.fetchall()}


def reversal_draft(
    entry_id: int, *, key: str, effective_at: datetime, reference: str, narrative: str
) -> Draft:
    """The entry that undoes another, leg by leg; it needs approval `entry.reversal`.

    Raises:
        RefusedError: there is no such entry.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT ledger.reversal_of(%s)::text", [entry_id])
        (legs,) = cursor.fetchone()
    if legs is None:
        raise RefusedError("reversal_mirrors_its_entry", f"there is no entry {entry_id}")
    return Draft(
        key=key,
        kind="reversal",
        effective_at=effective_at,
        reference=reference,
        narrative=narrative,
        reverses=entry_id,
        legs=[_leg_from(leg) for leg in json.loads(legs)],
    )


__all__ = [
    "AccountKey",
    "Balance",
    "Draft",
    "Leg",
    "LossParts",
    "Posted",
    "check_texts",
    "drafted",
    "lock_balances",
    "open_accounts",
    "plain",
    "post_entries",
    "post_entry",
    "register_after_entry",
    "reversal_draft",
]
