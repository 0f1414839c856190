"""Asking that something be stopped, or started again, in an incident; and the switches as pages
show them.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.http import Http404, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from accounts.clock import shown_instant
from accounts.models import LegalEntity
from accounts.roles import REQUEST, DeskRequest, may, require
from accounts.screens.asking import AskForm, Question, ask
from margin.models import Switch
from margin.screens.visible import NO_PAGE, entity_here
from margin.switches import MEANS, START, STOP, Position, positions, request_switch

LASTS = ((30, "30 minutes"), (60, "1 hour"), (120, "2 hours"), (240, "4 hours"), (1440, "1 day"))


class StopForm(AskForm):
    """For how long it is meant to be stopped."""

    minutes = forms.TypedChoiceField(
        label="For", choices=LASTS, coerce=int, initial=60,
        help_text="It does not end by itself: past its time somebody gets it as a task.",
    )  # fmt: skip
    field_order = ("minutes", "reason")


def form_of(data: Any, *, is_stop: bool) -> forms.Form:  # noqa: ANN401 - what a form takes
    """The form of a stop, or of a start."""
    return StopForm(data) if is_stop else AskForm(data)


def ask_for_switch(
    request: DeskRequest, entity: LegalEntity, what: str, typed: Mapping[str, Any]
) -> UUID:
    """Ask as the form says; a stop's time counts from now."""
    minutes = typed.get("minutes")
    until = None if minutes is None else timezone.now() + timedelta(minutes=minutes)
    return request_switch(
        entity, what, until=until, reason=typed["reason"], actor=request.actor,
        request_id=request.request_id,
    )  # fmt: skip


@require_http_methods(["GET", "POST"])
@require("read")
def switch_new(request: DeskRequest, what: str, way: str) -> HttpResponse:
    """Ask that something be stopped or started again."""
    if what not in Switch.What.values or way not in ("stop", "start"):
        raise Http404(NO_PAGE)
    entity, kind = entity_here(request), Switch.What(what)
    is_stop = way == "stop"
    form = form_of(request.POST if request.method == "POST" else None, is_stop=is_stop)
    question = Question(
        action=STOP if is_stop else START,
        title=f"{'Stop' if is_stop else 'Start'} {kind.label.lower()}",
        back=reverse("brokerage:incident"), back_label="Incident",
        purpose=MEANS[kind] if is_stop else "It runs by itself again; what was held back is done by"
        " the next run.",
        facts=facts_of(positions(entity), kind),
    )  # fmt: skip
    return ask(
        request, form, question, entity=entity,
        do=lambda typed: ask_for_switch(request, entity, what, typed),
    )  # fmt: skip


def facts_of(known: list[Position], what: str) -> tuple[tuple[str, str], ...]:
    """What stands now, for the page that asks."""
    (found,) = (each for each in known if each.what == what)
    if not found.is_stopped or found.newest is None or found.newest.until is None:
        return (("Now", "runs by itself"),)
    return (
        ("Now", f"stopped, version {found.newest.version}"),
        ("Until", shown_instant(found.newest.until, form="full")),
        ("Because", found.newest.reason),
    )


def stopped_here(request: DeskRequest) -> dict[str, Any]:
    """What boards need to say that something is stopped; one query."""
    return {"stopped": [each for each in positions(entity_here(request)) if each.is_stopped]}


def switches_here(request: DeskRequest) -> dict[str, Any]:
    """What pages that show switches need: those of where the person works, and what they may."""
    entity = entity_here(request)
    found = positions(entity, roles=request.roles)
    return {
        "switches": found,
        "stopped": [each for each in found if each.is_stopped],
        "can_stop": may(request, f"{REQUEST}{STOP}", entity),
        "can_start": may(request, f"{REQUEST}{START}", entity),
    }
