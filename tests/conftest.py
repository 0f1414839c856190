"""Fixtures every test may use.

Each test that asks for `db` works in a database of its own, cloned from a template that was set
up once, and connects as `bo_runtime`: what the product may not do, a test may not do either.
"""

import gc
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django
import hypothesis
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.serving import WebServer
from tests.watcher import watched

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page
    from pytest_django.plugin import DjangoDbBlocker

    from tests.cluster import Cluster

# How long a draw takes says how busy the machine is, and nothing of what is proved.
hypothesis.settings.register_profile(
    "suite", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("suite")

ROOT = Path(__file__).resolve().parent.parent
CONTROLLER = "PYTEST_XDIST_WORKER" not in os.environ
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]

FULL_FIGURES = "full figures, which take long: make soak"

Connection = psycopg.Connection[Any]


def swift_place() -> str | None:
    """Memory, where there is enough: the server syncs every commit as it does at work."""
    memory = Path("/dev/shm")
    if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2_000_000_000:
        return str(memory)
    return None


def beside(prefix: str) -> Path:
    """A new folder for a server of a test's own, known as the session's by its name."""
    session = Path(os.environ["BROKERAGE_VAR"])
    place = Path(tempfile.mkdtemp(prefix=f"{session.name}-{prefix}-", dir=session.parent))
    place.chmod(0o711)
    return place


# The session's own world, before Django reads its settings; workers inherit it.
if CONTROLLER:
    for name in ("DATABASE_URL", "BROKERAGE_DB_ROLE", "SECRET_KEY"):
        os.environ.pop(name, None)
    os.environ["BROKERAGE_VAR"] = tempfile.mkdtemp(prefix="brokerage-test-", dir=swift_place())
    os.environ["BROKER_URL"] = "memory://"
    os.environ.setdefault("SEED", str(random.SystemRandom().randrange(10**9)))
    # Workers and programs take what is compiled already.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    Path(os.environ["BROKERAGE_VAR"]).chmod(0o711)
    Path(os.environ["BROKERAGE_VAR"], "session.pid").write_text(str(os.getpid()))
    watched()
os.environ["DJANGO_SETTINGS_MODULE"] = "brokerage.settings"
# Test modules import models at their top, so Django is ready before they are collected.
django.setup()

left_out: Counter[str] = Counter()


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Three workers, since tests wait for servers and disks too, and two processors are common.

    None for tests named one by one, which end sooner than workers start.
    """
    return 0 if any("::" in argument for argument in config.args) else 3


def pytest_report_header() -> str:
    return f"seed: {os.environ['SEED']} (SEED=... repeats a session's random choices)"


def pytest_deselected(items: list[pytest.Item]) -> None:
    full_figures = sum(1 for item in items if item.get_closest_marker("soak"))
    if full_figures:
        left_out[FULL_FIGURES] = full_figures


def pytest_collection_finish() -> None:
    """What the collection has loaded stays to the end, and is not looked through again."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish(session: pytest.Session) -> None:
    if not CONTROLLER:
        output: dict[str, int] = session.config.workeroutput  # type: ignore[attr-defined]
        output["full figures"] = left_out[FULL_FIGURES]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Every worker collects all tests and chooses the same; hear it from any of them."""
    full_figures = getattr(node, "workeroutput", {}).get("full figures", 0)
    if full_figures:
        left_out[FULL_FIGURES] = full_figures


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Random choices of one test, repeated by SEED and untouched by the order of the tests."""
    return random.Random(f"{os.environ['SEED']} {request.node.nodeid}")


def pytest_sessionstart() -> None:
    if CONTROLLER:
        from tests.cluster import remove_abandoned

        remove_abandoned(Path(os.environ["BROKERAGE_VAR"]).parent)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """Leave no process and no file behind, and say what was not tested."""
    if not CONTROLLER:
        return
    from tests.cluster import remove

    remove(Path(os.environ["BROKERAGE_VAR"]))
    if left_out:
        sys.stdout.write(f"Left out: {left_out.total()} tests.\n")
        for reason, count in sorted(left_out.items()):
            sys.stdout.write(f"  {count} x {reason}\n")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        left_out[str(reason).removeprefix("Skipped: ")] += 1


@pytest.fixture(scope="session")
def cluster() -> Iterator["Cluster"]:
    """The session's PostgreSQL with a migrated template."""
    from django.conf import settings

    from tests.cluster import Cluster

    cluster = Cluster(settings.EMBEDDED_SERVER)
    cluster.prepare()
    yield cluster
    cluster.server.release()


@pytest.fixture
def database(cluster: "Cluster") -> Iterator[str]:
    """Name of this test's own database."""
    name = cluster.fresh()
    yield name
    cluster.drop(name)


@pytest.fixture
def _django_db_helper(
    database: str, cluster: "Cluster", django_db_blocker: "DjangoDbBlocker"
) -> Iterator[None]:
    """What `db`, `transactional_db` and the `django_db` mark rest on: Django in its own clone.

    Nothing is rolled back or flushed, so every test may commit, and deferred rules are checked
    as they are at work.
    """
    from django.conf import settings
    from django.db import connection, connections

    addresses = dict(settings.DATABASE_ADDRESSES)
    name, heads = connection.settings_dict["NAME"], settings.SEAL_HEADS
    connections.close_all()
    connection.settings_dict["NAME"] = database
    settings.SEAL_HEADS = heads.with_name(f"heads-{database}.ndjson")
    for role, address in addresses.items():
        settings.DATABASE_ADDRESSES[role] = make_conninfo(address, dbname=database)
    with django_db_blocker.unblock():
        yield
        connections.close_all()
    connection.settings_dict["NAME"], settings.SEAL_HEADS = name, heads
    settings.DATABASE_ADDRESSES.update(addresses)


@pytest.fixture
def connect(cluster: "Cluster", database: str) -> Iterator[Callable[[str], Connection]]:
    """Further connections to the test's database: `connect("runtime")`, for threads and roles.

    Each commits by itself; open a transaction with `with connection.transaction()`.
    """
    users = {
        "runtime": "bo_runtime",
        "owner": "bo_migrator",
        "auditor": "bo_auditor",
        "broker": "bo_broker",
        "superuser": "postgres",
    }
    with ExitStack() as opened:

        def connect_as(role: str) -> Connection:
            options = "-c role=bo_owner" if role == "owner" else ""
            address = cluster.conninfo(users[role], database=database)
            connection = psycopg.connect(address, options=options, autocommit=True)
            opened.callback(connection.close)
            return connection

        yield connect_as


@pytest.fixture
def owner(connect: Callable[[str], Connection]) -> Connection:
    """A connection as the role that owns the schema, which migrations use."""
    return connect("owner")


@pytest.fixture
def superuser(connect: Callable[[str], Connection]) -> Connection:
    """A connection no privilege stops, for proving what still does."""
    return connect("superuser")


@pytest.fixture
def web_server(db: None, database: str, cluster: "Cluster") -> Iterator[WebServer]:
    """The product served by a web server of the test's own, from the test's database."""
    environment = os.environ | {
        "DATABASE_URL": cluster.conninfo("bo_runtime", database=database),
    }
    environment.pop("DJANGO_ALLOW_ASYNC_UNSAFE", None)
    server = WebServer(environment, logs=cluster.server.root)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def desk_url(web_server: WebServer) -> str:
    """Address of the product served from the test's database."""
    return web_server.url


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """The system's Chromium, driven by Playwright."""
    program = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if program is None:
        pytest.skip("no Chromium found")
    from playwright.sync_api import sync_playwright

    # Playwright keeps an event loop in this thread until the session ends, which would make
    # Django refuse the plain queries of every later test.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, headless=True, args=CHROMIUM_ARGUMENTS
        )
        yield browser
        browser.close()


@pytest.fixture
def browser_page(browser: "Browser") -> Iterator["Page"]:
    """A page in a fresh browser profile."""
    with browser.new_context(viewport={"width": 1280, "height": 800}) as context:
        yield context.new_page()


@pytest.fixture
def shared_dir() -> Path:
    """Folder of sample days and statements beside the project."""
    given = os.environ.get("BROKERAGE_SAMPLES")
    folder = Path(given) if given else ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("no sample folder beside the project")
    return folder
