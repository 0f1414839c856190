"""What became known of a business date between two times, cell by cell."""

from datetime import UTC, date, datetime

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.exports import exported
from accounts.roles import DeskRequest, require
from brokerage.restatement import Restatement, days_of, restatement
from brokerage.screens.reports import EXPORT, entity_of
from ledger.models import DayClose
from ledger.restatement import MovedCell
from ledger.times import TimeRefusedError, parsed_date, parsed_instant

CELLS_SHOWN_MAX = 500


@require_GET
@require(EXPORT)
def restatement_page(request: DeskRequest) -> HttpResponse:
    """Late entries and the cells they moved; what the address asks for, else the newest day."""
    entity = entity_of(request)
    days = days_of(entity.pk)
    asked = {name: request.GET.get(name, "").strip() for name in ("as_of", "from", "to")}
    if not asked["as_of"] and days:
        asked["as_of"] = days[0].isoformat()
    if not asked["from"]:
        asked["from"] = _closing_of(entity.pk, asked["as_of"])
    context = {"asked": asked, "days": days, "limit": CELLS_SHOWN_MAX}
    if not asked["as_of"] or not asked["from"]:
        return render(request, "brokerage/restatement.html", context)
    try:
        found = restatement(
            as_of=parsed_date(asked["as_of"]),
            earlier=parsed_instant(asked["from"]),
            later=parsed_instant(asked["to"]) if asked["to"] else None,
            entity_id=entity.pk,
        )
    except TimeRefusedError as refused:
        context["refused"] = str(refused)
        return render(request, "brokerage/restatement.html", context, status=400)
    context |= {"found": found, "tables": tables_of(found)}
    return render(request, "brokerage/restatement.html", context)


def _closing_of(entity_id: int, day: str) -> str:
    """When the day closed: the time from which on an entry of it is late."""
    try:
        on = date.fromisoformat(day)
    except ValueError:
        return ""
    close = DayClose.objects.filter(legal_entity=entity_id, day=on).select_related("horizon")
    taken: datetime | None = next((each.horizon.taken_at for each in close), None)
    return "" if taken is None else taken.astimezone(UTC).isoformat().replace("+00:00", "Z")


def tables_of(found: Restatement) -> list[tuple[str, list[tuple[str, str, str, str, str]]]]:
    """By report: row, column, before, after, and the entries that moved it; the first ones."""
    left = CELLS_SHOWN_MAX
    tables = []
    for diff in found.diffs:
        tables.append((diff.report.title, [_words(moved) for moved in diff.cells[:left]]))
        left -= len(tables[-1][1])
    return tables


def _words(moved: MovedCell) -> tuple[str, str, str, str, str]:
    row = " ".join(str(exported(value)) for value in moved.cell.key.values if value)
    before, after = (
        "nothing" if value in (None, "") else str(exported(value))
        for value in (moved.before, moved.after)
    )
    by = ", ".join(str(entry) for entry in moved.moved_by) or "no entry"
    return row, moved.cell.column.replace("_", " "), before, after, by
