"""A region of a page that loads itself again, and costs a few bytes while nothing has changed."""

import hashlib
from collections.abc import Mapping

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from accounts.listing import wants_rows
from accounts.middleware import LIVE_HEADER

# In the address: whether the region loads itself again.
LIVE, OFF = "live", "off"


def live_answer(
    request: HttpRequest,
    context: Mapping[str, object],
    *,
    page: str,
    region: str,
    triggers: str,
    name: str = "live",
    layout: str = "stack",
    status: int = 200,
) -> HttpResponse:
    """The page; for htmx its region alone; 204 where the region is as the browser has it.

    Args:
        page: template of the whole page; it includes `_parts/live.html`.
        region: template of what loads itself again.
        triggers: what makes it do so, beside a return to the page: `every 5s, desk:jobs from:body`.
        name: id of the region's element.
        layout: class of the region's element.
    """
    content = render_to_string(region, dict(context), request)
    digest = hashlib.sha256(content.encode()).hexdigest()[:20]
    if wants_rows(request) and request.headers.get(LIVE_HEADER) == digest:
        return HttpResponse(status=204)
    shown = {
        "region": SafeString(content),  # escaped by the template that rendered it
        "region_name": name,
        "region_layout": layout,
        "region_triggers": triggers,
        "region_digest": digest,
        "is_live": request.GET.get(LIVE) != OFF,
    }
    template = "_parts/live.html" if wants_rows(request) else page
    return render(request, template, {**context, **shown}, status=status)
