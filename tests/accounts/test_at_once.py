"""Two people at the same instant: one decision, one use, never two."""

from collections.abc import Callable
from threading import Barrier, Thread

import psycopg

from accounts.models import Approval, RoleGrant
from tests.accounts.four import REASON, Four
from tests.accounts.people import session_of
from tests.accounts.raw import Connection, act

Connect = Callable[[str], Connection]
MANY = 6


def at_once(connect: Connect, work: Callable[[Connection, int], object]) -> list[str]:
    """What became of each of many who start together: "done", or the rule that refused."""
    together, outcomes = Barrier(MANY), ["" for _ in range(MANY)]
    connections = [connect("runtime") for _ in range(MANY)]

    def run(number: int) -> None:
        together.wait(timeout=30)
        try:
            work(connections[number], number)
            outcomes[number] = "done"
        except psycopg.errors.IntegrityError as error:
            outcomes[number] = str(error.diag.constraint_name)

    threads = [Thread(target=run, args=[number]) for number in range(MANY)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    return sorted(outcomes)


def test_one_of_many_decisions_stands(four: Four, connect: Connect) -> None:
    asked = four.asks()
    keys = [session_of(four.desk.administrators[1]) for _ in range(MANY)]

    def decides(connection: Connection, number: int) -> None:
        with act(connection, key=keys[number]):
            verdict = "approved" if number % 2 else "rejected"
            connection.execute(
                "SELECT accounts.decide_approval(%s, %s, %s)", [asked, verdict, REASON]
            )

    outcomes = at_once(connect, decides)
    assert outcomes == ["approval_is_decided_once"] * (MANY - 1) + ["done"]
    assert Approval.objects.get().decision in ("approved", "rejected")


def test_one_of_many_uses_counts(four: Four, connect: Connect) -> None:
    asked = four.asks()
    four.decides(asked)

    def uses(connection: Connection, number: int) -> None:
        with act(connection):
            connection.execute("SELECT accounts.grant_role(%s)", [asked])

    assert at_once(connect, uses) == ["approval_is_used_once"] * (MANY - 1) + ["done"]
    assert RoleGrant.objects.filter(operator=four.newcomer).count() == 1


def test_one_of_many_founders_founds_the_desk(four: Four, connect: Connect) -> None:
    with act(four.runtime):
        row = four.runtime.execute(
            "INSERT INTO accounts_legalentity (code, name) VALUES ('EB-FR', 'Paris') RETURNING id"
        ).fetchone()
    assert row is not None
    pair = "[" + ", ".join(
        f'{{"operator": {operator.pk}, "role": "administrator"}}'
        for operator in four.desk.administrators
    ) + "]"  # fmt: skip

    def founds(connection: Connection, number: int) -> None:
        with act(connection):
            connection.execute("SELECT accounts.found_desk(%s, %s::jsonb)", [row[0], pair])

    outcomes = at_once(connect, founds)
    assert outcomes == ["desk_is_founded_once"] * (MANY - 1) + ["done"]
    assert RoleGrant.objects.filter(legal_entity=row[0]).count() == 2
