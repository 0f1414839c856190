"""What several accounts hold of one scope: requirements of the sum, equity of each."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from margin.engine.house_rules import HouseRulesResult, evaluate
from margin.engine.inputs import (
    AssetRow,
    Bracket,
    ClaimRow,
    MoneyTerms,
    PositionRow,
    ScopeRow,
    SecurityTerms,
    house_rules_input,
    perpetual_terms,
)

D = Decimal
Row = tuple[Decimal, Decimal, Decimal, Decimal]
BRACKETS = perpetual_terms([
    Bracket(D(0), D("0.10"), D("0.05")), Bracket(D(5000), D("0.20"), D("0.10")),
])  # fmt: skip
ASSETS = [
    AssetRow("PERP", BRACKETS, D(100)),
    AssetRow("SHARE", SecurityTerms(D("0.5"), D("0.3")), D(40)),
    AssetRow("USD", MoneyTerms(D(0)), D(1)),
]
quantities = st.integers(-200, 200).map(lambda n: D(n) / 10)
holders = st.lists(
    st.tuples(quantities, st.integers(1, 300).map(D), quantities, st.integers(0, 9000).map(D)),
    min_size=1, max_size=5,
)  # fmt: skip


def evaluated(rows: list[Row], *, scope: str, apart: bool) -> HouseRulesResult:
    """Each holder a scope of its own, or all of them one."""
    names = [f"{scope}{n}" if apart else scope for n in range(len(rows))]
    return evaluate(
        house_rules_input(
            assets=ASSETS,
            scopes=[
                ScopeRow(name, False, D(0), D(1), D("0.8"), D(0)) for name in dict.fromkeys(names)
            ],
            claims=[
                ClaimRow(name, "USD", money, str(n))
                for n, (name, (*_, money)) in enumerate(zip(names, rows, strict=True))
            ],
            positions=[
                PositionRow(name, asset, quantity, cost, str(n))
                for n, (name, (perps, cost, shares, _)) in enumerate(zip(names, rows, strict=True))
                for asset, quantity in (("PERP", perps), ("SHARE", shares))
            ],
        )
    )


@given(holders)
def test_a_group_is_required_of_the_sum_and_has_what_each_has(
    rows: list[Row],
) -> None:
    together, apart = (evaluated(rows, scope="G", apart=each) for each in (False, True))
    assert together.equity[0] == sum(apart.equity, D(0))
    perps = sum((row[0] for row in rows), D(0))
    shares = sum((row[2] for row in rows), D(0))
    one = evaluated([(perps, D(1), shares, D(0))], scope="G", apart=False)
    assert together.initial_margin[0] == one.initial_margin[0]
    assert together.maintenance_margin[0] == one.maintenance_margin[0]


@given(st.integers(1, 40).map(D))
def test_a_hedge_in_another_account_needs_less_than_apart(size: Decimal) -> None:
    rows = [(size, D(90), D(0), D(0)), (-size, D(110), D(0), D(0))]
    together, apart = (evaluated(rows, scope="G", apart=each) for each in (False, True))
    assert together.initial_margin[0] == 0 < sum(apart.initial_margin, D(0))
    assert together.equity[0] == size * 20 == sum(apart.equity, D(0))
