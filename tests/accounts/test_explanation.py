"""An explanation says that its parts add up only when they do, to the last digit."""

from dataclasses import replace
from decimal import Decimal

import pytest
from django.template.loader import render_to_string
from hypothesis import given
from hypothesis import strategies as st

from accounts.explanation import Explanation, Fact, Part, Source
from accounts.states import shown_state

BTC = Part(
    "BTC",
    Decimal("34910.555526860160000000"),
    how="5.67431349 x 7,690.48 x (1 - 20 %)",
    sources=(Source("Price", "BTC 7,690.48", "/prices/BTC/", shown_state("price", "VALID")),),
)
CLAIMS = Part(
    "Money claims", Decimal("37387.98552686016"), parts=(Part("USD", Decimal("2477.43")), BTC)
)
EQUITY = Explanation(
    question="Why equity is 12,943.21 USD",
    about="Scope A00015 FREE",
    total=Decimal("12943.20552686016"),
    unit="USD",
    parts=(CLAIMS, Part("Loan", Decimal("-24444.78"))),
    close="/calls/MC-1/",
    facts=(Fact("Run", "MR-180206-1", "/runs/1/"),),
)


def drawn(explanation: Explanation) -> str:
    return render_to_string("_parts/drawer.html", {"explanation": explanation})


def test_parts_that_add_up_are_said_to() -> None:
    assert EQUITY.adds_up
    assert "3 parts add up exactly" in drawn(EQUITY)
    assert 'title="12,943.20552686016 USD"' in drawn(EQUITY)
    assert '<a href="/prices/BTC/">BTC 7,690.48</a>' in drawn(EQUITY)


def test_a_total_that_is_off_in_the_last_digit_is_shown_with_the_difference() -> None:
    wrong = replace(EQUITY, total=EQUITY.total + Decimal("0.00000000000001"))
    assert not wrong.adds_up
    assert wrong.difference == Decimal("0.00000000000001")
    text = drawn(wrong)
    assert "add up exactly" not in text
    assert "The parts do not add up." in text
    assert "+0.00000000000001" in text


def test_a_wrong_sum_deeper_in_the_tree_counts_too() -> None:
    claims = replace(CLAIMS, parts=CLAIMS.parts[:1])
    assert not replace(EQUITY, parts=(claims, EQUITY.parts[1])).adds_up


@given(st.lists(st.decimals(min_value=-(10**30), max_value=10**30, places=18), min_size=1))
def test_adding_up_loses_no_digit(amounts: list[Decimal]) -> None:
    parts = tuple(Part(str(place), amount) for place, amount in enumerate(amounts))
    units = sum(int(f"{amount:f}".replace(".", "")) for amount in amounts)
    assert replace(EQUITY, total=Decimal(f"{units}E-18"), parts=parts).adds_up


@pytest.mark.parametrize("text", ["<b>", '"><script>'])
def test_words_from_outside_are_escaped(text: str) -> None:
    shown = drawn(
        replace(EQUITY, question=text, about=text, parts=(Part(text, EQUITY.total, how=text),))
    )
    assert text not in shown
