"""Moves between buckets that need a second person: read from the request, shown and made."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from accounts.approvals import Change, Description, register_action
from accounts.audit import RefusedError
from accounts.clock import shown_instant
from accounts.figures import grouped
from accounts.models import Approval
from ledger import posting
from ledger.bucket_moves import AGREED_MOVE, ROLE_WORDS, BucketMove
from ledger.models import LedgerAccount
from ledger.posting import Draft
from margin.bucket_moves import held_buckets, plan_move, release_for


def move_of(approval: Approval) -> BucketMove:
    """The move that a request asks for, read from the legs of its entry."""
    asked: Mapping[str, Any] = approval.payload
    draft = Draft.from_content(asked)
    accounts = LedgerAccount.objects.select_related("asset", "bucket__account").in_bulk(
        [leg.account_id for leg in draft.legs]
    )
    source, target = (accounts[leg.account_id] for leg in draft.legs)
    assert source.bucket is not None, "a move leaves a bucket"
    assert target.bucket is not None, "a move reaches a bucket"
    return BucketMove(
        key=draft.key, source=source.bucket, target=target.bucket, asset=source.asset,
        amount=abs(draft.legs[0].amount), reference=draft.reference,
        effective_at=draft.effective_at,
    )  # fmt: skip


def describe_agreed(approval: Approval) -> Description:
    """The request as balances before and after, and what margin says of it now."""
    move = move_of(approval)
    plan = plan_move(move)
    asset = move.asset
    words = f"{grouped(move.amount, decimals=asset.scale)} {asset.code}"
    return Description(
        headline=approval.subject,
        amount=words,
        unit=asset.code,
        decimals=asset.scale,
        facts=(
            ("Account", move.source.account.code),
            ("Roles", f"{ROLE_WORDS[move.source.role]} to {ROLE_WORDS[move.target.role]}"),
            ("Effective", shown_instant(move.effective_at, form="full")),
        ),
        changes=tuple(
            Change(
                label=side.bucket.code, now=side.amount_now,
                change=side.amount_after - side.amount_now,
                floor="" if move.is_position else "not negative",
                is_kept=move.is_position or side.amount_after >= 0,
            )
            for side in (plan.source, plan.target)
        ),
        note="" if plan.refusal is None else f"As it stands now: {plan.refusal[1]}",
    )  # fmt: skip


def apply_agreed(approval: Approval) -> None:
    """Make the move as agreed, with margin's release where the book asks for one; inside an act.

    Raises:
        RefusedError: a rule refuses it now.
    """
    move = move_of(approval)
    posting.lock_balances(bucket_ids=held_buckets(move))
    plan = plan_move(move)
    if plan.refusal is not None:
        raise RefusedError(*plan.refusal)
    agreed = Draft.from_content(approval.payload, approval_id=approval.pk)
    posting.post_entry(replace(agreed, release_id=release_for(plan)))


def register() -> None:
    """Say how requests for agreed moves are shown and applied."""
    register_action(f"entry.{AGREED_MOVE}", describe=describe_agreed, apply=apply_agreed)
