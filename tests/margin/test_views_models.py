"""The register of models on screen: asked for by one, agreed by another, shown to all."""

import json
from datetime import date
from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse
from django.utils.html import escape

from accounts.models import Approval, Role
from margin.engine.models import MODELS
from margin.models import ModelDecision, ParameterSet
from tests.accounts.people import sign_in
from tests.ledger.agreeing import agreed
from tests.margin.firm import SmallFirm

DAY = "2031-03-05"
VALUES = {"shock": 0.15, "residual": 0.02, "maintenance_share": 0.75}


@pytest.fixture
def browser(firm: SmallFirm) -> Browser:
    browser = Browser()
    sign_in(browser, firm.desk[Role.RISK])
    return browser


def ask_parameters(browser: Browser, values: object = VALUES) -> Any:
    return browser.post(
        reverse("margin:parameters-new", args=["delta"]),
        {
            "code": "D1", "effective_from": DAY, "values": json.dumps(values),
            "reason": "Agreed in the risk committee",
        },
    )  # fmt: skip


def ask_decision(browser: Browser, standing: str) -> Any:
    return browser.post(
        reverse("margin:decision-new", args=["delta"]),
        {
            "code": "D1", "standing": standing, "owner": "Head of risk", "effective_from": DAY,
            "reason": "Agreed in the risk committee",
        },
    )  # fmt: skip


def test_the_register_lists_every_model(firm: SmallFirm, browser: Browser) -> None:
    page = browser.get(reverse("margin:models")).content.decode()
    assert all(model.title in page for model in MODELS.values())
    assert "No model is watched" in page
    for name in MODELS:
        shown = browser.get(reverse("margin:model", args=[name]))
        assert shown.status_code == 200
        for field in shown.context["declared"]:
            assert escape(field.declared.meaning) in shown.content.decode()


def test_a_model_is_set_up_and_watched_by_two_people(firm: SmallFirm, browser: Browser) -> None:
    asked = ask_parameters(browser)
    assert asked.status_code == 302
    assert not ParameterSet.objects.exists()
    agreed(Approval.objects.latest("made_at").pk, firm.desk[Role.COMPLIANCE])
    assert ParameterSet.objects.get().values == VALUES
    assert ask_decision(browser, "shadow").status_code == 302
    assert not ModelDecision.objects.exists()
    agreed(Approval.objects.latest("made_at").pk, firm.desk[Role.COMPLIANCE])
    decision = ModelDecision.objects.get()
    assert (decision.standing, decision.effective_from) == ("shadow", date(2031, 3, 5))
    page = browser.get(reverse("margin:model", args=["delta"])).content.decode()
    assert "D1 v1" in page
    assert "Head of risk" in page
    assert "Other code since" not in page


@pytest.mark.parametrize(
    "values", [VALUES | {"shock": 2}, {"shock": 0.1}, [1, 2], VALUES | {"more": 1}, "words"]
)
def test_what_is_no_parameter_set_is_said_beside_the_field(
    firm: SmallFirm, browser: Browser, values: object
) -> None:
    answer = ask_parameters(browser, values)
    assert answer.status_code == 422
    assert answer.context["form"].errors["values"]
    assert not Approval.objects.exists()


def test_a_model_without_parameters_is_not_decided(firm: SmallFirm, browser: Browser) -> None:
    answer = ask_decision(browser, "production")
    assert answer.status_code == 422
    assert "no parameters D1" in str(answer.context["form"].errors["code"])


def test_only_risk_may_ask(firm: SmallFirm) -> None:
    browser = Browser()
    sign_in(browser, firm.desk[Role.AUDITOR])
    assert browser.get(reverse("margin:models")).status_code == 200
    assert ask_parameters(browser).status_code == 403
    assert ask_decision(browser, "shadow").status_code == 403
    assert not Approval.objects.exists()


def test_a_model_that_is_not_there_is_not_found(firm: SmallFirm, browser: Browser) -> None:
    for name in ("model", "parameters-new", "decision-new"):
        assert browser.get(reverse(f"margin:{name}", args=["nothing"])).status_code == 404
