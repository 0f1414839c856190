"""What every answer carries, whoever asks and whatever the answer is."""

from collections.abc import Callable
from uuid import UUID

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory

from brokerage.middleware import CONTENT_SECURITY_POLICY, SecurityHeaders, new_request_id


def test_no_page_may_run_or_draw_anything_inline_or_from_elsewhere() -> None:
    policy = dict(part.split(" ", 1) for part in CONTENT_SECURITY_POLICY.split("; "))
    assert policy["default-src"] == policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["object-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in CONTENT_SECURITY_POLICY


@pytest.mark.parametrize("address", ["/health", "/sign-in/", "/nothing-here/", "/static/desk.css"])
def test_every_answer_carries_the_headers(db: None, address: str) -> None:
    answer = Client().get(address)
    assert answer["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["Referrer-Policy"] == "same-origin"
    assert answer["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "camera=()" in answer["Permissions-Policy"]


def test_no_page_is_kept_by_a_cache_but_static_files_are(db: None) -> None:
    assert "no-store" in Client().get("/sign-in/")["Cache-Control"]
    assert "no-store" not in Client().get("/static/desk.css").get("Cache-Control", "")


def answered(answer: Callable[[HttpRequest], HttpResponse], **headers: str) -> HttpResponse:
    return SecurityHeaders(answer)(RequestFactory().get("/", headers=headers))


def test_a_view_may_say_itself_how_long_its_answer_is_kept() -> None:
    answer = answered(lambda request: HttpResponse(headers={"Cache-Control": "max-age=60"}))
    assert answer["Cache-Control"] == "max-age=60"


def test_the_request_id_is_ours_whatever_the_browser_sends() -> None:
    seen: list[str] = []

    def view(request: HttpRequest) -> HttpResponse:
        seen.append(request.request_id)  # type: ignore[attr-defined]
        return HttpResponse()

    answer = answered(view, **{"X-Request-ID": "somebody-elses"})
    assert [answer["X-Request-ID"]] == seen
    assert seen != ["somebody-elses"]


def test_request_ids_are_of_version_7_and_sort_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([1_517_950_800_000_000_000, 1_517_950_800_001_000_000])
    monkeypatch.setattr("brokerage.middleware.time.time_ns", lambda: next(now))
    first, second = new_request_id(), new_request_id()
    assert first < second
    assert UUID(first).version == 7
    assert UUID(first).variant == "specified in RFC 4122"
    assert int(UUID(first)) >> 80 == 1_517_950_800_000
