"""The search of every page: what a name or reference belongs to, as far as one may see it."""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from django.db.models import Q
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET

from accounts.approvals import number_of
from accounts.approvals import visible as visible_approvals
from accounts.models import MarginAccount
from accounts.roles import DeskRequest, require
from brokerage.models import BusinessDay, DayFile, InboxEvent, ReportFile
from brokerage.screens.reports import OF_CLIENTS
from ledger.models import Asset, Posting
from ledger.screens.visible import breaks_here, locations_here, visible_entries
from margin.models import MarginRun
from margin.screens.visible import calls_here, entity_here, of_accounts

TEXT_LENGTH_MAX = 200
HASH_PREFIX = re.compile(r"[0-9a-f]{6,64}")
APPROVAL_NUMBER = re.compile(r"AP-\d{6}-(\d{1,9})")
FOUND_MAX = 20


class Found(NamedTuple):
    """Something that goes by the text, or begins with it."""

    kind: str
    icon: str
    title: str
    about: str
    address: str
    names: tuple[str, ...] = ()

    def goes_by(self, text: str) -> bool:
        """Whether this very text is one of its names."""
        return text.casefold() in {name.casefold() for name in (self.title, *self.names)}


def found_accounts(request: DeskRequest, text: str) -> Iterator[Found]:
    mine = of_accounts(request.roles, [entity_here(request).pk], path="")
    accounts = MarginAccount.objects.filter(
        mine, Q(code__istartswith=text) | Q(client__code__istartswith=text)
    )
    for account in accounts.select_related("client").order_by("code")[:FOUND_MAX]:
        owner = f"client {account.client.code}" if account.client else account.owner_class
        address = reverse("margin:account", args=[account.code])
        names = (account.client.code,) if account.client else ()
        yield Found("Account", "person", account.code, owner, address, names)


def found_calls(request: DeskRequest, text: str) -> Iterator[Found]:
    calls = calls_here(request).filter(number__istartswith=text).order_by("-number")
    for call in calls.select_related("scope__bucket__account")[:FOUND_MAX]:
        bucket = call.scope.bucket
        about = f"{bucket.account.code} {bucket.code}" if bucket else ""
        address = reverse("margin:call", args=[call.number])
        yield Found("Margin call", "bell", call.number, about, address)


def found_breaks(request: DeskRequest, text: str) -> Iterator[Found]:
    breaks = breaks_here(request).filter(reference__istartswith=text).order_by("-business_day")
    for each in breaks.select_related("location")[:FOUND_MAX]:
        about = f"{each.get_kind_display()}, {each.location.code}, {each.business_day}"
        address = reverse("ledger:break", args=[each.pk])
        yield Found("Break", "breaks", each.reference or "", about, address)


def found_entries(request: DeskRequest, text: str) -> Iterator[Found]:
    """Entries by number, by their whole reference, or by what the bank calls them.

    The book is too long to look through by beginnings.
    """
    references = {text, text.upper()}
    confirmed = Posting.objects.filter(
        reference__in=references, pool__legal_entity=entity_here(request)
    )
    wanted = Q(reference__in=references) | Q(pk__in=confirmed.values("entry"))
    if text.isdecimal() and len(text) < 19:
        wanted |= Q(pk=int(text))
    for entry in visible_entries(request).filter(wanted).order_by("-effective_at")[:FOUND_MAX]:
        address = reverse("ledger:entry", args=[entry.pk])
        title = entry.reference or f"Entry {entry.pk}"
        yield Found("Entry", "book", title, entry.kind.title, address, (str(entry.pk), text))


def found_refused_events(request: DeskRequest, text: str) -> Iterator[Found]:
    """Events of the inbox that were refused; those that were applied are entries."""
    events = InboxEvent.objects.filter(
        business_day__legal_entity=entity_here(request), event_id__in={text, text.upper()}
    ).exclude(refusal="")
    for event in events.select_related("business_day").order_by("-pk")[:FOUND_MAX]:
        day = event.business_day.day
        about = f"{event.event_type} of {day}, line {event.line}: {event.refusal.replace('_', ' ')}"
        address = reverse("brokerage:day", args=[day.isoformat()])
        yield Found("Refused event", "x", event.event_id, about, address)


def found_approvals(request: DeskRequest, text: str) -> Iterator[Found]:
    number = APPROVAL_NUMBER.fullmatch(text.upper())
    if number is None:
        return
    for asked in visible_approvals(request.roles).filter(number=int(number[1]))[:FOUND_MAX]:
        address = reverse("accounts:approval", args=[asked.pk])
        about = f"{asked.action.title}: {asked.subject}"
        yield Found("Approval", "stamp", number_of(asked), about, address)


def found_locations(request: DeskRequest, text: str) -> Iterator[Found]:
    locations = locations_here(request).filter(
        Q(code__istartswith=text) | Q(account_number__iexact=text)
    )
    for location in locations.select_related("pool").order_by("code")[:FOUND_MAX]:
        address = reverse("ledger:location", args=[location.code])
        about, names = f"pool {location.pool.code}", (location.account_number,)
        yield Found("Location", "pools", location.code, about, address, names)


def found_assets(request: DeskRequest, text: str) -> Iterator[Found]:
    for asset in Asset.objects.filter(code__istartswith=text).order_by("code")[:FOUND_MAX]:
        address = reverse("margin:price", args=[asset.code])
        yield Found("Price", "price", asset.code, asset.get_kind_display(), address)


def found_hashes(request: DeskRequest, text: str) -> Iterator[Found]:
    """Files, reports and runs by the beginning of their sha256; a whole hash is a name."""
    prefix = text.lower()
    if not HASH_PREFIX.fullmatch(prefix):
        return
    days = BusinessDay.objects.filter(legal_entity=entity_here(request))
    reports = ReportFile.objects.exclude(name__in=OF_CLIENTS).filter(
        sha256__startswith=prefix, business_day__in=days.values("day")
    )
    for report in reports.order_by("-pk")[:FOUND_MAX]:
        address = reverse("brokerage:report-manifest", args=[report.pk])
        about = f"sha256 {report.sha256}"
        yield Found("Report", "report", f"{report.name} of {report.business_day}", about, address)
    files = DayFile.objects.filter(sha256__startswith=prefix, business_day__in=days)
    for file in files.select_related("business_day").defer("content")[:FOUND_MAX]:
        day = file.business_day.day
        address = reverse("brokerage:day", args=[day.isoformat()])
        about = f"sha256 {file.sha256}"
        yield Found("File", "note", f"{file.name} of {day}", about, address, (file.sha256,))
    runs = MarginRun.objects.filter(
        Q(inputs_sha256__startswith=prefix) | Q(result_sha256__startswith=prefix),
        business_day__in=days.values("day"),
    )
    for run in runs.order_by("-pk")[:FOUND_MAX]:
        address = reverse("brokerage:day", args=[run.business_day.isoformat()])
        names = (run.inputs_sha256, run.result_sha256)
        about = f"result sha256 {run.result_sha256}"
        yield Found("Margin run", "jobs", run.number, about, address, names)


SOURCES: tuple[Callable[[DeskRequest, str], Iterator[Found]], ...] = (
    found_accounts, found_calls, found_breaks, found_entries, found_refused_events,
    found_approvals, found_locations, found_assets, found_hashes,
)  # fmt: skip


@require_GET
@require("read")
def search(request: DeskRequest) -> HttpResponse:
    """What goes by the text; the only thing that does is opened at once."""
    text = request.GET.get("q", "").replace("\0", "").strip()[:TEXT_LENGTH_MAX]
    found = [each for source in SOURCES for each in source(request, text)] if text else []
    named = {each.address for each in found if each.goes_by(text)}
    if len(named) == 1:
        return redirect(named.pop())
    return render(request, "brokerage/search.html", {"text": text, "found": found})
