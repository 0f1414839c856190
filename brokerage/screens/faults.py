"""What is answered where a page could not be drawn: as little as can fail, and the request's id."""

from django.http import HttpRequest, HttpResponse
from django.template import loader


def not_answered(request: HttpRequest) -> HttpResponse:
    """The page of a fault; it reads nothing, because whatever it read may be what failed."""
    context = {"request_id": getattr(request, "request_id", "")}
    return HttpResponse(loader.get_template("500.html").render(context), status=500)
