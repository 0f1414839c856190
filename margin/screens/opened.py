"""What is opened of a scope besides its totals: the ratio, what may leave, and the loan."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from django.db.models import Count, Sum
from django.http import HttpRequest
from django.urls import reverse

from accounts.explanation import Explanation, Fact, Made, Part, Source
from accounts.explanation import exact_sum as sum_of
from accounts.figures import WIDE, grouped
from accounts.models import Bucket
from ledger.models import AccountClass, Asset, LedgerAccount, Posting
from margin.engine.components import OF_MONEY, TOTALS
from margin.engine.explain import TOTAL_LABELS
from margin.explanation import stored_parts
from margin.free import FreeAmount, free_amount
from margin.holding import newest_gate
from margin.levels import equity_share, missing
from margin.market.marks import BASE
from margin.models import MarginResult
from margin.screens.drawer import (
    AVAILABLE,
    LOAN,
    SHARE,
    Question,
    about,
    drawer,
    facts_of,
    leaf,
    parts_of,
    questions,
)
from margin.screens.drawer_links import account_address, line_address

# Of a loan so many postings are listed; what came before is a sum for each kind.
POSTINGS_SHOWN: Final = 40
# How the limits of what may leave are called; their rules' names stand beside.
TERM_WORDS: Final[Mapping[str, str]] = {
    "claim": "What the bucket has",
    "bucket_rule": "Rule of the bucket",
    "pledged": "Not pledged",
    "settled": "Settled in the pool",
    "initial_margin": "Beyond initial margin",
    "group_headroom": "Beyond what linked accounts need",
    "block": "Block",
    "shortfall": "Client money is short",
    "price": "Price",
}


def opened(
    request: HttpRequest, result: MarginResult, asked: str, *, close: str, unit: str, **others: str
) -> Explanation | None:
    """The explanation that the address asks for; None where it asks for nothing there is.

    Args:
        close: address of the page without the drawer.
        others: what else of the address names the scope; see `questions`.
    """
    if asked in TOTALS:
        link = request.get_full_path()
        return drawer(result, asked, close=close, link=link, unit=unit)
    if asked == SHARE:
        return share_opened(result, close=close)
    if asked == AVAILABLE:
        return available_opened(result, ask=questions(request, **others), close=close, unit=unit)
    return loan_opened(result, close=close, unit=unit) if asked == LOAN else None


# ---------------------------------------------------------------- the ratio


def share_opened(result: MarginResult, *, close: str) -> Explanation | None:
    """Equity as part of initial margin: both numbers, each down to its leaves."""
    share = equity_share(result)
    if share is None:
        return None
    both = tuple(
        Part(TOTAL_LABELS[total], getattr(result, total), parts=parts_of(result, total)[0])
        for total in ("equity", "initial_margin")
    )
    return Explanation(
        question=f"Why equity is {grouped(share * 100, decimals=1)}\N{NO-BREAK SPACE}% of initial"
        " margin",
        about=about(result),
        total=share,
        unit="",
        parts=both,
        close=close,
        facts=facts_of(result),
        made=Made.QUOTIENT,
    )


# ---------------------------------------------------------------- what may leave


def available_opened(
    result: MarginResult, *, ask: Mapping[str, Question], close: str, unit: str
) -> Explanation:
    """The least of what is beyond initial margin and the money there is, as of the run.

    Beside it stand the terms by which a withdrawal that is asked for now would be decided.
    """
    of_money = [part for part in stored_parts(result) if part.component.kind in OF_MONEY]
    day = result.run.business_day
    leaves = tuple(leaf(part, day=day, result=result) for part in of_money)
    spare = Part(
        "Equity beyond initial margin",
        -missing(result),
        parts=(
            Part("Equity", result.equity, sources=(opens(ask["equity"]),)),
            Part(
                "Less initial margin",
                result.initial_margin.copy_negate(),
                sources=(opens(ask["initial_margin"]),),
            ),
        ),
    )
    terms = (spare, Part("Money, as it counts", sum_of(leaves), parts=leaves))
    amount = max(Decimal(0), min(term.amount for term in terms))
    title, now = asked_now(result)
    return Explanation(
        question=f"Why {grouped(amount, decimals=2)} {unit} are available to withdraw",
        about=about(result),
        total=amount,
        unit=unit,
        parts=terms,
        close=close,
        facts=facts_of(result),
        made=Made.LEAST,
        beside_title=title,
        beside=now,
    )


def opens(question: Question) -> Source:
    """The way to another number's own explanation."""
    return Source("Opens", "down to its parts", question.address)


def asked_now(result: MarginResult) -> tuple[str, tuple[Part, ...]]:
    """What a withdrawal asked for now would meet: a title with the amount, and every term."""
    own = Bucket.objects.filter(scope=result.scope_id)
    bucket = own.select_related("account__client", "account__legal_entity").get()
    free = free_amount(bucket, Asset.objects.get(code=BASE), gate=newest_gate())
    title = (
        f"Asked for now, at the newest marks: {grouped(free.amount, decimals=2)} {BASE}, "
        f"by “{term_words(free.binding.name)}”"
    )
    return title, terms_of(free)


def terms_of(free: FreeAmount) -> tuple[Part, ...]:
    """The terms of the gate, the one that binds marked."""
    return tuple(
        Part(
            f"{term_words(term.name)}{' · binds' if term is free.binding else ''}",
            term.amount,
            how=term.why,
        )
        for term in free.terms
    )


def term_words(name: str) -> str:
    """A term for people."""
    return TERM_WORDS.get(name, name.replace("_", " ").capitalize())


# ---------------------------------------------------------------- the loan


def loan_opened(result: MarginResult, *, close: str, unit: str) -> Explanation | None:
    """What is owed now, by kind of entry, the newest postings one by one."""
    account = (
        LedgerAccount.objects.filter(
            bucket=result.scope.bucket_id, account_class=AccountClass.LOAN_RECEIVABLE
        )
        .select_related("balance", "asset")
        .first()
    )
    if account is None or not account.balance.amount:
        return None
    amount = account.balance.amount
    bucket = result.scope.bucket
    assert bucket is not None, "loans hang on a bucket"
    return Explanation(
        question=f"Why the loan is {grouped(amount, decimals=2)} {unit}",
        about=f"Scope {bucket.account.code} {bucket.code} · the book as it is now",
        total=amount,
        unit=unit,
        parts=parts_of_loan(account, result),
        close=close,
        facts=(
            Fact("Interest", "day by day", reverse("ledger:interest", args=[account.pk])),
            Fact(
                "Statement",
                f"{bucket.account.code}, every line",
                f"{account_address(result)}?tab=statement&bucket={bucket.code}",
            ),
        ),
    )


def parts_of_loan(account: LedgerAccount, result: MarginResult) -> tuple[Part, ...]:
    """Lent, repaid, interest: each with its newest postings; two queries."""
    postings = Posting.objects.filter(account=account)
    newest = list(postings.select_related("entry__kind").order_by("-account_seq")[:POSTINGS_SHOWN])
    by_kind = postings.values("entry__kind", "entry__kind__title").annotate(
        total=Sum("amount"), n=Count("account_seq")
    )
    found = []
    for kind in by_kind.order_by("entry__kind__title"):
        leaves = [
            Part(
                posting.entry.narrative or posting.entry.reference,
                posting.amount,
                sources=(Source("Entry", posting.entry.reference, line_address(posting, result)),),
            )
            for posting in newest
            if posting.entry.kind_id == kind["entry__kind"]
        ]
        left = kind["n"] - len(leaves)
        if left:
            rest = WIDE.subtract(kind["total"], sum_of(leaves))
            leaves.append(Part(f"{grouped(left)} before that", rest))
        found.append(Part(kind["entry__kind__title"], kind["total"], parts=tuple(leaves)))
    return tuple(found)
