"""Sub-accounts: a client's roll-up is the sum of its parts, and each desk sees its own alone."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db.models import Sum
from django.test import Client as Browser
from django.urls import reverse

from accounts.models import LegalEntity, MarginAccount, Role
from ledger.models import Balance
from margin.models import MarginResult, MarginRun
from margin.rollup import client_tree
from tests.accounts.people import Desk, sign_in
from tests.margin.firm import crashed_firm


@pytest.fixture
def desk(db: None, tmp_path: Path) -> Desk:
    return crashed_firm(tmp_path / "firm").desk


def first_two(firm: LegalEntity) -> tuple[MarginAccount, MarginAccount]:
    found = list(
        MarginAccount.objects.filter(
            legal_entity=firm, owner_class="CLIENT", mode="cross", client__isnull=False
        ).order_by("code")[:2]
    )
    return found[0], found[1]


@pytest.fixture
def pair(desk: Desk, superuser: psycopg.Connection[Any]) -> tuple[MarginAccount, MarginAccount]:
    """Two accounts made one client's, the second a sub-account, each with a desk of its own.

    Whose an account is never changes, so that is written past the guards.
    """
    parent, child = first_two(desk.entity)
    superuser.execute("ALTER TABLE accounts_marginaccount DISABLE TRIGGER USER")
    superuser.execute(
        "UPDATE accounts_marginaccount SET client_id = %s, parent_id = %s, desk = 'second'"
        " WHERE id = %s",
        [parent.client_id, parent.pk, child.pk],
    )
    superuser.execute("UPDATE accounts_marginaccount SET desk = 'first' WHERE id = %s", [parent.pk])
    superuser.execute("ALTER TABLE accounts_marginaccount ENABLE TRIGGER USER")
    return (
        MarginAccount.objects.select_related("client").get(pk=parent.pk),
        MarginAccount.objects.select_related("client").get(pk=child.pk),
    )


def test_a_roll_up_is_the_sum_of_its_parts(pair: tuple[MarginAccount, MarginAccount]) -> None:
    parent, child = pair
    assert parent.client is not None
    run = MarginRun.objects.latest("pk")
    accounts = list(MarginAccount.objects.filter(client=parent.client))
    tree = client_tree(parent.client, accounts, results=MarginResult.objects.filter(run=run))
    results = MarginResult.objects.filter(run=run, scope__bucket__account__in=accounts)
    said = results.aggregate(
        equity=Sum("equity"), initial=Sum("initial_margin"), maintenance=Sum("maintenance_margin")
    )
    assert (tree.sums.equity, tree.sums.initial, tree.sums.maintenance) == tuple(said.values())
    assert tree.sums.scopes == results.count() >= 2
    owed = Balance.objects.filter(
        account__margin_account__in=accounts, account__account_class__in=("claim", "position")
    ).exclude(amount=0)
    totals: dict[str, Decimal] = {}
    for asset, amount in owed.values_list("account__asset__code", "amount"):
        totals[asset] = totals.get(asset, Decimal(0)) - amount
    assert dict(tree.sums.held) == totals
    top = next(node for node in tree.children if node.code == parent.code)
    assert child.code in [node.code for node in top.children]
    assert top.sums.equity == sum(node.sums.equity for node in top.children)


def desk_role(desk: Desk, superuser: psycopg.Connection[Any], name: str) -> Browser:
    """Somebody whose role reads one desk alone, given past the guards."""
    operator = desk[Role.OPERATIONS]
    superuser.execute("ALTER TABLE accounts_rolegrant DISABLE TRIGGER USER")
    superuser.execute(
        "UPDATE accounts_rolegrant SET desk = %s WHERE operator_id = %s", [name, operator.pk]
    )
    browser = Browser()
    sign_in(browser, operator)
    return browser


def test_a_sub_account_trader_cannot_see_the_sibling(
    desk: Desk, pair: tuple[MarginAccount, MarginAccount], superuser: psycopg.Connection[Any]
) -> None:
    parent, child = pair
    assert parent.client is not None
    browser = desk_role(desk, superuser, "second")
    page = browser.get(reverse("margin:client", args=[parent.client.code])).content.decode()
    assert child.code in page
    assert parent.code not in page
    assert browser.get(reverse("margin:account", args=[parent.code])).status_code == 404
    own = browser.get(reverse("margin:account", args=[child.code]))
    assert own.status_code == 200
    assert f"/{parent.code}/" not in own.content.decode()
    for address in (
        "/api/balances/", "/api/entries/", "/api/margin-calls/", "/api/tasks/",
        f"/api/margin-runs/{MarginRun.objects.latest('pk').number}/results/",
    ):  # fmt: skip
        answer = browser.get(address)
        assert answer.status_code == 200, address
        assert f'"{parent.code}"' not in answer.content.decode(), address
    assert browser.get(f"/api/balances/?account={child.code}").json()["results"]
    assert not browser.get(f"/api/balances/?account={parent.code}").json()["results"]


def test_two_strategies_of_one_client_margin_separately(
    pair: tuple[MarginAccount, MarginAccount],
) -> None:
    parent, child = pair
    assert parent.client is not None
    run = MarginRun.objects.latest("pk")
    tree = client_tree(parent.client, [parent, child], results=run.results.all())
    models = {node.code: (node.model, node.sums.initial) for _, node in tree.lines()}
    assert models[parent.code][0] == models[child.code][0] == "house-rules"
    results = MarginResult.objects.filter(run=run, scope__bucket__account__in=[parent.pk, child.pk])
    own = models[parent.code][1] - models[child.code][1]
    assert {r.initial_margin for r in results} == {own, models[child.code][1]}
    assert len({r.scope_id for r in results}) == 2
