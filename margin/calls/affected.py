"""Which calls a restated run would have made otherwise, and by how much."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from django.db import models
from django.db.models import Q

from accounts.models import Scope
from margin.calls.settling import amount_called
from margin.models import CallDecision, CallEvent, MarginCall, MarginResult, MarginRun
from margin.run_rows import INCREMENTAL


class Effect(models.TextChoices):
    """What the restated run says of a call that the original made, kept or left out."""

    NOT_MADE = "not_made", "Would not have been made"
    SMALLER = "smaller", "Would have been smaller"
    LARGER = "larger", "Would have been larger"
    MISSING = "missing", "Should have been made"
    UNKNOWN = "unknown", "Cannot be computed any more"


@dataclass(frozen=True, slots=True)
class AffectedCall:
    """One scope of which the two runs call for something else.

    Attributes:
        call: that the original issued or found open; None where there was none.
        called: by the original; 0 where it called for nothing.
        should_be: by the restated run; None where it could not compute the scope.
        result: of the restated run, where it has one.
        decision: what was decided because of this restatement, if anything.
    """

    scope: Scope
    call: MarginCall | None
    called: Decimal
    should_be: Decimal | None
    result: MarginResult | None
    decision: CallDecision | None

    @property
    def effect(self) -> Effect:
        if self.should_be is None:
            return Effect.UNKNOWN
        if not self.should_be:
            return Effect.NOT_MADE
        if not self.called:
            return Effect.MISSING
        return Effect.LARGER if self.should_be > self.called else Effect.SMALLER

    @property
    def is_open(self) -> bool:
        """Whether something is still to be decided of the call."""
        return self.call is not None and self.call.state not in MarginCall.ENDED


def affected_calls(
    restated: MarginRun, *, where: Q | None = None, call: MarginCall | None = None
) -> list[AffectedCall]:
    """Every scope of which a restated run calls for another amount than its original.

    A scope with an open call is called until initial margin is there again, one without from the
    call level of its agreement on; the restated run is judged by the same rule, from the calls that
    were open when the original was settled. Ordered by account and bucket; a fixed number of
    queries.

    Args:
        restated: the run that restates.
        where: of the results that count, such as those that somebody may see.
        call: only its scope.
    """
    original = restated.restates
    assert original is not None, "the run restates another"
    stood = _open_before(original)
    made = {each.scope_id: each for each in _calls().filter(first_result__run=original)}
    named = Q(scope__in=[*stood, *made]) | Q(call_amount__gt=0)
    if call is not None:
        named &= Q(scope=call.scope_id)
    if original.purpose == INCREMENTAL:
        # Its restatement speaks of everybody; a call that it did not settle is none of its own.
        named &= Q(scope__in=original.results.values("scope"))
    before = _results(original, named, where=where)
    after = _results(restated, named | Q(scope__in=list(before)), where=where)
    before |= _results(original, Q(scope__in=[key for key in after if key not in before]))
    decided = {each.call_id: each for each in CallDecision.objects.filter(run=restated)}
    found = []
    for scope_id, results in _pairs(before, after).items():
        was, now = results
        found_call = stood.get(scope_id) or made.get(scope_id)
        is_open = scope_id in stood
        affected = AffectedCall(
            scope=(now or was).scope,  # type: ignore[union-attr]
            call=found_call,
            called=_called(was, found_call, is_open=is_open),
            should_be=None if now is None else amount_called(now, is_open=is_open),
            result=now,
            decision=None if found_call is None else decided.get(found_call.pk),
        )
        if affected.should_be != affected.called:
            found.append(affected)
    return sorted(found, key=_name)


def _called(was: MarginResult | None, call: MarginCall | None, *, is_open: bool) -> Decimal:
    """What the original called for; an open call of a scope it could not compute stayed."""
    if was is not None:
        return amount_called(was, is_open=is_open)
    return call.amount if is_open and call is not None else Decimal(0)


def _pairs(
    before: Mapping[int, MarginResult], after: Mapping[int, MarginResult]
) -> dict[int, tuple[MarginResult | None, MarginResult | None]]:
    return {key: (before.get(key), after.get(key)) for key in [*before, *after]}


def _name(affected: AffectedCall) -> tuple[str, str]:
    bucket = affected.scope.bucket
    assert bucket is not None, "runs compute buckets"
    return bucket.account.code, bucket.code


def _results(run: MarginRun, named: Q, *, where: Q | None = None) -> dict[int, MarginResult]:
    rows = MarginResult.objects.filter(named, where or Q(), run=run)
    return {
        row.scope_id: row
        for row in rows.select_related("scope__bucket__account", "agreement_version")
    }


def _calls() -> "models.QuerySet[MarginCall]":
    """Of maintenance: an initial call rests on trades, not on the run that knew its scope."""
    of_runs = MarginCall.objects.filter(kind=MarginCall.Kind.MAINTENANCE)
    return of_runs.select_related("first_result", "last_result__run")


def _open_before(original: MarginRun) -> dict[int, MarginCall]:
    """The calls that were open, by scope, when a run's results were settled."""
    earlier = _calls().filter(first_result__run__lt=original)
    ended = {
        event.call_id: event
        for event in CallEvent.objects.filter(
            call__in=earlier.filter(state__in=MarginCall.ENDED), to_state__in=MarginCall.ENDED
        )
        .order_by("call_id", "pk")
        .distinct("call_id")
    }
    return {
        call.scope_id: call
        for call in earlier
        if call.pk not in ended or ended[call.pk].xid > original.xid
    }
