"""Feeds on screen and in `/metrics`: latencies, promises, incidents, and rules asked for."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from accounts.audit import Actor, acting
from accounts.models import Approval, Role
from margin.engine.parameters import written_parameters
from margin.engine.price_rules import STANDARD_RULES, PriceRules
from margin.market.feeds import Latency, feeds_of, latencies
from margin.market.marks import priced_assets
from margin.market.rules import request_rule
from margin.models import Mark, MarketRule, Price
from tests.accounts.people import person, sign_in
from tests.ledger.agreeing import agreed
from tests.margin.firm import SmallFirm
from tests.margin.typed import typed_values

D = Decimal
WHY = "Agreed in the risk committee"


def signed_in(firm: SmallFirm, role: Role) -> Browser:
    browser = Browser()
    sign_in(browser, firm.desk[role])
    return browser


def delayed(source: str, seconds: int, *, count: int = 3) -> None:
    """Prices of a source that came so many seconds after their events."""
    now, asset = timezone.now(), priced_assets()[0]
    with acting(Actor.command("test"), reason="A source that is late"):
        for n in range(count):
            Price.objects.create(
                asset=asset, source=source, observed_at=now - timedelta(seconds=seconds),
                received_at=now, price=D(100), business_day=now.date(), file_sha256=source, line=n,
            )  # fmt: skip


def promised(firm: SmallFirm, source: str, seconds: float) -> None:
    agreed(
        request_rule(
            kind="feed", name=source, effective_from=timezone.now().date(), reason=WHY,
            values={"seconds_most": seconds, "is_expected": False}, legal_entity=firm.desk.entity,
            actor=person(firm.desk[Role.RISK]),
        ),
        firm.desk[Role.COMPLIANCE],
    )  # fmt: skip


def test_thirty_seconds_of_delay_show_on_the_page_and_in_metrics(firm: SmallFirm) -> None:
    delayed("slow", 30)
    promised(firm, "slow", 29.0)
    today = timezone.now().date()
    (found,) = [each for each in latencies(today) if each.source == "slow"]
    assert found == Latency("slow", "received", (0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0), 90.0, 30.0)
    (feed,) = [each for each in feeds_of(today) if each.source == "slow"]
    assert (feed.late, feed.is_breached) == (3, True)
    page = signed_in(firm, Role.AUDITOR).get(reverse("margin:feeds"), {"day": today.isoformat()})
    assert "Later than promised" in page.content.decode()
    assert "up to 30 s" in page.content.decode()
    text = Browser().get("/metrics").content.decode()
    name = 'brokerage_feed_latency_seconds_bucket{source="slow",stage="received",le='
    assert f'{name}"15"}} 0' in text
    assert f'{name}"30"}} 3' in text
    assert f'{name}"+Inf"}} 3' in text
    assert 'brokerage_feed_latency_seconds_sum{source="slow",stage="received"} 90.0' in text


def test_a_price_exactly_as_late_as_promised_is_in_time(firm: SmallFirm) -> None:
    delayed("slow", 30)
    promised(firm, "slow", 30.0)
    (feed,) = [each for each in feeds_of(timezone.now().date()) if each.source == "slow"]
    assert (feed.late, feed.is_breached) == (0, False)


def test_metrics_are_well_formed_and_name_nobody(firm: SmallFirm) -> None:
    delayed('quo"te\\', 1, count=1)
    answer = Browser().get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    text = answer.content.decode()
    assert 'source="quo\\"te\\\\"' in text
    samples = [line for line in text.splitlines() if not line.startswith("#")]
    for line in samples:
        float(line.rpartition(" ")[2])
    newest = Mark.objects.latest("as_of").as_of
    for state in ("VALID", "INSUFFICIENT", "STALE"):
        count = Mark.objects.filter(as_of=newest, state=state).count()
        assert f'brokerage_marks{{state="{state}"}} {count}' in samples
    assert Browser().post("/metrics").status_code == 405
    assert "A00" not in text


def test_rules_are_asked_for_on_screen_and_shown_value_by_value(firm: SmallFirm) -> None:
    browser = signed_in(firm, Role.RISK)
    address = reverse("margin:market-rule-new", args=["price", "BTC"])
    assert address in browser.get(reverse("margin:price", args=["BTC"])).content.decode()
    assert browser.get(address).status_code == 200
    values = written_parameters(STANDARD_RULES) | {"dislocated_beyond": 0.1}
    typed = typed_values(PriceRules, values) | {"effective_from": "2031-03-05", "reason": WHY}
    for name, wrong in (("sources_min", "1"), ("sources_min", "two"), ("method", "guess"),
                        ("sources", "venue, X, much, 5"), ("confidence.least", "")):  # fmt: skip
        refused = browser.post(address, typed | {name: wrong})
        assert refused.status_code == 422
        assert list(refused.context["form"].errors) == [name]
        assert refused.context["form"]["dislocated_beyond"].value() == "0.1", "input is kept"
    assert not Approval.objects.exists()
    assert browser.post(address, typed).status_code == 302
    assert not MarketRule.objects.exists()
    agreed(Approval.objects.get().pk, firm.desk[Role.COMPLIANCE])
    rule = MarketRule.objects.get()
    page: Any = browser.get(reverse("margin:market-rule", args=[rule.pk]))
    shown = {field.path: field.value for field in page.context["fields"]}
    assert shown["dislocated_beyond"] == 0.1
    assert browser.get(reverse("margin:market-rule", args=[rule.pk + 1])).status_code == 404
    assert browser.get(reverse("margin:market-rule-new", args=["tea", "BTC"])).status_code == 404
    auditor = signed_in(firm, Role.AUDITOR)
    assert auditor.post(address, typed).status_code == 403
    assert auditor.get(reverse("margin:feeds")).status_code == 200


@pytest.mark.parametrize("code", ["BTC", "BTC-PERP"])
def test_a_price_says_how_old_and_how_late_each_source_was(firm: SmallFirm, code: str) -> None:
    page: Any = signed_in(firm, Role.AUDITOR).get(
        reverse("margin:price", args=[code]), {"day": "2031-03-03"}
    )
    for row in page.context["sources"]:
        mark = page.context["mark"]
        assert row.age == int((mark.as_of - row.price.observed_at).total_seconds())
        assert row.late == int((row.price.received_at - row.price.observed_at).total_seconds())
