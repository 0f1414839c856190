"""Everything a run needs, read from one horizon in a fixed number of queries.

This is the border to the engine: rows become arrays here and nowhere else, and keep the ids by
which a result leads back to its prices, parameters, agreement and postings.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import NamedTuple

from django.db import connection, transaction

from accounts.agreements import terms_in_force as agreements_in_force
from accounts.models import AgreementVersion, Scope
from ledger.models import Asset
from margin.models import Mark
from margin.terms import TermsInForce, terms_in_force

BASE = "USD"
NO_AGREEMENT = "no_agreement"
UNPRICED = "unpriced_position"


class ScopeRow(NamedTuple):
    """A scope of the run, in the order of its array axis."""

    scope_id: int
    bucket_id: int
    account_id: int
    account: str
    bucket: str
    is_cash_account: bool
    agreement: AgreementVersion


class Holding(NamedTuple):
    """A claim, position or loan of a scope, and the posting that left it so."""

    scope: int  # place on the axis of scopes
    asset_id: int
    amount: Decimal  # as people say it: what the scope has, or owes, is positive
    average_cost: Decimal | None
    ledger_account_id: int
    account_seq: int


class Unmargined(NamedTuple):
    """A scope that cannot be computed, and why."""

    account_id: int
    bucket: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class ReadInputs:
    """The inputs of one run as they were read.

    Attributes:
        horizon_id: the committed horizon they were read at.
        marks: by asset id; the base currency has none, it is always 1.
    """

    horizon_id: int
    as_of: datetime
    business_day: date
    assets: dict[int, Asset]
    scopes: list[ScopeRow]
    claims: list[Holding]
    positions: list[Holding]
    loans: list[Holding]
    marks: dict[int, Mark]
    terms: TermsInForce
    exceptions: list[Unmargined] = field(default_factory=list)


def read_inputs(*, horizon_id: int, as_of: datetime) -> ReadInputs:
    """Read a run's inputs as the horizon knew them; the same horizon reads the same for ever.

    Reads in a transaction of its own, REPEATABLE READ first, so that all queries see one instant.
    """
    assert not connection.in_atomic_block, "inputs are read on a transaction of their own"
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        return _read(horizon_id=horizon_id, as_of=as_of)


def _read(*, horizon_id: int, as_of: datetime) -> ReadInputs:
    business_day = as_of.astimezone(UTC).date()
    assets = {asset.pk: asset for asset in Asset.objects.all()}
    marks = {mark.asset_id: mark for mark in Mark.objects.filter(as_of=as_of)}
    scopes, exceptions = _scopes(business_day)
    claims, positions, loans = _holdings(
        horizon_id, as_of=as_of, axis={row.bucket_id: n for n, row in enumerate(scopes)}
    )
    inputs = ReadInputs(
        horizon_id=horizon_id,
        as_of=as_of,
        business_day=business_day,
        assets=assets,
        scopes=scopes,
        claims=claims,
        positions=positions,
        loans=loans,
        marks=marks,
        terms=terms_in_force(business_day),
        exceptions=exceptions,
    )
    return _without_unpriced(inputs)


def _scopes(business_day: date) -> tuple[list[ScopeRow], list[Unmargined]]:
    """Every margined bucket with the agreement in force; one without is an exception."""
    agreements = agreements_in_force(business_day)
    scopes: list[ScopeRow] = []
    exceptions: list[Unmargined] = []
    for scope in (
        Scope.objects.filter(bucket__isnull=False)
        .select_related("bucket__account")
        .order_by("bucket__account__code", "bucket__code")
    ):
        bucket = scope.bucket
        assert bucket is not None
        account = bucket.account
        agreement = agreements.get(account.pk)
        if agreement is None:
            detail = f"{account.code} has no agreement in force on {business_day}."
            exceptions.append(Unmargined(account.pk, bucket.code, NO_AGREEMENT, detail))
            continue
        scopes.append(
            ScopeRow(
                scope_id=scope.pk,
                bucket_id=bucket.pk,
                account_id=account.pk,
                account=account.code,
                bucket=bucket.code,
                is_cash_account=account.mode == "cash",
                agreement=agreement,
            )
        )
    return scopes, exceptions


def _holdings(
    horizon_id: int, *, as_of: datetime, axis: dict[int, int]
) -> tuple[list[Holding], list[Holding], list[Holding]]:
    found: dict[str, list[Holding]] = {"claim": [], "position": [], "loan_receivable": []}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT b.* FROM ledger_horizon h,"
            " LATERAL margin.balances_at(h.snapshot, %s) b"
            " WHERE h.id = %s AND b.amount <> 0 ORDER BY b.ledger_account_id",
            [as_of, horizon_id],
        )
        rows = cursor.fetchall()
    for account, seq, account_class, bucket, asset, amount, average in rows:
        if bucket not in axis:
            continue
        owed_by_us = account_class != "loan_receivable"
        found[account_class].append(
            Holding(
                scope=axis[bucket],
                asset_id=asset,
                amount=amount.copy_negate() if owed_by_us else amount,
                average_cost=average,
                ledger_account_id=account,
                account_seq=seq,
            )
        )
    return found["claim"], found["position"], found["loan_receivable"]


def _without_unpriced(inputs: ReadInputs) -> ReadInputs:
    """Take out scopes that hold something without a mark or without terms: never a silent zero."""
    missing: dict[int, str] = {}
    for held in _priced(inputs):
        asset = inputs.assets[held.asset_id]
        has_terms = (
            held.asset_id in inputs.terms.haircuts
            if asset.kind == "money"
            else held.asset_id in inputs.terms.instruments
        )
        if held.asset_id not in inputs.marks or not has_terms:
            missing.setdefault(held.scope, asset.code)
    if not missing:
        return inputs
    kept = [n for n in range(len(inputs.scopes)) if n not in missing]
    place = {old: new for new, old in enumerate(kept)}

    def stay(rows: list[Holding]) -> list[Holding]:
        return [row._replace(scope=place[row.scope]) for row in rows if row.scope in place]

    exceptions = [
        Unmargined(
            inputs.scopes[n].account_id,
            inputs.scopes[n].bucket,
            UNPRICED,
            f"{inputs.scopes[n].account} {inputs.scopes[n].bucket} holds {code},"
            f" which has no mark or no terms as of {inputs.as_of:%Y-%m-%d %H:%M:%S} UTC.",
        )
        for n, code in sorted(missing.items())
    ]
    return ReadInputs(
        horizon_id=inputs.horizon_id,
        as_of=inputs.as_of,
        business_day=inputs.business_day,
        assets=inputs.assets,
        scopes=[inputs.scopes[n] for n in kept],
        claims=stay(inputs.claims),
        positions=stay(inputs.positions),
        loans=stay(inputs.loans),
        marks=inputs.marks,
        terms=inputs.terms,
        exceptions=[*inputs.exceptions, *exceptions],
    )


def _priced(inputs: ReadInputs) -> Iterator[Holding]:
    yield from inputs.positions
    for claim in inputs.claims:
        if inputs.assets[claim.asset_id].code != BASE:
            yield claim
