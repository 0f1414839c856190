"""The provider's word for who somebody is: a signed token, believed when all of it fits."""

import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwt import JWTClaimsRegistry

from accounts.provider.configured import Provider
from accounts.provider.discovery import keys_of
from accounts.provider.outgoing import ProviderError

# Signatures with a public half. "none", and codes under a secret that two share, are not here.
ALGORITHMS = ("RS256", "PS256", "ES256")
# Two clocks may differ by so much.
LEEWAY_SECONDS = 30
AGE_SECONDS_MAX = 600
NAME_LENGTH_MAX = 255


class TokenRefusedError(ProviderError):
    """The token is of somebody else, for somebody else, too old, or not signed by the provider."""


@dataclass(frozen=True)
class Identity:
    """Who the provider says somebody is.

    Attributes:
        has_second_factor: whether it says that they proved more than a password, in the words
            that the firm has configured.
        signed_in_at: when they last proved it there; None where it does not say.
        said_at: when the provider said all this.
        sid: what it calls its own session with them; "" where it does not say.
    """

    issuer: str
    subject: str
    has_second_factor: bool
    signed_in_at: datetime | None
    said_at: datetime
    sid: str

    def as_words(self) -> list[str]:
        """As it is kept in a session that still waits for a second factor here."""
        return [self.issuer, self.subject, self.said_at.isoformat(), self.sid]

    @classmethod
    def of_words(cls, words: list[str]) -> "Identity":
        """What was kept; the provider's own second factor was none."""
        issuer, subject, said_at, sid = words
        return cls(issuer, subject, False, None, datetime.fromisoformat(said_at), sid)


def identity_in(provider: Provider, token: str, *, nonce: str, now: datetime) -> Identity:
    """Read a token that answers to our nonce.

    Raises:
        TokenRefusedError: any of it does not fit; the text says what.
        ProviderError: its keys cannot be read.
    """
    claims = signed(provider, token)
    said_at = check_claims(provider, claims, "sub", "nonce", now=now)
    said = claims["nonce"]
    if not isinstance(said, str) or not hmac.compare_digest(said.encode(), nonce.encode()):
        raise TokenRefusedError("the nonce is another")
    return Identity(
        issuer=provider.issuer, subject=named(claims, "sub"),
        has_second_factor=_is_second_factor(provider, claims),
        signed_in_at=moment(claims.get("auth_time")), said_at=said_at, sid=named(claims, "sid"),
    )  # fmt: skip


def check_claims(
    provider: Provider, claims: dict[str, Any], *needed: str, now: datetime
) -> datetime:
    """Refuse claims that are of somebody else, for somebody else, over or old; when they were made.

    Args:
        needed: claims that must be there besides those that are looked at here.

    Raises:
        TokenRefusedError: any of it does not fit; the text says what.
    """
    besides: dict[str, Any] = {name: {"essential": True} for name in needed}
    registry = JWTClaimsRegistry(
        now=int(now.timestamp()), leeway=LEEWAY_SECONDS,
        iss={"essential": True, "value": provider.issuer},
        aud={"essential": True, "value": provider.client_id}, exp={"essential": True},
        iat={"essential": True}, **besides,
    )  # fmt: skip
    try:
        registry.validate(claims)
    except (JoseError, TypeError, ValueError) as error:
        raise TokenRefusedError(str(error)) from error
    _check_for_whom(claims, client_id=provider.client_id)
    said_at = moment(claims["iat"])
    if said_at is None or said_at < now - timedelta(seconds=AGE_SECONDS_MAX):
        raise TokenRefusedError("it was issued too long ago")
    return said_at


def named(claims: dict[str, Any], claim: str) -> str:
    """How the provider calls a person, or a session of its own; "" where it does not say.

    Raises:
        TokenRefusedError: the name is no text, too long or not to be read.
    """
    said = claims.get(claim)
    if said is None:
        return ""
    if not isinstance(said, str) or not 0 < len(said) <= NAME_LENGTH_MAX or not said.isprintable():
        raise TokenRefusedError(f"{claim} is no text, empty, too long, or not to be read")
    return said


def signed(provider: Provider, token: str) -> dict[str, Any]:
    """The claims of a token that one of the provider's keys has signed."""
    try:
        try:
            found = jwt.decode(token, keys_of(provider), algorithms=ALGORITHMS)
        except InvalidKeyIdError:
            newer = keys_of(provider, are_newer_wanted=True)
            found = jwt.decode(token, newer, algorithms=ALGORITHMS)
    except (JoseError, ValueError, TypeError, UnicodeError) as error:
        raise TokenRefusedError(f"{type(error).__name__}: {error}") from error
    return found.claims


def _check_for_whom(claims: dict[str, Any], *, client_id: str) -> None:
    """A token for several, or of another client, is not for us."""
    several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
    azp = claims.get("azp")
    if (several or azp is not None) and azp != client_id:
        raise TokenRefusedError("it was issued to another client (azp)")


def _is_second_factor(provider: Provider, claims: dict[str, Any]) -> bool:
    amr = claims.get("amr")
    methods = {each for each in amr if isinstance(each, str)} if isinstance(amr, list) else set()
    return bool(methods & provider.amr) or claims.get("acr") in provider.acr


def moment(said: object) -> datetime | None:
    """A time as tokens say it; None where it is none."""
    if isinstance(said, bool) or not isinstance(said, int | float):
        return None
    try:
        return datetime.fromtimestamp(said, UTC)
    except (OverflowError, ValueError, OSError):
        return None
