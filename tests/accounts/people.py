"""People for tests: a founded desk, sessions, and signing in without typing a password."""

from dataclasses import dataclass
from functools import cache
from json import dumps
from secrets import token_hex
from typing import TYPE_CHECKING

from django.contrib.auth.hashers import make_password
from django.contrib.sessions.backends.db import SessionStore
from django.db import connection
from django.http import HttpRequest
from django.test import Client as Browser

from accounts import operators
from accounts.audit import Actor, acting
from accounts.models import LegalEntity, Operator, Role
from tests.stage import staged

if TYPE_CHECKING:
    from playwright.sync_api import Page

PASSWORD = "six small ships at sea"

# One person per role, and the second administrator without whom no desk is founded.
PEOPLE = (
    ("l.brandt", "L. Brandt", Role.OPERATIONS),
    ("m.okafor", "M. Okafor", Role.RISK),
    ("s.iyer", "S. Iyer", Role.TREASURY),
    ("j.moreau", "J. Moreau", Role.COMPLIANCE),
    ("p.castellan", "P. Castellan", Role.PRINCIPAL),
    ("k.lindqvist", "K. Lindqvist", Role.AUDITOR),
    ("a.novak", "A. Novak", Role.ADMINISTRATOR),
    ("r.haddad", "R. Haddad", Role.ADMINISTRATOR),
)


@dataclass(frozen=True)
class Desk:
    """A legal entity with somebody in every role."""

    entity: LegalEntity
    operators: dict[Role, Operator]
    administrators: tuple[Operator, Operator]

    def __getitem__(self, role: Role | str) -> Operator:
        return self.operators[Role(role)]


@cache
def encoded_password() -> str:
    """`PASSWORD` as stored; computed once, because it is slow on purpose."""
    return make_password(PASSWORD, hasher="pbkdf2_sha256")


def found_desk(*, entity: LegalEntity | None = None, code: str = "EB-US") -> Desk:
    """Found a desk with the product's own functions, at `entity` or at a new legal entity.

    User names at any but the first legal entity carry its code: `l.brandt.EB-UK`.
    """
    if entity is None:
        return staged(f"a desk at {code}", lambda: _found_desk(None, code))
    return _found_desk(entity, code)


def _found_desk(entity: LegalEntity | None, code: str) -> Desk:
    with acting(Actor.command("setup"), reason="Founded a desk for a test"):
        entity = entity or LegalEntity.objects.create(code=code, name=f"Example Brokerage {code}")
        suffix = f".{entity.code}" if Operator.objects.exists() else ""
        people = [
            (add_operator(f"{username}{suffix}", full_name), role)
            for username, full_name, role in PEOPLE
        ]
        found(entity, people)
    by_role: dict[Role, Operator] = {}
    for operator, role in people:
        by_role.setdefault(role, operator)
    administrators = [o for o, role in people if role == Role.ADMINISTRATOR]
    return Desk(entity, by_role, (administrators[0], administrators[1]))


def add_operator(username: str, full_name: str = "") -> Operator:
    """A person without a role; call inside an act."""
    return Operator.objects.create(
        username=username, full_name=full_name or username, password=encoded_password()
    )


def found(entity: LegalEntity, people: list[tuple[Operator, Role]]) -> None:
    """Give the first roles of a legal entity; call inside an act."""
    grants = [{"operator": operator.pk, "role": role} for operator, role in people]
    with connection.cursor() as cursor:
        cursor.execute("SELECT accounts.found_desk(%s, %s::jsonb)", [entity.pk, dumps(grants)])


def session_of(operator: Operator) -> str:
    """Open a session of the operator and return its key, without any request."""
    key = token_hex(16)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT accounts.open_session(%s, %s, interval '12 hours')", [operator.pk, key]
        )
    return key


def person(operator: Operator) -> Actor:
    """The operator acting through a new live session."""
    return Actor.person(session_of(operator))


def sign_in(client: Browser, operator: Operator) -> str:
    """Sign the test client in as the operator, as the sign-in page does; returns the key."""
    request = HttpRequest()
    request.session = SessionStore()
    key = operators.open_session(request, operator)
    request.session.save()
    client.cookies["sessionid"] = key
    return key


def sign_in_page(page: "Page", desk_url: str, operator: Operator) -> str:
    """Sign a browser page in as the operator, without typing; returns the key."""
    request = HttpRequest()
    request.session = SessionStore()
    key = operators.open_session(request, operator)
    request.session.save()
    page.context.add_cookies([{"name": "sessionid", "value": key, "url": desk_url}])
    return key
