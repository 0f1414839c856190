"""Margin runs: pinned inputs, arrays, results with parts that add up, and their replay."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from accounts.bulk import copy_rows
from margin.book import BASE, Holding, ReadInputs, read_inputs
from margin.engine.components import Component, ComponentKind
from margin.engine.exact import ONE, ZERO
from margin.engine.hashing import inputs_hash, model_hash, parameters_hash, result_hash
from margin.engine.house_rules import MODEL, VERSION, HouseRulesResult, evaluate
from margin.engine.inputs import (
    AssetRow,
    ClaimRow,
    HouseRulesInput,
    PositionRow,
    ScopeRow,
    house_rules_input,
)
from margin.models import MarginResult, MarginRun, ResultComponent, RunException
from margin.parameters import engine_terms


@dataclass(frozen=True, slots=True)
class Replay:
    """A past run computed again.

    Attributes:
        inputs_sha256, result_sha256: as computed now.
    """

    run: MarginRun
    inputs_sha256: str
    result_sha256: str

    @property
    def has_same_inputs(self) -> bool:
        return self.inputs_sha256 == self.run.inputs_sha256

    @property
    def is_same(self) -> bool:
        return self.has_same_inputs and self.result_sha256 == self.run.result_sha256


def arrays_of(read: ReadInputs) -> HouseRulesInput:
    """The rows of a run as the engine's arrays; claim and position N stay claim and position N."""
    names = [_scope_name(row.account, row.bucket) for row in read.scopes]
    loans = {held.scope: held.amount for held in read.loans}
    return house_rules_input(
        assets=list(_asset_rows(read)),
        scopes=[
            ScopeRow(
                name=name,
                is_cash_account=row.is_cash_account,
                loan=loans.get(place, ZERO),
                call_level=row.agreement.call_level,
                liquidation_level=row.agreement.liquidation_level,
                minimum_transfer_amount=row.agreement.minimum_transfer_amount,
            )
            for place, (name, row) in enumerate(zip(names, read.scopes, strict=True))
        ],
        claims=[
            ClaimRow(names[held.scope], read.assets[held.asset_id].code, held.amount)
            for held in read.claims
        ],
        positions=[
            PositionRow(
                names[held.scope],
                read.assets[held.asset_id].code,
                held.amount,
                ZERO if held.average_cost is None else held.average_cost,
            )
            for held in read.positions
        ],
        currency=BASE,
    )


def _scope_name(account: str, bucket: str) -> str:
    return f"{account}/{bucket}"


def _asset_rows(read: ReadInputs) -> Iterator[AssetRow]:
    """Every asset with terms and a mark; the currency is worth one of itself."""
    for asset in sorted(read.assets.values(), key=lambda each: each.code):
        terms = engine_terms(read.terms, asset_id=asset.pk, kind=asset.kind)
        if terms is None:
            continue
        if asset.code == BASE:
            yield AssetRow(asset.code, terms, ONE)
            continue
        mark = read.marks.get(asset.pk)
        if mark is not None:
            yield AssetRow(asset.code, terms, mark.price, mark.state != "VALID")


def record_run(read: ReadInputs, *, business_day: date, purpose: str) -> MarginRun:
    """Compute every requirement and keep run, results, parts and exceptions; inside an act."""
    inputs = arrays_of(read)
    result = evaluate(inputs)
    run = MarginRun.objects.create(
        number=_next_number(business_day),
        as_of=read.as_of,
        business_day=business_day,
        purpose=purpose,
        model=MODEL,
        model_version=VERSION,
        model_sha256=model_hash(),
        parameters_sha256=parameters_hash(inputs),
        inputs_sha256=inputs_hash(inputs),
        result_sha256=result_hash(result),
        horizon_id=read.horizon_id,
        scope_count=len(read.scopes),
    )
    rows = copy_rows([_result_row(run, read, result, place) for place in range(len(read.scopes))])
    asset_ids = {asset.code: pk for pk, asset in read.assets.items()}
    copy_rows(
        [
            _component_row(rows[place], read, component, ordinal=ordinal, asset_ids=asset_ids)
            for place in range(len(read.scopes))
            for ordinal, component in enumerate(result.components.of(place), start=1)
        ]
    )
    copy_rows(
        [
            RunException(
                run=run,
                account_id=each.account_id,
                bucket_code=each.bucket,
                reason=each.reason,
                detail=each.detail,
            )
            for each in read.exceptions
        ]
    )
    return run


def _next_number(business_day: date) -> str:
    prefix = f"MR-{business_day:%y%m%d}-"
    return f"{prefix}{MarginRun.objects.filter(number__startswith=prefix).count() + 1}"


def _result_row(
    run: MarginRun, read: ReadInputs, result: HouseRulesResult, place: int
) -> MarginResult:
    return MarginResult(
        run=run,
        scope_id=read.scopes[place].scope_id,
        agreement_version=read.scopes[place].agreement,
        equity=result.equity[place],
        initial_margin=result.initial_margin[place],
        maintenance_margin=result.maintenance_margin[place],
        state=result.state_of(place),
        call_amount=result.call_amount[place],
        flags=result.flags_of(place),
    )


def _component_row(
    row: MarginResult,
    read: ReadInputs,
    component: Component,
    *,
    ordinal: int,
    asset_ids: dict[str, int],
) -> ResultComponent:
    """A part with what it leads back to: mark, parameter version, posting."""
    asset_id = asset_ids[component.asset]
    held = _held(read, component)
    terms = read.terms.instruments.get(asset_id)
    haircut = read.terms.haircuts.get(asset_id)
    mark = read.marks.get(asset_id)
    return ResultComponent(
        result=row,
        ordinal=ordinal,
        total=component.total,
        kind=component.kind.name.lower(),
        asset_id=asset_id,
        amount=component.amount,
        mark_id=None if mark is None else mark.pk,
        haircut_id=None if haircut is None else haircut.pk,
        instrument_terms_id=None if terms is None else terms.pk,
        ledger_account_id=None if held is None else held.ledger_account_id,
        account_seq=None if held is None else held.account_seq,
        terms=component.terms(),
    )


def _held(read: ReadInputs, component: Component) -> Holding | None:
    """The claim, position or loan a part was made from."""
    if component.row is None:
        return None
    if component.kind == ComponentKind.MONEY_CLAIM:
        return read.claims[component.row]
    if component.kind == ComponentKind.LOAN:
        return next(held for held in read.loans if held.scope == component.row)
    return read.positions[component.row]


def replay(number: str) -> Replay:
    """Read a past run's inputs again from its horizon and compute it again; writes nothing.

    Raises:
        MarginRun.DoesNotExist: there is no such run.
    """
    run = MarginRun.objects.get(number=number)
    read = read_inputs(horizon_id=run.horizon_id, as_of=run.as_of)
    inputs = arrays_of(read)
    return Replay(
        run=run,
        inputs_sha256=inputs_hash(inputs),
        result_sha256=result_hash(evaluate(inputs)),
    )
