"""What may leave a scope under a portfolio model: what the model lets go, to the last unit."""

import csv
from datetime import UTC, datetime, time
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.audit import Actor
from accounts.models import Bucket, MarginAccount
from brokerage.digest import digest
from brokerage.inbox.cycle import run_day
from brokerage.models import InboxEvent
from ledger.models import Asset, Location, Release
from margin.collateral import Payment, WithdrawalRefusedError, withdraw
from margin.free import free_amount
from margin.holding import balances_of, newest_gate, standing_of
from margin.models import MarginResult, ModelDecision
from margin.releases import InitialMarginGate
from margin.spare import largest, spare_of, spare_units, without
from tests.margin.under import (
    SECOND_DAY,
    THIRD_DAY,
    FirmUnderModels,
    decide,
    firm_under_models,
    results_of,
)

D = Decimal
DESK = Actor.job("test")
CENT = D("0.01")


@pytest.fixture
def firm(db: None, tmp_path: Path) -> FirmUnderModels:
    return firm_under_models(tmp_path / "firm")


def under_models(coin: str = "") -> dict[Bucket, MarginResult]:
    """Scopes of clients that a model decided on, who have such money; with something spare."""
    return {
        bucket: result
        for bucket, result in results_of(SECOND_DAY).items()
        if result.parameter_set_id is not None
        and result.equity > result.initial_margin > 0
        and bucket.code == "FREE"
        and balances_of(bucket).claims.get(coin or "USD", D(0)) > 0
        and bucket.account.owner_class == "CLIENT"
    }


def paid_out(bucket: Bucket, amount: Decimal, *, key: str, asset: str = "USD") -> Payment:
    place = "bank:client-usd" if asset == "USD" else "wallet:client-btc"
    return Payment(
        key=key, bucket=bucket, asset=Asset.objects.get(code=asset), amount=amount,
        location=Location.objects.get(code=place), reference=key,
        effective_at=datetime.combine(THIRD_DAY, time(12), tzinfo=UTC),
    )  # fmt: skip


def test_the_gate_says_of_every_scope_what_the_run_said(firm: FirmUnderModels) -> None:
    gate, models = newest_gate(), set()
    for bucket, result in results_of(SECOND_DAY).items():
        standing = standing_of(bucket, balances_of(bucket), gate=gate)
        assert standing == (
            result.equity, result.initial_margin, result.maintenance_margin
        ), bucket  # fmt: skip
        if result.parameter_set and result.initial_margin > 0:
            models.add(result.parameter_set.model)
    assert models == {"scenario", "value-at-risk", "tiers", "delta"}


def test_money_leaves_to_the_last_cent_and_no_further(firm: FirmUnderModels) -> None:
    usd, tried = Asset.objects.get(code="USD"), 0
    for bucket, result in under_models().items():
        free = free_amount(bucket, usd, gate=newest_gate())
        term = next(term for term in free.terms if term.name == "initial_margin")
        assert term.amount == result.equity - result.initial_margin
        if free.binding.name != "initial_margin":
            continue
        cents = free.amount.quantize(CENT, "ROUND_DOWN")
        before = digest()
        with pytest.raises(WithdrawalRefusedError) as refused:
            withdraw(paid_out(bucket, cents + CENT, key=f"M{tried}"), actor=DESK, reason="Asked")
        assert refused.value.term == "initial_margin"
        assert digest() == before
        withdraw(paid_out(bucket, cents, key=f"W{tried}"), actor=DESK, reason="Asked for it")
        after = standing_of(bucket, balances_of(bucket), gate=newest_gate())
        assert after.initial_margin == result.initial_margin
        assert 0 <= after.equity - after.initial_margin < CENT
        tried += 1
    assert tried


def test_a_coin_leaves_as_far_as_the_model_was_asked(firm: FirmUnderModels) -> None:
    coin, gate, searched = Asset.objects.get(code="BTC"), newest_gate(), 0
    unit = D(1).scaleb(-coin.scale)
    for bucket in under_models("BTC"):
        held = balances_of(bucket)
        amount = spare_units(bucket, coin, held, gate=gate)
        assert 0 <= amount <= held.claims["BTC"]
        assert spare_of(bucket, without(held, "BTC", amount), gate=gate) >= 0
        if amount < held.claims["BTC"]:
            assert spare_of(bucket, without(held, "BTC", amount + unit), gate=gate) < 0
            searched += 1
    assert searched


def test_the_inbox_asks_the_model_too(firm: FirmUnderModels) -> None:
    cents: dict[Bucket, Decimal] = {}
    for bucket, result in under_models().items():
        claim = balances_of(bucket).claims["USD"]
        spare = (result.equity - result.initial_margin).quantize(CENT, "ROUND_DOWN")
        if CENT <= spare < claim - CENT:
            cents[bucket] = spare
    assert cents
    write_withdrawals(firm.days[2], cents)
    run_day(firm.days[2])
    events = {event.event_id: event for event in InboxEvent.objects.all()}
    for place, bucket in enumerate(cents):
        assert events[f"OVER{place}"].refusal == "initial_margin"
        assert events[f"ALL{place}"].refusal == ""
        given = Release.objects.get(bucket=bucket)
        assert given.amount == cents[bucket]
        assert given.free_amount is not None
        assert 0 <= given.free_amount < CENT


def write_withdrawals(folder: Path, cents: dict[Bucket, Decimal]) -> None:
    """For each scope one cent more than it can spare, then all that it can."""
    files = {name: folder / f"{name}.csv" for name in ("trades", "transfers")}
    heads = {name: file.read_text().splitlines()[0] for name, file in files.items()}
    files["trades"].write_text(heads["trades"] + "\n")
    with files["transfers"].open("w", newline="") as file:
        writer = csv.DictWriter(file, heads["transfers"].split(","), restval="")
        writer.writeheader()
        for place, (bucket, amount) in enumerate(cents.items()):
            for name, asked in ((f"OVER{place}", amount + CENT), (f"ALL{place}", amount)):
                hour = 9 if name.startswith("OVER") else 10
                writer.writerow({
                    "transfer_id": name, "booked_at": f"{THIRD_DAY}T{hour:02}:00:00Z",
                    "kind": "withdrawal", "account": bucket.account.code, "bucket": bucket.code,
                    "asset": "USD", "amount": asked, "location": "bank:client-usd",
                    "reference": name,
                })  # fmt: skip


def test_a_retired_model_lets_nothing_go_and_says_so(firm: FirmUnderModels) -> None:
    bucket = next(b for b, r in under_models().items() if r.agreement_version.model == "delta")
    decide(firm.desk, "delta", ModelDecision.Standing.RETIRED, SECOND_DAY.replace(day=5))
    gate = InitialMarginGate.at_marks_before(SECOND_DAY.replace(day=6))
    free = free_amount(bucket, Asset.objects.get(code="USD"), gate=gate)
    assert (free.amount, free.binding.name) == (D(0), "model_not_in_use")


def test_a_model_that_takes_no_coins_lets_nothing_go(firm: FirmUnderModels) -> None:
    bucket = next(iter(under_models("BTC")))
    gate = newest_gate()
    agreement = gate.portfolios.agreement_of(bucket.account_id)
    assert agreement is not None
    agreement.model = "strategies"
    decide(firm.desk, "strategies", ModelDecision.Standing.PRODUCTION, THIRD_DAY)
    gate.portfolios._day = THIRD_DAY
    free = free_amount(bucket, Asset.objects.get(code="USD"), gate=gate)
    assert (free.amount, free.binding.name) == (D(0), "model_refused")
    assert "strategies" in free.binding.why


def test_only_accounts_under_models_are_asked_about(firm: FirmUnderModels) -> None:
    gate, named = newest_gate(), results_of(SECOND_DAY)
    for account in MarginAccount.objects.all():
        models = {
            result.agreement_version.model != "house-rules"
            for bucket, result in named.items()
            if bucket.account_id == account.pk
        }
        if models:
            assert {gate.is_under_model(account.pk)} == models


@given(edges=st.sets(st.integers(1, 5_000), max_size=6), below=st.integers(2, 5_000))
def test_the_largest_amount_is_the_end_of_a_stretch_that_holds(edges: set[int], below: int) -> None:
    def holds(number: int) -> bool:
        return sum(edge <= number for edge in edges) % 2 == 0 and number < below

    found = largest(holds, below=below)
    assert holds(found)
    assert not holds(found + 1)
