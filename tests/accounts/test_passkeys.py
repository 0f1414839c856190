"""Passkeys: made and shown by a device of this test, checked as the standard says."""

import json
import struct
from hashlib import sha256
from secrets import token_bytes
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from django.test import Client as Browser
from webauthn.helpers import bytes_to_base64url

from accounts import factors
from accounts.models import OperatorSession, Role, SecondFactor
from tests.accounts.people import PASSWORD, Desk, found_desk, sign_in

HOST, ORIGIN = "localhost", "http://localhost:8000"


class Device:
    """An authenticator that signs whatever it is given, and counts."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.id = token_bytes(32)
        self.count = 0

    def data(self, host: str, *, with_key: bool) -> bytes:
        """Authenticator data: host, flags, count, and the key where it is made."""
        self.count += 1
        flags = 0x41 if with_key else 0x01
        head = sha256(host.encode()).digest() + bytes([flags]) + struct.pack(">I", self.count)
        if not with_key:
            return head
        numbers = self.key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32), -3: numbers.y.to_bytes(32)}
        return head + bytes(16) + struct.pack(">H", len(self.id)) + self.id + cbor2.dumps(cose)

    def make(self, options: dict[str, Any], *, host: str = HOST, origin: str = ORIGIN) -> str:
        """What a browser says after making a passkey."""
        client = client_data("webauthn.create", options["challenge"], origin)
        said = {"fmt": "none", "attStmt": {}, "authData": self.data(host, with_key=True)}
        return self.spoken(clientDataJSON=client, attestationObject=cbor2.dumps(said))

    def show(self, options: dict[str, Any], *, host: str = HOST, origin: str = ORIGIN) -> str:
        """What a browser says after showing it."""
        client = client_data("webauthn.get", options["challenge"], origin)
        data = self.data(host, with_key=False)
        signature = self.key.sign(data + sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        return self.spoken(clientDataJSON=client, authenticatorData=data, signature=signature)

    def spoken(self, **parts: bytes) -> str:
        name = bytes_to_base64url(self.id)
        response = {key: bytes_to_base64url(part) for key, part in parts.items()}
        return json.dumps({"id": name, "rawId": name, "type": "public-key", "response": response})


def client_data(kind: str, challenge: str, origin: str) -> bytes:
    return json.dumps({"type": kind, "challenge": challenge, "origin": origin}).encode()


@pytest.fixture
def desk(db: None) -> Desk:
    return found_desk()


def options_in(answer: Any) -> dict[str, Any]:
    """The options that a page carries."""
    from html import unescape

    text = answer.content.decode().partition('data-options="')[2].partition('"')[0]
    found: dict[str, Any] = json.loads(unescape(text))
    return found


def enrol(client: Browser, device: Device, **changed: str) -> Any:
    begun = client.post("/me/passkeys/begin/", {"label": "Key"})
    return client.post(
        "/me/passkeys/add/", {"credential": device.make(options_in(begun), **changed)}
    )


def half_in() -> Browser:
    """Somebody whose password was right."""
    client = Browser()
    client.post("/sign-in/", {"username": "m.okafor", "password": PASSWORD, "next": "/me/"})
    return client


def test_a_passkey_is_made_and_lets_its_person_in(desk: Desk, client: Browser) -> None:
    sign_in(client, desk[Role.RISK])
    device = Device()
    done = enrol(client, device)
    assert done.status_code == 200
    assert "recovery codes" in done.content.decode()
    assert factors.recovery_codes_left(desk[Role.RISK]) == 10
    entering = half_in()
    assert entering.get("/approvals/").status_code == 302
    options = options_in(entering.get("/sign-in/second/"))
    shown = entering.post("/sign-in/second/", {"credential": device.show(options)})
    assert (shown.status_code, shown["Location"]) == (302, "/me/")
    session = OperatorSession.objects.latest("opened_at")
    assert session.factors == "password,passkey"
    assert SecondFactor.objects.get().step == device.count == 2


@pytest.mark.parametrize(
    "changed",
    [{"host": "evil.example"}, {"origin": "http://evil.example"}, {"origin": "http://localhost"}],
)
def test_a_passkey_of_another_place_is_none(
    desk: Desk, client: Browser, changed: dict[str, str]
) -> None:
    sign_in(client, desk[Role.RISK])
    assert enrol(client, Device(), **changed).status_code == 400
    assert not SecondFactor.objects.exists()
    device = Device()
    enrol(client, device)
    entering = half_in()
    options = options_in(entering.get("/sign-in/second/"))
    shown = entering.post("/sign-in/second/", {"credential": device.show(options, **changed)})
    assert shown.status_code == 403
    assert "That passkey is wrong." in shown.content.decode()
    assert entering.get("/approvals/").status_code == 302


def test_what_a_passkey_said_is_good_once(desk: Desk, client: Browser) -> None:
    sign_in(client, desk[Role.RISK])
    device = Device()
    enrol(client, device)
    entering = half_in()
    said = device.show(options_in(entering.get("/sign-in/second/")))
    assert entering.post("/sign-in/second/", {"credential": said}).status_code == 302
    thief = half_in()
    thief.get("/sign-in/second/")
    assert thief.post("/sign-in/second/", {"credential": said}).status_code == 403
    assert thief.get("/approvals/").status_code == 302


def test_a_copy_that_counts_less_is_refused(desk: Desk, client: Browser) -> None:
    sign_in(client, desk[Role.RISK])
    device = Device()
    enrol(client, device)
    device.count = 0
    entering = half_in()
    options = options_in(entering.get("/sign-in/second/"))
    shown = entering.post("/sign-in/second/", {"credential": device.show(options)})
    assert shown.status_code == 403
    assert SecondFactor.objects.get().step == 1


@pytest.mark.parametrize("said", ["", "{}", "x", "[]", '{"id": "a"}', "x" * 30_000])
def test_nonsense_is_no_passkey(desk: Desk, client: Browser, said: str) -> None:
    sign_in(client, desk[Role.RISK])
    client.post("/me/passkeys/begin/", {"label": "Key"})
    assert client.post("/me/passkeys/add/", {"credential": said}).status_code == 400
    device = Device()
    enrol(client, device)
    entering = half_in()
    entering.get("/sign-in/second/")
    assert entering.post("/sign-in/second/", {"credential": said}).status_code in (400, 403)
    assert entering.get("/approvals/").status_code == 302
