"""Options on screen: listed, held, and opened down to what they are."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest
from django.test import Client as Browser
from django.urls import reverse
from django.utils.html import escape

from accounts.audit import Actor
from accounts.models import Approval, Role
from brokerage.inbox.cycle import run_day
from ledger.models import Asset
from margin.market.rows import load_market
from margin.option_listing import LIST
from tests.accounts.people import sign_in
from tests.ledger.agreeing import agreed, standing
from tests.margin.optioned import (
    SECOND_DAY,
    VENUE,
    OptionFirm,
    option_firm,
    result_of,
    volatilities,
    write_day,
)

CALL = "LUMQ-C550"
TYPED = {
    "code": "LUMQ-NEW", "underlying": "LUMQ", "right": "put", "strike": "480", "multiplier": "100",
    "expires_at": "2031-06-27T04:00", "style": "european", "settlement": "cash",
    "price_scale": "2", "locations": [VENUE], "reason": "Members ask for it",
}  # fmt: skip


@pytest.fixture
def firm(db: None, tmp_path: Path) -> OptionFirm:
    return option_firm(tmp_path / "firm", model="delta")


@pytest.fixture
def browser(firm: OptionFirm) -> Browser:
    signed_in = Browser()
    sign_in(signed_in, firm.desk[Role.RISK])
    return signed_in


def test_an_option_is_listed_on_screen(firm: OptionFirm, browser: Browser) -> None:
    address = reverse("margin:option-new")
    page = browser.get(reverse("margin:contracts")).content.decode()
    assert address in page
    assert "European, cash" in page
    assert browser.get(address).status_code == 200
    for wrong in ({"code": CALL}, {"style": "american"}, {"strike": "0"}, {"locations": []}):
        assert browser.post(address, TYPED | wrong).status_code == 422
    assert not Asset.objects.filter(code="LUMQ-NEW").exists()
    assert browser.post(address, TYPED).status_code == 302
    asked = Approval.objects.get(action=LIST, used_xid__isnull=True)
    agreed(asked.pk, firm.desk[Role.COMPLIANCE])
    contract = Asset.objects.get(code="LUMQ-NEW").contract
    assert (contract.strike, contract.is_call) == (480, False)
    assert contract.expires_at == datetime(2031, 6, 27, 8, tzinfo=UTC)
    # What is an option has its contract; no other is said of it.
    assert browser.get(reverse("margin:contract-new", args=[CALL])).status_code == 404


def test_who_may_not_list_sees_no_way_to(firm: OptionFirm) -> None:
    reader = Browser()
    sign_in(reader, firm.desk[Role.TREASURY])
    assert (
        reverse("margin:option-new") not in reader.get(reverse("margin:contracts")).content.decode()
    )
    assert reader.post(reverse("margin:option-new"), TYPED).status_code in (403, 404)
    assert not Approval.objects.filter(action=LIST, used_xid__isnull=True).exists()


def test_a_program_lists_an_option_by_the_same_function(firm: OptionFirm, browser: Browser) -> None:
    address = "/api/options/"
    known = {each["code"]: each for each in browser.get(address).json()}
    assert known[CALL]["right"] == "call"
    assert known[CALL]["strike"] == "550"
    stranger = Browser()
    sign_in(stranger, firm.desk[Role.TREASURY])
    before = standing()
    for wrong, field in (
        ({"code": CALL}, "code"), ({"style": "american"}, "style"), ({"strike": "0"}, "strike"),
        ({"settlement": "physical"}, "settlement"), ({"locations": []}, "locations"),
    ):  # fmt: skip
        refused = browser.post(address, TYPED | wrong, content_type="application/json")
        assert (refused.status_code, list(refused.json())) == (422, [field])
        on_screen = browser.post(reverse("margin:option-new"), TYPED | wrong)
        said = refused.json()[field][0]["message"]
        assert escape(said) in on_screen.content.decode()
    assert stranger.post(address, TYPED, content_type="application/json").status_code == 403
    assert standing() == before
    asked = browser.post(address, TYPED, content_type="application/json")
    assert asked.status_code == 201
    assert not Asset.objects.filter(code="LUMQ-NEW").exists()
    agreed(UUID(asked.json()["approval"]), firm.desk[Role.COMPLIANCE])
    assert Asset.objects.get(code="LUMQ-NEW").contract.strike == 480
    listed = {each["code"] for each in browser.get(address).json()}
    assert listed == known.keys() | {"LUMQ-NEW"}


def test_an_account_shows_its_options_and_why_they_count(
    firm: OptionFirm, browser: Browser
) -> None:
    load_market(volatilities(SECOND_DAY), actor=Actor.command("test"))
    write_day(
        firm.days[1], deposits={"B0001": "100000.00"}, prices={CALL: "13.00"},
        trades=[("B0001", CALL, "buy", "2", "12.50"), ("B0001", "LUMQ-P500", "buy", "1", "9")],
    )  # fmt: skip
    assert run_day(firm.days[1])["rejected"] == []
    address = reverse("margin:account", args=["B0001"])
    page = browser.get(address).content.decode()
    assert "call 550 on LUMQ" in page
    assert "put 500 on LUMQ" in page
    for total in ("equity", "initial_margin"):
        shown = browser.get(f"{address}?scope=FREE&explain={total}").context["explanation"]
        assert shown.adds_up
        ends = [leaf for part in shown.parts for leaf in part.leaves()]
        assert sum((leaf.amount for leaf in ends), Decimal(0)) == getattr(result_of("B0001"), total)
        said = " ".join(source.text for leaf in ends for source in leaf.sources)
        assert "LUMQ" in said
