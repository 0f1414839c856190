"""Two people at work on one request, for tests of what the database refuses."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from json import dumps
from uuid import UUID

from accounts.models import Operator
from tests.accounts.people import Desk, session_of
from tests.accounts.raw import Connection, act, one, rows_of

Connect = Callable[[str], Connection]
WATCHED = (
    "accounts_approval", "accounts_approvalaction", "accounts_rolegrant", "accounts_auditrow",
    "accounts_act", "accounts_personkey",
)  # fmt: skip
REASON = "Agreed at the meeting of Monday"


@dataclass(frozen=True)
class Four:
    """A desk, a connection as the runtime role and one as the owner of the schema."""

    desk: Desk
    runtime: Connection
    owner: Connection
    superuser: Connection
    newcomer: Operator

    def asks(
        self, *, key: str | None = None, role: str = "risk", action: str = "role.grant",
        reason: str = REASON,
    ) -> UUID:  # fmt: skip
        """The first administrator asks for a role for the newcomer."""
        payload = {"operator": self.newcomer.pk, "role": role, "desk": ""}
        with act(self.runtime, key=key or session_of(self.desk.administrators[0])):
            found = one(
                self.runtime, "SELECT accounts.request_approval(%s, %s, 'a role', %s::jsonb, %s)",
                self.desk.entity.pk, action, dumps(payload), reason,
            )  # fmt: skip
        assert isinstance(found, UUID)
        return found

    def decides(
        self, approval: UUID, *, key: str | None = None, verdict: str = "approved",
        reason: str = REASON,
    ) -> None:  # fmt: skip
        """The second administrator decides."""
        with act(self.runtime, key=key or session_of(self.desk.administrators[1])):
            one(
                self.runtime, "SELECT accounts.decide_approval(%s, %s, %s)::text",
                approval, verdict, reason,
            )  # fmt: skip

    def gives(self, approval: UUID) -> int:
        """The role is given with the approval."""
        with act(self.runtime):
            found: int = one(self.runtime, "SELECT accounts.grant_role(%s)", approval)
        return found

    def ages(self, approval: UUID) -> None:
        """Let the request's time run out, which only a superuser can do to a test's clock."""
        with self.superuser.transaction():
            self.superuser.execute("ALTER TABLE accounts_approval DISABLE TRIGGER USER")
            self.superuser.execute(
                "UPDATE accounts_approval SET expires_at = clock_timestamp() WHERE id = %s",
                [approval],
            )
            for trigger in (
                "approval_begins_undecided", "approval_is_decided_once", "approval_stays_as_asked",
                "audit_insert", "audit_update", "audit_delete", "history_is_append_only",
                "row_is_kept",
            ):  # fmt: skip
                self.superuser.execute(
                    f"ALTER TABLE accounts_approval ENABLE ALWAYS TRIGGER {trigger}"
                )

    def decision(self, approval: UUID) -> str:
        """What was decided; "" if nothing was."""
        found: str = one(
            self.superuser, "SELECT decision FROM accounts_approval WHERE id = %s", approval
        )
        return found

    @contextmanager
    def nothing_moves(self, *also: str) -> Iterator[None]:
        """The watched tables are the same afterwards, and so are those in `also`."""
        before = rows_of(self.superuser, *WATCHED, *also)
        yield
        assert rows_of(self.superuser, *WATCHED, *also) == before
