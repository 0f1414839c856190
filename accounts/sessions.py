"""Sessions: who is in from where, ending them, and proving again who one is."""

from datetime import datetime, timedelta
from uuid import UUID

from django.contrib.auth.hashers import verify_password
from django.db.models import QuerySet
from django.db.models.expressions import RawSQL
from django.utils import timezone

from accounts import factors, operators
from accounts.audit import Actor, RefusedError, acting
from accounts.bindings import bound_to, operator_of
from accounts.factors import called
from accounts.models import Operator, OperatorSession, SignInFailure
from accounts.provider.configured import Provider, provider
from accounts.provider.leaving import Leaving
from accounts.provider.tokens import Identity
from accounts.roles import DeskRequest

PROOF_IS_RECENT = "proof_is_recent"


def live_sessions(operator: Operator, *, now: datetime) -> "QuerySet[OperatorSession]":
    """Where a person is signed in, newest first; idle ones end at their next request."""
    found = OperatorSession.objects.filter(operator=operator, ended_at__isnull=True)
    return found.filter(expires_at__gt=now).order_by("-last_seen_at")


def end_sessions(
    operator: Operator, *, actor: Actor, one: UUID | None = None, request_id: str = ""
) -> int:
    """End one session of a person, or all but the one that acts; returns how many ended.

    Raises:
        RefusedError: `session_is_ended_by_its_owner_or_an_administrator`.
    """
    which = "a session" if one is not None else "all sessions"
    reason = f"Ended {which} of {operator.full_name}"
    with acting(actor, reason=reason, request_id=request_id):
        ended = called("SELECT accounts.end_sessions(%s, %s)", operator.pk, one)
    assert isinstance(ended, int)
    return ended


def end_by_provider(there: Provider, leaving: Leaving) -> int:
    """End the sessions that the identity provider means; returns how many ended.

    Raises:
        RefusedError: `logout_token_is_used_once`.
    """
    meant = [leaving.token, leaving.issuer, leaving.subject, leaving.sid]
    who = ", ".join(_whom(leaving)) or "Nobody who is in here"
    with acting(Actor.sign_in(), reason=f"{who} signed out at {there.name}"):
        ended = called(
            "SELECT accounts.end_identity_sessions(%s, %s, %s, %s, %s, %s)",
            *meant, leaving.said_at, leaving.over_at,
        )  # fmt: skip
    assert isinstance(ended, int)
    return ended


def _whom(leaving: Leaving) -> list[str]:
    """The people whose sessions are meant, by their names."""
    is_meant = RawSQL(
        "accounts.is_meant(%s, %s, accounts_operatorsession.subject, accounts_operatorsession.sid)",
        (leaving.subject, leaving.sid),
    )
    found = OperatorSession.objects.annotate(is_meant=is_meant).filter(
        is_meant=True, issuer=leaving.issuer, ended_at__isnull=True
    )
    return sorted(set(found.values_list("operator__full_name", flat=True)))


def is_proof_recent(request: DeskRequest, *, now: datetime) -> bool:
    """Whether the last proof of this session is young enough for acts that need one."""
    return request.proved_at > now - timedelta(minutes=request.proof_minutes)


def proof_wanted(operator: Operator) -> str:
    """What proves again who somebody is: `code` with a code generator, else `password`."""
    return "code" if factors.factors_of(operator).filter(kind="totp").exists() else "password"


def prove(request: DeskRequest, *, said: str, now: datetime | None = None) -> None:
    """Take a password or a code as a new proof; the session goes on under another key.

    A wrong one counts as a wrong try to sign in; the last of them ends the session.

    Raises:
        SignInRefusedError: it is wrong, or the name is locked.
    """
    now = now or timezone.now()
    operator = request.operator
    try:
        tries = operators.count_try(
            operator.username, address=operators.address_of(request), now=now
        )
    except operators.SignInRefusedError:
        operators.sign_out(request)
        raise
    proved = proof_of(operator, said, now=now)
    if proved is None:
        if tries.count >= operators.TRIES_MAX:
            operators.sign_out(request)
        operators.refuse(operator, tries, what="That")
        raise AssertionError("a refusal raises")
    SignInFailure.objects.filter(username=operator.username).delete()
    renew(request, proved=proved)


def may_prove_at_provider(operator: Operator) -> bool:
    """Whether the identity provider's word is a proof: the identity is theirs, and what they would
    have to show here, a code of a generator, is asked for there."""
    there = provider()
    if there is None or not any(each.issuer == there.issuer for each in bound_to(operator)):
        return False
    return proof_wanted(operator) != "code" or bool(there.amr or there.acr)


def prove_by_identity(request: DeskRequest, identity: Identity, *, now: datetime) -> None:
    """Take the identity provider's word, given a moment ago, as a new proof.

    Raises:
        SignInRefusedError: it is of somebody else (`identity_is_bound`), holds less than would be
            asked for here (`session_has_its_second_factor`), or the name is locked.
    """
    operator = request.operator
    operators.refuse_locked_name(operator.username, now=now)
    if operator_of(identity.issuer, identity.subject) != operator:
        operators.count_stranger(request, now=now)
        raise operators.SignInRefusedError("identity_is_bound", "This is the identity of another.")
    if proof_wanted(operator) == "code" and not identity.has_second_factor:
        raise operators.SignInRefusedError(
            "session_has_its_second_factor",
            "Your proof here is a code of your generator; your identity alone is less.",
        )
    twice = identity.has_second_factor
    proved = operators.IDENTITY_TWICE if twice else operators.IDENTITY
    renew(request, proved=proved, identity=identity)


def proof_of(operator: Operator, said: str, *, now: datetime) -> str | None:
    """What was proved by a text: `totp`, `recovery`, `password`; None: nothing."""
    if proof_wanted(operator) == "code":
        try:
            return factors.spend_code(operator, said, now=now)
        except factors.WrongCodeError:
            return None
    is_right, _ = verify_password(said, operator.password)
    return "password" if is_right else None


def renew(request: DeskRequest, *, proved: str, identity: Identity | None = None) -> None:
    """Put the session under a new key with a new proof; the key from before opens nothing."""
    old = request.session.session_key
    assert old is not None
    known = OperatorSession.objects.get(pk=request.session_id).factors.split(",")
    request.session.cycle_key()
    new = request.session.session_key
    assert new is not None
    together = ",".join(dict.fromkeys([*known, *proved.split(",")]))
    reason = f"{request.operator.full_name} proved again who they are"
    try:
        with acting(Actor.sign_in(), reason=reason, request_id=request.request_id):
            if identity is None:
                called("SELECT accounts.renew_session(%s, %s, %s)", old, new, together)
            else:
                called(
                    "SELECT accounts.renew_identity_session(%s, %s, %s, %s, %s, %s, %s)",
                    old, new, together, identity.issuer, identity.subject, identity.sid,
                    identity.said_at,
                )  # fmt: skip
    except RefusedError as refused:
        operators.sign_out(request)
        raise operators.SignInRefusedError(
            refused.rule, "Sign in again, with your second factor."
        ) from refused
    request.actor = Actor.person(new, channel=request.actor.channel)
    request.proved_at = timezone.now()
