"""Where the factors of a number are shown, and how the drawer words them."""

from datetime import date
from decimal import Decimal
from urllib.parse import urlencode

from django.urls import reverse

from accounts.clock import shown_day
from accounts.figures import WIDE, grouped
from accounts.states import STATES, Shown
from ledger.models import Posting
from margin.explanation import BracketInForce, StoredPart
from margin.models import Haircut, MarginResult, Mark

HASH_SHOWN = 6


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
    return line_address(part.posting, result)


def line_address(posting: Posting, result: MarginResult) -> str:
    """A posting on the statement of the account that a result is about."""
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
