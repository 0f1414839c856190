"""What the roles may do, as data, and the questions that screens, API and jobs ask of it.

Whatever belongs to a legal entity at which somebody holds no role does not exist for them (404).
Inside, an act without the right is refused with a sentence that names who can (403).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from typing import NamedTuple
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts.audit import Actor
from accounts.models import ApprovalAction, LegalEntity, Operator, Role, RoleGrant

DESK = frozenset({Role.OPERATIONS, Role.RISK, Role.TREASURY, Role.COMPLIANCE})
READERS = DESK | {Role.PRINCIPAL, Role.AUDITOR}
EVERYBODY = READERS | {Role.ADMINISTRATOR}

# act: (what it is called in a sentence, who may)
RIGHTS: Mapping[str, tuple[str, frozenset[Role]]] = {
    "read": ("read clients and money", READERS),
    "approval.read": ("read approvals", EVERYBODY),
    "audit.read": ("read the audit trail", EVERYBODY),
    "audit.export": (
        "export the audit trail",
        frozenset({Role.COMPLIANCE, Role.AUDITOR, Role.ADMINISTRATOR}),
    ),
    "people.read": (
        "read people and roles",
        frozenset({Role.COMPLIANCE, Role.AUDITOR, Role.ADMINISTRATOR}),
    ),
    "retention.read": (
        "read how long records are kept, and of whom",
        frozenset({Role.OPERATIONS, Role.COMPLIANCE, Role.AUDITOR}),
    ),
    "role.manage": ("ask for changes of roles", frozenset({Role.ADMINISTRATOR})),
    "call.acknowledge": ("acknowledge a margin call", frozenset({Role.OPERATIONS, Role.RISK})),
    "call.carry": ("carry a margin call on", frozenset({Role.OPERATIONS, Role.RISK})),
    "notice.deliver": (
        "say what became of a notice",
        frozenset({Role.OPERATIONS, Role.RISK}),
    ),
    "task.take": ("take a task", frozenset({Role.OPERATIONS, Role.RISK})),
    "break.take": ("take a break", frozenset({Role.OPERATIONS, Role.TREASURY})),
    "break.explain": ("explain a break", frozenset({Role.OPERATIONS, Role.TREASURY})),
    "break.close": ("close a break", frozenset({Role.OPERATIONS, Role.TREASURY})),
    "receipt.book": (
        "book a receipt without an owner",
        frozenset({Role.OPERATIONS, Role.TREASURY}),
    ),
    "segregation.state": (
        "make a statement of segregation",
        frozenset({Role.OPERATIONS, Role.TREASURY, Role.COMPLIANCE}),
    ),
    "release.withdrawal": ("release a withdrawal", frozenset({Role.OPERATIONS, Role.TREASURY})),
    "payment.file": (
        "write and send payment files",
        frozenset({Role.OPERATIONS, Role.TREASURY}),
    ),
    "bucket.move": ("move between buckets", frozenset({Role.OPERATIONS, Role.TREASURY})),
    "client.reconcile": (
        "compare a client's own locations",
        frozenset({Role.OPERATIONS, Role.TREASURY}),
    ),
    "block.set": ("block what leaves", frozenset({Role.OPERATIONS, Role.RISK, Role.COMPLIANCE})),
    "trade.book": ("book a trade", frozenset({Role.OPERATIONS, Role.RISK})),
    "block.lift": ("lift a block", frozenset({Role.RISK, Role.COMPLIANCE})),
    "job.start": (
        "start a job",
        frozenset({Role.OPERATIONS, Role.RISK, Role.TREASURY}),
    ),
    "job.cancel": ("cancel a job", frozenset({Role.OPERATIONS, Role.RISK})),
    "report.export": ("export a report", READERS),
    "external.import": (
        "hand in margin statements of others",
        frozenset({Role.OPERATIONS, Role.RISK}),
    ),
    "price.take": ("hand in prices", frozenset({Role.OPERATIONS, Role.RISK})),
    "model.audit": (
        "take out the algorithm audit file",
        frozenset({Role.RISK, Role.COMPLIANCE, Role.AUDITOR}),
    ),
    "case.read": ("read cases", frozenset({Role.COMPLIANCE, Role.AUDITOR})),
    "case.write": ("open cases and write into them", frozenset({Role.COMPLIANCE})),
    "view.keep": ("keep a view of a list", DESK | {Role.PRINCIPAL}),
    "period.close": ("close a period", frozenset({Role.TREASURY, Role.COMPLIANCE})),
}

REQUEST = "approval.request:"
DECIDE = "approval.decide:"


class Held(NamedTuple):
    """One role at one legal entity; a desk limits it to the clients of that desk."""

    role: str
    legal_entity_id: int
    desk: str


@dataclass(frozen=True)
class Roles:
    """The roles somebody holds now."""

    held: tuple[Held, ...] = ()

    def at(self, legal_entity_id: int) -> frozenset[str]:
        """The roles held at one legal entity."""
        return frozenset(h.role for h in self.held if h.legal_entity_id == legal_entity_id)

    def may(self, act: str, legal_entity_id: int) -> bool:
        """Whether one of the roles may do `act` there, for some desk at least."""
        return legal_entity_id in self.entities(act)

    def entities(self, act: str) -> frozenset[int]:
        """Legal entities at which one of the roles may do `act`; for filtering lists."""
        allowed = roles_for(act)
        spans_desks = act.startswith((REQUEST, DECIDE))
        return frozenset(
            h.legal_entity_id
            for h in self.held
            if h.role in allowed and not (spans_desks and h.desk)
        )

    def desks(self, act: str, legal_entity_id: int) -> frozenset[str] | None:
        """Desks to whose clients `act` is limited there; None means all clients."""
        allowed = roles_for(act)
        desks = {
            h.desk for h in self.held if h.role in allowed and h.legal_entity_id == legal_entity_id
        }
        return None if "" in desks else frozenset(desks)


class DeskRequest(HttpRequest):
    """A request as `accounts.middleware.LiveSession` hands it on to a signed-in operator's view."""

    operator: Operator
    actor: Actor
    roles: Roles
    legal_entity: LegalEntity | None
    legal_entities: tuple[LegalEntity, ...]
    request_id: str
    session_id: UUID
    proved_at: datetime
    proof_minutes: int
    lacks_factor: bool


def roles_for(act: str) -> frozenset[str]:
    """The roles that may do `act`. Who may ask for and decide approvals is in their table."""
    if act.startswith((REQUEST, DECIDE)):
        code = act.partition(":")[2]
        action = ApprovalAction.objects.filter(code=code).first()
        if action is None:
            return frozenset()
        named = action.maker_roles if act.startswith(REQUEST) else action.checker_roles
        return frozenset(named)
    return frozenset(RIGHTS[act][1])


def act_title(act: str) -> str:
    """How a sentence calls the act."""
    if act.startswith((REQUEST, DECIDE)):
        title = ApprovalAction.objects.filter(code=act.partition(":")[2]).values_list("title")
        verb = "ask for" if act.startswith(REQUEST) else "decide"
        return f"{verb} “{next(iter(title), (act,))[0]}”"
    return RIGHTS[act][0]


def roles_of(operator: Operator) -> Roles:
    """The roles an operator holds now."""
    if not operator.is_active:
        return Roles()
    grants = RoleGrant.objects.held().filter(operator=operator)
    held = grants.order_by("legal_entity__code", "role", "desk")
    return Roles(tuple(Held(*row) for row in held.values_list("role", "legal_entity_id", "desk")))


def may(who: HttpRequest | Operator, act: str, legal_entity: LegalEntity | int) -> bool:
    """Whether somebody may do `act` at a legal entity."""
    entity_id = legal_entity if isinstance(legal_entity, int) else legal_entity.pk
    roles = roles_of(who) if isinstance(who, Operator) else roles_in(who)
    return roles.may(act, entity_id)


def roles_in(request: HttpRequest | Request) -> Roles:
    """The roles of whoever made the request; none for a stranger."""
    found = getattr(request, "roles", None)
    return found if isinstance(found, Roles) else Roles()


def who_may(act: str, legal_entity_id: int, *, besides: int | None = None) -> list[str]:
    """Names of the people who may do `act` there, without the one in `besides`."""
    grants = RoleGrant.objects.held().filter(
        role__in=roles_for(act),
        legal_entity_id=legal_entity_id,
        operator__is_active=True,
    )
    if besides is not None:
        grants = grants.exclude(operator_id=besides)
    if act.startswith((REQUEST, DECIDE)):
        grants = grants.filter(desk="")
    names = grants.order_by("operator__full_name").values_list("operator__full_name", flat=True)
    return list(names.distinct())


def one_of(names: list[str]) -> str:
    """ "A, B or C"."""
    return " or ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def refusal(act: str, legal_entity_id: int, *, besides: int | None = None) -> str:
    """The sentence that says who can, to somebody who cannot."""
    names = who_may(act, legal_entity_id, besides=besides)
    if names:
        return f"You may not {act_title(act)}. {one_of(names)} can."
    wanted = one_of(sorted(Role(role).label.lower() for role in roles_for(act)))
    return f"You may not {act_title(act)}, and nobody holds the role that may: {wanted}."


def check(request: HttpRequest | Request, act: str, legal_entity: LegalEntity | int) -> None:
    """Let the act pass, or refuse it.

    Raises:
        Http404: the person holds no role at this legal entity, so nothing of it exists for them.
        PermissionDenied: they hold a role there, but none that may; the text says who can.
    """
    entity_id = legal_entity if isinstance(legal_entity, int) else legal_entity.pk
    roles = roles_in(request)
    if not roles.at(entity_id):
        raise Http404("There is no such page.")
    if not roles.may(act, entity_id):
        raise PermissionDenied(refusal(act, entity_id))


View = Callable[..., HttpResponseBase]


def require(act: str) -> Callable[[View], View]:
    """A view that needs the right to `act` at the legal entity the person works at.

    A view of one object also calls `check` with the legal entity of the object.
    """

    def guard(view: View) -> View:
        @wraps(view)
        def guarded(request: DeskRequest, *args: object, **kwargs: object) -> HttpResponseBase:
            if request.legal_entity is None:
                raise Http404("There is no such page.")
            check(request, act, request.legal_entity)
            return view(request, *args, **kwargs)

        return guarded

    return guard


def permission(act: str) -> type[BasePermission]:
    """The same as `require`, for the API; querysets are filtered by `Roles.entities` too."""

    class MayAct(BasePermission):
        def has_permission(self, request: Request, view: object) -> bool:
            entity = getattr(request, "legal_entity", None)
            if entity is None:
                return False
            check(request, act, entity)
            return True

    return MayAct
