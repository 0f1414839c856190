"""The terms of calls by agreement: versions with a first day, set by two people."""

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from accounts.approvals import (
    AskRefusedError,
    Description,
    FieldChange,
    register_action,
    request_approval,
    spend,
)
from accounts.audit import Actor, acting
from accounts.models import Agreement, Approval, LegalEntity
from ledger.models import Asset
from margin.engine.call_terms import HOUSE, CallRules, read_rules, written_rules
from margin.engine.rejected import RejectedInputError
from margin.market.rules import calendars_in_force
from margin.models import CallTerms, MarginCall
from margin.models.market import BASE

SET_TERMS: Final = "call.terms"


class CallTermsBook:
    """The terms of all agreements, read once.

    Args:
        agreements: only of these; of all if None.
    """

    def __init__(self, agreements: Iterable[int] | None = None) -> None:
        rows = CallTerms.objects.order_by("-effective_from", "-version")
        if agreements is not None:
            rows = rows.filter(agreement__in=set(agreements))
        self._rows: dict[int, list[tuple[date, CallRules]]] = {}
        for row in rows:
            found = (row.effective_from, read_rules(row.values))
            self._rows.setdefault(row.agreement_id, []).append(found)

    @property
    def agreements(self) -> list[int]:
        """Agreements with terms of their own."""
        return sorted(self._rows)

    @property
    def is_of_the_house(self) -> bool:
        """Whether none of the agreements has terms of its own."""
        return not self._rows

    def of(self, agreement_id: int, *, day: date) -> CallRules:
        """The terms in force on a day; the rules of the house where there are none."""
        rows = self._rows.get(agreement_id, ())
        return next((rules for begins, rules in rows if begins <= day), HOUSE)

    def of_call(self, call: MarginCall) -> CallRules:
        """The terms that a call was made under; its first result and version are read already."""
        agreement = call.first_result.agreement_version.agreement_id
        return self.of(agreement, day=call.business_day)


def rules_of(call: MarginCall) -> CallRules:
    """The terms that one call was made under."""
    agreement = call.first_result.agreement_version.agreement_id
    return CallTermsBook([agreement]).of(agreement, day=call.business_day)


def request_call_terms(
    *,
    legal_entity: LegalEntity,
    agreement: Agreement,
    effective_from: date,
    values: Mapping[str, Any],
    reason: str,
    actor: Actor,
    request_id: str = "",
) -> UUID:
    """Ask that the calls of an agreement have other terms from a day on.

    Args:
        values: as `read_rules` takes them; what is left out is as the house does it.

    Raises:
        AskRefusedError: a term is unknown or out of its bounds, or names what is not there.
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    try:
        rules = read_rules(values)
    except RejectedInputError as wrong:
        raise AskRefusedError(str(wrong).partition(":")[0], str(wrong)) from wrong
    _check_moves(rules, day=effective_from)
    newest = CallTerms.objects.filter(agreement=agreement).order_by("-version").first()
    row = {
        "agreement_id": agreement.pk,
        "version": 1 if newest is None else newest.version + 1,
        "effective_from": effective_from.isoformat(),
        "values": written_rules(rules),
    }
    with acting(actor, reason=reason, request_id=request_id):
        return request_approval(
            legal_entity_id=legal_entity.pk,
            action=SET_TERMS,
            subject=f"Calls of {agreement.code}, version {row['version']}",
            payload={"row": row},
            reason=reason,
            records=(f"accounts_agreement:{agreement.pk}",),
        )


def _check_moves(rules: CallRules, *, day: date) -> None:
    """What levels follow is there."""
    calendar, code = rules.session_calendar, rules.volatility_asset
    if calendar and calendar not in calendars_in_force(day):
        raise AskRefusedError("session_calendar", f"There is no calendar {calendar} on that day.")
    if code and (code == BASE or not Asset.objects.filter(code=code).exists()):
        raise AskRefusedError("volatility_asset", f"{code} is nothing that has a mark.")


def shown(value: object) -> str:
    """A term as people read it."""
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def describe_terms(approval: Approval) -> Description:
    """The terms before and after; those that stay are left out."""
    row = approval.payload["row"]
    agreement = Agreement.objects.get(pk=row["agreement_id"])
    day = date.fromisoformat(row["effective_from"])
    before = CallTermsBook([agreement.pk]).of(agreement.pk, day=day)
    after = read_rules(row["values"])
    changes = [
        FieldChange(name.replace("_", " ").capitalize(), was, now)
        for name in written_rules(after)
        if (was := shown(getattr(before, name))) != (now := shown(getattr(after, name)))
    ]
    return Description(
        headline=approval.subject,
        facts=(("From", row["effective_from"]),),
        fields=tuple(changes),
        note="Calls that are open keep the terms under which they were made. Runs of before keep"
        " the levels that they used.",
    )


def set_terms(approval: Approval) -> None:
    """Set the terms; call inside an act."""
    spend("SELECT margin.set_call_terms(%s)", approval)


def register() -> None:
    """Say how these requests are shown and applied."""
    register_action(SET_TERMS, describe=describe_terms, apply=set_terms)
