"""Small firms for the engine's tests, and the strategies that draw them."""

from decimal import Decimal

from hypothesis import strategies as st

from margin.engine.house_rules import HouseRulesResult, evaluate
from margin.engine.inputs import (
    AssetRow,
    Bracket,
    ClaimRow,
    HouseRulesInput,
    MoneyTerms,
    PositionRow,
    ScopeRow,
    SecurityTerms,
    house_rules_input,
    perpetual_terms,
)

D = Decimal

BRACKETS = [
    Bracket(D(0), D("0.10"), D("0.05")),
    Bracket(D(50_000), D("0.20"), D("0.10")),
    Bracket(D(250_000), D("0.50"), D("0.25")),
]
USD = AssetRow("USD", MoneyTerms(D(0)), D(1))
BTC = AssetRow("BTC", MoneyTerms(D("0.20")), D("7691.335"))
SPY = AssetRow("SPY", SecurityTerms(D("0.50"), D("0.25")), D("262.05"))
IBM = AssetRow("IBM", SecurityTerms(D("0.50"), D("0.25")), D("155.33995"))
PERP = AssetRow("BTC-PERP", perpetual_terms(BRACKETS), D(9000))
ASSETS = [USD, BTC, SPY, IBM, PERP]

MONEY = ("USD", "BTC")
INSTRUMENTS = ("SPY", "IBM", "BTC-PERP")


def scope(name: str, **changes: object) -> ScopeRow:
    """A margined scope without loan, called at 1 and liquidated at 0.5 of maintenance."""
    row = ScopeRow(
        name=name,
        is_cash_account=False,
        loan=D(0),
        call_level=D(1),
        liquidation_level=D("0.5"),
        minimum_transfer_amount=D(100),
    )
    return row._replace(**changes)


def one_scope(
    *,
    usd: str = "0",
    positions: list[tuple[str, str, str]] | None = None,
    claims: list[tuple[str, str]] | None = None,
    assets: list[AssetRow] = ASSETS,
    **changes: object,
) -> HouseRulesResult:
    """The result of one scope; positions as (asset, quantity, average cost)."""
    return evaluate(
        house_rules_input(
            assets=assets,
            scopes=[scope("A/FREE", **changes)],
            claims=[
                ClaimRow("A/FREE", asset, D(amount))
                for asset, amount in [("USD", usd), *(claims or [])]
            ],
            positions=[
                PositionRow("A/FREE", asset, D(quantity), D(cost))
                for asset, quantity, cost in positions or []
            ],
        )
    )


def numbers(low: str, high: str, places: int) -> st.SearchStrategy[Decimal]:
    return st.decimals(low, high, places=places, allow_nan=False, allow_infinity=False)


@st.composite
def rows(draw: st.DrawFn) -> dict[str, list]:
    """Rows of a firm of up to five scopes, with marks, levels and balances of every kind."""
    assets = [
        asset if asset is USD else asset._replace(
            mark=draw(numbers("0.01", "20000", 5)), insufficient=draw(st.booleans())
        )
        for asset in ASSETS
    ]  # fmt: skip
    names = [f"A{n}/FREE" for n in range(draw(st.integers(1, 5)))]
    scopes = [
        ScopeRow(
            name=name,
            is_cash_account=draw(st.booleans()),
            loan=draw(st.sampled_from([D(0), D("1234.56")])),
            call_level=draw(st.sampled_from([D(1), D("1.2")])),
            liquidation_level=draw(st.sampled_from([D("0.5"), D("0.8")])),
            minimum_transfer_amount=draw(st.sampled_from([D(0), D(100), D(2500)])),
        )
        for name in names
    ]
    claims = [
        ClaimRow(name, asset, draw(numbers("0", "100000", 8)))
        for name in names
        for asset in MONEY
        if draw(st.booleans())
    ]
    positions = [
        PositionRow(
            name,
            asset,
            draw(numbers("-100" if asset == "BTC-PERP" else "0", "100", 4)),
            draw(numbers("0.01", "20000", 8)),
        )
        for name in names
        for asset in INSTRUMENTS
        if draw(st.booleans())
    ]
    return {"assets": assets, "scopes": scopes, "claims": claims, "positions": positions}


def firms() -> st.SearchStrategy[HouseRulesInput]:
    return rows().map(lambda drawn: house_rules_input(**drawn))
