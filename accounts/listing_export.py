"""The whole filter of a list as a file: CSV, XLSX or JSON."""

from collections.abc import Iterable, Sequence

from django.http import HttpResponse
from django.utils import timezone

from accounts.exports import to_csv, to_json
from accounts.figures import grouped
from accounts.workbook import to_xlsx

MEDIA_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "json": "application/json",
}


def too_many(rows: int, most: int) -> HttpResponse:
    """That an export has a limit, and what to do."""
    return HttpResponse(
        f"Not exported: an export has {grouped(most)} rows at most and this "
        f"filter keeps {grouped(rows)}. Narrow the filter.\n",
        status=422,
        content_type="text/plain; charset=utf-8",
    )


def as_file(
    form: str,
    name: str,
    keys: Sequence[str],
    rows: Iterable[Sequence[object]],
    about: dict[str, object],
) -> HttpResponse:
    """Rows as a file.

    Args:
        form: csv, xlsx or json.
        name: of the list; the file is called by it and the time.
        keys: of the columns.
        about: what JSON says of the export itself.
    """
    if form == "csv":
        content = to_csv(keys, rows)
    elif form == "xlsx":
        content = to_xlsx([(name, keys, rows)])
    else:
        content = to_json(keys, rows, about=about)
    stamp = f"{timezone.now():%Y%m%dT%H%M%SZ}"
    return HttpResponse(
        content,
        content_type=MEDIA_TYPES[form],
        headers={"Content-Disposition": f'attachment; filename="{name}-{stamp}.{form}"'},
    )
