"""Pages of notices in a browser: sound in both themes, and done with what people do there."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.urls import reverse

from accounts.models import Operator
from margin.models import Delivery, MarginCall
from margin.notices.outbox import deliver_notices
from tests.accounts.people import sign_in_page
from tests.browser.test_every_page import visit
from tests.margin.firm import crashed_firm
from tests.margin.noticed import STEPS, called_again, client_of, name_ways

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture
def waiting(db: None, tmp_path: Path) -> Delivery:
    """A letter that waits to be printed, beside an e-mail of the same call."""
    firm = crashed_firm(tmp_path / "firm")
    old = MarginCall.objects.get(number="MC-310304-0001")
    name_ways(
        firm.desk, client_of(old), email="margin@client.example", letter="A. Client\n1 Main St"
    )
    call = called_again(old)
    deliver_notices(actor=STEPS)
    return Delivery.objects.get(call=call, channel="letter")


def test_pages_of_notices_are_sound(waiting: Delivery, browser_page: "Page", desk_url: str) -> None:
    sign_in_page(browser_page, desk_url, Operator.objects.get(username="l.brandt"))
    code = client_of(waiting.call).code
    mail = Delivery.objects.get(call=waiting.call, channel="email")
    addresses = [
        reverse("margin:deliveries"),
        reverse("margin:delivery", args=[waiting.pk]),
        reverse("margin:delivery", args=[mail.pk]),
        reverse("margin:delivery-letter", args=[waiting.pk]),
        reverse("margin:delivery-act", args=[waiting.pk, "not-posted"]),
        reverse("margin:notice-texts"),
        reverse("margin:notice-text-new", args=["issued"]),
        reverse("margin:notice-contacts"),
        reverse("margin:notice-contact", args=[code]),
        reverse("margin:contact-new", args=[code]),
        f"{reverse('margin:call', args=[waiting.call.number])}?tab=notice",
    ]
    assert visit(browser_page, desk_url, addresses) == []
    browser_page.set_viewport_size({"width": 1280, "height": 900})
    browser_page.goto(f"{desk_url}{addresses[1]}")
    browser_page.get_by_role("link", name="Mark printed…").click()
    browser_page.get_by_role("button", name="Mark printed").click()
    browser_page.get_by_role("link", name="Mark posted…").click()
    browser_page.get_by_label("How it was posted").fill("RR 123")
    browser_page.get_by_role("button", name="Mark posted").click()
    browser_page.get_by_text("Done: delivered.").wait_for()
    waiting.refresh_from_db()
    assert waiting.state == "delivered"
