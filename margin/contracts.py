"""What derivatives are written on, said by two people; until then a derivative moves by itself."""

from datetime import datetime
from decimal import Decimal
from typing import Any, Final
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
from ledger.models import Asset, AssetKind
from margin.models import Contract

SET: Final = "contract.set"


def request_contract(
    *,
    asset: Asset,
    form: str,
    underlying: Asset,
    multiplier: Decimal,
    legal_entity: LegalEntity,
    reason: str,
    actor: Actor,
    is_inverse: bool = False,
    expires_at: datetime | None = None,
    strike: Decimal | None = None,
    is_call: bool | None = None,
    request_id: str = "",
) -> UUID:
    """Ask that a derivative be known as written on something; it is said once and stays.

    Args:
        asset: a derivative without a contract.
        form: "perpetual" or "future"; options are listed (`margin.option_listing`).
        underlying: what it moves with, anything that has marks.
        multiplier: units of the underlying in one contract, above 0.
        legal_entity: where it is asked and decided; a contract holds for all.
        reason: why.
        actor: who asks.
        is_inverse: settled in the underlying; not for options.
        expires_at: of futures and options.
        strike, is_call: of options.
        request_id: of the web request.

    Raises:
        AskRefusedError: it is no derivative, has a contract, or the terms do not fit its form.
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    if asset.kind != AssetKind.DERIVATIVE:
        raise AskRefusedError("asset", f"{asset.code} is no derivative.")
    if Contract.objects.filter(asset=asset).exists():
        raise AskRefusedError("asset", f"{asset.code} has its contract.")
    if underlying.kind == AssetKind.DERIVATIVE:
        raise AskRefusedError("underlying", "A derivative is written on money or a security.")
    if not multiplier.is_finite() or multiplier <= 0:
        raise AskRefusedError("multiplier", "A multiplier is above 0.")
    _check_carried(form, multiplier=multiplier, is_inverse=is_inverse)
    _check_form(form, is_inverse=is_inverse, expires_at=expires_at, strike=strike, is_call=is_call)
    row = {
        "asset_id": asset.pk,
        "form": form,
        "underlying_id": underlying.pk,
        "multiplier": plain(multiplier),
        "is_inverse": is_inverse,
        "expires_at": None if expires_at is None else utc_stamp(expires_at),
        "strike": None if strike is None else plain(strike),
        "is_call": is_call,
    }
    with acting(actor, reason=reason, request_id=request_id):
        return request_approval(
            legal_entity_id=legal_entity.pk,
            action=SET,
            subject=f"{asset.code}: {form} on {underlying.code}",
            payload={"row": row},
            reason=reason,
            records=(f"ledger_asset:{asset.pk}",),
        )


def _check_form(
    form: str,
    *,
    is_inverse: bool,
    expires_at: datetime | None,
    strike: Decimal | None,
    is_call: bool | None,
) -> None:
    if form not in Contract.Form.values:
        raise AskRefusedError("form", f"A contract is no {form}.")
    if (form == Contract.Form.PERPETUAL) != (expires_at is None):
        raise AskRefusedError("expires_at", "Futures and options expire, perpetuals do not.")
    is_option = form == Contract.Form.OPTION
    if is_option != (strike is not None and is_call is not None) or (
        not is_option and (strike is not None or is_call is not None)
    ):
        raise AskRefusedError("strike", "Options have a strike and a right, nothing else has.")
    if strike is not None and (not strike.is_finite() or strike <= 0):
        raise AskRefusedError("strike", "A strike is above 0.")
    if is_option and is_inverse:
        raise AskRefusedError("is_inverse", "An option is not inverse.")


def _check_carried(form: str, *, multiplier: Decimal, is_inverse: bool) -> None:
    """The book counts a derivative's profit as quantity times the move of its price, no other way.

    A contract that pays otherwise would be required one thing and be worth another.
    """
    if form == Contract.Form.OPTION:
        raise AskRefusedError("form", "An option is listed at once with what it is written on.")
    if multiplier != 1:
        raise AskRefusedError("multiplier", "The book counts derivatives in units: one is one.")
    if is_inverse:
        raise AskRefusedError("is_inverse", "The book does not carry inverse contracts yet.")


def describe_contract(approval: Approval) -> Description:
    """What would be known of the derivative."""
    row: dict[str, Any] = approval.payload["row"]
    codes = dict(
        Asset.objects.filter(pk__in=[row["asset_id"], row["underlying_id"]]).values_list(
            "pk", "code"
        )
    )
    said = {
        "Written on": codes[row["underlying_id"]],
        "Form": Contract.Form(row["form"]).label,
        "Multiplier": row["multiplier"],
        "Settles in": "its underlying" if row["is_inverse"] else "money",
        "Expires": row["expires_at"],
        "Strike": row["strike"],
        "Right": None if row["is_call"] is None else ("call" if row["is_call"] else "put"),
    }
    return Description(
        headline=approval.subject,
        fields=tuple(
            FieldChange(name, "none", str(value))
            for name, value in said.items()
            if value is not None
        ),
        note="Portfolio models then move it with what it is written on.",
    )


def set_contract(approval: Approval) -> None:
    """Let it stand; call inside an act."""
    spend("SELECT margin.set_contract(%s)", approval)


def register() -> None:
    """Say how these requests are shown and applied."""
    register_action(SET, describe=describe_contract, apply=set_contract)
