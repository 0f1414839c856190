"""What house rules v1 are computed from: named rows in, arrays out.

Axes: A scopes, I assets (money and instruments alike), C money claims, P positions. Claims and
positions are sparse: one row each, with the index of its scope and asset.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import IntEnum
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from margin.engine.brackets import RateSchedule, rate_schedule
from margin.engine.collateral import CollateralTerms, Fact
from margin.engine.exact import Exact, Flag, Index, column


class InputError(ValueError):
    """Rows that no requirement can be computed from; `rule` names what they break."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(f"{rule}: {detail}")
        self.rule = rule


class AssetKind(IntEnum):
    """What an asset is to the rules."""

    MONEY = 0
    SECURITY = 1
    PERPETUAL = 2
    OPTION = 3


class Bracket(NamedTuple):
    """Rates of a perpetual for the notional from `floor` on, in the settlement currency."""

    floor: Decimal
    initial_rate: Decimal
    maintenance_rate: Decimal


@dataclass(frozen=True, slots=True)
class MoneyTerms:
    """Money; `haircut` is the share of its value that is no collateral."""

    haircut: Decimal


@dataclass(frozen=True, slots=True)
class SecurityTerms:
    """A security; the rates are shares of its market value."""

    initial_rate: Decimal
    maintenance_rate: Decimal


@dataclass(frozen=True, slots=True)
class PerpetualTerms:
    """A linear perpetual; both schedules have the same floors."""

    initial: RateSchedule
    maintenance: RateSchedule


@dataclass(frozen=True, slots=True)
class OptionTerms:
    """An option; house rules have no requirement for it, a portfolio model says it.

    Attributes:
        multiplier: units of the underlying in one contract.
        underlying: its name.
        strike, is_call, expires_at: as its contract says.
    """

    multiplier: Decimal
    underlying: str
    strike: Decimal
    is_call: bool
    expires_at: str


AssetTerms = MoneyTerms | CollateralTerms | SecurityTerms | PerpetualTerms | OptionTerms


def perpetual_terms(brackets: Sequence[Bracket]) -> PerpetualTerms:
    """The terms of a perpetual with such brackets, floors ascending from 0.

    Raises:
        BracketError: the brackets are none.
    """
    floors = [bracket.floor for bracket in brackets]
    return PerpetualTerms(
        initial=rate_schedule(floors=floors, rates=[b.initial_rate for b in brackets]),
        maintenance=rate_schedule(floors=floors, rates=[b.maintenance_rate for b in brackets]),
    )


class Doubt(NamedTuple):
    """What it means for a scope that the price of something it holds is doubted.

    Attributes:
        flag: by which the result says so; empty where only the contingency matters.
        waits: no call is made on such a price.
        contingency: share of value that both requirements add.
    """

    flag: str
    waits: bool
    contingency: Decimal


class AssetRow(NamedTuple):
    """An asset with its terms and its mark.

    Attributes:
        insufficient: the mark is not valid: carried, or set by people.
        overridden: people set it.
        doubt: what else there is to say of it.
    """

    name: str
    terms: AssetTerms
    mark: Decimal
    insufficient: bool = False
    overridden: bool = False
    doubt: Doubt | None = None


class ScopeRow(NamedTuple):
    """A scope of requirement with the levels of its agreement.

    Attributes:
        loan: owed to the firm, in the currency of the run; positive.
        call_level, liquidation_level: in multiples of maintenance margin.
        minimum_transfer_amount: a smaller call is not made.
    """

    name: str
    is_cash_account: bool
    loan: Decimal
    call_level: Decimal
    liquidation_level: Decimal
    minimum_transfer_amount: Decimal


class ClaimRow(NamedTuple):
    """Money the firm owes to a scope.

    Attributes:
        holder: who of a group it is owed to; "" where the scope is nobody else's.
    """

    scope: str
    asset: str
    amount: Decimal
    holder: str = ""


class PositionRow(NamedTuple):
    """A holding of an instrument; negative is short. `holder` is as in ClaimRow."""

    scope: str
    asset: str
    quantity: Decimal
    average_cost: Decimal
    holder: str = ""


class ChargeRow(NamedTuple):
    """A part of what a portfolio model requires of a scope that is not charged by these rules.

    Attributes:
        total: "initial" or "maintenance".
        part: its name.
    """

    scope: str
    total: str
    part: str
    amount: Decimal


class SurchargeRow(NamedTuple):
    """What a crowded side adds to the initial margin of a position on it.

    Attributes:
        position: its place among the positions.
        rate: of its notional.
        facts: what the rate came from.
    """

    scope: str
    position: int
    rate: Decimal
    facts: tuple[Fact, ...] = ()


class OptionRow(NamedTuple):
    """What a position in an option is worth.

    Attributes:
        position: its index.
        price: premium per unit of the underlying, of the side that the scope is on.
        counts: whether equity counts it; the requirement does where it does not.
        facts: how it was priced, for people.
    """

    position: int
    price: Decimal
    counts: bool
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True, eq=False)
class HouseRulesInput:
    """The arrays behind one run.

    Attributes:
        assets: (I,) names.
        terms: (I,) haircut, rates or brackets.
        kinds: (I,) AssetKind of each.
        marks: (I,) price per unit, in the currency; 1 for the currency itself.
        insufficient: (I,) whether the mark is not valid.
        overridden: (I,) whether people set it.
        currency: index of the asset in which everything is measured.
        scopes: (A,) names.
        is_cash_account: (A,) without requirement by these rules.
        loans: (A,) positive.
        call_levels, liquidation_levels: (A,) multiples of maintenance margin.
        minimum_transfer_amounts: (A,) in the currency.
        claim_scopes, claim_assets: (C,) indices.
        claim_amounts: (C,) in units of the asset.
        position_scopes, position_assets: (P,) indices.
        quantities: (P,) signed.
        average_costs: (P,) price per unit.
        charges: what portfolio models require; none where there is no such scope.
        doubts: by index of the asset; none where prices are not doubted.
        surcharges: what crowded sides add; none where no policy is in force.
        options: what each option position is worth to its side; none where none is held.
    """

    assets: tuple[str, ...]
    terms: tuple[AssetTerms, ...]
    kinds: NDArray[np.int8]
    marks: Exact
    insufficient: Flag
    overridden: Flag
    currency: int
    scopes: tuple[str, ...]
    is_cash_account: Flag
    loans: Exact
    call_levels: Exact
    liquidation_levels: Exact
    minimum_transfer_amounts: Exact
    claim_scopes: Index
    claim_assets: Index
    claim_amounts: Exact
    position_scopes: Index
    position_assets: Index
    quantities: Exact
    average_costs: Exact
    charges: tuple[ChargeRow, ...] = ()
    doubts: Mapping[int, Doubt] = field(default_factory=lambda: MappingProxyType({}))
    surcharges: tuple[SurchargeRow, ...] = ()
    options: tuple[OptionRow, ...] = ()


def house_rules_input(
    *,
    assets: Sequence[AssetRow],
    scopes: Sequence[ScopeRow],
    claims: Sequence[ClaimRow] = (),
    positions: Sequence[PositionRow] = (),
    charges: Sequence[ChargeRow] = (),
    surcharges: Sequence[SurchargeRow] = (),
    options: Sequence[OptionRow] = (),
    currency: str = "USD",
) -> HouseRulesInput:
    """The arrays of such rows; the order of rows is kept, so row N of `claims` is claim N.

    Raises:
        InputError: `name_is_listed_once`, `balance_is_listed_once`, `name_is_known`,
            `claim_is_money`, `position_is_an_instrument`, `loan_is_not_negative`,
            `currency_is_one`, `charged_once`, `option_is_valued`.
        ValueError: a number is not a finite Decimal.
    """
    asset_index = _indexed([row.name for row in assets])
    scope_index = _indexed([row.name for row in scopes])
    if any(row.loan < 0 for row in scopes):
        raise InputError("loan_is_not_negative", "a loan is positive")
    claim_scopes, claim_assets = _located(claims, scope_index, asset_index)
    position_scopes, position_assets = _located(positions, scope_index, asset_index)
    inputs = HouseRulesInput(
        assets=tuple(asset_index),
        terms=tuple(row.terms for row in assets),
        kinds=np.array([kind_of(row.terms) for row in assets], dtype=np.int8),
        marks=column(row.mark for row in assets),
        insufficient=np.array([row.insufficient for row in assets], dtype=bool),
        overridden=np.array([row.overridden for row in assets], dtype=bool),
        currency=_known(asset_index, currency),
        scopes=tuple(scope_index),
        is_cash_account=np.array([row.is_cash_account for row in scopes], dtype=bool),
        loans=column(row.loan for row in scopes),
        call_levels=column(row.call_level for row in scopes),
        liquidation_levels=column(row.liquidation_level for row in scopes),
        minimum_transfer_amounts=column(row.minimum_transfer_amount for row in scopes),
        claim_scopes=claim_scopes,
        claim_assets=claim_assets,
        claim_amounts=column(row.amount for row in claims),
        position_scopes=position_scopes,
        position_assets=position_assets,
        quantities=column(row.quantity for row in positions),
        average_costs=column(row.average_cost for row in positions),
        charges=tuple(charges),
        doubts={n: row.doubt for n, row in enumerate(assets) if row.doubt is not None},
        surcharges=tuple(surcharges),
        options=tuple(options),
    )
    for charge in charges:
        if not inputs.is_cash_account[_known(scope_index, charge.scope)]:
            raise InputError("charged_once", charge.scope)
    _check_kinds(inputs)
    _check_options(inputs)
    return inputs


def kind_of(terms: AssetTerms) -> AssetKind:
    """What an asset with such terms is."""
    match terms:
        case MoneyTerms() | CollateralTerms():
            return AssetKind.MONEY
        case SecurityTerms():
            return AssetKind.SECURITY
        case PerpetualTerms():
            return AssetKind.PERPETUAL
        case OptionTerms():
            return AssetKind.OPTION


def _indexed(names: Sequence[str]) -> dict[str, int]:
    index = {name: place for place, name in enumerate(names)}
    if len(index) != len(names):
        twice = next(name for place, name in enumerate(names) if index[name] != place)
        raise InputError("name_is_listed_once", twice)
    return index


def _known(index: Mapping[str, int], name: str) -> int:
    try:
        return index[name]
    except KeyError:
        raise InputError("name_is_known", name) from None


def _located(
    rows: Iterable[ClaimRow] | Iterable[PositionRow],
    scope_index: Mapping[str, int],
    asset_index: Mapping[str, int],
) -> tuple[Index, Index]:
    places: dict[tuple[int, int, str], None] = {}
    for row in rows:
        place = _known(scope_index, row.scope), _known(asset_index, row.asset), row.holder
        if place in places:
            raise InputError("balance_is_listed_once", f"{row.asset} of {row.scope}")
        places[place] = None
    pairs = np.array([place[:2] for place in places], dtype=np.intp).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def _check_options(inputs: HouseRulesInput) -> None:
    """Every position in an option has its value, and nothing else has one."""
    held = np.flatnonzero(inputs.kinds[inputs.position_assets] == AssetKind.OPTION).tolist()
    if sorted(row.position for row in inputs.options) != held:
        raise InputError("option_is_valued", "a position in an option has a value, once")


def _check_kinds(inputs: HouseRulesInput) -> None:
    """Claims are money, positions are not, and the currency is worth one of itself."""
    strange = np.flatnonzero(inputs.kinds[inputs.claim_assets] != AssetKind.MONEY)
    if strange.size:
        raise InputError("claim_is_money", inputs.assets[inputs.claim_assets[strange[0]]])
    strange = np.flatnonzero(inputs.kinds[inputs.position_assets] == AssetKind.MONEY)
    if strange.size:
        name = inputs.assets[inputs.position_assets[strange[0]]]
        raise InputError("position_is_an_instrument", name)
    currency = inputs.currency
    if (
        inputs.kinds[currency] != AssetKind.MONEY
        or inputs.marks[currency] != 1
        or inputs.insufficient[currency]
    ):
        raise InputError("currency_is_one", inputs.assets[currency])
