"""What borrowing costs and credit balances earn: curves, and publishing a version with four eyes.

A rate is a yearly share: 0.05 is five percent. It comes from the used share of the lending pool
(loans over loans and what the house still holds), plus a spread by the age of the balance, within
floor and cap. Versions hold from their first day until the next one; a day that is accrued keeps
its rate.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from accounts.approvals import Description, FieldChange, register_action, request_approval
from accounts.audit import Actor, acting, refusals
from accounts.models import Approval, LegalEntity
from ledger.models import AccrualRun, Asset, AssetKind, RateCurve, RateVersion
from ledger.posting import plain

PUBLISH = "rates.publish"
RATE_DECIMALS = 12
RATE_MOST = Decimal(10)
TENOR_MOST = Decimal(36_525)
FLAT = "none"


class RatesRefusedError(Exception):
    """Rates that cannot be published. `field` is where; the message is for the desk."""

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence)
        self.field = field


class Point(NamedTuple):
    """A corner of a line: use of the pool or days on one side, a yearly share on the other."""

    x: Decimal
    y: Decimal


@dataclass(frozen=True, kw_only=True)
class Rates:
    """A version of a curve as it is asked for; see `RateVersion` for the meaning of each part."""

    asset: str
    side: str
    effective_from: date
    day_count: str
    points: tuple[Point, ...]
    tenor: tuple[Point, ...] = ()
    floor: Decimal | None = None
    cap: Decimal | None = None
    charged: str = RateVersion.Charged.DAILY.value
    compounds: bool = False
    paid_from: str = RateVersion.PaidFrom.CLAIM.value
    repays_from_free_money: bool = False
    account_cap: Decimal | None = None
    pool_cap: Decimal | None = None
    utilisation_cap: Decimal | None = None

    def content(self) -> dict[str, Any]:
        """What is asked for, in the one form that the approval and the database compare."""
        return {
            "asset": self.asset,
            "side": self.side,
            "effective_from": self.effective_from.isoformat(),
            "day_count": self.day_count,
            "points": _said(self.points),
            "tenor": _said(self.tenor),
            "floor": _plain(self.floor),
            "cap": _plain(self.cap),
            "charged": self.charged,
            "compounds": self.compounds,
            "paid_from": self.paid_from,
            "repays_from_free_money": self.repays_from_free_money,
            "account_cap": _plain(self.account_cap),
            "pool_cap": _plain(self.pool_cap),
            "utilisation_cap": _plain(self.utilisation_cap),
        }


def _said(points: Sequence[Point]) -> list[list[str]]:
    return [[plain(point.x), plain(point.y)] for point in points]


def _plain(value: Decimal | None) -> str | None:
    return None if value is None else plain(value)


def points_of(said: Sequence[Sequence[str]]) -> tuple[Point, ...]:
    """Points as a version or a request keeps them."""
    return tuple(Point(Decimal(x), Decimal(y)) for x, y in said)


def rate_on(points: Sequence[Point], x: Decimal) -> Decimal:
    """The height of the line at x: straight between points, flat beyond, 12 decimals, half-even."""
    if not points:
        return Decimal(0)
    left = [point for point in points if point.x <= x]
    right = [point for point in points if point.x > x]
    if not left or not right:
        return (left[-1] if left else right[0]).y
    here, there = left[-1], right[0]
    along = (Fraction(x) - Fraction(here.x)) / (Fraction(there.x) - Fraction(here.x))
    exact = Fraction(here.y) + (Fraction(there.y) - Fraction(here.y)) * along
    return Decimal(round(exact * 10**RATE_DECIMALS)).scaleb(-RATE_DECIMALS)


def percent(rate: Decimal) -> str:
    """A yearly share as people say it: 0.0525 is 5.25 %."""
    said = plain((rate * 100).quantize(Decimal("1.0000000000"), ROUND_HALF_EVEN))
    return f"{said} %"


# ---------------------------------------------------------------- asking


def check_rates(rates: Rates, *, legal_entity: LegalEntity) -> None:
    """Refuse rates that the database would refuse, with the field that is wrong.

    Raises:
        RatesRefusedError: says which field, and why.
    """
    asset = Asset.objects.filter(code=rates.asset).first()
    if asset is None or asset.kind != AssetKind.MONEY:
        raise RatesRefusedError("asset", f"{rates.asset} is no money of this book.")
    if rates.side not in RateCurve.Side.values:
        raise RatesRefusedError("side", "Rates are on loans or on credit balances.")
    if not rates.points:
        raise RatesRefusedError("points", "A curve has at least one point.")
    _check_line("points", rates.points, most=Decimal(1))
    _check_line("tenor", rates.tenor, most=TENOR_MOST)
    for field in ("floor", "cap"):
        value: Decimal | None = getattr(rates, field)
        if value is not None and not _is_rate(value):
            raise RatesRefusedError(field, "A rate is between -10 and 10, with 12 decimals.")
    if rates.floor is not None and rates.cap is not None and rates.floor > rates.cap:
        raise RatesRefusedError("cap", "The cap is below the floor.")
    for field in ("account_cap", "pool_cap", "utilisation_cap"):
        limit: Decimal | None = getattr(rates, field)
        if limit is not None and (limit < 0 or (field == "utilisation_cap" and limit > 1)):
            raise RatesRefusedError(field, "A cap is not negative; a share is at most 1.")
    newest = AccrualRun.objects.filter(legal_entity=legal_entity).order_by("-day").first()
    if newest is not None and rates.effective_from <= newest.day:
        raise RatesRefusedError(
            "effective_from", f"Interest is accrued to {newest.day}; choose a later day."
        )


def _check_line(field: str, points: Sequence[Point], *, most: Decimal) -> None:
    for before, point in zip((None, *points), points, strict=False):
        if not 0 <= point.x <= most:
            raise RatesRefusedError(field, f"{plain(point.x)} is not between 0 and {most}.")
        if not _is_rate(point.y):
            raise RatesRefusedError(field, "A rate is between -10 and 10, with 12 decimals.")
        if before is not None and point.x <= before.x:
            raise RatesRefusedError(field, "Points go from left to right, each once.")


def _is_rate(value: Decimal) -> bool:
    return abs(value) <= RATE_MOST and value == round(value, RATE_DECIMALS)


def request_rates(
    rates: Rates, *, legal_entity: LegalEntity, reason: str, actor: Actor, request_id: str = ""
) -> UUID:
    """Ask that rates be published; a second person decides.

    Raises:
        RatesRefusedError: they cannot be published as they stand.
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    check_rates(rates, legal_entity=legal_entity)
    side = RateCurve.Side(rates.side).label.lower()
    with acting(actor, reason=reason, request_id=request_id):
        return request_approval(
            legal_entity_id=legal_entity.pk,
            action=PUBLISH,
            subject=f"{rates.asset} {side} from {rates.effective_from}",
            payload=rates.content(),
            reason=reason,
        )


# ---------------------------------------------------------------- deciding

FIELDS = (
    ("points", "Rate by use of the lending pool"),
    ("tenor", "Spread by days"),
    ("floor", "Floor"),
    ("cap", "Cap"),
    ("day_count", "Day count"),
    ("charged", "Charged"),
    ("compounds", "Interest bears interest"),
    ("paid_from", "Paid from"),
    ("repays_from_free_money", "Repaid from free money"),
    ("account_cap", "Lent to an account at most"),
    ("pool_cap", "Lent in all at most"),
    ("utilisation_cap", "Share of the pool lent at most"),
)


def version_on(curve: RateCurve, day: date) -> RateVersion | None:
    """The version in force on a day."""
    in_force = RateVersion.objects.filter(curve=curve, effective_from__lte=day)
    return in_force.order_by("-effective_from").first()


def facts_of(said: Mapping[str, Any]) -> dict[str, str]:
    """What rates say, part by part, as people read it."""
    return {name: _word(name, said.get(name)) for name, _ in FIELDS}


def said_by(version: RateVersion) -> dict[str, Any]:
    """A version in the form of a request."""
    return {
        name: _plain(value) if isinstance(value := getattr(version, name), Decimal) else value
        for name, _ in FIELDS
    }


def _word(name: str, value: Any) -> str:  # noqa: ANN401 - a part of a JSON payload
    if value is None or value == []:
        return FLAT
    if name == "points":
        return ", ".join(f"{percent(Decimal(y))} at {percent(Decimal(x))}" for x, y in value)
    if name == "tenor":
        return ", ".join(f"{percent(Decimal(y))} at {x} d" for x, y in value)
    if name in ("floor", "cap", "utilisation_cap"):
        return percent(Decimal(value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    labels = {**dict(RateVersion.Charged.choices), **dict(RateVersion.PaidFrom.choices)}
    return str(labels.get(value, value))


def describe(approval: Approval) -> Description:
    """What the rates are now, and what they would be."""
    said = approval.payload
    curve = RateCurve.objects.filter(
        legal_entity=approval.legal_entity_id, asset__code=said["asset"], side=said["side"]
    ).first()
    first_day = date.fromisoformat(said["effective_from"])
    standing = version_on(curve, first_day) if curve else None
    before = facts_of(said_by(standing)) if standing else {}
    after = facts_of(said)
    return Description(
        headline=approval.subject,
        facts=(("First day", said["effective_from"]),),
        fields=tuple(
            FieldChange(label, before.get(name, "not set"), after[name])
            for name, label in FIELDS
            if before.get(name) != after[name]
        ),
        note="Interest of every night from that day on follows these rates. Days that are accrued"
        " keep theirs.",
    )


def apply(approval: Approval) -> None:
    """Publish the rates; call inside an act."""
    with refusals(), connection.cursor() as cursor:
        cursor.execute("SELECT ledger.publish_rates(%s)", [approval.pk])


def register() -> None:
    """Say how requests for rates are shown and applied."""
    register_action(PUBLISH, describe=describe, apply=apply)
