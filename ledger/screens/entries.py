"""One entry: what moved, who moved it, under which leave, and how it is sealed."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC
from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.db.models import F
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from accounts.approvals import pending_on
from accounts.audit import RefusedError
from accounts.figures import WIDE
from accounts.models import Act, Approval, LegalEntity, SealBlock
from accounts.news import announce
from accounts.roles import REQUEST, DeskRequest, check, may, require
from accounts.trail import approval_of, blocks_of
from ledger.corrections import request_reversal
from ledger.models import AccountClass, Entry, Loss, Posting, ReleaseUse
from ledger.naming import TITLE_RELATIONS, account_name, actor_words, said
from ledger.screens.times import Times, in_two_times, is_known_then, not_known, not_there
from ledger.screens.visible import NO_PAGE, entry_or_404
from ledger.times import ReadingPoint, entries_at
from ledger.transfers import REVERSAL, action_of

ZERO = Decimal(0)
REVERSE = f"{REQUEST}{action_of(REVERSAL)}"


@dataclass(frozen=True)
class LegLine:
    """One leg as people read it: debit or credit, and the balance it left behind."""

    posting: Posting
    name: str
    class_word: str
    debit: Decimal | None
    credit: Decimal | None
    balance: Decimal
    scale: int
    is_custody: bool
    account_code: str


@dataclass(frozen=True)
class Side:
    """What one pool and asset of the entry add up to; debits and credits are equal."""

    pool: str
    asset: str
    scale: int
    debit: Decimal
    credit: Decimal
    legs: list[LegLine]


@require_GET
@require("read")
@in_two_times()
def entry_page(request: DeskRequest, entry_id: int, *, times: Times) -> HttpResponse:
    """The page of one entry; where it was not there at the point asked for, a sentence says so."""
    entry = entry_or_404(request, entry_id)
    sentence = "" if times.point is None else absence(entry, times.point)
    return not_there(request, times, sentence) if sentence else drawn(request, entry, times=times)


def absence(entry: Entry, point: ReadingPoint) -> str:
    """Why an entry is not to be seen at a point; "" where it is."""
    if not is_known_then(entry, point):
        return not_known(f"Entry {entry.pk}", point)
    if point.ends_at is not None and entry.effective_at >= point.ends_at:
        takes_effect = entry.effective_at.astimezone(UTC).date().isoformat()
        return f"Entry {entry.pk} takes effect on {takes_effect} (UTC), after the date asked for."
    return ""


def drawn(
    request: DeskRequest,
    entry: Entry,
    *,
    times: Times | None = None,
    reason: str = "",
    status: int = 200,
) -> HttpResponse:
    """The page, with what had been typed into a refused form; in the past nothing can be asked."""
    point = None if times is None else times.point
    postings = list(
        Posting.objects.filter(entry=entry)
        .select_related(
            *(f"account__{relation}" for relation in TITLE_RELATIONS),
            "account__pool__legal_entity",
            "pool",
            "asset",
        )
        .order_by("pool__code", "asset__code", F("amount").desc(), "account_id")
    )
    entity = entity_of(postings)
    act = Act.objects.filter(pk=entry.xid).select_related("operator").first()
    undoing = Entry.objects.filter(reverses=entry.pk)
    undone_by = (undoing if point is None else entries_at(undoing, point)).first()
    context = {
        "entry": entry,
        "times": times,
        "sides": sides_of(postings),
        "act": act,
        "actor": actor_words(act),
        "sealed_in": sealed_in(act, point),
        "approval": approval_for(entry, act),
        "undoes": Entry.objects.filter(pk=entry.reverses_id).first() if entry.reverses_id else None,
        "undone_by": undone_by,
        "loss": Loss.objects.filter(pk=entry.pk).select_related("bucket__account").first(),
        "use": ReleaseUse.objects.filter(entry=entry)
        .select_related("release__asset", "release__bucket__account")
        .first(),
        "can_reverse": point is None
        and entry.kind_id not in (REVERSAL, "opening")
        and undone_by is None
        and may(request, REVERSE, entity),
        "reason": reason,
        "pending": pending_on(f"ledger_entry:{entry.pk}", roles=request.roles)
        if point is None
        else [],
    }
    return render(request, "ledger/entry.html", context, status=status)


def sealed_in(act: Act | None, point: ReadingPoint | None) -> int | None:
    """The number of the block that seals an act, if the point knows it."""
    number = None if act is None else blocks_of([act]).get(act.pk)
    if number is None or point is None or is_known_then(SealBlock(number=number), point):
        return number
    return None


def entity_of(postings: list[Posting]) -> LegalEntity:
    """The legal entity whose pools the entry touches."""
    if not postings:
        raise Http404(NO_PAGE)
    return postings[0].account.pool.legal_entity


def approval_for(entry: Entry, act: Act | None) -> Approval | None:
    """The approval that the entry's act spent on a kind that needs one."""
    return approval_of(act) if act is not None and entry.kind.needs_approval else None


def sides_of(postings: list[Posting]) -> list[Side]:
    """Legs by pool and asset, debits first."""
    groups: dict[tuple[str, str], list[LegLine]] = defaultdict(list)
    for posting in postings:
        groups[posting.pool.code, posting.asset.code].append(leg_line(posting))
    return [
        Side(
            pool=pool,
            asset=asset,
            scale=legs[0].scale,
            debit=total(leg.debit for leg in legs),
            credit=total(leg.credit for leg in legs),
            legs=legs,
        )
        for (pool, asset), legs in groups.items()
    ]


def total(amounts: Any) -> Decimal:  # noqa: ANN401 - amounts, some of them absent
    found = ZERO
    for amount in amounts:
        found = WIDE.add(found, amount or ZERO)
    return found


def leg_line(posting: Posting) -> LegLine:
    account, amount = posting.account, posting.amount
    return LegLine(
        posting=posting,
        name=account_name(account),
        class_word=AccountClass(account.account_class).label,
        debit=amount if amount > 0 else None,
        credit=WIDE.minus(amount) if amount < 0 else None,
        balance=said(account.account_class, posting.balance_after),
        scale=posting.asset.scale,
        is_custody=account.location is not None,
        account_code=account.bucket.account.code if account.bucket is not None else "",
    )


@require_POST
@require("read")
def reverse(request: DeskRequest, entry_id: int) -> HttpResponse:
    """Ask that the entry be undone; a second person decides."""
    entry = entry_or_404(request, entry_id)
    postings = list(
        Posting.objects.filter(entry=entry).select_related("account__pool__legal_entity")[:1]
    )
    entity = entity_of(postings)
    check(request, REVERSE, entity)
    reason = request.POST.get("reason", "").strip()
    try:
        approval_id = request_reversal(
            entry.pk, reason=reason, effective_at=timezone.now(), legal_entity=entity,
            actor=request.actor, request_id=request.request_id,
        )  # fmt: skip
    except RefusedError as refused:
        messages.error(request, f"Not asked: {refused.detail}.")
        return drawn(request, entry, reason=reason, status=409)
    messages.success(request, "Asked. It waits for a second person; nothing has moved.")
    announce("approvals")
    return redirect("accounts:approval", approval_id)
