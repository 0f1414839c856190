"""What calls ask for under the terms of their agreements: netted, rounded, and raised or lowered.

Under the rules of the house nothing is netted: a call asks for what the run says.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_CEILING, Decimal

from django.db.models import Sum
from django.utils import timezone

from margin.calls.disputes import given_up
from margin.calls.promises import in_transit
from margin.calls.terms import CallTermsBook
from margin.engine.call_terms import HOUSE, CallRules, amount_to_call
from margin.engine.exact import ZERO, exact, round_up
from margin.models import MarginCall, MarginResult, MarginState

CENTS = 2
CALLED = (MarginState.CALL, MarginState.LIQUIDATE, MarginState.DEFICIT)


@dataclass(frozen=True, slots=True)
class Nets:
    """What is not called again, by scope, and the terms that say whether it counts.

    Attributes:
        day: business day of the run.
        pending: what open initial calls ask for.
        in_transit: collateral announced and on its way, in the currency of the call.
        given_up: what was agreed of open calls not to be called, by call.
    """

    book: CallTermsBook
    day: date
    pending: Mapping[int, Decimal] = field(default_factory=dict)
    in_transit: Mapping[int, Decimal] = field(default_factory=dict)
    given_up: Mapping[int, Decimal] = field(default_factory=dict)

    @classmethod
    def of(
        cls, results: Iterable[MarginResult], *, calls: Mapping[int, MarginCall], day: date
    ) -> "Nets":
        """Read what is netted of these results; two queries where no agreement has terms."""
        found = list(results)
        agreements = {each.agreement_version.agreement_id for each in found}
        book = CallTermsBook(agreements)
        allowed = given_up([call.pk for call in calls.values()])
        if book.is_of_the_house:
            return cls(book, day, given_up=allowed)
        scopes = {each.scope_id for each in found} | set(calls)
        initial = MarginCall.objects.open().filter(
            scope__in=scopes, kind=MarginCall.Kind.INITIAL
        ).exclude(state=MarginCall.State.DRAFT)  # fmt: skip
        pending = initial.values_list("scope").annotate(amount=Sum("amount"))
        at = found[0].run.as_of if found else timezone.now()
        return cls(
            book, day, pending=dict(pending), in_transit=in_transit(scopes, at=at),
            given_up=allowed,
        )  # fmt: skip

    def rules(self, result: MarginResult) -> CallRules:
        """The terms of the agreement that a result is under."""
        return self.book.of(result.agreement_version.agreement_id, day=self.day)

    def new_call(self, result: MarginResult) -> Decimal:
        """What a scope without an open call is called for; 0 for nothing."""
        rules = self.rules(result)
        if rules is HOUSE or result.state not in CALLED:
            called: Decimal = result.call_amount
            return called
        with exact():
            missing = result.initial_margin - result.equity
        return amount_to_call(
            missing, rules,
            minimum=result.agreement_version.minimum_transfer_amount,
            in_transit=self.in_transit.get(result.scope_id, ZERO),
            pending=self.pending.get(result.scope_id, ZERO),
        )  # fmt: skip

    def open_call(self, call: MarginCall, result: MarginResult) -> Decimal:
        """What an open call asks for after a run: it stands until the target is there again.

        A call is raised only by what is neither on its way nor called otherwise, and lowered to
        what is missing, never below; 0 ends it.
        """
        with exact():
            missing = result.initial_margin - result.equity - self.given_up.get(call.pk, ZERO)
        if missing <= 0:
            return ZERO
        rules = self.rules(result)
        if rules is HOUSE:
            whole: Decimal = round_up(missing, CENTS)
            return whole
        return self._by_terms(call, result, missing, rules)

    def _by_terms(
        self, call: MarginCall, result: MarginResult, missing: Decimal, rules: CallRules
    ) -> Decimal:
        scope = result.scope_id
        amount: Decimal = call.amount
        pending = self.pending.get(scope, ZERO) if rules.nets_pending else ZERO
        with exact():
            net = missing - pending
            # What is on its way pays what is called already; only the rest of it nets a raise.
            spare = max(self.in_transit.get(scope, ZERO) - amount, ZERO)
            if net > amount:
                minimum = result.agreement_version.minimum_transfer_amount
                more = amount_to_call(net - amount, rules, minimum=minimum, in_transit=spare)
                return amount + more
            if net <= 0:
                return amount
            least = (net / rules.rounding).to_integral_value(ROUND_CEILING) * rules.rounding
        return min(amount, least)
