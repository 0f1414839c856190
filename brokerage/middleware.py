"""What every answer carries: a request id, and headers that leave a browser nothing to guess."""

import secrets
import time
from collections.abc import Callable
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from django.urls import Resolver404, resolve

from brokerage.database.slow import at_work_for

CONTENT_SECURITY_POLICY = "; ".join([
    "default-src 'self'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "object-src 'none'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
    "form-action 'self'",
])  # fmt: skip
PERMISSIONS_POLICY = ", ".join(
    f"{feature}=()"
    for feature in (
        "accelerometer", "browsing-topics", "camera", "display-capture", "geolocation",
        "gyroscope", "magnetometer", "microphone", "midi", "payment", "serial", "usb",
    )
)  # fmt: skip
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Permissions-Policy": PERMISSIONS_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def new_request_id() -> str:
    """A UUID of version 7: ids sort by the millisecond in which the request came."""
    value = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(UUID(int=value))


class Compressed(GZipMiddleware):
    """Sends pages, files and scripts in a fraction of their size; a stream goes out as it comes.

    A secret of the page (the token of its forms) is masked anew in every answer, and the length
    varies at random, so that sizes say nothing of it.
    """

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        kind = response.headers.get("Content-Type", "")
        if kind.startswith("text/event-stream"):
            return response
        return super().process_response(request, response)


class NamedWork:
    """Lets what takes long in the database be told by the name of the address that asked it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with at_work_for(_name_of(request.path_info)):
            return self.get_response(request)


def _name_of(path: str) -> str:
    """The name of an address, which says nothing of whom it is about."""
    try:
        return resolve(path).view_name or "an address"
    except Resolver404:
        return "an address"


class SecurityHeaders:
    """Gives each request its id and each answer its headers.

    The id is always ours: one sent by a browser could name somebody else's act in the trail.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.request_id = new_request_id()  # type: ignore[attr-defined]
        response = self.get_response(request)
        response.headers["X-Request-ID"] = request.request_id  # type: ignore[attr-defined]
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        if not request.path.startswith(settings.STATIC_URL):
            # Pages hold client data: no cache, on disk or on the way, may keep one.
            response.headers.setdefault("Cache-Control", "no-store")
        return response
