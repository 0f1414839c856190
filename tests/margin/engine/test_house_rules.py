"""House rules v1: the worked example, every edge of every rule, and the laws."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from margin.engine.brackets import RateSchedule
from margin.engine.components import TOTAL_OF, TOTALS, ComponentKind
from margin.engine.exact import exact
from margin.engine.hashing import inputs_hash, parameters_hash, result_hash
from margin.engine.house_rules import HouseRulesResult, check_components, evaluate
from margin.engine.inputs import (
    AssetRow,
    ClaimRow,
    HouseRulesInput,
    InputError,
    MoneyTerms,
    PerpetualTerms,
    PositionRow,
    SecurityTerms,
    house_rules_input,
)
from margin.engine.states import State
from tests.margin.engine.firm import (
    ASSETS,
    BTC,
    IBM,
    PERP,
    SPY,
    USD,
    firms,
    one_scope,
    rows,
    scope,
)

D = Decimal


def figures(result: HouseRulesResult, of: int = 0) -> tuple[Decimal, Decimal, Decimal]:
    return result.equity[of], result.initial_margin[of], result.maintenance_margin[of]


def verdict(result: HouseRulesResult, of: int = 0) -> tuple[str, str, list[str]]:
    return result.state_of(of), format(result.call_amount[of], "f"), result.flags_of(of)


def test_worked_example() -> None:
    perp = PERP._replace(insufficient=True)
    result = evaluate(
        house_rules_input(
            assets=[USD, SPY, perp],
            scopes=[scope("A1/ISO-BTC-PERP"), scope("A2/FREE", loan=D("23000.00"))],
            claims=[ClaimRow("A2/FREE", "USD", D("2500.00"))],
            positions=[PositionRow("A2/FREE", "SPY", D(100), D(275))],
        )
    )
    assert figures(result, 0) == (0, 0, 0)
    assert verdict(result, 0) == ("OK", "0.00", [])
    assert figures(result, 1) == (D(5705), D("13102.50"), D("6551.25"))
    assert verdict(result, 1) == ("CALL", "7397.50", [])


def test_equity_counts_each_kind_by_its_rule() -> None:
    result = one_scope(
        usd="1000.10",
        claims=[("BTC", "0.5")],
        positions=[("SPY", "10", "1"), ("BTC-PERP", "-2", "9500.00000001")],
        loan=D("300.01"),
    )
    # 1000.10 + 0.5 x 7691.335 x 0.8 + 10 x 262.05 - 2 x (9000 - 9500.00000001) - 300.01
    assert figures(result) == (
        D("1000.10") + D("3076.534") + D("2620.5") + D("1000.00000002") - D("300.01"),
        D("1310.25") + D("1800"),
        D("655.125") + D("900"),
    )


def test_a_short_and_a_long_of_one_size_are_charged_the_same() -> None:
    long = one_scope(usd="1000", positions=[("BTC-PERP", "10", "9000")])
    short = one_scope(usd="1000", positions=[("BTC-PERP", "-10", "9000")])
    assert figures(long) == figures(short) == (D(1000), D(13_000), D(6_500))


def test_a_cash_account_is_charged_nothing() -> None:
    held = [("SPY", "10", "1"), ("BTC-PERP", "1", "8000")]
    result = one_scope(usd="5", positions=held, is_cash_account=True)
    assert figures(result) == (D("3625.5"), 0, 0)
    assert {part.total for part in result.components.of(0)} == {"equity"}
    charged = one_scope(usd="5", positions=held)
    assert charged.initial_margin[0] == D("2210.25")


def test_a_cash_account_in_debt_is_called_for_all_of_it() -> None:
    result = one_scope(usd="5", loan=D("205.01"), is_cash_account=True)
    assert verdict(result) == ("DEFICIT", "200.01", [])


# Ten SPY at 262.05: initial 1310.25, maintenance 655.125; equity is set by the loan.
VALUE = D("2620.50")


def at_equity(equity: str, **changes: object) -> tuple[str, str, list[str]]:
    with exact():
        loan = VALUE - D(equity)
    return verdict(one_scope(positions=[("SPY", "10", "1")], loan=loan, **changes))


@pytest.mark.parametrize(
    ("equity", "state", "call"),
    [
        ("1310.25", "OK", "0.00"),
        ("1310.2499999999", "BELOW_INITIAL", "0.00"),
        ("655.125", "BELOW_INITIAL", "0.00"),
        ("655.1249999999", "CALL", "655.13"),
        ("327.5625", "CALL", "982.69"),
        ("327.5624999999", "LIQUIDATE", "982.69"),
        ("0", "LIQUIDATE", "1310.25"),
        ("-0.0000000001", "DEFICIT", "1310.26"),
    ],
)
def test_each_state_begins_exactly_at_its_level(equity: str, state: str, call: str) -> None:
    assert at_equity(equity) == (state, call, [])


@pytest.mark.parametrize(
    ("equity", "state"),
    [("786.15", "BELOW_INITIAL"), ("786.1499", "CALL"), ("524.1", "CALL"), ("524.0", "LIQUIDATE")],
)
def test_the_levels_are_those_of_the_agreement(equity: str, state: str) -> None:
    assert at_equity(equity, call_level=D("1.2"), liquidation_level=D("0.8"))[0] == state


@pytest.mark.parametrize(
    ("minimum", "call", "flags"),
    [
        ("655.13", "655.13", []),
        ("655.14", "0.00", ["below_mta"]),
        ("655.125", "655.13", []),
        ("0", "655.13", []),
    ],
)
def test_a_call_of_exactly_the_minimum_transfer_amount_is_made(
    minimum: str, call: str, flags: list[str]
) -> None:
    # Missing 655.125 and a little: the rounded amount, 655.13, is what is compared.
    answer = at_equity("655.1249999999", minimum_transfer_amount=D(minimum))
    assert answer == ("CALL", call, flags)


def test_a_call_is_rounded_up_only_if_something_is_left_over() -> None:
    assert at_equity("655.12")[1] == "655.13"
    assert at_equity("655.11999999999999999999999999999999")[1] == "655.14"


@pytest.mark.parametrize("equity", ["200", "-200"], ids=["LIQUIDATE", "DEFICIT"])
def test_nothing_is_liquidated_on_a_carried_mark(equity: str) -> None:
    carried = [USD, BTC, SPY._replace(insufficient=True), IBM, PERP]
    state, call, flags = at_equity(equity, assets=carried)
    assert (state, flags) == ("CALL", ["insufficient_mark"])
    assert call == at_equity(equity)[1], "the call is for the same amount"


def test_a_carried_mark_flags_a_scope_that_is_well() -> None:
    carried = [USD, BTC._replace(insufficient=True), SPY, IBM, PERP]
    held = one_scope(usd="1", claims=[("BTC", "0.00000001")], assets=carried)
    assert verdict(held) == ("OK", "0.00", ["insufficient_mark"])
    cash = one_scope(claims=[("BTC", "1")], assets=carried, is_cash_account=True)
    assert verdict(cash) == ("OK", "0.00", ["insufficient_mark"])
    not_held = one_scope(usd="1", claims=[("BTC", "0")], assets=carried)
    assert verdict(not_held) == ("OK", "0.00", [])


def test_a_flat_position_in_a_carried_mark_flags_nothing() -> None:
    carried = [USD, BTC, SPY, IBM, PERP._replace(insufficient=True)]
    flat = one_scope(usd="1", positions=[("BTC-PERP", "0", "0")], assets=carried)
    assert verdict(flat) == ("OK", "0.00", [])
    held = one_scope(usd="9999", positions=[("BTC-PERP", "-0.0001", "1")], assets=carried)
    assert verdict(held) == ("OK", "0.00", ["insufficient_mark"])


def test_both_flags_are_listed_in_order() -> None:
    carried = [USD, BTC, SPY._replace(insufficient=True), IBM, PERP]
    answer = at_equity("200", assets=carried, minimum_transfer_amount=D(2500))
    assert answer == ("CALL", "0.00", ["below_mta", "insufficient_mark"])


def test_a_firm_without_scopes_or_balances_is_no_error() -> None:
    assert len(evaluate(house_rules_input(assets=[USD], scopes=[])).equity) == 0
    empty = evaluate(house_rules_input(assets=ASSETS, scopes=[scope("A/FREE")]))
    assert figures(empty) == (0, 0, 0)
    assert verdict(empty) == ("OK", "0.00", [])


A = scope("A/FREE")
REFUSED = {
    "a scope twice": ("name_is_listed_once", {"scopes": [A, A]}),
    "an asset twice": ("name_is_listed_once", {"assets": [*ASSETS, USD]}),
    "a claim twice": (
        "balance_is_listed_once",
        {"claims": [ClaimRow("A/FREE", "USD", D(1)), ClaimRow("A/FREE", "USD", D(2))]},
    ),
    "a position twice": (
        "balance_is_listed_once",
        {"positions": [PositionRow("A/FREE", "SPY", D(1), D(1))] * 2},
    ),
    "an unknown scope": ("name_is_known", {"claims": [ClaimRow("B/FREE", "USD", D(1))]}),
    "an unknown asset": ("name_is_known", {"claims": [ClaimRow("A/FREE", "EUR", D(1))]}),
    "a claim of shares": ("claim_is_money", {"claims": [ClaimRow("A/FREE", "SPY", D(1))]}),
    "a position in money": (
        "position_is_an_instrument",
        {"positions": [PositionRow("A/FREE", "BTC", D(1), D(1))]},
    ),
    "a negative loan": ("loan_is_not_negative", {"scopes": [scope("A/FREE", loan=D(-1))]}),
    "a dollar that is not one": ("currency_is_one", {"assets": [USD._replace(mark=D(2))]}),
    "a dollar in doubt": ("currency_is_one", {"assets": [USD._replace(insufficient=True)]}),
    "no currency": ("name_is_known", {"assets": [BTC, SPY]}),
}


@pytest.mark.parametrize(("rule", "changes"), REFUSED.values(), ids=REFUSED.keys())
def test_rows_that_say_nothing_clear_are_refused(rule: str, changes: dict) -> None:
    permitted = {"assets": ASSETS, "scopes": [A], "claims": [], "positions": []}
    assert house_rules_input(**permitted).scopes == ("A/FREE",)
    with pytest.raises(InputError) as refused:
        house_rules_input(**permitted | changes)
    assert refused.value.rule == rule


@pytest.mark.parametrize("strange", [D("NaN"), D("Infinity"), 1.5, None])
def test_what_is_no_exact_number_is_refused(strange: object) -> None:
    with pytest.raises(ValueError, match="not an exact number"):
        house_rules_input(assets=[USD, SPY._replace(mark=strange)], scopes=[A])


def test_components_that_do_not_add_up_are_noticed() -> None:
    result = one_scope(usd="5", positions=[("SPY", "1", "1")])
    check_components(result)
    wrong = replace(result, equity=result.equity + D("0.00000001"))
    with pytest.raises(AssertionError, match="equity"):
        check_components(wrong)


def test_components_name_what_they_were_made_from() -> None:
    result = one_scope(
        usd="5", positions=[("BTC-PERP", "-10", "9500"), ("SPY", "2", "1")], loan=D(3)
    )
    told = {part.kind: (part.asset, part.amount, part.terms()) for part in result.components.of(0)}
    assert told[ComponentKind.PERPETUAL_UNREALISED] == (
        "BTC-PERP",
        D(5000),
        {"quantity": "-10", "price": "9000", "average_cost": "9500"},
    )
    assert told[ComponentKind.IM_PERPETUAL] == (
        "BTC-PERP",
        D(13_000),
        {
            "quantity": "-10",
            "price": "9000",
            "rate": "0.2",
            "deduction": "5000",
            "bracket": "1",
        },
    )
    assert told[ComponentKind.LOAN] == ("USD", D(-3), {"quantity": "3", "price": "1"})
    rows_of = {part.kind: part.row for part in result.components.of(0)}
    assert rows_of[ComponentKind.IM_PERPETUAL] == 0
    assert rows_of[ComponentKind.MM_SECURITY] == 1


# An oracle in fractions, one scope at a time, written from the text of the rules.


def required_by(schedule: RateSchedule, notional: Fraction) -> Fraction:
    k = max(k for k, floor in enumerate(schedule.floors) if floor <= notional)
    return notional * Fraction(schedule.rates[k]) - Fraction(schedule.deductions[k])


def expected_figures(drawn: dict, of: int) -> tuple[Fraction, Fraction, Fraction]:
    one = drawn["scopes"][of]
    asset_of = {asset.name: asset for asset in drawn["assets"]}
    equity, initial, maintenance = -Fraction(one.loan), Fraction(0), Fraction(0)
    for claim in drawn["claims"]:
        if claim.scope == one.name:
            asset = asset_of[claim.asset]
            haircut = Fraction(asset.terms.haircut)
            equity += Fraction(claim.amount) * Fraction(asset.mark) * (1 - haircut)
    for held in drawn["positions"]:
        if held.scope != one.name:
            continue
        terms, mark = asset_of[held.asset].terms, Fraction(asset_of[held.asset].mark)
        quantity = Fraction(held.quantity)
        if isinstance(terms, SecurityTerms):
            equity += quantity * mark
            initial += quantity * mark * Fraction(terms.initial_rate)
            maintenance += quantity * mark * Fraction(terms.maintenance_rate)
        else:
            equity += quantity * (mark - Fraction(held.average_cost))
            initial += required_by(terms.initial, abs(quantity) * mark)
            maintenance += required_by(terms.maintenance, abs(quantity) * mark)
    if one.is_cash_account:
        initial = maintenance = Fraction(0)
    return equity, initial, maintenance


def expected_verdict(drawn: dict, of: int) -> tuple[str, Fraction, list[str]]:
    one, (equity, initial, maintenance) = drawn["scopes"][of], expected_figures(drawn, of)
    carried = {asset.name for asset in drawn["assets"] if asset.insufficient}
    held = {row.asset for row in drawn["claims"] if row.scope == one.name and row.amount}
    held |= {row.asset for row in drawn["positions"] if row.scope == one.name and row.quantity}
    if equity < 0:
        state = "DEFICIT"
    elif equity >= initial:
        state = "OK"
    elif equity >= Fraction(one.call_level) * maintenance:
        state = "BELOW_INITIAL"
    elif equity >= Fraction(one.liquidation_level) * maintenance:
        state = "CALL"
    else:
        state = "LIQUIDATE"
    flags = []
    if held & carried:
        flags = ["insufficient_mark"]
        state = "CALL" if state in ("LIQUIDATE", "DEFICIT") else state
    call = Fraction(0)
    if state in ("CALL", "LIQUIDATE", "DEFICIT"):
        cents = (initial - equity) * 100
        call = Fraction(-(-cents.numerator // cents.denominator), 100)
        if call < Fraction(one.minimum_transfer_amount):
            call, flags = Fraction(0), ["below_mta", *flags]
    return state, call, flags


@given(rows())
def test_every_scope_is_as_the_rules_say(drawn: dict) -> None:
    result = evaluate(house_rules_input(**drawn))
    for of in range(len(drawn["scopes"])):
        assert tuple(map(Fraction, figures(result, of))) == expected_figures(drawn, of)
        state, call, flags = verdict(result, of)
        assert (state, Fraction(call), flags) == expected_verdict(drawn, of)


@given(firms())
def test_the_parts_add_up_to_every_total(inputs: HouseRulesInput) -> None:
    result = evaluate(inputs)
    for of in range(len(result.scopes)):
        for total in TOTALS:
            parts = [part.amount for part in result.components.of(of) if part.total == total]
            assert sum(map(Fraction, parts)) == Fraction(getattr(result, total)[of])
    assert {TOTAL_OF[kind] for kind in ComponentKind} == set(TOTALS)


@given(rows(), st.randoms())
def test_the_order_of_rows_changes_nothing(drawn: dict, random: object) -> None:
    inputs = house_rules_input(**drawn)
    shuffled = {name: list(listed) for name, listed in drawn.items()}
    for listed in shuffled.values():
        random.shuffle(listed)  # type: ignore[attr-defined]
    other = house_rules_input(**shuffled)
    result, again = evaluate(inputs), evaluate(other)
    for of, name in enumerate(result.scopes):
        place = again.scopes.index(name)
        assert figures(again, place) == figures(result, of)
        assert verdict(again, place) == verdict(result, of)
    assert inputs_hash(other) == inputs_hash(inputs)
    assert parameters_hash(other) == parameters_hash(inputs)
    assert result_hash(again) == result_hash(result)


def doubled(drawn: dict) -> dict:
    """The same firm in coins of half the worth: every amount of currency is twice as large."""

    def schedule(one: RateSchedule) -> RateSchedule:
        return replace(
            one,
            floors=tuple(2 * floor for floor in one.floors),
            deductions=tuple(2 * deduction for deduction in one.deductions),
        )

    def asset(row: AssetRow) -> AssetRow:
        if isinstance(row.terms, PerpetualTerms):
            terms = PerpetualTerms(schedule(row.terms.initial), schedule(row.terms.maintenance))
            return row._replace(terms=terms)
        return row

    return {
        "assets": [asset(row) for row in drawn["assets"]],
        "scopes": [
            row._replace(loan=2 * row.loan, minimum_transfer_amount=2 * row.minimum_transfer_amount)
            for row in drawn["scopes"]
        ],
        "claims": [row._replace(amount=2 * row.amount) for row in drawn["claims"]],
        "positions": [row._replace(quantity=2 * row.quantity) for row in drawn["positions"]],
    }


@given(rows())
def test_twice_of_everything_needs_twice_the_margin(drawn: dict) -> None:
    result = evaluate(house_rules_input(**drawn))
    twice = evaluate(house_rules_input(**doubled(drawn)))
    with exact():
        assert (twice.equity == 2 * result.equity).all()
        assert (twice.initial_margin == 2 * result.initial_margin).all()
        assert (twice.maintenance_margin == 2 * result.maintenance_margin).all()
    if (result.below_mta == twice.below_mta).all():
        assert (twice.states == result.states).all()


@given(rows(), st.decimals("0.01", "100000", places=2))
def test_more_money_never_makes_a_scope_worse(drawn: dict, more: Decimal) -> None:
    before = evaluate(house_rules_input(**drawn))
    repaid = [row._replace(loan=D(0)) for row in drawn["scopes"]]
    added = {(row.scope, row.asset): row for row in drawn["claims"]}
    for row in repaid:
        old = added.get((row.name, "USD"), ClaimRow(row.name, "USD", D(0)))
        added[row.name, "USD"] = old._replace(amount=old.amount + more)
    richer = drawn | {"scopes": repaid, "claims": list(added.values())}
    after = evaluate(house_rules_input(**richer))
    assert (after.states <= before.states).all()
    assert (after.equity > before.equity).all()


@given(firms())
def test_initial_margin_covers_maintenance(inputs: HouseRulesInput) -> None:
    result = evaluate(inputs)
    assert (result.initial_margin >= result.maintenance_margin).all()
    assert (result.maintenance_margin >= 0).all()
    called = result.states >= State.CALL
    assert (result.call_amount[~called] == 0).all()
    assert not (result.below_mta & (result.call_amount != 0)).any()


@given(rows())
def test_a_scope_is_computed_the_same_alone_as_among_others(drawn: dict) -> None:
    result = evaluate(house_rules_input(**drawn))
    for of, one in enumerate(drawn["scopes"]):
        alone = evaluate(
            house_rules_input(
                assets=drawn["assets"],
                scopes=[one],
                claims=[row for row in drawn["claims"] if row.scope == one.name],
                positions=[row for row in drawn["positions"] if row.scope == one.name],
            )
        )
        assert (figures(alone), verdict(alone)) == (figures(result, of), verdict(result, of))


def test_the_input_is_left_as_it_was() -> None:
    inputs = house_rules_input(
        assets=ASSETS,
        scopes=[scope("A/FREE", loan=D(5))],
        positions=[PositionRow("A/FREE", "BTC-PERP", D(-3), D(8000))],
    )
    before = inputs_hash(inputs)
    evaluate(inputs)
    assert inputs_hash(inputs) == before
    assert inputs.kinds.dtype == np.int8
    assert isinstance(inputs.terms[0], MoneyTerms)
