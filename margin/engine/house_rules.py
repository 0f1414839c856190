"""House rules v1: equity, requirements and states of every scope, exact.

equity = money claims x mark x (1 - haircut, or tiers of it: `margin.engine.collateral`)
         + securities x mark
         + perpetuals x (mark - average cost) - loan + options as `option_parts` counts them.
Requirements: a share of market value for securities, brackets on notional for perpetuals; none
for cash accounts. States: `margin.engine.states`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from margin.engine.brackets import bracket_requirement
from margin.engine.collateral import Detail
from margin.engine.components import (
    TOTALS,
    ComponentKind,
    Components,
    Part,
    in_order,
    totals_of,
)
from margin.engine.exact import ONE, ZERO, Exact, Flag, Index, column, exact, round_up
from margin.engine.held_positions import (
    chosen_positions,
    margined,
    part_of,
    positions_of,
    where,
)
from margin.engine.inputs import AssetKind, HouseRulesInput, MoneyTerms, SecurityTerms
from margin.engine.netting import OF_SEVERAL, net_of_each, netted
from margin.engine.option_parts import option_parts
from margin.engine.states import (
    CENTS,
    State,
    StateCode,
    call_amounts,
    decide_states,
    spare_uncertain,
)
from margin.engine.tiered_money import has_tiers, tiered_money

MODEL: Final = "house-rules"
VERSION: Final = "v1"

INSUFFICIENT_MARK: Final = "insufficient_mark"
OVERRIDDEN_MARK: Final = "overridden_mark"
BELOW_MTA: Final = "below_mta"
CALL_WAITS: Final = "call_waits"


@dataclass(frozen=True, slots=True, eq=False)
class HouseRulesResult:
    """What the rules say of every scope; A scopes.

    Attributes:
        scopes: (A,) names, in the order of the input.
        equity: (A,) signed.
        initial_margin, maintenance_margin: (A,) not negative.
        states: (A,) State.
        call_amount: (A,) with two decimals, 0.00 where nothing is called.
        insufficient_mark: (A,) something held is valued at a mark that is not valid.
        overridden_mark: (A,) something held is valued at a price that people set.
        below_mta: (A,) less is missing than the minimum transfer amount.
        call_waits: (A,) something is missing, and a price permits no call.
        doubted: by flag, (A,) something held is valued at a price that is doubted so.
        components: parts that add up exactly to equity and both requirements.
    """

    scopes: tuple[str, ...]
    equity: Exact
    initial_margin: Exact
    maintenance_margin: Exact
    states: StateCode
    call_amount: Exact
    insufficient_mark: Flag
    overridden_mark: Flag
    below_mta: Flag
    call_waits: Flag
    doubted: Mapping[str, Flag]
    components: Components

    def state_of(self, scope: int) -> str:
        """The name of a scope's state."""
        return State(int(self.states[scope])).name

    def flags_of(self, scope: int) -> list[str]:
        """The flags of a scope, sorted."""
        flags = {
            **self.doubted,
            BELOW_MTA: self.below_mta,
            CALL_WAITS: self.call_waits,
            INSUFFICIENT_MARK: self.insufficient_mark,
            OVERRIDDEN_MARK: self.overridden_mark,
        }
        return sorted(name for name, raised in flags.items() if raised[scope])


def evaluate(inputs: HouseRulesInput) -> HouseRulesResult:
    """Equity, requirements, states and call amounts of every scope.

    Cost:
        A few dozen decimal operations per claim and position; 100,000 positions well under 2 s.
    """
    with exact():
        parts = [
            _money(inputs),
            *tiered_money(inputs),
            *_securities(inputs),
            *_perpetuals(inputs),
            *option_parts(inputs),
            _loans(inputs),
        ]
        names, charges = _charges(inputs)
        parts += [*charges, *_doubts(inputs), *_surcharges(inputs)]
        equity, initial_margin, maintenance_margin = totals_of(parts, count=len(inputs.scopes))
        uncertain = _holds(inputs, inputs.insufficient)
        states = spare_uncertain(
            decide_states(
                equity=equity,
                initial_margin=initial_margin,
                maintenance_margin=maintenance_margin,
                call_levels=inputs.call_levels,
                liquidation_levels=inputs.liquidation_levels,
            ),
            insufficient_mark=uncertain,
        )
        calls = call_amounts(
            states,
            equity=equity,
            initial_margin=initial_margin,
            minimum_transfer_amounts=inputs.minimum_transfer_amounts,
        )
        waits = _waiting(inputs) & (calls.amount > ZERO).astype(bool)
        calls.amount[waits] = round_up(ZERO, CENTS)
        result = HouseRulesResult(
            scopes=inputs.scopes,
            equity=equity,
            initial_margin=initial_margin,
            maintenance_margin=maintenance_margin,
            states=states,
            call_amount=calls.amount,
            insufficient_mark=uncertain,
            overridden_mark=_holds(inputs, inputs.overridden),
            below_mta=calls.below_mta,
            call_waits=waits,
            doubted=_doubted(inputs),
            components=in_order(parts, names=names),
        )
    check_components(result)
    return result


def check_components(result: HouseRulesResult) -> None:
    """Assert that the parts, as listed, add up to every total exactly."""
    for total in TOTALS:
        stated: Exact = getattr(result, total)
        added: Exact = np.full(len(stated), ZERO, dtype=object)
        scopes, amounts = result.components.segments(total)
        added[scopes] = amounts
        assert (added == stated).all(), f"components do not add up to {total}"


def _money(inputs: HouseRulesInput) -> Part:
    is_flat = ~has_tiers(inputs)[inputs.claim_assets]
    row: Index = np.flatnonzero(is_flat & (inputs.claim_amounts != ZERO))
    asset, amount = inputs.claim_assets[row], inputs.claim_amounts[row]
    haircuts = column(
        terms.haircut if isinstance(terms, MoneyTerms) else ZERO for terms in inputs.terms
    )
    price, haircut = inputs.marks[asset], haircuts[asset]
    return Part(
        kind=ComponentKind.MONEY_CLAIM,
        scope=inputs.claim_scopes[row],
        asset=asset,
        row=row,
        amount=amount * price * (ONE - haircut),
        quantity=amount,
        price=price,
        rate=haircut,
    )


def _securities(inputs: HouseRulesInput) -> list[Part]:
    held = positions_of(inputs, AssetKind.SECURITY)
    value = held.quantity * held.price
    parts = [part_of(ComponentKind.SECURITY, held, amount=value)]
    charged = margined(held)
    market_value = np.abs(charged.quantity * charged.price)
    for kind, name in (
        (ComponentKind.IM_SECURITY, "initial_rate"),
        (ComponentKind.MM_SECURITY, "maintenance_rate"),
    ):
        rates = column(
            getattr(terms, name) if isinstance(terms, SecurityTerms) else ZERO
            for terms in inputs.terms
        )
        rate = rates[charged.asset]
        parts.append(part_of(kind, charged, amount=market_value * rate)._replace(rate=rate))
    return parts


def _perpetuals(inputs: HouseRulesInput) -> list[Part]:
    held = positions_of(inputs, AssetKind.PERPETUAL)
    gain = held.quantity * (held.price - held.average_cost)
    unrealised = part_of(ComponentKind.PERPETUAL_UNREALISED, held, amount=gain)
    parts = [unrealised._replace(average_cost=held.average_cost)]
    charged = margined(held)
    for instrument in np.unique(charged.asset):
        one = where(charged, charged.asset == instrument)
        notional = np.abs(one.quantity * one.price)
        for kind, name in (
            (ComponentKind.IM_PERPETUAL, "initial"),
            (ComponentKind.MM_PERPETUAL, "maintenance"),
        ):
            schedule = getattr(inputs.terms[instrument], name)
            required = bracket_requirement(notional, schedule)
            parts.append(
                part_of(kind, one, amount=required.amount)._replace(
                    rate=column(schedule.rates)[required.bracket],
                    deduction=column(schedule.deductions)[required.bracket],
                    bracket=required.bracket,
                )
            )
    return parts


def _loans(inputs: HouseRulesInput) -> Part:
    scope: Index = np.flatnonzero(inputs.loans != ZERO)
    owed = inputs.loans[scope]
    asset = np.full(len(scope), inputs.currency, dtype=np.intp)
    return Part(
        kind=ComponentKind.LOAN,
        scope=scope,
        asset=asset,
        row=scope,
        amount=-owed,
        quantity=owed,
        price=inputs.marks[asset],
    )


def _charges(inputs: HouseRulesInput) -> tuple[tuple[str, ...], list[Part]]:
    """What portfolio models require; their parts are named behind the assets, in their order."""
    named = dict.fromkeys(row.part for row in inputs.charges)
    place = {name: len(inputs.assets) + n for n, name in enumerate(named)}
    scope_place = {name: n for n, name in enumerate(inputs.scopes)} if named else {}
    parts = []
    for kind, total in (
        (ComponentKind.IM_MODEL, "initial"),
        (ComponentKind.MM_MODEL, "maintenance"),
    ):
        rows = [row for row in inputs.charges if row.total == total]
        scope: Index = np.array([scope_place[row.scope] for row in rows], dtype=np.intp)
        nothing = column(ZERO for _ in rows)
        parts.append(
            Part(
                kind=kind,
                scope=scope,
                asset=np.array([place[row.part] for row in rows], dtype=np.intp),
                row=scope,
                amount=column(row.amount for row in rows),
                quantity=nothing,
                price=nothing,
            )
        )
    return (*inputs.assets, *named), parts


def _surcharges(inputs: HouseRulesInput) -> list[Part]:
    """What crowded sides add to initial margin."""
    rows = inputs.surcharges
    if not rows:
        return []
    row: Index = np.array([each.position for each in rows], dtype=np.intp)
    asset, rate = inputs.position_assets[row], column(each.rate for each in rows)
    net, often = net_of_each(inputs.position_scopes, inputs.position_assets, inputs.quantities)
    quantity, price = net[row], inputs.marks[asset]
    detail: Exact = np.empty(len(rows), dtype=object)
    for place, each in enumerate(rows):
        detail[place] = Detail((), each.facts)
    return [
        Part(
            kind=ComponentKind.CROWDING,
            scope=inputs.position_scopes[row],
            asset=asset,
            row=np.where(often[row] == 1, row, OF_SEVERAL),
            amount=np.abs(quantity) * price * rate,
            quantity=quantity,
            price=price,
            rate=rate,
            detail=detail,
        )
    ]


def _doubts(inputs: HouseRulesInput) -> list[Part]:
    """What doubted prices add to both requirements: value x contingency, not of cash accounts."""
    shares = {n: doubt.contingency for n, doubt in inputs.doubts.items() if doubt.contingency}
    if not shares:
        return []
    rates = column(shares.get(n, ZERO) for n in range(len(inputs.assets)))
    held = chosen_positions(inputs, (rates != ZERO)[inputs.position_assets].astype(bool))
    charged = margined(held)
    parts = [
        part_of(
            kind, charged, amount=np.abs(charged.quantity * charged.price) * rates[charged.asset]
        )._replace(rate=rates[charged.asset])
        for kind in (ComponentKind.IM_DOUBT, ComponentKind.MM_DOUBT)
    ]
    chosen = (rates != ZERO)[inputs.claim_assets].astype(bool)
    chosen &= (inputs.claim_amounts != ZERO) & ~inputs.is_cash_account[inputs.claim_scopes]
    claims: Index = np.flatnonzero(chosen)
    net = netted(
        inputs.claim_scopes[claims],
        inputs.claim_assets[claims],
        inputs.claim_amounts[claims],
        claims,
    )
    first, amount = claims[net.first], net.amount
    asset = inputs.claim_assets[first]
    price, rate = inputs.marks[asset], rates[asset]
    of_money = Part(
        kind=ComponentKind.IM_DOUBT_MONEY,
        scope=inputs.claim_scopes[first],
        asset=asset,
        row=net.row,
        amount=np.abs(amount * price) * rate,
        quantity=amount,
        price=price,
        rate=rate,
    )
    return [*parts, of_money, of_money._replace(kind=ComponentKind.MM_DOUBT_MONEY)]


def _waiting(inputs: HouseRulesInput) -> Flag:
    """(A,) something is held at a price on which no call is made."""
    waits: Flag = np.zeros(len(inputs.assets), dtype=bool)
    waits[[n for n, doubt in inputs.doubts.items() if doubt.waits]] = True
    return _holds(inputs, waits)


def _doubted(inputs: HouseRulesInput) -> dict[str, Flag]:
    """By flag, (A,) something is held at a price that is doubted so."""
    found = {}
    for flag in sorted({doubt.flag for doubt in inputs.doubts.values()} - {""}):
        chosen: Flag = np.zeros(len(inputs.assets), dtype=bool)
        chosen[[n for n, doubt in inputs.doubts.items() if doubt.flag == flag]] = True
        found[flag] = _holds(inputs, chosen)
    return found


def _holds(inputs: HouseRulesInput, assets: Flag) -> Flag:
    """(A,) whether a scope has a claim or position, other than zero, in one of the assets (I,)."""
    found: Flag = np.zeros(len(inputs.scopes), dtype=bool)
    claims = assets[inputs.claim_assets] & (inputs.claim_amounts != ZERO)
    found[inputs.claim_scopes[claims]] = True
    positions = assets[inputs.position_assets] & (inputs.quantities != ZERO)
    found[inputs.position_scopes[positions]] = True
    return found
