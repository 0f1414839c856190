"""A stretch of entries with all their postings as columns, held against the rules of the book.

Nothing here says what is wrong: a rule either holds for the whole stretch, or its query must look.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from django.db.backends.utils import CursorWrapper

from accounts.packed import (
    Flags,
    Ints,
    as_numbers,
    as_texts,
    fetch_packed,
    joined_numbers,
    joined_texts,
)
from ledger.verify.laps import SEATS_MAX, Laps, laps_of
from ledger.verify.lookups import Accounts, Kinds, UnfitError
from ledger.verify.units import as_units, joined_exact

DAY = 86_400_000_000  # microseconds, as PostgreSQL sends a time
# A number of a posting within its account is below this, so it fits beside an account's position.
SEQ_MAX = 1 << 40
# Sums of units stay below 64 bits where all of them together do.
SUM_MAX = float(1 << 62)

ENTRY_NUMBERS = (
    ("int8send", "id"), ("xid8send", "xid"), ("int4send", "posting_count"),
    ("timestamptz_send", "effective_at"),
)  # fmt: skip
POSTING_NUMBERS = (
    ("int8send", "entry_id"), ("int8send", "account_id"), ("int8send", "account_seq"),
    ("int8send", "pool_id"), ("int8send", "asset_id"), ("xid8send", "xid"),
)  # fmt: skip
ENTRIES = (
    f"SELECT count(*), {joined_texts('kind_id')},"  # noqa: S608 - all of it our own text
    f" {', '.join(joined_numbers(*column) for column in ENTRY_NUMBERS)}"
    " FROM ledger_entry WHERE id BETWEEN %(first)s AND %(last)s"
)
POSTINGS = (
    f"SELECT count(*), {joined_exact('amount')}, {joined_exact('balance_after')},"  # noqa: S608
    f" {', '.join(joined_numbers(*column) for column in POSTING_NUMBERS)}"
    " FROM ledger_posting WHERE entry_id BETWEEN %(first)s AND %(last)s"
)
KEYS = (
    f"SELECT count(*), {joined_numbers('int8send', 'entry_id')}"  # noqa: S608
    " FROM ledger_entrykey WHERE entry_id BETWEEN %(first)s AND %(last)s"
)


class Entries(NamedTuple):
    """Entries in the order of their ids; `kind` is a number of `Kinds`, `day` counts from 2000."""

    ids: Ints
    xid: Ints
    posting_count: Ints
    day: Ints
    kind: Ints


class Postings(NamedTuple):
    """Postings in the order of their entries.

    Attributes:
        entry: position of the entry in the stretch.
        begins: position of each entry's first posting.
        account: position in `Accounts`.
        seq, pool, asset, xid: as stored.
        amount, balance: in units of the account's asset.
    """

    entry: Ints
    begins: Ints
    account: Ints
    seq: Ints
    pool: Ints
    asset: Ints
    xid: Ints
    amount: Ints
    balance: Ints


class Runs(NamedTuple):
    """Postings of an account without a gap between them.

    Attributes:
        account, first: whose they are, and the number of the first.
        before: the balance that the first goes on from.
        last, after: the number of the last, and the balance that it left.
        least, greatest: of the balances in between, the last among them.
    """

    account: Ints
    first: Ints
    before: Ints
    last: Ints
    after: Ints
    least: Ints
    greatest: Ints


class Movements(NamedTuple):
    """What moved on an account on a day.

    Attributes:
        account, day, debit, credit: as stored, in units.
        first: the least number of a posting of that day.
        before, xid: the balance that posting found, and its transaction.
    """

    account: Ints
    day: Ints
    debit: Ints
    credit: Ints
    first: Ints
    before: Ints
    xid: Ints


@dataclass(frozen=True)
class Stretch:
    """What a stretch came to.

    Attributes:
        entries, postings, keys: how many there are.
        per_kind: entries by number of `Kinds`.
        volume: all amounts without their signs, added up.
        runs, movements, laps: what goes on in other stretches.
        holds: rules that hold in the stretch, by `is_...` below.
    """

    entries: int
    postings: int
    keys: int
    per_kind: Ints
    volume: float
    runs: Runs
    movements: Movements
    laps: Laps
    holds: dict[str, bool] = field(default_factory=dict)


def read_stretch(
    cursor: CursorWrapper, accounts: Accounts, kinds: Kinds, *, first: int, last: int, ends: Ints
) -> Stretch:
    """Read entries from id `first` to `last` and look at them; checkpoints end at `ends`.

    Raises:
        UnfitError: they cannot be looked at in this way, or something that all rules build on is
            wrong with them.
    """
    between = {"first": first, "last": last}
    entries = _entries(cursor, kinds, between)
    postings = _postings(cursor, accounts, entries, between)
    ((keys, joined),) = fetch_packed(cursor, KEYS, between)
    of_keys = np.sort(as_numbers("int8send", joined))
    volume = float(np.abs(postings.amount).astype(np.float64).sum())
    if volume > SUM_MAX:
        raise UnfitError
    runs, movements, goes_on = _by_account(postings, entries)
    laps = laps_of(
        (postings.xid, postings.account, postings.seq, postings.amount),
        (entries.xid, entries.ids, entries.day),
        ends=ends,
    )
    is_placed = is_of_its_account(postings, entries, accounts)
    holds = {
        "goes_on": goes_on,
        "postings": is_placed,
        # What a posting says of its pool and asset is taken from its account.
        "entries": is_placed and is_balanced(postings, entries, accounts, kinds),
        "owners": is_of_few_owners(postings, entries, accounts, kinds),
        "keys": len(of_keys) == keys and np.array_equal(of_keys, entries.ids),
        "legs": is_permitted(postings, entries, accounts, kinds),
    }
    per_kind = np.bincount(entries.kind, minlength=len(kinds.nth))
    return Stretch(
        len(entries.ids), len(postings.seq), keys, per_kind, volume, runs, movements, laps, holds
    )


# ---------------------------------------------------------------- reading


def _entries(cursor: CursorWrapper, kinds: Kinds, between: dict[str, int]) -> Entries:
    ((many, texts, *joined),) = fetch_packed(cursor, ENTRIES, between)
    ids, xid, posting_count, at = (
        as_numbers(function, column)
        for (function, _), column in zip(ENTRY_NUMBERS, joined, strict=True)
    )
    codes = as_texts(texts)
    if {len(ids), len(xid), len(posting_count), len(at), len(codes)} != {many}:
        raise UnfitError
    endless = np.iinfo(np.int64)
    if ((at == endless.min) | (at == endless.max)).any():
        raise UnfitError
    try:
        kind = np.array([kinds.nth[code] for code in codes], np.int64)
    except KeyError as error:
        raise UnfitError from error
    order = np.argsort(ids)
    return Entries(*(column[order] for column in (ids, xid, posting_count, at // DAY, kind)))


def _postings(
    cursor: CursorWrapper, accounts: Accounts, entries: Entries, between: dict[str, int]
) -> Postings:
    ((many, amounts, balances, *joined),) = fetch_packed(cursor, POSTINGS, between)
    entry_ids, account_ids, seq, pool, asset, xid = (
        as_numbers(function, column)
        for (function, _), column in zip(POSTING_NUMBERS, joined, strict=True)
    )
    if {len(column) for column in (entry_ids, account_ids, seq, pool, asset, xid)} != {many}:
        raise UnfitError
    account = accounts.find(account_ids)
    scale = accounts.scale[account]
    amount, balance = as_units(amounts, scale), as_units(balances, scale)
    if len(amount.values) != many or not (amount.fits.all() and balance.fits.all()):
        raise UnfitError
    if many and (seq.min() < 1 or seq.max() >= SEQ_MAX):
        raise UnfitError
    order = np.argsort(entry_ids)
    in_order = entry_ids[order]
    begins = np.flatnonzero(np.diff(in_order, prepend=in_order[:1] - 1))
    if not np.array_equal(in_order[begins], entries.ids):
        raise UnfitError  # an entry without postings, or postings without their entry
    counts = np.diff(begins, append=many)
    entry = np.repeat(np.arange(len(begins)), counts)
    columns = (account, seq, pool, asset, xid, amount.values, balance.values)
    return Postings(entry, begins, *(column[order] for column in columns))


# ---------------------------------------------------------------- rules by entry


def is_of_its_account(postings: Postings, entries: Entries, accounts: Accounts) -> bool:
    """Written with its entry, in the pool and asset of its account; floors are looked at later."""
    return bool(
        (postings.xid == entries.xid[postings.entry]).all()
        and (postings.pool == accounts.pool[postings.account]).all()
        and (postings.asset == accounts.asset[postings.account]).all()
    )


def is_balanced(postings: Postings, entries: Entries, accounts: Accounts, kinds: Kinds) -> bool:
    """Written whole, zero in each pool and asset, and in one pool where the kind allows no more."""
    counts = np.diff(postings.begins, append=len(postings.seq))
    sums = _over(np.add, postings.amount, postings.begins)
    place = accounts.place[postings.account]
    is_mixed = _least(place, postings) != _greatest(place, postings)
    return bool(
        (counts == entries.posting_count).all()
        and (sums[~is_mixed] == 0).all()
        and _is_each_zero(postings, place, is_mixed[postings.entry])
        and (
            (kinds.pools_max[entries.kind] >= 2)
            | (_least(postings.pool, postings) == _greatest(postings.pool, postings))
        ).all()
    )


def _is_each_zero(postings: Postings, place: Ints, is_mixed: Flags) -> bool:
    """Whether entries of several places come to zero in each of them."""
    if not is_mixed.any():
        return True
    seats = int(place.max()) + 1
    group = (postings.entry * seats + place)[is_mixed]
    order = np.argsort(group)
    begins = np.flatnonzero(np.diff(group[order], prepend=-1))
    return not np.add.reduceat(postings.amount[is_mixed][order], begins).any()


def is_of_few_owners(
    postings: Postings, entries: Entries, accounts: Accounts, kinds: Kinds
) -> bool:
    """No more than one client, account or bucket where the kind allows one, none where none."""
    for owners, most in zip(accounts.owners, kinds.owners_max, strict=True):
        owner = owners[postings.account]
        greatest = _greatest(owner, postings)
        allowed = most[entries.kind]
        is_one = _least(np.where(owner == 0, greatest[postings.entry], owner), postings) == greatest
        if not ((allowed >= 2) | is_one & ((allowed == 1) | (greatest == 0))).all():
            return False
    return True


def is_permitted(postings: Postings, entries: Entries, accounts: Accounts, kinds: Kinds) -> bool:
    """Every posting is a leg that its kind permits."""
    kind, group = entries.kind[postings.entry], accounts.group[postings.account]
    side = (postings.amount > 0).astype(np.int64)
    return bool(kinds.permits[kind, group, side].all())


def _least(values: Ints, postings: Postings) -> Ints:
    """Per entry the least of the values of its postings."""
    return _over(np.minimum, values, postings.begins)


def _greatest(values: Ints, postings: Postings) -> Ints:
    return _over(np.maximum, values, postings.begins)


# ---------------------------------------------------------------- what goes on elsewhere


def _by_account(postings: Postings, entries: Entries) -> tuple[Runs, Movements, bool]:
    """Runs and daily movements, and whether each posting in a run goes on from the one before."""
    if len(postings.seq) and postings.account.max() >= SEATS_MAX:
        raise UnfitError
    order = np.argsort(postings.account * SEQ_MAX + postings.seq)
    account, seq = postings.account[order], postings.seq[order]
    amount, balance = postings.amount[order], postings.balance[order]
    day, xid = entries.day[postings.entry[order]], postings.xid[order]
    is_first = np.ones(len(order), np.bool_)
    is_first[1:] = (account[1:] != account[:-1]) | (seq[1:] != seq[:-1] + 1)
    goes_on = bool((is_first[1:] | (balance[1:] == balance[:-1] + amount[1:])).all())
    begins = np.flatnonzero(is_first)
    ends = np.append(begins[1:], len(order)) - 1 if len(order) else begins
    runs = Runs(
        account[begins], seq[begins], balance[begins] - amount[begins], seq[ends], balance[ends],
        _over(np.minimum, balance, begins), _over(np.maximum, balance, begins),
    )  # fmt: skip
    is_first[1:] |= day[1:] != day[:-1]
    days = np.flatnonzero(is_first)
    movements = Movements(
        account[days], day[days], _over(np.add, np.maximum(amount, 0), days),
        _over(np.add, np.maximum(-amount, 0), days), seq[days],
        balance[days] - amount[days], xid[days],
    )  # fmt: skip
    return runs, movements, goes_on


def _over(function: np.ufunc, values: Ints, begins: Ints) -> Ints:
    """The function over each part of the values, which begin where it says."""
    found: Ints = function.reduceat(values, begins) if len(begins) else values[:0]
    return found
