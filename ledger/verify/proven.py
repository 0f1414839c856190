"""The whole book as columns: which rules hold, so that their queries need not look.

Entries are read in stretches, with all that hangs on them, by whichever connection is free. The
last stretch puts together what goes on from one to another: balances, days, floors. A rule that
does not hold, or that numbers of 64 bits cannot tell, is left to its query, which says what is
wrong in its own words.
"""

from decimal import Decimal
from itertools import pairwise
from threading import Lock

import numpy as np
from django.db import DatabaseError
from django.db.backends.utils import CursorWrapper

from accounts.checks import Check, CheckFunction
from accounts.packed import Flags, Ints, as_numbers, fetch_packed, in_order_of_pages, joined_numbers
from ledger.verify.checkpoints import NAME as CHECKPOINTS
from ledger.verify.laps import checkpoints_hold, read_ends
from ledger.verify.lookups import Accounts, Kinds, UnfitError, read_accounts, read_kinds
from ledger.verify.stretch import SUM_MAX, Movements, Runs, Stretch, read_stretch
from ledger.verify.units import as_units, joined_exact

ENTRIES_AT_ONCE = 50_000
MOVEMENTS_AT_ONCE = 500_000
LEAST, GREATEST = -(2**63), 2**63 - 1

BALANCES = (
    f"SELECT count(*), {joined_exact('amount')}, {joined_numbers('int8send', 'account_id')},"  # noqa: S608
    f" {joined_numbers('int8send', 'seq')} FROM ledger_balance"
)
NO_XID = "coalesce(first_xid, '0')"
COSTS = """
    SELECT NOT EXISTS (
        SELECT FROM ledger_balance b
        LEFT JOIN ledger_posting p ON p.account_id = b.account_id AND p.account_seq = b.seq
        WHERE b.average_cost IS DISTINCT FROM p.average_after)
"""
MOVEMENTS = (
    f"SELECT count(*), {joined_exact('debit')}, {joined_exact('credit')},"  # noqa: S608
    f" {joined_numbers('int8send', 'account_id')}, {joined_numbers('date_send', 'effective_on')},"
    f" {joined_numbers('int8send', 'coalesce(first_seq, 0)')},"
    f" {joined_numbers('boolsend', 'first_seq IS NULL')},"
    f" {joined_exact('coalesce(amount_before, 0)')},"
    f" {joined_numbers('xid8send', NO_XID)},"
    " coalesce(bool_and(num_nulls(first_seq, amount_before, first_xid) IN (0, 3)), true)"
    " FROM ledger_dailymovement WHERE account_id BETWEEN %(first)s AND %(last)s"
)
FLOORS = """
    SELECT bool_and(ledger.broken_floor(g.account_class, g.asset_kind, g.balance) IS NULL)
    FROM unnest(%(classes)s::text[], %(kinds)s::text[], %(balances)s::numeric[])
        AS g(account_class, asset_kind, balance)
"""


class Book:
    """What is known of the book as its stretches are read.

    Attributes:
        proven: once all stretches were read, how many rows were looked at by name of each rule
            that holds.
    """

    def __init__(self) -> None:
        self.proven: dict[str, int] = {}
        self._accounts: Accounts | None = None
        self._kinds: Kinds | None = None
        self._checkpoints: Ints = np.zeros(0, np.int64)
        self._found: list[Stretch | None] = []
        self._left = 0
        self._lock = Lock()

    def stretches(self, cursor: CursorWrapper) -> list[CheckFunction]:
        """Functions that read the book stretch by stretch; none of them finds fault."""
        cursor.execute("SAVEPOINT lookups")
        try:
            self._accounts = read_accounts(cursor)
            self._kinds = read_kinds(cursor, self._accounts.groups)
            self._checkpoints = read_ends(cursor)
        except (UnfitError, DatabaseError, ArithmeticError, ValueError):
            cursor.execute("ROLLBACK TO SAVEPOINT lookups")
            return []
        ends = [*_ends(cursor), GREATEST]
        self._left = len(ends)
        starts = [LEAST, *(end + 1 for end in ends[:-1])]
        return [self._reading(*each) for each in zip(starts, ends, strict=True)]

    def _reading(self, first: int, last: int) -> CheckFunction:
        def read_entries(cursor: CursorWrapper) -> list[Check]:
            self._add(cursor, self._read(cursor, first, last))
            return []

        return read_entries

    def _read(self, cursor: CursorWrapper, first: int, last: int) -> Stretch | None:
        assert self._accounts is not None
        assert self._kinds is not None
        if None in self._found:
            return None  # the queries will look at all of it anyway
        cursor.execute("SAVEPOINT stretch")
        try:
            with in_order_of_pages(cursor):
                return read_stretch(
                    cursor, self._accounts, self._kinds, first=first, last=last,
                    ends=self._checkpoints,
                )  # fmt: skip
        except (UnfitError, DatabaseError, ArithmeticError, ValueError):
            cursor.execute("ROLLBACK TO SAVEPOINT stretch")
            return None

    def _add(self, cursor: CursorWrapper, stretch: Stretch | None) -> None:
        with self._lock:
            self._found.append(stretch)
            self._left -= 1
            is_last = self._left == 0
        found = [each for each in self._found if each is not None]
        if not is_last or len(found) < len(self._found):
            return
        assert self._accounts is not None
        assert self._kinds is not None
        cursor.execute("SAVEPOINT whole")
        try:
            proven = _proven(cursor, self._accounts, self._kinds, found)
            laps = [each.laps for each in found]
            held = checkpoints_hold(cursor, self._accounts, self._checkpoints, laps)
            self.proven = proven | ({} if held is None else {CHECKPOINTS: held})
        except (UnfitError, DatabaseError, ArithmeticError, ValueError):
            cursor.execute("ROLLBACK TO SAVEPOINT whole")


def _ends(cursor: CursorWrapper) -> list[int]:
    """Ids at which a stretch ends, but for the last."""
    ends: list[int] = []
    while True:
        cursor.execute(
            "SELECT id FROM ledger_entry WHERE id > %s ORDER BY id OFFSET %s LIMIT 1",
            [ends[-1] if ends else LEAST, ENTRIES_AT_ONCE - 1],
        )
        row = cursor.fetchone()
        if row is None:
            return ends
        ends.append(row[0])


# ---------------------------------------------------------------- all stretches together


def _proven(
    cursor: CursorWrapper, accounts: Accounts, kinds: Kinds, found: list[Stretch]
) -> dict[str, int]:
    """Rows looked at, by name of each rule that holds in the whole book."""
    entries, postings, keys = (
        sum(each.entries for each in found),
        sum(each.postings for each in found),
        sum(each.keys for each in found),
    )
    if (entries, postings, keys) != _counted(cursor) or sum(e.volume for e in found) > SUM_MAX:
        raise UnfitError
    holds = {name: all(each.holds[name] for each in found) for name in found[0].holds}
    runs = Runs(*(np.concatenate(column) for column in zip(*(e.runs for e in found), strict=True)))
    moved = Movements(
        *(np.concatenate(column) for column in zip(*(e.movements for e in found), strict=True))
    )
    rows: dict[str, int | None] = {
        "postings_keep_their_account_and_its_floor": postings
        if holds["postings"] and keeps_floors(cursor, accounts, runs) else None,
        "entries_balance_in_each_pool": entries if holds["entries"] else None,
        "entries_touch_one_owner_unless_their_kind_allows_more":
            entries if holds["owners"] else None,
        "entries_have_one_key": keys if holds["keys"] else None,
        "postings_fit_their_kind": postings if holds["legs"] else None,
        "daily_movements_are_their_postings": _movements(cursor, accounts, moved),
    }  # fmt: skip
    if holds["goes_on"] and (last := _chained(runs)) is not None:
        rows["postings_follow_one_another"] = postings
        rows["balances_are_the_sum_of_their_postings"] = _balances(cursor, accounts, last)
    per_kind = np.sum([each.per_kind for each in found], axis=0)
    return {name: many for name, many in rows.items() if many is not None} | _unused(
        kinds, per_kind
    )


def _counted(cursor: CursorWrapper) -> tuple[int, int, int]:
    cursor.execute(
        "SELECT (SELECT count(*) FROM ledger_entry), (SELECT count(*) FROM ledger_posting),"
        " (SELECT count(*) FROM ledger_entrykey)"
    )
    entries, postings, keys = cursor.fetchone()
    return entries, postings, keys


def _unused(kinds: Kinds, per_kind: Ints) -> dict[str, int]:
    """Rules of some kinds only, where there is no entry of them."""
    wide = np.maximum.reduce([kinds.pools_max, *kinds.owners_max]) > 1
    interest = [kinds.nth.get(code, -1) for code in (b"borrow_interest", b"credit_interest")]
    is_interest = np.isin(np.arange(len(per_kind)), interest)
    of_kinds: dict[str, Flags] = {
        "entries_touch_no_more_than_their_kind_allows": wide,
        "custody_follows_the_trade": kinds.keeps_custody,
        "entries_have_their_approvals": kinds.needs_approval,
        "interest_was_posted_as_it_was_accrued": is_interest,
    }
    return {name: 0 for name, which in of_kinds.items() if not per_kind[which].any()}


def _chained(runs: Runs) -> Runs | None:
    """The last run of each account, if each goes on from the one before and the first from zero."""
    order = np.lexsort((runs.first, runs.account))
    account, first, before, last, after, *_ = (column[order] for column in runs)
    is_new = np.ones(len(order), np.bool_)
    is_new[1:] = account[1:] != account[:-1]
    is_sound = np.where(is_new, (first == 1) & (before == 0), True)
    is_sound[1:] &= is_new[1:] | ((first[1:] == last[:-1] + 1) & (before[1:] == after[:-1]))
    if not is_sound.all():
        return None
    ends = order[np.append(is_new[1:], True)] if len(order) else order
    return Runs(*(column[ends] for column in runs))


def keeps_floors(cursor: CursorWrapper, accounts: Accounts, runs: Runs) -> bool:
    """Whether the least and the greatest balance of each group of accounts keeps its floor.

    What is allowed is a range, so what lies between two that are allowed is too.
    """
    if not len(runs.account):
        return True
    scale = accounts.scale[runs.account]
    which, place = np.unique(
        np.stack([accounts.group[runs.account], scale]), axis=1, return_inverse=True
    )
    place = place.reshape(-1)
    ends = np.stack([np.full(which.shape[1], GREATEST), np.full(which.shape[1], LEAST)])
    np.minimum.at(ends[0], place, runs.least)
    np.maximum.at(ends[1], place, runs.greatest)
    groups = [accounts.groups[group] for group in which[0]] * 2
    cursor.execute(
        FLOORS,
        {
            "classes": [group[0].decode() for group in groups],
            "kinds": [group[2].decode() for group in groups],
            "balances": [
                Decimal(int(units)).scaleb(-int(of))
                for side in ends
                for units, of in zip(side, which[1], strict=True)
            ],
        },
    )
    return bool(cursor.fetchone()[0])


def _balances(cursor: CursorWrapper, accounts: Accounts, last: Runs) -> int | None:
    """How many balances there are, if each is that of the last posting and no account lacks one."""
    ((many, amounts, *joined),) = fetch_packed(cursor, BALANCES, {})
    account_ids, seq = (as_numbers("int8send", column) for column in joined)
    at = accounts.find(account_ids)
    amount = as_units(amounts, accounts.scale[at])
    if {len(at), len(seq), len(amount.values)} != {many} or not amount.fits.all():
        raise UnfitError
    expected = np.zeros((2, len(accounts.ids)), np.int64)
    expected[:, last.account] = last.last, last.after
    kept = np.full((2, len(accounts.ids)), LEAST)
    kept[:, at] = seq, amount.values
    cursor.execute(COSTS)
    (is_of_its_cost,) = cursor.fetchone()
    return many if is_of_its_cost and np.array_equal(expected, kept) else None


# ---------------------------------------------------------------- days


def _movements(cursor: CursorWrapper, accounts: Accounts, moved: Movements) -> int | None:
    """How many daily movements there are, if each is what its postings say."""
    expected = _by_day(moved)
    ends = np.flatnonzero(np.diff(expected.account, append=-1))
    starts = np.append(0, ends[:-1] + 1)
    whole = np.unique(starts // MOVEMENTS_AT_ONCE, return_index=True)[1][1:]
    cuts = [0, *(int(starts[nth]) for nth in whole), len(expected.day)]
    ids = accounts.ids[expected.account[cuts[1:-1]]]
    bounds = [LEAST, *(int(each) for each in ids), GREATEST + 1]
    rows = 0
    for nth, (begin, end) in enumerate(pairwise(cuts)):
        between = {"first": bounds[nth], "last": bounds[nth + 1] - 1}
        part = Movements(*(column[begin:end] for column in expected))
        if not _are_kept(cursor, accounts, part, between):
            return None
        rows += end - begin
    return rows


def _by_day(moved: Movements) -> Movements:
    """Movements put together by account and day, in that order.

    `first`, `before` and `xid` are 0 where the account had been at a later day before.
    """
    order = np.lexsort((moved.first, moved.day, moved.account))
    account, day, debit, credit, first, before, xid = (column[order] for column in moved)
    if not len(order):
        return Movements(account, day, debit, credit, first, before, xid)
    is_new = np.ones(len(order), np.bool_)
    is_new[1:] = (account[1:] != account[:-1]) | (day[1:] != day[:-1])
    begins = np.flatnonzero(is_new)
    account, day = account[begins], day[begins]
    first, before, xid = first[begins], before[begins], xid[begins]
    # From the end on, the least number so far: each account's numbers are put below those of the
    # accounts behind it, which then say nothing of it.
    beyond = int(first.max()) + 1
    if beyond * (int(account.max()) + 1) > GREATEST:
        raise UnfitError
    lowered = first + account * beyond
    least = np.minimum.accumulate(lowered[::-1])[::-1]
    is_first = np.ones(len(first), np.bool_)
    is_first[:-1] = least[1:] >= lowered[:-1]
    return Movements(
        account, day, np.add.reduceat(debit, begins), np.add.reduceat(credit, begins),
        *(np.where(is_first, column, 0) for column in (first, before, xid)),
    )  # fmt: skip


def _are_kept(
    cursor: CursorWrapper, accounts: Accounts, expected: Movements, between: dict[str, int]
) -> bool:
    ((many, debited, credited, *joined, stood, sent, is_whole),) = fetch_packed(
        cursor, MOVEMENTS, between
    )
    if not is_whole:
        return False
    account = accounts.find(as_numbers("int8send", joined[0]))
    day, first = as_numbers("date_send", joined[1]), as_numbers("int8send", joined[2])
    is_without = as_numbers("boolsend", joined[3]) != 0
    scale = accounts.scale[account]
    xid = as_numbers("xid8send", sent)
    debit, credit, before = (as_units(column, scale) for column in (debited, credited, stood))
    exact = [each.values for each in (debit, credit, before)]
    if {len(column) for column in (account, day, first, xid, *exact)} != {many}:
        raise UnfitError
    if (
        not all(each.fits.all() for each in (debit, credit, before))
        or ((first[~is_without] == 0) | (xid[~is_without] == 0)).any()
    ):
        return False
    order = np.lexsort((day, account))
    kept = (account, day, debit.values, credit.values, first, before.values, xid)
    return all(
        np.array_equal(column[order], what) for column, what in zip(kept, expected, strict=True)
    )
