"""Prices that two people set: from when, until when, and what says that it rests on one."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse

from accounts.approvals import AskRefusedError
from accounts.audit import RefusedError
from accounts.models import Approval, LegalEntity, Role
from brokerage.inbox.cycle import run_day
from ledger.models import Asset
from margin.market.overrides import request_override
from margin.models import MarginResult, MarginRun, Mark, PriceOverride
from margin.runs import replay
from tests.accounts.people import Desk, found_desk, person, sign_in
from tests.accounts.raw import act
from tests.accounts.raw import refused as raw_refused
from tests.ledger.agreeing import agreed, standing
from tests.stage import booked_days

D = Decimal
BEGINS = datetime(2031, 3, 4, 12, tzinfo=UTC)
ENDS = datetime(2031, 3, 5, 12, tzinfo=UTC)
WHY = "The venue was down and traded far from everybody else"


@pytest.fixture
def days(db: None, tmp_path: Path) -> list[Path]:
    return booked_days(tmp_path / "firm", accounts=30, seed=4, days=3, booked=1)


@pytest.fixture
def desk(days: list[Path]) -> Desk:
    return found_desk(entity=LegalEntity.objects.get())


def asked(desk: Desk, price: str = "4321.5", *, code: str = "BTC-PERP", **changes: Any) -> Any:
    return request_override(
        **{
            "asset": Asset.objects.get(code=code), "price": D(price), "begins_at": BEGINS,
            "ends_at": ENDS, "legal_entity": desk.entity, "reason": WHY,
            "actor": person(desk[Role.RISK]),
        } | changes
    )  # fmt: skip


def mark_of(day: str, code: str = "BTC-PERP") -> Mark:
    return Mark.objects.select_related("override").get(business_day=day, asset__code=code)


def test_an_override_is_the_mark_until_it_expires(days: list[Path], desk: Desk) -> None:
    agreed(asked(desk), desk[Role.COMPLIANCE])
    run_day(days[1])
    mark = mark_of("2031-03-04")
    assert (mark.price, mark.state, mark.used) == (D("4321.5"), "OVERRIDDEN", [])
    assert {row["reason"] for row in mark.dropped} >= {"overridden"}
    assert mark.override is not None
    assert mark.override.reason == WHY
    assert mark_of("2031-03-04", "BTC").state == "VALID"
    run_day(days[2])
    after = mark_of("2031-03-05")
    assert (after.state, after.override) == ("VALID", None)
    assert after.price != D("4321.5")


def test_every_number_computed_with_an_override_says_so(days: list[Path], desk: Desk) -> None:
    agreed(asked(desk), desk[Role.COMPLIANCE])
    run_day(days[1])
    run = MarginRun.objects.get(business_day="2031-03-04")
    results = MarginResult.objects.filter(run=run)
    tagged = {result.pk for result in results if "overridden_mark" in result.flags}
    resting = results.filter(components__mark__override__isnull=False).distinct()
    assert tagged == {result.pk for result in resting}
    assert len(tagged) > 3
    for result in resting:
        assert result.state not in ("LIQUIDATE", "DEFICIT")
        assert "insufficient_mark" in result.flags
    assert replay(run.number).is_same
    page = signed_in(desk, Role.AUDITOR).get(reverse("margin:overrides")).content.decode()
    for result in resting.select_related("scope__bucket__account"):
        bucket: Any = result.scope.bucket
        assert bucket.account.code in page


def test_without_a_second_person_nothing_is_overridden(days: list[Path], desk: Desk) -> None:
    approval = asked(desk)
    with pytest.raises(RefusedError):
        agreed(approval, desk[Role.RISK])
    run_day(days[1])
    assert mark_of("2031-03-04").state == "VALID"
    assert not PriceOverride.objects.exists()


def test_what_was_overridden_is_not_carried(days: list[Path], desk: Desk) -> None:
    agreed(asked(desk), desk[Role.COMPLIANCE])
    run_day(days[1])
    prices = days[2] / "prices.csv"
    kept = [line for line in prices.read_text().splitlines() if not line.startswith("BTC-PERP,")]
    prices.write_text("\n".join(kept) + "\n")
    run_day(days[2])
    mark = mark_of("2031-03-05")
    assert mark.state == "INSUFFICIENT"
    assert mark.carried_from is not None
    assert mark.carried_from.state != "OVERRIDDEN"
    assert mark.price == mark.carried_from.price != D("4321.5")


def test_what_is_no_override_is_refused_before_anybody_is_asked(
    days: list[Path], desk: Desk
) -> None:
    for wrong in (
        {"price": D(0)}, {"price": D(-1)}, {"price": D("NaN")}, {"ends_at": BEGINS},
        {"ends_at": BEGINS + timedelta(days=5, seconds=1)},
        {"asset": Asset.objects.get(code="USD")},
    ):  # fmt: skip
        with pytest.raises(AskRefusedError):
            asked(desk, **wrong)
    assert not Approval.objects.filter(action="price.override").exists()


def test_the_database_refuses_marks_and_overrides_that_nobody_agreed_to(
    days: list[Path], desk: Desk, owner: Any
) -> None:
    mark = (
        "INSERT INTO margin_mark (asset_id, as_of, business_day, price, state, used, dropped)"
        " SELECT asset_id, as_of + interval '1 hour', business_day, price, 'OVERRIDDEN', '[]', '[]'"
        " FROM margin_mark LIMIT 1"
    )
    statements = {
        "price_is_overridden_by_two": "INSERT INTO margin_priceoverride (asset_id, price,"
        " begins_at, ends_at, reason) SELECT id, 1, now(), now() + interval '1 hour', ''"
        " FROM ledger_asset WHERE code = 'BTC'",
        "overridden_mark_has_its_override": mark,
    }
    before = standing()
    for rule, statement in statements.items():
        with raw_refused(rule), act(owner):
            owner.execute(statement)
    assert standing() == before


def signed_in(desk: Desk, role: Role) -> Browser:
    browser = Browser()
    sign_in(browser, desk[role])
    return browser


def test_risk_asks_on_the_page_of_the_price(days: list[Path], desk: Desk) -> None:
    browser = signed_in(desk, Role.RISK)
    page = browser.get(reverse("margin:price", args=["BTC-PERP"]))
    address = reverse("margin:override-new", args=["BTC-PERP"])
    assert address in page.content.decode()
    typed = {
        "price": "4000", "begins_at": "2031-03-04T08:00", "ends_at": "2031-03-04T18:00",
        "reason": WHY,
    }  # fmt: skip
    assert browser.post(address, typed | {"price": "0"}).status_code == 422
    assert browser.post(address, typed).status_code == 302
    row = Approval.objects.get().payload["row"]
    assert row["begins_at"] == "2031-03-04T13:00:00Z"  # eight o'clock in New York
    assert browser.get(reverse("margin:override-new", args=["USD"])).status_code == 404
    auditor = signed_in(desk, Role.AUDITOR)
    assert address not in auditor.get(reverse("margin:price", args=["BTC-PERP"])).content.decode()
    assert auditor.post(address, typed).status_code == 403
