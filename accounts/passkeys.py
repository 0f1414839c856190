"""Passkeys (WebAuthn): keys that a device keeps and shows to this host alone, off-line.

The challenge stands in the session and is good once. Host and origins come from the settings.
"""

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import parse_authentication_credential_json
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import PublicKeyCredentialDescriptor

from accounts.audit import Actor, acting
from accounts.factors import LABEL_LENGTH_MAX, WrongCodeError, called, factors_of, spend
from accounts.models import Operator, SecondFactor
from accounts.tickets import spend_ticket

CHALLENGE = "passkey_challenge"
LABEL = "passkey_label"
CREDENTIAL_LENGTH_MAX = 20_000
NAME = "Brokerage back office"


def known_keys(operator: Operator) -> list[PublicKeyCredentialDescriptor]:
    """The passkeys of a person, as browsers want them named."""
    found = factors_of(operator).filter(kind=SecondFactor.Kind.PASSKEY)
    return [
        PublicKeyCredentialDescriptor(id=bytes(key.credential_id))
        for key in found
        if key.credential_id is not None
    ]


def taken_challenge(request: HttpRequest) -> bytes:
    """The challenge of this session, which is gone with it; b"" where there is none.

    Of two requests of one session at once, one gets it.
    """
    said: str = request.session.pop(CHALLENGE, "")
    is_first = bool(said) and spend_ticket(f"challenge {said}", now=timezone.now())
    return bytes.fromhex(said) if is_first else b""


def begin_adding(request: HttpRequest, operator: Operator, *, label: str) -> str:
    """Options for the browser to make a passkey, as JSON."""
    options = generate_registration_options(
        rp_id=settings.PASSKEY_HOST, rp_name=NAME, user_name=operator.username,
        user_id=str(operator.pk).encode(), user_display_name=operator.full_name,
        exclude_credentials=known_keys(operator),
    )  # fmt: skip
    request.session[CHALLENGE] = options.challenge.hex()
    request.session[LABEL] = label[:LABEL_LENGTH_MAX]
    return options_to_json(options)


def add(
    request: HttpRequest, operator: Operator, said: str, *, actor: Actor, request_id: str = ""
) -> None:
    """Keep a passkey that answers to the challenge of this session.

    Raises:
        WrongCodeError: it answers to another challenge, host or origin, or to none.
        RefusedError: the session is over, or the last proof too old.
    """
    challenge, label = taken_challenge(request), request.session.pop(LABEL, "")
    if not challenge or len(said) > CREDENTIAL_LENGTH_MAX:
        raise WrongCodeError
    try:
        made = verify_registration_response(
            credential=said, expected_challenge=challenge, expected_rp_id=settings.PASSKEY_HOST,
            expected_origin=settings.PASSKEY_ORIGINS,
        )  # fmt: skip
    except (WebAuthnException, ValueError) as refused:
        raise WrongCodeError from refused
    with acting(actor, reason=f"Set up a second factor: {label}", request_id=request_id):
        called(
            "SELECT accounts.begin_factor('passkey', %s, NULL, %s, %s, %s)",
            label, made.credential_id, made.credential_public_key, made.sign_count,
        )  # fmt: skip


def begin_showing(request: HttpRequest, operator: Operator) -> str | None:
    """Options for the browser to show a passkey, as JSON; None for whoever has none."""
    keys = known_keys(operator)
    if not keys:
        return None
    options = generate_authentication_options(rp_id=settings.PASSKEY_HOST, allow_credentials=keys)
    request.session[CHALLENGE] = options.challenge.hex()
    return options_to_json(options)


def show(operator: Operator, said: str, *, challenge: bytes) -> str:
    """Check what a passkey says to a challenge, and keep its count.

    Returns:
        What it was: `passkey`.

    Raises:
        WrongCodeError: it is of somebody else, of another host or challenge, or counts backwards.
    """
    if not challenge:
        raise WrongCodeError
    try:
        credential = parse_authentication_credential_json(said)
        key = factors_of(operator).get(
            kind=SecondFactor.Kind.PASSKEY, credential_id=credential.raw_id
        )
        shown = verify_authentication_response(
            credential=credential, expected_challenge=challenge,
            expected_rp_id=settings.PASSKEY_HOST, expected_origin=settings.PASSKEY_ORIGINS,
            credential_public_key=bytes(key.public_key or b""),
            credential_current_sign_count=key.step,
        )  # fmt: skip
    except (WebAuthnException, ValueError, SecondFactor.DoesNotExist) as refused:
        raise WrongCodeError from refused
    reason = f"{operator.full_name} used the passkey {key.label}"
    spend("SELECT accounts.use_passkey(%s, %s)", key.pk, shown.new_sign_count, reason=reason)
    return "passkey"
