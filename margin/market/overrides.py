"""Prices that two people set in place of what the sources say, for a time that ends."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID

from accounts.approvals import (
    AskRefusedError,
    Description,
    FieldChange,
    register_action,
    request_approval,
    spend,
)
from accounts.audit import Actor, acting
from accounts.clock import utc_stamp
from accounts.figures import plain
from accounts.models import Approval, LegalEntity
from ledger.models import Asset
from margin.market.marks import BASE
from margin.models import Mark

OVERRIDE: Final = "price.override"
# A price that stands longer than this is no exception any more.
LASTS_MOST: Final = timedelta(days=5)


def request_override(
    *,
    asset: Asset,
    price: Decimal,
    begins_at: datetime,
    ends_at: datetime,
    legal_entity: LegalEntity,
    reason: str,
    actor: Actor,
    request_id: str = "",
) -> UUID:
    """Ask that an asset be valued at a price, whatever its sources say, until it expires.

    Args:
        asset: anything that needs a mark.
        price: above 0, in the base currency.
        begins_at: from when marks are overridden.
        ends_at: from when they are composed again; at most five days later.
        legal_entity: where it is asked and decided; a price holds for all.
        reason: why.
        actor: who asks.
        request_id: of the web request.

    Raises:
        AskRefusedError: it is no price, needs none, or lasts too long.
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    if asset.code == BASE:
        raise AskRefusedError("asset", f"{BASE} is worth one of itself.")
    if not price.is_finite() or price <= 0:
        raise AskRefusedError("price", "A price is above 0.")
    if not begins_at < ends_at <= begins_at + LASTS_MOST:
        raise AskRefusedError("ends_at", "It ends after it begins, and within five days.")
    row = {
        "asset_id": asset.pk,
        "price": plain(price),
        "begins_at": utc_stamp(begins_at),
        "ends_at": utc_stamp(ends_at),
        "reason": reason,
    }
    with acting(actor, reason=reason, request_id=request_id):
        return request_approval(
            legal_entity_id=legal_entity.pk,
            action=OVERRIDE,
            subject=f"{asset.code}: price {plain(price)}",
            payload={"row": row},
            reason=reason,
            records=(f"ledger_asset:{asset.pk}",),
        )


def describe_override(approval: Approval) -> Description:
    """The mark now, and what it would be."""
    row = approval.payload["row"]
    asset = Asset.objects.get(pk=row["asset_id"])
    newest = Mark.objects.filter(asset=asset).order_by("-as_of", "-revision").first()
    was = "none" if newest is None else f"{plain(newest.price)} ({newest.get_state_display()})"
    return Description(
        headline=approval.subject,
        facts=(("From", row["begins_at"]), ("Until", row["ends_at"])),
        fields=(FieldChange(f"Mark of {asset.code}", was, row["price"]),),
        note="Nobody is liquidated on a price that people set, and every number computed with it"
        " says so.",
    )


def apply_override(approval: Approval) -> None:
    """Let it stand; call inside an act."""
    spend("SELECT margin.override_price(%s)", approval)


def register() -> None:
    """Say how these requests are shown and applied."""
    register_action(OVERRIDE, describe=describe_override, apply=apply_override)
