"""Initial (Reg T) calls: drafted and issued by people, due by the payment period of the trade.

A deficiency up to the threshold makes none. An initial call is met by what is paid in and by
nothing else: a price that comes back does not cancel it.
"""

from datetime import date
from decimal import Decimal

from django.db.models.functions import Length
from django.utils import timezone

from accounts.audit import Actor, acting, refusals
from accounts.models import Scope
from margin.calls.terms import CallTermsBook
from margin.engine.call_terms import initial_call, initial_due_time
from margin.models import CallEvent, MarginCall, MarginResult


class NoCallError(Exception):
    """Nothing is called; the message says why, in one sentence."""


def draft_initial_call(
    scope: Scope,
    *,
    deficiency: Decimal,
    trade_day: date,
    reason: str,
    actor: Actor,
    request_id: str = "",
) -> MarginCall:
    """Draft the call for what trades of a day lack of initial margin; issuing it is an act.

    Args:
        deficiency: in the currency of the agreement.
        trade_day: from which the payment period runs.

    Raises:
        NoCallError: the deficiency is within the threshold, or no run knows the scope.
        RefusedError: `margin_call_one_open_per_scope`: there is one already; nothing was drafted.
    """
    result = (
        MarginResult.objects.filter(scope=scope)
        .select_related("agreement_version", "run")
        .order_by("-run__as_of", "-run")
        .first()
    )
    if result is None:
        raise NoCallError("No run knows this scope.")
    version = result.agreement_version
    rules = CallTermsBook([version.agreement_id]).of(version.agreement_id, day=trade_day)
    amount = initial_call(deficiency, rules)
    if not amount:
        raise NoCallError(
            f"A deficiency up to {rules.initial_ignored_up_to:,.2f} {version.currency} is not"
            " called."
        )
    now = timezone.now()
    with acting(actor, reason=reason, request_id=request_id), refusals():
        call = MarginCall.objects.create(
            number=_next_number(trade_day),
            scope=scope,
            kind=MarginCall.Kind.INITIAL,
            state=MarginCall.State.DRAFT,
            amount=amount,
            currency=version.currency,
            business_day=trade_day,
            issued_at=now,
            due_at=initial_due_time(trade_day, rules),
            first_result=result,
            last_result=result,
        )
        CallEvent.objects.create(
            call=call, event="drafted", to_state=MarginCall.State.DRAFT, occurred_at=now,
            amount_after=amount, text=reason,
        )  # fmt: skip
    return call


def _next_number(day: date) -> str:
    prefix = f"RT-{day:%y%m%d}-"
    numbers = MarginCall.objects.filter(number__startswith=prefix).order_by(
        Length("number").desc(), "-number"
    )
    last = numbers.values_list("number", flat=True).first()
    return f"{prefix}{int(last.removeprefix(prefix)) + 1 if last else 1:04d}"
