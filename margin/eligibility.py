"""Who may be margined by a portfolio model: minimum equity and approved clients, by day.

A rule for a model goes before the rule for all. Where there is none, whoever's agreement names the
model may be under it. Looked at when an agreement comes to name a model, and in every run: whoever
falls short then stays under the model, flagged and as a task, because a requirement is never left
out.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Final
from uuid import UUID

from django.db import connection

from accounts.approvals import (
    AskRefusedError,
    Description,
    FieldChange,
    register_action,
    request_approval,
)
from accounts.audit import Actor, acting, refusals
from accounts.clock import shown_day
from accounts.figures import plain
from accounts.models import Approval, Client, LegalEntity, MarginAccount
from margin.engine.exact import exact
from margin.engine.hashing import content_sha256
from margin.engine.models import MODELS
from margin.known import known_at
from margin.models import ClientEligibility, EligibilityRule
from margin.parameters import next_version

RULE, CLIENT = "eligibility.rule", "eligibility.client"
EVERY_MODEL: Final = ""
BELOW_MINIMUM_EQUITY: Final = "below_minimum_equity"
CLIENT_NOT_APPROVED: Final = "client_not_approved"
FLAGS: Final = (BELOW_MINIMUM_EQUITY, CLIENT_NOT_APPROVED)


@dataclass(frozen=True, slots=True)
class Eligibility:
    """The rules of a day, as a horizon knew them.

    Attributes:
        rules: by model; under "" for every model without one of its own.
        approved: ids of clients that are approved.
        clients: by id of the account its client; the firm's own accounts have none.
    """

    rules: Mapping[str, EligibilityRule] = field(default_factory=dict)
    approved: frozenset[int] = frozenset()
    clients: Mapping[int, int] = field(default_factory=dict)

    def rule_for(self, model: str) -> EligibilityRule | None:
        return self.rules.get(model, self.rules.get(EVERY_MODEL))

    def reasons(self, model: str, *, account_id: int, equity: Decimal) -> tuple[str, ...]:
        """Why an account with so much equity may not be under a model; nothing where it may."""
        rule = self.rule_for(model)
        if rule is None:
            return ()
        found = []
        if equity < rule.minimum_equity:
            found.append(BELOW_MINIMUM_EQUITY)
        client = self.clients.get(account_id)
        if rule.needs_approved_client and client is not None and client not in self.approved:
            found.append(CLIENT_NOT_APPROVED)
        return tuple(found)

    def sha256(self) -> str:
        """The hash of the rules and of who is approved; empty where there are no rules."""
        if not self.rules:
            return ""
        return content_sha256(
            {
                "rules": [
                    (model, rule.version, rule.minimum_equity, rule.needs_approved_client)
                    for model, rule in self.rules.items()
                ],
                "approved": [(client,) for client in self.approved],
            }
        )


def eligibility_in_force(
    day: date, *, horizon_id: int | None = None, account_ids: Iterable[int] | None = None
) -> Eligibility:
    """Rules and approved clients on a day; at most three queries, one where there are no rules.

    Args:
        horizon_id: as that committed horizon knew them; as they are known now if None.
        account_ids: whose clients are asked for; all if None.
    """
    known = known_at(EligibilityRule.objects.filter(effective_from__lte=day), horizon_id)
    rules = {
        each.model: each for each in known.order_by("model", "-effective_from").distinct("model")
    }
    if not rules:
        return Eligibility()
    said = known_at(ClientEligibility.objects.filter(effective_from__lte=day), horizon_id)
    newest = said.order_by("client", "-effective_from").distinct("client")
    accounts = MarginAccount.objects.exclude(client=None)
    if account_ids is not None:
        accounts = accounts.filter(pk__in=list(account_ids))
    clients = dict(accounts.values_list("pk", "client_id"))
    held = set(clients.values())
    return Eligibility(
        rules=rules,
        approved=frozenset(
            each.client_id for each in newest if each.is_approved and each.client_id in held
        ),
        clients={account: client for account, client in clients.items() if client is not None},
    )


def ineligible(
    eligibility: Eligibility,
    *,
    accounts: Sequence[int],
    models: Sequence[str | None],
    equity: Sequence[Decimal],
) -> dict[int, tuple[str, ...]]:
    """By place of the scope why its account may not be under its model.

    Args:
        accounts: (A,) id of the account of each scope; its scopes count together.
        models: (A,) the portfolio model each is under, if any.
        equity: (A,) of each scope.
    """
    if not eligibility.rules:
        return {}
    together: dict[int, Decimal] = defaultdict(Decimal)
    with exact():
        for account, amount in zip(accounts, equity, strict=True):
            together[account] += amount
    found = {
        place: eligibility.reasons(model, account_id=account, equity=together[account])
        for place, (account, model) in enumerate(zip(accounts, models, strict=True))
        if model is not None
    }
    return {place: reasons for place, reasons in found.items() if reasons}


# ---------------------------------------------------------------- by two people


def request_rule(
    *,
    model: str,
    minimum_equity: Decimal,
    needs_approved_client: bool,
    effective_from: date,
    legal_entity: LegalEntity,
    reason: str,
    actor: Actor,
    request_id: str = "",
) -> UUID:
    """Ask that accounts need so much to be under a model, or any without a rule, from a day on.

    Raises:
        AskRefusedError: there is no such model, the equity is negative, or there is one from
            that day.
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    if model != EVERY_MODEL and model not in MODELS:
        raise AskRefusedError("model", f"Margin has no model {model}.")
    if not minimum_equity.is_finite() or minimum_equity < 0:
        raise AskRefusedError("minimum_equity", "Minimum equity is not negative.")
    rules = EligibilityRule.objects.filter(model=model)
    if rules.filter(effective_from=effective_from).exists():
        raise AskRefusedError("effective_from", "There is a rule from that day already.")
    row = {
        "model": model,
        "version": next_version(rules),
        "effective_from": effective_from.isoformat(),
        "minimum_equity": plain(minimum_equity),
        "needs_approved_client": needs_approved_client,
    }
    with acting(actor, reason=reason, request_id=request_id):
        return request_approval(
            legal_entity_id=legal_entity.pk,
            action=RULE,
            subject=f"Eligibility for {model or 'every model'}, version {row['version']}",
            payload={"row": row},
            reason=reason,
            records=("margin_eligibility:rules",),
        )


def request_client(
    *,
    client: Client,
    is_approved: bool,
    effective_from: date,
    reason: str,
    actor: Actor,
    request_id: str = "",
) -> UUID:
    """Ask that a client be approved for portfolio margin, or not any more, from a day on.

    Raises:
        AskRefusedError: something was said of the client from that day already.
        RefusedError: the maker may not ask, or nobody else could decide.
    """
    said = ClientEligibility.objects.filter(client=client)
    if said.filter(effective_from=effective_from).exists():
        raise AskRefusedError("effective_from", "The client was decided on for that day already.")
    row = {
        "client_id": client.pk,
        "version": next_version(said),
        "effective_from": effective_from.isoformat(),
        "is_approved": is_approved,
    }
    with acting(actor, reason=reason, request_id=request_id):
        return request_approval(
            legal_entity_id=client.legal_entity_id,
            action=CLIENT,
            subject=f"{client.code}: {'approved' if is_approved else 'no'} portfolio margin",
            payload={"row": row},
            reason=reason,
            records=("margin_eligibility:rules", f"accounts_client:{client.pk}"),
        )


def describe_rule(approval: Approval) -> Description:
    """What would be needed, beside what is needed now."""
    row = approval.payload["row"]
    day = date.fromisoformat(row["effective_from"])
    before = (
        EligibilityRule.objects.filter(model=row["model"], effective_from__lte=day)
        .order_by("-effective_from")
        .first()
    )
    was = ("none", "no") if before is None else _words(before)
    now = (row["minimum_equity"], "yes" if row["needs_approved_client"] else "no")
    return Description(
        headline=approval.subject,
        facts=(("From", shown_day(day, form="medium")), ("Model", row["model"] or "every model")),
        fields=(
            FieldChange("Minimum equity", was[0], now[0]),
            FieldChange("Client is approved", was[1], now[1]),
        ),
        note="Accounts that fall short stay under their model, flagged in every run.",
    )


def _words(rule: EligibilityRule) -> tuple[str, str]:
    return plain(rule.minimum_equity), "yes" if rule.needs_approved_client else "no"


def describe_client(approval: Approval) -> Description:
    """Whether the client is approved, and would be."""
    row = approval.payload["row"]
    day = date.fromisoformat(row["effective_from"])
    client = Client.objects.get(pk=row["client_id"])
    before = (
        ClientEligibility.objects.filter(client=client, effective_from__lte=day)
        .order_by("-effective_from")
        .first()
    )
    was = "yes" if before is not None and before.is_approved else "no"
    return Description(
        headline=approval.subject,
        facts=(("From", shown_day(day, form="medium")), ("Client", client.code)),
        fields=(FieldChange("Approved", was, "yes" if row["is_approved"] else "no"),),
    )


def apply_rule(approval: Approval) -> None:
    """Set the rule; call inside an act."""
    _spend("SELECT margin.set_eligibility(%s)", approval)


def apply_client(approval: Approval) -> None:
    """Let the client be approved, or not; call inside an act."""
    _spend("SELECT margin.approve_client(%s)", approval)


def _spend(statement: str, approval: Approval) -> None:
    with refusals(), connection.cursor() as cursor:
        cursor.execute(statement, [approval.pk])


def register() -> None:
    """Say how these requests are shown and applied."""
    register_action(RULE, describe=describe_rule, apply=apply_rule)
    register_action(CLIENT, describe=describe_client, apply=apply_client)
