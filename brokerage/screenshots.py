"""Pictures of the ten main screens, of the demo firm, in both themes.

The demo firm is made in a cluster of its own and served by the product's own web server; a
browser then looks at it as an operator does. Nothing of an installation is touched.
"""

import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpRequest
from django.urls import reverse

from accounts import operators
from accounts.models import Operator
from brokerage import demo
from brokerage.benchmarks.scratch import is_scratch
from margin.models import MarginCall

BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")
THEMES: Final = ("light", "dark")
WIDTH, HEIGHT = 1280, 800
STARTS_WITHIN_SECONDS: Final = 60
OPERATOR: Final = "l.brandt"


class ScreenshotsError(Exception):
    """No pictures can be made here; the text says why."""


class Screen(NamedTuple):
    """A name for the file and an address."""

    name: str
    address: str


def take(folder: Path) -> list[Path]:
    """Make the demo firm, look at it, and write `NAME-THEME.png` into a folder.

    Raises:
        ScreenshotsError: not in a cluster of its own, or without a browser to look with.
    """
    if not is_scratch() or settings.EMBEDDED_SERVER is None:
        raise ScreenshotsError("Pictures are made in a cluster of their own.")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        raise ScreenshotsError("There is no Chromium on this machine.")
    settings.EMBEDDED_SERVER.hold()
    demo.load()
    folder.mkdir(parents=True, exist_ok=True)
    with served() as url:
        return looked_at(url, program, folder)


def screens() -> list[Screen]:
    """The ten main screens, of the most troubled account where one is shown."""
    call = (
        MarginCall.objects.open()
        .filter(last_result__components__kind="im_perpetual")
        .select_related("scope__bucket__account")
        .order_by("-amount")
        .first()
    )
    if call is None or call.scope.bucket is None:
        raise ScreenshotsError("The demo firm has no open call to show.")
    account = call.scope.bucket.account.code
    sliders = reverse("margin:sliders", args=[account])
    return [
        Screen("day-board", reverse("brokerage:day")),
        Screen("margin-calls", reverse("margin:calls")),
        Screen("call", f"{reverse('margin:call', args=[call.number])}?explain=initial_margin"),
        Screen("account", reverse("margin:account", args=[account])),
        Screen("what-if-sliders", f"{sliders}?bucket={call.scope.bucket.code}&money=5000"),
        Screen("breaks", reverse("ledger:breaks")),
        Screen("approvals", reverse("accounts:approvals")),
        Screen("pools-and-locations", reverse("ledger:locations")),
        Screen("prices", reverse("margin:prices")),
        Screen("audit-trail", reverse("accounts:audit")),
    ]


def looked_at(url: str, program: str, folder: Path) -> list[Path]:
    """Every screen in every theme, as a browser draws it."""
    try:
        from playwright.sync_api import ViewportSize, sync_playwright
    except ImportError as error:
        detail = "Playwright is needed: pip install -r requirements-dev.txt."
        raise ScreenshotsError(detail) from error
    wanted, session = screens(), signed_in()
    written = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu"]
        )
        for theme in THEMES:
            context = browser.new_context(
                viewport=ViewportSize(width=WIDTH, height=HEIGHT),
                color_scheme="dark" if theme == "dark" else "light",
                reduced_motion="reduce",
            )
            context.add_cookies([{"name": "sessionid", "value": session, "url": url}])
            page = context.new_page()
            for screen in wanted:
                path = folder / f"{screen.name}-{theme}.png"
                page.goto(f"{url}{screen.address}")
                page.locator("[data-stream-state]", has_text="Live").wait_for()
                page.screenshot(path=path)
                written.append(path)
            context.close()
        browser.close()
    return written


def signed_in() -> str:
    """A session of somebody of operations, opened as signing in does; its key."""
    request = HttpRequest()
    request.session = SessionStore()
    key: str = operators.open_session(request, Operator.objects.get(username=OPERATOR))
    request.session.save()
    return key


@contextmanager
def served() -> Iterator[str]:
    """The product's web server on a free port, for as long as this lasts; its address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = int(listener.getsockname()[1])
    url = f"http://127.0.0.1:{port}"
    with (settings.VAR / "web.log").open("w") as log:
        web = subprocess.Popen(  # noqa: S603 - our own program
            [
                sys.executable, "-m", "granian", "--interface", "asginl", "--workers", "1",
                "--host", "127.0.0.1", "--port", str(port), "brokerage.asgi:application",
            ],
            cwd=settings.ROOT, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            await_answer(f"{url}/health", web)
            yield url
        finally:
            web.terminate()
            web.wait(timeout=30)


def await_answer(url: str, web: "subprocess.Popen[bytes]") -> None:
    """Wait until the web server answers.

    Raises:
        ScreenshotsError: it ended, or did not answer in time.
    """
    deadline = time.monotonic() + STARTS_WITHIN_SECONDS
    while web.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - our own address
                return
        except OSError:
            time.sleep(0.1)
    raise ScreenshotsError("The web server did not answer.")
