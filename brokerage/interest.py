"""Interest of all legal entities, as the command and the nightly job run it."""

from collections.abc import Callable
from datetime import date
from typing import Any

from accounts.audit import Actor
from accounts.models import LegalEntity
from brokerage.models import BusinessDay
from ledger.accrual import accrue, exact_amount, preview
from ledger.models import LedgerAccount, RateCurve
from ledger.posting import plain
from margin.repayments import repay_from_free_money

Report = Callable[[int, int, str], None]


def firms_with_rates() -> list[LegalEntity]:
    """Legal entities that have a rate curve."""
    curves = RateCurve.objects.values("legal_entity_id")
    return list(LegalEntity.objects.filter(pk__in=curves).order_by("code"))


def accrue_all(
    *, on: date, actor: Actor | None = None, report: Report | None = None
) -> dict[str, Any]:
    """Accrue and post interest up to a date; see `ledger.accrual.accrue`."""
    firms = []
    for firm in firms_with_rates():
        who = actor or Actor.command("accrue")
        done = accrue(firm, on=on, actor=who, report=report)
        repaid = repay_from_free_money(firm, on=on, actor=who)
        firms.append(
            {
                "legal_entity": firm.code,
                "days": [day.isoformat() for day in done.days],
                "accounts": done.accounts,
                "entries": done.entries,
                "repaid": repaid,
            }
        )
    return {"on": on.isoformat(), "preview": False, "legal_entities": firms}


def preview_all(*, on: date) -> dict[str, Any]:
    """What the next day comes to, account by account; nothing moves."""
    firms = []
    for firm in firms_with_rates():
        lines = preview(firm, on=on).lines
        names = accounts_named([line.account_id for line in lines])
        firms.append(
            {
                "legal_entity": firm.code,
                "days": [on.isoformat()],
                "accounts": len(lines),
                "entries": sum(line.due != 0 for line in lines),
                "accruals": [
                    names[line.account_id]
                    | {
                        "base": plain(line.base),
                        "rate": plain(line.rate),
                        "accrued": exact_amount(line.numerator),
                        "due": plain(line.due),
                    }
                    for line in lines
                ],
            }
        )
    return {"on": on.isoformat(), "preview": True, "legal_entities": firms}


def accounts_named(ids: list[int]) -> dict[int, dict[str, str]]:
    """What each ledger account is called, in one query."""
    found = LedgerAccount.objects.filter(pk__in=ids).select_related(
        "margin_account", "bucket", "asset"
    )
    return {
        account.pk: {
            "account": account.margin_account.code if account.margin_account else "",
            "bucket": account.bucket.code if account.bucket else "",
            "asset": account.asset.code,
            "class": account.account_class,
        }
        for account in found
    }


def newest_day_over() -> date | None:
    """The newest business day whose cycle is done; its night may be accrued."""
    return (
        BusinessDay.objects.filter(closed_at__isnull=False)
        .order_by("-day")
        .values_list("day", flat=True)
        .first()
    )
