"""What one price, trade or posting touches, run again by itself.

A worker keeps the book as it last read it. Scopes that hold something whose mark has moved are
taken from there, scopes into or out of which something was posted are read again, and both go
through the same evaluation as every run. Scopes that nothing touched keep the result they have.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
from django.db import connection
from scipy.sparse import csr_array

from accounts.models import AccountAgreement, AgreementVersion
from margin.book.columns import (
    ColumnInputs,
    HeldColumns,
    ScopeColumns,
    chosen,
    read_columns,
    require_columns,
    without_unpriced,
)
from margin.book.rows import marks_at
from margin.column_runs import record_columns
from margin.engine.exact import Index
from margin.engine.wide import Ints
from margin.models import MarginRun, Mark
from margin.run_rows import INCREMENTAL
from margin.terms import terms_in_force

# Buckets of ledger accounts with entries that the new horizon knows and the old one did not, and of
# those with entries that took effect since.
POSTED_SINCE = """
    SELECT DISTINCT a.bucket_id
    FROM ledger_horizon old
    JOIN ledger_entry e ON e.xid >= pg_snapshot_xmin(old.snapshot)
        AND NOT pg_visible_in_snapshot(e.xid, old.snapshot)
    JOIN ledger_posting p ON p.entry_id = e.id
    JOIN ledger_ledgeraccount a ON a.id = p.account_id AND a.bucket_id IS NOT NULL
    WHERE old.id = %(old)s
"""
IN_EFFECT_SINCE = """
    SELECT a.bucket_id FROM ledger_entry e JOIN ledger_posting p ON p.entry_id = e.id
    JOIN ledger_ledgeraccount a ON a.id = p.account_id AND a.bucket_id IS NOT NULL
    WHERE e.effective_at > %(as_of)s
"""
# Either of them: what stood before may not stand now.
POSTED = " UNION ".join((POSTED_SINCE, IN_EFFECT_SINCE))

# Whether a row that says which scopes there are, or under which terms, has changed since.
TABLES = (
    "accounts_scope", "accounts_bucket", "accounts_marginaccount", "accounts_agreement",
    "accounts_agreementversion", "accounts_accountagreement", "accounts_groupmember",
)  # fmt: skip
CHANGED = """
    SELECT EXISTS (
        SELECT FROM ledger_horizon old JOIN accounts_auditrow w
            ON w.xid >= pg_snapshot_xmin(old.snapshot)
            AND NOT pg_visible_in_snapshot(w.xid, old.snapshot)
        WHERE old.id = %(old)s AND w.table_name = ANY (%(tables)s))
"""


class WholeRunNeededError(Exception):
    """More has changed than prices and balances; only a run of everything says what holds."""


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """The book as it was last read, and who holds what.

    Attributes:
        holders: (assets by id, scopes) whether a scope holds an asset.
    """

    read: ColumnInputs
    holders: csr_array


def standing_of(read: ColumnInputs) -> Standing:
    """What a worker keeps of a book that it has read."""
    held = read.held
    shape = (max(read.assets, default=0) + 1, len(read.scopes))
    marks = np.ones(len(held.assets), dtype=np.int8)
    by_scope = csr_array((marks, held.assets, held.starts), shape=shape[::-1])
    return Standing(read, by_scope.T.tocsr())


def moved_assets(standing: Standing, marks: Mapping[int, Mark]) -> list[int]:
    """Assets whose price, or how good it is, is not what it was."""
    before = standing.read.marks
    return [
        asset
        for asset in {*before, *marks}
        if asset not in before
        or asset not in marks
        or _counts_as(before[asset]) != _counts_as(marks[asset])
    ]


def _counts_as(mark: Mark) -> tuple[Decimal, str, Decimal]:
    """All that an evaluation takes from a mark."""
    return mark.price, mark.state, mark.contingency or Decimal(0)


def touched_places(standing: Standing, assets: list[int]) -> Index:
    """Places of scopes that hold any of some assets, ascending."""
    holders = standing.holders
    found = np.zeros(holders.shape[1], dtype=bool)
    for asset in assets:
        if asset < holders.shape[0]:
            found[holders.indices[holders.indptr[asset] : holders.indptr[asset + 1]]] = True
    return np.flatnonzero(found)


@dataclass(frozen=True, slots=True, eq=False)
class Touched:
    """What a run of some scopes is computed from, and the book as it stands then."""

    read: ColumnInputs
    standing: Standing


def read_touched(standing: Standing, *, horizon_id: int, as_of: datetime) -> Touched:
    """The scopes that marks as of an instant, or postings that a horizon knows, have touched.

    Raises:
        WholeRunNeededError: parameters, agreements or scopes have changed, or someone could not
            be computed before.
        NotInColumnsError: a portfolio model is used or watched, people set a price, crowded
            sides pay more, or levels move.
    """
    read = standing.read
    day = as_of.astimezone(UTC).date()
    marks = marks_at(horizon_id, as_of=as_of)
    require_columns(marks, day=day, horizon_id=horizon_id)
    _require_same_ground(standing, day, horizon_id=horizon_id)
    new = replace(read, horizon_id=horizon_id, as_of=as_of, business_day=day, marks=marks)
    moved = touched_places(standing, moved_assets(standing, marks))
    posted = _posted(read)
    if not posted.size:
        return Touched(without_unpriced(chosen(new, moved)), replace(standing, read=new))
    again = read_columns(horizon_id=horizon_id, as_of=as_of, buckets=posted)
    is_posted = np.isin(new.scopes.buckets, posted)
    kept = chosen(new, np.flatnonzero(~is_posted))
    some = without_unpriced(chosen(new, moved[~is_posted[moved]]))
    return Touched(united(some, again), standing_of(united(kept, again)))


def record_touched(touched: Touched) -> MarginRun | None:
    """Keep a run of the scopes that were touched; None where there are none. Inside an act."""
    read = touched.read
    if not len(read.scopes) and not read.exceptions:
        return None
    return record_columns(read, business_day=read.business_day, purpose=INCREMENTAL)


def _require_same_ground(standing: Standing, day: date, *, horizon_id: int) -> None:
    """Only marks and balances have changed, or a run of everything is needed."""
    read = standing.read
    with connection.cursor() as cursor:
        cursor.execute(CHANGED, {"old": read.horizon_id, "tables": list(TABLES)})
        (has_changed,) = cursor.fetchone()
    if (
        has_changed
        or read.exceptions
        or terms_in_force(day, horizon_id=horizon_id) != read.terms
        or _agreements_change(read.business_day, day)
    ):
        raise WholeRunNeededError("terms, agreements or scopes are not what they were")


def _agreements_change(before: date, day: date) -> bool:
    """Whether an agreement, as it is known, begins or ends after one day and by another.

    Accounts are as many as there are clients, so nothing is asked where no day has passed.
    """
    if day <= before:
        return False
    begins = {"effective_from__gt": before, "effective_from__lte": day}
    ends = {"effective_to__gt": before, "effective_to__lte": day}
    return (
        AccountAgreement.objects.filter(**begins).exists()
        or AccountAgreement.objects.filter(**ends).exists()
        or AgreementVersion.objects.filter(**begins).exists()
    )


def posted_since(horizon_id: int) -> set[int]:
    """Buckets into or out of which something was posted that a horizon does not know."""
    return _buckets(POSTED_SINCE, {"old": horizon_id})


def posted_until_now(as_of: datetime) -> set[int]:
    """Buckets in which something took effect between an instant and now."""
    return _buckets(f"{IN_EFFECT_SINCE} AND e.effective_at <= clock_timestamp()", {"as_of": as_of})


def _buckets(query: str, arguments: Mapping[str, int | datetime]) -> set[int]:
    with connection.cursor() as cursor:
        cursor.execute(query, arguments)
        return {bucket for (bucket,) in cursor.fetchall()}


def _posted(read: ColumnInputs) -> Ints:
    """Buckets into or out of which something was posted since a book was read."""
    found = _buckets(POSTED, {"old": read.horizon_id, "as_of": read.as_of})
    return np.array(sorted(found), dtype=np.int64)


def united(one: ColumnInputs, other: ColumnInputs) -> ColumnInputs:
    """The scopes of both, which have none in common, in the order of their ids."""
    agreements = tuple(dict.fromkeys([*one.agreements, *other.agreements]))
    place = {each.pk: n for n, each in enumerate(agreements)}
    columns = {
        name: np.concatenate([getattr(one.scopes, name), getattr(other.scopes, name)])
        for name in ScopeColumns.__slots__
    }
    columns["agreements"] = np.concatenate(
        [
            np.array([place[each.pk] for each in read.agreements], dtype=np.intp)[
                read.scopes.agreements
            ]
            for read in (one, other)
        ]
    )
    held = {
        name: np.concatenate([getattr(one.held, name), getattr(other.held, name)])
        for name in HeldColumns.__slots__[1:]
    }
    starts = np.concatenate([one.held.starts, other.held.starts[1:] + one.held.starts[-1]])
    both = replace(
        other,
        agreements=agreements,
        scopes=ScopeColumns(**columns),
        held=HeldColumns(starts=starts, **held),
        odd={**one.odd, **other.odd},
        exceptions=[*one.exceptions, *other.exceptions],
    )
    return chosen(both, np.argsort(columns["ids"], kind="stable"))
