"""There and back: what goes to the provider with a person, and what must come back with them.

Each way there has its own state, nonce and verifier (PKCE), kept in the session of this browser
and good for one answer within ten minutes.
"""

import hmac
import secrets
from base64 import b64encode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from urllib.parse import quote, urlencode

from django.http import HttpRequest, QueryDict

from accounts.operators import SignInRefusedError
from accounts.provider.configured import Provider
from accounts.provider.discovery import Metadata, metadata_of
from accounts.provider.outgoing import ProviderError, fetch
from accounts.provider.tokens import LEEWAY_SECONDS, Identity, identity_in
from accounts.tickets import spend_ticket

FLOW = "provider_flow"
FLOW_FOR = timedelta(minutes=10)
CODE_LENGTH_MAX = 4096
IN, PROOF = "in", "proof"


@dataclass(frozen=True)
class Returned:
    """Somebody has come back.

    Attributes:
        purpose: to come in, or to prove again who they are.
        back: the page they wanted.
    """

    identity: Identity
    purpose: str
    back: str


def begin(
    request: HttpRequest, provider: Provider, *, purpose: str, back: str, now: datetime,
    is_asked_again: bool = False,
) -> str:  # fmt: skip
    """The address at the provider to go to; what must come back is kept in the session.

    Args:
        is_asked_again: whether the provider must ask the person, though it knows them.

    Raises:
        ProviderError: the provider cannot be asked where that is.
    """
    metadata = metadata_of(provider)
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    request.session[FLOW] = {
        "state": state, "nonce": nonce, "verifier": verifier, "purpose": purpose, "back": back,
        "at": now.timestamp(),
    }  # fmt: skip
    said = {
        "response_type": "code",
        "client_id": provider.client_id,
        "redirect_uri": provider.return_address,
        "scope": "openid",
        "state": state,
        "nonce": nonce,
        "code_challenge": challenge_of(verifier),
        "code_challenge_method": "S256",
    }
    if is_asked_again or purpose == PROOF:
        said |= {"prompt": "login", "max_age": "0"}
    if provider.acr:
        said["acr_values"] = " ".join(provider.acr)
    joined = "&" if "?" in metadata.authorization else "?"
    return f"{metadata.authorization}{joined}{urlencode(said)}"


def challenge_of(verifier: str) -> str:
    """What is sent of a verifier before (RFC 7636, S256)."""
    return urlsafe_b64encode(sha256(verifier.encode()).digest()).decode().rstrip("=")


def returned(
    request: HttpRequest, provider: Provider, answer: QueryDict, *, now: datetime
) -> Returned:
    """Who has come back with this answer.

    Raises:
        SignInRefusedError: `provider_answers_this_browser`: it answers to nothing that this
            browser asked, or too late; `provider_answers_once`; `provider_says_no`.
        ProviderError: the provider does not answer, or its token does not fit.
    """
    flow = request.session.pop(FLOW, None)
    began_at = datetime.fromtimestamp(0 if flow is None else flow["at"], UTC)
    state = answer.get("state", "")
    is_ours = flow is not None and hmac.compare_digest(flow["state"].encode(), state.encode())
    if not is_ours or began_at < now - FLOW_FOR:
        raise SignInRefusedError(
            "provider_answers_this_browser",
            "This answer is to nothing that this browser has asked in the last ten minutes.",
        )
    if not spend_ticket(f"state {state}", now=now):
        raise SignInRefusedError("provider_answers_once", "This answer was used already.")
    metadata = metadata_of(provider)
    named = answer.get("iss")
    if named != provider.issuer and (named is not None or metadata.names_issuer):
        raise ProviderError(f"the answer is of the issuer {named!r}")
    code = answer.get("code", "")
    if "error" in answer or not 0 < len(code) <= CODE_LENGTH_MAX:
        raise SignInRefusedError("provider_says_no", f"{provider.name} did not let you in.")
    token = _token_for(provider, metadata, code=code, verifier=flow["verifier"])
    identity = identity_in(provider, token, nonce=flow["nonce"], now=now)
    if flow["purpose"] == PROOF and not _is_since(identity, began_at):
        raise ProviderError("it did not ask again who the person is (auth_time)")
    return Returned(identity, flow["purpose"], flow["back"])


def _is_since(identity: Identity, began_at: datetime) -> bool:
    """Whether the person proved who they are after we had asked for it."""
    at = identity.signed_in_at
    return at is not None and at >= began_at - timedelta(seconds=LEEWAY_SECONDS)


def _token_for(provider: Provider, metadata: Metadata, *, code: str, verifier: str) -> str:
    """The token that the provider gives for a code, once, to who holds secret and verifier."""
    form = {
        "grant_type": "authorization_code", "code": code, "code_verifier": verifier,
        "redirect_uri": provider.return_address,
    }  # fmt: skip
    headers = {}
    if metadata.by_form:
        form |= {"client_id": provider.client_id, "client_secret": provider.client_secret}
    else:
        pair = f"{quote(provider.client_id, safe='')}:{quote(provider.client_secret, safe='')}"
        headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
    said = fetch(provider, metadata.token, form=form, headers=headers)
    token = said.get("id_token")
    if not isinstance(token, str):
        raise ProviderError("the provider's answer holds no id_token")
    return token
