"""Checkpoints held against the columns of the book: what was posted from each one to the next."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from django.db.backends.utils import CursorWrapper

from accounts.packed import Flags, Ints, as_numbers, fetch_packed, joined_numbers
from ledger.verify.lookups import Accounts, UnfitError
from ledger.verify.units import as_units, joined_exact

LEAST, GREATEST = -(2**63), 2**63 - 1
# Positions of accounts are below this, so that one fits beside the number of a checkpoint.
SEATS_MAX = 1 << 22

ENDS = (
    f"SELECT count(*), {joined_numbers('xid8send', 'below')}"  # noqa: S608 - our own text
    " FROM ledger_checkpoint"
)
HEADS = """
    SELECT since::text::bigint, postings, first_entry, last_entry, newest_on - date '2000-01-01',
           cardinality(account_ids), cardinality(account_seqs), cardinality(amounts)
    FROM ledger_checkpoint WHERE below = %s::xid8
"""
KEPT = (
    f"SELECT {joined_exact('u.amount')}, {joined_numbers('int8send', 'u.account_id')},"  # noqa: S608
    f" {joined_numbers('int8send', 'u.account_seq')}"
    " FROM ledger_checkpoint c CROSS JOIN unnest(c.account_ids, c.account_seqs, c.amounts)"
    " AS u(account_id, account_seq, amount) WHERE c.below = %(below)s::xid8"
)


class Laps(NamedTuple):
    """What was posted on the way to each checkpoint.

    Attributes:
        nth, account: to which checkpoint, and on which account; a pair may come again in what
            another stretch read.
        seq, amount: the newest posting and the sum of them, in units.
        postings: how many there were, per checkpoint.
        first_entry, last_entry, day: of the entries, per checkpoint.
    """

    nth: Ints
    account: Ints
    seq: Ints
    amount: Ints
    postings: Ints
    first_entry: Ints
    last_entry: Ints
    day: Ints


def read_ends(cursor: CursorWrapper) -> Ints:
    """Where checkpoints end, in order."""
    ((many, joined),) = fetch_packed(cursor, ENDS, {})
    ends = np.sort(as_numbers("xid8send", joined))
    if len(ends) != many:
        raise UnfitError
    return ends


def laps_of(
    posted: tuple[Ints, Ints, Ints, Ints], entries: tuple[Ints, Ints, Ints], *, ends: Ints
) -> Laps:
    """Share rows out among checkpoints by their transactions; what came after the last is left out.

    Args:
        posted: of each posting its transaction, account, number and amount.
        entries: of each entry its transaction, id and day.
        ends: below which transaction each checkpoint ends.
    """
    counts = len(ends)
    xid, account, seq, amount = _before_the_last(posted, ends)
    nth = np.searchsorted(ends, xid, side="right")
    key = nth * SEATS_MAX + account
    order = np.argsort(key)
    begins = np.flatnonzero(np.diff(key[order], prepend=-1))
    of_entries, ids, day = _before_the_last(entries, ends)
    at = np.searchsorted(ends, of_entries, side="right")
    bounds = [np.full(counts, each) for each in (GREATEST, LEAST, LEAST)]
    np.minimum.at(bounds[0], at, ids)
    np.maximum.at(bounds[1], at, ids)
    np.maximum.at(bounds[2], at, day)
    return Laps(
        nth[order][begins], account[order][begins],
        np.maximum.reduceat(seq[order], begins) if len(begins) else seq,
        np.add.reduceat(amount[order], begins) if len(begins) else amount,
        np.bincount(nth, minlength=counts), *bounds,
    )  # fmt: skip


def _before_the_last(columns: Sequence[Ints], ends: Ints) -> list[Ints]:
    """Rows below the end of the newest checkpoint; the first column is the transaction."""
    is_before: Flags = columns[0] < (ends[-1] if len(ends) else LEAST)
    return [column[is_before] for column in columns]


def checkpoints_hold(
    cursor: CursorWrapper, accounts: Accounts, ends: Ints, found: Sequence[Laps]
) -> int | None:
    """How many checkpoints there are, if each is the one before it and what was posted since."""
    seqs, amounts = np.zeros(len(accounts.ids), np.int64), np.zeros(len(accounts.ids), np.int64)
    since = postings = 0
    newest = LEAST
    for nth, below in enumerate(int(end) for end in ends):
        for lap in found:
            is_here = lap.nth == nth
            at = lap.account[is_here]
            seqs[at] = np.maximum(seqs[at], lap.seq[is_here])
            amounts[at] += lap.amount[is_here]
        postings += int(sum(lap.postings[nth] for lap in found))
        newest = max(newest, *(int(lap.day[nth]) for lap in found))
        moved = np.flatnonzero(seqs)
        head = (
            since, postings, min(int(lap.first_entry[nth]) for lap in found),
            max(int(lap.last_entry[nth]) for lap in found), newest, *[len(moved)] * 3,
        )  # fmt: skip
        cursor.execute(HEADS, [str(below)])
        if cursor.fetchone() != head or not _are_kept(
            cursor, accounts, below, expected=(moved, seqs[moved], amounts[moved])
        ):
            return None
        since = below
    return len(ends)


def _are_kept(
    cursor: CursorWrapper, accounts: Accounts, below: int, *, expected: tuple[Ints, Ints, Ints]
) -> bool:
    ((amounts, *joined),) = fetch_packed(cursor, KEPT, {"below": str(below)})
    account_ids, seq = (as_numbers("int8send", column) for column in joined)
    at = accounts.find(account_ids)
    amount = as_units(amounts, accounts.scale[at])
    if {len(at), len(seq), len(amount.values)} != {len(expected[0])} or not amount.fits.all():
        return False
    order = np.argsort(at)
    kept = (at, seq, amount.values)
    return all(
        np.array_equal(column[order], what) for column, what in zip(kept, expected, strict=True)
    )
