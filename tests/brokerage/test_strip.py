"""What every page says it rests on, before there is anything and after."""

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace

import pytest
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.test import RequestFactory
from django.utils import timezone

from accounts.audit import Actor, acting
from accounts.models import LegalEntity, Role
from accounts.roles import roles_of
from brokerage.models import BusinessDay
from brokerage.strip import Strip, Waiting, strip, strip_of
from ledger.models import Asset
from margin.market.overrides import request_override
from margin.models import Mark, PriceOverride
from tests.accounts.people import Desk, found_desk, person
from tests.ledger.agreeing import agreed

PAST_DAY = date(2018, 2, 6)
CLOSE = datetime(2018, 2, 6, 21, tzinfo=UTC)


@pytest.fixture
def desk(db: None) -> Desk:
    return found_desk()


def opened(entity: LegalEntity, day: date, *, as_of: datetime) -> BusinessDay:
    with acting(Actor.job("test"), reason="Opened a day"):
        return BusinessDay.objects.create(
            legal_entity=entity, day=day, as_of=as_of, content_sha256="0" * 64, folder="x"
        )


def instrument(code: str) -> Asset:
    with acting(Actor.job("test"), reason="Listed an asset"):
        usd, _ = Asset.objects.get_or_create(code="USD", defaults={"kind": "money", "scale": 2})
        return Asset.objects.create(
            code=code, kind="security", scale=0, price_scale=4, settles_in=usd
        )


def marked(asset: Asset, state: str, *, override: PriceOverride | None = None) -> None:
    with acting(Actor.job("test"), reason="Marked an asset"):
        Mark.objects.create(
            asset=asset, as_of=CLOSE, business_day=PAST_DAY, price=Decimal(1), state=state,
            used=[], dropped=[], override=override,
        )  # fmt: skip


def overridden(desk: Desk, asset: Asset) -> PriceOverride:
    asked = request_override(
        asset=asset, price=Decimal(1), begins_at=CLOSE - timedelta(hours=1),
        ends_at=CLOSE + timedelta(hours=1), legal_entity=desk.entity,
        reason="The venue is down", actor=person(desk[Role.RISK]),
    )  # fmt: skip
    agreed(asked, desk[Role.COMPLIANCE])
    return PriceOverride.objects.get(asset=asset)


def words(found: Strip) -> str:
    text = render_to_string("_strip_facts.html", {"strip": found})
    return " ".join(re.sub(r"<[^>]*>", " ", text).split())


def test_a_desk_without_a_day_says_so(desk: Desk) -> None:
    assert words(strip_of(None)).startswith("Business day none yet Run none yet Prices none yet")
    assert words(strip_of(None)).endswith("Record Nothing sealed yet")


def test_a_day_is_shown_with_its_prices_and_where_it_stands(desk: Desk) -> None:
    marked(instrument("AAPL"), Mark.State.VALID)
    ibm = instrument("IBM")
    marked(ibm, Mark.State.OVERRIDDEN, override=overridden(desk, ibm))
    marked(instrument("BTC-PERP"), Mark.State.INSUFFICIENT)
    found = strip_of(opened(desk.entity, PAST_DAY, as_of=CLOSE))
    assert (found.price_count, found.valid_count) == (3, 2)
    assert "Business day Tue 6 Feb 2018 · not closed yet" in words(found)
    assert "As of 16:00:00 EST · 21:00:00 UTC" in words(found)
    assert "Prices 2 of 3 valid" in words(found)


def test_on_a_past_day_the_clock_stands_at_its_as_of(desk: Desk) -> None:
    past = strip_of(opened(desk.entity, PAST_DAY, as_of=CLOSE))
    assert past.stands_at == CLOSE
    now = timezone.now()
    today = strip_of(opened(desk.entity, now.date() + timedelta(days=1), as_of=now))
    assert today.stands_at == today.drawn_at >= now


def asked_by(desk: Desk, role: Role) -> HttpRequest:
    request = RequestFactory().get("/")
    request.user = desk[role]
    request.legal_entity = desk.entity  # type: ignore[attr-defined]
    request.roles = roles_of(desk[role])  # type: ignore[attr-defined]
    return request


def rail(request: HttpRequest) -> Waiting:
    found = strip(request)["rail"]
    assert isinstance(found, Waiting)
    return found


def test_the_rail_counts_prices_that_cannot_be_relied_on(desk: Desk) -> None:
    marked(instrument("AAPL"), Mark.State.VALID)
    marked(instrument("BTC-PERP"), Mark.State.INSUFFICIENT)
    opened(desk.entity, PAST_DAY, as_of=CLOSE)
    assert rail(asked_by(desk, Role.RISK)).prices == 1


def test_nothing_of_another_legal_entity_is_shown(desk: Desk) -> None:
    marked(instrument("BTC-PERP"), Mark.State.INSUFFICIENT)
    opened(desk.entity, PAST_DAY, as_of=CLOSE)
    other = found_desk(code="EB-UK")
    request = asked_by(other, Role.RISK)
    assert rail(request).prices == 0
    shown = strip(request)["strip"]
    assert isinstance(shown, Strip)
    assert shown.day is None


def test_nothing_is_read_for_a_page_that_shows_nothing() -> None:
    context = strip(RequestFactory().get("/"))
    assert set(context) == {"firm", "city", "desk_city", "zones", "desk_roles", "strip", "rail"}
    assert context["firm"] is None


def test_a_stranger_has_no_roles_and_nothing_waits(db: None) -> None:
    request = RequestFactory().get("/")
    request.user = SimpleNamespace(pk=None)  # type: ignore[assignment]
    assert str(strip(request)["desk_roles"]) == ""
    assert rail(request) == Waiting(0, 0, 0, 0)
