"""What a database role may do, before and beside what each table grants it."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg import errors

from brokerage import roles
from tests.cluster import Cluster

Connection = psycopg.Connection[Any]
Connect = Callable[[str], Connection]


def one(connection: Connection, question: str) -> Any:
    row = connection.execute(question).fetchone()  # type: ignore[arg-type]
    assert row is not None
    return row[0]


@pytest.mark.parametrize("role", ["runtime", "auditor", "broker"])
@pytest.mark.parametrize(
    "attempt",
    [
        "CREATE TABLE public.mine (id int)",
        "CREATE TEMPORARY TABLE mine (id int)",
        "CREATE SCHEMA mine",
        "CREATE ROLE mine",
        "SET ROLE bo_owner",
        "ALTER ROLE bo_runtime SUPERUSER",
        "ALTER SYSTEM SET fsync = off",
        "SET session_replication_role = replica",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "SELECT pg_read_file('postgresql.conf')",
        "DELETE FROM public.django_migrations",
    ],
)
def test_no_role_at_work_may_reach_beyond_it(connect: Connect, role: str, attempt: str) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        connect(role).execute(attempt)  # type: ignore[call-overload]


def test_the_owner_role_cannot_sign_in(superuser: Connection) -> None:
    assert one(superuser, "SELECT rolcanlogin FROM pg_roles WHERE rolname = 'bo_owner'") is False


@pytest.fixture
def migrating(superuser: Connection, owner: Connection) -> Connection:
    """The owner role as during a migration, when the guard over all guards is lifted."""
    superuser.execute("DROP EVENT TRIGGER guards_stay_on")
    return owner


def test_a_new_table_may_be_read_but_not_written(migrating: Connection, connect: Connect) -> None:
    migrating.execute("CREATE TABLE novelty AS SELECT 7 AS value")
    for role in ("runtime", "auditor"):
        reader = connect(role)
        assert one(reader, "SELECT value FROM novelty") == 7
        for attempt in ("INSERT INTO novelty VALUES (8)", "TRUNCATE novelty"):
            with pytest.raises(errors.InsufficientPrivilege):
                reader.execute(attempt)
    with pytest.raises(errors.InsufficientPrivilege):
        connect("broker").execute("SELECT * FROM public.novelty")
    assert one(migrating, "SELECT count(*) FROM novelty") == 1


def test_a_new_function_may_be_called_by_nobody_yet(
    migrating: Connection, connect: Connect
) -> None:
    migrating.execute("CREATE FUNCTION novelty() RETURNS int RETURN 7")
    assert one(migrating, "SELECT novelty()") == 7
    with pytest.raises(errors.InsufficientPrivilege):
        connect("runtime").execute("SELECT novelty()")


def test_who_writes_has_a_minute(connect: Connect) -> None:
    runtime = connect("runtime")
    assert one(runtime, "SHOW statement_timeout") == "1min"
    assert one(runtime, "SHOW idle_in_transaction_session_timeout") == "1min"


def test_the_broker_works_its_queue_and_the_product_does_not(connect: Connect) -> None:
    broker = connect("broker")
    broker.execute("SELECT pgmq.create('letters')")
    broker.execute("""SELECT pgmq.send('letters', '{"id": 1}')""")
    assert one(broker, "SELECT message ->> 'id' FROM pgmq.read('letters', 30, 1)") == "1"
    with pytest.raises(errors.InsufficientPrivilege):
        connect("runtime").execute("SELECT * FROM pgmq.q_letters")


def test_preparing_again_changes_nothing(
    cluster: Cluster, database: str, superuser: Connection
) -> None:
    question = """
        SELECT jsonb_build_array(
            (SELECT jsonb_agg(to_jsonb(r) ORDER BY rolname)
               FROM pg_roles r WHERE rolname LIKE 'bo~_%' ESCAPE '~'),
            (SELECT datacl::text FROM pg_database WHERE datname = current_database()),
            (SELECT jsonb_agg(nspacl::text ORDER BY nspname) FROM pg_namespace),
            (SELECT count(*) FROM pg_proc))
    """
    before = one(superuser, question)
    roles.prepare(cluster.conninfo("postgres", database=database), passwords={})
    assert one(superuser, question) == before
