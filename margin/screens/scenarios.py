"""What a scope would be if prices moved: equity less initial margin over two shocks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from accounts.figures import WIDE, grouped, plain
from accounts.states import STATES
from margin.book import BASE
from margin.engine.components import HAIRCUTS, ComponentKind
from margin.engine.exact import ONE, ZERO, exact
from margin.engine.house_rules import evaluate
from margin.engine.inputs import (
    AssetRow,
    AssetTerms,
    ClaimRow,
    Doubt,
    HouseRulesInput,
    MoneyTerms,
    PositionRow,
    ScopeRow,
    house_rules_input,
)
from margin.explanation import StoredPart, stored_parts
from margin.levels import terms_of
from margin.models import MarginResult
from margin.parameters import engine_terms
from margin.terms import terms_in_force

DOWN = tuple(Decimal(step) / 100 for step in (10, 5, 0, -5, -10, -20))
ACROSS = tuple(Decimal(step) / 100 for step in (-30, -20, -10, 0, 10, 20, 30))
LETTERS = {"BELOW_INITIAL": "B", "CALL": "C", "LIQUIDATE": "L", "DEFICIT": "D"}
THOUSAND = Decimal(1000)


@dataclass(frozen=True)
class Cell:
    """A scenario: what is spare or missing in thousands, and the state it leads to."""

    figure: Decimal
    tone: str
    letter: str
    word: str
    is_now: bool

    @property
    def value(self) -> str:
        """All digits, for machines."""
        return plain(self.figure)

    @property
    def text(self) -> str:
        """One decimal; without the red of a negative number, which the cell's colour replaces."""
        return grouped(self.figure, decimals=1)


@dataclass(frozen=True)
class ScenarioTable:
    """Scenarios down and across, and which assets move together."""

    down: str
    across: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    currency: str


@dataclass(frozen=True)
class Standing:
    """What a scope holds, as the run read it."""

    claims: Mapping[str, Decimal]
    positions: Mapping[str, tuple[Decimal, Decimal]]
    marks: Mapping[str, Decimal]
    terms: Mapping[str, AssetTerms]
    loan: Decimal
    is_cash_account: bool
    contingencies: Mapping[str, Decimal] = field(default_factory=dict)


def scenario_table(result: MarginResult) -> ScenarioTable | None:
    """The table of a scope with at least one price at risk; None where nothing can move, of a
    group, and where a portfolio model decides.

    The largest position moves down the table, everything else across; where an asset and its
    perpetual are both held they move together.
    """
    if result.parameter_set_id is not None:
        return None  # a portfolio model has scenarios of its own
    parts = stored_parts(result)
    if any(part.holder for part in parts):
        return None  # a group holds an asset more than once; what-if says how it would stand
    standing = standing_of(result, parts)
    groups = moving_groups(standing)
    if not groups:
        return None
    down = groups[0]
    across = tuple(name for group in groups[1:] for name in group)
    cells = evaluated(result, standing, down=down, across=across)
    has_rows = bool(across)
    steps = DOWN if has_rows else (ZERO,)
    held = across or down
    rows = tuple(
        (
            percent(step) if has_rows else "Result",
            tuple(cells[place * len(ACROSS) : (place + 1) * len(ACROSS)]),
        )
        for place, step in enumerate(steps)
    )
    return ScenarioTable(
        down=" and ".join(down) if has_rows else "",
        across=" and ".join(held),
        head=tuple(percent(step) for step in ACROSS),
        rows=rows,
        currency=result.agreement_version.currency,
    )


def standing_of(result: MarginResult, parts: Sequence[StoredPart]) -> Standing:
    """Claims, positions, marks and terms behind the stored parts of equity."""
    claims: dict[str, Decimal] = {}
    positions: dict[str, tuple[Decimal, Decimal]] = {}
    marks: dict[str, Decimal] = {BASE: ONE}
    terms: dict[str, AssetTerms] = {BASE: MoneyTerms(ZERO)}
    contingencies: dict[str, Decimal] = {}
    loan = ZERO
    in_force = terms_in_force(result.run.business_day)
    for part in parts:
        said, asset = part.component, part.row.asset
        if said.kind in (ComponentKind.IM_DOUBT, ComponentKind.IM_DOUBT_MONEY):
            contingencies[said.asset] = said.rate or ZERO
        if said.total != "equity" or said.kind in HAIRCUTS:
            continue
        assert asset is not None, "every part of equity is of an asset"
        if said.kind == ComponentKind.LOAN:
            loan = said.quantity
            continue
        marks[asset.code] = said.price
        found = engine_terms(in_force, asset_id=asset.pk, kind=asset.kind)
        assert found is not None, "a part was computed under terms"
        terms[asset.code] = found
        if said.kind == ComponentKind.MONEY_CLAIM:
            claims[asset.code] = said.quantity
        else:
            positions[asset.code] = (said.quantity, said.average_cost or ZERO)
    account = result.scope.bucket.account if result.scope.bucket else None
    return Standing(
        claims=claims,
        positions=positions,
        marks=marks,
        terms=terms,
        loan=loan,
        is_cash_account=account is not None and account.mode == "cash",
        contingencies=contingencies,
    )


def moving_groups(standing: Standing) -> list[tuple[str, ...]]:
    """Names that move together, the group with the greatest value at risk first.

    BTC and BTC-PERP are one group: a perpetual follows what its name begins with.
    """
    values: dict[str, Decimal] = {}
    names: dict[str, list[str]] = {}
    for name in sorted({*standing.positions, *standing.claims} - {BASE}):
        held = standing.claims.get(name, ZERO) or standing.positions.get(name, (ZERO, ZERO))[0]
        root = name.removesuffix("-PERP")
        value = WIDE.multiply(abs(held), standing.marks[name])
        values[root] = WIDE.add(values.get(root, ZERO), value)
        names.setdefault(root, []).append(name)
    roots = sorted(values, key=lambda root: (-values[root], root))
    if len(roots) > 1:  # the greatest risk goes across, where the shocks are larger
        roots[:2] = [roots[1], roots[0]]
    return [tuple(names[root]) for root in roots]


def evaluated(
    result: MarginResult, standing: Standing, *, down: Sequence[str], across: Sequence[str]
) -> list[Cell]:
    """Every scenario, row by row, computed by the engine in one go: one scope for each.

    All prices are taken as valid, so nothing is held at Call.
    """
    scenarios = [
        dict.fromkeys(across or down, step) | (dict.fromkeys(down, by) if across else {})
        for by in (DOWN if across else (ZERO,))
        for step in ACROSS
    ]
    said = evaluate(scenario_input(result, standing, scenarios))
    return [
        cell(
            state=said.state_of(place),
            spare=WIDE.subtract(said.equity[place], said.initial_margin[place]),
            is_now=not any(shocks.values()),
        )
        for place, shocks in enumerate(scenarios)
    ]


def scenario_input(
    result: MarginResult, standing: Standing, scenarios: Sequence[Mapping[str, Decimal]]
) -> HouseRulesInput:
    """The same holdings once per scenario; each has assets, and so marks, of its own."""
    agreement = terms_of(result)
    places = range(len(scenarios))

    def own(asset: str, place: int) -> str:
        return asset if asset == BASE else f"{asset} {place}"

    with exact():
        assets = [
            AssetRow(
                own(asset, place),
                standing.terms[asset],
                price * (ONE + shocks.get(asset, ZERO)),
                doubt=Doubt("", waits=False, contingency=standing.contingencies.get(asset, ZERO)),
            )
            for place, shocks in enumerate(scenarios)
            for asset, price in standing.marks.items()
            if asset != BASE
        ]
    return house_rules_input(
        assets=[AssetRow(BASE, standing.terms[BASE], ONE), *assets],
        scopes=[
            ScopeRow(
                name=str(place),
                is_cash_account=standing.is_cash_account,
                loan=standing.loan,
                call_level=agreement.call_level,
                liquidation_level=agreement.liquidation_level,
                minimum_transfer_amount=agreement.minimum_transfer_amount,
            )
            for place in places
        ],
        claims=[
            ClaimRow(str(place), own(asset, place), amount)
            for place in places
            for asset, amount in standing.claims.items()
        ],
        positions=[
            PositionRow(str(place), own(asset, place), quantity, cost)
            for place in places
            for asset, (quantity, cost) in standing.positions.items()
        ],
        currency=BASE,
    )


def cell(*, state: str, spare: Decimal, is_now: bool) -> Cell:
    """A scenario as its cell shows it."""
    shown = STATES["margin"][state]
    return Cell(
        figure=WIDE.divide(spare, THOUSAND),
        tone=shown.tone,
        letter=LETTERS.get(state, ""),
        word=shown.word,
        is_now=is_now,
    )


def percent(step: Decimal) -> str:
    """A step as a head: 0.1 is "+10 %"."""
    return f"{grouped((step * 100).normalize(WIDE), sign=True)}\N{NO-BREAK SPACE}%"
