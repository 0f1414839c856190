"""Withdrawals from isolated buckets are judged by their own scope; the firm itself is not paid."""

from dataclasses import replace
from decimal import ROUND_FLOOR, Decimal
from pathlib import Path

import psycopg
import pytest

from accounts.audit import RefusedError
from accounts.models import Bucket, Role
from ledger.models import Balance, Payment, PaymentFile
from ledger.payment_files import record_sent
from ledger.payments import home_of
from margin.holding import balances_of
from margin.payments.reports import read_report
from margin.payments.withdrawals import look, request_withdrawal
from tests.margin.paying import JOB, WHY, PayingFirm, again, moved, paying_firm
from tests.margin.test_payment_reports import pain_002


@pytest.fixture
def firm(db: None, tmp_path: Path) -> PayingFirm:
    """The firm, asked to pay out of an isolated bucket that holds a position and spare money."""
    found = paying_firm(tmp_path / "firm")
    rows = Balance.objects.filter(
        account__account_class="claim", account__asset__code="USD", amount__lt=-100,
        account__bucket__role="ISOLATED", account__owner_class="CLIENT",
        account__client__is_individually_segregated=False,
    ).order_by("account_id")  # fmt: skip
    for bucket_id in rows.values_list("account__bucket", flat=True):
        bucket = Bucket.objects.select_related("account__client__person_key").get(pk=bucket_id)
        isolated = replace(found, bucket=bucket)
        if not any(balances_of(bucket).positions.values()):
            continue
        if bucket.account.client != found.bucket.account.client:
            isolated.instruction()
        if look(isolated.withdrawal("1.00")).free.amount > 20:
            return isolated
    raise AssertionError("the firm has such a bucket")


def test_the_gate_is_that_of_the_buckets_own_scope(firm: PayingFirm) -> None:
    free = look(firm.withdrawal("1.00")).free
    assert free.binding.name == "initial_margin"
    most = free.amount.quantize(Decimal("0.01"), ROUND_FLOOR)
    before = moved()["Entry"], firm.claim()
    refused = firm.asked(str(most + Decimal("0.01")))
    assert (refused.state, refused.binding_term) == ("refused", "initial_margin")
    assert (moved()["Entry"], firm.claim()) == before
    payment = firm.approved(str(most))
    assert (payment.state, firm.held()) == ("approved", most)
    assert firm.claim() == before[1] - most
    # Nothing more may leave, though the account has more elsewhere.
    assert firm.asked("0.01").binding_term == "initial_margin"


def test_what_is_not_paid_goes_to_the_free_bucket_once(firm: PayingFirm) -> None:
    home = home_of(firm.bucket)
    assert home is not None
    assert home.role == "FREE"
    claim, free = firm.claim(), firm.claim(home)
    (payment,) = firm.in_file("10.00")
    file = PaymentFile.objects.get()
    record_sent(file, actor=firm.actor(Role.TREASURY), reason="The bank has it now")
    content = pain_002(file, group="RJCT")
    for is_new in (True, False):
        _, was_new = read_report(
            content, name="r", legal_entity=firm.entity, actor=JOB, reason="A report came"
        )
        assert was_new is is_new
        assert again(payment).state == "returned"
        assert (firm.claim(), firm.claim(home), firm.held()) == (claim - 10, free + 10, 0)


def test_the_firm_is_not_paid_by_a_withdrawal(firm: PayingFirm) -> None:
    house = Bucket.objects.select_related("account__client").filter(
        account__owner_class="HOUSE", role="FREE"
    )[0]
    asked = replace(firm.withdrawal("1.00"), bucket=house)
    seen = look(asked)
    assert "house" in {term["name"] for term in seen.terms}
    assert seen.refusal is not None
    before = moved(), Payment.objects.count()
    with pytest.raises((RefusedError, psycopg.Error)) as refused:
        request_withdrawal(asked, reason=WHY, actor=firm.actor(Role.OPERATIONS))
    assert isinstance(refused.value, RefusedError)
    assert refused.value.rule == "payment_is_to_its_own_client"
    assert (moved(), Payment.objects.count()) == before
