"""What may leave a bucket: the least of named terms, and which of them binds."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.db.models import Q, QuerySet, Sum
from django.utils import timezone

from accounts.figures import grouped
from accounts.models import AccountGroup, Bucket, GroupMember, MarginAccount
from ledger.blocks import blocks_on
from ledger.bucket_moves import guard_between
from ledger.debts import pledged_in
from ledger.models import Asset, Balance, MoveGuard
from ledger.models.moves import OUTSIDE
from ledger.payments import committed
from margin.asking import ModelRefusedError
from margin.engine.exact import exact
from margin.holding import (
    ScopeBalances,
    bad_price,
    balances_of,
    others_of,
    standing_of,
    unpriced,
)
from margin.models import Switch
from margin.releases import InitialMarginGate
from margin.spare import spare_of, spare_units, without
from margin.switches import RULES, is_stopped

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Term:
    """One limit of what may leave: its name, how much it lets through, and why."""

    name: str
    amount: Decimal
    why: str


@dataclass(frozen=True, slots=True)
class FreeAmount:
    """All terms of one bucket and asset. What is free is the least of them, and never negative."""

    asset: Asset
    terms: Sequence[Term]

    @property
    def binding(self) -> Term:
        """The term that lets least through; of equals the first."""
        return min(self.terms, key=lambda term: term.amount)

    @property
    def amount(self) -> Decimal:
        return max(ZERO, self.binding.amount)


def free_amount(bucket: Bucket, asset: Asset, *, gate: InitialMarginGate) -> FreeAmount:
    """What may leave a bucket of an asset as the book stands; hold it first to decide on it."""
    held = balances_of(bucket)
    claim = held.claims.get(asset.code, ZERO)
    terms = [
        *_freezes(bucket, held, *others_of(bucket, gate=gate).values()),
        Term("claim", claim, f"the claim is {_said(claim, asset)}"),
        _bucket_rule(bucket, claim),
        _pledges(bucket, asset, claim),
        _settled(bucket, asset),
    ]
    if bucket.is_margined:
        terms.append(_initial_margin(bucket, asset, held, gate))
    group = _group_headroom(bucket, asset, held, gate)
    return FreeAmount(asset, [*terms, *([] if group is None else [group])])


def _said(amount: Decimal, asset: Asset) -> str:
    return f"{grouped(amount, decimals=asset.scale)} {asset.code}"


def _freezes(bucket: Bucket, *held: ScopeBalances) -> list[Term]:
    """What lets nothing through at all while it lasts.

    Args:
        held: by the bucket, and by those that are margined with it.
    """
    terms = []
    blocks = blocks_on(bucket.account_id)
    if blocks:
        terms.append(Term("block", ZERO, f"what leaves is blocked: {blocks[-1].words}"))
    if is_stopped(bucket.account.legal_entity_id, Switch.What.WITHDRAWALS):
        why = "withdrawals are stopped by two people"
        terms.insert(0, Term(RULES[Switch.What.WITHDRAWALS], ZERO, why))
    missing = Balance.objects.filter(
        account__account_class="shortfall",
        account__pool__legal_entity=bucket.account.legal_entity_id,
        account__owner_class=bucket.account.owner_class,
        amount__gt=0,
    ).first()
    if missing is not None:
        why = f"client money lacks {missing.amount:,.2f} and is frozen until it is whole"
        terms.append(Term("shortfall", ZERO, why))
    bad = bad_price(*held) if bucket.is_margined else None
    if bad is not None:
        why = f"{bad[0]} has no price that permits a withdrawal ({bad[1]})"
        terms.append(Term("price", ZERO, why))
    return terms


def _bucket_rule(bucket: Bucket, claim: Decimal) -> Term:
    """Whether the matrix lets anything out of a bucket of this role without a second person."""
    guard = guard_between(bucket.role, OUTSIDE, day=timezone.now().date())
    if guard in (MoveGuard.NEVER, MoveGuard.TWO):
        word = bucket.get_role_display().lower()
        return Term("bucket_rule", ZERO, f"nothing leaves a bucket of role {word} by itself")
    return Term("bucket_rule", claim, f"a bucket of role {bucket.get_role_display().lower()}")


def _pledges(bucket: Bucket, asset: Asset, claim: Decimal) -> Term:
    pledged = pledged_in(bucket.pk, asset.pk)
    return Term("pledged", claim - pledged, f"{_said(pledged, asset)} are pledged")


def _settled(bucket: Bucket, asset: Asset) -> Term:
    """What the pool can pay from now: not on its way, not delegated, not mirrored.

    A client held apart is paid from their own locations and from no other.
    """
    places = Balance.objects.filter(
        account__account_class="custody",
        account__asset=asset,
        account__pool__legal_entity=bucket.account.legal_entity_id,
        account__owner_class=bucket.account.owner_class,
    )
    client = bucket.account.client
    own = client.pk if client is not None and client.is_individually_segregated else None
    held = places.filter(account__client=own).aggregate(total=Sum("amount"))["total"] or ZERO
    said = f"{_said(held, asset)} of the pool are settled and at hand"
    to_pay = committed(asset, account=bucket.account)
    if not to_pay:
        return Term("settled", held, said)
    with exact():
        left = held - to_pay
    return Term("settled", left, f"{said}, of which {_said(to_pay, asset)} are still to be paid")


def _initial_margin(
    bucket: Bucket, asset: Asset, held: ScopeBalances, gate: InitialMarginGate
) -> Term:
    """What leaves the scope its initial margin; nothing where nobody can say.

    A bucket that is margined as a part of a group asks the group.
    """
    nameless = unpriced(gate, held)
    if nameless is not None:
        return Term("price", ZERO, f"{nameless} has no mark or no terms")
    try:
        standing = standing_of(bucket, held, gate=gate)
        amount = spare_units(bucket, asset, held, gate=gate)
    except ModelRefusedError as refused:
        return Term(refused.rule, ZERO, refused.detail.rstrip("."))
    together = gate.pools.together(bucket.pk)
    name = f"the group {together[0].account.code}" if together else bucket.account.code
    why = f"{name} has {standing.equity:,.2f} equity against {standing.initial_margin:,.2f}"
    return Term("group_headroom" if together else "initial_margin", amount, why)


def linked_buckets(account: MarginAccount) -> list[Bucket]:
    """The margined buckets of every account linked with this one; none if it is in no group."""
    return _buckets_in(_groups_of(account))


def _groups_of(account: MarginAccount) -> "QuerySet[AccountGroup]":
    """The group that an account is in, or is to join, or stands for."""
    return AccountGroup.objects.filter(
        Q(account=account) | Q(pk__in=_still_in().filter(account=account).values("group"))
    )


def _still_in() -> "QuerySet[GroupMember]":
    today = timezone.now().date()
    return GroupMember.objects.filter(Q(left_on__isnull=True) | Q(left_on__gt=today))


def _buckets_in(groups: "QuerySet[AccountGroup]") -> list[Bucket]:
    members = _still_in().filter(group__in=groups).values("account_id")
    standing = groups.filter(account__isnull=False).values("account_id")
    return list(
        Bucket.objects.filter(Q(account__in=members) | Q(account__in=standing), is_margined=True)
        .select_related("account")
        .order_by("pk")
    )


def _linked_alone(account: MarginAccount) -> list[Bucket]:
    """Buckets linked with an account's that have scopes of their own: of a group that is not
    margined as one.
    """
    return _buckets_in(_groups_of(account).filter(account__isnull=True))


def _group_headroom(
    bucket: Bucket, asset: Asset, held: ScopeBalances, gate: InitialMarginGate
) -> Term | None:
    """What the linked accounts together have beyond what they need; None outside a group."""
    linked = _linked_alone(bucket.account)
    if not linked:
        return None
    holdings = [(each, balances_of(each)) for each in linked]
    nameless = unpriced(gate, *(of for _, of in holdings))
    if nameless is not None:
        return Term("group_headroom", ZERO, f"{nameless} of a linked account has no mark")
    try:
        beside = _spare_beside(bucket, holdings, gate)
        with exact():
            own = spare_of(bucket, held, gate=gate) if bucket.is_margined else ZERO
            spare = beside + own
        amount = spare_units(bucket, asset, held, gate=gate, beside=beside)
    except ModelRefusedError as refused:
        return Term("group_headroom", ZERO, refused.detail.rstrip("."))
    why = f"the linked accounts together have {spare:,.2f} beyond what they need"
    return Term("group_headroom", amount, why)


def _spare_beside(
    bucket: Bucket, linked: Sequence[tuple[Bucket, ScopeBalances]], gate: InitialMarginGate
) -> Decimal:
    """What linked scopes other than this have beyond what they need, added up."""
    with exact():
        others = (spare_of(each, of, gate=gate) for each, of in linked if each.pk != bucket.pk)
        return sum(others, ZERO)


def lacks_after(
    bucket: Bucket, asset: Asset, amount: Decimal, *, gate: InitialMarginGate
) -> Decimal:
    """What a scope, or those linked with it, would lack after exactly this amount has left; or 0.

    A portfolio model may refuse less than what is free: a coin that leaves may have covered
    something. House rules never do, and are not asked.

    Raises:
        ModelRefusedError: a portfolio model does not say what it requires.
    """
    if not (bucket.is_margined and gate.is_under_model(gate.pools.stands_for(bucket))):
        return ZERO
    after = spare_of(bucket, without(balances_of(bucket), asset.code, amount), gate=gate)
    linked = [(each, balances_of(each)) for each in _linked_alone(bucket.account)]
    with exact():
        together = after + _spare_beside(bucket, linked, gate) if linked else after
    return max(ZERO, -after, -together)
