"""Receivers of notices on the loopback: a mail server and a web server that also misbehave."""

import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


@dataclass
class Mailbox:
    """A mail server: what it was handed, and how it answers.

    Attributes:
        rcpt: its answers to RCPT, one after the other; "250 ok" when they are used up.
        hangs_up: after how many messages it hangs up before it says that it has them.
    """

    port: int = 0
    messages: list[bytes] = field(default_factory=list)
    envelopes: list[tuple[str, str]] = field(default_factory=list)
    rcpt: list[str] = field(default_factory=list)
    hangs_up: int = 0


class _Mail(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        box: Mailbox = self.server.box  # type: ignore[attr-defined]
        sender = recipient = ""
        self._say("220 loopback")
        while line := self.rfile.readline().decode().strip():
            verb = line[:4].upper()
            if verb == "MAIL":
                sender = line
                self._say("250 ok")
            elif verb == "RCPT":
                recipient = line
                self._say(box.rcpt.pop(0) if box.rcpt else "250 ok")
            elif verb == "DATA":
                self._say("354 go on")
                box.messages.append(self._message())
                box.envelopes.append((sender, recipient))
                if box.hangs_up:
                    box.hangs_up -= 1
                    return
                self._say("250 kept")
            elif verb == "QUIT":
                self._say("221 bye")
                return
            else:
                self._say("250 ok")

    def _say(self, words: str) -> None:
        self.wfile.write(f"{words}\r\n".encode())

    def _message(self) -> bytes:
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            lines.append(line[1:] if line.startswith(b".") else line)
        return b"".join(lines)


@contextmanager
def mail_server() -> Iterator[Mailbox]:
    """A mail server on the loopback."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Mail) as server:
        server.daemon_threads = True
        box = Mailbox(port=server.server_address[1])
        server.box = box  # type: ignore[attr-defined]
        with _served(server):
            yield box


@dataclass
class Hook:
    """A web server: what was posted to it, and how it answers.

    Attributes:
        answers: statuses, one after the other; 200 when they are used up. 0 answers nothing.
        moved_to: where a redirect points.
    """

    port: int = 0
    posted: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    moved_to: str = ""
    let_go: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/notices?desk=7"


class _Web(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        hook: Hook = self.server.hook  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers["Content-Length"]))
        hook.posted.append((dict(self.headers), body))
        status = hook.answers.pop(0) if hook.answers else 200
        if status == 0:
            hook.let_go.wait(20)
            return
        self.send_response(status)
        if hook.moved_to:
            self.send_header("Location", hook.moved_to)
        self.end_headers()
        self.wfile.write(b"noted\x00\r\n")

    do_GET = do_POST  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


class _WebServer(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of callers that hang up."""


def own_certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, Path]:
    """A certificate that only its maker trusts: the server's side of it, and its file."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    begins = datetime.now(UTC) - timedelta(days=1)
    made = (
        x509.CertificateBuilder().subject_name(who).issuer_name(who).public_key(key.public_key())
        .serial_number(7).not_valid_before(begins).not_valid_after(begins + timedelta(days=9))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    path = folder / "certificate.pem"
    kept = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(made.public_bytes(Encoding.PEM) + kept)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context, path


@contextmanager
def web_server(tls: ssl.SSLContext | None = None) -> Iterator[Hook]:
    """A web server on the loopback."""
    with _WebServer(("127.0.0.1", 0), _Web) as server:
        server.daemon_threads = True
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        hook = Hook(port=server.server_address[1])
        server.hook = hook  # type: ignore[attr-defined]
        with _served(server):
            yield hook
        hook.let_go.set()


@contextmanager
def _served(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join(5)
