"""Market data beside prices: taken whole or refused whole, and read as the horizon knew them."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from math import exp
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from accounts.audit import Actor, acting
from accounts.models import LegalEntity
from ledger.models import Asset, Horizon
from margin.book import read_inputs
from margin.book.arrays import market_of
from margin.book.market_data import read_market
from margin.engine.market import Market
from margin.market.rows import HEADER, MarketFileRefusedError, load_market, volumes
from margin.models import Contract, MarginRun, MarketRow
from margin.prepared_models import market_sha256
from tests.ledger.agreeing import standing
from tests.stage import booked_days

D = Decimal
AT = "2031-03-03T20:59:00Z"
DUE = datetime(2031, 9, 1, 21, tzinfo=UTC)
ACTOR = Actor.command("test")
GOOD = (
    f"rate,bank,{AT},USD,,,180,0.05,,",
    f"rate,other,{AT},USD,,,180,0.07,,",
    f"volatility,venue,{AT},BTC,2031-09-01T21:00:00Z,7000,,,0.59,0.61",
    f"volatility,venue,{AT},BTC,2031-09-01T21:00:00Z,9000,,,0.69,0.71",
    f"volume,venue,{AT},BTC,,,,1000000,,",
    f"volume,other,{AT},BTC,,,,500000.5,,",
    f"open_interest,venue,{AT},BTC-PERP,,,,250000,,",
    f"depth,venue,{AT},BTC,,,,9000,,",
    f"funding,venue,{AT},BTC-PERP,,,,-0.0001,,",
    f"confidence,venue,{AT},BTC,,,,0.9,,",
)


def csv(*rows: str) -> bytes:
    return "\n".join([",".join(HEADER), *rows, ""]).encode()


@pytest.fixture
def days(db: None, tmp_path: Path) -> list[Path]:
    return booked_days(tmp_path / "firm", accounts=8, seed=5, days=2, booked=1)


def horizon() -> int:
    with acting(ACTOR, reason="A horizon for a test"):
        return int(Horizon.objects.create(purpose="margin-run").pk)


def market(horizon_id: int, *, option: bool = False) -> Market:
    """The market of the day as a horizon knew it, as if BTC-PERP were an option on BTC."""
    as_of = MarginRun.objects.get().as_of
    read = read_inputs(horizon_id=horizon_id, as_of=as_of)
    data = read_market(horizon_id=horizon_id, as_of=as_of, day=read.business_day)
    read = replace(read, market=data)
    if option:
        perpetual, bitcoin = (Asset.objects.get(code=code) for code in ("BTC-PERP", "BTC"))
        written = Contract(
            asset=perpetual, form="option", underlying=bitcoin, multiplier=D(1), is_inverse=False,
            expires_at=DUE, strike=D(8000), is_call=True,
        )  # fmt: skip
        read = replace(read, contracts={perpetual.pk: written})
    return market_of(read)


def place(found: Market, code: str = "BTC-PERP") -> int:
    return found.instruments.names.index(code)


def test_a_file_is_kept_as_it_came_and_once(days: list[Path], tmp_path: Path) -> None:
    file = tmp_path / "market.csv"
    file.write_bytes(csv(*GOOD))
    for _ in range(2):
        call_command("load_market", str(file))
        rows = MarketRow.objects.order_by("line")
        assert [row.kind for row in rows] == [line.partition(",")[0] for line in GOOD]
    assert rows[1].value == D("0.07")
    assert rows[1].tenor_days == 180
    assert (rows[2].bid, rows[2].ask, rows[2].strike) == (D("0.59"), D("0.61"), D(7000))


@pytest.mark.parametrize(
    ("row", "where"),
    [
        (f"rate,bank,{AT},USD,,,180,0.05,", "line 3: 10 columns"),
        (f"tea,bank,{AT},USD,,,180,0.05,,", "line 3, kind"),
        (f"rate,,{AT},USD,,,180,0.05,,", "line 3, source"),
        ("rate,bank,today,USD,,,180,0.05,,", "line 3, observed_at"),
        (f"rate,bank,{AT},GOLD,,,180,0.05,,", "line 3, name"),
        (f"rate,bank,{AT},BTC-PERP,,,180,0.05,,", "line 3, name"),
        (f"rate,bank,{AT},USD,,,,0.05,,", "line 3, tenor_days"),
        (f"rate,bank,{AT},USD,,,1.5,0.05,,", "line 3, tenor_days"),
        (f"rate,bank,{AT},USD,,7,180,0.05,,", "line 3, strike"),
        (f"rate,bank,{AT},USD,,,180,NaN,,", "line 3, value"),
        (f"volume,bank,{AT},BTC,,,,-1,,", "line 3, value"),
        (f"confidence,bank,{AT},BTC,,,,1.01,,", "line 3, value"),
        (f"volatility,v,{AT},BTC,{AT},7000,,,0.5,0.6", "line 3, expires_at"),
        (f"volatility,v,{AT},BTC,2031-09-01T21:00:00Z,7000,,,,", "line 3, bid"),
        (f"volatility,v,{AT},BTC,2031-09-01T21:00:00Z,7000,,,0,0.6", "line 3, bid"),
        (f"volatility,v,{AT},BTC,2031-09-01T21:00:00Z,7000,,0.5,0.5,0.6", "line 3, value"),
    ],
)
def test_a_file_with_one_bad_row_is_refused_whole(days: list[Path], row: str, where: str) -> None:
    before = standing()
    with pytest.raises(MarketFileRefusedError, match=where):
        load_market(csv(GOOD[0], row), actor=ACTOR)
    with pytest.raises(MarketFileRefusedError, match="header"):
        load_market(b"kind,source\n", actor=ACTOR)
    assert standing() == before
    assert not MarketRow.objects.exists()


def test_a_command_that_refuses_says_where_and_exits_2(
    days: list[Path], tmp_path: Path, capsys: Any
) -> None:
    file = tmp_path / "market.csv"
    file.write_bytes(csv("tea,,,,,,,,,"))
    for path in (file, tmp_path / "missing.csv"):
        with pytest.raises(SystemExit) as ended:
            call_command("load_market", str(path))
        assert ended.value.code == 2
    assert not MarketRow.objects.exists()


def test_models_see_what_the_horizon_knew_and_nothing_later(days: list[Path]) -> None:
    before = horizon()
    bare = market(before)
    load_market(csv(*GOOD), actor=ACTOR)
    after = horizon()
    assert market_sha256(market(before)) == market_sha256(bare)
    found = market(after)
    btc = found.underlyings.index("BTC")
    assert found.daily_volumes[btc] == 1_500_000.5
    assert found.open_interests[place(found)] == 250_000
    assert bare.daily_volumes[btc] == bare.open_interests[place(bare)] == 0
    assert (found.rates == 0).all(), "nothing expires"


def test_options_are_told_rates_forwards_and_volatilities(days: list[Path]) -> None:
    before = horizon()
    load_market(csv(*GOOD), actor=ACTOR)
    bare, found = market(before, option=True), market(horizon(), option=True)
    n, spot = place(found), found.spots[found.underlyings.index("BTC")]
    assert (bare.rates[n], bare.volatilities[n], bare.forwards[n]) == (0, 0, spot)
    assert found.rates[n] == pytest.approx(0.06, rel=1e-12)  # the middle of two sources
    years = found.instruments.years[n]
    assert found.forwards[n] == pytest.approx(spot * exp(0.06 * years), rel=1e-12)
    assert 0.6 < found.volatilities[n] < 0.7
    assert found.confidences[n] == 1
    load_market(csv(f"rate,bank,{AT[:-2]}1Z,USD,,,180,0.06,,",
                    f"rate,other,{AT[:-2]}1Z,USD,,,180,0.08,,"), actor=ACTOR)  # fmt: skip
    higher = market(horizon(), option=True)
    assert higher.forwards[n] / found.forwards[n] == pytest.approx(exp(0.01 * years), rel=1e-12)


def test_an_option_beyond_what_is_quoted_is_not_trusted(days: list[Path]) -> None:
    load_market(csv(GOOD[2].replace("7000", "20000")), actor=ACTOR)
    found = market(horizon(), option=True)
    assert found.volatilities[place(found)] > 0
    assert found.confidences[place(found)] == 0


def test_volumes_add_up_over_sources_and_average_over_days(days: list[Path]) -> None:
    earlier = [f"volume,venue,2031-02-2{n}T20:00:00Z,BTC,,,,{n}00000,," for n in (6, 7)]
    load_market(csv(*earlier, GOOD[4], GOOD[5]), actor=ACTOR)
    run, btc = MarginRun.objects.get(), Asset.objects.get(code="BTC")
    (found,) = volumes(run.as_of, day=run.business_day, assets=[btc.pk]).values()
    assert (found.today, found.usual) == (D("1500000.5"), D(650_000))


def test_the_database_refuses_rows_that_say_nothing(days: list[Path]) -> None:
    assert LegalEntity.objects.exists()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT conname FROM pg_constraint WHERE conrelid = 'margin_marketrow'::regclass"
            " AND contype = 'c' AND convalidated ORDER BY 1"
        )
        named = {name for (name,) in cursor.fetchall()}
    assert named >= {
        "confidence_is_a_share", "market_amount_is_not_negative",
        "market_row_says_what_its_kind_says",
    }  # fmt: skip
