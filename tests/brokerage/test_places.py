"""Every address a template names exists; a template that tolerates a missing one hides a fault."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.template import Context, Template
from django.test import RequestFactory
from django.urls import URLPattern, URLResolver, get_resolver, reverse

NAMED = re.compile(r"""{%\s*(?:url|place)\s+["']([\w:-]+)["']""")


def names(resolver: URLResolver, *, within: str = "") -> Iterator[str]:
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLPattern):
            if pattern.name:
                yield f"{within}{pattern.name}"
        else:
            namespace = f"{within}{pattern.namespace}:" if pattern.namespace else within
            yield from names(pattern, within=namespace)


def templates() -> list[Path]:
    return sorted((Path(settings.ROOT) / "templates").rglob("*.html"))


@pytest.mark.parametrize("template", templates(), ids=lambda path: path.name)
def test_every_address_that_a_template_names_exists(template: Path) -> None:
    known = set(names(get_resolver()))
    assert {name for name in NAMED.findall(template.read_text()) if name not in known} == set()


def test_the_rail_leads_to_all_ten_places() -> None:
    rail = (Path(settings.ROOT) / "templates" / "_rail.html").read_text()
    assert {
        "brokerage:day", "margin:calls", "ledger:breaks", "accounts:approvals", "margin:accounts",
        "ledger:locations", "margin:prices", "brokerage:reports", "accounts:audit",
        "brokerage:jobs",
    } <= set(NAMED.findall(rail))  # fmt: skip


ALSO = re.compile(r'place "([\w:-]+)".* also="([^"]+)"')


def test_a_page_beneath_a_place_of_the_rail_marks_that_place() -> None:
    rail = (Path(settings.ROOT) / "templates" / "_rail.html").read_text()
    beneath = [(top, page) for top, pages in ALSO.findall(rail) for page in pages.split()]
    assert ("ledger:buckets", "ledger:transit") in beneath
    for top, page in beneath:
        words = f'{{% load desk %}}{{% place "{top}" "lock" "Here" also="{page}" %}}'
        shown = Template(words).render(Context({"request": RequestFactory().get(reverse(page))}))
        assert 'aria-current="true"' in shown, page


def test_no_template_has_an_inline_style_or_script() -> None:
    inline = re.compile(r"<style|<script(?![^>]*\bsrc=)|\sstyle=|\son[a-z]+=[\"']|javascript:")
    assert [path.name for path in templates() if inline.search(path.read_text())] == []
