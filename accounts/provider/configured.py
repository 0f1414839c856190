"""The identity provider as the environment says it."""

from dataclasses import dataclass

from django.conf import settings


@dataclass(frozen=True)
class Provider:
    """One identity provider, and what it calls this desk.

    Attributes:
        name: on the button.
        issuer: its address, as its tokens name it.
        return_address: where it sends people back to; never taken from a request.
        hosts: further hosts at which it may have its endpoints.
        amr, acr: what of its tokens counts as a second factor; nothing unless configured.
    """

    name: str
    issuer: str
    client_id: str
    client_secret: str
    return_address: str
    hosts: frozenset[str]
    amr: frozenset[str]
    acr: tuple[str, ...]
    seconds_max: int


def provider() -> Provider | None:
    """The provider; None where people sign in with their passwords alone."""
    if settings.OIDC_ISSUER is None:
        return None
    client_id, client_secret = settings.OIDC_CLIENT_ID, settings.OIDC_CLIENT_SECRET
    assert client_id is not None, "the three are set together"
    assert client_secret is not None, "the three are set together"
    return Provider(
        name=settings.OIDC_NAME,
        issuer=settings.OIDC_ISSUER,
        client_id=client_id,
        client_secret=client_secret,
        return_address=settings.OIDC_RETURN_ADDRESS,
        hosts=frozenset(settings.OIDC_HOSTS),
        amr=frozenset(settings.OIDC_SECOND_FACTOR_AMR),
        acr=tuple(settings.OIDC_SECOND_FACTOR_ACR),
        seconds_max=settings.OIDC_SECONDS_MAX,
    )
