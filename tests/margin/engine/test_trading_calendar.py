"""Trading calendars: the sessions of known days, and time that passes while a market trades."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margin.engine.holidays import early_closes, easter, exchange_holidays
from margin.engine.parameters import read_parameters, written_parameters
from margin.engine.rejected import RejectedInputError
from margin.engine.trading_calendar import STANDARD_CALENDARS, CalendarRules, calendar_of

NYSE, FX, ALWAYS = (calendar_of(STANDARD_CALENDARS[name]) for name in ("NYSE", "FX", "ALWAYS"))
# As the exchange published them.
HOLIDAYS = {
    2012: "01-02 01-16 02-20 04-06 05-28 07-04 09-03 10-29 10-30 11-22 12-25",
    2018: "01-01 01-15 02-19 03-30 05-28 07-04 09-03 11-22 12-05 12-25",
    2021: "01-01 01-18 02-15 04-02 05-31 07-05 09-06 11-25 12-24",
    2022: "01-17 02-21 04-15 05-30 06-20 07-04 09-05 11-24 12-26",
    2025: "01-01 01-09 01-20 02-17 04-18 05-26 06-19 07-04 09-01 11-27 12-25",
    2026: "01-01 01-19 02-16 04-03 05-25 06-19 07-03 09-07 11-26 12-25",
}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize("year", HOLIDAYS)
def test_the_exchange_keeps_its_published_holidays(year: int) -> None:
    assert {f"{day:%m-%d}" for day in exchange_holidays(year)} == set(HOLIDAYS[year].split())


def test_short_days_end_at_one() -> None:
    found = [f"{day:%Y-%m-%d}" for year in (2018, 2021, 2025, 2026) for day in early_closes(year)]
    assert found == [
        "2018-07-03", "2018-11-23", "2018-12-24", "2021-11-26", "2025-07-03", "2025-11-28",
        "2025-12-24", "2026-11-27", "2026-12-24",
    ]  # fmt: skip


def test_easter_falls_where_it_fell() -> None:
    known = [(1954, 4, 18), (2000, 4, 23), (2018, 4, 1), (2038, 4, 25), (2285, 3, 22)]
    assert [easter(year) for year, _, _ in known] == [date(*each) for each in known]


def test_hours_follow_the_clock_of_the_exchange_through_the_year() -> None:
    assert NYSE.session(date(2018, 2, 5)) == (at("2018-02-05 14:30"), at("2018-02-05 21:00"))
    assert NYSE.session(date(2018, 7, 2)) == (at("2018-07-02 13:30"), at("2018-07-02 20:00"))
    assert NYSE.session(date(2018, 7, 3)) == (at("2018-07-03 13:30"), at("2018-07-03 17:00"))
    assert NYSE.session(date(2018, 7, 4)) is None
    assert NYSE.is_open(at("2018-02-05 21:00"))
    assert not NYSE.is_open(at("2018-02-05 21:00") + timedelta(seconds=1))


def test_a_week_of_currencies_runs_from_sunday_to_friday_evening() -> None:
    edges = ("2018-02-04 21:59:59", "2018-02-04 22:00", "2018-02-09 22:00", "2018-02-09 22:00:01")
    assert [FX.is_open(at(edge)) for edge in edges] == [False, True, True, False]
    assert FX.open_time(at("2018-02-01"), end=at("2018-02-08")) == timedelta(days=5)


def test_a_close_on_friday_is_a_minute_old_a_minute_after_the_open_on_monday() -> None:
    passed = NYSE.open_time(at("2018-03-29 20:00"), end=at("2018-04-02 13:31"))
    assert passed == timedelta(minutes=1)
    assert NYSE.next_open(at("2018-03-29 20:00:01")) == at("2018-04-02 13:30")
    assert ALWAYS.next_open(at("2018-03-29 20:00:01")) == at("2018-03-29 20:00:01")


@given(st.lists(st.integers(0, 300 * 86_400), min_size=3, max_size=3))
@settings(max_examples=30, deadline=None)
def test_open_time_adds_up_and_where_it_never_closes_is_time(drawn: list[int]) -> None:
    begin = at("2018-01-01")
    first, middle, last = (begin + timedelta(seconds=each) for each in sorted(drawn))
    for calendar in (NYSE, FX, ALWAYS):
        parts = calendar.open_time(first, end=middle) + calendar.open_time(middle, end=last)
        assert parts == calendar.open_time(first, end=last)
    assert ALWAYS.open_time(first, end=last) == last - first


@pytest.mark.parametrize(
    "wrong",
    [
        {"zone": "America/Nowhere"}, {"zone": ""}, {"opens": "9:30"}, {"closes": "24:00"},
        {"closed": ["2018-02-30"]}, {"short": [{"day": "2018-01-05", "closes": "1"}]},
        {"weekdays": [7]}, {"holidays": "lse"},
    ],
)  # fmt: skip
def test_a_calendar_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    values = written_parameters(STANDARD_CALENDARS["NYSE"])
    assert read_parameters(CalendarRules, values) == STANDARD_CALENDARS["NYSE"]
    with pytest.raises(RejectedInputError):
        read_parameters(CalendarRules, values | wrong)
