"""Margin runs: pinned, replayed, and never silent about what they could not compute."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from accounts.agreements import request_version
from accounts.audit import Actor, acting
from accounts.models import (
    AccountAgreement,
    Agreement,
    Bucket,
    LegalEntity,
    MarginAccount,
    Role,
    Scope,
)
from brokerage.inbox.cycle import run_day
from brokerage.synthetic import DEMO, write_firm
from margin.book import NO_AGREEMENT
from margin.models import MarginResult, MarginRun, RunException, Task
from margin.parts import parts_of
from margin.runs import replay
from tests.accounts.people import found_desk, person
from tests.ledger.agreeing import agreed

DESK = Actor.command("test")


@pytest.fixture
def days(db: None, tmp_path: Path) -> list[Path]:
    """The folders of a small firm; nothing has run yet."""
    return write_firm(
        tmp_path / "firm", accounts=40, seed=4, first_day=date(2031, 3, 3), days=3, profile=DEMO
    )


def test_a_run_replays_to_the_same_hash_after_later_days(days: list[Path]) -> None:
    run_day(days[0])
    first = MarginRun.objects.get()
    assert replay(first.number).is_same
    run_day(days[1])
    again = replay(first.number)
    assert again.has_same_inputs
    assert again.result_sha256 == first.result_sha256


def test_parts_add_up_to_every_total(days: list[Path]) -> None:
    run_day(days[0])
    for result in MarginResult.objects.all():
        parts = parts_of([result])
        for total in ("equity", "initial_margin", "maintenance_margin"):
            added = sum((p.amount for p in parts if p.total == total), Decimal(0))
            assert added == getattr(result, total)


def open_account_without_agreement() -> MarginAccount:
    with acting(DESK, reason="An account whose contract is not signed yet"):
        account = MarginAccount.objects.create(
            legal_entity=LegalEntity.objects.get(),
            code="Z0001",
            owner_class="HOUSE",
            mode="cash",
            opened_on=date(2031, 3, 3),
        )
        bucket = Bucket.objects.create(account=account, code="FREE", role="FREE", is_margined=True)
        Scope.objects.create(bucket=bucket)
    return account


def test_an_account_without_an_agreement_is_listed_and_has_a_task(days: list[Path]) -> None:
    run_day(days[0])
    account = open_account_without_agreement()
    run_day(days[1])
    exception = RunException.objects.get()
    assert (exception.account_id, exception.reason) == (account.pk, NO_AGREEMENT)
    assert not MarginResult.objects.filter(scope__bucket__account=account).exists()
    assert Task.objects.filter(kind=Task.Kind.NO_AGREEMENT, closed_at__isnull=True).count() == 1


def set_stricter_levels(first_day: str) -> Agreement:
    """Have two people set new levels for an agreement, from a day on."""
    agreement = Agreement.objects.order_by("code")[0]
    old = agreement.versions.get()
    desk = found_desk(entity=LegalEntity.objects.get())
    asked = request_version(
        legal_entity=desk.entity,
        code=agreement.code,
        terms={
            **{name: getattr(old, name) for name in ("model", "parameters", "currency")},
            "effective_from": first_day,
            "call_level": "3",
            "liquidation_level": "2",
            "minimum_transfer_amount": format(old.minimum_transfer_amount, "f"),
            "call_due_for": "1 day",
            "eligible_collateral": old.eligible_collateral,
            "segregation_regime": "",
            "jurisdiction": "",
            "document_sha256": "",
        },
        reason="Stricter levels from that day on",
        actor=person(desk[Role.RISK]),
    )
    agreed(asked, desk[Role.COMPLIANCE])
    return agreement


def test_terms_that_begin_tomorrow_change_nothing_today(days: list[Path], tmp_path: Path) -> None:
    run_day(days[0])
    agreement = set_stricter_levels(days[2].name)
    run_day(days[1])
    second = MarginRun.objects.get(business_day=days[1].name)
    assert set(second.results.values_list("agreement_version__version", flat=True)) == {1}
    run_day(days[2])
    third = MarginRun.objects.get(business_day=days[2].name)
    under = AccountAgreement.objects.filter(agreement=agreement).values("account")
    versions = third.results.filter(scope__bucket__account__in=under)
    assert set(versions.values_list("agreement_version__version", flat=True)) == {2}
    assert replay(second.number).is_same
