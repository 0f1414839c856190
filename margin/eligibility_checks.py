"""Eligibility where it counts: when agreements come to name a model, and after every run."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from django.db.models import Sum

from accounts.agreed_terms import terms_in_force
from accounts.agreement_checks import SignatureLook
from accounts.models import Agreement, MarginAccount
from margin.eligibility import (
    BELOW_MINIMUM_EQUITY,
    CLIENT_NOT_APPROVED,
    FLAGS,
    Eligibility,
    eligibility_in_force,
)
from margin.engine.house_rules import MODEL as HOUSE_RULES
from margin.models import MarginResult, MarginRun, Task
from margin.standing_results import standing_results
from margin.worklist import RISK, Needed

DUE_FOR: Final = timedelta(hours=8)
ACCOUNTS_NAMED: Final = 5
WORDS: Final = {
    BELOW_MINIMUM_EQUITY: "its equity is below the minimum",
    CLIENT_NOT_APPROVED: "its client is not approved",
}


def check_terms(row: Mapping[str, Any]) -> list[str]:
    """Which accounts of an agreement may not be under the portfolio model its new terms name."""
    if row["model"] == HOUSE_RULES or "agreement" not in row:
        return []
    day = date.fromisoformat(str(row["effective_from"]))
    signed = [
        account
        for account, terms in terms_in_force(day).items()
        if (terms.agreement.code, terms.agreement.legal_entity_id)
        == (row["agreement"], row["legal_entity"])
    ]
    return wrong_accounts(signed, model=str(row["model"]), day=day)


def look_at_signature(account: MarginAccount, agreement: Agreement, day: date) -> SignatureLook:
    """Whether an account may be under the model that an agreement names on a day."""
    terms = agreement.versions.filter(effective_from__lte=day).order_by("-effective_from").first()
    if terms is None or terms.model == HOUSE_RULES:
        return SignatureLook(None)
    wrong = wrong_accounts([account.pk], model=terms.model, day=day)
    return SignatureLook(("account_is_eligible", wrong[0]) if wrong else None)


def wrong_accounts(account_ids: Iterable[int], *, model: str, day: date) -> list[str]:
    """A sentence for each of the first accounts that may not be under a model, with why."""
    ids = sorted(account_ids)
    eligibility = eligibility_in_force(day, account_ids=ids)
    if eligibility.rule_for(model) is None or not ids:
        return []
    equity = _newest_equity(ids)
    codes = dict(MarginAccount.objects.filter(pk__in=ids).values_list("pk", "code"))
    wrong = [
        f"{codes[pk]} may not be under {model}: {_why(eligibility, model, reasons)}."
        for pk in ids
        if (reasons := eligibility.reasons(model, account_id=pk, equity=equity.get(pk, Decimal(0))))
    ]
    more = len(wrong) - ACCOUNTS_NAMED
    return wrong[:ACCOUNTS_NAMED] + ([f"So it is of {more} more accounts."] if more > 0 else [])


def eligibility_tasks(run: MarginRun, results: Iterable[MarginResult]) -> Iterator[Needed]:
    """A task for every scope whose account a run found not to be eligible for its model."""
    for result in results:
        reasons = [flag for flag in FLAGS if flag in result.flags]
        bucket = result.scope.bucket if reasons else None
        if bucket is None:
            continue
        terms = result.agreement_version
        yield Needed(
            kind=Task.Kind.ELIGIBILITY,
            key=f"scope:{bucket.account.code}:{bucket.code}",
            subject=f"{bucket.account.code} {bucket.code} is not eligible for {terms.model}",
            detail=f"It is margined by {terms.model} {terms.parameters}, but"
            f" {' and '.join(WORDS[flag] for flag in reasons)}. It stays so until its agreement"
            " is changed or the rule is met.",
            due_at=run.as_of + DUE_FOR,
            owner_role=RISK,
            scope=result.scope,
        )


def _newest_equity(account_ids: list[int]) -> dict[int, Decimal]:
    """By account its equity in the newest run; an account that no run computed has none."""
    found = standing_results().filter(scope__bucket__account__in=account_ids)
    return dict(found.values_list("scope__bucket__account").annotate(total=Sum("equity")))


def _why(eligibility: Eligibility, model: str, reasons: Iterable[str]) -> str:
    rule = eligibility.rule_for(model)
    assert rule is not None, "who falls short falls short of a rule"
    said = [
        f"{WORDS[flag]} {rule.minimum_equity:,.2f}" if flag == BELOW_MINIMUM_EQUITY else WORDS[flag]
        for flag in reasons
    ]
    return " and ".join(said)
