"""Bars, rulers and lines stand where their figures say."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.drawing import (
    Levels,
    Rung,
    Share,
    beam,
    chart,
    ladder,
    mini_bar,
    round_step,
    ruler,
    short,
    stacked_bar,
)  # fmt: skip

MONEY = st.decimals(min_value=0, max_value=10**15, places=2)


def ends(rects: list[object]) -> float:
    last = rects[-1]
    return float(last.x) + float(last.width)  # type: ignore[attr-defined]


def test_two_equal_sides_are_drawn_equally_long() -> None:
    drawn = beam(
        [Share("held", Decimal("389397.57")), Share("held2", Decimal("711762.96"))],
        [Share("owed", Decimal("1022993.32")), Share("res", Decimal("78167.21"))],
        words="equal",
    )
    assert [(r.tone, r.x, r.width) for r in drawn.upper] == [
        ("held", "0.0", "351.6"),
        ("held2", "353.6", "644.4"),
    ]
    assert ends(drawn.upper) == ends(drawn.lower) == 998.0


def test_a_shortfall_fills_what_is_not_held() -> None:
    held = [Share("held", Decimal(90)), Share("gap", Decimal(10))]
    drawn = beam(held, [Share("owed", Decimal(100))], words="short")
    assert drawn.upper[1].x == "900.0"


def test_nothing_held_and_nothing_owed_draws_nothing() -> None:
    drawn = beam([Share("held", Decimal(0))], [], words="nothing")
    assert (drawn.upper, drawn.lower) == ([], [])


@given(st.lists(MONEY, min_size=1, max_size=6))
def test_no_part_of_a_beam_leaves_it(amounts: list[Decimal]) -> None:
    drawn = beam([Share("held", amount) for amount in amounts], [], words="")
    assert all(float(r.x) >= 0 and float(r.x) + float(r.width) <= 1001 for r in drawn.upper)


def test_a_stacked_bar_is_said_in_words() -> None:
    bar = stacked_bar([("ok", "OK", 33), ("call", "call", 11), ("def", "deficit", 0)])
    assert bar.words == "33 OK, 11 call, 0 deficit"
    assert [part.tone for part in bar.parts] == ["ok", "call"]


@pytest.mark.parametrize(
    ("equity", "initial", "width"),
    [("26938.21", "175767.21", "11.0"), ("-48.41", "2027.54", ""), ("300", "200", "72.0"),
     ("5", "0", "72.0")],
)  # fmt: skip
def test_a_mini_bar_is_equity_as_part_of_initial_margin(
    equity: str, initial: str, width: str
) -> None:
    whole = Decimal(initial)
    bar = mini_bar(
        Decimal(equity), initial=whole, maintenance=whole / 2, liquidation=whole / 4, tone="liq"
    )
    assert bar.width == width
    if whole:
        assert (bar.maintenance, bar.liquidation) == ("36.0", "18.0")


LEVELS = Levels(Decimal(25), Decimal(50), Decimal(100))


@pytest.mark.parametrize("equity", [-500, -1, 0, 10, 60, 100, 5000])
def test_a_ruler_holds_its_pointer_and_all_bands_in_order(equity: int) -> None:
    drawn = ruler(Decimal(equity), LEVELS)
    assert 0 <= float(drawn.pointer) <= 1000
    places = [float(band.x) for band in drawn.bands]
    assert places == sorted(places)
    order = ["def", "liq", "call", "watch", "ok"]
    tones = [band.tone for band in drawn.bands]
    assert tones == [tone for tone in order if tone in tones]


def test_the_pointer_stands_in_the_band_of_its_state() -> None:
    drawn = ruler(Decimal(60), LEVELS)
    band = next(
        b for b in drawn.bands if float(b.x) <= float(drawn.pointer) < float(b.x) + float(b.width)
    )
    assert band.tone == "watch"
    assert drawn.words == (
        "Equity 60.00; liquidation level 25.00; call level 50.00; initial margin 100.00"
    )


RUNGS = [
    Rung("LIQUIDATE", "from zero", Decimal(0)),
    Rung("OK", "from initial margin", Decimal(100)),
    Rung("CALL", "from liquidation level", Decimal(25)),
]


@pytest.mark.parametrize(
    ("equity", "order"),
    [(3, "OK CALL now LIQUIDATE"), (100, "now OK CALL LIQUIDATE"), (-1, "OK CALL LIQUIDATE now")],
)
def test_now_stands_in_its_place_on_the_ladder(equity: int, order: str) -> None:
    rungs = ladder(Decimal(equity), RUNGS, now="equity")
    assert " ".join("now" if rung.is_now else rung.state for rung in rungs) == order


def test_a_chart_has_a_round_grid_with_zero_in_it() -> None:
    equity = [Decimal(v) for v in ("83582.96", "40714.08", "38382.47", "-2426.14", "3020.74")]
    drawn = chart([("eq", equity)], days=["31 Jan", "1 Feb", "2 Feb", "5 Feb", "6 Feb"], words="")
    assert drawn.y_labels == ["100k", "80k", "60k", "40k", "20k", "0", "\N{MINUS SIGN}20k"]
    assert [line.y for line in drawn.grid if line.tone == "zero"] == ["150.0"]
    assert drawn.lines[0].path == ("M0.0 24.6 L150.0 88.9 L300.0 92.4 L450.0 153.6 L600.0 145.5")
    assert len(drawn.dots) == 5


def test_a_chart_of_one_day_or_of_nothing_can_be_drawn() -> None:
    assert chart([("eq", [Decimal(5)])], days=["6 Feb"], words="").lines[0].path.startswith("M0.0")
    assert chart([("eq", [])], days=[], words="").lines == []


@given(MONEY.filter(bool))
def test_a_grid_has_at_most_six_steps_over_its_reach(reach: Decimal) -> None:
    step = round_step(reach)
    assert step * 6 >= reach
    assert step * Decimal("2.4") <= reach


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (0, "0"),
        (500, "500"),
        (20_000, "20k"),
        (-1_500_000, "\N{MINUS SIGN}1.5m"),
        (2 * 10**9, "2bn"),
    ],
)
def test_a_label_of_an_axis_is_short(value: int, label: str) -> None:
    assert short(Decimal(value)) == label
