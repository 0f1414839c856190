"""Portfolio models: registered by two people, watched, then used; in runs, explained, replayed."""

from datetime import date
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from accounts.agreements import request_version
from accounts.approvals import AskRefusedError, describe
from accounts.audit import RefusedError
from accounts.models import Agreement, Approval, Bucket, LegalEntity, Role
from brokerage.inbox.cycle import run_day
from margin.engine.explain import Node
from margin.engine.models import MODELS
from margin.engine.parameters import written_parameters
from margin.explanation import as_rows, explain_result, find_result, stored_parts
from margin.holding import balances_of
from margin.model_registry import models_in_use, request_decision, request_parameters
from margin.model_trees import model_trees
from margin.models import (
    MarginResult,
    MarginRun,
    Mark,
    ModelDecision,
    ParameterSet,
    RunException,
    ShadowResult,
)
from margin.parts import parts_of
from margin.runs import replay
from margin.verify import check_margin
from tests.accounts.people import Desk, found_desk, person
from tests.accounts.raw import act
from tests.accounts.raw import refused as raw_refused
from tests.ledger.agreeing import agreed, standing
from tests.stage import booked_days

D = Decimal
DAYS = (date(2031, 3, 3), date(2031, 3, 4), date(2031, 3, 5))
VALUES = {"shock": 0.15, "residual": 0.02, "maintenance_share": 0.75}
WHY = "Measured beside house rules for a month"
SHADOW, PRODUCTION = ModelDecision.Standing.SHADOW, ModelDecision.Standing.PRODUCTION


@pytest.fixture
def days(db: None, tmp_path: Path) -> list[Path]:
    """Three days of a small firm, the first of which has run."""
    return booked_days(tmp_path / "firm", accounts=30, seed=4, days=3, booked=1)


@pytest.fixture
def desk(days: list[Path]) -> Desk:
    return found_desk(entity=LegalEntity.objects.get())


def set_parameters(desk: Desk, day: date, *, code: str = "D1", **changes: float) -> Approval:
    asked = request_parameters(
        model="delta", code=code, values=VALUES | changes, effective_from=day,
        legal_entity=desk.entity, reason=WHY, actor=person(desk[Role.RISK]),
    )  # fmt: skip
    return agreed(asked, desk[Role.COMPLIANCE])


def decided(desk: Desk, standing: str, day: date, *, code: str = "D1") -> Approval:
    asked = request_decision(
        model="delta", code=code, standing=standing, owner="Head of risk", effective_from=day,
        legal_entity=desk.entity, reason=WHY, actor=person(desk[Role.RISK]),
    )  # fmt: skip
    return agreed(asked, desk[Role.COMPLIANCE])


def put_under(desk: Desk, agreement: Agreement, day: date) -> Approval:
    """Have an agreement name the model from a day on."""
    old = agreement.versions.latest("version")
    asked = request_version(
        legal_entity=desk.entity, code=agreement.code,
        terms={
            "model": "delta", "parameters": "D1", "currency": old.currency,
            "effective_from": day.isoformat(), "call_level": format(old.call_level, "f"),
            "liquidation_level": format(old.liquidation_level, "f"),
            "minimum_transfer_amount": format(old.minimum_transfer_amount, "f"),
            "call_due_for": "1 day", "eligible_collateral": old.eligible_collateral,
            "segregation_regime": "", "jurisdiction": "", "document_sha256": "",
        },
        reason=WHY, actor=person(desk[Role.RISK]),
    )  # fmt: skip
    return agreed(asked, desk[Role.COMPLIANCE])


def by_hand(bucket: Bucket, run: MarginRun) -> Decimal:
    """The delta margin of a scope: here everything held is its own underlying."""
    held = balances_of(bucket)
    marks = dict(Mark.objects.filter(as_of=run.as_of).values_list("asset__code", "price"))
    values = [amount * marks[code] for code, amount in held.claims.items() if code != "USD"]
    values += [quantity * marks[code] for code, (quantity, _) in held.positions.items()]
    return sum((abs(value) for value in values), D(0)) * (D("0.15") + D("0.02"))


def cents_up(amount: Decimal) -> Decimal:
    return amount.quantize(D("0.01"), ROUND_CEILING)


# ---------------------------------------------------------------- watched


def test_a_watched_model_runs_beside_house_rules_and_changes_nothing(
    days: list[Path], desk: Desk
) -> None:
    set_parameters(desk, DAYS[1])
    decided(desk, SHADOW, DAYS[1])
    run_day(days[1])
    run = MarginRun.objects.get(business_day=DAYS[1])
    shadows = ShadowResult.objects.filter(run=run).select_related("scope__bucket__account")
    assert shadows.count() == run.scope_count
    for shadow in shadows:
        bucket: Any = shadow.scope.bucket
        assert shadow.initial_margin == cents_up(by_hand(bucket, run)), bucket
    assert shadows.filter(initial_margin__gt=0).count() > 20
    assert not MarginResult.objects.filter(run=run, parameter_set__isnull=False).exists()
    assert replay(run.number).is_same
    first = MarginRun.objects.get(business_day=DAYS[0])
    assert replay(first.number).is_same
    assert not ShadowResult.objects.filter(run=first).exists()


# ---------------------------------------------------------------- used


def test_a_model_in_production_decides_for_its_agreements(days: list[Path], desk: Desk) -> None:
    set_parameters(desk, DAYS[1])
    decided(desk, PRODUCTION, DAYS[1])
    agreement = Agreement.objects.get(code="STD")
    put_under(desk, agreement, DAYS[1])
    run_day(days[1])
    run = MarginRun.objects.get(business_day=DAYS[1])
    under = MarginResult.objects.filter(run=run, agreement_version__agreement=agreement)
    assert under.count() > 3
    assert set(under.values_list("parameter_set__code", flat=True)) == {"D1"}
    others = MarginResult.objects.filter(run=run).exclude(agreement_version__agreement=agreement)
    assert not others.filter(parameter_set__isnull=False).exists()
    for result in under.select_related("scope__bucket__account"):
        bucket: Any = result.scope.bucket
        assert result.initial_margin == cents_up(by_hand(bucket, run))
        parts = [part for part in parts_of([result]) if part.total != "equity"]
        assert {part.kind for part in parts} <= {"im_model", "mm_model"}
        initial = sum(part.amount for part in parts if part.total == "initial_margin")
        assert initial == result.initial_margin
        assert bool(result.binding) == (result.initial_margin > 0)
    assert replay(run.number).is_same
    with connection.cursor() as cursor:
        assert all(check.is_sound for check in check_margin(cursor))


def test_a_scope_under_a_model_is_explained_down_to_its_positions(
    days: list[Path], desk: Desk
) -> None:
    result = under_model(days, desk)
    bucket: Any = result.scope.bucket
    name = f"{bucket.account.code}/{bucket.code}"
    found = find_result(result.run.number, name)
    explained = explain_result(found, stored_parts(found))
    assert explained.initial_margin.amount == result.initial_margin
    assert {leaf.how for leaf in leaves(explained.initial_margin)} == {"as the model says"}
    trees = model_trees(found)
    assert trees is not None
    for tree, total in (
        (trees.initial_margin, result.initial_margin),
        (trees.maintenance_margin, result.maintenance_margin),
    ):
        assert tree.amount == sum(leaf.amount for leaf in leaves(tree)) == total
    held = {code for code, (q, _) in balances_of(bucket).positions.items() if q}
    assert held <= {leaf.label for leaf in leaves(trees.initial_margin)}
    head, *rows = as_rows(found)
    assert head[0] == "node"
    ends = [
        row for row in rows if row[1] == "leaf" and row[0].startswith("Initial margin by delta")
    ]
    assert sum(D(row[2]) for row in ends) == result.initial_margin


def under_model(days: list[Path], desk: Desk) -> MarginResult:
    """A scope with something to require, under the model on the second day."""
    set_parameters(desk, DAYS[1])
    decided(desk, PRODUCTION, DAYS[1])
    put_under(desk, Agreement.objects.get(code="STD"), DAYS[1])
    run_day(days[1])
    found = (
        MarginResult.objects.filter(
            run__business_day=DAYS[1], parameter_set__isnull=False, initial_margin__gt=0
        )
        .select_related("run", "scope__bucket__account")
        .order_by("pk")
        .first()
    )
    assert found is not None
    return found


def leaves(node: Node) -> list[Node]:
    if not node.children:
        return [node]
    return [leaf for child in node.children for leaf in leaves(child)]


def test_a_retired_model_leaves_an_exception_and_no_default(days: list[Path], desk: Desk) -> None:
    under_model(days, desk)
    decided(desk, ModelDecision.Standing.RETIRED, DAYS[2])
    run_day(days[2])
    run = MarginRun.objects.get(business_day=DAYS[2])
    reasons = set(RunException.objects.filter(run=run).values_list("reason", flat=True))
    assert reasons == {"model_not_in_use"}
    assert not MarginResult.objects.filter(run=run, parameter_set__isnull=False).exists()


def test_other_parameters_hold_from_their_day(days: list[Path], desk: Desk) -> None:
    under_model(days, desk)
    set_parameters(desk, DAYS[2], shock=0.30)
    run_day(days[2])
    second, third = (MarginRun.objects.get(business_day=day) for day in DAYS[1:])
    versions = {
        run.pk: set(
            MarginResult.objects.filter(run=run, parameter_set__isnull=False).values_list(
                "parameter_set__version", flat=True
            )
        )
        for run in (second, third)
    }
    assert versions == {second.pk: {1}, third.pk: {2}}
    assert replay(second.number).is_same
    assert replay(third.number).is_same


# ---------------------------------------------------------------- refused


def test_parameters_are_refused_before_anybody_is_asked(days: list[Path], desk: Desk) -> None:
    for wrong in ({"shock": 1.5}, {"shock": "much"}, {"nothing": 1.0}, {"shock": float("nan")}):
        with pytest.raises(AskRefusedError):
            set_parameters(desk, DAYS[1], **wrong)
    with pytest.raises(AskRefusedError):
        decided(desk, PRODUCTION, DAYS[1])
    with pytest.raises(AskRefusedError):
        decided(desk, "famous", DAYS[1])
    assert not ParameterSet.objects.exists()
    assert not Approval.objects.filter(action__code__startswith="model.").exists()


def test_an_agreement_names_only_what_is_in_production(days: list[Path], desk: Desk) -> None:
    set_parameters(desk, DAYS[1])
    decided(desk, SHADOW, DAYS[1])
    with pytest.raises(AskRefusedError, match="not in production"):
        put_under(desk, Agreement.objects.get(code="STD"), DAYS[1])


def test_nobody_decides_alone(days: list[Path], desk: Desk) -> None:
    asked = request_parameters(
        model="delta", code="D1", values=VALUES, effective_from=DAYS[1],
        legal_entity=desk.entity, reason=WHY, actor=person(desk[Role.RISK]),
    )  # fmt: skip
    with pytest.raises(RefusedError):
        agreed(asked, desk[Role.RISK])
    assert not ParameterSet.objects.exists()


def test_the_database_refuses_what_nobody_approved(
    days: list[Path], desk: Desk, owner: Any
) -> None:
    contract = (
        "INSERT INTO margin_contract (asset_id, form, underlying_id, multiplier, is_inverse)"
        " SELECT d.id, 'perpetual', m.id, 1, false FROM ledger_asset d, ledger_asset m"
    )
    statements = {
        "model_parameters_are_set_by_two": "INSERT INTO margin_parameterset (model, code, version,"
        " effective_from, values, sha256) VALUES ('delta', 'D9', 1, '2031-03-04', '{}', '')",
        "model_is_decided_by_two": "INSERT INTO margin_modeldecision (model, model_version, code,"
        " standing, effective_from, model_sha256, owner)"
        " VALUES ('delta', 'v1', 'D1', 'production', '2031-03-04', '', '')",
        "contract_is_set_by_two": f"{contract} WHERE d.code = 'BTC-PERP' AND m.code = 'BTC'",
        "contract_is_of_a_derivative": f"{contract} WHERE d.code = 'BTC' AND m.code = 'BTC'",
    }
    before = standing()
    for rule, statement in statements.items():
        with raw_refused(rule), act(owner):
            owner.execute(statement)
    assert standing() == before


def test_a_request_says_what_changes(days: list[Path], desk: Desk) -> None:
    set_parameters(desk, DAYS[1])
    asked = request_parameters(
        model="delta", code="D1", values=VALUES | {"shock": 0.2}, effective_from=DAYS[2],
        legal_entity=desk.entity, reason=WHY, actor=person(desk[Role.RISK]),
    )  # fmt: skip
    fields = describe(Approval.objects.get(pk=asked)).fields
    assert [(each.label, each.before, each.after) for each in fields] == [("shock", "0.15", "0.2")]


def test_every_model_is_watched_with_its_standard_set_or_says_why_not(
    days: list[Path], desk: Desk
) -> None:
    for name, model in MODELS.items():
        shared: dict[str, Any] = {
            "model": name, "code": "STANDARD", "effective_from": DAYS[1],
            "legal_entity": desk.entity, "reason": WHY, "actor": person(desk[Role.RISK]),
        }  # fmt: skip
        values = written_parameters(model.standard)
        agreed(request_parameters(values=values, **shared), desk[Role.COMPLIANCE])
        asked = request_decision(standing=SHADOW, owner="Head of risk", **shared)
        agreed(asked, desk[Role.COMPLIANCE])
    assert {name for name, _ in models_in_use(DAYS[1], standing=SHADOW)} == set(MODELS)
    run_day(days[1])
    run = MarginRun.objects.get(business_day=DAYS[1])
    found = ShadowResult.objects.filter(run=run)
    assert found.count() == run.scope_count * len(MODELS)
    said = {
        name: found.filter(parameter_set__model=name, refusal="", initial_margin__gt=0).count()
        for name in MODELS
    }
    # Two days of marks are no history; shares and options alone are for strategies.
    looks_back = {"value-at-risk", "expected-shortfall", "parametric", "factors"}
    assert {name for name, count in said.items() if not count} == looks_back
    for name in looks_back:
        # Each scope says which of its own holdings is too young; who holds nothing needs nothing.
        whys = set(found.filter(parameter_set__model=name).values_list("refusal", flat=True))
        assert len(whys - {""}) > 1
        assert all("2 days are known" in why and "closes" in why for why in whys - {""})
    assert found.filter(parameter_set__model="strategies").exclude(refusal="").exists()
    assert replay(run.number).is_same
