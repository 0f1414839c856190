"""What becomes known late: agreements, cancelled trades, and averages in the order of time."""

from copy import copy
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from accounts.agreed_terms import terms_in_force
from accounts.agreements import request_end, request_version
from accounts.models import AccountAgreement, Agreement, AgreementVersion, LegalEntity, Role
from ledger.corrections import request_reversal
from ledger.models import Balance, Entry, Posting
from margin.book import read_inputs_of
from margin.book.averages import Step, position_after
from margin.models import MarginResult, MarginRun
from margin.parts import parts_of
from margin.preview import preview
from margin.restatement import differing_results
from margin.runs import replay
from margin.terms import TermsInForce
from tests.accounts.people import Desk, found_desk, person
from tests.accounts.raw import act
from tests.accounts.raw import refused as raw_refused
from tests.ledger.agreeing import agreed, standing
from tests.margin.restating import WHY, restated
from tests.stage import booked_days

D = Decimal
FIRST, SECOND = date(2031, 3, 3), date(2031, 3, 4)


@pytest.fixture
def days(db: None, tmp_path: Path) -> list[Path]:
    """Two days of a small firm, both of which have run."""
    return booked_days(tmp_path / "firm", accounts=30, seed=4, days=2)


@pytest.fixture
def desk(days: list[Path]) -> Desk:
    return found_desk(entity=LegalEntity.objects.get())


def stricter(desk: Desk, agreement: Agreement, day: date) -> AgreementVersion:
    """Have an agreement call much earlier, from a day on."""
    old = agreement.versions.latest("version")
    asked = request_version(
        legal_entity=desk.entity, code=agreement.code,
        terms={
            "model": old.model, "parameters": old.parameters, "currency": old.currency,
            "effective_from": day.isoformat(), "call_level": "40",
            "liquidation_level": format(old.liquidation_level, "f"),
            "minimum_transfer_amount": "0", "call_due_for": "1 day",
            "eligible_collateral": old.eligible_collateral, "segregation_regime": "",
            "jurisdiction": "", "document_sha256": "",
        },
        reason=WHY, actor=person(desk[Role.RISK]),
    )  # fmt: skip
    agreed(asked, desk[Role.COMPLIANCE])
    return agreement.versions.latest("version")


def test_terms_that_became_known_late_count_in_the_restated_run_alone(
    days: list[Path], desk: Desk
) -> None:
    run = MarginRun.objects.get(business_day=SECOND)
    agreement = Agreement.objects.get(code="STD")
    late = stricter(desk, agreement, SECOND)
    assert replay(run.number).is_same
    found = restated(desk, run.number).run
    assert found is not None
    under = MarginResult.objects.filter(agreement_version__agreement=agreement)
    versions = {
        each.pk: set(under.filter(run=each).values_list("agreement_version", flat=True))
        for each in (run, found)
    }
    assert versions[found.pk] == {late.pk}
    assert late.pk not in versions[run.pk]
    assert differing_results(found).exists()
    assert replay(run.number).is_same
    assert replay(found.number).is_same


def test_an_end_that_became_known_late_counts_in_the_restated_run_alone(
    days: list[Path], desk: Desk
) -> None:
    run = MarginRun.objects.get(business_day=SECOND)
    result = MarginResult.objects.filter(run=run).select_related("scope__bucket").order_by("pk")[0]
    bucket: Any = result.scope.bucket
    signed = AccountAgreement.objects.get(account=bucket.account_id)
    assert signed.effective_from < SECOND
    asked = request_end(signed, effective_to=SECOND, reason=WHY, actor=person(desk[Role.RISK]))
    agreed(asked, desk[Role.COMPLIANCE])
    assert bucket.account_id not in terms_in_force(SECOND)
    assert replay(run.number).is_same
    found = restated(desk, run.number).run
    assert found is not None
    assert not found.results.filter(scope__bucket__account=bucket.account_id).exists()
    assert found.exceptions.filter(account=bucket.account_id, reason="no_agreement").exists()
    assert replay(run.number).is_same
    assert replay(found.number).is_same


def test_when_terms_became_known_never_changes(days: list[Path], owner: Any) -> None:
    before = standing()
    for rule, table in (
        ("agreement_version_is_known_since", "accounts_agreementversion"),
        ("account_agreement_is_known_since", "accounts_accountagreement"),
    ):
        with raw_refused(rule), act(owner):
            owner.execute(f"UPDATE {table} SET xid = '3'")
    assert standing() == before


def newest_trade(run: MarginRun) -> Entry:
    """A trade of a security after which nothing moved the accounts that it moved."""
    trades = Entry.objects.filter(
        kind__code__contains="trade", effective_at__lte=run.as_of, reversal__isnull=True
    ).order_by("-effective_at", "-pk")
    for entry in trades:
        legs = Posting.objects.filter(entry=entry, price__isnull=False)
        later = [
            Posting.objects.filter(account=leg.account_id, account_seq__gt=leg.account_seq).exists()
            for leg in legs
        ]
        if later and not any(later) and legs[0].account.bucket_id is not None:
            return entry
    raise AssertionError("no trade of the invented days can be cancelled")


def test_a_trade_cancelled_after_the_run_is_not_in_the_restated_one(
    days: list[Path], desk: Desk
) -> None:
    run, after = (MarginRun.objects.get(business_day=day) for day in (FIRST, SECOND))
    entry = newest_trade(run)
    leg = Posting.objects.filter(entry=entry, price__isnull=False).select_related("account")[0]
    asked = request_reversal(
        entry.pk, reason=WHY, effective_at=entry.effective_at, legal_entity=desk.entity,
        actor=person(desk[Role.OPERATIONS]),
    )  # fmt: skip
    agreed(asked, desk[Role.COMPLIANCE])
    assert replay(run.number).is_same
    assert replay(after.number).is_same
    found = restated(desk, run.number).run
    assert found is not None
    held = found.results.get(scope__bucket=leg.account.bucket_id)
    was = run.results.get(scope__bucket=leg.account.bucket_id)
    assert quantity(held, leg.account.asset_id) == quantity(was, leg.account.asset_id) + leg.amount
    differing = {row.scope_id for row in differing_results(found)}
    assert differing == {held.scope_id}
    assert replay(run.number).is_same
    assert replay(found.number).is_same
    untouched = restated(desk, run.number)
    assert (untouched.run, untouched.is_new) == (found, False)
    assert preview(found, replaced=lambda terms: terms).affected == []
    changed = preview(found, replaced=dearer)
    assert changed.affected, "terms that differ are compared with the restated run itself"
    for each in changed.affected:
        kept = found.results.get(
            scope__bucket__account=each.account_id, scope__bucket__code=each.bucket
        )
        assert each.before.equity == kept.equity


def test_averages_of_positions_traded_again_are_those_of_the_day(
    days: list[Path], desk: Desk
) -> None:
    run = MarginRun.objects.get(business_day=FIRST)
    entry = newest_trade(run)
    (leg, *_) = Posting.objects.filter(entry=entry, price__isnull=False)
    asked = request_reversal(
        entry.pk, reason=WHY, effective_at=entry.effective_at, legal_entity=desk.entity,
        actor=person(desk[Role.OPERATIONS]),
    )  # fmt: skip
    agreed(asked, desk[Role.COMPLIANCE])
    found = restated(desk, run.number).run
    assert found is not None
    then, again = averages(run), averages(found)
    moved = {place for place in then.keys() | again.keys() if then.get(place) != again.get(place)}
    assert moved <= {(leg.account.bucket_id, leg.account.asset_id)}
    today = {
        (balance.account.bucket_id, balance.account.asset_id): balance.average_cost
        for balance in Balance.objects.filter(account__account_class="position").select_related(
            "account"
        )
    }
    gone_on = {place for place in then if today.get(place) != then[place]}
    assert gone_on - moved, "no position of the first day was traded again on the second"


def averages(run: MarginRun) -> dict[tuple[int, int], Decimal | None]:
    """Average cost by bucket and asset, as a run has read it."""
    read = read_inputs_of(run)
    return {
        (read.scopes[held.scope].bucket_id, held.asset_id): held.average_cost
        for held in read.positions
    }


def dearer(terms: TermsInForce) -> TermsInForce:
    """Half of everything but the currency does not count."""
    haircuts = {pk: copy(each) for pk, each in terms.haircuts.items()}
    for each in haircuts.values():
        each.haircut = max(each.haircut, D("0.5") if each.asset.code != "USD" else D(0))
    return replace(terms, haircuts=haircuts)


def quantity(result: MarginResult, asset_id: int) -> Decimal:
    """What a result says the scope holds of an asset, in the units of the book's clients."""
    held = [p for p in parts_of([result]) if (p.total, p.asset_id) == ("equity", asset_id)]
    return D(held[0].terms["quantity"]) if held else D(0)


# ---------------------------------------------------------------- averages in the order of time


def step(quantity: str, price: str | None, *, entry: int, reverses: int | None = None) -> Step:
    return Step(D(quantity), None if price is None else D(price), D(7), entry, reverses)


def test_averages_are_those_of_the_trades_in_their_order() -> None:
    bought = [step("1", "100", entry=1), step("1", "110", entry=3)]
    assert position_after(bought).average_cost == D("105")
    sold = [*bought, step("-1.5", "90", entry=4)]
    assert (position_after(sold).quantity, position_after(sold).average_cost) == (D("0.5"), D(105))
    turned = [*sold, step("-1", "80", entry=5)]
    assert (position_after(turned).quantity, position_after(turned).average_cost) == (
        D("-0.5"), D(80),
    )  # fmt: skip


def test_what_was_undone_is_as_if_it_had_not_been() -> None:
    steps = [
        step("1", "100", entry=1), step("3", "900", entry=2),
        step("-3", "900", entry=3, reverses=2),
    ]  # fmt: skip
    assert position_after(steps).average_cost == D(100)


def test_an_opening_brings_its_average() -> None:
    steps = [step("2", None, entry=1), step("2", "9", entry=2)]
    assert position_after(steps).average_cost == D(8)
    assert position_after([]).quantity == 0
