"""Four eyes: what a second person must agree to, from the request to the act.

Approving only decides. What was approved is then applied in a transaction of its own, by whoever
decided it; if a rule refuses that, the approval stays usable until it expires.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, models, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.audit import Actor, acting, refusals
from accounts.models import Approval, ApprovalRecord, Operator
from accounts.news import announce
from accounts.roles import DECIDE, REQUEST, Roles, who_may


class Change(NamedTuple):
    """A balance that the request changes, in the unit of the description.

    Attributes:
        label: which balance, as the desk calls it.
        now: before; `change` is signed; after is their sum.
        floor: the rule that holds after it, "not negative" for one; "" if there is none.
        is_kept: whether the rule holds with the balances as they are now.
    """

    label: str
    now: Decimal
    change: Decimal
    floor: str = ""
    is_kept: bool = True

    @property
    def after(self) -> Decimal:
        """The balance once the request is applied."""
        return self.now + self.change


class FieldChange(NamedTuple):
    """Something other than a balance that the request changes."""

    label: str
    before: str
    after: str


@dataclass(frozen=True)
class Description:
    """A request as a person decides on it.

    Attributes:
        headline: one line for the list, such as "25,000.00 USD from CLIENT to HOUSE".
        amount: what the button repeats after "Approve"; "" if there is no amount.
        unit: unit of all `changes`.
        decimals: decimals of the unit, for showing.
        facts: further lines, label and text.
        changes: balances now, changed, after; untouched ones that matter included.
        fields: what else changes.
        note: the consequence, in one sentence.
    """

    headline: str
    amount: str = ""
    unit: str = ""
    decimals: int = 2
    facts: tuple[tuple[str, str], ...] = ()
    changes: tuple[Change, ...] = ()
    fields: tuple[FieldChange, ...] = ()
    note: str = ""


Describe = Callable[[Approval], Description]
Apply = Callable[[Approval], object]


class Registered(NamedTuple):
    """What an app says of one of its actions."""

    describe: Describe
    apply: Apply


class AskRefusedError(Exception):
    """Something cannot be asked for like this. `field` is the part of the form to look at."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail)
        self.field = field


class UnknownActionError(Exception):
    """Nothing applies approvals of this action; the program that asked uses them itself."""


_registered: dict[str, Registered] = {}


def register_action(code: str, *, describe: Describe, apply: Apply) -> None:
    """Say how requests of an action are shown and applied; called once, by `AppConfig.ready`.

    Args:
        code: the action, as in `ApprovalAction`.
        describe: reads the payload and what it would change now; never writes.
        apply: does it, spending the approval; called inside an act.
    """
    assert code not in _registered, f"{code} is registered twice"
    _registered[code] = Registered(describe, apply)


def describe(approval: Approval) -> Description:
    """What the request asks for; its bare content where no app says more."""
    registered = _registered.get(approval.action_id)
    if registered is not None:
        return registered.describe(approval)
    content = approval.payload if isinstance(approval.payload, dict) else {"": approval.payload}
    facts = tuple((label.replace("_", " "), plain(value)) for label, value in content.items())
    return Description(headline=approval.subject, facts=facts)


def plain(value: object) -> str:
    """A value of a payload as text."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def request_approval(
    *,
    legal_entity_id: int,
    action: str,
    subject: str,
    payload: Mapping[str, Any],
    reason: str,
    records: Iterable[str] = (),
) -> UUID:
    """Ask for a second person's agreement to exactly `payload`; call inside a person's act.

    Args:
        legal_entity_id: where it is asked and decided.
        action: the action, as in `ApprovalAction`.
        subject: what it is about, for lists.
        payload: the content that is agreed to.
        reason: why, for whoever decides.
        records: rows that it would change, `table:key`, which then show the request themselves.

    Raises:
        RefusedError: the maker holds no role that may ask, nobody else could decide, or the
            reason is shorter than 10 characters.
    """
    with refusals(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT accounts.request_approval(%s, %s, %s, %s::jsonb, %s)",
            [legal_entity_id, action, subject, json.dumps(payload), reason],
        )
        (approval_id,) = cursor.fetchone()
        assert isinstance(approval_id, UUID)
        ApprovalRecord.objects.bulk_create(
            ApprovalRecord(approval_id=approval_id, record=record) for record in records
        )
    tell_pages()
    return approval_id


def tell_pages() -> None:
    """Open pages draw their lists again once this act is committed."""
    transaction.on_commit(partial(announce, "approvals"))


def decide(
    approval_id: UUID, *, verdict: str, reason: str, actor: Actor, request_id: str = ""
) -> Approval:
    """Approve or reject a request, once, in an act of its own. The checker is who acts.

    Raises:
        RefusedError: one's own request, no role that may, decided already, or expired.
    """
    with (
        acting(actor, reason=reason, request_id=request_id),
        connection.cursor() as cursor,
    ):
        cursor.execute(
            "SELECT accounts.decide_approval(%s, %s, %s)", [approval_id, verdict, reason]
        )
        tell_pages()
    return Approval.objects.select_related("action").get(pk=approval_id)


def apply_approved(approval: Approval, *, actor: Actor, request_id: str = "") -> None:
    """Do what was approved, in an act of its own; the approval is spent with it.

    Raises:
        UnknownActionError: whoever asked for this uses the approval itself.
        RefusedError: a rule refused it; nothing moved and the approval is as good as before.
    """
    registered = _registered.get(approval.action_id)
    if registered is None:
        raise UnknownActionError(approval.action_id)
    reason = f"{approval.action.title}: {approval.subject}"
    with acting(actor, reason=reason, request_id=request_id):
        registered.apply(approval)
        tell_pages()


def spend(statement: str, approval: Approval) -> Any:  # noqa: ANN401 - what the function returns
    """Call a function of the database that does what was approved and spends the approval with it;
    inside an act.

    Args:
        statement: SELECT of the function, with one place for the approval's id.

    Raises:
        RefusedError: a rule refused it.
    """
    with refusals(), connection.cursor() as cursor:
        cursor.execute(statement, [approval.pk])
        row = cursor.fetchone()
    return None if row is None else row[0]


def is_applied_here(approval: Approval) -> bool:
    """Whether approving also applies."""
    return approval.action_id in _registered


class State(models.TextChoices):
    """Where a request stands."""

    WAITING = "waiting", "Waiting"
    REJECTED = "rejected", "Rejected"
    APPROVED = "approved", "Approved, not yet applied"
    USED = "used", "Applied"
    EXPIRED = "expired", "Expired"


def state_of(approval: Approval, *, now: datetime) -> State:
    """Where the request stands at an instant."""
    if approval.decision == Approval.Decision.REJECTED:
        return State.REJECTED
    if approval.used_xid is not None:
        return State.USED
    if approval.expires_at <= now:
        return State.EXPIRED
    return State.APPROVED if approval.decision else State.WAITING


def number_of(approval: Approval) -> str:
    """The number people call it by."""
    return f"AP-{approval.made_at:%y%m%d}-{approval.number:03d}"


def pending_on(*records: str, roles: Roles, now: datetime | None = None) -> "QuerySet[Approval]":
    """Requests that would change a record and are not done with, for who may know of them.

    Args:
        records: `table:key`, as the request named it; of several, any.
        roles: of the person who looks.
        now: the instant; the clock's if None.
    """
    return (
        visible(roles)
        .filter(
            records__record__in=records,
            used_xid__isnull=True,
            expires_at__gt=now or timezone.now(),
        )
        .exclude(decision=Approval.Decision.REJECTED)
        .distinct()
    )


# ---------------------------------------------------------------- the lists


def requests() -> "QuerySet[Approval]":
    """All requests, with what lists show, newest first."""
    return Approval.objects.select_related("action", "maker", "checker", "legal_entity").order_by(
        "-number"
    )


def visible(roles: Roles) -> "QuerySet[Approval]":
    """Requests that somebody may know of: all where they read, else those of their own roles."""
    seen = Q(legal_entity_id__in=roles.entities("read"))
    for entity_id in roles.entities("approval.read"):
        held = list(roles.at(entity_id))
        seen |= Q(legal_entity_id=entity_id) & (
            Q(action__maker_roles__overlap=held) | Q(action__checker_roles__overlap=held)
        )
    return requests().filter(seen)


def for_you(
    operator: Operator, roles: Roles, *, now: datetime | None = None
) -> "QuerySet[Approval]":
    """What waits for this person's decision, soonest to expire first."""
    decides = Q(pk__in=[])
    for entity_id in {held.legal_entity_id for held in roles.held}:
        whole = [h.role for h in roles.held if h.legal_entity_id == entity_id and not h.desk]
        decides |= Q(legal_entity_id=entity_id, action__checker_roles__overlap=whole)
    return (
        requests()
        .filter(decides, decision="", expires_at__gt=now or timezone.now())
        .exclude(maker=operator)
        .order_by("expires_at", "number")
    )


def made_by_you(operator: Operator, *, now: datetime | None = None) -> "QuerySet[Approval]":
    """What this person asked for and is not decided yet."""
    return requests().filter(maker=operator, decision="", expires_at__gt=now or timezone.now())


def for_others(
    operator: Operator, roles: Roles, *, now: datetime | None = None
) -> "QuerySet[Approval]":
    """What waits for somebody else: not one's own, and not for one's own decision."""
    at = now or timezone.now()
    return (
        visible(roles)
        .filter(decision="", expires_at__gt=at)
        .exclude(maker=operator)
        .exclude(pk__in=for_you(operator, roles, now=at).values("pk"))
        .order_by("expires_at", "number")
    )


def decided(roles: Roles, *, now: datetime | None = None) -> "QuerySet[Approval]":
    """What was approved, rejected, or expired undecided; newest first."""
    return visible(roles).filter(~Q(decision="") | Q(expires_at__lte=now or timezone.now()))


def may_decide(approval: Approval, operator: Operator, roles: Roles) -> bool:
    """Whether the request waits for this person among others."""
    act = f"{DECIDE}{approval.action_id}"
    return approval.maker_id != operator.pk and roles.may(act, approval.legal_entity_id)


def may_apply(approval: Approval, roles: Roles) -> bool:
    """Whether this person may apply what was approved: whoever may ask for it or decide it."""
    code, entity_id = approval.action_id, approval.legal_entity_id
    return any(roles.may(f"{side}{code}", entity_id) for side in (REQUEST, DECIDE))


def deciders(approval: Approval) -> list[str]:
    """Names of the people who can decide it."""
    act = f"{DECIDE}{approval.action_id}"
    return who_may(act, approval.legal_entity_id, besides=approval.maker_id)
