"""Every change has an actor: the transaction in which somebody changes business data."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import DatabaseError, connection, transaction


class RefusedError(Exception):
    """The database refused a change. `rule` is the name of the constraint that refused it."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(detail)
        self.rule = rule
        self.detail = detail


@dataclass(frozen=True)
class Actor:
    """Who acts: a machine by its name, or a person by the key of a live session.

    Attributes:
        name: `system:job:<name>`, `system:command:<name>`, `system:sign-in`; "" for a person.
        session_key: the key of the person's session; None for a machine.
        channel: how the act came in: screen, api, job or command.
    """

    name: str
    session_key: str | None
    channel: str

    @classmethod
    def job(cls, name: str) -> "Actor":
        """A scheduled or background job."""
        return cls(name=f"system:job:{name}", session_key=None, channel="job")

    @classmethod
    def command(cls, name: str) -> "Actor":
        """A command at the terminal."""
        return cls(name=f"system:command:{name}", session_key=None, channel="command")

    @classmethod
    def sign_in(cls) -> "Actor":
        """The door itself: what is recorded while nobody is signed in yet."""
        return cls(name="system:sign-in", session_key=None, channel="screen")

    @classmethod
    def person(cls, session_key: str, *, channel: str = "screen") -> "Actor":
        """Whoever is signed in with this session."""
        return cls(name="", session_key=session_key, channel=channel)


@contextmanager
def refusals() -> Iterator[None]:
    """Turn a refusal of the database into `RefusedError` with the rule's name."""
    try:
        yield
    except DatabaseError as error:
        diagnosis = getattr(error.__cause__, "diag", None)
        rule = getattr(diagnosis, "constraint_name", None)
        if rule is None:
            raise
        raise RefusedError(rule, diagnosis.message_primary or str(error)) from error  # type: ignore[union-attr]


@contextmanager
def acting(actor: Actor, *, reason: str, request_id: str = "") -> Iterator[int | None]:
    """Open the transaction in which `actor` changes business data; yields the operator's id.

    Without it the database refuses every change (`change_has_an_actor`). The transaction is the
    outermost: an act is one transaction and one transaction is one act.

    Raises:
        RefusedError: the session has ended, or a rule refused what was done inside.
    """
    with refusals(), transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT accounts.act(%s, %s, %s, %s, %s)",
                [actor.name or None, actor.session_key, actor.channel, request_id, reason],
            )
            (operator_id,) = cursor.fetchone()
        yield operator_id
