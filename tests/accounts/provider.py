"""A small identity provider on this machine, over real HTTP, that lies as it is told to."""

import json
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from secrets import token_urlsafe
from threading import Thread
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qs, unquote, urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, build_opener

from joserfc import jws
from joserfc.jwk import ECKey, OctKey

from accounts.provider.flow import challenge_of
from accounts.provider.leaving import EVENT

CLIENT, SECRET = "desk", "a secret/of two"
HERE = "http://localhost:8000/sign-in/provider/return/"
UNSIGNED = "none"


class Stay(HTTPRedirectHandler):
    """Leaves a redirect as it is."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Follows none."""


@dataclass
class SmallProvider:
    """Signs in whoever it is told, and says of them what it is told.

    Attributes:
        subject: who sits before the browser.
        claims: what its tokens say otherwise; None leaves a claim out.
        metadata: what it says of itself otherwise.
        key: signs its tokens; `published` are the keys it shows.
        asked: paths that were asked for, in order.
    """

    address: str = ""
    subject: str = "idp-42"
    claims: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    header: dict[str, Any] = field(default_factory=dict)
    key: Any = field(default_factory=lambda: ECKey.generate_key("P-256", {"kid": "k1"}))
    published: list[Any] = field(default_factory=list)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    moved_to: str = ""
    names: int = 0

    def publish(self) -> dict[str, Any]:
        """What it says of itself."""
        return {
            "issuer": self.address,
            "authorization_endpoint": f"{self.address}/authorize",
            "token_endpoint": f"{self.address}/token",
            "jwks_uri": f"{self.address}/keys",
            "end_session_endpoint": f"{self.address}/out",
        } | self.metadata

    def authorize(self, said: dict[str, str]) -> str:
        """Sign the person in; where the browser goes then."""
        code = token_urlsafe(16)
        self.codes[code] = said | {"at": str(int(time.time()))}
        return f"{said['redirect_uri']}?{urlencode({'code': code, 'state': said['state']})}"

    def give(self, form: dict[str, str], secret: str) -> tuple[int, dict[str, Any]]:
        """A token for a code: once, to who holds the secret and the verifier."""
        said = self.codes.pop(form.get("code", ""), None)
        fits = (
            said is not None
            and secret == f"{CLIENT}:{SECRET}"
            and form["redirect_uri"] == said["redirect_uri"]
            and challenge_of(form["code_verifier"]) == said["code_challenge"]
        )
        if said is None or not fits:
            return 400, {"error": "invalid_grant"}
        return 200, {"access_token": "unused", "token_type": "Bearer", "id_token": self.sign(said)}

    def sign(self, said: dict[str, str]) -> str:
        """The token."""
        now = int(time.time())
        return self.seal({
            "iss": self.address, "sub": self.subject, "aud": CLIENT, "exp": now + 300, "iat": now,
            "nonce": said["nonce"], "auth_time": now,
        } | self.claims)  # fmt: skip

    def left(self, **claims: Any) -> str:
        """A token that says that the person has signed out."""
        now = int(time.time())
        self.names += 1
        return self.seal({
            "iss": self.address, "sub": self.subject, "aud": CLIENT, "exp": now + 120, "iat": now,
            "jti": f"left-{self.names}", "events": {EVENT: {}},
        } | claims)  # fmt: skip

    def seal(self, claims: dict[str, Any]) -> str:
        """Claims, signed; those that are None are left out."""
        content = json.dumps({k: v for k, v in claims.items() if v is not None})
        header = {"alg": "ES256", "kid": self.key.kid} | self.header
        key = OctKey.import_key(SECRET * 4) if header["alg"] == "HS256" else self.key
        if header["alg"] == UNSIGNED:
            key = OctKey.import_key("unused " * 8)
        return jws.serialize_compact(header, content, key, algorithms=[header["alg"]])


def handler_of(there: SmallProvider) -> type[BaseHTTPRequestHandler]:
    """Answers for one provider."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self, status: int, said: Any, to: str = "") -> None:
            self.send_response(status)
            if to:
                self.send_header("Location", to)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(said).encode())

        def do_GET(self) -> None:
            path, said = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
            there.asked.append(path)
            if there.moved_to:
                self.answer(302, {}, to=there.moved_to)
            elif path == "/.well-known/openid-configuration":
                self.answer(200, there.publish())
            elif path == "/keys":
                keys = there.published or [there.key]
                self.answer(200, {"keys": [each.as_dict(private=False) for each in keys]})
            elif path == "/authorize":
                to = there.authorize({name: values[0] for name, values in said.items()})
                self.answer(302, {}, to=to)
            else:
                self.answer(404, {})

        def do_POST(self) -> None:
            there.asked.append(self.path)
            sent = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in parse_qs(sent).items()}
            basic = self.headers.get("Authorization", "Basic ").partition(" ")[2]
            self.answer(*there.give(form, unquote(b64decode(basic).decode())))

        def log_message(self, *args: Any) -> None:
            """Says nothing."""

    return Handler


@contextmanager
def small_provider() -> Iterator[SmallProvider]:
    """A provider that listens on a port of its own."""
    there = SmallProvider()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(there))
    there.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield there
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def sent_back(address: str) -> str:
    """Path and query to which the provider sends a browser that comes with an address."""
    try:
        build_opener(Stay).open(address, timeout=10)
    except HTTPError as answer:
        to = urlsplit(answer.headers["Location"])
        return f"{to.path}?{to.query}"
    raise AssertionError("the provider redirects")
