"""Eligibility for portfolio margin: set by two, asked of agreements, looked at in each run."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from accounts.agreements import request_signature
from accounts.approvals import AskRefusedError, describe
from accounts.approvals import decide as decide_approval
from accounts.audit import RefusedError
from accounts.models import Agreement, Approval, Client, LegalEntity, MarginAccount, Role
from brokerage.inbox.cycle import run_day
from margin.eligibility import request_client, request_rule
from margin.model_trees import model_trees
from margin.models import (
    ClientEligibility,
    EligibilityRule,
    MarginResult,
    MarginRun,
    Task,
)
from margin.runs import replay
from tests.accounts.people import Desk, found_desk, person
from tests.accounts.raw import act
from tests.accounts.raw import refused as raw_refused
from tests.ledger.agreeing import agreed, standing
from tests.margin.under_models import PRODUCTION, WHY, decide, leaves, put_under, set_parameters
from tests.stage import booked_days

D = Decimal
DAYS = (date(2031, 3, 3), date(2031, 3, 4), date(2031, 3, 5))


@pytest.fixture
def days(db: None, tmp_path: Path) -> list[Path]:
    return booked_days(tmp_path / "firm", accounts=30, seed=4, days=3, booked=1)


@pytest.fixture
def desk(days: list[Path]) -> Desk:
    """The delta margin is in production from the second day; nobody is under it yet."""
    desk = found_desk(entity=LegalEntity.objects.get())
    set_parameters(desk, "delta", DAYS[1])
    decide(desk, "delta", PRODUCTION, DAYS[1])
    return desk


def rule(desk: Desk, day: date, *, equity: str, approved: bool = False, model: str = "") -> Any:
    asked = request_rule(
        model=model, minimum_equity=D(equity), needs_approved_client=approved, effective_from=day,
        legal_entity=desk.entity, reason=WHY, actor=person(desk[Role.RISK]),
    )  # fmt: skip
    return agreed(asked, desk[Role.COMPLIANCE])


def approve(desk: Desk, client: Client, day: date, *, is_approved: bool = True) -> Approval:
    asked = request_client(
        client=client, is_approved=is_approved, effective_from=day, reason=WHY,
        actor=person(desk[Role.OPERATIONS]),
    )  # fmt: skip
    return agreed(asked, desk[Role.COMPLIANCE])


def standard() -> Agreement:
    return Agreement.objects.get(code="STD")


def flags_of(run: MarginRun) -> dict[str, set[str]]:
    """By account what its scopes are flagged with, of those under a model."""
    found: dict[str, set[str]] = {}
    for result in run.results.filter(parameter_set__isnull=False).select_related(
        "scope__bucket__account"
    ):
        bucket: Any = result.scope.bucket
        found.setdefault(bucket.account.code, set()).update(result.flags)
    return found


# ---------------------------------------------------------------- when an agreement names a model


def test_without_a_rule_any_agreement_may_name_a_model(desk: Desk) -> None:
    put_under(desk, standard(), "delta", DAYS[1])
    assert standard().versions.latest("version").model == "delta"


def test_an_agreement_of_accounts_that_fall_short_is_refused_by_name(desk: Desk) -> None:
    rule(desk, DAYS[1], equity="1000000000")
    before = standing()
    with pytest.raises(AskRefusedError, match=r"may not be under delta: its equity is below"):
        put_under(desk, standard(), "delta", DAYS[1])
    assert standing() == before
    assert not standard().versions.filter(model="delta").exists()


def test_a_client_that_is_not_approved_is_refused_until_it_is(desk: Desk) -> None:
    rule(desk, DAYS[1], equity="0", approved=True, model="delta")
    with pytest.raises(AskRefusedError, match="its client is not approved"):
        put_under(desk, standard(), "delta", DAYS[1])
    clients = Client.objects.filter(accounts__agreements__agreement=standard()).distinct()
    for client in clients:
        approve(desk, client, DAYS[1])
    assert ClientEligibility.objects.count() == clients.count() > 3


def test_a_rule_that_came_between_asking_and_deciding_refuses_the_version(desk: Desk) -> None:
    from accounts.agreements import request_version

    old = standard().versions.latest("version")
    asked = request_version(
        legal_entity=desk.entity, code="STD",
        terms={
            "model": "delta", "parameters": "S1", "currency": old.currency,
            "effective_from": DAYS[1].isoformat(), "call_level": "1", "liquidation_level": "0.5",
            "minimum_transfer_amount": "100", "call_due_for": "1 day",
            "eligible_collateral": old.eligible_collateral, "segregation_regime": "",
            "jurisdiction": "", "document_sha256": "",
        },
        reason=WHY, actor=person(desk[Role.RISK]),
    )  # fmt: skip
    rule(desk, DAYS[1], equity="1000000000")
    assert "its equity is below" in describe(Approval.objects.get(pk=asked)).note
    with pytest.raises(RefusedError):
        agreed(asked, desk[Role.COMPLIANCE])
    assert not standard().versions.filter(model="delta").exists()


def test_an_account_that_falls_short_does_not_sign(desk: Desk) -> None:
    put_under(desk, Agreement.objects.get(code="STRICT"), "delta", DAYS[1])
    rule(desk, DAYS[1], equity="1000000000")
    account = MarginAccount.objects.filter(agreements__agreement=standard())[0]
    before = standing()
    with pytest.raises(RefusedError, match=rf"{account.code} may not be under delta") as refused:
        sign_strict(desk, account)
    assert refused.value.rule == "account_is_eligible"
    assert standing() == before
    assert not account.agreements.filter(agreement__code="STRICT").exists()


def test_a_rule_that_came_between_asking_and_deciding_refuses_the_signature(desk: Desk) -> None:
    put_under(desk, Agreement.objects.get(code="STRICT"), "delta", DAYS[1])
    account = MarginAccount.objects.filter(
        agreements__agreement=standard(), mode=MarginAccount.Mode.CASH
    )[0]
    asked = sign_strict(desk, account)
    rule(desk, DAYS[1], equity="1000000000")
    assert "may not be under delta" in describe(Approval.objects.get(pk=asked)).note
    with pytest.raises(RefusedError) as refused:
        agreed(asked, desk[Role.COMPLIANCE])
    assert refused.value.rule == "account_is_eligible"
    assert not account.agreements.filter(agreement__code="STRICT").exists()


def sign_strict(desk: Desk, account: MarginAccount) -> UUID:
    """Ask that an account be under STRICT from the second day on."""
    return request_signature(
        account=account, agreement=Agreement.objects.get(code="STRICT"), effective_from=DAYS[1],
        reason=WHY, actor=person(desk[Role.RISK]),
    )  # fmt: skip


# ---------------------------------------------------------------- each run


def test_who_falls_short_is_flagged_and_a_task_and_still_margined(
    days: list[Path], desk: Desk
) -> None:
    put_under(desk, standard(), "delta", DAYS[1])
    run_day(days[1])
    second = MarginRun.objects.latest("pk")
    assert not Task.objects.filter(kind=Task.Kind.ELIGIBILITY).exists()
    equities: dict[str, Decimal] = {}
    for result in second.results.filter(parameter_set__isnull=False).select_related(
        "scope__bucket__account"
    ):
        bucket: Any = result.scope.bucket
        code = bucket.account.code
        equities[code] = equities.get(code, D(0)) + result.equity
    middle = sorted(equities.values())[len(equities) // 2]
    rule(desk, DAYS[2], equity=format(middle, "f"), approved=True)
    somebody = MarginAccount.objects.filter(code__in=equities, client__isnull=False).order_by("pk")
    approve(desk, somebody[0].client, DAYS[2])  # type: ignore[arg-type]
    run_day(days[2])
    third = MarginRun.objects.latest("pk")
    assert third != second
    flags = flags_of(third)
    for account in MarginAccount.objects.filter(code__in=flags):
        equity = sum(
            third.results.filter(scope__bucket__account=account).values_list("equity", flat=True),
            D(0),
        )
        said = flags[account.code]
        assert ("below_minimum_equity" in said) == (equity < middle), account
        is_approved = account.client_id in (None, somebody[0].client_id)
        assert ("client_not_approved" in said) == (not is_approved), account
    short = third.results.filter(flags__overlap=["below_minimum_equity", "client_not_approved"])
    assert short.filter(flags__contains=["below_minimum_equity"]).exists()
    assert not short.filter(parameter_set__isnull=True).exists()
    tasks = Task.objects.filter(kind=Task.Kind.ELIGIBILITY, closed_at__isnull=True)
    assert set(tasks.values_list("scope_id", flat=True)) == set(
        short.values_list("scope_id", flat=True)
    )
    assert tasks.filter(owner__isnull=False).count() == tasks.count()
    assert replay(third.number).is_same
    assert replay(second.number).is_same


def test_risk_units_add_up_to_what_the_model_requires(days: list[Path], desk: Desk) -> None:
    put_under(desk, standard(), "delta", DAYS[1])
    run_day(days[1])
    for result in MarginResult.objects.filter(
        parameter_set__isnull=False, initial_margin__gt=0
    ).select_related("run", "parameter_set")[:3]:
        trees = model_trees(result)
        assert trees is not None
        assert sum((unit.initial for unit in trees.units), D(0)) == result.initial_margin
        assert sum((unit.maintenance for unit in trees.units), D(0)) == result.maintenance_margin
        assert {unit.name for unit in trees.units} == {
            leaf.label for leaf in leaves(trees.initial_margin)
        }


# ---------------------------------------------------------------- by two people


def test_the_database_refuses_what_nobody_approved(desk: Desk, owner: Any) -> None:
    statements = {
        "eligibility_is_set_by_two": "INSERT INTO margin_eligibilityrule (model, version,"
        " effective_from, minimum_equity, needs_approved_client)"
        " VALUES ('', 1, '2031-03-04', 1, true)",
        "client_is_approved_by_two": "INSERT INTO margin_clienteligibility (client_id, version,"
        " effective_from, is_approved) SELECT min(id), 1, '2031-03-04', true FROM accounts_client",
    }
    before = standing()
    for name, statement in statements.items():
        with raw_refused(name), act(owner):
            owner.execute(statement)
    assert standing() == before


def test_nobody_decides_alone_and_what_is_no_rule_is_not_asked(desk: Desk) -> None:
    asked = request_rule(
        model="delta", minimum_equity=D(5), needs_approved_client=True, effective_from=DAYS[1],
        legal_entity=desk.entity, reason=WHY, actor=person(desk[Role.RISK]),
    )  # fmt: skip
    with pytest.raises(RefusedError):
        decide_approval(asked, verdict="approved", reason=WHY, actor=person(desk[Role.RISK]))
    assert not EligibilityRule.objects.exists()
    for wrong in ({"model": "nothing"}, {"minimum_equity": D(-1)}, {"minimum_equity": D("NaN")}):
        with pytest.raises(AskRefusedError):
            request_rule(**{
                "model": "", "minimum_equity": D(1), "needs_approved_client": False,
                "effective_from": DAYS[1], "legal_entity": desk.entity, "reason": WHY,
                "actor": person(desk[Role.RISK]), **wrong,
            })  # fmt: skip
    agreed(asked, desk[Role.COMPLIANCE])
    assert EligibilityRule.objects.get().minimum_equity == 5
