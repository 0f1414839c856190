"""The audit says what is known of locked packages, and does not call silence clean."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from supply import audit
from supply.audit import Ignored, NoAnswerError, judged

TODAY = date(2031, 3, 3)
KNOWN: dict[str, Any] = {"id": "PYSEC-1", "aliases": ["CVE-2031-1"], "fix_versions": ["2.1"]}
SAID: list[dict[str, Any]] = [
    {"name": "amqp", "version": "1.0", "vulns": []},
    {"name": "django", "version": "2.0", "vulns": [KNOWN]},
]
REASON = "Only its management command has it, which nobody runs."


@contextmanager
def advisories(known: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    """A service that says what is known of each package."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            found = known.get(sent["package"]["name"], [])
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"vulns": found} if found else {}).encode())

        def log_message(self, *args: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "FIRST_SECONDS_MAX", 300)
    monkeypatch.setattr(audit, "ALL_SECONDS_MAX", 300)


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    found = tmp_path / "some.lock"
    pins = ("amqp==1.0", "django==2.0", "tzdata==3.0 ; sys_platform == 'win32'")
    found.write_text("".join(f"{each} \\\n    --hash=sha256:{'a' * 64}\n" for each in pins))
    return found


def test_a_known_vulnerability_fails_the_audit_and_is_said_at_the_end_of_the_tests(
    lock: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    affected = {"package": {"name": "tzdata", "ecosystem": "PyPI"}, "ranges": [
        {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "3.1"}]}
    ]}  # fmt: skip
    known = {"id": "GHSA-1", "aliases": ["CVE-2031-9"], "summary": "s", "affected": [affected]}
    monkeypatch.setenv("PIP_AUDIT_VULNERABILITY_SERVICE", "osv")
    with advisories({"tzdata": [known]}) as address:
        monkeypatch.setenv("PIP_AUDIT_OSV_URL", address)
        assert audit.main(["--lock", str(lock)]) == 1
        said = capsys.readouterr().out
        assert "tzdata 3.0 (is shipped): CVE-2031-9 (GHSA-1), mended in 3.1" in said
        assert said.endswith("3 packages, 1 entry needs somebody.\n"), "whatever the platform"
        answer = audit.judged([{**SAID[1]}], [], shipped=[], today=TODAY)
        monkeypatch.setattr(audit, "audit", lambda *args, **kwargs: answer)
        assert audit.main(["--lock", str(lock), "--report"]) == 0
        assert capsys.readouterr().out.endswith("DOES NOT FAIL BY IT; `make audit` does.\n")


def test_silence_is_not_clean(
    lock: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with advisories({}) as address:
        pass
    monkeypatch.setenv("PIP_AUDIT_VULNERABILITY_SERVICE", "osv")
    monkeypatch.setenv("PIP_AUDIT_OSV_URL", address)
    assert audit.main(["--lock", str(lock)]) == 2
    assert "LEFT OUT" in capsys.readouterr().out
    skipped = [SAID[0], {"name": "django", "skip_reason": "not found"}]
    for said in (skipped, skipped[1:]):
        with pytest.raises(NoAnswerError):
            judged(said, [], shipped=[], today=TODAY)


def test_what_is_ignored_is_ignored_until_its_day_and_of_its_package_alone() -> None:
    def outcome(**changed: Any) -> audit.Outcome:
        one = {"id": "CVE-2031-1", "package": "django", "reason": REASON, "until": TODAY} | changed
        return judged(SAID, [Ignored(**one)], shipped=["django"], today=TODAY)

    assert [len(outcome().found), len(outcome().stale), len(outcome().quiet)] == [0, 0, 1]
    over = outcome(until=date(2031, 3, 2))
    assert over.stale == ["django: CVE-2031-1 was ignored until 2031-03-02; look again"]
    other = outcome(package="amqp")
    assert (len(other.found), len(other.stale)) == (1, 1), "and one that nobody says is stale"
    assert len(judged(SAID, [], shipped=[], today=TODAY).found) == 1


def test_what_is_ignored_has_a_reason_and_an_end() -> None:
    audit.read_ignored(audit.IGNORED.read_text())
    whole = f'[[ignored]]\nid = "A"\npackage = "p"\nreason = "{REASON}"\nuntil = 2031-03-03\n'
    assert audit.read_ignored(whole) == [Ignored("A", "p", REASON, TODAY)]
    for broken in (
        whole.replace(REASON, "short"), whole.replace("until = 2031-03-03", ""),
        whole.replace("2031-03-03", '"never"'), whole.replace("2031-03-03", "2031-03-03T00:00:00Z"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="A: "):
            audit.read_ignored(broken)
