"""Everything a run needs, read from one horizon in a fixed number of queries.

Rows keep the ids by which a result leads back to its prices, parameters, agreement and postings.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import NamedTuple

from django.db import connection, transaction

from accounts.agreements import terms_in_force as agreements_in_force
from accounts.models import AgreementVersion, Scope
from ledger.models import Asset
from margin.engine.house_rules import MODEL as HOUSE_RULES
from margin.known import known_at
from margin.model_registry import UsedModel, models_in_use
from margin.models import Contract, Mark, ModelDecision
from margin.terms import TermsInForce, terms_in_force

BASE = "USD"
NO_AGREEMENT = "no_agreement"
UNPRICED = "unpriced_position"
MODEL_NOT_IN_USE = "model_not_in_use"
# So many days of closes are read for models that look back; five years of trading days.
CLOSES_DAYS_MAX = 1_300
# Of what is read as it stands, and never kept.
NO_HORIZON = 0


class ScopeRow(NamedTuple):
    """A scope of the run, in the order of its array axis."""

    scope_id: int
    bucket_id: int
    account_id: int
    account: str
    bucket: str
    is_cash_account: bool
    agreement: AgreementVersion

    @property
    def model_key(self) -> tuple[str, str] | None:
        """Model and code of parameters; None under house rules."""
        model, code = self.agreement.model, self.agreement.parameters
        return None if model == HOUSE_RULES else (model, code)


class Close(NamedTuple):
    """The last mark of an asset on a day."""

    asset_id: int
    day: date
    price: Decimal


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
        models: of portfolios that are used, by name and code of parameters.
        shadows: those that are only watched.
        contracts: by asset id; closes: by asset and day. Both are read where a model is used.
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
    models: Mapping[tuple[str, str], UsedModel] = field(default_factory=dict)
    shadows: Mapping[tuple[str, str], UsedModel] = field(default_factory=dict)
    contracts: Mapping[int, Contract] = field(default_factory=dict)
    closes: Sequence[Close] = ()


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
    models, shadows = (
        models_in_use(business_day, standing=standing, horizon_id=horizon_id)
        for standing in (ModelDecision.Standing.PRODUCTION, ModelDecision.Standing.SHADOW)
    )
    scopes, exceptions = _scopes(business_day, models)
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
        terms=terms_in_force(business_day, horizon_id=horizon_id),
        exceptions=exceptions,
    )
    if shadows or any(row.model_key for row in scopes):
        inputs = replace(
            inputs,
            models=models,
            shadows=shadows,
            contracts={
                each.asset_id: each for each in known_at(Contract.objects.all(), horizon_id)
            },
            closes=closes_until(as_of, horizon_id=horizon_id),
        )
    return _without_unpriced(inputs)


# The last mark of every asset and day; in a run only what its horizon knew.
CLOSES = """
    SELECT DISTINCT ON (m.asset_id, m.business_day) m.asset_id, m.business_day, m.price
    FROM margin_mark m
    WHERE m.as_of <= %(as_of)s AND m.business_day > (
        SELECT coalesce(min(d.business_day), '-infinity'::date) - 1 FROM (
            SELECT DISTINCT business_day FROM margin_mark WHERE as_of <= %(as_of)s
            ORDER BY 1 DESC LIMIT %(days)s) d)
      AND (%(horizon)s::bigint IS NULL OR pg_visible_in_snapshot(m.xid, (
          SELECT h.snapshot FROM ledger_horizon h WHERE h.id = %(horizon)s)))
    ORDER BY m.asset_id, m.business_day, m.as_of DESC
"""


def closes_until(as_of: datetime, *, horizon_id: int | None = None) -> list[Close]:
    """The last mark of every asset and day up to an instant; as a horizon knew them, or as now."""
    with connection.cursor() as cursor:
        cursor.execute(CLOSES, {"horizon": horizon_id, "as_of": as_of, "days": CLOSES_DAYS_MAX})
        return [Close(*row) for row in cursor.fetchall()]


def read_ground(*, marks: Mapping[int, Mark], as_of: datetime, day: date) -> ReadInputs:
    """What a run at these marks would read beside its scopes and models, as it is known now.

    Args:
        marks: by asset id; closes are those up to `as_of`.
        day: whose terms hold.
    """
    return ReadInputs(
        horizon_id=NO_HORIZON,
        as_of=as_of,
        business_day=day,
        assets={asset.pk: asset for asset in Asset.objects.all()},
        scopes=[],
        claims=[],
        positions=[],
        loans=[],
        marks=dict(marks),
        terms=terms_in_force(day),
        contracts={each.asset_id: each for each in Contract.objects.all()},
        closes=closes_until(as_of),
    )


def _scopes(
    business_day: date, models: Mapping[tuple[str, str], UsedModel]
) -> tuple[list[ScopeRow], list[Unmargined]]:
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
        row = ScopeRow(
            scope_id=scope.pk,
            bucket_id=bucket.pk,
            account_id=account.pk,
            account=account.code,
            bucket=bucket.code,
            is_cash_account=account.mode == "cash",
            agreement=agreement,
        )
        if row.model_key is not None and row.model_key not in models:
            detail = f"{' '.join(row.model_key)} is not in production on {business_day}."
            exceptions.append(Unmargined(account.pk, bucket.code, MODEL_NOT_IN_USE, detail))
            continue
        scopes.append(row)
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
    return without_scopes(
        inputs,
        {
            n: (
                UNPRICED,
                f"{inputs.scopes[n].account} {inputs.scopes[n].bucket} holds {code},"
                f" which has no mark or no terms as of {inputs.as_of:%Y-%m-%d %H:%M:%S} UTC.",
            )
            for n, code in missing.items()
        },
    )


def without_scopes(inputs: ReadInputs, why: Mapping[int, tuple[str, str]]) -> ReadInputs:
    """Take scopes out of a run and say why: place on the axis to reason and detail."""
    if not why:
        return inputs
    kept = [n for n in range(len(inputs.scopes)) if n not in why]
    place = {old: new for new, old in enumerate(kept)}

    def stay(rows: list[Holding]) -> list[Holding]:
        return [row._replace(scope=place[row.scope]) for row in rows if row.scope in place]

    exceptions = [
        Unmargined(inputs.scopes[n].account_id, inputs.scopes[n].bucket, *why[n])
        for n in sorted(why)
    ]
    return replace(
        inputs,
        scopes=[inputs.scopes[n] for n in kept],
        claims=stay(inputs.claims),
        positions=stay(inputs.positions),
        loans=stay(inputs.loans),
        exceptions=[*inputs.exceptions, *exceptions],
    )


def _priced(inputs: ReadInputs) -> Iterator[Holding]:
    yield from inputs.positions
    for claim in inputs.claims:
        if inputs.assets[claim.asset_id].code != BASE:
            yield claim
