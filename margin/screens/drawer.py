"""The explanation of a number as the drawer shows it: parts, prices, terms, postings."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse

from accounts.clock import shown_day, shown_instant
from accounts.explanation import Explanation, Fact, Part, Source
from accounts.explanation import exact_sum as sum_of
from accounts.figures import WIDE, grouped
from accounts.states import STATES, Shown
from margin.engine.components import OF_MONEY, TOTALS, ComponentKind
from margin.engine.explain import GROUP_LABELS, TOTAL_LABELS, product
from margin.explanation import BracketInForce, StoredPart, stored_parts
from margin.models import Haircut, MarginResult, Mark

HASH_SHOWN = 6
QUESTIONS = frozenset(TOTALS)


@dataclass(frozen=True)
class Question:
    """The link that opens the explanation of a number, and whether it is open."""

    address: str
    is_open: bool


def questions(request: HttpRequest, **others: str) -> dict[str, Question]:
    """The links of a page by total; `others` go into the address beside it."""
    query = request.GET.copy()
    asked = query.get("explain", "")
    is_here = all(query.get(name) == value for name, value in others.items())
    found = {}
    for total in TOTALS:
        query["explain"] = total
        for name, value in others.items():
            query[name] = value
        found[total] = Question(
            f"{request.path}?{query.urlencode()}#explain", is_here and asked == total
        )
    return found


def without_drawer(request: HttpRequest, *others: str) -> str:
    """The page's address with the drawer closed."""
    query = request.GET.copy()
    for name in ("explain", *others):
        query.pop(name, None)
    return f"{request.path}?{query.urlencode()}" if query else request.path


def drawer(
    result: MarginResult, total: str, *, close: str, link: str = "", unit: str
) -> Explanation:
    """Why a total of a stored result is what it is. It adds the parts up itself, when drawn.

    Args:
        total: equity, initial_margin or maintenance_margin.
        close: address of the page without the drawer.
    """
    amount: Decimal = getattr(result, total)
    parts = [part for part in stored_parts(result) if part.row.total == total]
    bucket, run = result.scope.bucket, result.run
    assert bucket is not None, "house rules are computed for buckets"
    return Explanation(
        question=f"Why {TOTAL_LABELS[total].lower()} is {grouped(amount, decimals=2)} {unit}",
        about=f"Scope {bucket.account.code} {bucket.code} · as of "
        f"{shown_instant(run.as_of, form='full')}",
        total=amount,
        unit=unit,
        parts=groups(parts, day=run.business_day, result=result),
        close=close,
        link=link,
        facts=(
            Fact("Run", run.number, is_code=True),
            Fact("Model", f"{run.model} {run.model_version}"),
            Fact("Agreement", agreement_words(result)),
            Fact("Inputs", short_hash(run.inputs_sha256), is_code=True),
            Fact("Result", short_hash(run.result_sha256), is_code=True),
        ),
    )


def groups(parts: Sequence[StoredPart], *, day: date, result: MarginResult) -> tuple[Part, ...]:
    """The parts by kind, in the order of the rules."""
    found = []
    for kind in ComponentKind:
        leaves = tuple(
            leaf(part, day=day, result=result) for part in parts if part.component.kind == kind
        )
        if leaves:
            found.append(Part(GROUP_LABELS[kind], sum_of(leaves), parts=leaves))
    return tuple(found)


def leaf(part: StoredPart, *, day: date, result: MarginResult) -> Part:
    """One product with the rows its factors come from; a balance in the currency is no product."""
    is_plain = part.component.kind == ComponentKind.LOAN or not part.row.mark_id
    return Part(
        label=part.label,
        amount=part.row.amount,
        how="" if is_plain else product(part.component),
        sources=tuple(sources(part, day=day, result=result)),
    )


def sources(part: StoredPart, *, day: date, result: MarginResult) -> list[Source]:
    """Price, parameters, agreement and posting of a part, as far as it has them."""
    row, found = part.row, []
    if row.mark is not None:
        found.append(
            Source(
                "Price",
                f"{part.component.asset} {grouped(row.mark.price.normalize(WIDE))}",
                price_address(part.component.asset, day=day, part=part),
                mark_shown(row.mark, part.valid_mark),
            )
        )
    if part.component.kind in OF_MONEY and row.haircut and row.mark:
        address = price_address(part.component.asset, day=day, anchor="terms")
        found.append(Source("Haircut", haircut_words(part, row.haircut), address))
    if part.component.kind == ComponentKind.CROWDING and part.component.detail is not None:
        facts = part.component.detail.facts
        words = "; ".join(f"{name.replace('_', ' ')} {said}" for name, said in facts)
        found.append(Source("Crowding", words, reverse("margin:dynamic")))
    elif part.bracket is not None and row.instrument_terms is not None:
        words = f"{bracket_words(part.bracket)}, v{row.instrument_terms.version}"
        address = price_address(part.component.asset, day=day, part=part, anchor="terms")
        found.append(Source("Bracket", words, address))
    elif part.component.rate is not None and row.instrument_terms is not None:
        words = f"{rate_words(part.component.rate)}, v{row.instrument_terms.version}"
        found.append(
            Source("Rate", words, price_address(part.component.asset, day=day, anchor="terms"))
        )
    if part.component.kind == ComponentKind.LOAN:
        found.append(Source("Agreement", agreement_words(result), agreement_address(result)))
    if part.posting is not None:
        what = "Average cost after" if part.component.average_cost is not None else "Balance after"
        found.append(Source(what, part.posting.entry.reference, posting_address(part, result)))
    return found


def price_address(
    code: str, *, day: date, part: StoredPart | None = None, anchor: str = "price"
) -> str:
    """The page of a price on a day, with the bracket that a part was charged by."""
    asked = {"day": day.isoformat()}
    if part is not None and part.bracket is not None:
        asked["bracket"] = str(part.bracket.number)
    return f"{reverse('margin:price', args=[code])}?{urlencode(asked)}#{anchor}"


def agreement_address(result: MarginResult) -> str:
    return f"{account_address(result)}?tab=agreement"


def account_address(result: MarginResult) -> str:
    """The page of the account a result is about."""
    bucket = result.scope.bucket
    assert bucket is not None, "house rules are computed for buckets"
    return reverse("margin:account", args=[bucket.account.code])


def posting_address(part: StoredPart, result: MarginResult) -> str:
    """The line of the statement of account that left a balance."""
    assert part.posting is not None
    posting = part.posting
    asked = urlencode({"tab": "statement", "q": posting.entry.reference})
    return f"{account_address(result)}?{asked}#posting-{posting.account_id}-{posting.account_seq}"


def agreement_words(result: MarginResult) -> str:
    """ "STD v1, in force since 31 Jan 2018"."""
    terms = result.agreement_version
    since = shown_day(terms.effective_from, form="short")
    return (
        f"{terms.agreement.code} v{terms.version}, in force since "
        f"{since} {terms.effective_from.year}"
    )


def mark_shown(mark: Mark, valid: Mark | None) -> Shown:
    """A mark's state, with how many of its sources agreed or the day it is carried from."""
    shown = STATES["price"][mark.state]
    sources_count = len({each["source"] for each in [*mark.used, *mark.dropped]})
    word = f"{len(mark.used)} of {sources_count} sources"
    if mark.state != Mark.State.VALID:
        since = "" if valid is None else f", mark of {shown_day(valid.business_day, form='short')}"
        word = f"{shown.word}{since}"
    return shown._replace(word=word)


def haircut_words(part: StoredPart, haircut: Haircut) -> str:
    """The haircut of a version, or its tiers and what a further step rests on."""
    detail = part.component.detail
    if detail is None:
        return f"{rate_words(haircut.haircut)}, v{haircut.version}"
    facts = "".join(f", {name.replace('_', ' ')} {said}" for name, said in detail.facts)
    return f"tiers from {rate_words(haircut.haircut)}, v{haircut.version}{facts}"


def bracket_words(bracket: BracketInForce) -> str:
    """ "2: 50,000 to 250,000"."""
    floor = grouped(bracket.floor.normalize(WIDE))
    if bracket.ceiling is None:
        return f"{bracket.number}: from {floor}"
    return f"{bracket.number}: {floor} to {grouped(bracket.ceiling.normalize(WIDE))}"


def rate_words(rate: Decimal) -> str:
    """0.20 is "20 %"."""
    percent = WIDE.multiply(rate, Decimal(100)).normalize(WIDE)
    return f"{grouped(percent)}\N{NO-BREAK SPACE}%"


def short_hash(digest: str) -> str:
    """The ends of a hash, by which people tell it from another."""
    return f"sha256 {digest[:HASH_SHOWN]}…{digest[-HASH_SHOWN:]}"
