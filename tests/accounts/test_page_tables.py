"""Any table of a page as a file: what the page shows, with every digit."""

import csv
import io
import json
from decimal import Decimal

import pytest
from django.test import Client as Browser
from django.urls import reverse

from accounts.models import Role
from accounts.page_tables import tables_of, value_of
from tests.accounts.people import Desk, found_desk, sign_in

PAGE = """
<title>Account A1 · Example</title><h1>Account <b>A1</b></h1><h2>Money</h2>
<div role="region" aria-label="Money table"><table><thead><tr><th class="pick"><input></th>
<th scope="col"><button class="sort">Asset<svg><use/></svg></button></th><th>Amount</th>
<th>Amount</th></tr></thead><tbody>
<tr><td class="pick"><input type="checkbox"></td><th scope="row"><a href="/x">USD</a></th>
<td><a class="why" href="/y"><data value="-1234.56789">&minus;1,234.57</data></a></td>
<td><time datetime="2031-03-03T21:00:00Z" title="…">3 Mar</time></td></tr>
<tr><th scope="row">=1+1</th><td colspan="2"><data value="0.071">7.1&nbsp;%</data>
<span aria-hidden="true">·</span><form><button>Take…</button></form></td></tr></tbody>
<tfoot><tr><td>Sum</td></tr></tfoot></table></div>
<h2>Nothing</h2><table><thead><tr><th>A</th></tr></thead><tbody></tbody></table>
<table><caption>Runs  of the day</caption><thead data-paged><tr><th>Run</th></tr></thead>
<tbody><tr><td>MR-1</td></tr></tbody></table>
"""


def test_a_page_is_read_with_all_digits_and_without_what_is_for_the_hand() -> None:
    title, (money, runs) = tables_of(PAGE)
    assert title == "Account A1"
    assert (money.name, runs.name) == ("Money", "Runs of the day")
    assert money.columns == ["Asset", "Amount", "Amount 2"]
    assert money.records == [
        ["USD", Decimal("-1234.56789"), "2031-03-03T21:00:00Z"],
        ["=1+1", Decimal("0.071"), ""],
    ]
    assert (money.is_paged, runs.is_paged) == (False, True)


@pytest.mark.parametrize(
    ("text", "value"),
    [("  -5 ", Decimal(-5)), ("5 USD", "5 USD"), ("1e5", "1e5"), ("", ""), ("+5", "+5")],
)
def test_a_cell_is_a_number_where_it_says_nothing_else(text: str, value: object) -> None:
    assert value_of(text) == value


@pytest.fixture
def desk(db: None) -> Desk:
    return found_desk()


def test_the_tables_of_a_page_are_offered_and_given(desk: Desk, client: Browser) -> None:
    sign_in(client, desk[Role.COMPLIANCE])
    page = reverse("accounts:people")
    offered = client.get(page, {"tables": "list"})
    assert offered.status_code == 200
    assert "tables=1.xlsx" in offered.content.decode()
    answer = client.get(page, {"tables": "1.csv"})
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert any("L. Brandt" in "".join(row.values()) for row in rows)
    said = json.loads(client.get(page, {"tables": "1.json"}).content)
    assert (said["count"], said["page"]) == (len(rows), "People")
    assert client.get(page, {"tables": "1.xlsx"}).content[:2] == b"PK"


def test_a_table_that_is_not_there_is_not_found(desk: Desk, client: Browser) -> None:
    sign_in(client, desk[Role.COMPLIANCE])
    assert client.get(reverse("accounts:people"), {"tables": "99.csv"}).status_code == 404
    assert client.get(reverse("accounts:people"), {"tables": "all.csv"}).status_code == 404


def test_nobody_gets_the_tables_of_a_page_they_may_not_read(desk: Desk, client: Browser) -> None:
    sign_in(client, desk[Role.TREASURY])
    assert client.get(reverse("accounts:people"), {"tables": "1.csv"}).status_code == 403
    client.logout()
    client.cookies.clear()
    assert client.get(reverse("accounts:people"), {"tables": "1.csv"}).status_code == 302
