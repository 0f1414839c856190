"""The provider's word that somebody has signed out there (OpenID Connect Back-Channel Logout 1.0).

Anybody may send us one. What costs something, keys and the database, comes after all that costs
nothing: a text that is no token of this provider for us is refused before any key is looked at.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError

from accounts.provider.configured import Provider
from accounts.provider.tokens import (
    ALGORITHMS,
    TokenRefusedError,
    check_claims,
    moment,
    named,
    signed,
)

EVENT = "http://schemas.openid.net/event/backchannel-logout"
TYPES = (None, "JWT", "logout+jwt")
TOKEN_LENGTH_MAX = 8192


@dataclass(frozen=True)
class Leaving:
    """Whom the provider means.

    Attributes:
        token: sha256 of issuer and the token's own name, which is good once.
        subject: the person; "" where only a session of theirs is named.
        sid: the provider's session with them; "" where all of them are meant.
        said_at: when it said so.
        over_at: until when the token is good.
    """

    token: bytes
    issuer: str
    subject: str
    sid: str
    said_at: datetime
    over_at: datetime


def leaving_in(provider: Provider, token: str, *, now: datetime) -> Leaving:
    """Read a logout token.

    Raises:
        TokenRefusedError: it is none of this provider for us; the text says what does not fit.
        ProviderError: its keys cannot be read.
    """
    _meant(provider, _unproved(token), now=now)
    return _meant(provider, signed(provider, token), now=now)


def _unproved(token: str) -> dict[str, Any]:
    """What a token says, whoever wrote it."""
    if not 0 < len(token) <= TOKEN_LENGTH_MAX:
        raise TokenRefusedError("it is no token")
    try:
        found = jws.extract_compact(token.encode())
        header, claims = found.headers(), json.loads(found.payload or b"")
    except (JoseError, ValueError, TypeError, RecursionError) as error:
        raise TokenRefusedError("it is no token") from error
    if header.get("alg") not in ALGORITHMS or header.get("typ") not in TYPES:
        raise TokenRefusedError("it is signed in another way, or a token of another kind")
    if not isinstance(claims, dict):
        raise TokenRefusedError("it is no token")
    return claims


def _meant(provider: Provider, claims: dict[str, Any], *, now: datetime) -> Leaving:
    said_at = check_claims(provider, claims, "jti", "events", now=now)
    events, over_at = claims["events"], moment(claims["exp"])
    if not isinstance(events, dict) or not isinstance(events.get(EVENT), dict):
        raise TokenRefusedError("it does not say that somebody has signed out (events)")
    if "nonce" in claims:
        raise TokenRefusedError("it holds a nonce, so it is a token for signing in")
    subject, sid, name = named(claims, "sub"), named(claims, "sid"), named(claims, "jti")
    if not subject and not sid:
        raise TokenRefusedError("it names neither a person nor a session")
    if over_at is None:
        raise TokenRefusedError("its end is no time")
    digest = sha256(f"{provider.issuer}\n{name}".encode()).digest()
    return Leaving(digest, provider.issuer, subject, sid, said_at, over_at)
