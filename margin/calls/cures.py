"""Calls met, or met in part, in the transaction of the entry that brings what they asked for.

Every single entry of the ledger comes by here, whoever posts it: a deposit, a move between
buckets, a trade, an entry that two people agreed to. What comes with the files of a day is settled
by the day's run. A maintenance call is met when the scope has what it needs at the newest marks,
by more equity or by less of a requirement; an initial call when what was paid in is worth what it
asked for: a sale changes what the scope holds and pays nothing in.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from django.db.models import Q
from django.utils import timezone

from ledger.models import LedgerAccount
from ledger.posting import Draft, Posted, register_after_entry
from margin.asking import ModelRefusedError
from margin.calls.acts import become
from margin.calls.disputes import given_up
from margin.calls.promises import in_transit, keep_promises
from margin.calls.terms import rules_of
from margin.engine.exact import ONE, ZERO, exact, round_up
from margin.engine.inputs import MoneyTerms, SecurityTerms
from margin.holding import balances_of, newest_gate, standing_of
from margin.models import MarginCall
from margin.pools import Pools
from margin.releases import InitialMarginGate

CENTS = 2
State = MarginCall.State
COUNTED = ("claim", "position", "loan_receivable")
# Entries by which positions are opened, closed and changed.
TRADES = (
    "security_trade", "derivative_trade", "option_trade", "covered_loss", "uncovered_loss",
)  # fmt: skip
Came = Mapping[str, Decimal]  # amounts by asset that came into a bucket


def settle_entry(draft: Draft, posted: Posted) -> None:
    """Settle the open calls of every bucket into which something came; inside the act."""
    came, traded = _with_groups(_came_in(draft)), _groups_too(_traded(draft))
    if not came and not traded:
        return
    # What a sale brings in was the scope's own: an initial call counts what is paid in.
    paid = Q() if not traded else Q(kind=MarginCall.Kind.MAINTENANCE)
    calls = list(
        MarginCall.objects.open()
        .exclude(state=State.DRAFT)
        .filter(paid, scope__bucket__in={*came, *traded})
        .select_for_update(of=("self",))
        .select_related("scope__bucket__account")
        .order_by("kind", "pk")  # what comes in pays an initial call first
    )
    if not calls:
        return
    gate, now = newest_gate(), timezone.now()
    if not traded:
        keep_promises(
            [call.pk for call in calls], reference=draft.reference, entry_id=posted.entry_id,
            at=now,
        )  # fmt: skip
    allowed = given_up([call.pk for call in calls])
    for call in calls:
        if call.kind == MarginCall.Kind.INITIAL:
            _settle_initial(call, came[_bucket_id(call)], gate=gate, at=now)
        else:
            with exact():
                spared = allowed.get(call.pk, ZERO) + _covered_otherwise(call, at=now)
            _settle(call, gate=gate, at=now, allowed=spared, how="Trade" if traded else "Deposit")


def _covered_otherwise(call: MarginCall, *, at: datetime) -> Decimal:
    """What the terms of a maintenance call do not have it ask for: what an open initial call asks
    for, and what is on its way.
    """
    rules, found = rules_of(call), ZERO
    with exact():
        if rules.nets_pending:
            pending = MarginCall.objects.open().exclude(state=State.DRAFT)
            of_scope = pending.filter(scope=call.scope_id, kind=MarginCall.Kind.INITIAL)
            found += sum(of_scope.values_list("amount", flat=True), ZERO)
        if rules.counts_in_transit:
            found += in_transit([call.scope_id], at=at).get(call.scope_id, ZERO)
    return found


def _bucket_id(call: MarginCall) -> int:
    bucket_id = call.scope.bucket_id
    assert bucket_id is not None, "calls are made on buckets"
    return bucket_id


def _came_in(draft: Draft) -> dict[int, dict[str, Decimal]]:
    """What an entry brings, by bucket and asset; credits are what owners have more of."""
    credited: dict[int, Decimal] = {}
    for leg in draft.legs:
        credited[leg.account_id] = credited.get(leg.account_id, ZERO) - leg.amount
    found: dict[int, dict[str, Decimal]] = {}
    for pk, bucket, asset in LedgerAccount.objects.filter(
        pk__in=[pk for pk, amount in credited.items() if amount > 0],
        bucket__isnull=False,
        account_class__in=COUNTED,
    ).values_list("pk", "bucket", "asset__code"):
        found.setdefault(bucket, {})[asset] = credited[pk]
    return found


def _traded(draft: Draft) -> set[int]:
    """Buckets whose position or money a trade moves; none where the entry is no trade."""
    if draft.kind not in TRADES:
        return set()
    moved = LedgerAccount.objects.filter(
        pk__in=[leg.account_id for leg in draft.legs],
        bucket__isnull=False,
        account_class__in=COUNTED,
    )
    return {pk for pk in moved.values_list("bucket", flat=True) if pk is not None}


def _with_groups(came: dict[int, dict[str, Decimal]]) -> dict[int, dict[str, Decimal]]:
    """What came into members of a group came into the group too."""
    pools = Pools.newest() if came else Pools()
    found = {bucket: dict(amounts) for bucket, amounts in came.items()}
    with exact():
        for bucket, amounts in came.items():
            group = pools.groups.get(bucket)
            if group is not None:
                into = found.setdefault(group, {})
                for code, amount in amounts.items():
                    into[code] = into.get(code, ZERO) + amount
    return found


def _groups_too(traded: set[int]) -> set[int]:
    """What a member of a group traded, the group traded too."""
    groups = Pools.newest().groups if traded else {}
    return traded | {groups[bucket] for bucket in traded if bucket in groups}


def _settle(
    call: MarginCall, *, gate: InitialMarginGate, at: datetime, allowed: Decimal, how: str
) -> None:
    """Meet a maintenance call if initial margin is restored, else lower it.

    Where a portfolio model does not say what it requires the call stays as it is.
    """
    bucket = call.scope.bucket
    assert bucket is not None, "calls are made on buckets"
    try:
        standing = standing_of(bucket, balances_of(bucket), gate=gate)
    except ModelRefusedError:
        return
    with exact():
        missing = standing.initial_margin - standing.equity - allowed
        left = round_up(missing, CENTS) if missing > 0 else ZERO
    text = f"{how}: equity {standing.equity:,.2f}, initial margin {standing.initial_margin:,.2f}"
    reason = "position_reduced" if how == "Trade" else "collateral_received"
    _lower(call, left, at=at, text=text, reason=reason)


def _settle_initial(call: MarginCall, came: Came, *, gate: InitialMarginGate, at: datetime) -> None:
    """Lower an initial call by what the deposit counts for; it is met when nothing is left."""
    worth = sum((_worth(code, amount, gate) for code, amount in came.items()), ZERO)
    with exact():
        left = max(round_up(call.amount - worth, CENTS), ZERO)
    _lower(call, left, at=at, text=f"Deposit: it counts for {worth:,.2f}")


def _worth(code: str, amount: Decimal, gate: InitialMarginGate) -> Decimal:
    """What a deposit counts for towards an initial call: money after its haircut, a fully paid
    security for what can be borrowed on it.
    """
    terms, mark = gate.terms.get(code), gate.marks.get(code)
    if mark is None:
        return ZERO
    with exact():
        if isinstance(terms, MoneyTerms):
            return amount * mark * (ONE - terms.haircut)
        if isinstance(terms, SecurityTerms):
            return amount * mark * (ONE - terms.initial_rate)
    return ZERO


def _lower(
    call: MarginCall,
    left: Decimal,
    *,
    at: datetime,
    text: str,
    reason: str = "collateral_received",
) -> None:
    if not left:
        if call.state == State.UNDELIVERED:
            call = become(
                call, State.ESCALATED, at=at, text="It is paid without having reached the client."
            )
        why = "liquidated" if call.state == State.LIQUIDATING else reason
        become(call, State.MET, at=at, text=text, ended_at=at, end_reason=why, after=ZERO)
    elif left < call.amount:
        stays = call.state in (State.LIQUIDATING, State.UNDELIVERED)
        become(
            call, call.state if stays else State.PARTIALLY_MET, at=at, text=text, amount=left,
            event="lowered" if stays else "",
        )  # fmt: skip


def register() -> None:
    """Have every single entry settle the calls of the buckets it pays into."""
    register_after_entry(settle_entry)
