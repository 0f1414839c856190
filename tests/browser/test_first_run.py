"""An empty book: the door says how to begin, and every empty list why and what to do."""

from typing import TYPE_CHECKING

from django.db import connection
from django.urls import get_resolver, reverse

from accounts.models import Role
from tests.accounts.people import found_desk, sign_in_page
from tests.browser.judging import Watch, violations
from tests.browser.test_every_page import lists

if TYPE_CHECKING:
    from playwright.sync_api import Page

# Tables that have a head and nothing beneath it.
BARE = """() => [...document.querySelectorAll("main table")]
  .filter((table) => table.querySelector("thead") && !table.querySelector("tbody tr, tfoot tr"))
  .map((table) => table.outerHTML.slice(0, 200))"""
# What an empty place says: a heading and a sentence.
SAID = """() => [...document.querySelectorAll("main .empty")]
  .map((place) => [place.querySelector("h3")?.innerText, place.querySelector("p")?.innerText])"""


def test_the_door_of_an_empty_book_says_how_to_load_the_demo(
    db: None, browser_page: "Page", desk_url: str
) -> None:
    watch = Watch(desk_url).on(browser_page)
    browser_page.goto(desk_url)
    said = browser_page.inner_text("main")
    assert "Nobody works here yet." in said
    assert "manage.py demo" in said
    for scheme in ("light", "dark"):
        browser_page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        assert violations(browser_page) == []
    found_desk()
    browser_page.reload()
    assert "Nobody works here yet." not in browser_page.inner_text("main")
    assert watch.complaints == []


def test_every_empty_list_says_why_and_shows_no_bare_table(
    db: None, browser_page: "Page", desk_url: str
) -> None:
    sign_in_page(browser_page, desk_url, found_desk()[Role.OPERATIONS])
    connection.close()
    empty, wrong = 0, []
    for address in sorted({reverse(name) for name in lists(get_resolver().url_patterns)}):
        answer = browser_page.request.get(f"{desk_url}{address}", max_redirects=0)
        kind = answer.headers.get("content-type", "")
        if answer.status != 200 or not kind.startswith("text/html"):
            continue
        browser_page.goto(f"{desk_url}{address}")
        places = browser_page.evaluate(SAID)
        if browser_page.evaluate(BARE):
            wrong.append(f"{address} has a bare table")
        if not all(title and len(text or "") > 10 for title, text in places):
            wrong.append(f"{address} does not say why: {places}")
        empty += bool(places)
    assert wrong == []
    assert empty > 8
