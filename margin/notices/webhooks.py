"""Webhooks: signed, to allowed hosts only, no redirect followed, over within a few seconds.

The name is looked up once and the connection goes to the address that was looked at, so that an
answer that changes in between leads nowhere else. An address that is not public is refused unless
its network is configured; so is a connection without TLS to anywhere else.
"""

import hmac
import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from django.conf import settings

SIGNATURE: Final = "Brokerage-Signature"
DELIVERY: Final = "Brokerage-Delivery"
SECONDS_MAX: Final = 10
ANSWER_LENGTH_MAX: Final = 200
URL_LENGTH_MAX: Final = 500
PORTS: Final = {"https": 443, "http": 80}
IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class AddressRefusedError(Exception):
    """Nothing is sent to this address; the message is one sentence for people."""


class Place(NamedTuple):
    """Where a webhook goes."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def host_header(self) -> str:
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return shown if self.port == PORTS[self.scheme] else f"{shown}:{self.port}"


class Answer(NamedTuple):
    """What came back: whether it is taken for delivered, and in words."""

    is_accepted: bool
    words: str


# ---------------------------------------------------------------- where it may go


def place_of(url: str) -> Place:
    """The parts of a URL to which the settings allow webhooks.

    Raises:
        AddressRefusedError: it is no plain http or https URL, or its host is not allowed.
    """
    if len(url) > URL_LENGTH_MAX or not url.isascii() or any(c <= " " or c == "\x7f" for c in url):
        raise AddressRefusedError("A webhook is a URL in plain characters, without blanks.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as wrong:
        raise AddressRefusedError("This is no URL.") from wrong
    if parts.scheme not in PORTS or not parts.hostname or "\\" in url:
        raise AddressRefusedError("A webhook is an https URL with a host.")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise AddressRefusedError("A webhook's URL has no name, password or fragment in it.")
    path = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
    place = Place(parts.scheme, parts.hostname, port or PORTS[parts.scheme], path)
    if not {place.host, f"{place.host}:{place.port}"} & set(settings.WEBHOOK_HOSTS):
        raise AddressRefusedError(f"{place.host} is not among the hosts that WEBHOOK_HOSTS allows.")
    return place


def address_of(place: Place) -> IpAddress:
    """The network address to connect to.

    Raises:
        AddressRefusedError: there is none that may be connected to.
    """
    try:
        found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as unknown:
        raise AddressRefusedError(f"{place.host} has no address.") from unknown
    for _, _, _, _, told in found:
        address = ipaddress.ip_address(str(told[0]).partition("%")[0])
        is_own = any(address in ipaddress.ip_network(net) for net in settings.WEBHOOK_NETWORKS)
        if is_own or (_is_public(address) and place.scheme == "https"):
            return address
    why = "has no public address" if place.scheme == "https" else "is not reached by https"
    raise AddressRefusedError(
        f"{place.host} {why}, and WEBHOOK_NETWORKS does not name its network."
    )


def _is_public(address: IpAddress) -> bool:
    inner = getattr(address, "ipv4_mapped", None) or address
    return inner.is_global and not inner.is_multicast


# ---------------------------------------------------------------- signing


def signature_of(body: bytes, *, secret: str, at: int) -> str:
    """HMAC-SHA256 over the time and the body, in hex.

    Args:
        at: seconds since 1970, as the header says them.
    """
    said = f"{at}.".encode() + body
    return hmac.new(secret.encode(), said, sha256).hexdigest()


def signature_header(body: bytes, *, key_id: str, secret: str, at: int) -> str:
    """The value of the signature's header."""
    return f"key={key_id},t={at},v1={signature_of(body, secret=secret, at=at)}"


# ---------------------------------------------------------------- sending


def post(
    url: str, body: bytes, *, headers: Mapping[str, str], seconds: float = SECONDS_MAX
) -> Answer:
    """Send the body once; anything but 2xx is no receipt, a redirect included.

    Raises:
        AddressRefusedError: the settings do not allow it; nothing was sent.
        OSError: no answer came in time, or the connection broke: whether it arrived is unknown.
    """
    place = place_of(url)
    connection = _connection(place, address_of(place), seconds=seconds)
    with _over_within(connection, seconds):
        if isinstance(connection.sock, ssl.SSLSocket):
            connection.sock.do_handshake()
        connection.request(
            "POST", place.path, body=body,
            headers={"Host": place.host_header, "Content-Type": "application/json",
                     "User-Agent": "brokerage", "Connection": "close", **headers},
        )  # fmt: skip
        answer = connection.getresponse()
        said = answer.read(ANSWER_LENGTH_MAX).decode("utf-8", "replace")
    words = f"{answer.status} {answer.reason}"
    if 300 <= answer.status < 400:
        return Answer(False, f"{words}: a redirect is not followed")
    return Answer(200 <= answer.status < 300, f"{words} {said}".strip())


def _connection(place: Place, address: IpAddress, *, seconds: float) -> http.client.HTTPConnection:
    """A connection to exactly this address, checked against the host's name."""
    plain = socket.create_connection((str(address), place.port), timeout=seconds)
    connection = http.client.HTTPConnection(place.host, place.port, timeout=seconds)
    try:
        connection.sock = (
            ssl.create_default_context().wrap_socket(
                plain, server_hostname=place.host, do_handshake_on_connect=False
            )
            if place.scheme == "https"
            else plain
        )
    except OSError:
        plain.close()
        raise
    return connection


@contextmanager
def _over_within(connection: http.client.HTTPConnection, seconds: float) -> Iterator[None]:
    """Break the connection off where it takes longer in all, however busily it drips."""
    held = connection.sock

    def break_off() -> None:
        try:
            # Past TLS, which would wait for the other side to agree.
            socket.socket.shutdown(held, socket.SHUT_RDWR)
        except OSError:
            return  # it is over already

    clock = threading.Timer(seconds, break_off)
    clock.daemon = True
    clock.start()
    try:
        yield
    except http.client.HTTPException as wrong:
        raise OSError(f"no answer that can be read: {type(wrong).__name__}") from wrong
    finally:
        clock.cancel()
        connection.close()
