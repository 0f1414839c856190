"""Tasks: what needs a person, with an owner and a clock from the first moment."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime

from django.db.models import Count

from accounts.bulk import copy_rows
from accounts.models import Operator, Role, RoleGrant, Scope
from margin.models import Task, TaskEvent


@dataclass(frozen=True, slots=True)
class Needed:
    """A task that must be open: its kind and key make it one thing however often it is needed."""

    kind: str
    key: str
    subject: str
    detail: str
    due_at: datetime
    owner_role: str
    scope: Scope | None = None


def open_tasks(needed: Iterable[Needed], *, business_day: date, at: datetime) -> int:
    """Open the tasks that are not open yet; returns how many. Call inside an act."""
    wanted = {(each.kind, each.key): each for each in needed}
    known = set(
        Task.objects.filter(
            closed_at__isnull=True, kind__in={kind for kind, _ in wanted}
        ).values_list("kind", "key")
    )
    owners = _Owners([each.scope for name, each in wanted.items() if name not in known])
    tasks = [
        Task(
            kind=each.kind,
            key=each.key,
            subject=each.subject,
            detail=each.detail,
            business_day=business_day,
            scope=each.scope,
            owner_role=each.owner_role,
            owner=owners.next(each.owner_role, scope=each.scope),
            opened_at=at,
            due_at=each.due_at,
        )
        for name, each in wanted.items()
        if name not in known
    ]
    copy_rows(tasks)
    copy_rows(
        [TaskEvent(task=task, event="opened", text=task.detail, occurred_at=at) for task in tasks]
    )
    return len(tasks)


def close_tasks(kind: str, *, still_needed: set[str], at: datetime, reason: str) -> int:
    """Close the open tasks of a kind whose cause is gone. Call inside an act."""
    over = list(
        Task.objects.filter(kind=kind, closed_at__isnull=True).exclude(key__in=still_needed)
    )
    Task.objects.filter(pk__in=[task.pk for task in over]).update(closed_at=at, close_reason=reason)
    copy_rows([TaskEvent(task=task, event="closed", text=reason, occurred_at=at) for task in over])
    return len(over)


Place = tuple[int, str]  # a legal entity and a desk


class _Owners:
    """Gives each new task to whoever of the role has the fewest open ones.

    A task about a scope goes to somebody who may see that scope; one about a whole desk to anybody.
    """

    def __init__(self, scopes: Iterable[Scope | None]) -> None:
        self._load: Counter[int] = Counter()
        self._people: dict[tuple[str, Place | None], list[Operator]] = {}
        named = [scope.pk for scope in scopes if scope is not None]
        self._places: dict[int, Place] = {
            pk: (entity, desk)
            for pk, entity, desk in Scope.objects.filter(
                pk__in=named, bucket__isnull=False
            ).values_list("pk", "bucket__account__legal_entity", "bucket__account__desk")
        }

    def next(self, role: str, *, scope: Scope | None) -> Operator | None:
        place = None if scope is None else self._places.get(scope.pk)
        people = self._people.get((role, place))
        if people is None:
            people = self._people[role, place] = self._holders(role, place)
        if not people:
            return None
        owner = min(people, key=lambda each: (self._load[each.pk], each.pk))
        self._load[owner.pk] += 1
        return owner

    def _holders(self, role: str, place: Place | None) -> list[Operator]:
        grants = RoleGrant.objects.held().filter(role=role)
        if place is not None:
            entity, desk = place
            grants = grants.filter(legal_entity=entity, desk__in={"", desk})
        people = list(Operator.objects.filter(pk__in=grants.values("operator_id"), is_active=True))
        for owner, count in (
            Task.objects.filter(closed_at__isnull=True, owner__in=people)
            .values_list("owner_id")
            .annotate(count=Count("pk"))
        ):
            self._load.setdefault(owner, count)
        return people


RISK = Role.RISK.value
OPERATIONS = Role.OPERATIONS.value
TREASURY = Role.TREASURY.value
