"""Every entry that a person may read in full, at any date and horizon; and the late ones."""

from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.columns import Column
from accounts.filters import Choice, Choices, Day, Text
from accounts.listing import Listing, wants_rows
from accounts.roles import DeskRequest, require
from ledger.back_dating import back_dated
from ledger.models import BackDatedEntry, EntryKind
from ledger.screens.times import Times, in_two_times
from ledger.screens.visible import entity_here, visible_entries
from ledger.times import entries_at, known

ENTRY_COLUMNS = (
    Column("entry", "Entry", value="reference", sort=("reference", "pk")),
    Column("effective", "Effective", value="effective_at", sort=("effective_at", "pk")),
    Column("kind", "Kind", value="kind.title", sort=("kind__title", "pk")),
    Column("recorded", "Recorded", value="recorded_at", sort=("recorded_at", "pk")),
    Column("id", "Number", value="pk", sort=("pk",), numeric=True),
)
LATE_COLUMNS = (
    Column("entry", "Entry", value="entry.reference", sort=("entry__reference", "pk")),
    Column("effective", "Effective", value="effective_on", sort=("effective_on", "pk")),
    Column("overtaken", "Came after", value="overtaken_on", sort=("overtaken_on", "pk")),
    Column("kind", "Kind", value="entry.kind.title", sort=("entry__kind__title", "pk")),
    Column("recorded", "Recorded", value="entry.recorded_at", sort=("entry__recorded_at", "pk")),
    Column("broken", "Would have broken", value="broken_rule", sort=("broken_rule", "pk")),
    Column("on", "On", value="broken_on"),
    Column("balance", "Balance then", value="balance", numeric=True),
    Column("approval", "Agreed to", value="approval.subject"),
)


def kinds() -> Choices:
    return list(EntryKind.objects.order_by("title").values_list("code", "title"))


@require_GET
@require("read")
@in_two_times()
def entry_list(request: DeskRequest, *, times: Times) -> HttpResponse:
    """Entries, the newest first."""
    entries = visible_entries(request)
    if times.point is not None:
        entries = entries_at(entries, times.point)
    listing = Listing(
        request,
        entries,
        name="entries",
        columns=ENTRY_COLUMNS,
        filters=[
            Choice("kind", "Kind", "kind", kinds),
            Day("from", "From", "effective_at__date", "gte"),
            Day("to", "To", "effective_at__date", "lte"),
            Text("q", "Reference", ("reference",)),
        ],
        default_sort="-id",
    )
    if listing.format:
        return listing.export()
    template = "ledger/_entry_rows.html" if wants_rows(request) else "ledger/entries.html"
    return render(request, template, {"listing": listing, "times": times})


@require_GET
@require("read")
@in_two_times(has_date=False)
def back_dated_list(request: DeskRequest, *, times: Times) -> HttpResponse:
    """Entries that came after their date, the newest first."""
    listing = Listing(
        request,
        late_here(request, times),
        name="back-dated",
        columns=LATE_COLUMNS,
        filters=[
            Choice("kind", "Kind", "entry__kind", kinds),
            Day("from", "From", "effective_on", "gte"),
            Day("to", "To", "effective_on", "lte"),
            Text("rule", "Rule", ("broken_rule",)),
        ],
        default_sort="-recorded",
    )
    if listing.format:
        return listing.export()
    template = "ledger/_back_dated_rows.html" if wants_rows(request) else "ledger/back_dated.html"
    return render(request, template, {"listing": listing, "times": times})


def late_here(request: DeskRequest, times: Times) -> "QuerySet[BackDatedEntry]":
    """Late entries that the person may read, as far as they were known."""
    found = back_dated([entity_here(request).pk]).filter(
        entry__in=visible_entries(request).order_by().values("pk")
    )
    return found if times.point is None else known(found, times.point)
