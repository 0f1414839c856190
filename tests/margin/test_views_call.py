"""The page of one call: why it was made, how one gets to the price, and acknowledging it once."""

import re
from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse

from accounts.models import Act, Role
from margin.levels import is_held_at_call
from margin.models import CallEvent, MarginCall
from margin.parts import parts_of
from tests.accounts.people import sign_in
from tests.margin.firm import PERPETUAL, SmallFirm


def signed_in(firm: SmallFirm, role: Role) -> Browser:
    browser = Browser()
    sign_in(browser, firm.desk[role])
    return browser


@pytest.fixture
def browser(firm: SmallFirm) -> Browser:
    """L. Brandt of operations, signed in."""
    return signed_in(firm, Role.OPERATIONS)


@pytest.fixture
def call(firm: SmallFirm) -> MarginCall:
    """An open call that has been delivered."""
    return MarginCall.objects.filter(state="delivered").order_by("number")[0]


def page(browser: Browser, call: MarginCall, query: str = "") -> Any:
    answer = browser.get(f"{reverse('margin:call', args=[call.number])}{query}")
    assert answer.status_code == 200
    return answer


def acknowledge(browser: Browser, call: MarginCall, words: str = "They will pay.") -> Any:
    return browser.post(reverse("margin:call-acknowledge", args=[call.number]), {"words": words})


def test_the_amount_is_what_is_missing_up_to_the_cent(browser: Browser, call: MarginCall) -> None:
    called = page(browser, call).context["called"]
    assert 0 <= call.amount - called.missing < 1
    assert called.missing == call.last_result.initial_margin - call.last_result.equity


def test_now_stands_between_the_levels(browser: Browser, call: MarginCall) -> None:
    levels = [rung.level for rung in page(browser, call).context["called"].ladder]
    assert levels == sorted(levels, reverse=True)
    assert call.last_result.equity in levels


@pytest.mark.parametrize("total", ["equity", "initial_margin", "maintenance_margin"])
def test_the_drawer_explains_every_total(browser: Browser, call: MarginCall, total: str) -> None:
    answer = page(browser, call, f"?explain={total}")
    explanation = answer.context["explanation"]
    assert explanation.total == getattr(call.last_result, total)
    assert explanation.adds_up
    assert re.search(
        r"\d+ parts? adds? up exactly|\d+ parts add up exactly", answer.content.decode()
    )


def test_a_question_nobody_knows_opens_no_drawer(browser: Browser, call: MarginCall) -> None:
    assert page(browser, call, "?explain=everything").context["explanation"] is None


def called_on_a_perpetual() -> MarginCall:
    """A call, open or ended, whose initial margin has a bracket in it."""
    calls = MarginCall.objects.select_related("last_result").order_by("number")
    return next(
        call
        for call in calls
        if any(part.kind == "im_perpetual" for part in parts_of([call.last_result]))
    )


def test_a_leaf_of_the_drawer_leads_to_the_price_and_the_bracket(browser: Browser) -> None:
    call = called_on_a_perpetual()
    answer = page(browser, call, "?explain=initial_margin")
    leaves = [leaf for part in answer.context["explanation"].parts for leaf in part.leaves()]
    leaf = next(leaf for leaf in leaves if leaf.label.startswith(PERPETUAL))
    address = next(source.address for source in leaf.sources if source.what == "Price")
    price = browser.get(address)
    assert price.status_code == 200
    assert b"charged here" in price.content
    assert b'aria-current="true"' in price.content


def test_a_missing_price_is_said_above_everything(browser: Browser) -> None:
    call = called_on_a_perpetual()
    answer = page(browser, call)
    (unpriced, *_) = answer.context["called"].unpriced
    assert unpriced.code == PERPETUAL
    held = f"Held at Call because {PERPETUAL} has no valid price."
    assert (held in answer.content.decode()) == is_held_at_call(call.last_result)
    assert f"{PERPETUAL} has no valid price" in answer.content.decode()


def test_the_life_of_a_call_is_told_oldest_first(browser: Browser, call: MarginCall) -> None:
    acknowledge(browser, call, words="Wire of 39,300 this afternoon.")
    steps = page(browser, call).context["steps"]
    first = next(step for step in steps if step.title)
    assert first.title.startswith("Issued for")
    assert (steps[-1].title, steps[-1].actor) == ("Acknowledged.", "L. Brandt")
    assert steps[-1].text == "“Wire of 39,300 this afternoon.”"


def test_the_notice_shows_its_text(browser: Browser, call: MarginCall) -> None:
    assert f"Margin call {call.number}" in page(browser, call, "?tab=notice").content.decode()


@pytest.mark.parametrize("tab", ["history", "notice", "payments", "no such tab"])
def test_every_tab_answers(browser: Browser, call: MarginCall, tab: str) -> None:
    page(browser, call, f"?tab={tab}")


def test_operations_acknowledges_a_call_once(browser: Browser, call: MarginCall) -> None:
    assert "Acknowledge…" in page(browser, call).content.decode()
    answer = acknowledge(browser, call)
    assert answer["Location"] == reverse("margin:call", args=[call.number])
    call.refresh_from_db()
    assert call.state == MarginCall.State.ACKNOWLEDGED
    assert call.owner is not None
    assert call.owner.full_name == "L. Brandt"
    event = CallEvent.objects.get(call=call, event="acknowledged")
    assert Act.objects.get(xid=event.xid).request_id == answer["X-Request-ID"]
    assert "Acknowledge…" not in page(browser, call).content.decode()


def test_the_second_to_acknowledge_hears_who_was_first(
    firm: SmallFirm, browser: Browser, call: MarginCall
) -> None:
    acknowledge(browser, call)
    second = signed_in(firm, Role.RISK)
    answer = acknowledge(second, call, words="Spoke to them too.")
    assert answer.status_code == 409
    assert "L. Brandt acknowledged this call first" in answer.content.decode()
    assert "Spoke to them too." in answer.content.decode()
    assert CallEvent.objects.filter(call=call, event="acknowledged").count() == 1


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.TREASURY, Role.COMPLIANCE])
def test_whoever_may_not_acknowledge_sees_who_can(
    firm: SmallFirm, call: MarginCall, role: Role
) -> None:
    reader = signed_in(firm, role)
    answer = page(reader, call)
    assert "L. Brandt or M. Okafor can acknowledge it." in answer.content.decode()
    assert acknowledge(reader, call).status_code == 403
    call.refresh_from_db()
    assert call.state == MarginCall.State.DELIVERED
    assert not CallEvent.objects.filter(event="acknowledged").exists()


def test_the_question_is_a_dialog_for_htmx_and_a_page_without(
    browser: Browser, call: MarginCall
) -> None:
    address = reverse("margin:call-acknowledge", args=[call.number])
    assert b"<html" in browser.get(address).content
    dialog = browser.get(address, headers={"HX-Request": "true"})
    assert b"<html" not in dialog.content
    assert b'<form method="post"' in dialog.content


def test_a_text_that_is_too_long_is_kept_and_nothing_moves(
    browser: Browser, call: MarginCall
) -> None:
    answer = acknowledge(browser, call, words="x" * 2001)
    assert answer.status_code == 422
    assert "2,000 are kept" in answer.content.decode()
    call.refresh_from_db()
    assert call.state == MarginCall.State.DELIVERED


# --- Several at once ------------------------------------------------------------------------------


def numbers(count: int) -> list[str]:
    open_calls = MarginCall.objects.filter(state="delivered").order_by("number")
    found = list(open_calls.values_list("number", flat=True)[:count])
    assert len(found) == count
    return found


def test_several_calls_are_acknowledged_after_their_count_is_typed(browser: Browser) -> None:
    picked = numbers(2)
    address = reverse("margin:calls-acknowledge")
    question = browser.get(address, {"pick": picked})
    assert (question.context["able"], question.context["action"]) == (2, "Acknowledge 2 of 2")
    wrong = browser.post(address, {"pick": picked, "reason": "Told them.", "count": "3"})
    assert wrong.status_code == 422
    assert not CallEvent.objects.filter(event="acknowledged").exists()
    done = browser.post(address, {"pick": picked, "reason": "Told them.", "count": "2"})
    assert done["Location"] == reverse("margin:calls")
    assert CallEvent.objects.filter(event="acknowledged").count() == 2


def test_what_is_refused_stays_listed_with_its_reason(browser: Browser) -> None:
    first, second = numbers(2)
    browser.post(reverse("margin:call-acknowledge", args=[first]), {"words": "Reached."})
    form = {"pick": [first, second, "MC-000000-0000"], "reason": "Told them.", "count": "1"}
    answer = browser.post(reverse("margin:calls-acknowledge"), form)
    assert answer.status_code == 409
    (failed,) = answer.context["failed"]
    assert (failed.call.number, failed.refusal) == (first, "L. Brandt acknowledged it")
    assert MarginCall.objects.get(number=second).state == MarginCall.State.ACKNOWLEDGED
    assert CallEvent.objects.filter(event="acknowledged").count() == 2


def test_an_auditor_acknowledges_nothing_in_bulk(firm: SmallFirm) -> None:
    reader = signed_in(firm, Role.AUDITOR)
    form = {"pick": numbers(1), "reason": "Told them.", "count": "1"}
    assert reader.post(reverse("margin:calls-acknowledge"), form).status_code == 403
    assert not CallEvent.objects.filter(event="acknowledged").exists()
