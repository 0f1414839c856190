"""What may leave a bucket: the least of named terms, and which of them binds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal

from django.db.models import Sum
from django.utils import timezone

from accounts.figures import WIDE, grouped
from accounts.models import Bucket, GroupMember, MarginAccount
from ledger.blocks import blocks_on
from ledger.bucket_moves import guard_between
from ledger.debts import pledged_in
from ledger.models import Asset, Balance, MoveGuard
from ledger.models.moves import OUTSIDE
from margin.engine.collateral import CollateralTerms
from margin.engine.exact import exact
from margin.engine.gate import Standing
from margin.holding import ScopeBalances, bad_price, balances_of, standing_of, unpriced
from margin.marks import BASE
from margin.releases import InitialMarginGate

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
        *_freezes(bucket, held),
        Term("claim", claim, f"the claim is {_said(claim, asset)}"),
        _bucket_rule(bucket, claim),
        _pledges(bucket, asset, claim),
        _settled(bucket, asset),
    ]
    nameless = unpriced(gate, held) if bucket.is_margined else None
    if nameless is not None:
        terms.append(Term("price", ZERO, f"{nameless} has no mark or no terms"))
    elif bucket.is_margined and bucket.pk in gate.elsewhere:
        why = "a portfolio model decides, and withdrawals from such a scope are not released yet"
        terms.append(Term("initial_margin", ZERO, why))
    elif bucket.is_margined:
        standing = standing_of(bucket, held, gate=gate)
        terms.append(_initial_margin(bucket, asset, held, standing, gate))
    group = _group_headroom(bucket, asset, held, gate)
    return FreeAmount(asset, [*terms, *([] if group is None else [group])])


def _said(amount: Decimal, asset: Asset) -> str:
    return f"{grouped(amount, decimals=asset.scale)} {asset.code}"


def _freezes(bucket: Bucket, held: ScopeBalances) -> list[Term]:
    """What lets nothing through at all while it lasts."""
    terms = []
    blocks = blocks_on(bucket.account_id)
    if blocks:
        terms.append(Term("block", ZERO, f"what leaves is blocked: {blocks[-1].words}"))
    missing = Balance.objects.filter(
        account__account_class="shortfall",
        account__pool__legal_entity=bucket.account.legal_entity_id,
        account__owner_class=bucket.account.owner_class,
        amount__gt=0,
    ).first()
    if missing is not None:
        why = f"client money lacks {missing.amount:,.2f} and is frozen until it is whole"
        terms.append(Term("shortfall", ZERO, why))
    bad = bad_price(held) if bucket.is_margined else None
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
    return Term("settled", held, f"{_said(held, asset)} of the pool are settled and at hand")


def _initial_margin(
    bucket: Bucket, asset: Asset, held: ScopeBalances, standing: Standing, gate: InitialMarginGate
) -> Term:
    with exact():
        spare = standing.equity - standing.initial_margin
    why = (
        f"{bucket.account.code} has {standing.equity:,.2f} equity against"
        f" {standing.initial_margin:,.2f}"
    )
    return Term("initial_margin", units_of(spare, held, asset, gate), why)


def units_of(spare: Decimal, held: ScopeBalances, asset: Asset, gate: InitialMarginGate) -> Decimal:
    """How much of an asset is worth no more than `spare` after its haircut, rounded down."""
    if spare <= 0:
        return spare
    if any(isinstance(gate.terms.get(code), CollateralTerms) for code in held.claims):
        return _tiered_units(spare, held, asset, gate)
    if asset.code == BASE:
        return spare
    claim = held.claims.get(asset.code, ZERO)
    worth = gate.after(
        claims={asset.code: Decimal(1)}, positions={}, loan=ZERO, is_cash_account=True
    ).equity
    if worth <= 0:
        return claim
    units = WIDE.divide(spare, worth) if spare < worth * claim else claim
    return units.quantize(Decimal(1).scaleb(-asset.scale), rounding=ROUND_DOWN)


def _tiered_units(
    spare: Decimal, held: ScopeBalances, asset: Asset, gate: InitialMarginGate
) -> Decimal:
    """The most of an asset that can go before what all money counts for falls by `spare`.

    Whatever leaves, nothing counts for more without it: the first amount that is too much is found
    by halving, in units of the asset's scale.
    """

    claim, scale = held.claims.get(asset.code, ZERO), asset.scale
    with exact():
        whole = _counts(held.claims, gate)
        low, high = 0, max(0, int(claim.scaleb(scale)))
        while low < high:
            middle = (low + high + 1) // 2
            left = claim - Decimal(middle).scaleb(-scale)
            lost = whole - _counts({**held.claims, asset.code: left}, gate)
            low, high = (middle, high) if lost <= spare else (low, middle - 1)
        return Decimal(low).scaleb(-scale)


def _counts(claims: Mapping[str, Decimal], gate: InitialMarginGate) -> Decimal:
    """What money counts for, by itself."""
    return gate.after(claims=claims, positions={}, loan=ZERO, is_cash_account=True).equity


def linked_buckets(account: MarginAccount) -> list[Bucket]:
    """The margined buckets of every account linked with this one; none if it is in no group."""
    group = GroupMember.objects.filter(account=account, left_on__isnull=True).first()
    if group is None:
        return []
    members = GroupMember.objects.filter(group=group.group_id, left_on__isnull=True)
    return list(
        Bucket.objects.filter(is_margined=True, account__in=members.values("account_id"))
        .select_related("account")
        .order_by("pk")
    )


def _group_headroom(
    bucket: Bucket, asset: Asset, own: ScopeBalances, gate: InitialMarginGate
) -> Term | None:
    """What the linked accounts together have beyond what they need; None outside a group."""
    linked = linked_buckets(bucket.account)
    if not linked:
        return None
    if any(each.pk in gate.elsewhere for each in linked):
        why = "a portfolio model decides on a linked account, and is not asked about it yet"
        return Term("group_headroom", ZERO, why)
    holdings = [(each, balances_of(each)) for each in linked]
    nameless = unpriced(gate, *(held for _, held in holdings))
    if nameless is not None:
        return Term("group_headroom", ZERO, f"{nameless} of a linked account has no mark")
    with exact():
        spare = ZERO
        for each, held in holdings:
            standing = standing_of(each, held, gate=gate)
            spare += standing.equity - standing.initial_margin
    why = f"the linked accounts together have {spare:,.2f} beyond what they need"
    return Term("group_headroom", units_of(spare, own, asset, gate), why)
