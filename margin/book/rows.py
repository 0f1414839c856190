"""Everything a run needs, read from one horizon in a fixed number of queries.

Rows keep the ids by which a result leads back to its prices, parameters, agreement and postings.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any

from django.db import connection, transaction

from accounts.agreed_terms import terms_in_force as agreements_in_force
from accounts.groups import pooled_buckets
from accounts.models import Scope
from ledger.models import Asset, Horizon
from margin.book.averages import restated_averages
from margin.book.closes import Closes, closes_until
from margin.book.held import Holding, ScopeRow, Unmargined, at_levels, unreadable_holders
from margin.book.market_data import MarketData, read_market
from margin.book.options import OptionPrice, option_prices, uncarried
from margin.book.unpriced import UNPRICED, has_terms, unpriced_words
from margin.eligibility import Eligibility, eligibility_in_force
from margin.engine.crowding import CrowdingPolicy
from margin.engine.policies import CROWDING
from margin.known import known_at
from margin.model_registry import UsedModel, models_decided
from margin.models import Contract, MarginRun, Mark, ModelDecision, ParameterSet
from margin.moving_levels import NOTHING_MOVES, Moved
from margin.policies import policies_decided
from margin.terms import TermsInForce, terms_in_force

BASE = "USD"
NO_AGREEMENT = "no_agreement"
MODEL_NOT_IN_USE = "model_not_in_use"
NO_RULES = Eligibility()
BALANCES = (
    "SELECT b.* FROM ledger_horizon h, LATERAL margin.balances_at(h.snapshot, %s) b"
    " WHERE h.id = %s AND b.amount <> 0 ORDER BY b.ledger_account_id"
)
RESTATED_BALANCES = BALANCES.replace("balances_at", "balances_restated")


# Models that are decided on, and why others of them cannot be read.
Decided = tuple[dict[tuple[str, str], UsedModel], dict[tuple[str, str], str]]


@dataclass(frozen=True, slots=True)
class ReadInputs:
    """The inputs of one run as they were read.

    Attributes:
        horizon_id: the committed horizon they were read at.
        marks: by asset id; the base currency has none, it is always 1.
        models: of portfolios that are used, by name and code of parameters.
        shadows: those that are only watched.
        contracts: by asset id; closes: by asset and day; market: what is known beside marks;
            eligibility: who may be under a model. All are read where a model is used.
        crowding: policies in force, by asset id.
        asked: assets that models are asked about beyond what the scopes here hold.
        options: what options that are held are worth, by asset id.
        days: which past days models look back on; runs of before had another rule.
        moved: what is added to the levels of an agreement, by id of its version.
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
    closes: Closes = field(default_factory=Closes)
    eligibility: Eligibility = NO_RULES
    market: MarketData | None = None
    asked: frozenset[int] = frozenset()
    crowding: Mapping[int, tuple[ParameterSet, CrowdingPolicy]] = field(default_factory=dict)
    options: Mapping[int, OptionPrice] = field(default_factory=dict)
    days: str = MarginRun.Days.OWN
    moved: Mapping[int, Moved] = field(default_factory=lambda: NOTHING_MOVES)


def read_inputs(
    *,
    horizon_id: int,
    as_of: datetime,
    is_restated: bool = False,
    days: str = MarginRun.Days.OWN,
) -> ReadInputs:
    """Read a run's inputs as the horizon knew them; the same horizon reads the same for ever.

    Args:
        horizon_id: the committed horizon.
        as_of: the instant.
        is_restated: whether the book may have gone on beyond the instant, so that average costs
            are those of what had taken effect by then.
        days: which past days models look back on.

    Reads in a transaction of its own, REPEATABLE READ first, so that all queries see one instant.
    """
    assert not connection.in_atomic_block, "inputs are read on a transaction of their own"
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        return _read(horizon_id=horizon_id, as_of=as_of, is_restated=is_restated, days=days)


def read_inputs_of(run: MarginRun) -> ReadInputs:
    """What a past run was computed from, read again from its horizon."""
    is_restated = run.restates_id is not None
    return read_inputs(
        horizon_id=run.horizon_id, as_of=run.as_of, is_restated=is_restated, days=run.days
    )


def read_with_models(run: MarginRun) -> ReadInputs:
    """As `read_inputs_of`, with every model of the day though nobody may be under one.

    Call inside one snapshot, as reports are read.
    """
    is_restated = run.restates_id is not None
    inputs = _read(
        horizon_id=run.horizon_id, as_of=run.as_of, is_restated=is_restated, days=run.days
    )
    if inputs.models or inputs.shadows:
        return inputs
    (models, _), (shadows, _) = _models(inputs.business_day, run.horizon_id)
    return _with_models(inputs, models, shadows)


def _models(business_day: date, horizon_id: int) -> tuple[Decided, Decided]:
    """Those that are used and those that are watched on a day, and what cannot be read of them."""
    used, watched = (
        models_decided(business_day, standing=standing, horizon_id=horizon_id)
        for standing in (ModelDecision.Standing.PRODUCTION, ModelDecision.Standing.SHADOW)
    )
    return used, watched


def _with_models(
    inputs: ReadInputs,
    models: Mapping[tuple[str, str], UsedModel],
    shadows: Mapping[tuple[str, str], UsedModel],
) -> ReadInputs:
    """The inputs with models and all that these need besides."""
    known = known_at(Contract.objects.all(), inputs.horizon_id)
    return replace(
        inputs,
        models=models,
        shadows=shadows,
        contracts={each.asset_id: each for each in known},
        closes=closes_until(inputs.as_of, horizon_id=inputs.horizon_id),
        market=read_market(
            horizon_id=inputs.horizon_id, as_of=inputs.as_of, day=inputs.business_day
        ),
        eligibility=eligibility_in_force(
            inputs.business_day,
            horizon_id=inputs.horizon_id,
            account_ids={row.account_id for row in inputs.scopes if row.model_key},
        ),
    )


def _read(*, horizon_id: int, as_of: datetime, is_restated: bool, days: str) -> ReadInputs:
    business_day = as_of.astimezone(UTC).date()
    assets = {asset.pk: asset for asset in Asset.objects.all()}
    marks = marks_at(horizon_id, as_of=as_of)
    (models, unreadable), (shadows, _) = _models(business_day, horizon_id)
    known = known_of(horizon_id)
    pooled = pooled_buckets(business_day, known=known)
    scopes, exceptions = _scopes(
        business_day, models, known=known, unreadable=unreadable, pooled=pooled
    )
    scopes, moved = at_levels(scopes, day=business_day, at=as_of, horizon_id=horizon_id)
    axis = {row.bucket_id: n for n, row in enumerate(scopes)}
    # What members hold is held by their group; where that has no terms it is an exception.
    axis |= {member: axis[group] for member, group in pooled.items() if group in axis}
    claims, positions, loans = (_restated_holdings if is_restated else _holdings)(
        horizon_id, as_of=as_of, axis=axis
    )
    crowding, unread = policies_decided(CROWDING, day=business_day, horizon_id=horizon_id)
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
        crowding={each.asset.pk: (each.parameter_set, each.policy) for each in crowding},
        days=days,
        moved=moved,
    )
    why = {each.asset.pk: each.why for each in unread}
    inputs = without_scopes(inputs, unreadable_holders(why, positions=positions, scopes=scopes))
    if shadows or any(row.model_key for row in scopes):
        inputs = _with_models(inputs, models, shadows)
    return _without_unpriced(_with_options(inputs))


def _with_options(inputs: ReadInputs) -> ReadInputs:
    """The inputs with the worth of options held, and without scopes whose rules know none."""
    held = {h.asset_id for h in inputs.positions if inputs.assets[h.asset_id].is_option}
    if not held:
        return inputs
    contracts = inputs.contracts
    if not contracts:
        known = known_at(Contract.objects.all(), inputs.horizon_id)
        contracts = {each.asset_id: each for each in known}
    market = inputs.market or read_market(
        horizon_id=inputs.horizon_id, as_of=inputs.as_of, day=inputs.business_day
    )
    found = option_prices(
        held, assets=inputs.assets, contracts=contracts, marks=inputs.marks, market=market
    )
    return without_uncarried(replace(inputs, contracts=contracts, options=found))


def without_uncarried(inputs: ReadInputs) -> ReadInputs:
    """Take out scopes that hold an option under rules that know none."""
    held = {h.scope for h in inputs.positions if inputs.assets[h.asset_id].is_option}
    said = {n: uncarried(inputs.scopes[n], models=inputs.models) for n in sorted(held)}
    return without_scopes(inputs, {n: why for n, why in said.items() if why is not None})


def known_of(horizon_id: int) -> str:
    """The snapshot of a committed horizon."""
    return str(Horizon.objects.values_list("snapshot", flat=True).get(pk=horizon_id))


def marks_at(horizon_id: int, *, as_of: datetime) -> dict[int, Mark]:
    """The marks of an instant by asset, corrected as far as the horizon knew."""
    rows = known_at(Mark.objects.filter(as_of=as_of), horizon_id)
    newest = rows.order_by("asset_id", "-revision").distinct("asset_id")
    return {mark.asset_id: mark for mark in newest}


def _scopes(
    business_day: date,
    models: Mapping[tuple[str, str], UsedModel],
    *,
    known: str,
    unreadable: Mapping[tuple[str, str], str],
    pooled: Mapping[int, int],
) -> tuple[list[ScopeRow], list[Unmargined]]:
    """Every margined bucket with the agreement in force; one without is an exception.

    Args:
        pooled: buckets that are margined with the bucket of a group, and have no scope beside it.
    """
    agreements = agreements_in_force(business_day, known=known)
    groups = set(pooled.values())
    scopes: list[ScopeRow] = []
    exceptions: list[Unmargined] = []
    for scope in (
        Scope.objects.filter(bucket__isnull=False)
        .select_related("bucket__account")
        .order_by("bucket__account__code", "bucket__code")
    ):
        bucket = scope.bucket
        assert bucket is not None
        if bucket.pk in pooled:
            continue
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
            is_group=bucket.pk in groups,
        )
        if row.model_key is not None and row.model_key not in models:
            missing = f"{' '.join(row.model_key)} is not in production on {business_day}."
            detail = unreadable.get(row.model_key, missing)
            exceptions.append(Unmargined(account.pk, bucket.code, MODEL_NOT_IN_USE, detail))
            continue
        scopes.append(row)
    return scopes, exceptions


def _holdings(
    horizon_id: int, *, as_of: datetime, axis: dict[int, int]
) -> tuple[list[Holding], list[Holding], list[Holding]]:
    return _held(_balances(BALANCES, horizon_id, as_of=as_of), axis=axis)


def _restated_holdings(
    horizon_id: int, *, as_of: datetime, axis: dict[int, int]
) -> tuple[list[Holding], list[Holding], list[Holding]]:
    """As `_holdings`, where movements of later instants are in the book already."""
    rows = _balances(RESTATED_BALANCES, horizon_id, as_of=as_of)
    mixed = {
        row[0]: row[5].copy_negate()
        for row in rows
        if row[-1] and row[2] == "position" and row[3] in axis
    }
    averages = restated_averages(mixed, horizon_id=horizon_id, as_of=as_of)
    return _held([(*row[:6], averages.get(row[0], row[6])) for row in rows], axis=axis)


def _balances(statement: str, horizon_id: int, *, as_of: datetime) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, [as_of, horizon_id])
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def _held(
    rows: Sequence[tuple[Any, ...]], *, axis: Mapping[int, int]
) -> tuple[list[Holding], list[Holding], list[Holding]]:
    """Claims, positions and loans of the scopes on the axis."""
    found: dict[str, list[Holding]] = {"claim": [], "position": [], "loan_receivable": []}
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
        if asset.is_option:
            is_bare = held.asset_id not in inputs.options
        else:
            is_bare = held.asset_id not in inputs.marks or not has_terms(inputs.terms, asset)
        if is_bare:
            missing.setdefault(held.scope, asset.code)
    return without_scopes(
        inputs,
        {
            n: (
                UNPRICED,
                unpriced_words(inputs.scopes[n].account, inputs.scopes[n].bucket, code, inputs),
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
