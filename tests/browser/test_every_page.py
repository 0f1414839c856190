"""Every page a person can open, filled and empty: no fault for axe, the console or the origin.

A third of the pages, each in one theme, as the seed chooses; all in both with the full figures.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from accounts.models import Bucket, LegalEntity, Role
from ledger.models import Break, Entry, LedgerAccount, Location
from margin.models import MarginCall, Mark
from tests.accounts.people import Desk, found_desk, sign_in_page
from tests.browser.judging import Watch, overflows, violations
from tests.stage import booked_days

if TYPE_CHECKING:
    from playwright.sync_api import Page

# Addresses without arguments that are no pages for a person.
NO_PAGES = {"health", "metrics", "stream", "strip", "schema", "api-root"}
# There only where an identity provider is configured; `test_provider` goes that way.
NO_PAGES |= {"sign-in-provider", "sign-in-provider-return", "sign-in-provider-prove"}
WIDTHS = (320, 390, 1280)
THEMES = ("light", "dark")


def lists(patterns: list[URLPattern | URLResolver], space: str = "") -> Iterator[str]:
    """Names of every address that takes no argument, from the resolver itself."""
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            if not str(pattern.pattern).startswith("api/"):
                yield from lists(pattern.url_patterns, pattern.namespace or space)
        elif pattern.name not in NO_PAGES and not pattern.pattern.regex.groups:
            yield f"{space}:{pattern.name}" if space else str(pattern.name)


def judged(page: "Page", address: str, *, schemes: Sequence[str]) -> list[str]:
    """What is wrong with a page, in these themes and at three widths."""
    wrong: list[str] = []
    if page.request.get(address, max_redirects=0).status in (403, 405, 422):
        return []  # a page that another role reads, or an address of a form
    answer = page.goto(address)
    assert answer is not None
    if answer.status != 200:
        wrong.append(f"{address} answered {answer.status}")
    for scheme in schemes:
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        wrong += [f"{address} {scheme}: {fault}" for fault in violations(page)]
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        if overflows(page):
            wrong.append(f"{address} is wider than {width}")
    return wrong


def visit(
    page: "Page", desk_url: str, addresses: list[str], chance: Random | None = None
) -> list[str]:
    """What is wrong with the pages: in one theme each, as it comes, or without chance in both."""
    watch = Watch(desk_url).on(page)
    wrong = []
    for address in addresses:
        schemes = THEMES if chance is None else (chance.choice(THEMES),)
        wrong += judged(page, f"{desk_url}{address}", schemes=schemes)
    return wrong + watch.complaints


def addresses_of_lists() -> list[str]:
    return sorted({reverse(name) for name in lists(get_resolver().url_patterns)})


def some(addresses: list[str], chance: Random | None) -> list[str]:
    """A third of them, as it comes; all without chance."""
    if chance is None:
        return addresses
    return sorted(chance.sample(addresses, -(-len(addresses) // 3)))


@pytest.fixture(params=["some in one theme", pytest.param("all", marks=pytest.mark.soak)])
def themes(request: pytest.FixtureRequest, chance: Random) -> Random | None:
    """How pages and themes are chosen; none where all are looked at in both."""
    return None if request.param == "all" else chance


@pytest.mark.parametrize("role", [Role.OPERATIONS, Role.ADMINISTRATOR])
def test_every_empty_page_is_sound(
    db: None, browser_page: "Page", desk_url: str, themes: Random | None, role: Role
) -> None:
    sign_in_page(browser_page, desk_url, found_desk()[role])
    addresses = some(addresses_of_lists(), themes)
    assert visit(browser_page, desk_url, addresses, themes) == []


@pytest.fixture
def filled(db: None, tmp_path: Path) -> Desk:
    """A firm with two days in the book and somebody in every role."""
    booked_days(tmp_path / "firm", accounts=60, seed=3, days=2)
    return found_desk(entity=LegalEntity.objects.get())


def addresses_of_things() -> list[str]:
    """One of each thing that has a page, the most troubled first."""
    call = MarginCall.objects.open().order_by("number")[0]
    assert call.scope.bucket is not None
    page_of_call = reverse("margin:call", args=[call.number])
    return [
        page_of_call,
        *(f"{page_of_call}?explain={what}" for what in ("equity", "initial_margin")),
        reverse("margin:account", args=[call.scope.bucket.account.code]),
        reverse("margin:price", args=[Mark.objects.order_by("-pk")[0].asset.code]),
        reverse("margin:model", args=["delta"]),
        what_if_of(call),
        mode_switch_of(call),
        reverse("ledger:break", args=[Break.objects.order_by("pk")[0].pk]),
        reverse("ledger:account-statement", args=[claim_of(call.scope.bucket).pk]),
        reverse("ledger:location", args=[Location.objects.get(code="bank:client-usd").code]),
        reverse("ledger:entry", args=[Entry.objects.order_by("-pk")[0].pk]),
    ]


def what_if_of(call: MarginCall) -> str:
    """A trade and a price that are only thought of, for the scope that is called."""
    bucket = call.scope.bucket
    assert bucket is not None
    typed = {
        "bucket": bucket.code, "trade1-asset": "BTC-PERP", "trade1-quantity": "0.01",
        "money1-asset": "USD", "money1-amount": "100000", "price1-asset": "BTC-PERP",
        "price1-price": "9000",
    }  # fmt: skip
    return f"{reverse('margin:what-if', args=[bucket.account.code])}?{urlencode(typed)}"


def mode_switch_of(call: MarginCall) -> str:
    """The account of the call under another agreement of the firm."""
    bucket = call.scope.bucket
    assert bucket is not None
    typed = {"agreement": "STRICT", "effective_from": "2031-03-05"}
    return f"{reverse('margin:mode-switch', args=[bucket.account.code])}?{urlencode(typed)}"


def claim_of(bucket: Bucket) -> LedgerAccount:
    return LedgerAccount.objects.filter(bucket=bucket, account_class="claim").order_by("pk")[0]


def test_every_filled_page_is_sound(
    filled: Desk, browser_page: "Page", desk_url: str, themes: Random | None
) -> None:
    sign_in_page(browser_page, desk_url, filled[Role.OPERATIONS])
    addresses = some(addresses_of_lists(), themes) + some(addresses_of_things(), themes)
    assert visit(browser_page, desk_url, addresses, themes) == []
