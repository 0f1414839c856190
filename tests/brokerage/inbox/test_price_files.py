"""A price file inside a day: kept as it came, once, and composed as a day's prices are."""

from datetime import timedelta
from io import StringIO
from json import loads
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError

from accounts.audit import RefusedError, acting
from brokerage.digest import digest
from brokerage.inbox.price_files import PriceFileRefusedError, take_prices
from brokerage.inbox.refusal import FolderRefusedError
from margin.market.marks import known_marks, newest_marks
from margin.models import MarginRun, Mark, Price, PriceFile, RejectedPrice, Remargin
from margin.releases import InitialMarginGate
from margin.run_rows import INSIDE_DAYS
from tests.brokerage.intraday import DESK, after, csv, moved, quotes, run_here, stamp, taken
from tests.stage import booked_days


@pytest.fixture
def days(db: None, tmp_path: Path) -> list[Path]:
    """A small firm after its second day."""
    return booked_days(tmp_path / "firm", accounts=40, seed=4, days=3, booked=2)


def test_a_file_is_kept_as_it_came_and_marks_are_composed_as_of_its_instant(
    days: list[Path],
) -> None:
    at = after(30)
    before = known_marks()
    rows = [*quotes(at, BTC="0.9"), ("BTC", "fourth", stamp(at), "much"), ("XYZ", "a", "", "1")]
    found = taken(at, rows)
    assert found.is_new
    assert bytes(found.file.content) == csv(rows)
    said = found.as_json()
    assert said["rejected"] == [
        {"line": len(rows), "field": "price", "reason": "not_a_number"},
        {"line": len(rows) + 1, "field": "observed_at", "reason": "bad_timestamp"},
    ]
    assert (said["rows"], said["marks"], said["valid"]) == (len(rows), len(before), len(before))
    now = known_marks()
    assert {mark.as_of for mark in now.values()} == {at}
    assert now["BTC"].price == before["BTC"].price * 9 / 10
    assert Price.objects.filter(price_file=found.file).count() == len(rows) - 2


def test_the_same_file_again_changes_nothing(days: list[Path]) -> None:
    at = after(30)
    rows = quotes(at, BTC="0.9")
    first = taken(at, rows)
    before = digest()
    again = taken(at + timedelta(minutes=5), rows)
    assert (again.file, again.is_new) == (first.file, False)
    assert digest() == before


@pytest.mark.parametrize(
    ("minutes", "words"),
    [(0, "come too late"), (-10, "come too late"), (60 * 24 * 5, "has not come yet")],
)
def test_prices_of_an_instant_that_is_over_or_yet_to_come_are_refused(
    days: list[Path], minutes: int, words: str
) -> None:
    at, before = after(minutes), digest()
    with pytest.raises(PriceFileRefusedError, match=words):
        moved(at, BTC="0.9")
    assert digest() == before


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"a,b\n1,2\n",
        csv([]),
        csv([("XYZ", "a", "2031-03-05T12:00:00Z", "1")]),
        b"instrument,source,observed_at,price\n\0",
        b"\xff",
    ],
)
def test_what_is_no_file_of_prices_is_refused_whole(days: list[Path], content: bytes) -> None:
    before = digest()
    with pytest.raises(FolderRefusedError):
        take_prices(content, name="prices.csv", actor=DESK, as_of=after(30))
    assert digest() == before


def test_a_key_means_one_content(days: list[Path]) -> None:
    at = after(30)
    first = take_prices(csv(quotes(at)), name="a.csv", actor=DESK, as_of=at, key="feed 7")
    before = digest()
    again = take_prices(csv(quotes(at)), name="a.csv", actor=DESK, as_of=at, key="feed 7")
    assert (again.file, again.is_new) == (first.file, False)
    later = after(5)
    with pytest.raises(PriceFileRefusedError, match="feed 7"):
        take_prices(csv(quotes(later)), name="b.csv", actor=DESK, as_of=later, key="feed 7")
    assert digest() == before


X_SHA256 = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("price_file_is_what_its_hash_says", {"content": b"y"}),
        ("price_file_goes_on", {"minutes": -1}),
        ("price_file_is_of_its_day", {"day": 1}),
        ("price_file_key_is_used_once", {"key": "seven"}),
    ],
)
def test_the_database_refuses_a_file_that_cannot_be(
    days: list[Path], rule: str, changes: dict[str, Any]
) -> None:
    first = after(30)
    file = take_prices(csv(quotes(first)), name="a", actor=DESK, as_of=first, key="seven").file

    def kept(content: bytes = b"x", minutes: int = 5, day: int = 0, key: str = "") -> None:
        with acting(DESK, reason="Past the code"):
            PriceFile.objects.create(
                sha256=X_SHA256,
                key=key,
                name="x",
                as_of=first + timedelta(minutes=minutes),
                business_day=file.business_day + timedelta(days=day),
                row_count=1,
                content=content,
            )

    before = digest()
    with pytest.raises(RefusedError) as refused:
        kept(**changes)
    assert refused.value.rule == rule
    assert digest() == before
    kept()
    assert digest() != before


def test_what_a_file_brought_about_is_kept_once_and_for_ever(days: list[Path]) -> None:
    at = after(30)
    file = taken(at, [*quotes(at, BTC="0.5"), ("BTC", "fourth", stamp(at), "much")]).file
    done = run_here()
    made, rejected = Remargin.objects.get(), RejectedPrice.objects.get()
    assert (made.price_file, made.run, rejected.price_file) == (file, done.run, file)
    before = digest()
    for rule, again in (
        ("price_file_is_run_once", Remargin(price_file=file, since=made.since)),
        ("price_row_is_rejected_once", RejectedPrice(price_file=file, line=rejected.line)),
    ):
        with pytest.raises(RefusedError) as refused, acting(DESK, reason="Once more"):
            again.save(force_insert=True)
        assert refused.value.rule == rule
    for rows, other in (
        (PriceFile.objects, {"name": "other"}),
        (Remargin.objects, {"run": None}),
        (RejectedPrice.objects, {"reason": "other"}),
    ):
        with (
            pytest.raises((DatabaseError, RefusedError)),
            acting(DESK, reason="Otherwise"),
        ):
            rows.all().update(**other)
    assert digest() == before


def test_gates_stand_at_the_newest_prices_and_days_at_those_of_days(days: list[Path]) -> None:
    day = MarginRun.objects.latest("pk").as_of
    of_day = newest_marks(day.date() + timedelta(days=1))
    moved(after(30), BTC="0.5")
    assert InitialMarginGate.newest().marks["BTC"] == of_day["BTC"].price / 2
    tomorrow = day.date() + timedelta(days=1)
    assert InitialMarginGate.at_marks_before(tomorrow).marks["BTC"] == of_day["BTC"].price
    assert newest_marks(tomorrow) == of_day


def test_a_name_stands_on_what_other_files_said_shortly_before(days: list[Path]) -> None:
    first = after(30)
    moved(first, BTC="0.9")
    then = first + timedelta(minutes=10)
    price = known_marks()["BTC"].price
    one = [("BTC", "primary", stamp(then), f"{price:.4f}")]
    taken(then, one)
    marks = {mark.asset.code: mark for mark in Mark.objects.filter(as_of=then)}
    assert {mark.state for mark in marks.values()} == {"VALID"}
    assert len(marks["BTC"].used) == 3
    much_later = then + timedelta(minutes=20)
    taken(much_later, [("BTC", s, stamp(much_later), f"{price:.4f}") for s in ("a", "b")])
    marks = {mark.asset.code: mark for mark in Mark.objects.filter(as_of=much_later)}
    assert marks.pop("BTC").state == "VALID"
    assert {mark.state for mark in marks.values()} == {"INSUFFICIENT"}


def test_the_command_takes_a_file_and_margins_it_here(days: list[Path], tmp_path: Path) -> None:
    at = after(30)
    file = tmp_path / "now.csv"
    file.write_bytes(csv(quotes(at, BTC="0.5")))
    out = StringIO()
    call_command("prices", file, as_of=at, here=True, json=True, stdout=out)
    said = loads(out.getvalue())
    assert (said["is_new"], said["state"], said["margin"]["new"]) == (True, "done", True)
    run = MarginRun.objects.get(number=said["margin"]["run"])
    assert run.as_of == at
    assert run.purpose in INSIDE_DAYS
    again = StringIO()
    call_command("prices", file, as_of=at, here=True, json=True, stdout=again)
    assert loads(again.getvalue()) == said | {"is_new": False}


def test_the_command_says_why_it_refuses(
    days: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, file = digest(), tmp_path / "now.csv"
    file.write_text("nothing")
    with pytest.raises(SystemExit) as stopped:
        call_command("prices", file)
    assert stopped.value.code == 2
    assert "expected" in capsys.readouterr().err
    assert digest() == before
