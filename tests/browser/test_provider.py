"""In a real browser, under the strict policy: to the identity provider and back, twice."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from accounts import emergencies
from accounts.models import Operator, OperatorSession, Role
from tests.accounts.people import Desk, found_desk, person, sign_in_page
from tests.accounts.provider import CLIENT, SECRET, SmallProvider, small_provider
from tests.accounts.raw import Connection
from tests.accounts.test_duties import WHY
from tests.accounts.test_provider import bind
from tests.accounts.test_step_up import grow_old
from tests.browser.judging import Watch, overflows, violations
from tests.serving import WebServer, free_port

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.cluster import Cluster


@pytest.fixture
def desk(db: None) -> Desk:
    return found_desk()


@pytest.fixture
def there() -> Iterator[SmallProvider]:
    with small_provider() as found:
        yield found


@pytest.fixture
def served(
    desk: Desk, there: SmallProvider, database: str, cluster: "Cluster", settings: Any
) -> Iterator[WebServer]:
    """The product with a provider."""
    port = free_port()
    settings.OIDC_ISSUER = there.address
    environment = os.environ | {
        "DATABASE_URL": cluster.conninfo("bo_runtime", database=database),
        "OIDC_ISSUER": there.address, "OIDC_CLIENT_ID": CLIENT, "OIDC_CLIENT_SECRET": SECRET,
        "OIDC_NAME": "Example ID",
        "OIDC_RETURN_ADDRESS": f"http://127.0.0.1:{port}/sign-in/provider/return/",
    }  # fmt: skip
    environment.pop("DJANGO_ALLOW_ASYNC_UNSAFE", None)
    server = WebServer(environment, logs=cluster.server.root, port=port)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def test_a_person_comes_in_and_proves_again_by_the_provider(
    desk: Desk, there: SmallProvider, served: WebServer, browser_page: "Page", superuser: Connection
) -> None:
    operator, page = desk.administrators[0], browser_page
    bind(desk, operator, "idp-42")
    watch = Watch(served.url).on(page)
    page.goto(f"{served.url}/people/")
    assert violations(page) == []
    page.set_viewport_size({"width": 390, "height": 800})
    assert not overflows(page)
    page.set_viewport_size({"width": 1280, "height": 800})
    page.get_by_role("link", name="Sign in with Example ID").click()
    page.wait_for_url(f"{served.url}/people/")
    assert "session" not in page.url
    grow_old(superuser, minutes=16)
    page.get_by_label("Person").select_option("s.iyer")
    page.get_by_label("Role", exact=True).select_option("risk")
    page.get_by_label("Reason").fill("Covers for a colleague")
    page.get_by_role("button", name="Ask for this role").click()
    page.get_by_role("button", name="Sign in again with Example ID").click()
    page.wait_for_url(f"{served.url}/sign-in/kept/")
    assert "Covers for a colleague" in page.content()
    assert violations(page) == []
    page.get_by_role("button", name="Send").click()
    page.wait_for_url(f"{served.url}/approvals/**")
    assert OperatorSession.objects.get(factors="oidc", ended_at=None).operator == operator
    # A browser also notes that the act was refused (403) before the proof.
    said = [each for each in watch.complaints if "status of 403" not in each]
    assert [each for each in said if there.address not in each] == []


def test_pages_of_emergencies_and_identities_pass_axe(
    desk: Desk, there: SmallProvider, served: WebServer, browser_page: "Page"
) -> None:
    emergencies.break_glass(
        legal_entity=desk.entity, role="risk", minutes=60, reason=WHY,
        actor=person(desk[Role.OPERATIONS]),
    )  # fmt: skip
    bind(desk, desk[Role.RISK], "idp-43")
    pages: tuple[tuple[Operator, str], ...] = (
        (desk[Role.PRINCIPAL], "/emergency/"),
        (desk[Role.COMPLIANCE], "/margin/tasks/"),
        (desk.administrators[0], "/people/of/m.okafor/sessions/"),
        (desk.administrators[0], "/people/of/m.okafor/identities/?verdict=take&subject=idp-43"),
    )
    for operator, address in pages:
        sign_in_page(browser_page, served.url, operator)
        for scheme in ("light", "dark"):
            browser_page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type, unused-ignore]
            browser_page.goto(f"{served.url}{address}")
            assert violations(browser_page) == [], address
        for width in (390, 1280):
            browser_page.set_viewport_size({"width": width, "height": 800})
            assert not overflows(browser_page), address
