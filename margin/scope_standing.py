"""One scope at one moment: what it holds, how it stands, and where it would be liquidated.

Scopes that are thought of go through the same evaluation as every run.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from typing import Final

from accounts.models import AgreementVersion
from ledger.positions import Position
from margin.asking import AskedMarket, ModelRefusedError
from margin.book.options import (
    NO_OPTION_RULES,
    HeldOption,
    OptionPrice,
    option_rows,
    takes_options,
)
from margin.engine.collateral import CollateralTerms, bends, bends_of_others
from margin.engine.components import Component
from margin.engine.exact import ZERO, exact
from margin.engine.gate import Standing, scope_equity_and_initial
from margin.engine.house_rules import HouseRulesResult, evaluate
from margin.engine.inputs import (
    AssetRow,
    AssetTerms,
    ClaimRow,
    Doubt,
    OptionRow,
    PerpetualTerms,
    PositionRow,
    ScopeRow,
    SurchargeRow,
    house_rules_input,
)
from margin.engine.liquidation_points import (
    DECIMALS,
    Balance,
    LiquidationPoints,
    liquidation_points,
)
from margin.engine.point_search import searched_points
from margin.market.marks import BASE
from margin.model_registry import UsedModel
from margin.portfolio import Charge, charge_rows
from margin.scope_holding import Holding

# Under a model each point is a search: so many assets have theirs, the largest by value.
SEARCHED_MOST: Final = 8
NOTHING: Final = Position(quantity=ZERO, average_cost=ZERO)
SCOPE: Final = "scope"
JUST: Final = Decimal(1).scaleb(-DECIMALS)


@dataclass(frozen=True, slots=True)
class Side:
    """A scope as it stands, or as it would.

    Attributes:
        margin_ratio: maintenance margin over equity; None where equity is not above 0.
        liquidation: by asset the nearest prices at which it would be liquidated, all else held.
        components: the parts of equity and both requirements.
        parameter_set: of the portfolio model that decides; empty under house rules.
        binding: what decided within that model; empty where nothing is required.
    """

    holding: Holding
    equity: Decimal
    initial_margin: Decimal
    maintenance_margin: Decimal
    state: str
    call_amount: Decimal
    flags: tuple[str, ...]
    liquidation: Mapping[str, LiquidationPoints]
    components: tuple[Component, ...]
    parameter_set: str = ""
    binding: str = ""

    @property
    def spare(self) -> Decimal:
        """Equity beyond initial margin; negative where it is short."""
        with exact():
            return self.equity - self.initial_margin

    @property
    def missing(self) -> Decimal:
        """What would restore initial margin; 0 where it is kept."""
        return max(self.spare.copy_negate(), ZERO)

    @property
    def margin_ratio(self) -> Decimal | None:
        if self.equity <= 0:
            return None
        return (self.maintenance_margin / self.equity).quantize(Decimal("0.000001"))


@dataclass(frozen=True, slots=True)
class Ground:
    """Marks and terms by asset code; the currency is worth 1.

    Attributes:
        kinds: what each asset is.
        carried: those whose mark is not valid.
        overridden: those whose mark two people set.
        doubts: what else there is to say of prices.
        crowding: the rate of crowded sides, by code and sign.
        asked: the market that portfolio models are asked about; None where none is.
        options: what options are worth to each side.
    """

    kinds: Mapping[str, str]
    marks: Mapping[str, Decimal]
    terms: Mapping[str, AssetTerms]
    carried: frozenset[str]
    overridden: frozenset[str] = frozenset()
    crowding: Mapping[tuple[str, int], Decimal] = field(default_factory=dict)
    doubts: Mapping[str, Doubt] = field(default_factory=dict)
    asked: AskedMarket | None = None
    options: Mapping[str, OptionPrice] = field(default_factory=dict)

    @property
    def contingencies(self) -> Mapping[str, Decimal]:
        """By asset, the share of value that its doubted price adds."""
        return {code: each.contingency for code, each in self.doubts.items()}


def side_of(
    held: Holding,
    *,
    ground: Ground,
    agreement: AgreementVersion,
    is_cash_account: bool,
    used: UsedModel | None = None,
    has_points: bool = True,
) -> Side:
    """How a scope stands with these holdings on this ground.

    Args:
        used: the portfolio model that decides; house rules where None.
        has_points: whether liquidation points are looked for; where options are held there are
            none, as equity is not linear in a price then.

    Raises:
        ModelRefusedError: the model does not say what it requires.
    """
    charge = None
    if used is not None:
        assert ground.asked is not None, "a model is asked about a market"
        charge = ground.asked.charge(used, held.quantities)
    result = _evaluated(held, ground, agreement, is_cash_account=is_cash_account, charge=charge)
    side = Side(
        holding=held,
        equity=result.equity[0],
        initial_margin=result.initial_margin[0],
        maintenance_margin=result.maintenance_margin[0],
        state=result.state_of(0),
        call_amount=result.call_amount[0],
        flags=tuple(result.flags_of(0)),
        liquidation={},
        components=tuple(result.components.of(0)),
        parameter_set="" if charge is None else str(charge.used.parameter_set),
        binding="" if charge is None else charge.binding,
    )
    if not has_points:
        return side
    if used is not None and any(code in ground.options for code, _ in held.nonzero):
        return side
    if used is not None:
        return replace(side, liquidation=_model_points(side, ground, agreement, used))
    if is_cash_account:
        return side
    codes = sorted(held.assets - {BASE})
    return replace(
        side, liquidation={code: points_of(code, held, ground, agreement) for code in codes}
    )


def _evaluated(
    held: Holding,
    ground: Ground,
    agreement: AgreementVersion,
    *,
    is_cash_account: bool,
    charge: Charge | None,
) -> HouseRulesResult:
    """The scope through the evaluation of a run."""
    rows = held.rows
    first = {code: place for place, (_, code, _) in reversed(list(enumerate(rows)))}
    return evaluate(
        house_rules_input(
            assets=[
                AssetRow(
                    code,
                    ground.terms[code],
                    ground.marks[code],
                    insufficient=code in ground.carried,
                    overridden=code in ground.overridden,
                    doubt=ground.doubts.get(code),
                )
                for code in sorted(ground.marks)
            ],
            scopes=[
                ScopeRow(
                    name=SCOPE,
                    is_cash_account=is_cash_account or charge is not None,
                    loan=held.loan,
                    call_level=agreement.call_level,
                    liquidation_level=agreement.liquidation_level,
                    minimum_transfer_amount=agreement.minimum_transfer_amount,
                )
            ],
            claims=[
                ClaimRow(SCOPE, code, amount, holder)
                for holder, each in held.by_holder
                for code, amount in each.claims.items()
                if amount
            ],
            positions=[
                PositionRow(SCOPE, code, position.quantity, position.average_cost, holder)
                for holder, code, position in rows
            ],
            surcharges=[
                SurchargeRow(SCOPE, first[code], rate)
                for code, quantity in held.nonzero
                if not is_cash_account
                and (rate := ground.crowding.get((code, 1 if quantity > 0 else -1)))
            ],
            charges=[] if charge is None else charge_rows({0: charge}, [SCOPE]),
            options=_options(held, ground, charge),
            currency=BASE,
        )
    )


def _options(held: Holding, ground: Ground, charge: Charge | None) -> list[OptionRow]:
    """What options held are worth, and which of them equity counts beside the model.

    Raises:
        ModelRefusedError: `no_option_rules`.
    """
    rows = [
        HeldOption(place, 0, place, position.quantity)
        for place, (_, code, position) in enumerate(held.rows)
        if code in ground.options
    ]
    if not rows:
        return []
    codes = [code for _, code, _ in held.rows]
    if charge is None:
        detail = f"House rules have no requirement for {codes[rows[0].position]}."
        raise ModelRefusedError(NO_OPTION_RULES, detail)
    counts = takes_options(charge.used)
    return option_rows(
        rows,
        prices={each.asset_id: ground.options[codes[each.asset_id]] for each in rows},
        counts=lambda _: counts,
    )


def balance_at(
    code: str, held: Holding, ground: Ground, agreement: AgreementVersion
) -> Callable[[Decimal], Balance]:
    """Equity of a margined scope and its liquidation level, by the price of one asset."""

    def at(price: Decimal) -> Balance:
        standing = _valued(held, ground, prices={code: price}, is_cash_account=False)
        with exact():
            threshold = agreement.liquidation_level * standing.maintenance_margin
        return Balance(standing.equity, threshold)

    return at


def model_balance_at(
    code: str, held: Holding, ground: Ground, agreement: AgreementVersion, used: UsedModel
) -> Callable[[Decimal], Balance]:
    """The same of a scope under a portfolio model, which is asked at each price.

    Where the model refuses a price, `at` raises ModelRefusedError.
    """
    asked, quantities = ground.asked, held.quantities
    assert asked is not None, "a model is asked about a market"

    def at(price: Decimal) -> Balance:
        equity = _valued(held, ground, prices={code: price}, is_cash_account=True).equity
        charge = asked.moved(prices={code: float(price)}).charge(used, quantities)
        with exact():
            threshold = agreement.liquidation_level * charge.maintenance_margin
        return Balance(equity, threshold)

    return at


def _valued(
    held: Holding, ground: Ground, *, prices: Mapping[str, Decimal], is_cash_account: bool
) -> Standing:
    standing = scope_equity_and_initial(
        claims=held.claims,
        positions={c: (p.quantity, p.average_cost) for c, p in held.positions.items()},
        loan=held.loan,
        is_cash_account=is_cash_account,
        marks={**ground.marks, **prices},
        terms=ground.terms,
        contingencies=ground.contingencies,
    )
    if not held.members:
        return standing
    with exact():
        paid = sum(
            (
                position.quantity * position.average_cost
                for _, code, position in held.rows
                if isinstance(ground.terms[code], PerpetualTerms)
            ),
            ZERO,
        )
        return standing._replace(equity=standing.equity - paid)


def _model_points(
    side: Side, ground: Ground, agreement: AgreementVersion, used: UsedModel
) -> dict[str, LiquidationPoints]:
    """Points of the largest holdings; of an asset whose moves the model refuses, none."""
    held = side.holding
    with exact():
        now = Balance(side.equity, agreement.liquidation_level * side.maintenance_margin)

        def value(code: str) -> Decimal:
            quantity = held.positions.get(code, NOTHING).quantity + held.claims.get(code, ZERO)
            return abs(quantity) * ground.marks[code]

        largest = sorted(held.assets - {BASE}, key=lambda code: (-value(code), code))
    points = {}
    for code in sorted(largest[:SEARCHED_MOST]):
        at = model_balance_at(code, held, ground, agreement, used)
        try:
            points[code] = searched_points(at, price=ground.marks[code], now=now)
        except ModelRefusedError:
            continue
    return points


def points_of(
    code: str, held: Holding, ground: Ground, agreement: AgreementVersion
) -> LiquidationPoints:
    """The nearest prices of one asset at which equity is the liquidation level of maintenance."""
    terms, size = ground.terms[code], abs(held.positions.get(code, NOTHING).quantity)
    floors = terms.maintenance.floors if isinstance(terms, PerpetualTerms) and size else ()
    return liquidation_points(
        balance_at(code, held, ground, agreement),
        price=ground.marks[code],
        bends=[
            *(_bend(floor, size) for floor in floors if floor),
            *money_bends(code, held, ground),
        ],
    )


def money_bends(code: str, held: Holding, ground: Ground) -> list[Decimal]:
    """Prices of money at which a tier, a concentration or a peg bends what money counts for."""
    amount, terms = held.claims.get(code, ZERO), ground.terms[code]
    if amount <= 0:
        return []
    with exact():
        values = {c: a * ground.marks[c] for c, a in held.claims.items() if a > 0 and c != code}
        rest = sum(values.values(), ZERO)
        others = [
            (value, found)
            for c, value in values.items()
            if isinstance(found := ground.terms[c], CollateralTerms)
        ]
        quotients = list(bends_of_others(amount, rest=rest, others=others))
        steps: list[Decimal] = []
        if isinstance(terms, CollateralTerms):
            quotients += bends(amount, rest=rest, terms=terms)
            # What counts jumps where a peg is lost: just below it is a bend of its own.
            steps = [p for tier in terms.peg for p in (tier.below, tier.below - JUST)]
    return steps + [_bend(above, below) for above, below in quotients if above > 0]


def _bend(floor: Decimal, size: Decimal) -> Decimal:
    """The price at which something of this size reaches a floor."""
    unit = 10**DECIMALS
    with exact():
        return Decimal(round(Fraction(floor) / Fraction(size) * unit)).scaleb(-DECIMALS)
