"""The small tables beside the postings, as arrays: accounts, kinds and the legs they permit."""

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

OWNERS = ("client_id", "margin_account_id", "bucket_id")
NUMBERS = ("a.id", "a.pool_id", "a.asset_id", "a.scale", "coalesce(t.scale, -1)")
CLASSES = ("account_class", "owner_class", "asset_kind")

# A table of positions by id is made where at most so many ids in one are unused.
SPREAD_MAX = 16


class UnfitError(Exception):
    """Something cannot be looked at as columns of 64 bits; the queries of the book must."""


class Accounts(NamedTuple):
    """Ledger accounts in the order of their ids, with one row behind the last for "none".

    Attributes:
        ids, pool, asset, scale: as stored; the scale is that of the asset too.
        place: a number per pool and asset.
        group: a number per account class, owner class and kind of asset.
        owners: per column of `OWNERS` a number per owner, 0 for none.
        groups: what each group number stands for.
        at: position by id, -1 where there is none; empty where ids are spread too far.
    """

    ids: Ints
    pool: Ints
    asset: Ints
    scale: Ints
    place: Ints
    group: Ints
    owners: tuple[Ints, ...]
    groups: list[tuple[bytes, ...]]
    at: Ints

    def find(self, ids: Ints) -> Ints:
        """Positions of accounts by their ids.

        Raises:
            UnfitError: there is no such account.
        """
        if not len(ids):
            return ids
        if len(self.at):
            if ids.min() < 0 or ids.max() >= len(self.at):
                raise UnfitError
            found = self.at[ids]
            if found.min() < 0:
                raise UnfitError
            return found
        found = np.searchsorted(self.ids, ids)
        if found.max() >= len(self.ids) or (self.ids[found] != ids).any():
            raise UnfitError
        return found


class Kinds(NamedTuple):
    """Kinds of entries in the order of their codes.

    Attributes:
        nth: number by code.
        pools_max: how many pools an entry may touch.
        owners_max: per column of `OWNERS` how many an entry may touch.
        keeps_custody, needs_approval: as stored.
        permits: whether a kind permits a group on a side (0 credit, 1 debit).
    """

    nth: dict[bytes, int]
    pools_max: Ints
    owners_max: tuple[Ints, ...]
    keeps_custody: Flags
    needs_approval: Flags
    permits: Flags


def read_accounts(cursor: CursorWrapper) -> Accounts:
    """All ledger accounts.

    Raises:
        UnfitError: one has another scale than its asset.
    """
    parts = [joined_numbers("int8send", value) for value in NUMBERS]
    parts += [joined_numbers("int8send", f"coalesce(a.{owner}, 0)") for owner in OWNERS]
    parts += [joined_numbers("boolsend", f"a.{owner} IS NOT NULL") for owner in OWNERS]
    parts += [joined_texts(f"a.{name}") for name in CLASSES]
    (row,) = fetch_packed(
        cursor,
        f"SELECT {', '.join(parts)} FROM ledger_ledgeraccount a"  # noqa: S608 - our own text
        " LEFT JOIN ledger_asset t ON t.id = a.asset_id",
        {},
    )
    ids, *others = (as_numbers("int8send", joined) for joined in row[:8])
    order = np.argsort(ids)
    ids, pool, asset, scale, asset_scale, *owner_ids = (c[order] for c in (ids, *others))
    named = [as_numbers("boolsend", joined)[order] for joined in row[8:11]]
    texts = list(zip(*(as_texts(joined) for joined in row[11:]), strict=True))
    if (scale != asset_scale).any() or (np.diff(ids) == 0).any() or len(texts) != len(ids):
        raise UnfitError
    groups = sorted(set(texts))
    numbers = {group: nth for nth, group in enumerate(groups)}
    group = np.array([numbers[text] for text in texts], np.int64)[order]
    return Accounts(
        ids, pool, asset, scale, _numbered(np.stack([pool, asset])), group,
        tuple(np.where(is_one, _numbered(owner[None]) + 1, 0)
              for owner, is_one in zip(owner_ids, named, strict=True)),
        groups, _positions(ids),
    )  # fmt: skip


def _numbered(columns: Ints) -> Ints:
    """A number per different combination of the rows of `columns`."""
    return np.unique(columns, axis=1, return_inverse=True)[1].reshape(-1)


def _positions(ids: Ints) -> Ints:
    if not len(ids) or ids[0] < 0 or ids[-1] > SPREAD_MAX * len(ids) + 1000:
        return np.empty(0, np.int64)
    at = np.full(int(ids[-1]) + 1, -1, np.int64)
    at[ids] = np.arange(len(ids))
    return at


def read_kinds(cursor: CursorWrapper, groups: list[tuple[bytes, ...]]) -> Kinds:
    """All kinds, with their legs over these groups of accounts."""
    cursor.execute(
        "SELECT code, pools_max, clients_max, accounts_max, buckets_max, keeps_custody,"
        " needs_approval FROM ledger_entrykind ORDER BY code"
    )
    rows = cursor.fetchall()
    nth = {code.encode(): n for n, (code, *_) in enumerate(rows)}
    pools, *owners, custody, approval = zip(*(row[1:] for row in rows), strict=True) or [()] * 6
    cursor.execute(
        "SELECT kind_id, account_class, owner_class, asset_kind, side FROM ledger_kindleg"
        " WHERE side IN ('credit', 'debit')"
    )
    permits = np.zeros((len(rows), len(groups), 2), np.bool_)
    numbers = {group: n for n, group in enumerate(groups)}
    for kind, *group, side in cursor.fetchall():
        at = numbers.get(tuple(text.encode() for text in group))
        if at is not None and kind.encode() in nth:
            permits[nth[kind.encode()], at, int(side == "debit")] = True
    return Kinds(
        nth,
        np.array(pools, np.int64),
        tuple(np.array(most, np.int64) for most in owners),
        np.array(custody, np.bool_),
        np.array(approval, np.bool_),
        permits,
    )
