"""Signing in and out, and the lock after too many wrong tries.

The program checks the password; the database keeps who is in, and lets a person act only through
a session that it has opened and that is still live.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from django.conf import settings
from django.contrib import auth
from django.contrib.auth.hashers import make_password, verify_password
from django.db import connection
from django.db.models import Count, Max
from django.db.models.expressions import RawSQL
from django.http import HttpRequest
from django.utils import timezone

from accounts import factors
from accounts.audit import Actor, RefusedError, acting, refusals
from accounts.models import Operator, OperatorSession, SignInFailure
from accounts.provider.tokens import Identity

TRIES_MAX = 5
LOCKED_FOR = timedelta(minutes=15)
# How long somebody whose password was right has to show a second factor.
HALF_WAY_FOR = timedelta(minutes=5)
HALF_WAY, HALF_WAY_BY = "half_way", "half_way_by"
# What a session says of a first step: a password, or the word of the identity provider.
PASSWORD, IDENTITY, TWICE = "password", "oidc", "mfa"
IDENTITY_TWICE = f"{IDENTITY},{TWICE}"
USERNAME_LENGTH_MAX = 60
PASSWORD_LENGTH_MAX = 1024
BACKEND = "accounts.operators.SessionBackend"
OF_PERSON = "(accounts_operatorsession.operator_id)"
# Constant texts, without anything that anybody typed.
TERMS = {
    name: RawSQL(f"({query}{OF_PERSON})", ())  # noqa: S611
    for name, query in (
        ("proof_minutes", "SELECT proof_minutes FROM accounts.sign_in_terms"),
        ("is_forced", "SELECT is_forced FROM accounts.sign_in_terms"),
        ("is_enrolled", "SELECT accounts.has_second_factor"),
    )
}
OPENED = "%s, %s, make_interval(secs => %s), %s, %s, %s"
OPENED_BY = f"{OPENED}, %s, %s, %s, %s"
LEFT_THERE = "Your sign-in there is over. Sign in again."
NUMBERS = ("No", "One", "Two", "Three", "Four", "Five")


class SignInRefusedError(Exception):
    """Nobody was let in. `rule` is `name_and_password_fit` or `name_is_not_locked`."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(detail)
        self.rule = rule
        self.detail = detail


class SecondFactorAskedError(Exception):
    """The password was right; who it is has yet to show a second factor."""


class SessionBackend:
    """Gives Django the operator behind a session. Passwords are checked in `sign_in` alone."""

    def get_user(self, operator_id: int) -> Operator | None:
        """The operator, while active."""
        return Operator.objects.filter(pk=operator_id, is_active=True).first()


@dataclass(frozen=True)
class Tries:
    """Wrong tries under one name since the last right one or the last lock."""

    count: int
    newest_at: datetime | None

    def locked_until(self) -> datetime | None:
        """End of the lock, if there is one."""
        if self.count < TRIES_MAX or self.newest_at is None:
            return None
        return self.newest_at + LOCKED_FOR


def sign_in(
    request: HttpRequest, *, username: str, password: str, now: datetime | None = None
) -> Operator:
    """Let somebody in by name and password, and open their session.

    An unknown name costs as much time as a wrong password and reads the same.

    Raises:
        SignInRefusedError: wrong, or the name is locked; the text says how many tries are left.
        SecondFactorAskedError: right, and `finish_sign_in` comes next.
    """
    now = now or timezone.now()
    address = address_of(request)
    tries = count_try(username, address=address, now=now)
    operator = Operator.objects.filter(username=username, is_active=True).first()
    if operator is None:
        make_password(password)
        refuse(None, tries)
    else:
        is_right, is_outdated = verify_password(password, operator.password)
        if not is_right:
            refuse(operator, tries)
        elif is_outdated:
            operator.set_password(password)
        if factors.factors_of(operator).exists():
            stay_half_way(request, operator, now=now)
            raise SecondFactorAskedError
        open_session(request, operator, address=address, password_changed=is_outdated)
        SignInFailure.objects.filter(username=username).delete()
        return operator
    raise AssertionError("a refusal raises")


def sign_in_by_identity(
    request: HttpRequest, operator: Operator, identity: Identity, *, now: datetime
) -> Operator:
    """Let somebody in whom the identity provider has named, unless their name is locked.

    Raises:
        SignInRefusedError: the name or the address is locked, or they have left there since.
        SecondFactorAskedError: they have a second factor here; `finish_sign_in` comes next.
    """
    address = address_of(request)
    refuse_locked_address(address, now=now)
    refuse_locked_name(operator.username, now=now)
    if not identity.has_second_factor and factors.factors_of(operator).exists():
        stay_half_way(request, operator, now=now, identity=identity)
        raise SecondFactorAskedError
    proved = IDENTITY_TWICE if identity.has_second_factor else IDENTITY
    open_session(request, operator, address=address, proved=proved, identity=identity)
    return operator


def count_stranger(request: HttpRequest, *, now: datetime) -> None:
    """Count a wrong try that was under no name.

    Raises:
        SignInRefusedError: the address is locked; the try is then not counted.
    """
    address = address_of(request)
    refuse_locked_address(address, now=now)
    SignInFailure.objects.create(username="", failed_at=now, address=address)


def address_of(request: HttpRequest) -> str:
    """Where a request comes from, as the server sees it."""
    return str(request.META.get("REMOTE_ADDR", ""))[:60]


def stay_half_way(
    request: HttpRequest, operator: Operator, *, now: datetime, identity: Identity | None = None
) -> None:
    """Remember whose first step was right, under a key nobody has seen."""
    end_session(request.session.session_key)
    request.session.flush()
    request.session[HALF_WAY] = [operator.pk, now.timestamp()]
    if identity is not None:
        request.session[HALF_WAY_BY] = identity.as_words()
    request.session.cycle_key()


def half_way(request: HttpRequest, *, now: datetime) -> Operator | None:
    """Whose password was right a moment ago and whose second factor is still to come."""
    said = request.session.get(HALF_WAY)
    if said is None or now.timestamp() - said[1] > HALF_WAY_FOR.total_seconds():
        return None
    return Operator.objects.filter(pk=said[0], is_active=True).first()


def finish_sign_in(
    request: HttpRequest,
    *,
    show: Callable[[Operator], str],
    what: str = "That code",
    now: datetime | None = None,
) -> Operator:
    """Let somebody in whose password was right, by what they have besides.

    Args:
        show: spends what was shown and says what it was; raises `WrongCodeError`.
        what: as a sentence calls it.

    Raises:
        SignInRefusedError: it is wrong or was used before, too much time has passed (rule
            `password_comes_first`), or the name is locked.
    """
    now = now or timezone.now()
    operator = half_way(request, now=now)
    if operator is None:
        raise SignInRefusedError("password_comes_first", "Sign in with your password first.")
    address = address_of(request)
    tries = count_try(operator.username, address=address, now=now)
    try:
        proved = show(operator)
    except factors.WrongCodeError:
        refuse(operator, tries, what=what)
        raise AssertionError("a refusal raises") from None
    words = request.session.get(HALF_WAY_BY)
    identity = None if words is None else Identity.of_words(words)
    first = PASSWORD if identity is None else IDENTITY
    together = f"{first},{proved}"
    open_session(request, operator, address=address, proved=together, identity=identity)
    SignInFailure.objects.filter(username=operator.username).delete()
    return operator


def count_try(username: str, *, address: str, now: datetime) -> Tries:
    """Count this try as a wrong one before looking at the password, so that no two share a place.

    Raises:
        SignInRefusedError: the name or the address is locked; the try is then not counted.
    """
    refuse_locked_address(address, now=now)
    failures = SignInFailure.objects.filter(username=username)
    before = tries_under(username)
    if before.newest_at is not None and before.newest_at <= now - LOCKED_FOR:
        failures.filter(failed_at__lte=now - LOCKED_FOR).delete()
        before = Tries(0, None)
    refuse_locked(before, now=now)
    SignInFailure.objects.create(username=username, failed_at=now, address=address)
    tries = tries_under(username)
    if tries.count > TRIES_MAX:
        refuse_locked(tries, now=now)
    return tries


def tries_under(username: str) -> Tries:
    found = SignInFailure.objects.filter(username=username).aggregate(
        count=Count("pk"), newest_at=Max("failed_at")
    )
    return Tries(**found)


def refuse_locked_address(address: str, *, now: datetime) -> None:
    """Refuse an address from which too many names were tried; each is locked by itself besides."""
    tried = SignInFailure.objects.filter(address=address, failed_at__gt=now - LOCKED_FOR)
    if address and tried.count() >= settings.SIGN_IN_ADDRESS_TRIES_MAX:
        raise SignInRefusedError(
            "address_is_not_locked",
            "Too many wrong tries came from this address. Try again in 15 minutes.",
        )


def refuse_locked_name(username: str, *, now: datetime) -> None:
    """Refuse a name that is locked, without counting a try."""
    tries = tries_under(username)
    if tries.newest_at is not None and tries.newest_at > now - LOCKED_FOR:
        refuse_locked(tries, now=now)


def refuse_locked(tries: Tries, *, now: datetime) -> None:
    until = tries.locked_until()
    if until is None:
        return
    minutes = max(1, -(-(until - now).total_seconds() // 60))
    raise SignInRefusedError(
        "name_is_not_locked",
        f"This name is locked after {TRIES_MAX} wrong tries. "
        f"Try again in {minutes:.0f} minute{'s' if minutes > 1 else ''}.",
    )


def refuse(operator: Operator | None, tries: Tries, *, what: str = "User name or password") -> None:
    """Refuse a wrong name or password; the last wrong try under a known name is recorded."""
    left = TRIES_MAX - tries.count
    if left > 0:
        verb = "tries are" if left > 1 else "try is"
        raise SignInRefusedError(
            "name_and_password_fit",
            f"{what} is wrong. {NUMBERS[left]} {verb} left before this name is "
            "locked for 15 minutes.",
        )
    # A name nobody has may be a password typed in the wrong field; it is not kept for ever.
    if operator is not None:
        reason = f"Locked {operator.username} for 15 minutes after {TRIES_MAX} wrong tries"
        with acting(Actor.sign_in(), reason=reason):
            pass
    raise SignInRefusedError(
        "name_is_not_locked",
        f"{what} is wrong. This name is now locked for 15 minutes after {TRIES_MAX} wrong tries.",
    )


def open_session(
    request: HttpRequest,
    operator: Operator,
    *,
    address: str = "",
    password_changed: bool = False,
    proved: str = "password",
    identity: Identity | None = None,
) -> str:
    """Begin the operator's session under a key nobody has seen, and return the key.

    Args:
        identity: the identity provider's word that it stands on.

    Raises:
        SignInRefusedError: they have left at the provider since (`identity_is_signed_in_there`),
            or the identity was taken from them.
    """
    end_session(request.session.session_key)
    request.session.flush()  # nothing of whoever was here before goes on
    agent = str(request.META.get("HTTP_USER_AGENT", ""))[:200]
    reason = f"{operator.full_name} signed in" + (f" from {address}" if address else "")
    try:
        with acting(Actor.sign_in(), reason=reason), connection.cursor() as cursor:
            if password_changed:
                operator.save(update_fields=["password"])
            auth.login(request, operator, backend=BACKEND)
            key = request.session.session_key
            assert key is not None, "signing in cycles the key"
            said = (operator.pk, key, settings.SESSION_COOKIE_AGE, proved, address, agent)
            if identity is None:
                cursor.execute(f"SELECT accounts.open_proved_session({OPENED})", said)
            else:
                by = (identity.issuer, identity.subject, identity.sid, identity.said_at)
                cursor.execute(f"SELECT accounts.open_identity_session({OPENED_BY})", said + by)
    except RefusedError as refused:
        if identity is None:
            raise
        auth.logout(request)
        raise SignInRefusedError(refused.rule, LEFT_THERE) from refused
    return key


def sign_out(request: HttpRequest) -> None:
    """End the session, at once and everywhere."""
    end_session(request.session.session_key)
    auth.logout(request)


def end_session(session_key: str | None) -> None:
    """End the session behind a key, if it is open."""
    if session_key is not None:
        with refusals(), connection.cursor() as cursor:
            cursor.execute("SELECT accounts.end_session(%s)", [session_key])


def touch_session(session_key: str) -> None:
    """Note that the person is still there; at most once a minute."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT accounts.touch_session(%s)", [session_key])


def live_session(session_key: str | None, *, now: datetime) -> OperatorSession | None:
    """The session behind a key: open, of an active operator, not expired and not left idle.

    It carries what is asked of its person, `proof_minutes` and `is_forced`, and whether there is a
    second factor, `is_enrolled`.
    """
    if session_key is None:
        return None
    idle_for = timedelta(seconds=settings.SESSION_IDLE_SECONDS)
    return (
        OperatorSession.objects.annotate(**TERMS)
        .filter(
            key_sha256=sha256(session_key.encode()).digest(),
            ended_at__isnull=True,
            expires_at__gt=now,
            last_seen_at__gt=now - idle_for,
            operator__is_active=True,
        )
        .first()
    )
