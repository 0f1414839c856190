"""Second factors: codes that change every half minute (RFC 6238), and recovery codes on paper.

Secrets are sealed under a key that stands in a file, not in the database; of recovery codes only a
keyed hash is kept. Each code is good once: the database keeps the last time step that was used.
"""

import contextlib
import hmac
import os
import re
import secrets
from base64 import b32encode
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha1, sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import segno
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.db import connection
from django.db.models import QuerySet

from accounts.audit import Actor, RefusedError, acting, refusals
from accounts.models import Operator, RecoveryCode, SecondFactor

STEP_SECONDS = 30
DIGITS = 6
# A clock may be half a minute off, either way.
STEPS_AROUND = (0, -1, 1)
SECRET_BYTES = 20
NONCE_BYTES = 12
RECOVERY_CODES = 10
RECOVERY_BYTES = 10  # 80 bits each: not to be guessed, so a fast hash does
LABEL_LENGTH_MAX = 60
ISSUER = "Brokerage"


class WrongCodeError(Exception):
    """The code is of nobody, of another time, or was used before. The text says no more."""


@dataclass(frozen=True)
class Begun:
    """A code generator that waits for its first code.

    Attributes:
        factor: its id.
        secret: in base 32, for typing.
        address: `otpauth://` as programs for codes read it.
        picture: the address as a QR code, a `data:` address of an SVG picture.
    """

    factor: UUID
    secret: str
    address: str
    picture: str


# ---------------------------------------------------------------- arithmetic of codes


def step_of(moment: datetime) -> int:
    """The time step of an instant, counted from 1970."""
    return int(moment.timestamp()) // STEP_SECONDS


def code_at(secret: bytes, step: int, *, digits: int = DIGITS) -> str:
    """The code of a time step (RFC 4226 over RFC 6238, HMAC-SHA-1)."""
    mac = hmac.new(secret, step.to_bytes(8), sha1).digest()
    place = mac[-1] & 0xF
    number = int.from_bytes(mac[place : place + 4]) & 0x7FFF_FFFF
    return str(number % 10**digits).zfill(digits)


def step_with(secret: bytes, code: str, *, now: datetime) -> int | None:
    """The time step around `now` whose code this is, if any."""
    for around in STEPS_AROUND:
        step = step_of(now) + around
        if hmac.compare_digest(code_at(secret, step).encode(), code.encode()):
            return step
    return None


# ---------------------------------------------------------------- what is kept, and how


def derived_key(purpose: str) -> bytes:
    """A key for one purpose, from the secret in the file `FACTOR_KEY`."""
    return hmac.new(file_secret(), purpose.encode(), sha256).digest()


def file_secret() -> bytes:
    """The secret outside the database; made at first use, readable by its owner only."""
    path = Path(settings.FACTOR_KEY)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        draft.touch(mode=0o600)
        draft.write_bytes(secrets.token_bytes(32))
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)  # whoever comes first wins; nobody sees half a secret
        draft.unlink()
    return path.read_bytes()


def seal_secret(secret: bytes, *, operator_id: int) -> bytes:
    """Nonce, then AES-256-GCM, bound to the person."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    cipher = AESGCM(derived_key("seal second factors"))
    return nonce + cipher.encrypt(nonce, secret, str(operator_id).encode())


def open_secret(factor: SecondFactor) -> bytes:
    """The secret of a code generator.

    Raises:
        cryptography.exceptions.InvalidTag: sealed for somebody else, or under another key.
    """
    assert factor.secret is not None, "a code generator has a secret until it is removed"
    whole = bytes(factor.secret)
    cipher = AESGCM(derived_key("seal second factors"))
    bound = str(factor.operator_id).encode()
    return cipher.decrypt(whole[:NONCE_BYTES], whole[NONCE_BYTES:], bound)


def digest_of(code: str, *, operator_id: int) -> bytes:
    """What is kept of a recovery code, however it is typed."""
    plain = re.sub(r"[^a-z2-7]", "", code.lower())
    said = f"{operator_id} {plain}".encode()
    return hmac.new(derived_key("hash recovery codes"), said, sha256).digest()


# ---------------------------------------------------------------- enrolment


def factors_of(operator: Operator) -> "QuerySet[SecondFactor]":
    """What is asked of a person besides the password, oldest first."""
    found = SecondFactor.objects.filter(
        operator=operator, confirmed_at__isnull=False, removed_at__isnull=True
    )
    return found.order_by("added_at")


def recovery_codes_left(operator: Operator) -> int:
    """How many recovery codes are still good."""
    left = RecoveryCode.objects.filter(operator=operator, used_at__isnull=True)
    return left.filter(void_at__isnull=True).count()


def begin_totp(operator: Operator, *, label: str, actor: Actor, request_id: str = "") -> Begun:
    """Make a secret for a code generator; it counts once its first code was typed.

    Raises:
        RefusedError: the session is over, or the last proof too old.
    """
    secret = secrets.token_bytes(SECRET_BYTES)
    with acting(actor, reason=f"Began a second factor: {label}", request_id=request_id):
        factor = called(
            "SELECT accounts.begin_factor('totp', %s, %s, NULL, NULL, 0)",
            label, seal_secret(secret, operator_id=operator.pk),
        )  # fmt: skip
    assert isinstance(factor, UUID)
    return begun(factor, secret, operator)


def begun(factor: UUID, secret: bytes, operator: Operator) -> Begun:
    """How the secret is shown to the person, once."""
    text = b32encode(secret).decode().rstrip("=")
    name = quote(f"{ISSUER}:{operator.username}")
    address = f"otpauth://totp/{name}?secret={text}&issuer={quote(ISSUER)}"
    picture = segno.make(address, error="m").svg_data_uri(scale=4, border=4, light="#fff")
    return Begun(factor, text, address, picture)


def unconfirmed(operator: Operator) -> Begun | None:
    """The code generator that waits for its first code, if there is one."""
    factor = SecondFactor.objects.filter(
        operator=operator, kind=SecondFactor.Kind.TOTP, confirmed_at__isnull=True,
        removed_at__isnull=True,
    ).first()  # fmt: skip
    return None if factor is None else begun(factor.pk, open_secret(factor), operator)


def confirm_totp(
    operator: Operator, factor_id: UUID, *, code: str, now: datetime, actor: Actor,
    request_id: str = "",
) -> None:  # fmt: skip
    """Take a code generator into use by its first code, which is spent with it.

    Raises:
        WrongCodeError: the code is not of now.
        RefusedError: the label is used already, or the session is over.
    """
    factor = SecondFactor.objects.filter(
        pk=factor_id, operator=operator, confirmed_at__isnull=True, removed_at__isnull=True
    ).first()
    step = None if factor is None else step_with(open_secret(factor), tidy(code), now=now)
    if factor is None or step is None:
        raise WrongCodeError
    with acting(actor, reason=f"Set up a second factor: {factor.label}", request_id=request_id):
        called("SELECT accounts.confirm_factor(%s, %s)", factor.pk, step)


def remove_factor(
    operator: Operator, factor_id: UUID, *, actor: Actor, request_id: str = ""
) -> None:
    """Take one's own second factor away; its secret is gone with it.

    Raises:
        RefusedError: there is no such one, or the last proof is too old.
    """
    label = SecondFactor.objects.filter(pk=factor_id, operator=operator).values_list("label")
    named = next(iter(label), ("",))[0]
    with acting(actor, reason=f"Removed a second factor: {named}", request_id=request_id):
        called("SELECT accounts.remove_factor(%s)", factor_id)


def new_recovery_codes(operator: Operator, *, actor: Actor, request_id: str = "") -> list[str]:
    """Ten codes in the place of those from before; shown once, kept as hashes.

    Raises:
        RefusedError: the session is over, or the last proof too old.
    """
    codes = [
        b32encode(secrets.token_bytes(RECOVERY_BYTES)).decode().lower()
        for _ in range(RECOVERY_CODES)
    ]
    digests = [digest_of(code, operator_id=operator.pk) for code in codes]
    with acting(actor, reason="Made new recovery codes", request_id=request_id):
        called("SELECT accounts.make_recovery_codes(%s)", digests)
    return ["-".join(code[at : at + 4] for at in range(0, 16, 4)) for code in codes]


# ---------------------------------------------------------------- proof


def tidy(code: str) -> str:
    """A code as it was typed, without the spaces people put in it."""
    return re.sub(r"\s", "", code)


def spend_code(operator: Operator, code: str, *, now: datetime) -> str:
    """Use a code of a generator, or a recovery code; nobody can use it again.

    Returns:
        What it was: `totp` or `recovery`.

    Raises:
        WrongCodeError: it is none of these, or was used before.
    """
    typed = tidy(code)
    if re.fullmatch(rf"[0-9]{{{DIGITS}}}", typed):
        spend_totp(operator, typed, now=now)
        return "totp"
    digest = digest_of(typed, operator_id=operator.pk)
    if not RecoveryCode.objects.filter(operator=operator, digest=digest).exists():
        raise WrongCodeError
    reason = f"{operator.full_name} used a recovery code"
    spend("SELECT accounts.use_recovery_code(%s, %s)", operator.pk, digest, reason=reason)
    return "recovery"


def spend_totp(operator: Operator, code: str, *, now: datetime) -> None:
    for factor in factors_of(operator).filter(kind=SecondFactor.Kind.TOTP):
        step = step_with(open_secret(factor), code, now=now)
        if step is not None:
            reason = f"{operator.full_name} used a code of {factor.label}"
            spend("SELECT accounts.use_code(%s, %s)", factor.pk, step, reason=reason)
            return
    raise WrongCodeError


def spend(statement: str, *values: Any, reason: str) -> None:  # noqa: ANN401
    """Spend something in an act of the door; what was spent before reads as wrong."""
    try:
        with acting(Actor.sign_in(), reason=reason):
            called(statement, *values)
    except RefusedError as refused:
        if refused.rule not in ("code_is_used_once", "recovery_code_is_used_once"):
            raise
        raise WrongCodeError from refused


def called(statement: str, *values: Any) -> object:  # noqa: ANN401
    """Call a function of the database inside an act, and return what it returns."""
    with refusals(), connection.cursor() as cursor:
        cursor.execute(statement, values)
        row = cursor.fetchone()
    return row[0]
