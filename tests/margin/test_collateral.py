"""Money in and out of a scope: released, posted and settled with its call in one act."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from django.db import connection, connections

from accounts.audit import Actor
from accounts.models import Bucket
from ledger.models import Asset, Balance, Location, Posting, Release
from margin.collateral import Payment, WithdrawalRefusedError, deposit, withdraw
from margin.models import CallEvent, MarginCall
from tests.stage import booked_days

DESK = Actor.job("test")
AT = datetime(2031, 3, 5, 12, tzinfo=UTC)


@pytest.fixture
def book(db: None, tmp_path: Path) -> None:
    """A firm with one day in the book and some calls."""
    booked_days(tmp_path / "firm", accounts=90, seed=3, days=2)


def payment(bucket: Bucket, amount: Decimal, *, key: str) -> Payment:
    return Payment(
        key=key,
        bucket=bucket,
        asset=Asset.objects.get(code="USD"),
        amount=amount,
        location=Location.objects.get(code="bank:client-usd"),
        reference=key,
        effective_at=AT,
    )


def called() -> MarginCall:
    return (
        MarginCall.objects.open()
        .select_related("scope__bucket__account", "last_result")
        .order_by("number")[0]
    )


def claim_of(bucket: Bucket) -> Decimal:
    balance = Balance.objects.get(
        account__bucket=bucket, account__asset__code="USD", account__account_class="claim"
    )
    return -balance.amount


def cash_bucket() -> Bucket:
    """A bucket of a cash account: all of its claim is free."""
    found = Balance.objects.filter(
        account__account_class="claim",
        account__asset__code="USD",
        account__margin_account__mode="cash",
        account__owner_class="CLIENT",
        amount__lt=-1000,
    ).order_by("account_id")[0]
    return Bucket.objects.select_related("account").get(pk=found.account.bucket_id)


def test_a_deposit_of_exactly_what_is_missing_meets_the_call(book: None) -> None:
    call = called()
    assert call.scope.bucket is not None
    deposit(payment(call.scope.bucket, call.amount, key="D1"), actor=DESK, reason="Wire")
    call.refresh_from_db()
    assert (call.state, call.end_reason) == ("met", "collateral_received")
    assert CallEvent.objects.filter(call=call, event="met").count() == 1


def test_one_cent_less_leaves_one_cent_called(book: None) -> None:
    call = called()
    assert call.scope.bucket is not None
    short = call.amount - Decimal("0.01")
    deposit(payment(call.scope.bucket, short, key="D1"), actor=DESK, reason="Wire")
    call.refresh_from_db()
    assert (call.state, call.amount) == ("partially_met", Decimal("0.01"))


def test_the_same_deposit_is_posted_and_settled_once(book: None) -> None:
    call = called()
    assert call.scope.bucket is not None
    half = payment(call.scope.bucket, Decimal("1.00"), key="D1")
    first = deposit(half, actor=DESK, reason="Wire")
    again = deposit(half, actor=DESK, reason="Wire")
    assert (again.entry_id, again.is_new) == (first.entry_id, False)
    assert CallEvent.objects.filter(call=call, event="partially_met").count() == 1


def test_a_called_scope_can_withdraw_nothing(book: None) -> None:
    call = called()
    assert call.scope.bucket is not None
    deposit(payment(call.scope.bucket, Decimal("1.00"), key="D1"), actor=DESK, reason="Wire")
    before = (Posting.objects.count(), Release.objects.count())
    with pytest.raises(WithdrawalRefusedError) as refused:
        withdraw(payment(call.scope.bucket, Decimal("0.01"), key="W1"), actor=DESK, reason="Ask")
    assert refused.value.term == "initial_margin"
    assert refused.value.free_amount == 0
    assert (Posting.objects.count(), Release.objects.count()) == before


def test_a_hundred_withdrawals_at_once_take_exactly_what_is_there(book: None) -> None:
    bucket = cash_bucket()
    claim = claim_of(bucket)
    each = (claim / 40).quantize(Decimal("0.01"))
    affordable = int(claim // each)

    def take(number: int) -> bool:
        try:
            withdraw(payment(bucket, each, key=f"W{number}"), actor=DESK, reason="Race")
        except WithdrawalRefusedError:
            return False
        else:
            return True
        finally:
            connections.close_all()

    with ThreadPoolExecutor(16) as threads:
        taken = sum(threads.map(take, range(100)))
    assert taken == affordable
    assert claim_of(bucket) == claim - each * affordable
    running = Posting.objects.filter(
        account__bucket=bucket, account__account_class="claim", account__asset__code="USD"
    ).order_by("account_seq")
    assert all(posting.balance_after <= 0 for posting in running)
    assert connection.vendor == "postgresql"
