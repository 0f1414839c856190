"""Scopes under portfolio models, for tests: parameters, decisions and agreements, by two people."""

from datetime import date
from typing import Any

from accounts.agreements import request_version
from accounts.models import Agreement, Approval, Role
from margin.engine.explain import Node
from margin.engine.models import MODELS
from margin.engine.parameters import written_parameters
from margin.model_registry import request_decision, request_parameters
from margin.models import ModelDecision
from tests.accounts.people import Desk, person
from tests.ledger.agreeing import agreed

WHY = "Measured beside house rules for a month"
SHADOW, PRODUCTION = ModelDecision.Standing.SHADOW, ModelDecision.Standing.PRODUCTION


def set_parameters(
    desk: Desk, model: str, day: date, *, code: str = "S1", **changes: Any
) -> Approval:
    """The standard set, or one that differs from it, under a code from a day on."""
    asked = request_parameters(
        model=model, code=code, values=written_parameters(MODELS[model].standard) | changes,
        effective_from=day, legal_entity=desk.entity, reason=WHY, actor=person(desk[Role.RISK]),
    )  # fmt: skip
    return agreed(asked, desk[Role.COMPLIANCE])


def decide(desk: Desk, model: str, standing: str, day: date, *, code: str = "S1") -> Approval:
    """What a model is used for from a day on."""
    asked = request_decision(
        model=model, code=code, standing=standing, owner="Head of risk", effective_from=day,
        legal_entity=desk.entity, reason=WHY, actor=person(desk[Role.RISK]),
    )  # fmt: skip
    return agreed(asked, desk[Role.COMPLIANCE])


def put_under(
    desk: Desk, agreement: Agreement, model: str, day: date, *, code: str = "S1"
) -> Approval:
    """Have an agreement name a model from a day on."""
    old = agreement.versions.latest("version")
    asked = request_version(
        legal_entity=desk.entity, code=agreement.code,
        terms={
            "model": model, "parameters": code, "currency": old.currency,
            "effective_from": day.isoformat(), "call_level": format(old.call_level, "f"),
            "liquidation_level": format(old.liquidation_level, "f"),
            "minimum_transfer_amount": format(old.minimum_transfer_amount, "f"),
            "call_due_for": "1 day", "eligible_collateral": old.eligible_collateral,
            "segregation_regime": "", "jurisdiction": "", "document_sha256": "",
        },
        reason=WHY, actor=person(desk[Role.RISK]),
    )  # fmt: skip
    return agreed(asked, desk[Role.COMPLIANCE])


def used_by(desk: Desk, agreement: Agreement, model: str, day: date, **changes: Any) -> None:
    """An agreement under a model that is in production with such parameters from a day on."""
    set_parameters(desk, model, day, **changes)
    decide(desk, model, PRODUCTION, day)
    put_under(desk, agreement, model, day)


def leaves(node: Node) -> list[Node]:
    """The ends of a tree."""
    if not node.children:
        return [node]
    return [leaf for child in node.children for leaf in leaves(child)]
