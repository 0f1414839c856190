"""Margin runs: pinned inputs, arrays, results with parts that add up, and their replay."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from accounts.bulk import copy_rows
from margin.book import BASE, Holding, ReadInputs, read_inputs_of
from margin.book.options import HeldOption, option_rows, takes_options
from margin.book.proof import unproved_balances
from margin.column_runs import column_hashes
from margin.crowding import surcharges
from margin.eligibility import ineligible
from margin.engine.components import OF_CLAIMS, OF_MODELS, Component, ComponentKind
from margin.engine.exact import ZERO, at_least_cents, exact
from margin.engine.hashing import (
    content_sha256,
    inputs_hash,
    joined_hash,
    model_hash,
    parameters_hash,
    result_hash,
)
from margin.engine.house_rules import MODEL, VERSION, HouseRulesResult, evaluate
from margin.engine.inputs import (
    ClaimRow,
    HouseRulesInput,
    OptionRow,
    PositionRow,
    ScopeRow,
    house_rules_input,
)
from margin.engine.option_equity import OptionEquity
from margin.models import (
    MarginResult,
    MarginRun,
    MovedLevels,
    ResultComponent,
    RunException,
    ShadowResult,
)
from margin.moving_levels import moved_sha256
from margin.portfolio import Charge, Charged, Refusal, charge_rows, charged, models_sha256
from margin.run_rows import asset_rows, next_number, option_assets

NO_CHARGES: Final[Mapping[int, Charge]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Replay:
    """A past run computed again.

    Attributes:
        inputs_sha256, result_sha256: as computed now.
        unproved: ledger accounts whose balance, as it was read, is not the sum of their postings.
    """

    run: MarginRun
    inputs_sha256: str
    result_sha256: str
    unproved: tuple[int, ...] = ()

    @property
    def has_same_inputs(self) -> bool:
        return self.inputs_sha256 == self.run.inputs_sha256 and not self.unproved

    @property
    def is_same(self) -> bool:
        return self.has_same_inputs and self.result_sha256 == self.run.result_sha256


@dataclass(frozen=True, slots=True)
class Computed:
    """A run before it is kept.

    Attributes:
        charged: its inputs without the scopes that a model refused, and what models require.
        inputs: everything as the evaluation takes it.
        model_sha256, parameters_sha256, inputs_sha256, result_sha256: of all that it rests on.
        ineligible: by place of the scope why its account may not be under its model.
    """

    charged: Charged
    inputs: HouseRulesInput
    result: HouseRulesResult
    model_sha256: str
    parameters_sha256: str
    inputs_sha256: str
    result_sha256: str
    ineligible: Mapping[int, tuple[str, ...]]


def computed(read: ReadInputs) -> Computed:
    """Compute a run: portfolio models first, whose requirements then enter the evaluation."""
    asked = charged(read)
    inputs = arrays_of(asked.read, asked.charges)
    result = evaluate(inputs)
    short = _ineligible(asked.read, result)
    rules = asked.read.eligibility.sha256()
    used = bool(read.models or read.shadows)
    code, values = models_sha256(read) if used else ("", "")
    return Computed(
        charged=asked,
        inputs=inputs,
        result=result,
        model_sha256=joined_hash(model_hash(), code),
        parameters_sha256=joined_hash(parameters_hash(inputs), values, rules),
        inputs_sha256=joined_hash(
            inputs_hash(inputs), values, asked.market_sha256, rules, moved_sha256(asked.read.moved)
        ),
        result_sha256=joined_hash(
            result_hash(result), shadows_hash(asked), _ineligible_hash(asked.read, short)
        ),
        ineligible=short,
    )


def _ineligible(read: ReadInputs, result: HouseRulesResult) -> dict[int, tuple[str, ...]]:
    return ineligible(
        read.eligibility,
        accounts=[row.account_id for row in read.scopes],
        models=[None if row.model_key is None else row.model_key[0] for row in read.scopes],
        equity=list(result.equity),
    )


def _ineligible_hash(read: ReadInputs, short: Mapping[int, tuple[str, ...]]) -> str:
    """The hash of who falls short; empty where nobody does."""
    if not short:
        return ""
    rows = [(read.scopes[n].account, read.scopes[n].bucket, *why) for n, why in short.items()]
    return content_sha256({"ineligible": rows})


def shadows_hash(asked: Charged) -> str:
    """The hash of what watched models say; empty where none is watched."""
    if not asked.shadows:
        return ""
    rows = [
        (
            asked.read.scopes[each.scope].account,
            asked.read.scopes[each.scope].bucket,
            str(each.used.parameter_set),
            *(
                (each.why,)
                if isinstance(each, Refusal)
                else (each.initial_margin, each.maintenance_margin, each.binding)
            ),
        )
        for each in asked.shadows
    ]
    return content_sha256({"shadows": rows})


def arrays_of(read: ReadInputs, charges: Mapping[int, Charge] = NO_CHARGES) -> HouseRulesInput:
    """The rows of a run as the engine's arrays; claim and position N stay claim and position N."""
    names = [_scope_name(row.account, row.bucket) for row in read.scopes]
    loans: dict[int, Decimal] = {}
    with exact():
        for held in read.loans:
            loans[held.scope] = loans.get(held.scope, ZERO) + held.amount
    return house_rules_input(
        assets=[*asset_rows(read), *option_assets(read)],
        scopes=[
            ScopeRow(
                name=name,
                is_cash_account=row.is_cash_account or place in charges,
                loan=loans.get(place, ZERO),
                call_level=row.levels.call_level,
                liquidation_level=row.levels.liquidation_level,
                minimum_transfer_amount=row.agreement.minimum_transfer_amount,
            )
            for place, (name, row) in enumerate(zip(names, read.scopes, strict=True))
        ],
        claims=[
            ClaimRow(
                names[held.scope],
                read.assets[held.asset_id].code,
                held.amount,
                _holder(read, held),
            )
            for held in read.claims
        ],
        positions=[
            PositionRow(
                names[held.scope],
                read.assets[held.asset_id].code,
                held.amount,
                ZERO if held.average_cost is None else held.average_cost,
                _holder(read, held),
            )
            for held in read.positions
        ],
        charges=charge_rows(charges, names),
        surcharges=surcharges(read, names=names) if read.crowding else (),
        options=_option_rows(read) if read.options else (),
        currency=BASE,
    )


def _holder(read: ReadInputs, held: Holding) -> str:
    """Whose of a group a balance is; a scope that is no group has each balance once."""
    return str(held.ledger_account_id) if read.scopes[held.scope].is_group else ""


def _option_rows(read: ReadInputs) -> list[OptionRow]:
    """What positions in options are worth, and which of them equity counts."""

    def counts(scope: int) -> OptionEquity:
        key = read.scopes[scope].model_key
        assert key is not None, "house rules know no option"
        return takes_options(read.models[key])

    held = [
        HeldOption(n, row.scope, row.asset_id, row.amount)
        for n, row in enumerate(read.positions)
        if row.asset_id in read.options
    ]
    return option_rows(held, prices=read.options, counts=counts)


def _scope_name(account: str, bucket: str) -> str:
    return f"{account}/{bucket}"


def record_run(read: ReadInputs, *, business_day: date, purpose: str) -> MarginRun:
    """Compute every requirement and keep it; inside an act."""
    return keep_run(computed(read), business_day=business_day, purpose=purpose)


def keep_run(
    done: Computed, *, business_day: date, purpose: str, restates: MarginRun | None = None
) -> MarginRun:
    """Keep run, results, parts and exceptions; inside an act.

    Args:
        restates: the run of the same instant beside which this one stands.
    """
    read, result = done.charged.read, done.result
    run = MarginRun.objects.create(
        number=next_number(business_day),
        as_of=read.as_of,
        business_day=business_day,
        purpose=purpose,
        model=MODEL,
        model_version=VERSION,
        model_sha256=done.model_sha256,
        parameters_sha256=done.parameters_sha256,
        inputs_sha256=done.inputs_sha256,
        result_sha256=done.result_sha256,
        horizon_id=read.horizon_id,
        scope_count=len(read.scopes),
        days=read.days,
        restates=restates,
    )
    moved = copy_rows([each.row(run) for each in read.moved.values()])
    levels = {each.agreement_version_id: each for each in moved}
    rows = copy_rows(
        [_result_row(run, read, done, place, levels) for place in range(len(read.scopes))]
    )
    asset_ids = {asset.code: pk for pk, asset in read.assets.items()}
    copy_rows(
        [
            _component_row(rows[place], read, component, ordinal=ordinal, asset_ids=asset_ids)
            for place in range(len(read.scopes))
            for ordinal, component in enumerate(result.components.of(place), start=1)
        ]
    )
    copy_rows([_shadow_row(run, read, each) for each in done.charged.shadows])
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


def _shadow_row(run: MarginRun, read: ReadInputs, said: Charge | Refusal) -> ShadowResult:
    row = ShadowResult(
        run=run,
        scope_id=read.scopes[said.scope].scope_id,
        parameter_set=said.used.parameter_set,
    )
    if isinstance(said, Refusal):
        row.refusal = said.why
    else:
        row.initial_margin, row.maintenance_margin = said.initial_margin, said.maintenance_margin
        row.binding = said.binding
    return row


def _result_row(
    run: MarginRun,
    read: ReadInputs,
    done: Computed,
    place: int,
    levels: Mapping[int, MovedLevels],
) -> MarginResult:
    result, charge = done.result, done.charged.charges.get(place)
    return MarginResult(
        run=run,
        scope_id=read.scopes[place].scope_id,
        agreement_version=read.scopes[place].agreement,
        equity=at_least_cents(result.equity[place]),
        initial_margin=at_least_cents(result.initial_margin[place]),
        maintenance_margin=at_least_cents(result.maintenance_margin[place]),
        state=result.state_of(place),
        call_amount=at_least_cents(result.call_amount[place]),
        flags=[*result.flags_of(place), *done.ineligible.get(place, ())],
        parameter_set=None if charge is None else charge.used.parameter_set,
        binding="" if charge is None else charge.binding,
        moved=levels.get(read.scopes[place].agreement.pk),
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
    if component.kind in OF_MODELS:
        return ResultComponent(
            result=row,
            ordinal=ordinal,
            total=component.total,
            kind=component.kind.name.lower(),
            amount=component.amount,
            terms=component.terms(),
        )
    asset_id = asset_ids[component.asset]
    held = _held(read, component)
    terms = read.terms.instruments.get(asset_id)
    haircut = read.terms.haircuts.get(asset_id)
    mark = read.marks.get(asset_id)
    option = read.options.get(asset_id)
    own = mark if option is None or option.is_own else None
    return ResultComponent(
        result=row,
        ordinal=ordinal,
        total=component.total,
        kind=component.kind.name.lower(),
        asset_id=asset_id,
        amount=component.amount,
        mark_id=None if own is None else own.pk,
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
    if component.kind in OF_CLAIMS:
        return read.claims[component.row]
    if component.kind == ComponentKind.LOAN:
        owed = [held for held in read.loans if held.scope == component.row]
        return owed[0] if len(owed) == 1 else None
    return read.positions[component.row]


def replay(number: str) -> Replay:
    """Read a past run's inputs again from its horizon and compute it again; writes nothing.

    Raises:
        MarginRun.DoesNotExist: there is no such run.
    """
    run = MarginRun.objects.get(number=number)
    if run.layout == MarginRun.Layout.COLUMNS:
        inputs_sha256, result_sha256 = column_hashes(run)
    else:
        done = computed(read_inputs_of(run))
        inputs_sha256, result_sha256 = done.inputs_sha256, done.result_sha256
    return Replay(
        run=run,
        inputs_sha256=inputs_sha256,
        result_sha256=result_sha256,
        unproved=unproved_balances(horizon_id=run.horizon_id, as_of=run.as_of),
    )
