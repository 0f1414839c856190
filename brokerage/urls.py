"""Every address of the product; each app serves its own."""

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver, include, path

from brokerage import stream
from brokerage.metrics import metrics


@login_not_required
def health(request: HttpRequest) -> HttpResponse:
    """Whether the process answers."""
    return HttpResponse("ok\n", content_type="text/plain")


urlpatterns: list[URLPattern | URLResolver] = [
    path("health", health, name="health"),
    path("metrics", metrics, name="metrics"),
    path("stream/", stream.stream, name="stream"),
    path("strip/", stream.strip, name="strip"),
    path("", include("accounts.urls")),
    path("", include("ledger.urls")),
    path("", include("margin.urls")),
    path("api/", include("brokerage.api")),
    path("", include("brokerage.screens.urls")),
]

# Django calls it by this name.
handler500 = "brokerage.screens.faults.not_answered"
