"""Sessions: who is in from where, ending them, and proving again who one is."""

from datetime import datetime, timedelta
from uuid import UUID

from django.contrib.auth.hashers import verify_password
from django.db.models import QuerySet
from django.utils import timezone

from accounts import factors, operators
from accounts.audit import Actor, acting
from accounts.factors import called
from accounts.models import Operator, OperatorSession, SignInFailure
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


def proof_of(operator: Operator, said: str, *, now: datetime) -> str | None:
    """What was proved by a text: `totp`, `recovery`, `password`; None: nothing."""
    if proof_wanted(operator) == "code":
        try:
            return factors.spend_code(operator, said, now=now)
        except factors.WrongCodeError:
            return None
    is_right, _ = verify_password(said, operator.password)
    return "password" if is_right else None


def renew(request: DeskRequest, *, proved: str) -> None:
    """Put the session under a new key with a new proof; the key from before opens nothing."""
    old = request.session.session_key
    assert old is not None
    known = OperatorSession.objects.get(pk=request.session_id).factors.split(",")
    request.session.cycle_key()
    new = request.session.session_key
    assert new is not None
    together = ",".join([*known, *([] if proved in known else [proved])])
    reason = f"{request.operator.full_name} proved again who they are"
    with acting(Actor.sign_in(), reason=reason, request_id=request.request_id):
        called("SELECT accounts.renew_session(%s, %s, %s)", old, new, together)
    request.actor = Actor.person(new, channel=request.actor.channel)
    request.proved_at = timezone.now()
