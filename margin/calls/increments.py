"""The parts of a call: what it asked for at first, and each increment with its own due time."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from accounts.bulk import copy_rows
from margin.calls.terms import CallTermsBook
from margin.engine.call_terms import Part, due_time, parts_left
from margin.models import CallIncrement, CallRelief, MarginCall, MarginResult, MarginRun


def parts_of_call(call: MarginCall) -> list[Part]:
    """The parts as they were made; more time that was given holds for all of them."""
    extended = [each.until for each in call.reliefs.filter(kind=CallRelief.Kind.EXTEND)]
    later = max((until for until in extended if until is not None), default=call.due_at)
    first = Part(0, call.amount, call.due_at)
    return [
        first,
        *(
            Part(each.number, each.amount, max(each.due_at, later) if extended else each.due_at)
            for each in call.increments.order_by("number")
        ),
    ]


def left_of(call: MarginCall) -> list[Part]:
    """What is left of each part, the oldest first."""
    return parts_left(call.amount, parts_of_call(call))


def due_now(call: MarginCall) -> datetime:
    """When the oldest part of a call that is not paid is due."""
    parts = left_of(call)
    return parts[0].due_at if parts else call.due_at


def add_increments(
    raised: Iterable[tuple[MarginCall, MarginResult, Decimal]],
    *,
    run: MarginRun,
    book: CallTermsBook,
) -> None:
    """Number the increments by which a run raised calls; call inside an act.

    Args:
        raised: call, the result that raised it with its terms read, and by how much.
    """
    wanted = list(raised)
    if not wanted:
        return
    numbers: Mapping[int, int] = _newest([call.pk for call, _, _ in wanted])
    copy_rows(
        CallIncrement(
            call=call,
            number=numbers.get(call.pk, 0) + 1,
            amount=amount,
            issued_at=run.as_of,
            due_at=due_time(
                run.as_of,
                book.of(result.agreement_version.agreement_id, day=run.business_day),
                otherwise=result.agreement_version.call_due_for,
            ),
            run=run,
        )
        for call, result, amount in wanted
    )


def _newest(calls: list[int]) -> dict[int, int]:
    rows: Any = (
        CallIncrement.objects.filter(call__in=calls)
        .order_by("call_id", "-number")
        .distinct("call_id")
        .values_list("call_id", "number")
    )
    return dict(rows)
