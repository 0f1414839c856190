"""The identity provider ends sessions here: those it means, once, and never by a lie."""

import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import timedelta
from threading import Thread
from typing import Any

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.db import connection
from django.http import HttpRequest
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from joserfc.jwk import ECKey

from accounts.audit import RefusedError
from accounts.factors import code_at, step_of
from accounts.models import Act, OperatorSession, ProviderLogout, Role
from accounts.operators import SignInRefusedError, open_session
from accounts.provider import discovery
from accounts.provider.leaving import EVENT, leaving_in
from accounts.provider.tokens import Identity
from accounts.screens.provider import provider_or_404
from accounts.sessions import end_by_provider
from tests.accounts.people import PASSWORD, Desk, found_desk, session_of, sign_in
from tests.accounts.provider import CLIENT, SmallProvider, sent_back
from tests.accounts.raw import Connection, act, one
from tests.accounts.test_factors import enrolled
from tests.accounts.test_provider import bind, go, live

LEFT, PROVE = "/sign-in/provider/left/", "/sign-in/provider/prove/"
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def desk(db: None) -> Desk:
    return found_desk()


def tell(token: str) -> Any:
    """What the provider is answered; it has no cookie and no token of a form."""
    strict = Browser(enforce_csrf_checks=True)
    answer = strict.post(LEFT, f"logout_token={token}", content_type=FORM)
    assert not strict.cookies
    return answer


def is_in(client: Browser) -> bool:
    return client.get("/approvals/").status_code == 200


def test_whoever_leaves_there_is_out_here_and_nobody_else(desk: Desk, there: SmallProvider) -> None:
    bind(desk, desk[Role.RISK], "idp-42")
    bind(desk, desk[Role.TREASURY], "idp-43")
    first, second, by_password, other = Browser(), Browser(), Browser(), Browser()
    go(first)
    go(second)
    sign_in(by_password, desk[Role.RISK])
    there.subject = "idp-43"
    go(other)
    answer = tell(there.left(sub="idp-42"))
    assert (answer.status_code, answer.content) == (200, b"")
    assert "no-store" in answer["Cache-Control"]
    assert [is_in(each) for each in (first, second, by_password, other)] == [
        False,
        False,
        True,
        True,
    ]
    assert Act.objects.filter(reason="M. Okafor signed out at the firm's sign-in").count() == 1
    assert tell(there.left(sub="idp-99")).status_code == 200, "nobody here is no fault"
    assert live() == 1


def test_a_session_of_the_providers_is_one_session_here(desk: Desk, there: SmallProvider) -> None:
    bind(desk, desk[Role.RISK], "idp-42")
    browsers = {}
    for sid in ("s-1", "s-2", "s-3", None):
        there.claims = {"sid": sid}
        browsers[sid] = Browser()
        go(browsers[sid])
    assert tell(there.left(sub="idp-43", sid="s-1")).status_code == 200
    assert live() == 4, "a session of somebody else"
    tell(there.left(sub=None, sid="s-1"))
    assert [is_in(each) for each in browsers.values()] == [False, True, True, True]
    tell(there.left(sid="s-2"))
    # Of the last one the provider never said its name, so it may be the one that is meant.
    assert [is_in(each) for each in browsers.values()] == [False, False, True, False]
    tell(there.left())
    assert live() == 0


LIES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("another audience", {"aud": "another"}, {}),
    ("several audiences", {"aud": [CLIENT, "another"]}, {}),
    ("another issuer", {"iss": "https://evil.example"}, {}),
    ("over", {"exp": 1_600_000_000}, {}),
    ("no end", {"exp": None}, {}),
    ("an end that is no time", {"exp": 10**30}, {}),
    ("long ago", {"iat": 1_600_000_000}, {}),
    ("no time", {"iat": None}, {}),
    ("a nonce", {"nonce": "n"}, {}),
    ("no events", {"events": None}, {}),
    ("another event", {"events": {"https://example.org/another": {}}}, {}),
    ("an event that is no object", {"events": {EVENT: True}}, {}),
    ("events that are a text", {"events": EVENT}, {}),
    ("no name", {"jti": None}, {}),
    ("a name that is no text", {"jti": 7}, {}),
    ("neither subject nor session", {"sub": None}, {}),
    ("a subject that is no text", {"sub": 42}, {}),
    ("an empty subject", {"sub": ""}, {}),
    ("unsigned", {}, {"alg": "none"}),
    ("signed with the client's secret", {}, {"alg": "HS256"}),
    ("a token of another kind", {}, {"typ": "at+jwt"}),
]  # fmt: skip


def test_a_lie_of_any_kind_ends_nothing_and_costs_nothing(desk: Desk, there: SmallProvider) -> None:
    bind(desk, desk[Role.RISK], "idp-42")
    client = Browser()
    go(client)
    discovery.forget()
    acts, asked = Act.objects.count(), len(there.asked)
    with CaptureQueriesContext(connection) as queries:
        for what, claims, header in LIES:
            there.header = header
            answer = tell(there.left(**claims))
            assert answer.status_code == 400, what
            assert answer.json()["error"] == "invalid_request", what
        there.header = {}
        honest = there.left()
        head, _, tail = honest.split(".")
        deep = urlsafe_b64encode(b"[" * 5000).decode().rstrip("=")
        for garbage in ("", "x", "a.b.c", "x" * 9000, f"{head}.{tail}", f"{head}.{deep}.{tail}",
                        f"{deep}.{deep}.{tail}"):  # fmt: skip
            assert tell(garbage).status_code == 400
        form = Browser().post(LEFT, {"logout_token": honest})
        assert form.status_code == 400, "sent in another way than the provider's"
    assert len(queries) == 0, "it reaches no database"
    assert len(there.asked) == asked, "and no keys are asked for"
    for published in ([ECKey.generate_key("P-256", {"kid": "k1"})], [ECKey.generate_key("P-256")]):
        there.published = published
        discovery.forget()
        assert tell(honest).status_code == 400, "the key of another"
    there.published = []
    discovery.forget()
    assert (live(), Act.objects.count(), ProviderLogout.objects.count()) == (1, acts, 0)
    assert is_in(client)
    assert tell(honest).status_code == 200, "the truth ends it"
    assert not is_in(client)


def test_a_token_counts_once(desk: Desk, there: SmallProvider) -> None:
    bind(desk, desk[Role.RISK], "idp-42")
    token = there.left()
    assert tell(token).status_code == 200
    there.claims = {"iat": int(time.time()) + 2}
    client = Browser()
    go(client)
    acts = Act.objects.count()
    again = tell(token)
    assert (again.status_code, "used before" in again.json()["error_description"]) == (400, True)
    meant = leaving_in(provider_or_404(), token, now=timezone.now())
    with pytest.raises(RefusedError) as told:
        end_by_provider(provider_or_404(), meant)
    assert told.value.rule == "logout_token_is_used_once"
    assert (Act.objects.count(), ProviderLogout.objects.count(), live()) == (acts, 1, 1)
    assert is_in(client)


def test_what_was_said_before_somebody_left_opens_nothing_afterwards(
    desk: Desk, there: SmallProvider
) -> None:
    operator = desk[Role.RISK]
    bind(desk, operator, "idp-42")
    secret, _ = enrolled(operator)
    waits = Browser()
    assert go(waits)["Location"] == "/sign-in/second/"
    tell(there.left())
    code = code_at(secret, step_of(timezone.now()))
    assert waits.post("/sign-in/second/", {"code": code}).status_code == 403
    assert (live(), is_in(waits)) == (0, False)
    there.subject = "idp-43"
    bind(desk, desk[Role.TREASURY], "idp-43")
    tell(there.left())
    late, again = Browser(), Browser()
    there.claims = {"iat": int(time.time()) - 60}
    before = timezone.now() - timedelta(minutes=1)
    issuer = provider_or_404().issuer
    request = HttpRequest()
    request.session = SessionStore()
    with pytest.raises(SignInRefusedError) as told:
        open_session(
            request, desk[Role.TREASURY],
            identity=Identity(issuer, "idp-43", False, None, said_at=before, sid=""),
        )  # fmt: skip
    assert told.value.rule == "identity_is_signed_in_there"
    assert live() == 0
    assert go(late).status_code == 403, "an answer that was on its way"
    there.claims = {"iat": int(time.time()) + 2}
    assert go(again).status_code == 302, "whoever signs in anew is in"
    assert (live(), is_in(late)) == (1, False)


def test_a_proof_keeps_a_session_the_providers_or_makes_it_so(
    desk: Desk, there: SmallProvider
) -> None:
    bind(desk, desk[Role.RISK], "idp-42")
    theirs, ours = Browser(), Browser()
    go(theirs)
    sign_in(ours, desk[Role.RISK])
    theirs.post("/api/proof/", {"proof": PASSWORD}, content_type="application/json")
    to = ours.post(PROVE, {"next": "/approvals/"})["Refresh"].partition("url=")[2]
    assert ours.get(sent_back(to)).status_code == 302
    found = OperatorSession.objects.filter(ended_at=None, issuer=there.address, subject="idp-42")
    assert sorted(each.factors for each in found) == ["oidc,password", "password,oidc"]
    assert tell(there.left()).status_code == 200
    assert not found.all().exists()
    assert [is_in(each) for each in (theirs, ours)] == [False, False]


def test_a_session_that_is_renewed_meanwhile_ends_too(
    desk: Desk, there: SmallProvider, connect: Callable[[str], Connection]
) -> None:
    bind(desk, desk[Role.RISK], "idp-42")
    go(Browser())
    proving, leaving = connect("runtime"), connect("runtime")
    key = session_of(desk[Role.RISK])
    said = [there.address, "idp-42", "", timezone.now()]
    with act(proving, actor="system:sign-in"):
        proving.execute(
            "SELECT accounts.renew_identity_session(%s, 'k1', 'password,oidc', %s, %s, %s, %s)",
            [key, *said],
        )
    ended: list[int] = []

    def leave() -> None:
        with act(leaving, actor="system:sign-in"):
            ended.append(one(
                leaving, "SELECT accounts.end_identity_sessions('t', %s, %s, %s, %s, now())", *said
            ))  # fmt: skip

    ends = Thread(target=leave)
    with act(proving, actor="system:sign-in"):
        proving.execute("SELECT accounts.renew_session('k1', 'k2', 'password,oidc,totp')")
        ends.start()
        ends.join(timeout=0.5)
        assert ends.is_alive(), "it waits for whoever is proving"
    ends.join(timeout=30)
    assert ended == [2]
    assert live() == 0


def test_without_a_provider_there_is_no_such_address(
    desk: Desk, there: SmallProvider, settings: Any
) -> None:
    token = there.left()
    assert Browser().get(LEFT).status_code == 405
    settings.OIDC_ISSUER = None
    absent = Browser().post(LEFT, f"logout_token={token}", content_type=FORM)
    assert absent.status_code == 404
    assert not ProviderLogout.objects.exists()
