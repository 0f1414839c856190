"""Signing in by an identity provider: who comes in, and what of a lying one is refused."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
from django.contrib.sessions.models import Session
from django.core.exceptions import ImproperlyConfigured
from django.test import Client as Browser
from django.utils import timezone
from joserfc.jwk import ECKey, RSAKey

from accounts import bindings
from accounts.approvals import AskRefusedError, apply_approved, decide
from accounts.factors import code_at, step_of
from accounts.models import (
    Act,
    Operator,
    OperatorSession,
    Role,
    RoleGrant,
    SignInFailure,
    SpentTicket,
)
from accounts.provider import discovery, flow
from brokerage import environment
from tests.accounts.people import Desk, found_desk, person, sign_in
from tests.accounts.provider import CLIENT, HERE, SmallProvider, sent_back, small_provider
from tests.accounts.test_factors import enrolled

WHY = "Agreed at the meeting of Monday"
BEGIN, RETURN, PROVE = "/sign-in/provider/", "/sign-in/provider/return/", "/sign-in/provider/prove/"


@pytest.fixture
def desk(db: None) -> Desk:
    return found_desk()


def agree(desk: Desk, asked: UUID) -> None:
    checker = person(desk.administrators[1])
    apply_approved(decide(asked, verdict="approved", reason=WHY, actor=checker), actor=checker)


def bind(desk: Desk, operator: Operator, subject: str, *, is_bound: bool = True) -> None:
    agree(
        desk,
        bindings.request_binding(
            operator=operator, legal_entity=desk.entity, subject=subject, is_bound=is_bound,
            reason=WHY, actor=person(desk.administrators[0]),
        ),
    )  # fmt: skip


def go(client: Browser, address: str = BEGIN) -> Any:
    """There and back."""
    return client.get(sent_back(client.get(address)["Location"]))


def live() -> int:
    return OperatorSession.objects.filter(ended_at__isnull=True, factors__contains="oidc").count()


def test_a_bound_person_comes_in_and_keeps_only_their_own_roles(
    desk: Desk, there: SmallProvider, client: Browser
) -> None:
    bind(desk, desk[Role.RISK], "idp-42")
    roles = list(RoleGrant.objects.order_by("pk").values())
    client.get("/sign-in/")
    to = client.get(f"{BEGIN}?next=/approvals/")["Location"]
    planted = client.cookies["sessionid"].value
    asked = {name: values[0] for name, values in parse_qs(urlsplit(to).query).items()}
    assert to.startswith(f"{there.address}/authorize?")
    assert (asked["response_type"], asked["client_id"], asked["scope"]) == (
        "code",
        CLIENT,
        "openid",
    )
    assert (asked["redirect_uri"], asked["code_challenge_method"]) == (HERE, "S256")
    answer = client.get(sent_back(to))
    assert (answer.status_code, answer["Location"]) == (302, "/approvals/")
    session = OperatorSession.objects.get(factors="oidc", ended_at__isnull=True)
    assert session.operator == desk[Role.RISK]
    assert client.cookies["sessionid"].value != planted
    assert not Session.objects.filter(session_key=planted).exists()
    assert client.get("/approvals/").status_code == 200
    assert list(RoleGrant.objects.order_by("pk").values()) == roles
    assert Act.objects.filter(reason__startswith="M. Okafor signed in").exists()


def test_whoever_is_not_bound_stays_out_and_nobody_is_made(
    desk: Desk, there: SmallProvider, client: Browser
) -> None:
    there.claims = {"email": "m.okafor@example.com", "preferred_username": "m.okafor"}
    people = Operator.objects.count()
    answer = go(client)
    assert answer.status_code == 403
    assert "idp-42" in answer.content.decode()
    assert (Operator.objects.count(), live()) == (people, 0)
    assert SignInFailure.objects.filter(username="").count() == 1


LIES: list[tuple[str, dict[str, Any]]] = [
    ("another nonce", {"claims": {"nonce": "x" * 43}}),
    ("no nonce", {"claims": {"nonce": None}}),
    ("another audience", {"claims": {"aud": "another"}}),
    ("several audiences", {"claims": {"aud": [CLIENT, "another"]}}),
    ("another party", {"claims": {"azp": "another"}}),
    ("another issuer", {"claims": {"iss": "https://evil.example"}}),
    ("over", {"claims": {"exp": 1_600_000_000}}),
    ("no end", {"claims": {"exp": None}}),
    ("not yet", {"claims": {"iat": 4_000_000_000}}),
    ("long ago", {"claims": {"iat": 1_600_000_000}}),
    ("no subject", {"claims": {"sub": None}}),
    ("a subject that is no text", {"claims": {"sub": 42}}),
    ("unsigned", {"header": {"alg": "none"}}),
    ("signed with the client's secret", {"header": {"alg": "HS256"}}),
    ("an unknown key", {"header": {"kid": "k9"}}),
    ("another's key of the same name", {"published": [ECKey.generate_key("P-256", {"kid": "k1"})]}),
]  # fmt: skip


def test_a_lie_of_any_kind_opens_nothing(desk: Desk, there: SmallProvider, settings: Any) -> None:
    settings.SIGN_IN_ADDRESS_TRIES_MAX = 1000
    bind(desk, desk[Role.RISK], "idp-42")
    for what, lie in LIES:
        discovery.forget()
        there.claims, there.header, there.published = {}, {}, []
        for name, value in lie.items():
            setattr(there, name, value)
        client = Browser()
        answer = go(client)
        assert answer.status_code == 403, what
        assert live() == 0, what
        assert client.get("/approvals/").status_code == 302, what
    there.claims, there.header, there.published = {}, {}, []
    discovery.forget()
    assert go(Browser()).status_code == 302, "the truth opens"


def test_an_answer_counts_once_in_the_browser_that_asked_and_in_time(
    desk: Desk, there: SmallProvider, client: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    bind(desk, desk[Role.RISK], "idp-42")
    mine = sent_back(client.get(BEGIN)["Location"])
    other = Browser()
    other.get(BEGIN)
    for answer in (other.get(mine), Browser().get(mine), client.get(f"{RETURN}?code=x&state=")):
        assert answer.status_code == 403
    assert live() == 0, "an answer planted in another browser signs nobody in"
    again = sent_back(client.get(BEGIN)["Location"])
    kept = dict(client.session)
    assert client.get(again).status_code == 302
    assert live() == 1
    for replay in (client, Browser()):
        session = replay.session
        session.update(kept)
        session.save()
        replay.cookies["sessionid"] = session.session_key or ""
        assert replay.get(again).status_code == 403, "a state is good once, whatever a session says"
    late = Browser()
    to = sent_back(late.get(BEGIN)["Location"])
    monkeypatch.setattr(flow, "FLOW_FOR", timedelta(seconds=-1))
    assert late.get(to).status_code == 403
    assert live() == 1
    assert SpentTicket.objects.count() == 1


def test_the_provider_says_no(desk: Desk, there: SmallProvider, client: Browser) -> None:
    bind(desk, desk[Role.RISK], "idp-42")
    to = parse_qs(urlsplit(client.get(BEGIN)["Location"]).query)
    answer = client.get(RETURN, {"error": "access_denied", "state": to["state"][0]})
    assert (answer.status_code, live()) == (403, 0)
    stolen = sent_back(client.get(BEGIN)["Location"]).replace("code=", "code=z")
    assert (client.get(stolen).status_code, live()) == (503, 0), "the provider knows no such code"
    mixed = sent_back(client.get(BEGIN)["Location"])
    assert client.get(f"{mixed}&iss=https%3A%2F%2Fevil.example").status_code == 503
    assert live() == 0


@pytest.mark.parametrize("address", ["https://evil.example/", "//evil.example", "/\\evil.example"])
def test_nobody_is_led_elsewhere_or_by_the_host_of_a_request(
    desk: Desk, there: SmallProvider, settings: Any, address: str
) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    bind(desk, desk[Role.RISK], "idp-42")
    client = Browser(headers={"host": "evil.example"})
    begun = client.get(BEGIN, {"next": address})["Location"]
    assert parse_qs(urlsplit(begun).query)["redirect_uri"] == [HERE]
    assert client.get(sent_back(begun))["Location"] == "/"


def test_ones_own_second_factor_is_asked_unless_the_providers_counts(
    desk: Desk, there: SmallProvider, settings: Any
) -> None:
    operator = desk[Role.RISK]
    bind(desk, operator, "idp-42")
    secret, _ = enrolled(operator)
    there.claims = {"amr": ["pwd", "mfa"], "acr": "gold"}
    client = Browser()
    assert go(client)["Location"] == "/sign-in/second/", "amr counts for nothing unless configured"
    assert live() == 0
    code = code_at(secret, step_of(timezone.now()))
    assert client.post("/sign-in/second/", {"code": code}).status_code == 302
    assert (
        OperatorSession.objects.get(ended_at=None, factors__contains="oidc").factors == "oidc,totp"
    )
    for name, words in (("AMR", ["mfa"]), ("ACR", ["gold"])):
        setattr(settings, f"OIDC_SECOND_FACTOR_{name}", words)
        assert go(Browser())["Location"] == "/"
        setattr(settings, f"OIDC_SECOND_FACTOR_{name}", [])
    assert OperatorSession.objects.filter(factors="oidc,mfa").count() == 2
    settings.OIDC_SECOND_FACTOR_AMR, there.claims = ["mfa"], {"amr": ["pwd"]}
    assert go(Browser())["Location"] == "/sign-in/second/"


def test_locks_and_disabled_people_hold(desk: Desk, there: SmallProvider, settings: Any) -> None:
    operator = desk[Role.RISK]
    bind(desk, operator, "idp-42")
    client = Browser()
    for _ in range(5):
        client.post("/sign-in/", {"username": operator.username, "password": "wrong"})
    assert (go(Browser()).status_code, live()) == (403, 0)
    SignInFailure.objects.all().delete()
    assert go(client).status_code == 302
    from accounts.audit import Actor, acting

    with acting(Actor.command("test"), reason="Has left the firm"):
        Operator.objects.filter(pk=operator.pk).update(is_active=False)
    assert client.get("/approvals/").status_code == 302, "out at the next request"
    assert go(Browser()).status_code == 403


def test_calls_go_to_the_issuer_alone(
    desk: Desk, there: SmallProvider, client: Browser, settings: Any
) -> None:
    bind(desk, desk[Role.RISK], "idp-42")
    with small_provider() as elsewhere:
        for name in ("token_endpoint", "jwks_uri", "authorization_endpoint"):
            discovery.forget()
            there.metadata = {name: f"{elsewhere.address}/token"}
            assert client.get(BEGIN).status_code == 503
        there.metadata, there.moved_to = {}, f"{elsewhere.address}/.well-known/openid-configuration"
        discovery.forget()
        assert client.get(BEGIN).status_code == 503
        there.moved_to, there.metadata = "", {"issuer": elsewhere.address}
        assert client.get(BEGIN).status_code == 503
        assert elsewhere.asked == []
    assert live() == 0
    assert SignInFailure.objects.count() == 0, "a provider that is down locks nobody out"


def test_new_keys_of_the_provider_are_read_again(
    desk: Desk, there: SmallProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    bind(desk, desk[Role.RISK], "idp-42")
    assert go(Browser()).status_code == 302
    there.key, there.header = RSAKey.generate_key(2048, {"kid": "k2"}), {"alg": "RS256"}
    assert go(Browser()).status_code == 403, "keys are read once a minute at the most"
    monkeypatch.setattr(discovery, "KEYS_AT_MOST_EVERY_SECONDS", 0)
    assert go(Browser()).status_code == 302
    assert there.asked.count("/keys") == 2


def test_a_proof_at_the_provider_is_asked_for_anew_and_renews_the_session(
    desk: Desk, there: SmallProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator, client = desk[Role.RISK], Browser()
    bind(desk, operator, "idp-42")
    go(client)
    key = client.cookies["sessionid"].value
    typed = '["/theme/", [["theme", "dark"]]]'
    page = client.post(PROVE, {"kept": typed, "next": "/approvals/"})
    assert page.status_code == 200, "a form of ours is never sent on to another host"
    assert "form-action 'self'" in page["Content-Security-Policy"]
    to = page["Refresh"].partition("url=")[2]
    asked = parse_qs(urlsplit(to).query)
    assert (asked["prompt"], asked["max_age"]) == (["login"], ["0"])
    there.claims = {"auth_time": 1_600_000_000}
    assert client.get(sent_back(to)).status_code == 503, "it did not ask the person again"
    there.claims, there.subject = {}, "idp-43"
    to = client.post(PROVE, {"kept": typed})["Refresh"].partition("url=")[2]
    assert client.get(sent_back(to)).status_code == 403, "the identity of another"
    assert client.cookies["sessionid"].value == key
    there.subject = "idp-42"
    before = OperatorSession.objects.get(operator=operator, ended_at=None).proved_at
    to = client.post(PROVE, {"kept": typed})["Refresh"].partition("url=")[2]
    answer = client.get(sent_back(to))
    assert answer["Location"] == "/sign-in/kept/", "what was typed is kept, and not sent by itself"
    now = OperatorSession.objects.get(operator=operator, ended_at=None)
    assert now.proved_at > before
    assert client.cookies["sessionid"].value != key
    assert Operator.objects.get(pk=operator.pk).theme == ""


def test_an_identity_alone_is_no_proof_for_who_has_a_generator(
    desk: Desk, there: SmallProvider
) -> None:
    operator, client = desk[Role.RISK], Browser()
    bind(desk, operator, "idp-42")
    go(client)
    enrolled(operator)
    before = OperatorSession.objects.get(operator=operator, factors="oidc").proved_at
    to = client.post(PROVE, {"next": "/approvals/"})["Refresh"].partition("url=")[2]
    assert client.get(sent_back(to)).status_code == 403
    assert OperatorSession.objects.get(operator=operator, factors="oidc").proved_at == before


def test_going_out_here_asks_again_there(desk: Desk, there: SmallProvider, client: Browser) -> None:
    bind(desk, desk[Role.RISK], "idp-42")
    go(client)
    client.post("/sign-out/")
    assert live() == 0
    page = client.get("/sign-in/").content.decode()
    assert f"{there.address}/out?client_id={CLIENT}" in page
    assert parse_qs(urlsplit(client.get(BEGIN)["Location"]).query)["prompt"] == ["login"]


def test_without_a_provider_there_is_nothing(desk: Desk, client: Browser, settings: Any) -> None:
    settings.OIDC_ISSUER = None
    assert [client.get(a).status_code for a in (BEGIN, RETURN)] == [404, 404]
    assert b"sign-in/provider" not in client.get("/sign-in/").content
    sign_in(client, desk[Role.RISK])
    assert client.post(PROVE).status_code == 404
    with pytest.raises(AskRefusedError):
        bind(desk, desk[Role.RISK], "idp-42")


@pytest.mark.parametrize(
    ("read", "complaint"),
    [
        (lambda: environment.env_together("GIVEN", "ABSENT"), "ABSENT must be set"),
        (lambda: environment.checked_address("A", "http://idp.example"), "expected https"),
        (lambda: environment.checked_address("A", "https://u:p@idp.example"), "expected https"),
        (lambda: environment.checked_address("A", "https://idp.example/?a=b"), "expected https"),
        (lambda: environment.checked_address("A", "file:///etc/passwd"), "expected https"),
    ],
)
def test_a_provider_is_configured_whole_or_not(
    monkeypatch: pytest.MonkeyPatch, read: Callable[[], object], complaint: str
) -> None:
    monkeypatch.setenv("GIVEN", "x")
    monkeypatch.delenv("ABSENT", raising=False)
    with pytest.raises(ImproperlyConfigured, match=complaint):
        read()
