"""Pages read in the past, late entries and closed periods: as sound as the pages of the present."""

from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from django.urls import reverse

from accounts.models import Role
from ledger.horizons import store_horizon
from ledger.periods import close_period
from tests.accounts.people import person, sign_in_page
from tests.browser.test_every_page import visit
from tests.ledger.book import NOON, found_book

if TYPE_CHECKING:
    from playwright.sync_api import Page


def test_every_page_of_the_past_is_sound(db: None, browser_page: "Page", desk_url: str) -> None:
    book = found_book(db)
    legs = (("client_bank", "500"), ("alice", "-500"))
    book.post("deposit", *legs, at=NOON + timedelta(days=5), reference="D-5")
    at = store_horizon("test").taken_at.isoformat()
    book.post("deposit", *legs, at=NOON + timedelta(days=2), reference="D-2")
    treasury = book.desk[Role.TREASURY]
    close_period(
        book.desk.entity.pk,
        through=NOON.date(),
        reason="February is reconciled",
        actor=person(treasury),
    )
    sign_in_page(browser_page, desk_url, treasury)
    then = urlencode({"known_at": at, "as_of": "2026-02-08"})
    compared = urlencode({"as_of": "2026-02-08", "from": at})
    account = reverse("margin:account", args=[book.buckets["alice"].account.code])
    past = [reverse(f"ledger:{name}") for name in ("locations", "entries", "trial-balance")]
    addresses = [
        *(f"{address}?{then}" for address in (*past, account)),
        *(reverse(f"ledger:{name}") for name in ("back-dated", "periods", "trial-balance")),
        f"{reverse('brokerage:restatement')}?{compared}",
    ]
    assert visit(browser_page, desk_url, addresses) == []
