"""What a run of a whole house reads: columns of whole numbers, packed by the server.

The same rows as `margin.book.rows` reads one by one. A balance row that nobody wrote since the
horizon is as the horizon knew it; the others, and those with entries that take effect later, are
looked up in the history.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import islice
from typing import Any, Final, NamedTuple

import numpy as np
from django.db import connection, transaction

from accounts.groups import any_margined, pooled_buckets
from accounts.models import AgreementVersion, Bucket
from ledger.models import Asset
from margin.book.held import Unmargined
from margin.book.packed_book import (
    ASSET_BITS,
    NOW_OF,
    ODD,
    SCOPES_OF,
    THEN,
    Ask,
    changed_since,
    in_parts,
    read_apart,
    whole_numbers,
)
from margin.book.rows import BASE, NO_AGREEMENT, known_of, marks_at
from margin.book.scan import (
    SCOPE_TABLES,
    Book,
    accounts_on,
    balances_on,
    finder,
    joined,
    scopes_now,
    scopes_of,
    stretches,
)
from margin.book.unpriced import UNPRICED, has_terms, unpriced_words
from margin.engine.exact import Flag, Index
from margin.engine.house_rules import MODEL as HOUSE_RULES
from margin.engine.policies import CROWDING
from margin.engine.wide import Ints
from margin.model_registry import models_in_use
from margin.models import Mark, ModelDecision
from margin.moving_levels import terms_that_move
from margin.policies import policies_in_force
from margin.terms import TermsInForce, terms_in_force


@dataclass(frozen=True, slots=True, eq=False)
class ScopeColumns:
    """Scopes of a run in the order of their ids; (A,) each.

    Attributes:
        agreements: places in the run's agreements.
        loans: owed, in whole cents; `loan_accounts` and `loan_seqs` say which postings left them.
    """

    ids: Ints
    accounts: Ints
    buckets: Ints
    is_cash_account: Flag
    agreements: Index
    loans: Ints
    loan_accounts: Ints
    loan_seqs: Ints

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True, eq=False)
class HeldColumns:
    """Claims and positions other than zero, by scope and ledger account; (N,) each.

    Attributes:
        starts: (A + 1,) where those of each scope begin.
        assets: ids.
        units: as people say it, in whole units of the asset's last decimal; ODD where `odd` says.
        costs: in units of 10^-8, 0 where there is none; ODD where `odd` says.
    """

    starts: Index
    assets: Ints
    units: Ints
    costs: Ints
    ledger_accounts: Ints
    seqs: Ints


class OddBalance(NamedTuple):
    """An amount, or average cost, that is no whole number of 64 bits."""

    amount: Decimal
    average_cost: Decimal | None


@dataclass(frozen=True, slots=True, eq=False)
class ColumnInputs:
    """The inputs of a run in columns, all scopes under house rules.

    Attributes:
        agreements: terms in force, each once.
        odd: by ledger account.
    """

    horizon_id: int
    as_of: datetime
    business_day: date
    assets: dict[int, Asset]
    marks: dict[int, Mark]
    terms: TermsInForce
    agreements: tuple[AgreementVersion, ...]
    scopes: ScopeColumns
    held: HeldColumns
    odd: Mapping[int, OddBalance] = field(default_factory=dict)
    exceptions: list[Unmargined] = field(default_factory=list)


class NotInColumnsError(Exception):
    """A run that only rows can hold: models, options, crowds, groups, prices that people set,
    levels that move.
    """


def require_columns(marks: Mapping[int, Mark], *, day: date, horizon_id: int) -> None:
    """Nothing at these marks and on this day is what only rows can hold.

    Raises:
        NotInColumnsError: which of them there is.
    """
    if models_in_use(day, standing=ModelDecision.Standing.SHADOW, horizon_id=horizon_id):
        raise NotInColumnsError("a model is watched")
    if any(mark.state == Mark.State.OVERRIDDEN for mark in marks.values()):
        raise NotInColumnsError("people set a price, and every result on it is to be found")
    if policies_in_force(CROWDING, day=day, horizon_id=horizon_id):
        raise NotInColumnsError("crowded sides pay more")
    if any_margined() and pooled_buckets(day, known=known_of(horizon_id)):
        raise NotInColumnsError("accounts are margined as a group")
    if terms_that_move(day, horizon_id=horizon_id):
        raise NotInColumnsError("levels move")


def read_columns(*, horizon_id: int, as_of: datetime, buckets: Ints | None = None) -> ColumnInputs:
    """Read a run's inputs as the horizon knew them; the same horizon reads the same for ever.

    Args:
        buckets: only their scopes; all if None.

    Raises:
        NotInColumnsError: only rows can hold the run.
    """
    assert not connection.in_atomic_block, "inputs are read on a transaction of their own"
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            cursor.execute("SELECT pg_export_snapshot()")
            (snapshot,) = cursor.fetchone()
        return _read(snapshot, horizon_id=horizon_id, as_of=as_of, buckets=buckets)


def _read(snapshot: str, *, horizon_id: int, as_of: datetime, buckets: Ints | None) -> ColumnInputs:
    day = as_of.astimezone(UTC).date()
    marks = marks_at(horizon_id, as_of=as_of)
    require_columns(marks, day=day, horizon_id=horizon_id)
    terms_asked = {"day": day, "known": known_of(horizon_id), "accounts": None}
    assets = {asset.pk: asset for asset in Asset.objects.all()}
    assert max(assets, default=0) < 1 << ASSET_BITS, "an asset's id fits beside a bucket's"
    changed = changed_since(horizon_id, as_of=as_of)
    of = {"changed": changed, "buckets": None if buckets is None else buckets.tolist()}
    then = [
        whole_numbers(THEN, {"horizon": horizon_id, "as_of": as_of, "some": some})
        for some in in_parts(changed)
    ]
    if buckets is None:
        columns, book = _everything(snapshot, terms_asked, then, assets=assets, changed=changed)
    else:
        asked = [whole_numbers(SCOPES_OF, {**terms_asked, **of}), whole_numbers(NOW_OF, of), *then]
        columns, *parts = read_apart(snapshot, asked)
        book = Book(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    scopes, agreements, exceptions = _scopes(columns, day)
    return _put_together(
        ColumnInputs(
            horizon_id=horizon_id,
            as_of=as_of,
            business_day=day,
            assets=assets,
            marks=marks,
            terms=terms_in_force(day, horizon_id=horizon_id),
            agreements=agreements,
            scopes=scopes,
            held=NOBODY,
            exceptions=exceptions,
        ),
        book,
    )


def _everything(
    snapshot: str,
    terms_asked: Mapping[str, object],
    then: Sequence[Callable[[Ask], list[Ints]]],
    *,
    assets: Mapping[int, Asset],
    changed: Sequence[int],
) -> tuple[list[Ints], Book]:
    """Scopes as they were joined, and what all of them hold."""
    accounts = [accounts_on(pages) for pages in stretches("ledger_ledgeraccount")]
    balances = [balances_on(pages) for pages in stretches("ledger_balance")]
    jobs: list[Callable[[Ask], Any]] = [*scopes_now(terms_asked), *accounts, *balances, *then]
    read = iter(read_apart(snapshot, jobs))
    scopes = scopes_of(list(islice(read, len(SCOPE_TABLES))))
    scales = np.zeros(max(assets, default=0) + 1, dtype=np.int64)
    for pk, asset in assets.items():
        scales[pk] = asset.scale
    owners = list(islice(read, len(accounts)))
    now = joined(owners, list(islice(read, len(balances))), scales=scales)
    unchanged = np.flatnonzero(~np.isin(now.ids, changed)) if changed else slice(None)
    parts = [[column[unchanged] for column in now], *read]
    return scopes, Book(*(np.concatenate(column) for column in zip(*parts, strict=True)))


NOTHING: Final = np.zeros(0, dtype=np.int64)
NOBODY: Final = HeldColumns(np.zeros(1, dtype=np.intp), NOTHING, NOTHING, NOTHING, NOTHING, NOTHING)


def _scopes(
    columns: Sequence[Ints], day: date
) -> tuple[ScopeColumns, tuple[AgreementVersion, ...], list[Unmargined]]:
    """Scopes with an agreement, in the order of their ids; the others are exceptions."""
    order = np.argsort(columns[0], kind="stable")
    ids, buckets, accounts, said = (column[order] for column in columns)
    versions, is_cash = said >> 1, (said & 1).astype(bool)
    has_terms_here = versions != 0
    named = np.unique(versions[has_terms_here])
    found = AgreementVersion.objects.select_related("agreement").in_bulk(named.tolist())
    agreements = tuple(found[int(pk)] for pk in named)
    if any(each.model != HOUSE_RULES for each in agreements):
        raise NotInColumnsError("a scope is under a portfolio model")
    exceptions = _without_agreement(buckets[~has_terms_here], day)
    kept = np.flatnonzero(has_terms_here)
    nothing = np.zeros(len(kept), dtype=np.int64)
    scopes = ScopeColumns(
        ids=ids[kept],
        accounts=accounts[kept],
        buckets=buckets[kept],
        is_cash_account=is_cash[kept],
        agreements=np.searchsorted(named, versions[kept]),
        loans=nothing,
        loan_accounts=nothing,
        loan_seqs=nothing,
    )
    return scopes, agreements, exceptions


def _without_agreement(buckets: Ints, day: date) -> list[Unmargined]:
    rows = (
        Bucket.objects.filter(pk__in=buckets.tolist())
        .select_related("account")
        .order_by("account__code", "code")
    )
    return [
        Unmargined(
            row.account_id,
            row.code,
            NO_AGREEMENT,
            f"{row.account.code} has no agreement in force on {day}.",
        )
        for row in rows
    ]


def _put_together(read: ColumnInputs, book: Book) -> ColumnInputs:
    """Balances by scope, loans apart; scopes that hold what has no mark or terms taken out."""
    if not len(book.ids) or not len(read.scopes):
        starts = np.zeros(len(read.scopes) + 1, dtype=np.intp)
        return replace(read, held=replace(NOBODY, starts=starts))
    key, ids, seqs, units, costs = book
    if (np.diff(ids) < 0).any():
        order = np.argsort(ids, kind="stable")
        key, ids, seqs, units, costs = (each[order] for each in (key, ids, seqs, units, costs))
    _require_no_options(key, read.assets)
    scope = finder(read.scopes.buckets, np.arange(len(read.scopes)))(key >> (ASSET_BITS + 1))
    is_loan = (key & 1).astype(bool)
    odd = _odd_balances(ids[((units == ODD) | (costs == ODD)) & (scope >= 0)], read)
    units = np.where(is_loan | (units == ODD), units, -units)
    lent = np.flatnonzero(is_loan & (scope >= 0))
    held = np.flatnonzero(~is_loan & (scope >= 0))
    held = held[np.argsort(scope[held], kind="stable")]
    owed, lenders, lent_by = (
        _at(scope[lent], values[lent], len(read.scopes)) for values in (units, ids, seqs)
    )
    counts = np.bincount(scope[held], minlength=len(read.scopes))
    return without_unpriced(
        replace(
            read,
            scopes=replace(read.scopes, loans=owed, loan_accounts=lenders, loan_seqs=lent_by),
            held=HeldColumns(
                starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.intp),
                assets=(key[held] >> 1) & ((1 << ASSET_BITS) - 1),
                units=units[held],
                costs=costs[held],
                ledger_accounts=ids[held],
                seqs=seqs[held],
            ),
            odd=odd,
        )
    )


def _require_no_options(keys: Ints, assets: Mapping[int, Asset]) -> None:
    held = np.unique((keys >> 1) & ((1 << ASSET_BITS) - 1))
    if any(assets[pk].is_option for pk in held.tolist()):
        raise NotInColumnsError("an option is held, whose worth takes more than a mark")


def _at(places: Ints, values: Ints, count: int) -> Ints:
    found = np.zeros(count, dtype=np.int64)
    found[places] = values
    return found


def _odd_balances(accounts: Ints, read: ColumnInputs) -> dict[int, OddBalance]:
    """Amounts that do not fit, by ledger account, as people say them."""
    if not len(accounts):
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT b.ledger_account_id, b.account_class, b.amount, b.average_cost"
            " FROM ledger_horizon h, LATERAL margin.balances_of(h.snapshot, %s, %s) b"
            " WHERE h.id = %s",
            [read.as_of, accounts.tolist(), read.horizon_id],
        )
        return {
            account: OddBalance(
                amount if kind == "loan_receivable" else amount.copy_negate(), average
            )
            for account, kind, amount, average in cursor.fetchall()
        }


def without_unpriced(read: ColumnInputs) -> ColumnInputs:
    """Take out scopes that hold something without a mark or without terms."""
    unpriced = [
        pk
        for pk, asset in read.assets.items()
        if not (asset.code == BASE or (pk in read.marks and has_terms(read.terms, asset)))
    ]
    rows = np.flatnonzero(np.isin(read.held.assets, unpriced))
    if not rows.size:
        return read
    owner = np.searchsorted(read.held.starts, rows, side="right") - 1
    missing: dict[int, str] = {}
    # Positions are named before claims, as rows are read.
    for is_money in (False, True):
        for scope, row in zip(owner.tolist(), rows.tolist(), strict=True):
            asset = read.assets[int(read.held.assets[row])]
            if (asset.kind == "money") is is_money:
                missing.setdefault(scope, asset.code)
    buckets = Bucket.objects.select_related("account").in_bulk(
        [int(read.scopes.buckets[scope]) for scope in missing]
    )
    exceptions = []
    for scope in sorted(missing):
        bucket = buckets[int(read.scopes.buckets[scope])]
        words = unpriced_words(bucket.account.code, bucket.code, missing[scope], read)
        exceptions.append(Unmargined(bucket.account_id, bucket.code, UNPRICED, words))
    kept = np.ones(len(read.scopes), dtype=bool)
    kept[list(missing)] = False
    return chosen(read, np.flatnonzero(kept), exceptions=exceptions)


def chosen(
    read: ColumnInputs, places: Index, *, exceptions: Sequence[Unmargined] = ()
) -> ColumnInputs:
    """Some scopes of a run, by their places, ascending."""
    starts = read.held.starts
    counts = (starts[1:] - starts[:-1])[places]
    ends = np.cumsum(counts)
    rows = np.arange(ends[-1] if len(ends) else 0) + np.repeat(
        starts[places] - (ends - counts), counts
    )
    scopes, held = read.scopes, read.held
    return replace(
        read,
        scopes=ScopeColumns(*(getattr(scopes, name)[places] for name in ScopeColumns.__slots__)),
        held=HeldColumns(
            np.concatenate([[0], ends]).astype(np.intp),
            *(getattr(held, name)[rows] for name in HeldColumns.__slots__[1:]),
        ),
        exceptions=[*read.exceptions, *exceptions],
    )
