"""Loans repaid from free money, where the rates say so: the dearest first, then the oldest.

A repayment takes as much from the client's money as from the loan, so it leaves equity and
requirement as they are; margin releases it for exactly that amount.
"""

from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from uuid import uuid4

from django.db import connection

from accounts.audit import Actor, acting
from accounts.models import LegalEntity
from ledger.models import Balance, EntryKey, LedgerAccount, Release
from ledger.posting import Draft, Leg, lock_balances, post_entry

BINDING_TERM = "repayment_leaves_equity"

LOANS = """
    SELECT a.id, c.id, a.bucket_id, a.asset_id, a.pool_id, c.pool_id
    FROM ledger_accrualrun r
    JOIN ledger_dailyrate d ON d.run_id = r.id
    JOIN ledger_rateversion v ON v.id = d.version_id AND v.repays_from_free_money
    JOIN ledger_ratecurve k ON k.id = d.curve_id AND k.side = 'borrow'
    JOIN ledger_accrual x ON x.run_id = r.id AND x.curve_id = k.id
    JOIN ledger_ledgeraccount a ON a.id = x.account_id
    JOIN ledger_ledgeraccount c ON c.bucket_id = a.bucket_id AND c.asset_id = a.asset_id
        AND c.account_class = 'claim'
    JOIN ledger_balance b ON b.account_id = a.id AND b.amount > 0
    JOIN ledger_balance f ON f.account_id = c.id AND f.amount < 0
    WHERE r.legal_entity_id = %s AND r.day = %s
    ORDER BY x.rate DESC, x.since, a.id
"""


class Loan(NamedTuple):
    """A loan and the money beside it."""

    loan_id: int
    claim_id: int
    bucket_id: int
    asset_id: int
    house_pool_id: int
    client_pool_id: int


def repay_from_free_money(legal_entity: LegalEntity, *, on: date, actor: Actor) -> int:
    """Repay loans of a day that is accrued, each in an act of its own; returns how many.

    Running it again changes nothing: a loan is repaid once a day.
    """
    with connection.cursor() as cursor:
        cursor.execute(LOANS, [legal_entity.pk, on])
        loans = [Loan(*row) for row in cursor.fetchall()]
    done = EntryKey.objects.filter(key__in=[_key(loan, on) for loan in loans])
    known = set(done.values_list("key", flat=True))
    loans = [loan for loan in loans if _key(loan, on) not in known]
    return sum(_repay(loan, on=on, actor=actor) for loan in loans)


def _key(loan: Loan, on: date) -> str:
    return f"repay:{on}:{loan.loan_id}"


def _bank(pool_id: int, asset_id: int) -> int | None:
    """The custody of a pool's bank that holds most of an asset."""
    held = Balance.objects.filter(
        account__pool=pool_id,
        account__asset=asset_id,
        account__account_class="custody",
        account__location__kind="bank",
        account__location__closed_on__isnull=True,
        account__location__individual_client__isnull=True,
    )
    return held.order_by("-amount", "account_id").values_list("account_id", flat=True).first()


def _repay(loan: Loan, *, on: date, actor: Actor) -> bool:
    """Repay one loan with what is there of the client's money and of the bank's."""
    gives = _bank(loan.client_pool_id, loan.asset_id)
    takes = _bank(loan.house_pool_id, loan.asset_id)
    if gives is None or takes is None:
        return False
    with acting(actor, reason=f"Repaid from free money, {on}"):
        ids = [loan.loan_id, loan.claim_id, gives, takes]
        held = lock_balances(account_ids=ids, bucket_ids=[loan.bucket_id])
        amount = min(held[loan.loan_id].amount, -held[loan.claim_id].amount, held[gives].amount)
        if amount <= 0:
            return False
        of_bucket = LedgerAccount.objects.filter(bucket=loan.bucket_id).values_list("pk", flat=True)
        release = Release.objects.create(
            id=uuid4(),
            bucket_id=loan.bucket_id,
            kind_id="repay",
            asset_id=loan.asset_id,
            amount=amount,
            price_snapshot="none",
            scope_version=sum(held[pk].seq for pk in of_bucket),
            binding_term=BINDING_TERM,
        )
        reference = f"AR-{on}-{loan.loan_id}"
        posted = post_entry(
            Draft(
                key=_key(loan, on),
                kind="repay",
                effective_at=datetime.combine(on + timedelta(days=1), time(), tzinfo=UTC),
                reference=reference,
                legs=[
                    Leg(loan.claim_id, amount),
                    Leg(gives, -amount, reference=reference),
                    Leg(loan.loan_id, -amount),
                    Leg(takes, amount, reference=reference),
                ],
                release_id=release.pk,
            )
        )
        return posted.is_new
