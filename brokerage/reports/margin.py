"""Margin reports: the calls of a day, and the record of required margin and how it was met."""

from collections.abc import Iterator
from decimal import Decimal

from brokerage.reports.report import DayReading, Report, Row, newest_run
from ledger.times import as_known, known
from margin.models import CallEvent, MarginCall, MarginResult

CALL_COLUMNS = (
    "call",
    "account",
    "bucket",
    "client",
    "kind",
    "state",
    "amount",
    "currency",
    "issued_at",
    "due_at",
    "equity",
    "initial_margin",
    "maintenance_margin",
    "margin_state",
    "ended_at",
    "end_reason",
)
RECORD_COLUMNS = (
    "account",
    "bucket",
    "client",
    "agreement",
    "agreement_version",
    "equity",
    "initial_margin",
    "maintenance_margin",
    "excess",
    "state",
    "call_amount",
    "flags",
    "call",
    "required_on",
    "due_at",
    "manner",
    "met_at",
)


def _states_by_close(reading: DayReading) -> dict[int, CallEvent]:
    """The last event of every call up to the as-of instant."""
    events = (
        known(CallEvent.objects.all(), reading.point)
        .filter(occurred_at__lte=reading.business_day.as_of)
        .order_by("call_id", "-occurred_at", "-pk")
        .distinct("call_id")
    )
    return {event.call_id: event for event in events}


def _calls_of_day(reading: DayReading) -> Iterator[tuple[MarginCall, CallEvent]]:
    """Calls open at the close of the day, or ended by it, with the event that left them so."""
    last = _states_by_close(reading)
    calls = (
        MarginCall.objects.filter(pk__in=last)
        .select_related("scope__bucket__account__client")
        .order_by("number")
    )
    as_of = reading.business_day.as_of
    for call in as_known(calls, reading.point):
        event = last[call.pk]
        if event.to_state == MarginCall.State.DRAFT:
            continue  # nobody owes it yet
        if event.to_state not in MarginCall.ENDED or event.occurred_at == as_of:
            yield call, event


def margin_calls(reading: DayReading) -> Iterator[Row]:
    """Every call that was open at the close, or ended that day."""
    results = {result.scope_id: result for result in _results(reading)}
    for call, event in _calls_of_day(reading):
        bucket = call.scope.bucket
        assert bucket is not None, "calls are made on buckets"
        result = results.get(call.scope_id)
        has_ended = event.to_state in MarginCall.ENDED
        yield (
            call.number,
            bucket.account.code,
            bucket.code,
            "" if bucket.account.client is None else bucket.account.client.code,
            call.kind,
            event.to_state,
            event.amount_after if event.amount_after is not None else call.amount,
            call.currency,
            call.issued_at,
            call.due_at,
            None if result is None else result.equity,
            None if result is None else result.initial_margin,
            None if result is None else result.maintenance_margin,
            None if result is None else result.state,
            event.occurred_at if has_ended else None,
            call.end_reason if has_ended else "",
        )


def _results(reading: DayReading) -> Iterator[MarginResult]:
    yield from (
        MarginResult.objects.filter(run=newest_run(reading))
        .select_related("scope__bucket__account__client", "agreement_version__agreement")
        .order_by("scope__bucket__account__code", "scope__bucket__code")
    )


def margin_record(reading: DayReading) -> Iterator[Row]:
    """Every scope's required margin, and for called ones when and how it was met (FINRA 4220)."""
    # Of a maintenance and an initial call on one scope the record names the maintenance call.
    found = sorted(_calls_of_day(reading), key=lambda each: each[0].kind == "maintenance")
    calls = {call.scope_id: (call, event) for call, event in found}
    for result in _results(reading):
        bucket = result.scope.bucket
        assert bucket is not None, "house rules compute buckets"
        call, event = calls.get(result.scope_id, (None, None))
        has_ended = event is not None and event.to_state in MarginCall.ENDED
        excess: Decimal = result.equity - result.initial_margin
        yield (
            bucket.account.code,
            bucket.code,
            "" if bucket.account.client is None else bucket.account.client.code,
            result.agreement_version.agreement.code,
            result.agreement_version.version,
            result.equity,
            result.initial_margin,
            result.maintenance_margin,
            excess,
            result.state,
            result.call_amount,
            " ".join(sorted(result.flags)),
            "" if call is None else call.number,
            None if call is None else call.business_day,
            None if call is None else call.due_at,
            "" if call is None else (call.end_reason if has_ended else "open"),
            event.occurred_at if event is not None and has_ended else None,
        )


MARGIN_CALLS = Report(
    name="margin-calls",
    title="Margin calls",
    purpose="Every call that was open at the close of the day or ended on it.",
    columns=CALL_COLUMNS,
    key=("call",),
    rows=margin_calls,
)
MARGIN_RECORD = Report(
    name="margin-record",
    title="Daily record of required margin",
    purpose="What each scope was required to have, what it had, and how a call on it was met.",
    columns=RECORD_COLUMNS,
    key=("account", "bucket"),
    rows=margin_record,
)
