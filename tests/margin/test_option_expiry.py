"""Options that are over: paid at the price of their day, once, or open with somebody's task."""

import json
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client as Browser
from django.urls import reverse

from accounts.audit import Actor, acting
from accounts.models import Role
from brokerage.expiry import TASK, settle_expired
from brokerage.inbox.cycle import run_day
from brokerage.verify import verify
from ledger.models import Asset, Balance, Entry, Loss
from margin.market.rows import load_market
from margin.models import Mark, Task
from margin.runs import replay
from tests.accounts.people import sign_in
from tests.margin.optioned import (
    ACCOUNTS,
    SECOND_DAY,
    SHARE,
    THIRD_DAY,
    OptionFirm,
    cash,
    held,
    newest_run,
    option_firm,
    result_of,
    volatilities,
    write_day,
)

D = Decimal
FUNDED = dict.fromkeys(ACCOUNTS, "100000.00")
SOON = "LUMQ-C520S"
ACTOR = Actor.command("test")
BOTH = [("B0001", SOON, "buy", "2", "21.37"), ("B0002", SOON, "sell", "2", "21.37")]


@pytest.fixture
def firm(db: None, tmp_path: Path) -> OptionFirm:
    return option_firm(tmp_path / "firm", model="delta")


def traded(firm: OptionFirm, trades: Any = tuple(BOTH), *, deposits: Any = None) -> None:
    """The second day: money comes in, and the option is traded."""
    load_market(volatilities(SECOND_DAY), actor=ACTOR)
    write_day(
        firm.days[1], deposits=FUNDED if deposits is None else deposits, trades=list(trades),
        prices={SOON: "21.50"},
    )  # fmt: skip
    assert run_day(firm.days[1])["rejected"] == []


def settled(account: str) -> list[Entry]:
    return list(
        Entry.objects.filter(
            kind_id__in=("option_settlement", "covered_loss", "uncovered_loss"),
            postings__account__bucket__account__code=account,
        ).distinct()
    )


def money_of_all() -> Decimal:
    """Client money, whoever has it."""
    return sum(
        (row.amount for row in Balance.objects.filter(
            account__owner_class="CLIENT", account__asset__code="USD",
            account__account_class__in=("claim", "residual_interest"))),
        D(0),
    )  # fmt: skip


@pytest.mark.parametrize(("price", "paid"), [("540", "4000.00"), ("520", "0"), ("519.99", "0")])
def test_what_a_holder_gets_the_other_side_pays(firm: OptionFirm, price: str, paid: str) -> None:
    traded(firm)
    before, long, short = money_of_all(), cash("B0001"), cash("B0002")
    write_day(firm.days[2], prices={SHARE: price})
    run_day(firm.days[2])
    assert (cash("B0001") - long, cash("B0002") - short) == (D(paid), -D(paid))
    assert held("B0001", SOON) == held("B0002", SOON) == (D(0), D(0))
    assert [e.kind_id for a in ACCOUNTS for e in settled(a)] == ["option_settlement"] * 2
    assert money_of_all() == before
    assert not Balance.objects.filter(account__asset__code=SOON).exclude(amount=0).exists()
    assert not Task.objects.filter(kind=TASK).exists()
    # Over their life both sides together gained nothing but fees of 1.00 each.
    assert cash("B0001") + cash("B0002") == D(200000) - 2
    assert verify().as_json()["first_wrong"] is None
    assert replay(newest_run().number).is_same


def book_as_it_stands() -> list[object]:
    """Entries, balances and tasks."""
    return [
        list(Entry.objects.order_by("pk").values_list("pk", "kind_id", "reference")),
        list(Balance.objects.order_by("pk").values_list("pk", "amount", "seq")),
        list(Task.objects.order_by("pk").values_list("pk", "closed_at")),
    ]


def test_settling_again_changes_nothing(firm: OptionFirm) -> None:
    traded(firm)
    write_day(firm.days[2])
    run_day(firm.days[2])
    before = book_as_it_stands()
    run_day(firm.days[2])
    out = StringIO()
    call_command("expire_options", "--apply", "--json", stdout=out)
    assert json.loads(out.getvalue()) == {"settlements": [], "waiting": []}
    assert book_as_it_stands() == before


def test_the_preview_says_what_is_then_posted(firm: OptionFirm) -> None:
    traded(firm)
    as_of = newest_run().as_of.replace(day=THIRD_DAY.day)
    mark = Mark(asset=Asset.objects.get(code=SHARE), as_of=as_of, business_day=THIRD_DAY)
    mark.price, mark.state, mark.used, mark.dropped = D(540), Mark.State.VALID, [], []
    with acting(ACTOR, reason="A price for a test"):
        mark.save()
    before, out = book_as_it_stands(), StringIO()
    call_command("expire_options", "--json", stdout=out)
    said = json.loads(out.getvalue())
    assert book_as_it_stands() == before
    assert [(each["account"], each["cash"]) for each in said["settlements"]] == [
        ("B0001", "4000"), ("B0002", "-4000"),
    ]  # fmt: skip
    with acting(ACTOR, reason="Options over"):
        plan = settle_expired(day=THIRD_DAY, as_of=as_of)
    assert plan.as_json()["settlements"] == said["settlements"]
    assert cash("B0001") == D(100000) - D("4274") - 1 + 4000


def test_without_a_good_price_it_waits_and_somebody_has_a_task(firm: OptionFirm) -> None:
    traded(firm)
    before = cash("B0001"), cash("B0002")
    write_day(firm.days[2], prices={SHARE: ""})
    run_day(firm.days[2])
    assert (cash("B0001"), cash("B0002")) == before
    assert held("B0001", SOON)[0] == 2
    assert not settled("B0001")
    task = Task.objects.get(kind=TASK)
    assert task.key == SOON
    assert SHARE in task.detail
    browser = Browser()
    sign_in(browser, firm.desk[Role.OPERATIONS])
    rows = browser.get(reverse("margin:tasks"), {"kind": TASK}).context["rows"]
    assert [row.task for row in rows] == [task]
    assert "expired_option" in result_of("B0001").flags


def test_nothing_is_traded_once_it_is_over(firm: OptionFirm) -> None:
    traded(firm)
    write_day(firm.days[2], trades=[("B0001", SOON, "buy", "1", "20")], at="12:00:00")
    outcome = run_day(firm.days[2])
    assert [each["reason"] for each in outcome["rejected"]] == ["option_expired"]


def test_a_loss_beyond_the_bucket_goes_the_way_of_losses(firm: OptionFirm) -> None:
    traded(
        firm,
        [("B0001", SOON, "buy", "1", "21.37"), ("B0002", SOON, "sell", "1", "21.37")],
        deposits={"B0001": "100000.00", "B0002": "100.00"},
    )
    assert cash("B0002") == D("2236.00")
    write_day(firm.days[2], prices={SHARE: "545"})
    run_day(firm.days[2])
    assert cash("B0002") == 0
    assert cash("B0001") == D("97862.00") + D(2500)
    loss = Loss.objects.get(entry__in=settled("B0002"))
    assert (loss.realised, loss.shortfall) == (D(-2500), D(264))
    assert loss.insurance + loss.house + loss.uncovered == D(264)
    assert verify().as_json()["first_wrong"] is None
