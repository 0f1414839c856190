"""Margin as others computed it: what came, where it differs from ours, and handing in a file."""

from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import Count, Q
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from accounts.audit import RefusedError
from accounts.roles import DeskRequest, check, may, require
from accounts.screens.asking import day_field, text_field
from margin.external import BYTES_MOST, ExternalRefusedError, commit, find_bucket, receive
from margin.models import ExternalBreak, ExternalMargin
from margin.screens.visible import CALL_ACCOUNT, entity_here, of_accounts

IMPORT = "external.import"
ROWS_SHOWN = 200


class FileForm(forms.Form):
    """A statement as a file."""

    file = forms.FileField(label="JSON or CSV file", max_length=200)


class CommitmentForm(forms.Form):
    """The hash of a file that is to come."""

    source = text_field("From", required=True, length=60)
    scope = text_field("Scope", required=True, length=120, hint="Account and bucket, A00015/FREE.")
    business_day = day_field("Day")
    sha256 = text_field("sha256 of the file", required=True, length=64)


@require_GET
@require("read")
def external_page(request: DeskRequest) -> HttpResponse:
    """Statements and commitments, the newest first, and the breaks that they left."""
    entity = entity_here(request)
    mine = of_accounts(request.roles, [entity.pk], path=CALL_ACCOUNT)
    statements = (
        ExternalMargin.objects.filter(mine)
        .select_related("scope__bucket__account")
        .annotate(break_count=Count("breaks"))
        .order_by("-pk")
    )
    breaks = (
        ExternalBreak.objects.filter(
            of_accounts(request.roles, [entity.pk], path=f"statement__{CALL_ACCOUNT}")
        )
        .select_related("statement__scope__bucket__account", "run")
        .order_by("-statement", "total", "component")
    )
    context = {
        "statements": statements[:ROWS_SHOWN],
        "opened": set(
            ExternalMargin.objects.exclude(opens=None).values_list("opens_id", flat=True)
        ),
        "breaks": breaks[:ROWS_SHOWN],
        "can_import": may(request, IMPORT, entity),
    }
    return render(request, "margin/external.html", context)


@require_http_methods(["GET", "POST"])
@require("read")
def external_new(request: DeskRequest) -> HttpResponse:
    """Hand in a statement, or the hash of one that is to come."""
    entity = entity_here(request)
    check(request, IMPORT, entity)
    is_promise = request.GET.get("as") == "commitment"
    sent = request.method == "POST"
    form: forms.Form = (
        CommitmentForm(request.POST if sent else None)
        if is_promise
        else FileForm(request.POST if sent else None, request.FILES if sent else None)
    )
    status = 200
    if sent:
        status = 422
        if form.is_valid():
            try:
                told = _commit(request, form) if is_promise else _receive(request, form)
            except (ExternalRefusedError, RefusedError) as refused:
                form.add_error(None, str(refused))
            else:
                messages.success(request, told)
                return redirect("margin:external")
    context = {"form": form, "is_promise": is_promise}
    return render(request, "margin/external_new.html", context, status=status)


def within(request: DeskRequest) -> Q:
    """The buckets about which the person may hand something in."""
    here = [entity_here(request).pk]
    return of_accounts(request.roles, here, path="account", act=IMPORT)


def _commit(request: DeskRequest, form: forms.Form) -> str:
    typed, entity = form.cleaned_data, entity_here(request)
    account, _, bucket = typed["scope"].strip().rpartition("/")
    commit(
        source=typed["source"], bucket=find_bucket(entity, account, bucket, within=within(request)),
        business_day=typed["business_day"], digest=typed["sha256"].strip().lower(),
        actor=request.actor, request_id=request.request_id,
    )  # fmt: skip
    return "Kept. The file that opens it must have exactly this hash."


def _receive(request: DeskRequest, form: forms.Form) -> str:
    file: Any = form.cleaned_data["file"]
    received = receive(
        file.read(BYTES_MOST + 1), entity=entity_here(request), actor=request.actor,
        request_id=request.request_id, within=within(request),
    )  # fmt: skip
    count = len(received.breaks)
    if not count:
        return f"Kept. It agrees with run {received.run.number} in every component."
    return f"Kept. {count} component{'s differ' if count > 1 else ' differs'} from ours."
