"""How numbers, times and states are written on every screen."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace

import pytest
from django.template import Context, Template
from django.utils.safestring import SafeString
from hypothesis import given
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from accounts.drawing import Spark
from accounts.figures import MINUS, exact_number, grouped, plain
from accounts.models import Approval
from accounts.states import STATES, UnknownStateError, shown_state
from brokerage.models import Job
from ledger.models import Break
from margin.models import MarginCall, Mark, Task
from margin.models.runs import MarginState

CLOSE = datetime(2018, 2, 6, 21, 0, tzinfo=UTC)
SPARK = Spark(path="M0 0 L64 8", level="4", end="64 8", tone="ok")
DECIMALS = st.decimals(
    allow_nan=False, allow_infinity=False, places=18, min_value=-(10**20), max_value=10**20
)


def drawn(source: str, **context: object) -> str:
    return Template("{% load desk %}" + source).render(Context(context))


# --- Numbers --------------------------------------------------------------------------------------


def test_a_number_is_rounded_for_the_eye_and_exact_in_value_and_on_hover() -> None:
    assert drawn('{% amount n unit="USD" %}', n=Decimal("3020.738402147856")) == (
        '<data value="3020.738402147856" title="3,020.738402147856 USD">3,020.74</data>'
    )


def test_a_negative_number_is_red_with_a_real_minus_sign_and_a_plain_one_for_machines() -> None:
    assert drawn("{% amount n %}", n=Decimal("-9837.61583127")) == (
        '<data class="neg" value="-9837.61583127" '
        f'title="{MINUS}9,837.61583127">{MINUS}9,837.62</data>'
    )


@pytest.mark.parametrize(
    ("value", "decimals", "shown"),
    [
        ("1E+3", 2, "1,000.00"),
        ("1E-8", 8, "0.00000001"),
        ("67.37797070", 8, "67.37797070"),
        ("269.23765", 4, "269.2376"),
        ("0.125", 2, "0.12"),
        ("0", 8, "0.00000000"),
        ("-0", 2, "0.00"),
        ("-0.001", 2, f"{MINUS}0.00"),
        ("12345678901234567890123456789012345.675", 2,
         "12,345,678,901,234,567,890,123,456,789,012,345.68"),
        ("16.98480000", None, "16.9848"),
        ("292.000", None, "292"),
        ("1200", None, "1,200"),
    ],
)  # fmt: skip
def test_a_number_has_the_decimals_of_its_asset_and_never_an_exponent(
    value: str, decimals: int | None, shown: str
) -> None:
    assert grouped(Decimal(value), decimals=decimals) == shown


def test_only_a_change_carries_a_plus_sign() -> None:
    assert grouped(25000, decimals=2, sign=True) == "+25,000.00"
    assert grouped(0, decimals=2, sign=True) == "0.00"
    assert grouped(-25000, decimals=2, sign=True) == f"{MINUS}25,000.00"


def test_the_unit_stands_beside_the_number_only_where_asked() -> None:
    assert drawn('{% amount n unit="USD" beside=True %}', n=Decimal("1.00")) == (
        '<data value="1.00" title="1 USD">1.00</data> <span class="u">USD</span>'
    )


def test_a_number_that_is_the_result_of_a_rule_links_to_its_explanation() -> None:
    shown = drawn('{% amount n why="?explain=equity" current=True %}', n=Decimal(3))
    assert shown == (
        '<a class="why" href="?explain=equity" aria-current="true">'
        '<data value="3" title="3">3.00</data></a>'
    )


def test_an_absent_number_says_whether_it_does_not_apply_or_is_expected() -> None:
    assert drawn("{% amount n %}", n=None) == '<span class="soft">\N{EN DASH}</span>'
    assert drawn('{% amount n absent="none" %}', n=None) == '<span class="soft">none</span>'


def test_a_float_is_no_amount() -> None:
    with pytest.raises(TypeError, match="never a float"):
        exact_number(0.1)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_number_is_not_drawn(value: str) -> None:
    with pytest.raises(ValueError, match="is not a number"):
        grouped(Decimal(value))


@given(DECIMALS)
def test_the_value_for_machines_is_the_number_itself(number: Decimal) -> None:
    assert Decimal(plain(number)) == number
    assert "E" not in plain(number)


@given(DECIMALS)
def test_no_digit_is_lost_where_all_are_shown(number: Decimal) -> None:
    shown = grouped(number)
    assert Decimal(shown.replace(",", "").replace(MINUS, "-")) == number


def test_a_share_is_written_as_per_cent() -> None:
    assert drawn("{% percent n %}", n=Decimal("0.0714")) == (
        '<data value="0.0714" title="7.14 %">7.1\N{NO-BREAK SPACE}%</data>'
    )


def test_a_count_agrees_with_its_noun() -> None:
    assert drawn('{{ n|plural:"scope" }}', n=1) == "1 scope"
    assert drawn('{{ n|plural:"entry,entries" }}', n=1204) == "1,204 entries"


def test_what_could_be_markup_is_escaped_once() -> None:
    wild = '<b a="1">&\''
    safe = "&lt;b a=&quot;1&quot;&gt;&amp;&#x27;"
    assert safe in drawn("{% amount 5 unit=u %}", u=wild)
    assert safe in drawn("{% amount 5 unit=u beside=True %}", u=wild).partition("<span")[2]
    assert f'value="{safe}"' in drawn("{% pick v n %}", v=wild, n="x")
    assert f'aria-label="Select {safe}"' in drawn("{% pick 1 n %}", n=wild)
    assert f"{safe}</span>" in drawn("{% sparkline line w %}", w=wild, line=SPARK)
    assert drawn("{% pick 1 n %}", n=SafeString("a &amp; b")).count("a &amp; b") == 1


# --- Times ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "shown"),
    [
        ("time", "16:00:00 EST"),
        ("minute", "16:00 EST"),
        ("clock", "16:00:00"),
        ("short", "6 Feb 16:00"),
        ("second", "6 Feb 16:00:00"),
        ("full", "6 Feb 2018 16:00:00 EST"),
    ],
)
def test_an_instant_is_in_the_zone_of_the_desk_with_utc_on_hover(form: str, shown: str) -> None:
    assert drawn("{% at t form %}", t=CLOSE, form=form) == (
        f'<time datetime="2018-02-06T21:00:00Z" title="2018-02-06 21:00:00 UTC">{shown}</time>'
    )


def test_the_label_of_the_zone_follows_the_season() -> None:
    assert "17:00:00 EDT" in drawn('{% at t "time" %}', t=datetime(2018, 7, 6, 21, tzinfo=UTC))


def test_a_zone_without_a_name_is_named_by_its_distance(settings: Settings) -> None:
    settings.DESK_TIME_ZONE = "America/Sao_Paulo"
    assert ">19:00:00 UTC-02<" in drawn('{% at t "time" %}', t=CLOSE)


def test_utc_stands_beside_the_time_of_an_object() -> None:
    assert drawn('{% at t "time" utc=True %}', t=CLOSE).endswith(
        '<span class="soft">· 21:00:00 UTC</span>'
    )


def test_microseconds_are_kept_for_machines() -> None:
    assert 'datetime="2018-02-06T21:00:00.000250Z"' in drawn(
        "{% at t %}", t=CLOSE + timedelta(microseconds=250)
    )


def test_a_day_is_written_three_ways() -> None:
    forms = "{% day d 'short' %}, {% day d %}, {% day d 'long' %}"
    tag = '<time datetime="2018-02-06">'
    assert drawn(forms, d=date(2018, 2, 6)) == (
        f"{tag}6 Feb</time>, {tag}Tue 6 Feb 2018</time>, {tag}Tuesday 6 February 2018</time>"
    )


@pytest.mark.parametrize(
    ("hours", "minutes", "shown"),
    [
        (0, 54, "54 min"),
        (24, 54, "24 h 54"),
        (3, 5, "3 h 05"),
        (0, 0, "0 s"),
        (96, 0, "4 d"),
        (-1, 0, "1 h 00 over"),
        (-96, 0, "4 d over"),
        (0, -54, "54 min over"),
    ],
)
def test_a_deadline_says_how_far_off_it_is(hours: int, minutes: int, shown: str) -> None:
    strip = SimpleNamespace(stands_at=CLOSE)
    text = drawn("{% due t %}", t=CLOSE + timedelta(hours=hours, minutes=minutes), strip=strip)
    assert f">{shown}</time>" in text
    assert ('class="neg"' in text) == shown.endswith("over")


def test_days_to_a_deadline_are_days_of_the_calendar() -> None:
    strip = SimpleNamespace(stands_at=datetime(2018, 2, 6, 21, 6, tzinfo=UTC))
    due = datetime(2018, 2, 2, 22, 0, tzinfo=UTC)
    assert ">4 d over</time>" in drawn("{% due t %}", t=due, strip=strip)


def test_no_time_is_a_dash_and_no_past_is_never() -> None:
    assert drawn("{% at t %}{% day t %}{% due t %}", t=None).count("\N{EN DASH}") == 3
    assert "never" in drawn("{% ago t %}", t=None)


# --- States ---------------------------------------------------------------------------------------


def test_a_state_is_colour_icon_and_word() -> None:
    assert drawn('{% state "margin" "CALL" %}') == (
        '<span class="st call"><svg class="i" aria-hidden="true">'
        '<use href="/static/icons.svg#i-bell"/></svg>Call</span>'
    )


def test_a_state_may_be_plain_or_big_and_speak_in_the_words_of_the_page() -> None:
    assert '<span class="st liq plain">' in drawn('{% state "price" "INSUFFICIENT" plain=True %}')
    assert '<span class="st def big">' in drawn('{% state "margin" "DEFICIT" big=True %}')
    assert drawn('{% state "break" "open" word="1 new break" %}').endswith("1 new break</span>")


@pytest.mark.parametrize(
    ("family", "states"),
    [
        ("margin", MarginState.values),
        ("price", Mark.State.values),
        ("call", MarginCall.State.values),
        ("break", Break.Status.values),
        ("job", Job.State.values),
        ("approval", Approval.Decision.values),
        ("task", Task.Kind.values),
    ],
)
def test_every_state_of_the_product_can_be_shown(family: str, states: list[str]) -> None:
    assert [shown_state(family, state).word for state in states]


def test_every_state_has_an_icon_that_exists(settings: Settings) -> None:
    sprite = (settings.ROOT / "static" / "icons.svg").read_text()
    used = {shown.icon for family in STATES.values() for shown in family.values()}
    assert [icon for icon in sorted(used) if f'id="i-{icon}"' not in sprite] == []


def test_margin_states_rise_in_danger() -> None:
    tones = [shown_state("margin", state).tone for state in MarginState.values]
    assert tones == ["ok", "watch", "call", "liq", "def"]


def test_a_state_that_no_screen_knows_is_refused() -> None:
    with pytest.raises(UnknownStateError, match="no screen shows the margin state 'FINE'"):
        drawn('{% state "margin" "FINE" %}')


def test_text_from_outside_is_escaped() -> None:
    shown = drawn("{% badge 'ok' 'check' word %}", word='<img src="x">')
    assert "<img" not in shown
    assert "<script" not in drawn("{% amount n unit=u %}", n=1, u='"><script>')
