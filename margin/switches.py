"""Switches of an incident: two people stop, and two start again, what a firm does by itself.

Stopping and starting both take two people: whoever stops calls or payments alone could favour
somebody, and whoever starts them alone could hurt many. So that it is quick all the same, most of
the desk may ask and decide, and a request waits an hour at the most. A stop says until when it is
meant to last and does not end by itself; past its time somebody gets it as a task.

The database keeps each of them (`0024_switches.sql`); the functions here say so beforehand.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import connection
from django.utils import timezone

from accounts.approvals import (
    AskRefusedError,
    Description,
    FieldChange,
    pending_on,
    register_action,
    request_approval,
    spend,
)
from accounts.audit import Actor, RefusedError, acting, refusals
from accounts.clock import utc_stamp, utc_text
from accounts.models import Approval, LegalEntity
from accounts.roles import Roles
from margin.models import MarginRun, Switch, Task
from margin.worklist import RISK, Needed, close_tasks, open_tasks

What = Switch.What
STOP: Final = "switch.stop"
START: Final = "switch.start"
LASTS_MOST: Final = timedelta(days=3)
WATCH: Final = Actor.job("switch-watch")
ASKED_WITHIN: Final = timedelta(minutes=5)
OVERDUE: Final = "overdue"
# The rule by which each is refused while it is stopped, and what that means.
RULES: Final = {
    What.CALLS: "automatic_calls_are_stopped",
    What.WITHDRAWALS: "withdrawals_are_stopped",
    What.LIQUIDATION: "liquidation_is_stopped",
}
MEANS: Final = {
    What.CALLS: "Runs issue and raise no call; what they would have called is listed as held back,"
    " and the next run after the stop issues it. Calls that are paid, or that prices make needless,"
    " end as ever.",
    What.WITHDRAWALS: "Nothing is released, agreed to, put into a payment file or paid out. What"
    " the bank has paid already is booked.",
    What.LIQUIDATION: "No call goes on to liquidation, by nobody's hand. Liquidations that had"
    " begun go on.",
}


@dataclass(frozen=True, slots=True)
class Position:
    """How one switch stands.

    Attributes:
        newest: its newest version; None where it was never set.
        overdue: since its time is over and it is still stopped; None otherwise.
        pending: requests that wait for a second person, for who may know of them.
    """

    what: Switch.What
    newest: Switch | None
    overdue: timedelta | None
    pending: Sequence[Approval] = ()

    @property
    def is_stopped(self) -> bool:
        return self.newest is not None and self.newest.is_stopped

    @property
    def rule(self) -> str:
        return RULES[self.what]

    @property
    def means(self) -> str:
        return MEANS[self.what]


def positions(
    legal_entity: LegalEntity, *, roles: Roles | None = None, now: datetime | None = None
) -> list[Position]:
    """How every switch of a legal entity stands; requests with them where roles are given."""
    at = now or timezone.now()
    newest = {each.what: each for each in newest_versions([legal_entity.pk])}
    records = [record_of(legal_entity, what) for what in What]
    waiting = [] if roles is None else list(pending_on(*records, roles=roles, now=at))
    return [
        Position(
            what,
            newest.get(what),
            _overdue(newest.get(what), at),
            [each for each in waiting if each.payload["row"]["what"] == what],
        )
        for what in What
    ]


def newest_versions(entities: Iterable[int] | None = None) -> list[Switch]:
    """The newest version of every switch that was ever set; of some legal entities where given."""
    found = Switch.objects.all()
    if entities is not None:
        found = found.filter(legal_entity__in=list(entities))
    return list(
        found.select_related("legal_entity", "approval__maker", "approval__checker")
        .order_by("legal_entity_id", "what", "-version")
        .distinct("legal_entity_id", "what")
    )


def record_of(legal_entity: LegalEntity, what: str) -> str:
    """How a request names the switch that it would set."""
    return f"margin_switch:{legal_entity.pk}/{what}"


def _overdue(switch: Switch | None, at: datetime) -> timedelta | None:
    if switch is None or switch.until is None or switch.until > at:
        return None
    return at - switch.until


def is_stopped(legal_entity_id: int, what: str) -> bool:
    """Whether something is stopped at a legal entity; only to look, nothing is held."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT margin.is_stopped(%s, %s)", [legal_entity_id, what])
        return bool(cursor.fetchone()[0])


def refuse_where_stopped(legal_entity_id: int, what: Switch.What) -> None:
    """Refuse by the rule's name what is stopped.

    Raises:
        RefusedError: it is stopped.
    """
    if is_stopped(legal_entity_id, what):
        raise RefusedError(RULES[what], f"{what.label.lower()}: stopped by two people")


def stopped_entities(what: str) -> frozenset[int]:
    """Legal entities where something is stopped, held so until the act ends; call inside one."""
    with refusals(), connection.cursor() as cursor:
        cursor.execute("SELECT margin.stopped_now(%s)", [what])
        return frozenset(pk for (pk,) in cursor.fetchall())


# ---------------------------------------------------------------- setting one


def request_switch(
    legal_entity: LegalEntity,
    what: str,
    *,
    until: datetime | None,
    reason: str,
    actor: Actor,
    request_id: str = "",
) -> UUID:
    """Ask that something be stopped until a time, or (without one) started again.

    To a stop that holds another time may be given by asking for it again.

    Raises:
        AskRefusedError: it is not stopped, the time has passed or is too far, or it is asked for
            already.
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    kind, now = What(what), timezone.now()
    newest = next((each for each in newest_versions([legal_entity.pk]) if each.what == kind), None)
    if until is None and not (newest is not None and newest.is_stopped):
        raise AskRefusedError("what", f"{kind.label}: not stopped.")
    if until is not None and not now < until <= now + LASTS_MOST:
        raise AskRefusedError("until", "It lasts until a time after now, within three days.")
    record = record_of(legal_entity, kind)
    waiting = Approval.objects.filter(
        records__record=record, used_xid__isnull=True, expires_at__gt=now
    ).exclude(decision=Approval.Decision.REJECTED)
    if waiting.exists():
        raise AskRefusedError("what", f"{kind.label}: a request waits for a second person already.")
    row = {
        "legal_entity_id": legal_entity.pk,
        "what": kind.value,
        "version": 1 if newest is None else newest.version + 1,
        "is_stopped": until is not None,
        "until": None if until is None else utc_stamp(until),
        "reason": reason,
    }
    verb = "Start" if until is None else "Stop"
    lasts = "" if until is None else f" until {utc_text(until)}"
    with acting(actor, reason=reason, request_id=request_id):
        return request_approval(
            legal_entity_id=legal_entity.pk,
            action=START if until is None else STOP,
            subject=f"{verb} {kind.label.lower()}{lasts}",
            payload={"row": row},
            reason=reason,
            records=(record,),
        )


def describe_switch(approval: Approval) -> Description:
    """The switch as it stands and as it would."""
    row = approval.payload["row"]
    kind = What(row["what"])
    newest = next(
        (each for each in newest_versions([approval.legal_entity_id]) if each.what == kind), None
    )
    before = "runs" if newest is None or not newest.is_stopped else "stopped"
    after = "stopped" if row["is_stopped"] else "runs"
    until = (("Until", row["until"]),) if row["until"] else ()
    return Description(
        headline=approval.subject,
        facts=(("Switch", kind.label), *until),
        fields=(FieldChange(kind.label, before, after),),
        note=MEANS[kind] if row["is_stopped"] else "What was held back is done by the next run.",
    )


def apply_switch(approval: Approval) -> None:
    """Set it as agreed; call inside an act. What is under way is waited for."""
    spend("SELECT margin.set_switch(%s)", approval)
    now = timezone.now()
    _settle_tasks(overdue_switches(now), now)


# ---------------------------------------------------------------- nobody forgets one


def overdue_switches(now: datetime | None = None) -> list[Switch]:
    """Stops whose time is over."""
    at = now or timezone.now()
    return [each for each in newest_versions() if _overdue(each, at) is not None]


def watch_switches(now: datetime | None = None) -> int:
    """Open a task for every stop that is past its time; how many are. Writes only what is new."""
    at = now or timezone.now()
    late = overdue_switches(at)
    asked = Task.objects.filter(
        kind=Task.Kind.SWITCH, closed_at=None, key__startswith=f"{OVERDUE}:"
    )
    if {_key(each) for each in late} != set(asked.values_list("key", flat=True)):
        with acting(WATCH, reason="Switches that are past their time"):
            _settle_tasks(late, at)
    return len(late)


def _settle_tasks(late: Sequence[Switch], at: datetime) -> None:
    open_tasks([_needed(each, at) for each in late], business_day=_day(at).date(), at=at)
    others = Task.objects.filter(kind=Task.Kind.SWITCH, closed_at=None).exclude(
        key__startswith=f"{OVERDUE}:"
    )
    still = {_key(each) for each in late} | set(others.values_list("key", flat=True))
    close_tasks(Task.Kind.SWITCH, still_needed=still, at=at, reason="The switch was set since")


def _needed(switch: Switch, at: datetime) -> Needed:
    assert switch.until is not None, "what is overdue says until when"
    label = Switch.What(switch.what).label
    return Needed(
        kind=Task.Kind.SWITCH,
        key=_key(switch),
        subject=f"{switch.legal_entity.code}: {label.lower()} stopped for longer than agreed",
        detail=f"It was to last until {utc_text(switch.until)}. Start it again, or agree on another"
        " time.",
        due_at=at + ASKED_WITHIN,
        owner_role=RISK,
    )


def _key(switch: Switch) -> str:
    return f"{OVERDUE}:{switch.legal_entity.code}:{switch.what}"


def _day(at: datetime) -> datetime:
    newest = MarginRun.objects.order_by("-as_of").values_list("as_of", flat=True).first()
    return newest or at


def register() -> None:
    """Say how these requests are shown and applied."""
    for action in (STOP, START):
        register_action(action, describe=describe_switch, apply=apply_switch)
