"""Keeping and removing views of lists."""

import re

from django.contrib import messages
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from accounts.audit import RefusedError
from accounts.models import SavedView
from accounts.roles import DeskRequest, require
from accounts.saved_views import VIEW, ViewError, remove_view, save_view
from accounts.screens.door import way_back

LIST_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*", re.ASCII)
LIST_NAME_LENGTH_MAX = 60


@require_POST
@require("view.keep")
def view_save(request: DeskRequest) -> HttpResponse:
    """Keep what the list shows under a name, and show it by that name."""
    said, page = request.POST, way_back(request).partition("?")[0]
    name = said.get("list", "")
    if not LIST_NAME.fullmatch(name) or len(name) > LIST_NAME_LENGTH_MAX:
        return HttpResponse("There is no such list.", status=400)
    assert request.legal_entity is not None, "the right was asked for there"
    try:
        view = save_view(
            said.get("title", ""),
            list_name=name,
            query=said.get("query", ""),
            is_shared=said.get("shared") == "yes",
            entity=request.legal_entity,
            owner=request.operator,
            actor=request.actor,
            request_id=request.request_id,
        )
    except (ViewError, RefusedError) as refused:
        messages.error(request, f"Not kept. {refused}")
        return redirect(way_back(request))
    messages.success(request, f"Kept as “{view.title}”.")
    return HttpResponseRedirect(f"{page}?{VIEW}={view.slug}")


@require_POST
@require("view.keep")
def view_remove(request: DeskRequest, view_id: int) -> HttpResponse:
    """Remove one's own view."""
    mine = SavedView.objects.filter(
        owner=request.operator, legal_entity=request.legal_entity, is_removed=False
    )
    view = mine.filter(pk=view_id).first()
    if view is None:
        raise Http404("There is no such page.")
    remove_view(view, actor=request.actor, request_id=request.request_id)
    messages.success(request, f"Removed “{view.title}”.")
    return redirect(way_back(request).partition("?")[0])
