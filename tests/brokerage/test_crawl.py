"""Every link that a page shows to a role leads somewhere, and no form works without its token."""

from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urldefrag, urljoin, urlsplit

import pytest
from django.test import Client as Browser
from django.urls import resolve, reverse

from accounts.models import Act, LegalEntity, Role
from brokerage.middleware import HEADERS
from tests.accounts.people import Desk, found_desk, sign_in
from tests.stage import booked_days

# So many addresses of one kind are followed: other things, or the same sorted and filtered.
ALIKE, ALIKE_FULL = 2, 5
LEFT_OUT = ("/static/", "/stream/", "/theme/")


class Links(HTMLParser):
    """What a page leads to: links, and forms with how they are sent."""

    def __init__(self, page: str, text: str) -> None:
        super().__init__()
        self.page, self.links, self.forms = page, set[str](), set[tuple[str, str]]()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "a" and (link := found.get("href")):
            self.links.add(urldefrag(urljoin(self.page, link)).url)
        if tag == "form":
            method = (found.get("method") or "get").lower()
            self.forms.add((method, urljoin(self.page, found.get("action") or "")))


@pytest.fixture
def filled(db: None, tmp_path: Path) -> Desk:
    booked_days(tmp_path / "firm", accounts=8, seed=5, days=2)
    return found_desk(entity=LegalEntity.objects.get())


def crawl(browser: Browser, *, alike_max: int) -> tuple[dict[str, int], set[str], list[str]]:
    """Addresses with how they answered, the targets of POST forms, and what was wrong."""
    waiting, answers, posts = [reverse("brokerage:day")], dict[str, int](), set[str]()
    wrong: list[str] = []
    alike: Counter[str] = Counter()
    while waiting:
        address = waiting.pop(0)
        path = urlsplit(address).path
        if address in answers or path.startswith(LEFT_OUT):
            continue
        kind = resolve(path).view_name
        alike[kind] += 1
        if alike[kind] > alike_max:
            continue
        answer = browser.get(address)
        answers[address] = answer.status_code
        wrong += [f"{address} lacks {name}" for name in HEADERS if name not in answer.headers]
        if answer.headers.get("Cache-Control") != "no-store":
            wrong.append(f"{address} may be cached")
        if answer.status_code in (301, 302):
            waiting.append(urljoin(address, answer.headers["Location"]))
        elif answer.headers.get("Content-Type", "").startswith("text/html"):
            found = Links(address, answer.content.decode())
            outside = {link for link in found.links if urlsplit(link).netloc}
            wrong += [f"{address} leads away to {link}" for link in outside]
            waiting += sorted(found.links - outside)
            posts |= {target for method, target in found.forms if method == "post"}
    return answers, posts, wrong


@pytest.mark.parametrize(
    "alike_max", [ALIKE, pytest.param(ALIKE_FULL, marks=pytest.mark.soak)], ids=["some", "more"]
)
def test_every_link_shown_to_a_role_leads_somewhere(filled: Desk, alike_max: int) -> None:
    posts: dict[Role, set[str]] = {}
    for role in Role:
        browser = Browser(enforce_csrf_checks=True)
        sign_in(browser, filled[role])
        answers, posts[role], wrong = crawl(browser, alike_max=alike_max)
        wrong += [f"{address} answered {code}" for address, code in answers.items() if code >= 400]
        assert wrong == [], role
        assert len(answers) > 10

        before = Act.objects.count()
        said = {
            target: browser.post(target, {"reason": "Forged by another site"}).status_code
            for target in sorted(posts[role])
        }
        assert set(said.values()) <= {403}, said
        assert Act.objects.count() == before
    assert len(set.union(*posts.values())) > 3
