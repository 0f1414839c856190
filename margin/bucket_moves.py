"""A move between buckets, decided: the same code shows what it would do and does it.

Both buckets are looked at as they would stand after the move. A scope that would not keep its
initial margin is refused with the amount it would lack.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from uuid import UUID, uuid4

from accounts.approvals import request_approval
from accounts.audit import Actor, acting
from accounts.figures import grouped
from accounts.models import Bucket
from ledger import posting
from ledger.bucket_moves import (
    AGREED_MOVE,
    ROLE_WORDS,
    BucketMove,
    account_keys,
    draft_of,
    guard_between,
    kind_of,
)
from ledger.debts import pledged_in
from ledger.models import EntryKey, MoveGuard, Release
from ledger.posting import Draft, Posted
from margin.asking import ModelRefusedError
from margin.engine.exact import exact
from margin.engine.gate import Standing
from margin.free import linked_buckets
from margin.holding import (
    ScopeBalances,
    bad_price,
    balances_of,
    newest_gate,
    standing_of,
    unpriced,
)
from margin.releases import InitialMarginGate

ZERO = Decimal(0)


class MoveRefusedError(Exception):
    """The move is not made. `rule` is what binds; `shortfall` what a scope would lack, or None."""

    def __init__(self, rule: str, sentence: str, *, shortfall: Decimal | None = None) -> None:
        super().__init__(sentence)
        self.rule = rule
        self.shortfall = shortfall


@dataclass(frozen=True, slots=True)
class SideOfMove:
    """One bucket of a move: what it holds of the asset and how it stands, now and after."""

    bucket: Bucket
    amount_now: Decimal
    amount_after: Decimal
    now: Standing | None
    after: Standing | None

    @property
    def lacks(self) -> Decimal:
        """What the scope would lack of its initial margin after the move; 0 if nothing."""
        if self.after is None or self.after.meets_initial:
            return ZERO
        with exact():
            return self.after.initial_margin - self.after.equity

    @property
    def is_worse(self) -> bool:
        """Whether it has less beyond its initial margin after the move, or more missing."""
        if self.now is None or self.after is None:
            return False
        with exact():
            spare = self.now.equity - self.now.initial_margin
            return self.after.equity - self.after.initial_margin < spare


@dataclass(frozen=True, slots=True)
class MovePlan:
    """What a move would do, and why it is not made (`refusal`: rule and sentence) if it is not."""

    move: BucketMove
    guard: MoveGuard
    kind: str
    source: SideOfMove
    target: SideOfMove
    version: int
    price_snapshot: str
    refusal: tuple[str, str] | None
    unpriced: str | None = None

    @property
    def needs_release(self) -> bool:
        return (
            self.move.source.is_margined or self.move.is_position or self.guard == MoveGuard.MARGIN
        )

    @property
    def shortfall(self) -> Decimal | None:
        lacking = max(self.source.lacks, self.target.lacks)
        return lacking or None


def plan_move(move: BucketMove) -> MovePlan:
    """Decide on a move as the book stands; reads only."""
    gate = newest_gate()
    held, reached = balances_of(move.source), balances_of(move.target)
    guard = guard_between(move.source.role, move.target.role, day=move.day)
    left, raised = _after(move, held, reached)
    pairs = (move.source, held), (move.target, raised)
    scopes = [(bucket, each) for bucket, each in pairs if bucket.is_margined]
    nameless = unpriced(gate, *(each for _, each in scopes))
    try:
        source, target = _sides(move, (held, left), (reached, raised), None if nameless else gate)
        unsaid = None
    except ModelRefusedError as refused:
        source, target = _sides(move, (held, left), (reached, raised), None)
        unsaid = refused.rule, f"Not moved: {refused.detail}"
    plan = MovePlan(
        move=move, guard=guard, kind=kind_of(move, guard), source=source, target=target,
        version=held.version, price_snapshot=gate.price_snapshot, refusal=None, unpriced=nameless,
    )  # fmt: skip
    return replace(plan, refusal=_refusal(plan, held, reached) or unsaid)


def _sides(
    move: BucketMove,
    source: tuple[ScopeBalances, ScopeBalances],
    target: tuple[ScopeBalances, ScopeBalances],
    gate: InitialMarginGate | None,
) -> tuple["SideOfMove", "SideOfMove"]:
    """Both buckets, now and after; how they stand is left open without a gate."""
    # Buckets that are margined together stand as both are after the move.
    after = {move.source.pk: source[1], move.target.pk: target[1]}
    return (
        _side(move.source, *source, move=move, gate=gate, after_all=after),
        _side(move.target, *target, move=move, gate=gate, after_all=after),
    )


def _amount(held: ScopeBalances, asset: str, *, is_position: bool) -> Decimal:
    """What a bucket holds of an asset; a short position is negative."""
    if is_position:
        return held.positions.get(asset, (ZERO, ZERO))[0]
    return held.claims.get(asset, ZERO)


def _after(
    move: BucketMove, held: ScopeBalances, reached: ScopeBalances
) -> tuple[ScopeBalances, ScopeBalances]:
    """Both buckets as they would stand. A position moves with the sign it has."""
    code = move.asset.code
    with exact():
        if not move.is_position:
            return (
                replace(held, claims=_with(held.claims, code, -move.amount)),
                replace(reached, claims=_with(reached.claims, code, move.amount)),
            )
        quantity, average = held.positions.get(code, (ZERO, ZERO))
        there, cost = reached.positions.get(code, (ZERO, ZERO))
        moved = move.amount if quantity >= 0 else -move.amount
        whole = there + moved
        blended = (abs(there) * cost + abs(moved) * average) / abs(whole) if whole else ZERO
        return (
            replace(held, positions={**held.positions, code: (quantity - moved, average)}),
            replace(reached, positions={**reached.positions, code: (whole, blended)}),
        )


def _with(claims: Mapping[str, Decimal], asset: str, change: Decimal) -> dict[str, Decimal]:
    return {**claims, asset: claims.get(asset, ZERO) + change}


def _side(
    bucket: Bucket, now: ScopeBalances, after: ScopeBalances, *, move: BucketMove,
    gate: InitialMarginGate | None, after_all: Mapping[int, ScopeBalances],
) -> SideOfMove:  # fmt: skip
    code, is_position = move.asset.code, move.is_position
    return SideOfMove(
        bucket=bucket,
        amount_now=_amount(now, code, is_position=is_position),
        amount_after=_amount(after, code, is_position=is_position),
        now=standing_of(bucket, now, gate=gate) if gate and bucket.is_margined else None,
        after=standing_of(bucket, after, gate=gate, others=after_all)
        if gate and bucket.is_margined
        else None,
    )


def _refusal(plan: MovePlan, held: ScopeBalances, reached: ScopeBalances) -> tuple[str, str] | None:
    """The first rule that the move breaks, in the words of the desk."""
    move = plan.move
    pair = f"{ROLE_WORDS[move.source.role]} to {ROLE_WORDS[move.target.role]}"
    if move.source.pk == move.target.pk or move.source.account_id != move.target.account_id:
        return "bucket_move_is_permitted", "A move goes to another bucket of the same account."
    if plan.guard == MoveGuard.NEVER:
        return "bucket_move_is_permitted", f"Not moved: nothing moves from {pair}."
    if move.amount <= 0 or move.amount != round(move.amount, move.asset.scale):
        decimals = move.asset.scale
        return "amount_fits_its_asset", f"{move.asset.code} has {decimals} decimals, above zero."
    return _cover_refusal(plan) or _position_refusal(plan) or _margin_refusal(plan, held, reached)


def _cover_refusal(plan: MovePlan) -> tuple[str, str] | None:
    move, source = plan.move, plan.source
    there = abs(source.amount_now) if move.is_position else source.amount_now
    if move.amount > there:
        rule = "position_moves_at_its_cost" if move.is_position else "claim_not_below_zero"
        return rule, f"Not moved: {move.source.code} holds {_figure(plan, there)}."
    pledged = pledged_in(move.source.pk, move.asset.pk)
    if pledged and there - move.amount < pledged:
        return "pledged_assets_stay", (
            f"Not moved: {_figure(plan, pledged)} of {move.source.code} are pledged;"
            f" {_figure(plan, max(ZERO, there - pledged))} can move."
        )
    return None


def _position_refusal(plan: MovePlan) -> tuple[str, str] | None:
    move = plan.move
    if not move.is_position:
        return None
    if move.target.role == Bucket.Role.ISOLATED and move.target.instrument_code != move.asset.code:
        return "isolated_bucket_keeps_its_instrument", (
            f"Not moved: {move.target.code} holds {move.target.instrument_code} alone."
        )
    if plan.source.amount_now * plan.target.amount_now < 0:
        return "position_moves_at_its_cost", (
            f"Not moved: {move.target.code} holds the opposite position; close it by a trade."
        )
    return None


def _margin_refusal(
    plan: MovePlan, held: ScopeBalances, reached: ScopeBalances
) -> tuple[str, str] | None:
    if plan.unpriced is not None:
        return "price", f"Not moved: {plan.unpriced} has no mark or no terms."
    for side in (plan.source, plan.target):
        if side.after is None or side.after.meets_initial:
            continue
        if side is plan.target and not plan.move.is_position and not side.is_worse:
            continue  # money came in, and it stands no worse than before
        after = side.after
        return "initial_margin", (
            f"Not moved: initial margin. After {_figure(plan, plan.move.amount)},"
            f" {side.bucket.account.code} {side.bucket.code} would have {after.equity:,.2f} equity"
            f" against {after.initial_margin:,.2f}: {side.lacks:,.2f} short."
        )
    if not plan.needs_release:
        return None
    scopes = [
        h for b, h in ((plan.move.source, held), (plan.move.target, reached)) if b.is_margined
    ]
    bad = bad_price(*scopes)
    if bad is not None:
        return "price", f"Not moved: {bad[0]} has no price that permits a withdrawal ({bad[1]})."
    return None


def _figure(plan: MovePlan, amount: Decimal) -> str:
    return f"{grouped(amount, decimals=plan.move.asset.scale)} {plan.move.asset.code}"


# ---------------------------------------------------------------- doing it


def make_move(move: BucketMove, *, actor: Actor, reason: str, request_id: str = "") -> Posted:
    """Make a move that one person may make.

    Raises:
        MoveRefusedError: a rule, or what margin would lack; nothing moved.
        RefusedError: the book refused the entry; nothing moved.
    """
    with acting(actor, reason=reason, request_id=request_id):
        plan, draft = _ready(move)
        if draft is None:
            entry = EntryKey.objects.values_list("entry_id", flat=True).get(key=move.key)
            return Posted(entry, is_new=False)
        if plan.guard == MoveGuard.TWO:
            raise MoveRefusedError(
                "bucket_move_is_agreed",
                "Not moved: a move between these roles needs a second person.",
            )
        return posting.post_entry(replace(draft, release_id=release_for(plan)))


def request_move(move: BucketMove, *, actor: Actor, reason: str, request_id: str = "") -> UUID:
    """Ask for a second person's agreement to a move that needs it.

    Raises:
        MoveRefusedError: as it stands now the move could not be made.
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    with acting(actor, reason=reason, request_id=request_id):
        _, draft = _ready(move)
        if draft is None:
            raise MoveRefusedError("key_is_used_once", "This move is in the book already.")
        if draft.kind != AGREED_MOVE:
            raise MoveRefusedError("bucket_move_is_agreed", "This move needs no second person.")
        account = move.source.account
        words = f"{grouped(move.amount, decimals=move.asset.scale)} {move.asset.code}"
        return request_approval(
            legal_entity_id=account.legal_entity_id,
            action=f"entry.{AGREED_MOVE}",
            subject=f"{account.code}: {words} from {move.source.code} to {move.target.code}",
            payload=draft.content(),
            reason=reason,
        )


def _ready(move: BucketMove) -> tuple[MovePlan, Draft | None]:
    """Hold both buckets, decide, and draft the entry; no draft where it is in the book already.

    Raises:
        MoveRefusedError: the move is refused.
    """
    keys = account_keys(move)
    ids = posting.open_accounts(keys)
    source_id, target_id = ids[keys[0]], ids[keys[1]]
    locked = posting.lock_balances(
        account_ids=[source_id, target_id], bucket_ids=held_buckets(move)
    )
    plan = plan_move(move)
    if EntryKey.objects.filter(key=move.key).exists():
        return plan, None
    if plan.refusal is not None:
        raise MoveRefusedError(*plan.refusal, shortfall=plan.shortfall)
    draft = draft_of(
        move, kind=plan.kind, source_id=source_id, target_id=target_id,
        standing=locked.get(source_id),
    )  # fmt: skip
    return plan, draft


def held_buckets(move: BucketMove) -> list[int]:
    """Everything that the decision rests on: both buckets, and what is margined with them."""
    linked = linked_buckets(move.source.account)
    return sorted({move.source.pk, move.target.pk, *(each.pk for each in linked)})


def release_for(plan: MovePlan) -> UUID | None:
    """Margin's leave for the move, where the book asks for one."""
    if not plan.needs_release:
        return None
    after = plan.source.after
    given = Release.objects.create(
        id=uuid4(),
        bucket=plan.move.source,
        kind_id=plan.kind,
        asset=plan.move.asset,
        amount=plan.move.amount,
        price_snapshot=plan.price_snapshot,
        scope_version=plan.version,
        binding_term="initial_margin",
        free_amount=None if after is None else max(ZERO, after.equity - after.initial_margin),
    )
    return given.pk
