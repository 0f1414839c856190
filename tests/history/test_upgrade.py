"""A book that an earlier version kept is brought forward with all that is in it."""

from collections.abc import Iterator

import pytest

from brokerage.attacks.scratch import RULE_TABLES
from brokerage.postgres import PORT, SUPERUSER
from brokerage.server_upgrade import binaries_of
from tests.history.old_books import SCHEMAS, Old, laid_out

BEFORE = 16
# What the product itself knows, of which a new version knows more.
WORDS = set(RULE_TABLES)


@pytest.fixture(params=SCHEMAS, ids=[path.name.removesuffix(".tar.xz") for path in SCHEMAS])
def old(request: pytest.FixtureRequest) -> Iterator[Old]:
    with laid_out(request.param) as found:
        found.server.start()
        found.restore()
        yield found


def test_there_is_a_book_of_every_schema_that_was_in_use() -> None:
    assert [path.name for path in SCHEMAS] == ["0.1.tar.xz", "0.2.tar.xz"]


def test_a_book_of_an_earlier_schema_is_brought_forward(old: Old) -> None:
    done = old.manage("setup")
    assert done.returncode == 0, done.stderr
    assert old.answer("verify", "--json")["sound"]

    # Every row is there still; where columns were added, the old ones say what they said.
    before, after = old.said()["tables"], old.answer("digest", "--json")["tables"]
    rows = {name: (table["rows"], after[name]["rows"]) for name, table in before.items()}
    assert {name: pair for name, pair in rows.items() if pair[0] != pair[1]}.keys() <= WORDS
    assert all(rows[name][0] <= rows[name][1] for name in WORDS & rows.keys())
    for name in ("ledger_entry", "ledger_posting", "ledger_balance", "margin_price"):
        assert after[name] == before[name], name

    # And the book goes on: the next day of files is run, and sealed after the old blocks.
    (day,) = (path for path in (old.place / "inbox").iterdir() if path.is_dir())
    assert old.answer("cycle", "--inbox", str(day), "--json")
    last = old.answer("verify", "--json")
    assert last["sound"], last["first_wrong"]
    assert len(after) <= len(old.answer("digest", "--json")["tables"])


# ---------------------------------------------------------------- an older PostgreSQL


@pytest.fixture
def on_sixteen() -> Iterator[Old]:
    """The newest of those books in the data directory of PostgreSQL 16, without checksums."""
    programs = binaries_of(BEFORE)
    with laid_out(SCHEMAS[-1]) as found:
        server = found.server
        server.make_directories()
        server.own(server.data)
        locale = ("--encoding=UTF8", "--locale=C.UTF-8")
        made = server.run(
            str(programs / "initdb"), f"--pgdata={server.data}", f"--username={SUPERUSER}",
            "--auth=trust", *locale,
        )  # fmt: skip
        assert made.returncode == 0, made.stdout
        options = f"-c port={PORT} -c listen_addresses= -c unix_socket_directories="
        begun = server.run(
            str(programs / "pg_ctl"), "start", "--wait", f"--pgdata={server.data}",
            f"--log={server.log}", f"--options={options}{server.socket_directory}",
        )  # fmt: skip
        assert begun.returncode == 0, begun.stdout
        try:
            found.restore()
        finally:
            server.run(str(programs / "pg_ctl"), "stop", "--wait", f"--pgdata={server.data}")
        yield found


def test_data_of_an_older_postgresql_is_brought_forward(on_sixteen: Old) -> None:
    old = on_sixteen
    refused = old.manage("verify", "--json")
    assert refused.returncode == 2
    assert refused.stderr == (
        "The data was made by PostgreSQL 16; `make setup` brings it to the version installed.\n"
    )

    done = old.manage("setup")
    assert done.returncode == 0, done.stderr
    assert "brought forward from PostgreSQL 16" in done.stdout
    assert (old.server.root / "postgres.16" / "PG_VERSION").exists()
    assert old.server.is_current()
    assert old.answer("verify", "--json")["sound"]
    said = old.answer("digest", "--json")["tables"]
    assert said["ledger_posting"] == old.said()["tables"]["ledger_posting"]
    assert "brought forward" not in old.manage("setup").stdout

    # As if the power had failed between the last two renames: nothing is begun anew.
    old.server.stop()
    old.server.data.rename(old.server.root / "postgres.upgraded")
    refused = old.manage("digest", "--json")
    assert (refused.returncode, refused.stderr) == (
        2, "An upgrade was cut off; `make setup` ends it.\n",
    )  # fmt: skip
    assert not old.server.data.exists()
    assert old.manage("setup").returncode == 0
    assert old.answer("digest", "--json")["tables"] == said
