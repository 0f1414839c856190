"""Calls that runs would have issued or raised while automatic calls are stopped.

Each run writes down what it held back; what is held back now is what the newest results say. The
first run after the stop looks at every scope and issues it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Final

from django.db.models import QuerySet

from accounts.audit import refusals
from accounts.figures import grouped
from accounts.models import LegalEntity, Scope
from margin.models import HeldCall, MarginCall, MarginResult, MarginRun, Switch, Task
from margin.standing_results import standing_runs
from margin.switches import stopped_entities
from margin.worklist import RISK, Needed, close_tasks, open_tasks

DUE_FOR: Final = timedelta(hours=1)
KEY: Final = "held-back"


@dataclass(slots=True)
class HeldBack:
    """What one run holds back.

    Attributes:
        entities: legal entities where automatic calls are stopped.
        scopes: those of them among the scopes of the run, with their legal entity.
    """

    entities: frozenset[int]
    scopes: dict[int, int]
    rows: list[HeldCall] = field(default_factory=list)

    @classmethod
    def of(cls, results: Sequence[MarginResult]) -> "HeldBack":
        """Look which scopes are concerned, and keep it so until the act ends."""
        entities = stopped_entities(Switch.What.CALLS)
        if not entities:
            return cls(entities, {})
        concerned = Scope.objects.filter(
            pk__in=[each.scope_id for each in results],
            bucket__account__legal_entity__in=entities,
        )
        return cls(entities, dict(concerned.values_list("pk", "bucket__account__legal_entity")))

    def takes(self, result: MarginResult, amount: Decimal, *, call: MarginCall | None) -> bool:
        """Whether a call of this amount is held back; it is written down then."""
        if result.scope_id not in self.scopes:
            return False
        self.rows.append(HeldCall(result=result, call=call, amount=amount))
        return True

    def write(self, run: MarginRun) -> None:
        """Keep what was held back, and have somebody look at it until it is issued."""
        with refusals():
            HeldCall.objects.bulk_create(self.rows)
        asked = Task.objects.filter(
            kind=Task.Kind.SWITCH, closed_at=None, key__startswith=f"{KEY}:"
        )
        if not self.rows and not asked.exists():
            return
        held = held_calls().values_list("result__scope__bucket__account__legal_entity", "amount")
        amounts: dict[int, list[Decimal]] = {}
        for entity, amount in held:
            amounts.setdefault(entity, []).append(amount)
        needed = [
            self._needed(entity, amounts[entity.pk], run)
            for entity in LegalEntity.objects.filter(pk__in=set(amounts) & self.entities)
        ]
        open_tasks(needed, business_day=run.business_day, at=run.as_of)
        others = Task.objects.filter(kind=Task.Kind.SWITCH, closed_at=None).exclude(
            key__startswith=f"{KEY}:"
        )
        still = {each.key for each in needed} | set(others.values_list("key", flat=True))
        close_tasks(
            Task.Kind.SWITCH, still_needed=still, at=run.as_of,
            reason=f"Nothing is held back any more in run {run.number}",
        )  # fmt: skip

    @staticmethod
    def _needed(entity: LegalEntity, amounts: Sequence[Decimal], run: MarginRun) -> Needed:
        total = grouped(sum(amounts, Decimal(0)), decimals=2)
        return Needed(
            kind=Task.Kind.SWITCH,
            key=f"{KEY}:{entity.code}:calls",
            subject=f"{entity.code}: margin calls are held back",
            detail=f"Automatic calls are stopped. Run {run.number} held back {len(amounts)}, of"
            f" {total} together. Look at them; the first run after the stop issues them.",
            due_at=run.as_of + DUE_FOR,
            owner_role=RISK,
        )


def held_calls() -> "QuerySet[HeldCall]":
    """What is held back now: by the newest result of each scope."""
    runs = standing_runs()
    if runs.whole is None:
        return HeldCall.objects.none()
    of_runs = HeldCall.objects.filter(result__run__in=[runs.whole, *runs.since])
    if not of_runs.exists():
        return of_runs
    return of_runs.filter(result__in=runs.results())


def must_be_issued() -> bool:
    """Whether something was held back that nothing holds any more; a run of all issues it."""
    held = held_calls()
    if not held.exists():
        return False
    stopped = stopped_entities(Switch.What.CALLS)
    account = "result__scope__bucket__account"
    return held.exclude(**{f"{account}__legal_entity__in": stopped}).exists()
