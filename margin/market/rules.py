"""Rules of market data: what prices, feeds and calendars must be, said by two people by version."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final
from uuid import UUID

from django.db import connection

from accounts.approvals import (
    AskRefusedError,
    Description,
    FieldChange,
    register_action,
    request_approval,
)
from accounts.audit import Actor, acting, refusals
from accounts.clock import shown_day
from accounts.models import Approval, LegalEntity
from ledger.models import Asset
from margin.engine.check_rules import FIRST_CHECK_RULES, CheckRules
from margin.engine.parameters import (
    parameter_fields,
    parameters_sha256,
    read_parameters,
    written_parameters,
)
from margin.engine.price_rules import STANDARD_RULES, FeedRules, PriceRules
from margin.engine.rejected import RejectedInputError
from margin.engine.surface import SurfacePolicy
from margin.engine.trading_calendar import (
    STANDARD_CALENDARS,
    CalendarRules,
    TradingCalendar,
    calendar_of,
)
from margin.known import known_at
from margin.models import MarketRule
from margin.models.market import BASE
from margin.parameters import next_version

RULE: Final = "market.rule"
NAME_LENGTH_MAX: Final = 60
Kind = MarketRule.Kind
RULES_OF: Final[Mapping[str, type]] = {
    Kind.PRICE: PriceRules,
    Kind.FEED: FeedRules,
    Kind.CALENDAR: CalendarRules,
    Kind.SURFACE: SurfacePolicy,
    Kind.CHECK: CheckRules,
}
# From which people begin who set the first rules of a kind.
FIRST_RULES: Final[Mapping[str, object]] = {
    Kind.PRICE: STANDARD_RULES,
    Kind.FEED: FeedRules(seconds_most=60.0, is_expected=True),
    Kind.CALENDAR: STANDARD_CALENDARS["NYSE"],
    Kind.SURFACE: SurfacePolicy(
        width_most=0.2, age_most=900.0, markup=0.25, wing_slope_most=1.0, unquoted=1.0
    ),
    Kind.CHECK: FIRST_CHECK_RULES,
}
# How often scopes are checked is promised once, for all of them.
CHECKS_NAME: Final = "margin"


@dataclass(frozen=True, slots=True)
class InForce:
    """A rule as it stands on a day; `rules` is of the type of its kind."""

    row: MarketRule
    rules: Any


def rules_in_force(day: date, kind: str, *, horizon_id: int | None = None) -> dict[str, InForce]:
    """The newest rules of a kind on a day, by name.

    Args:
        horizon_id: as that committed horizon knew them; as they are known now if None.
    """
    rows = known_at(MarketRule.objects.filter(kind=kind, effective_from__lte=day), horizon_id)
    return {
        row.name: InForce(row, read_parameters(RULES_OF[kind], row.values))
        for row in rows.order_by("name", "-effective_from").distinct("name")
    }


def calendars_in_force(day: date, *, horizon_id: int | None = None) -> dict[str, TradingCalendar]:
    """Every calendar by name: the standard ones, and what two people set over or beside them.

    Args:
        horizon_id: as that committed horizon knew them; as they are known now if None.
    """
    rules: dict[str, CalendarRules] = dict(STANDARD_CALENDARS)
    set_by_two = rules_in_force(day, Kind.CALENDAR, horizon_id=horizon_id)
    rules |= {name: found.rules for name, found in set_by_two.items()}
    return {name: calendar_of(each) for name, each in rules.items()}


def newest_values(kind: str, name: str) -> dict[str, Any]:
    """The newest values of a rule, or those people begin from."""
    newest = MarketRule.objects.filter(kind=kind, name=name).order_by("-version").first()
    if newest is not None:
        return dict(newest.values)
    if kind == Kind.CALENDAR and name in STANDARD_CALENDARS:
        return written_parameters(STANDARD_CALENDARS[name])
    return written_parameters(FIRST_RULES[kind])


def request_rule(
    *,
    kind: str,
    name: str,
    values: Mapping[str, Any],
    effective_from: date,
    legal_entity: LegalEntity,
    reason: str,
    actor: Actor,
    request_id: str = "",
) -> UUID:
    """Ask that market data be held to such rules from a day on.

    Args:
        kind: "price", "feed", "calendar", "surface" or "check".
        name: the asset, the source, the calendar, the underlying, or "margin".
        values: all of them, as JSON.
        effective_from: their first day.
        legal_entity: where it is asked and decided; rules hold for all.
        reason: why.
        actor: who asks.
        request_id: of the web request.

    Raises:
        AskRefusedError: there is no such kind or name, or a value is not what it may be.
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    rules = _checked(kind, name, values, day=effective_from)
    row = {
        "kind": kind,
        "name": name,
        "version": next_version(MarketRule.objects.filter(kind=kind, name=name)),
        "effective_from": effective_from.isoformat(),
        "values": written_parameters(rules),
        "sha256": parameters_sha256(rules),
    }
    with acting(actor, reason=reason, request_id=request_id):
        return request_approval(
            legal_entity_id=legal_entity.pk,
            action=RULE,
            subject=f"{Kind(kind).label} {name}: version {row['version']}",
            payload={"row": row},
            reason=reason,
            records=(f"margin_marketrule:{kind}/{name}",),
        )


def _checked(kind: str, name: str, values: Mapping[str, Any], *, day: date) -> object:
    if kind not in Kind.values:
        raise AskRefusedError("kind", f"There are no rules of {kind}.")
    if not name or len(name) > NAME_LENGTH_MAX:
        raise AskRefusedError("name", "A name of at most 60 characters is needed.")
    try:
        rules: object = read_parameters(RULES_OF[kind], values)
    except RejectedInputError as refused:
        raise AskRefusedError("values", f"{refused}.") from refused
    if kind in (Kind.PRICE, Kind.SURFACE) and (
        name == BASE or not Asset.objects.filter(code=name).exists()
    ):
        raise AskRefusedError("name", f"{name} is nothing that has a mark.")
    if isinstance(rules, PriceRules | CheckRules) and rules.calendar not in calendars_in_force(day):
        raise AskRefusedError("values", f"There is no calendar {rules.calendar} on that day.")
    if isinstance(rules, CheckRules) and name != CHECKS_NAME:
        raise AskRefusedError("name", f"Checks are promised under the name {CHECKS_NAME}.")
    if isinstance(rules, PriceRules):
        _check_price_rules(name, rules, day=day)
    return rules


def _check_price_rules(name: str, rules: PriceRules, *, day: date) -> None:
    """The index that they name exists, and no asset is the index of itself or of its index."""
    index = rules.index.underlying
    if not index:
        return
    if index in (name, BASE) or not Asset.objects.filter(code=index).exists():
        raise AskRefusedError("values", f"{index} cannot be the index of {name}.")
    others = rules_in_force(day, Kind.PRICE)
    if index in others and others[index].rules.index.underlying:
        raise AskRefusedError("values", f"{index} has an index of its own, so it is none.")
    if any(each.rules.index.underlying == name for each in others.values()):
        raise AskRefusedError("values", f"{name} is an index, so it has none.")


def describe_rule(approval: Approval) -> Description:
    """Every value that changes, before and after."""
    row = approval.payload["row"]
    kind, day = row["kind"], date.fromisoformat(row["effective_from"])
    before = rules_in_force(day, kind).get(row["name"])
    was = {} if before is None else _values(before.rules)
    now = _values(read_parameters(RULES_OF[kind], row["values"]))
    return Description(
        headline=approval.subject,
        facts=(("From", shown_day(day, form="medium")),),
        fields=tuple(
            FieldChange(path, was.get(path, "none"), now.get(path, "none"))
            for path in dict.fromkeys([*now, *was])
            if was.get(path) != now.get(path)
        ),
        note="From that day market data are held to it.",
    )


def _values(rules: object) -> dict[str, str]:
    return {field.path: str(field.value) for field in parameter_fields(rules)}


def set_rule(approval: Approval) -> None:
    """Let it stand; call inside an act."""
    with refusals(), connection.cursor() as cursor:
        cursor.execute("SELECT margin.set_market_rule(%s)", [approval.pk])


def register() -> None:
    """Say how these requests are shown and applied."""
    register_action(RULE, describe=describe_rule, apply=set_rule)
