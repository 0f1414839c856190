"""Calls of accounts that are margined as a group: made on the group, and on no member any more."""

from accounts.groups import any_margined, pooled_buckets
from margin.book.rows import known_of
from margin.calls.acts import become
from margin.models import MarginCall, MarginRun

JOINED = "joined_group"
State = MarginCall.State


def end_of_members(run: MarginRun) -> int:
    """End the open calls of scopes that a group stands for in a run; inside the act of the run.

    What such a scope lacks is asked of its group from now on. An initial call stays: it is met by
    what comes in, whoever margins it. A draft is its author's, and a liquidation that has begun
    is ended by whoever carries it out.
    """
    if not any_margined():
        return 0
    pooled = pooled_buckets(run.business_day, known=known_of(run.horizon_id))
    calls = (
        MarginCall.objects.open()
        .exclude(state__in=(State.DRAFT, State.LIQUIDATING))
        .filter(scope__bucket__in=pooled, kind=MarginCall.Kind.MAINTENANCE)
        .select_for_update()
        .order_by("pk")
    )
    ended = 0
    for call in calls:
        if call.state == State.UNDELIVERED:
            call = become(
                call, State.ESCALATED, at=run.as_of, text="It ends without reaching the client."
            )
        become(
            call, State.CANCELLED, at=run.as_of, text="The account is margined with its group.",
            ended_at=run.as_of, end_reason=JOINED,
        )  # fmt: skip
        ended += 1
    return ended
