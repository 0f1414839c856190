"""What crowded sides of instruments add to the initial margin of whoever stands on them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from accounts.figures import plain
from ledger.positions import Position
from margin.book import BASE, ReadInputs
from margin.engine.collateral import Fact
from margin.engine.crowding import Crowd, HoldingRow, crowds
from margin.engine.exact import ONE, ZERO, exact, round_up
from margin.engine.inputs import SurchargeRow
from margin.engine.policies import CROWDING
from margin.models import Mark, ParameterSet, ResultComponent
from margin.parameters import engine_terms
from margin.run_rows import whole_runs
from margin.scope_holding import Holding
from margin.scope_standing import Ground, points_of

SIDE_WORDS: Final = {1: "long", -1: "short"}
SHARE_DECIMALS: Final = 6


@dataclass(frozen=True, slots=True)
class Held:
    """One position of the instrument: its place among the run's, and who holds it."""

    place: int
    scope: int
    quantity: Decimal


def surcharges(read: ReadInputs, *, names: Sequence[str]) -> list[SurchargeRow]:
    """What the policies in force charge the scopes of a run; nothing without any.

    Cash accounts hold nothing on margin and belong to no crowd. Scopes under a portfolio model
    count as holders and pay; their liquidation points are not known here.

    Args:
        names: of the scopes, as the arrays have them.
    """
    rows: list[SurchargeRow] = []
    ground = _ground(read) if read.crowding else None
    for asset_id, (parameter_set, policy) in sorted(read.crowding.items()):
        assert ground is not None
        code = read.assets[asset_id].code
        held = _net(
            [
                Held(place, row.scope, row.amount)
                for place, row in enumerate(read.positions)
                if row.asset_id == asset_id and row.amount
                and not read.scopes[row.scope].is_cash_account
            ]
        )  # fmt: skip
        if len(held) < policy.holders_least:
            continue
        points = _points(read, code, held, ground)
        listed = [HoldingRow(h.quantity, p) for h, p in zip(held, points, strict=True)]
        for crowd in crowds(listed, policy=policy):
            facts = _facts(crowd, parameter_set)
            rows += [
                SurchargeRow(names[h.scope], h.place, crowd.rate, facts)
                for h in held
                if h.quantity * crowd.side > 0
            ]
    return rows


def _net(held: Sequence[Held]) -> list[Held]:
    """One position a scope: what the members of a group hold stands together."""
    found: dict[int, Held] = {}
    with exact():
        for each in held:
            first = found.setdefault(each.scope, each)
            if first is not each:
                found[each.scope] = replace(first, quantity=first.quantity + each.quantity)
    return [each for each in found.values() if each.quantity]


def crowded_sides(codes: Collection[str] | None = None) -> dict[tuple[str, int], Decimal]:
    """The rate of every crowded side, by code and sign, as the newest run charged it.

    What is thought of, or asked to leave, is held against the crowds of the newest run.

    Args:
        codes: of instruments with a policy, where they were read before.
    """
    if codes is None:
        sets = ParameterSet.objects.filter(model=CROWDING)
        codes = set(sets.values_list("code", flat=True))
    found: dict[tuple[str, int], Decimal] = {}
    run = whole_runs().order_by("-as_of", "-pk").first() if codes else None
    for code in sorted(codes) if run is not None else []:
        charged = ResultComponent.objects.filter(result__run=run, kind="crowding", asset__code=code)
        for side, word in SIDE_WORDS.items():
            one = charged.filter(terms__facts__side=word).first()
            if one is not None:
                found[code, side] = Decimal(one.terms["rate"])
    return found


def _facts(crowd: Crowd, parameter_set: ParameterSet) -> tuple[Fact, ...]:
    """The policy, the side and each measure that costs something."""
    measures = [
        (
            measure.name,
            f"{plain(round_up(measure.share, SHARE_DECIMALS))} above {plain(measure.threshold)}"
            f" costs {plain(measure.rate)}",
        )
        for measure in crowd.measures
    ]
    return (("policy", str(parameter_set)), ("side", SIDE_WORDS[crowd.side]), *measures)


def _ground(read: ReadInputs) -> Ground:
    """Marks and terms of the run by code."""
    terms = {
        asset.code: found
        for pk, asset in read.assets.items()
        if (found := engine_terms(read.terms, asset_id=pk, kind=asset.kind)) is not None
    }
    marks = {read.assets[pk].code: mark.price for pk, mark in read.marks.items()}
    return Ground(
        kinds={asset.code: asset.kind for asset in read.assets.values()},
        marks={code: price for code, price in marks.items() if code in terms} | {BASE: ONE},
        terms=terms,
        carried=frozenset(
            read.assets[pk].code
            for pk, mark in read.marks.items()
            if mark.state != Mark.State.VALID
        ),
    )


def _points(
    read: ReadInputs, code: str, held: Sequence[Held], ground: Ground
) -> list[Decimal | None]:
    """Where each would be liquidated: below for who is long, above for who is short."""
    holdings = _holdings(read, {each.scope for each in held})
    found: list[Decimal | None] = []
    for each in held:
        row = read.scopes[each.scope]
        if row.model_key is not None or row.is_group:
            found.append(None)
            continue
        points = points_of(code, holdings[each.scope], ground, row.levels)
        found.append(points.below if each.quantity > 0 else points.above)
    return found


def _holdings(read: ReadInputs, scopes: set[int]) -> Mapping[int, Holding]:
    """Everything these scopes hold and owe."""
    claims: dict[int, dict[str, Decimal]] = {place: {} for place in scopes}
    positions: dict[int, dict[str, Position]] = {place: {} for place in scopes}
    loans = {row.scope: row.amount for row in read.loans}
    for row in read.claims:
        if row.scope in scopes:
            claims[row.scope][read.assets[row.asset_id].code] = row.amount
    for row in read.positions:
        if row.scope in scopes:
            cost = ZERO if row.average_cost is None else row.average_cost
            positions[row.scope][read.assets[row.asset_id].code] = Position(row.amount, cost)
    return {
        place: Holding(claims[place], positions[place], loans.get(place, ZERO)) for place in scopes
    }
