"""The only way out to the provider: its own hosts, no redirect, no proxy, a limit on everything."""

import json
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPHandler, HTTPSHandler, OpenerDirector, Request

from accounts.provider.configured import Provider

LENGTH_MAX = 1_000_000


class ProviderError(Exception):
    """The provider did not answer, or not as it must; the text is for the log, not for people."""


def is_the_providers(provider: Provider, address: object) -> bool:
    """Whether an address is the issuer's own, or at a host that was configured besides."""
    if not isinstance(address, str):
        return False
    try:
        own, asked = urlsplit(provider.issuer), urlsplit(address)
        if asked.username is not None or asked.fragment or not asked.hostname:
            return False
        if (asked.scheme, asked.netloc) == (own.scheme, own.netloc):
            return True
        return asked.scheme == "https" and asked.port is None and asked.hostname in provider.hosts
    except ValueError:
        return False


def fetch(provider: Provider, address: str, *, form: dict[str, str] | None = None,
          headers: dict[str, str] | None = None) -> dict[str, Any]:  # fmt: skip
    """A JSON object from the provider; with a form, by POST.

    Raises:
        ProviderError: the address is not the provider's, it did not answer in time or with 200,
            said too much, or no object.
    """
    if not is_the_providers(provider, address):
        raise ProviderError(f"{address} is not at the issuer or at one of OIDC_HOSTS")
    request = Request(  # noqa: S310 - http or https, looked at above
        address,
        data=None if form is None else urlencode(form).encode(),
        headers={"Accept": "application/json", **(headers or {})},
    )
    try:
        with _opener().open(request, timeout=provider.seconds_max) as answer:
            said = answer.read(LENGTH_MAX + 1)
            status = answer.status
    except (URLError, OSError, ValueError) as error:
        raise ProviderError(f"{address}: {error}") from error
    if status != 200 or len(said) > LENGTH_MAX:
        raise ProviderError(f"{address} answered {status} with {len(said)} bytes")
    try:
        found = json.loads(said)
    except ValueError as error:
        raise ProviderError(f"{address} answered no JSON") from error
    if not isinstance(found, dict):
        raise ProviderError(f"{address} answered no object")
    return found


def _opener() -> OpenerDirector:
    """Knows http and https alone: no redirects, no proxies, no files, no cookies."""
    opener = OpenerDirector()
    for handler in (HTTPHandler(), HTTPSHandler()):
        opener.add_handler(handler)
    return opener
