"""The search of every page: what a name or reference belongs to, as far as one may see it."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from django.db.models import Q
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET

from accounts.models import MarginAccount
from accounts.roles import DeskRequest, require
from ledger.models import Asset
from ledger.screens.visible import breaks_here, locations_here, visible_entries
from margin.views.visible import calls_here, entity_here, of_accounts

TEXT_LENGTH_MAX = 200
FOUND_MAX = 20


class Found(NamedTuple):
    """Something that goes by the text, or begins with it."""

    kind: str
    icon: str
    title: str
    about: str
    address: str


def found_accounts(request: DeskRequest, text: str) -> Iterator[Found]:
    mine = of_accounts(request.roles, [entity_here(request).pk], path="")
    accounts = MarginAccount.objects.filter(
        mine, Q(code__istartswith=text) | Q(client__code__istartswith=text)
    )
    for account in accounts.select_related("client").order_by("code")[:FOUND_MAX]:
        owner = f"client {account.client.code}" if account.client else account.owner_class
        address = reverse("margin:account", args=[account.code])
        yield Found("Account", "person", account.code, owner, address)


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
    """Entries by their whole reference; the book is too long to look through by beginnings."""
    entries = visible_entries(request).filter(reference__in={text, text.upper()})
    for entry in entries.order_by("-effective_at", "-pk")[:FOUND_MAX]:
        address = reverse("ledger:entry", args=[entry.pk])
        yield Found("Entry", "book", entry.reference, entry.kind.title, address)


def found_locations(request: DeskRequest, text: str) -> Iterator[Found]:
    locations = locations_here(request).filter(code__istartswith=text).order_by("code")
    for location in locations.select_related("pool")[:FOUND_MAX]:
        address = reverse("ledger:location", args=[location.code])
        yield Found("Location", "pools", location.code, f"pool {location.pool.code}", address)


def found_assets(request: DeskRequest, text: str) -> Iterator[Found]:
    for asset in Asset.objects.filter(code__istartswith=text).order_by("code")[:FOUND_MAX]:
        address = reverse("margin:price", args=[asset.code])
        yield Found("Price", "price", asset.code, asset.get_kind_display(), address)


SOURCES: tuple[Callable[[DeskRequest, str], Iterator[Found]], ...] = (
    found_accounts, found_calls, found_breaks, found_entries, found_locations, found_assets,
)  # fmt: skip


@require_GET
@require("read")
def search(request: DeskRequest) -> HttpResponse:
    """What goes by the text; the only thing that does is opened at once."""
    text = request.GET.get("q", "").replace("\0", "").strip()[:TEXT_LENGTH_MAX]
    found = [each for source in SOURCES for each in source(request, text)] if text else []
    named = [each for each in found if each.title.casefold() == text.casefold()]
    if len(named) == 1:
        return redirect(named[0].address)
    return render(request, "brokerage/search.html", {"text": text, "found": found})
