"""Where the provider's endpoints are, and the keys that sign its tokens; kept for an hour."""

import time
from dataclasses import dataclass, field

from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from accounts.provider.configured import Provider
from accounts.provider.outgoing import ProviderError, fetch, is_the_providers

WELL_KNOWN = "/.well-known/openid-configuration"
KEPT_SECONDS = 3600
# A token may name a key that is newer than those we keep; they are read again so often at most.
KEYS_AT_MOST_EVERY_SECONDS = 60


@dataclass
class Keys:
    """The provider's keys, and when they were read."""

    known: KeySet
    read_at: float


@dataclass
class Metadata:
    """What the provider publishes of itself.

    Attributes:
        end_session: where one signs out there; "" where it does not say.
        names_issuer: whether its answers name the issuer (RFC 9207).
        by_form: whether it takes the client's secret in the form alone.
    """

    authorization: str
    token: str
    keys_at: str
    end_session: str
    names_issuer: bool
    by_form: bool
    read_at: float
    keys: Keys | None = field(default=None)


_known: dict[str, Metadata] = {}


def forget() -> None:
    """Read everything again at the next use."""
    _known.clear()


def metadata_of(provider: Provider) -> Metadata:
    """What the provider says of itself, an hour old at the most.

    Raises:
        ProviderError: it does not answer, is another than the issuer, or has endpoints elsewhere.
    """
    found = _known.get(provider.issuer)
    if found is None or found.read_at < time.monotonic() - KEPT_SECONDS:
        found = _known[provider.issuer] = _read(provider)
    return found


def known_metadata(provider: Provider) -> Metadata | None:
    """The same without asking anybody."""
    return _known.get(provider.issuer)


def _read(provider: Provider) -> Metadata:
    said = fetch(provider, provider.issuer.rstrip("/") + WELL_KNOWN)
    if said.get("issuer") != provider.issuer:
        raise ProviderError(f"{provider.issuer} says that it is {said.get('issuer')!r}")
    names = ("authorization_endpoint", "token_endpoint", "jwks_uri")
    for name in names:
        if not is_the_providers(provider, said.get(name)):
            raise ProviderError(
                f"{name} is {said.get(name)!r}, not at the issuer or at one of OIDC_HOSTS"
            )
    end = said.get("end_session_endpoint", "")
    methods = said.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    return Metadata(
        authorization=said[names[0]],
        token=said[names[1]],
        keys_at=said[names[2]],
        end_session=end if is_the_providers(provider, end) else "",
        names_issuer=said.get("authorization_response_iss_parameter_supported") is True,
        by_form="client_secret_basic" not in methods and "client_secret_post" in methods,
        read_at=time.monotonic(),
    )


def keys_of(provider: Provider, *, are_newer_wanted: bool = False) -> KeySet:
    """The keys that sign the provider's tokens.

    Args:
        are_newer_wanted: read them again, unless that was a moment ago.

    Raises:
        ProviderError: it does not answer, or not with keys.
    """
    metadata = metadata_of(provider)
    keys, now = metadata.keys, time.monotonic()
    age = KEYS_AT_MOST_EVERY_SECONDS if are_newer_wanted else KEPT_SECONDS
    if keys is not None and keys.read_at > now - age:
        return keys.known
    said = fetch(provider, metadata.keys_at)
    try:
        # Secrets shared by two sign nothing here: only keys with a public half are looked at.
        public = [key for key in said["keys"] if key.get("kty") in ("RSA", "EC")]
        known = KeySet.import_key_set({"keys": public})
    except (JoseError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ProviderError(f"{metadata.keys_at} has no keys: {error}") from error
    metadata.keys = Keys(known, now)
    return known
