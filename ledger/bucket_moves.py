"""Moves between the buckets of an account: what the matrix of roles says, and the entry of one."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection

from accounts.approvals import Description, FieldChange, register_action, request_approval
from accounts.audit import Actor, acting
from accounts.models import Approval, Bucket, LegalEntity
from ledger.models import Asset, AssetKind, MoveGuard, MoveRule, Pool
from ledger.models.moves import OUTSIDE
from ledger.posting import AccountKey, Balance, Draft, Leg

MONEY_MOVE, POSITION_MOVE, AGREED_MOVE = "bucket_move", "position_move", "agreed_move"
SET_RULE = "bucket.rule"
ROLE_WORDS = dict(Bucket.Role.choices) | {OUTSIDE: "Out of the account"}
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class BucketMove:
    """What somebody wants to move.

    Attributes:
        key: idempotency key; the same move is posted once.
        amount: of money, or of the instrument; always positive, also of a short position.
    """

    key: str
    source: Bucket
    target: Bucket
    asset: Asset
    amount: Decimal
    reference: str
    effective_at: datetime

    @property
    def day(self) -> date:
        """The business date whose rules hold."""
        return self.effective_at.astimezone(UTC).date()

    @property
    def is_position(self) -> bool:
        return self.asset.kind != AssetKind.MONEY

    @property
    def account_class(self) -> str:
        return "position" if self.is_position else "claim"


@dataclass(frozen=True, slots=True)
class Cell:
    """What the matrix says of one pair of roles; `since` is None where nothing was ever said."""

    from_role: str
    to_role: str
    guard: MoveGuard
    since: date | None

    @property
    def words(self) -> str:
        return MoveGuard(self.guard).label


def matrix(day: date) -> dict[tuple[str, str], Cell]:
    """Every pair of roles with what a move needs on a day."""
    cells = {
        (f, t): Cell(f, t, MoveGuard.NEVER, None) for f in Bucket.Role.values for t in ROLE_WORDS
    }
    rules = MoveRule.objects.filter(effective_from__lte=day).order_by("effective_from")
    for rule in rules:
        cells[rule.from_role, rule.to_role] = Cell(
            rule.from_role, rule.to_role, MoveGuard(rule.guard), rule.effective_from
        )
    return cells


def guard_between(from_role: str, to_role: str, *, day: date) -> MoveGuard:
    """What a move between two roles needs on a day; asked of the database's own function."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT ledger.move_guard(%s, %s, %s)", [from_role, to_role, day])
        return MoveGuard(cursor.fetchone()[0])


def kind_of(move: BucketMove, guard: MoveGuard) -> str:
    """The kind of entry that carries the move."""
    if guard == MoveGuard.TWO:
        return AGREED_MOVE
    return POSITION_MOVE if move.is_position else MONEY_MOVE


def account_keys(move: BucketMove) -> tuple[AccountKey, AccountKey]:
    """The ledger accounts that the move lowers and raises."""
    account = move.source.account
    pool = Pool.objects.get(legal_entity=account.legal_entity_id, owner_class=account.owner_class)
    source, target = (
        AccountKey(pool.pk, move.asset.pk, move.account_class, bucket.pk)
        for bucket in (move.source, move.target)
    )
    return source, target


def draft_of(
    move: BucketMove, *, kind: str, source_id: int, target_id: int, standing: Balance | None,
    release_id: UUID | None = None, approval_id: UUID | None = None,
) -> Draft:  # fmt: skip
    """The entry of the move. A position moves at its average cost, so that nothing is realised.

    Args:
        standing: the balance the move lowers, as locked; None where there is none.
    """
    signed = move.amount
    price = None
    if move.is_position and standing is not None:
        price = standing.average_cost
        if standing.amount > 0:  # a short position stands on the debit side
            signed = -move.amount
    return Draft(
        key=move.key,
        kind=kind,
        effective_at=move.effective_at,
        reference=move.reference,
        legs=[Leg(source_id, signed, price=price), Leg(target_id, -signed, price=price)],
        release_id=release_id,
        approval_id=approval_id,
    )


# ---------------------------------------------------------------- changing the matrix


def request_rule(
    *,
    from_role: str,
    to_role: str,
    guard: MoveGuard,
    effective_from: date,
    reason: str,
    legal_entity: LegalEntity,
    actor: Actor,
    request_id: str = "",
) -> UUID:
    """Ask that a move need something else from a day on.

    Raises:
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    payload = {
        "from_role": Bucket.Role(from_role).value,
        "to_role": to_role,
        "guard": guard.value,
        "effective_from": effective_from.isoformat(),
    }
    subject = f"{ROLE_WORDS[from_role]} to {ROLE_WORDS[to_role]}: {guard.label}"
    with acting(actor, reason=reason, request_id=request_id):
        return request_approval(
            legal_entity_id=legal_entity.pk,
            action=SET_RULE,
            subject=subject,
            payload=payload,
            reason=reason,
        )


def describe_rule(approval: Approval) -> Description:
    """The rule now and as asked for."""
    asked: Mapping[str, Any] = approval.payload
    now = guard_between(
        asked["from_role"], asked["to_role"], day=date.fromisoformat(asked["effective_from"])
    )
    pair = f"{ROLE_WORDS[asked['from_role']]} to {ROLE_WORDS[asked['to_role']]}"
    return Description(
        headline=approval.subject,
        facts=(("Move", pair), ("From", asked["effective_from"])),
        fields=(FieldChange("Needs", now.label, MoveGuard(asked["guard"]).label),),
        note="It holds for every account of every legal entity from that day on.",
    )


def set_rule(approval: Approval) -> None:
    """Change the matrix as agreed; call inside an act."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT ledger.set_move_rule(%s)", [approval.pk])


def register() -> None:
    """Say how requests about the matrix are shown and applied."""
    register_action(SET_RULE, describe=describe_rule, apply=set_rule)
