"""What one thing that does not fit does not do: old parameters, a new asset, many overrides."""

import csv
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import Agreement, LegalEntity, Role
from brokerage.inbox.cycle import run_day
from margin.book import read_inputs
from margin.book.arrays import market_of, market_rows
from margin.book.closes import Close, Closes
from margin.engine.models import MODELS
from margin.engine.parameters import parameter
from margin.model_registry import models_in_use, unknown_codes
from margin.models import MarginResult, MarginRun, Mark, RunException
from tests.accounts.people import Desk, found_desk, sign_in
from tests.ledger.agreeing import agreed
from tests.margin.test_models_in_runs import DAYS, PRODUCTION, decided, put_under, set_parameters
from tests.margin.test_overrides import asked
from tests.stage import booked_days

D = Decimal


@pytest.fixture
def days(db: None, tmp_path: Path) -> list[Path]:
    """Three days of a small firm, the first of which has run."""
    return booked_days(tmp_path / "firm", accounts=30, seed=4, days=3, booked=1)


@pytest.fixture
def desk(days: list[Path]) -> Desk:
    return found_desk(entity=LegalEntity.objects.get())


@dataclass(frozen=True, slots=True)
class LaterParameters:
    """What the delta margin might ask for in a later version of the program."""

    shock: float = parameter("Fall or rise", unit="share", least=0.0, most=1.0)
    half_life: float = parameter("A parameter that came later", unit="days", least=1.0, most=9.0)


def test_parameters_that_the_program_cannot_read_any_more_stop_nothing_else(
    days: list[Path], desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_parameters(desk, DAYS[1])
    decided(desk, PRODUCTION, DAYS[1])
    agreement = Agreement.objects.get(code="STD")
    put_under(desk, agreement, DAYS[1])
    delta = MODELS["delta"]
    later = replace(delta, parameters=LaterParameters, standard=LaterParameters(0.1, 2.0))
    monkeypatch.setitem(MODELS, "delta", later)
    assert models_in_use(DAYS[1], standing=PRODUCTION) == {}
    (sentence,) = unknown_codes("delta", "D1", day=DAYS[1])
    assert "can no longer be read" in sentence
    run_day(days[1])
    run = MarginRun.objects.get(business_day=DAYS[1])
    exceptions = RunException.objects.filter(run=run)
    assert exceptions.count() > 3
    assert set(exceptions.values_list("reason", flat=True)) == {"model_not_in_use"}
    assert all("delta D1 v1 can no longer be read" in each.detail for each in exceptions)
    others = MarginResult.objects.filter(run=run)
    assert others.exclude(agreement_version__agreement=agreement).count() == others.count() > 3
    browser = Browser()
    sign_in(browser, desk[Role.RISK])
    page = browser.get(reverse("margin:model", args=["delta"])).content.decode()
    assert "can no longer read these values" in page
    assert "half_life" in page


def test_an_asset_that_nobody_under_a_model_holds_takes_no_days_from_anybody(
    days: list[Path], desk: Desk
) -> None:
    set_parameters(desk, DAYS[1])
    decided(desk, PRODUCTION, DAYS[1])
    put_under(desk, Agreement.objects.get(code="STD"), DAYS[1])
    run_day(days[1])
    run = MarginRun.objects.get(business_day=DAYS[1])
    read = read_inputs(horizon_id=run.horizon_id, as_of=run.as_of)
    held = {
        read.assets[each.asset_id].code
        for each in (*read.claims, *read.positions)
        if read.scopes[each.scope].model_key is not None
    } - {"USD"}
    assert set(market_of(read).instruments.names) == held
    stranger = next(pk for pk, asset in sorted(read.assets.items()) if asset.code in held)
    read = replace(
        read,
        claims=[each for each in read.claims if each.asset_id != stranger],
        positions=[each for each in read.positions if each.asset_id != stranger],
    )
    known = [pk for pk, asset in read.assets.items() if asset.code in held and pk != stranger]
    closes = [
        Close(pk, DAYS[1] - timedelta(days=back), D(100 + back))
        for pk in known
        for back in range(300)
    ]
    alone = replace(read, closes=Closes([*closes, Close(stranger, DAYS[1], D(7))]))
    before = replace(alone, days=MarginRun.Days.COMMON)
    assert market_of(before).returns.shape == (299, len(known))
    past = market_rows(alone).past
    assert past is not None
    assert past.closes.shape == (300, len(known))


def test_the_list_of_overridden_results_is_whole_and_its_queries_do_not_grow(
    days: list[Path], desk: Desk
) -> None:
    codes = list(Mark.objects.order_by("asset__code").values_list("asset__code", flat=True))
    for code in codes[:4]:
        agreed(asked(desk, "4321.5", code=code), desk[Role.COMPLIANCE])
    run_day(days[1])
    resting = {
        (result, mark)
        for result, mark in MarginResult.objects.filter(
            components__mark__override__isnull=False
        ).values_list("pk", "components__mark")
    }
    assert len(resting) > 3
    browser = Browser()
    sign_in(browser, desk[Role.AUDITOR])
    address = reverse("margin:overrides")
    export = browser.get(address, {"format": "csv"}).content.decode()
    rows: list[dict[str, Any]] = list(csv.DictReader(StringIO(export)))
    assert len(rows) == len({(row["scope"], row["asset"]) for row in rows}) == len(resting)
    assert {row["price"] for row in rows} == {"4321.5"}
    browser.get(address)
    with CaptureQueriesContext(connection) as captured:
        page = browser.get(address).content.decode()
    assert f"of {len(resting)}" in page
    named = [each for each in captured if "margin_priceoverride" in each["sql"]]
    assert len(named) <= 4
