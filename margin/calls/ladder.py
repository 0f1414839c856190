"""The ladder of each agreement: notice, call, close only, liquidate; each fires once a crossing.

An agreement without terms of calls, or with neither a notice nor a close-only level, has no ladder
beside the levels of its runs.
"""

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Final

from accounts.bulk import copy_rows
from accounts.figures import WIDE
from accounts.models import AgreementVersion
from margin.calls.terms import CallTermsBook
from margin.engine.call_levels import DROPPED, crossings
from margin.engine.call_terms import CallRules, read_rules
from margin.engine.exact import ZERO, exact
from margin.levels import levels_words
from margin.models import LevelEvent, MarginResult, MarginRun, Task, TaskEvent
from margin.worklist import RISK, Needed, open_tasks

Level = LevelEvent.Level
DUE_FOR: Final = timedelta(hours=1)
RATIO_DECIMALS: Final = Decimal("0.00000001")


def levels_of_agreement(
    version: AgreementVersion, rules: CallRules, *, addition: Decimal = ZERO
) -> dict[str, Decimal]:
    """The levels, times maintenance margin; empty without a ladder.

    Args:
        addition: how far a run moved all of them.
    """
    if rules.notice_level is None and rules.close_only_level is None:
        return {}
    said = {
        Level.NOTICE.value: rules.notice_level,
        Level.CALL.value: version.call_level,
        Level.CLOSE_ONLY.value: rules.close_only_level,
        Level.LIQUIDATE.value: version.liquidation_level,
    }
    with exact():
        return {name: level + addition for name, level in said.items() if level is not None}


def settle_levels(run: MarginRun) -> int:
    """Write down which levels the scopes of a run crossed; how many. Call inside an act."""
    book = CallTermsBook()
    if book.is_of_the_house:
        return 0
    results = list(
        MarginResult.objects.filter(
            run=run, agreement_version__agreement__in=book.agreements
        ).select_related("agreement_version", "moved__call_terms", "scope__bucket__account")
    )
    standing = below_levels([each.scope_id for each in results])
    events: list[LevelEvent] = []
    moved: dict[int, str] = {}
    for result in results:
        rules = book.of(result.agreement_version.agreement_id, day=run.business_day)
        addition = ZERO
        if result.moved is not None:  # by the terms that the run knew
            rules, addition = read_rules(result.moved.call_terms.values), result.moved.addition
            moved[result.scope_id] = f" Levels: {levels_words(result)}."
        levels = levels_of_agreement(result.agreement_version, rules, addition=addition)
        for each in crossings(
            result.equity, result.maintenance_margin, levels=levels,
            below=standing.get(result.scope_id, set()), band=rules.hysteresis,
        ):  # fmt: skip
            event = LevelEvent(
                scope=result.scope, run=run, level=each.level, way=each.way, ratio=_ratio(result)
            )
            events.append(event)
    copy_rows(events)
    _ask(run, events, moved)
    return len(events)


def below_levels(scopes: list[int]) -> Mapping[int, set[str]]:
    """The levels that scopes are below now, by scope."""
    newest = (
        LevelEvent.objects.filter(scope__in=scopes)
        .order_by("scope_id", "level", "-pk")
        .distinct("scope_id", "level")
    )
    found: dict[int, set[str]] = {}
    for event in newest:
        if event.way == DROPPED:
            found.setdefault(event.scope_id, set()).add(event.level)
    return found


def _ratio(result: MarginResult) -> Decimal | None:
    if not result.maintenance_margin:
        return None
    return WIDE.quantize(WIDE.divide(result.equity, result.maintenance_margin), RATIO_DECIMALS)


def _ask(run: MarginRun, events: list[LevelEvent], moved: Mapping[int, str]) -> None:
    """Somebody of risk gets each scope that may only close, until it is restored.

    Args:
        moved: the levels of scopes whose levels move, in words.
    """
    closing = [event for event in events if event.level == Level.CLOSE_ONLY]
    needed = []
    for event in closing:
        bucket = event.scope.bucket
        assert bucket is not None, "runs compute buckets"
        if event.way == DROPPED:
            needed.append(
                Needed(
                    kind=Task.Kind.CALL, key=_key(event),
                    subject=f"{bucket.account.code} {bucket.code} may only close",
                    detail=f"Equity is {event.ratio} of maintenance margin. Nothing more is to be"
                    f" opened before the level is restored.{moved.get(event.scope_id, '')}",
                    due_at=run.as_of + DUE_FOR, owner_role=RISK, scope=event.scope,
                )
            )  # fmt: skip
    open_tasks(needed, business_day=run.business_day, at=run.as_of)
    restored = [_key(event) for event in closing if event.way != DROPPED]
    over = list(Task.objects.filter(key__in=restored, closed_at__isnull=True)) if restored else []
    reason = f"The level is restored in run {run.number}"
    Task.objects.filter(pk__in=[task.pk for task in over]).update(
        closed_at=run.as_of, close_reason=reason
    )
    copy_rows(
        [TaskEvent(task=task, event="closed", text=reason, occurred_at=run.as_of) for task in over]
    )


def _key(event: LevelEvent) -> str:
    return f"call:scope-{event.scope_id}:close-only"
