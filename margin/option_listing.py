"""Options that the book carries: listed by two people, at once with what they are written on."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from accounts.agreed_terms import terms_in_force
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
from accounts.groups import members_on
from accounts.models import Approval, LegalEntity, OwnerClass
from ledger.models import Asset, AssetKind, Location, LocationAsset
from margin.book.options import takes_options
from margin.engine.exact import exact
from margin.engine.house_rules import MODEL as HOUSE_RULES
from margin.engine.rejected import RejectedInputError
from margin.market.marks import BASE
from margin.model_registry import UsedModel, models_decided
from margin.models import Contract, ModelDecision

LIST: Final = "option.list"
CODE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,39}")
SCALE_MOST: Final = 18
# Pools whose owners hold derivatives.
POOLS: Final = (OwnerClass.CLIENT, OwnerClass.HOUSE_PROP)


@dataclass(frozen=True, slots=True)
class OptionToList:
    """What is listed.

    Attributes:
        code: by which files name it; new.
        underlying: money or a security that has marks; not the currency of the book.
        strike: in the currency of the book, above 0.
        expires_at: from then on it is not traded, and pays what it is worth.
        multiplier: units of the underlying in one contract, above 0. Prices are said per unit.
        style: European; American options are not carried yet.
        settlement: in cash; delivery is not carried yet.
        scale, price_scale: decimals of contracts and of prices.
    """

    code: str
    underlying: Asset
    strike: Decimal
    is_call: bool
    expires_at: datetime
    multiplier: Decimal
    style: str = Contract.Style.EUROPEAN
    settlement: str = Contract.Settlement.CASH
    scale: int = 0
    price_scale: int = 8


def request_option(
    option: OptionToList,
    *,
    locations: Sequence[Location],
    legal_entity: LegalEntity,
    reason: str,
    actor: Actor,
    request_id: str = "",
) -> UUID:
    """Ask that an option be listed; what it says stays for ever.

    Args:
        locations: venues of the legal entity that carry it, one for each pool; each carries the
            currency.

    Raises:
        AskRefusedError: the terms are none, or not carried by the book.
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    _check_terms(option)
    _check_carried(option)
    base = Asset.objects.get(code=BASE)
    _check_locations(locations, legal_entity=legal_entity, base=base)
    payload = {
        "asset": {
            "code": option.code, "scale": option.scale, "price_scale": option.price_scale,
            "settles_in_id": base.pk,
        },
        "locations": sorted(place.pk for place in locations),
        "row": {
            "form": Contract.Form.OPTION, "underlying_id": option.underlying.pk,
            "multiplier": plain(option.multiplier), "is_inverse": False,
            "expires_at": utc_stamp(option.expires_at), "strike": plain(option.strike),
            "is_call": option.is_call, "style": option.style, "settlement": option.settlement,
        },
    }  # fmt: skip
    with acting(actor, reason=reason, request_id=request_id):
        return request_approval(
            legal_entity_id=legal_entity.pk,
            action=LIST,
            subject=f"{option.code}: option on {option.underlying.code}",
            payload=payload,
            reason=reason,
            records=(f"ledger_asset:{option.underlying.pk}",),
        )


def _check_terms(option: OptionToList) -> None:
    if not CODE.fullmatch(option.code):
        raise AskRefusedError("code", "A code is up to 40 letters, digits and . _ : -")
    if Asset.objects.filter(code=option.code).exists():
        raise AskRefusedError("code", f"{option.code} is in the book already.")
    if option.underlying.kind == AssetKind.DERIVATIVE or option.underlying.code == BASE:
        raise AskRefusedError("underlying", "An option is written on a coin or a security.")
    for field in ("multiplier", "strike"):
        value: Decimal = getattr(option, field)
        if not value.is_finite() or value <= 0:
            raise AskRefusedError(field, f"A {field} is above 0.")
    for field in ("scale", "price_scale"):
        if not 0 <= getattr(option, field) <= SCALE_MOST:
            raise AskRefusedError(field, f"Decimals lie between 0 and {SCALE_MOST}.")
    if option.expires_at.tzinfo is None or option.expires_at.microsecond:
        raise AskRefusedError("expires_at", "An option expires at a whole second of a zone.")
    if option.style not in Contract.Style.values:
        raise AskRefusedError("style", f"No option is {option.style}.")
    if option.settlement not in Contract.Settlement.values:
        raise AskRefusedError("settlement", f"No option settles by {option.settlement}.")


def _check_carried(option: OptionToList) -> None:
    """What the book could not do when the day comes is not listed."""
    if option.style == Contract.Style.AMERICAN:
        raise AskRefusedError("style", "The book does not carry an exercise before expiry yet.")
    if option.settlement == Contract.Settlement.PHYSICAL:
        raise AskRefusedError("settlement", "The book does not deliver what options are on yet.")


def _check_locations(
    locations: Sequence[Location], *, legal_entity: LegalEntity, base: Asset
) -> None:
    if not locations:
        raise AskRefusedError("locations", "An option is carried by at least one venue.")
    carrying = set(
        LocationAsset.objects.filter(asset=base, location__in=locations).values_list(
            "location_id", flat=True
        )
    )
    seen: set[tuple[int, int | None]] = set()
    for place in locations:
        key = place.pool_id, place.individual_client_id
        if key in seen:
            raise AskRefusedError("locations", f"{place.pool.code} has two venues for it.")
        seen.add(key)
        if (
            place.kind != Location.Kind.VENUE
            or place.closed_on is not None
            or place.pool.legal_entity_id != legal_entity.pk
            or place.pool.owner_class not in POOLS
            or place.pk not in carrying
        ):
            raise AskRefusedError(
                "locations", f"{place.code} is no open venue of a pool that holds derivatives."
            )


def describe_option(approval: Approval) -> Description:
    """What would be listed."""
    asset: dict[str, Any] = approval.payload["asset"]
    row: dict[str, Any] = approval.payload["row"]
    underlying = Asset.objects.get(pk=row["underlying_id"])
    places = Location.objects.filter(pk__in=approval.payload["locations"]).order_by("code")
    said = {
        "Written on": underlying.code,
        "Right": "call" if row["is_call"] else "put",
        "Strike": row["strike"],
        "Expires": row["expires_at"],
        "Units in one contract": row["multiplier"],
        "Style": Contract.Style(row["style"]).label,
        "Settlement": Contract.Settlement(row["settlement"]).label,
        "Decimals of contracts": asset["scale"],
        "Decimals of prices": asset["price_scale"],
        "Carried by": ", ".join(place.code for place in places),
    }
    return Description(
        headline=approval.subject,
        fields=tuple(FieldChange(name, "none", str(value)) for name, value in said.items()),
        note="It is then traded under its code by accounts whose model knows options.",
    )


def list_option(approval: Approval) -> None:
    """Let it be listed; call inside an act."""
    spend("SELECT margin.list_option(%s)", approval)


def register() -> None:
    """Say how these requests are shown and applied."""
    register_action(LIST, describe=describe_option, apply=list_option)


def listed_options() -> dict[str, Contract]:
    """Every option by its code."""
    rows = Contract.objects.filter(form=Contract.Form.OPTION).select_related("asset", "underlying")
    return {row.asset.code: row for row in rows}


def may_hold_options(day: date) -> frozenset[int]:
    """Accounts whose agreement on a day names a model in production that knows options.

    Of a member of a margined group the group's does.
    """
    used, _ = models_decided(day, standing=ModelDecision.Standing.PRODUCTION, horizon_id=None)
    knowing = {key for key, each in used.items() if _knows(each)}
    allowed = {
        account
        for account, terms in terms_in_force(day).items()
        if terms.model != HOUSE_RULES and (terms.model, terms.parameters) in knowing
    }
    members = members_on(day)
    others = allowed - {each.account_id for each in members}
    return frozenset(others | {each.account_id for each in members if each.stands in allowed})


def _knows(used: UsedModel) -> bool:
    try:
        takes_options(used)
    except RejectedInputError:
        return False
    return True


def contract_price(contract: Contract, premium: Decimal) -> Decimal:
    """What one contract costs at a premium per unit: the price of the book."""
    units: Decimal = contract.multiplier
    with exact():
        return premium * units
