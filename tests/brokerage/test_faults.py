"""A page that could not be drawn names its request, and reads nothing for that."""

import pytest
from django.test import Client as Browser
from django.test import RequestFactory
from django.urls import reverse

from accounts.models import Role
from brokerage.screens.faults import not_answered
from tests.accounts.people import found_desk, sign_in


def test_a_fault_names_its_request_and_reads_nothing() -> None:
    request = RequestFactory().get("/")
    request.request_id = "0199-abc"  # type: ignore[attr-defined]
    answer = not_answered(request)
    assert answer.status_code == 500
    assert "Request 0199-abc" in answer.content.decode()


@pytest.mark.parametrize(("path", "status"), [("/nothing-here/", 404), ("/people/", 403)])
def test_a_refused_page_names_the_request_of_its_header(
    db: None, client: Browser, path: str, status: int
) -> None:
    sign_in(client, found_desk()[Role.OPERATIONS])
    answer = client.get(path)
    assert answer.status_code == status
    assert answer["X-Request-ID"] in answer.content.decode()


def test_pages_are_compressed_and_say_so(db: None, client: Browser) -> None:
    sign_in(client, found_desk()[Role.OPERATIONS])
    answer = client.get(reverse("accounts:approvals"), headers={"Accept-Encoding": "gzip"})
    assert answer["Content-Encoding"] == "gzip"
    assert len(answer.content) < len(client.get(reverse("accounts:approvals")).content) / 2
