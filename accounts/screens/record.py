"""The audit trail: search, one act with before and after, and the export of exactly the filter."""

import csv
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.core.paginator import Paginator
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts import trail
from accounts.clock import utc_stamp
from accounts.exports import cell
from accounts.listing import wants_rows
from accounts.models import Act
from accounts.roles import DeskRequest, may, require
from accounts.trail import Filter


class FilterForm(forms.Form):
    """The filter as it stands in the address."""

    actor = forms.CharField(required=False, max_length=120)
    q = forms.CharField(required=False, max_length=200)
    from_on = forms.DateField(required=False)
    to_on = forms.DateField(required=False)
    kind = forms.ChoiceField(required=False)

    def __init__(self, data: Any) -> None:  # noqa: ANN401
        super().__init__(data)
        kind = self.fields["kind"]
        assert isinstance(kind, forms.ChoiceField)
        kind.choices = [("", "Any"), *trail.kinds()]

    def asked(self) -> Filter:
        """The filter; a part that cannot be read asks for nothing."""
        said = self.cleaned_data
        return Filter(
            actor=said.get("actor", ""),
            text=said.get("q", ""),
            from_on=said.get("from_on"),
            to_on=said.get("to_on"),
            kind=said.get("kind", ""),
        )


@require_GET
@require("audit.read")
def audit(request: DeskRequest) -> HttpResponse:
    """The trail, newest first, with one act open beside it."""
    form = FilterForm(request.GET)
    form.is_valid()
    asked = form.asked()
    acts = trail.find_acts(asked, roles=request.roles)
    page = Paginator(acts, trail.PAGE_SIZE).get_page(request.GET.get("page"))
    shown = trail.show_acts(page.object_list)
    picked, sealed = picked_act(request, shown), trail.sealed()
    context = {
        "form": form,
        "page": page,
        "acts": shown,
        "picked": picked,
        "rows": trail.changed_rows(picked.act) if picked else [],
        "approval": trail.approval_of(picked.act) if picked else None,
        "sealed": sealed,
        "sealed_head": shortened(sealed.newest.head_hash) if sealed.newest else "",
        "address": urlencode(in_address(form)),
        "chips": chips(form),
        "can_export": may(request, "audit.export", request.legal_entity or 0),
    }
    template = "accounts/_trail.html" if wants_rows(request) else "accounts/audit.html"
    return render(request, template, context)


def shortened(digest: bytes | memoryview) -> str:
    """The ends of a hash."""
    text = bytes(digest).hex()
    return f"{text[:6]}…{text[-6:]}"


def in_address(form: FilterForm) -> dict[str, str]:
    """The parts of the filter that are set, as they stand in the address."""
    return {name: form.data[name] for name in form.fields if form.data.get(name)}


def chips(form: FilterForm) -> list[tuple[str, str, str]]:
    """Each set part of the filter: label, value, and the address without it."""
    labels = {"actor": "Actor", "q": "Object", "from_on": "From", "to_on": "To", "kind": "Kind"}
    words = dict(trail.kinds())
    held = in_address(form)
    return [
        (
            labels[name],
            words.get(value, value),
            urlencode({other: v for other, v in held.items() if other != name}),
        )
        for name, value in held.items()
    ]


def picked_act(request: DeskRequest, shown: list[trail.ShownAct]) -> trail.ShownAct | None:
    """The act in the address, else the first of the list."""
    wanted = request.GET.get("act", "")
    if not wanted:
        return shown[0] if shown else None
    if not wanted.isdecimal() or len(wanted) > 20:
        raise Http404("There is no such page.")
    found: Act | None = trail.visible_acts(request.roles).filter(pk=int(wanted)).first()
    if found is None:
        raise Http404("There is no such page.")
    return trail.show_acts([found])[0]


@require_GET
@require("audit.export")
def audit_export(request: DeskRequest, form: str) -> StreamingHttpResponse:
    """The filter as a file: CSV with a header row, or JSON with one object per line."""
    asked = FilterForm(request.GET)
    asked.is_valid()
    acts = trail.find_acts(asked.asked(), roles=request.roles)
    rows = (printable(row) for row in trail.export_rows(acts))
    if form == "csv":
        lines, kind = csv_lines(rows), "text/csv; charset=utf-8"
    else:
        lines, kind = json_lines(rows), "application/json"
    response = StreamingHttpResponse(lines, content_type=kind)
    response["Content-Disposition"] = f'attachment; filename="audit-trail.{form}"'
    return response


def printable(row: dict[str, Any]) -> dict[str, Any]:
    """A row with its time in UTC; numbers of the record stay texts."""
    return row | {
        "recorded_at": utc_stamp(row["recorded_at"]),
        "transaction": str(row["transaction"]),
    }


class Echo:
    """Takes what the CSV writer writes and hands it straight on."""

    def write(self, text: str) -> str:
        """The text itself."""
        return text


def csv_lines(rows: Iterator[dict[str, Any]]) -> Iterator[str]:
    writer = csv.writer(Echo())
    yield writer.writerow(trail.EXPORT_COLUMNS)
    for row in rows:
        yield writer.writerow([cell(row[column]) for column in trail.EXPORT_COLUMNS])


def json_lines(rows: Iterator[dict[str, Any]]) -> Iterator[str]:
    yield "["
    for number, row in enumerate(rows):
        yield ("," if number else "") + "\n" + json.dumps(row, ensure_ascii=False)
    yield "\n]\n"
