"""Interest of a day: accrued in the database, exact, then posted for every loan and balance.

The night after a day bears interest on what stood at its end. What is posted on a day is the exact
sum so far, to the nearest unit with ties to even, less what was posted before; so the money never
drifts from the closed form. A late entry is made up for by a correction on the next day accrued.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import Max, Min

from accounts.audit import Actor, RefusedError, acting, refusals
from accounts.models import LegalEntity
from ledger.models import AccrualRun, LedgerAccount, Pool, RateVersion
from ledger.posting import (
    AccountKey,
    Balance,
    Draft,
    Leg,
    lock_balances,
    open_accounts,
    plain,
    post_entries,
)

ZERO = Decimal(0)
ONE_DAY = timedelta(days=1)
CHUNK = 2_000
COMMON_YEAR = 1_603_080
"""Least common multiple of 360, 365 and 366: the denominator of every accrued figure."""

Report = Callable[[int, int, str], None]


class AccrualRefusedError(Exception):
    """Interest cannot be accrued; the message says why, for the desk."""


class Line(NamedTuple):
    """One account's interest of a day. What the client owes is positive.

    `numerator`, `corrected` and `cumulative` are in units of the asset over `COMMON_YEAR`.
    """

    account_id: int
    curve_id: int
    closing: Decimal
    since: date | None
    withheld: Decimal
    base: Decimal
    rate: Decimal
    days: int
    year: int
    numerator: Decimal
    corrected: Decimal
    cumulative: Decimal
    paid_before: Decimal
    due: Decimal


class Due(NamedTuple):
    """What is to be posted for an accrual, with the accounts it may be posted on."""

    day: date
    account_id: int
    due: Decimal
    account_class: str
    bucket_id: int
    asset_id: int
    pool_id: int
    paid_from: str
    claim_id: int | None
    claim_pool_id: int | None


@dataclass(frozen=True)
class Accrued:
    """What a run did: the days it accrued, the entries it posted."""

    days: tuple[date, ...]
    accounts: int
    entries: int


@dataclass(frozen=True)
class Preview:
    """What accruing a day would come to, without accruing it."""

    day: date
    lines: tuple[Line, ...]


# ---------------------------------------------------------------- which days


def first_day(legal_entity: LegalEntity) -> date | None:
    """The first day for which rates hold."""
    found: date | None = RateVersion.objects.filter(curve__legal_entity=legal_entity).aggregate(
        first=Min("effective_from")
    )["first"]
    return found


def newest_day(legal_entity: LegalEntity) -> date | None:
    """The newest day that is accrued."""
    found: date | None = AccrualRun.objects.filter(legal_entity=legal_entity).aggregate(
        newest=Max("day")
    )["newest"]
    return found


def days_due(legal_entity: LegalEntity, *, on: date) -> list[date]:
    """Days to accrue, in order, up to and with `on`; none where no rates hold yet."""
    newest = newest_day(legal_entity)
    start = newest + ONE_DAY if newest is not None else first_day(legal_entity)
    if start is None:
        return []
    return [start + timedelta(days=n) for n in range((on - start).days + 1)]


# ---------------------------------------------------------------- accruing


def accrue(
    legal_entity: LegalEntity,
    *,
    on: date,
    actor: Actor,
    chunk: int = CHUNK,
    report: Report | None = None,
) -> Accrued:
    """Accrue and post interest of every day up to `on` that is not accrued yet.

    Running it again changes nothing; a run that was cut off goes on where it stood. Each day is an
    act of its own, and so is each chunk of its entries.

    Raises:
        AccrualRefusedError: the firm's residual interest lacks what clients are to be paid.
        RefusedError: a rule of the book refused a day or a chunk; what was posted before stands.
    """
    entries = post_due(legal_entity, actor=actor, chunk=chunk, report=report)
    days = days_due(legal_entity, on=on)
    accounts = 0
    for day in days:
        with acting(actor, reason=f"Interest of {day}"), connection.cursor() as cursor:
            cursor.execute("SELECT ledger.accrue_day(%s, %s)", [legal_entity.pk, day])
            (run_id,) = cursor.fetchone()
            cursor.execute("SELECT count(*) FROM ledger_accrual WHERE run_id = %s", [run_id])
            accounts += cursor.fetchone()[0]
        entries += post_due(legal_entity, actor=actor, chunk=chunk, report=report)
    return Accrued(days=tuple(days), accounts=accounts, entries=entries)


def preview(legal_entity: LegalEntity, *, on: date) -> Preview:
    """What the next day to be accrued comes to, if that is `on`; by the same function.

    Raises:
        AccrualRefusedError: another day is next.
    """
    due = days_due(legal_entity, on=on)
    if due != [on]:
        newest = newest_day(legal_entity)
        if newest is not None and on <= newest:
            raise AccrualRefusedError(f"Interest of {on} is accrued; there is nothing to preview.")
        said = f"{due[0]} is the next day to be accrued" if due else "no rates hold yet"
        raise AccrualRefusedError(f"Interest of {on} cannot be previewed: {said}.")
    with refusals(), connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {', '.join(Line._fields)} FROM ledger.accruals_of(%s, %s, NULL)"  # noqa: S608
            " ORDER BY account_id",
            [legal_entity.pk, on],
        )
        return Preview(day=on, lines=tuple(Line(*row) for row in cursor.fetchall()))


# ---------------------------------------------------------------- posting


def dues_of(legal_entity: LegalEntity) -> list[Due]:
    """Accruals of the newest day that wait for their entry; one query."""
    with refusals(), connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {', '.join(Due._fields)} FROM ledger.accruals_to_post(%s)"  # noqa: S608
            " ORDER BY account_id",
            [legal_entity.pk],
        )
        return [Due(*row) for row in cursor.fetchall()]


def post_due(
    legal_entity: LegalEntity, *, actor: Actor, chunk: int = CHUNK, report: Report | None = None
) -> int:
    """Post what the newest accrued day still owes the book; returns how many entries."""
    dues = dues_of(legal_entity)
    posted = 0
    for some in _chunks(dues, chunk):
        with acting(actor, reason=f"Interest of {some[0].day}"):
            posted += _post(some, legal_entity=legal_entity)
        if report is not None:
            report(posted, len(dues), f"Interest of {some[0].day}")
    return posted


def _chunks(dues: Sequence[Due], size: int) -> Iterator[list[Due]]:
    waiting = iter(dues)
    while some := list(islice(waiting, size)):
        yield some


def _post(dues: Sequence[Due], *, legal_entity: LegalEntity) -> int:
    """Post some accruals in the running act, on balances locked before they are read."""
    sides = _firm_sides(dues, legal_entity=legal_entity)
    touched = {one.account_id for one in dues} | {one.claim_id for one in dues if one.claim_id}
    held = lock_balances(account_ids=sorted(touched | set(sides.values())))
    drafts = [draft for one in dues if (draft := _draft(one, held=held, sides=sides)) is not None]
    try:
        return sum(posted.is_new for posted in post_entries(drafts))
    except RefusedError as refused:
        if refused.rule != "residual_interest_not_below_zero":
            raise
        raise AccrualRefusedError(
            "Not posted: the firm's residual interest lacks what clients are to be paid of"
            f" {dues[0].day}. Pay firm money into the pool, then run it again."
        ) from refused


def _firm_sides(dues: Sequence[Due], *, legal_entity: LegalEntity) -> dict[AccountKey, int]:
    """Where the firm's side goes: residual interest of client pools, own equity of the house."""
    keys = set()
    client_pools = Pool.objects.filter(legal_entity=legal_entity, owner_class="CLIENT")
    first_pool = client_pools.order_by("pk").values_list("pk", flat=True).first()
    for one in dues:
        pool = one.claim_pool_id or first_pool
        if pool is not None:
            keys.add(AccountKey(pool, one.asset_id, "residual_interest"))
        if one.account_class == "loan_receivable":
            keys.add(AccountKey(one.pool_id, one.asset_id, "own_equity"))
    return open_accounts(sorted(keys, key=str))


def _draft(one: Due, *, held: dict[int, Balance], sides: dict[AccountKey, int]) -> Draft | None:
    """The entry of an accrual, on balances as they stand; carries them on for the next."""
    is_loan = one.account_class == "loan_receivable"
    claim = -held[one.claim_id].amount if one.claim_id else ZERO
    on_claim, on_loan = _split(
        one, claim=claim, loan=held[one.account_id].amount if is_loan else ZERO
    )
    legs: list[Leg] = []
    if on_claim:
        assert one.claim_id is not None
        assert one.claim_pool_id is not None
        residual = sides[AccountKey(one.claim_pool_id, one.asset_id, "residual_interest")]
        legs += [Leg(one.claim_id, on_claim), Leg(residual, -on_claim)]
        held[one.claim_id] = held[one.claim_id]._replace(amount=on_claim - claim)
    if on_loan:
        equity = sides[AccountKey(one.pool_id, one.asset_id, "own_equity")]
        legs += [Leg(one.account_id, on_loan), Leg(equity, -on_loan)]
    if not legs:
        return None
    midnight = datetime.combine(one.day + ONE_DAY, time(), tzinfo=UTC)
    return Draft(
        key=f"accrual:{one.day}:{one.account_id}",
        kind="borrow_interest" if is_loan else "credit_interest",
        effective_at=midnight,
        reference=f"INT-{one.day}-{one.account_id}",
        legs=legs,
    )


def _split(one: Due, *, claim: Decimal, loan: Decimal) -> tuple[Decimal, Decimal]:
    """How much of what is due goes to the client's money and how much to the loan."""
    if one.account_class == "claim":
        return min(one.due, claim), ZERO
    if one.due < 0:
        to_loan = ZERO if one.paid_from == "claim" else max(one.due, -loan)
        return one.due - to_loan, to_loan
    from_claim = min(one.due, max(claim, ZERO)) if one.paid_from == "claim" else ZERO
    return from_claim, one.due - from_claim


# ---------------------------------------------------------------- what was accrued


def exact_amount(numerator: Decimal) -> str:
    """An accrued figure for people: ten decimals and whether that is all of it."""
    shown = (numerator / COMMON_YEAR).quantize(Decimal("1.0000000000"))
    return plain(shown)


def account_lines(account: LedgerAccount, *, newest: int = 400) -> list[dict[str, Any]]:
    """The newest accruals of one account, newest first."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT r.day, x.* FROM ledger_accrual x JOIN ledger_accrualrun r ON r.id = x.run_id"
            " WHERE x.account_id = %s ORDER BY x.run_id DESC LIMIT %s",
            [account.pk, newest],
        )
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
