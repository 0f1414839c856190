"""A cluster of a benchmark's own: made for it, on the same disk, and gone when it ends."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from django.conf import settings
from django.db import connection, connections
from psycopg import sql
from psycopg.conninfo import make_conninfo

from accounts.audit import Actor, acting
from accounts.models import LegalEntity
from brokerage import roles
from brokerage.postgres import SUPERUSER, Server
from ledger.models import Asset, Location, LocationAsset, Pool
from ledger.posting import AccountKey, open_accounts

MARK = "benchmark.scratch"
DATABASE_VARIABLES = (
    "DATABASE_URL", "DATABASE_OWNER_URL", "DATABASE_AUDITOR_URL", "DATABASE_BROKER_URL",
    "DATABASE_ADMIN_URL", "BROKERAGE_DB_ROLE",
)  # fmt: skip
BENCH = Actor.command("benchmark")
BATCH = 1_000
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
"""Business time of what is posted: one day, as the work of a day's end has."""

Connection = psycopg.Connection[tuple[object, ...]]


class BenchmarkRefusedError(Exception):
    """The benchmark cannot run here; the message is one sentence for people."""


def is_scratch() -> bool:
    """Whether this process works in a cluster that was made for a benchmark."""
    return (settings.VAR / MARK).exists()


def run_in_scratch(*arguments: str) -> str:
    """Run `manage.py` with these arguments in a new cluster; returns what it printed.

    Raises:
        BenchmarkRefusedError: the cluster could not be set up, or the run failed.
    """
    settings.VAR.mkdir(parents=True, exist_ok=True)
    var = Path(tempfile.mkdtemp(prefix="benchmark-", dir=settings.VAR))
    var.chmod(0o711)
    kept = {name: value for name, value in os.environ.items() if name not in DATABASE_VARIABLES}
    environment = kept | {"BROKERAGE_VAR": str(var), "BROKER_URL": "memory://"}
    try:
        (var / MARK).touch()
        _manage(environment, "setup")
        return _manage(environment, *arguments)
    finally:
        server = Server(var)
        if server.data.exists():
            server.stop()
        if server.socket_directory.parent != var:
            shutil.rmtree(server.socket_directory, ignore_errors=True)
        shutil.rmtree(var)


def _manage(environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "manage.py", *arguments],
        cwd=settings.ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
        raise BenchmarkRefusedError(f"`manage.py {arguments[0]}` failed: {said[-1]}")
    return done.stdout


@dataclass(frozen=True)
class Scratch:
    """The cluster as a benchmark uses it, and the firm in it.

    Attributes:
        claims: ledger accounts of clients, in id order; all of one pool and one asset.
        banks: ledger accounts of the pool's money at its banks.
        database: which database of the cluster.
    """

    server: Server
    database: str
    pool: int
    asset: int
    claims: tuple[int, ...]
    banks: tuple[int, ...]

    def connect(self, user: str = "bo_runtime") -> Connection:
        """A connection of its own that commits by itself; close it."""
        address = self.server.conninfo(user=user, dbname=self.database)
        return psycopg.connect(address, autocommit=True)

    def connect_superuser(self) -> Connection:
        """For plain tables, and to switch guards off for a measurement."""
        return self.connect(SUPERUSER)

    def copy(self, name: str) -> "Scratch":
        """A second database like this one, on the same server; nobody may be connected to it."""
        connections.close_all()
        address = self.server.conninfo(user=SUPERUSER, dbname="postgres")
        with psycopg.connect(address, autocommit=True) as server:
            server.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}").format(
                    *(sql.Identifier(each) for each in (name, self.database, roles.OWNER))
                )
            )
            roles.close_database(server, database=name)
        return Scratch(**{**vars(self), "database": name})

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Have the product itself work in this database."""
        addresses, name = dict(settings.DATABASE_ADDRESSES), connection.settings_dict["NAME"]
        connections.close_all()
        connection.settings_dict["NAME"] = self.database
        for role, address in addresses.items():
            settings.DATABASE_ADDRESSES[role] = make_conninfo(address, dbname=self.database)
        try:
            yield
        finally:
            connections.close_all()
            connection.settings_dict["NAME"] = name
            settings.DATABASE_ADDRESSES.update(addresses)


def found_scratch(*, clients: int, banks: int) -> Scratch:
    """Found a firm with clients and banks in the cluster that this process works in.

    Raises:
        BenchmarkRefusedError: this is not a cluster of a benchmark's own.
    """
    server = settings.EMBEDDED_SERVER
    if not is_scratch() or server is None:
        raise BenchmarkRefusedError("A benchmark works in a cluster of its own.")
    server.hold()
    with acting(BENCH, reason="Found the firm"):
        entity = LegalEntity.objects.create(code="BENCH", name="Benchmark")
        pool = Pool.objects.create(legal_entity=entity, code="CLIENT", owner_class="CLIENT")
        asset = Asset.objects.create(code="USD", kind="money", scale=2)
        places = [_bank(pool, asset, n) for n in range(banks)]
        buckets = _clients(entity.pk, clients)
    keys = [AccountKey(pool.pk, asset.pk, "custody", location_id=place) for place in places]
    bank_ids = _opened(keys)
    claim_ids = _opened(
        [AccountKey(pool.pk, asset.pk, "claim", bucket_id=bucket) for bucket in buckets]
    )
    connections.close_all()
    made = Scratch(
        server, settings.DATABASE_NAME, pool.pk, asset.pk, tuple(claim_ids), tuple(bank_ids)
    )
    with made.connect_superuser() as superuser:
        superuser.execute("VACUUM ANALYZE")
    return made


def _bank(pool: Pool, asset: Asset, number: int) -> int:
    place = Location.objects.create(
        code=f"bank-{number}", pool=pool, kind="bank", title="omnibus", letter_reference="L"
    )
    LocationAsset.objects.create(location=place, asset=asset)
    return place.pk


CLIENTS = """
    WITH keys AS (
        INSERT INTO accounts_personkey (id, key)
        SELECT gen_random_uuid(), sha256(n::text::bytea) FROM generate_series(1, %(many)s) n
        RETURNING id
    ), clients AS (
        INSERT INTO accounts_client (legal_entity_id, code, name_sealed, person_key_id,
                                     is_individually_segregated)
        SELECT %(entity)s, 'C-' || row_number() OVER (), '\\x00', k.id, false FROM keys k
        RETURNING id, code
    )
    INSERT INTO accounts_marginaccount (legal_entity_id, code, owner_class, client_id, mode, desk,
                                        opened_on)
    SELECT %(entity)s, 'A' || c.code, 'CLIENT', c.id, 'cash', '', '2026-01-01' FROM clients c
"""
BUCKETS = """
    INSERT INTO accounts_bucket (account_id, code, role, instrument_code, is_margined)
    SELECT a.id, 'FREE', 'FREE', '', false FROM accounts_marginaccount a RETURNING id
"""


def _clients(entity: int, many: int) -> list[int]:
    """Clients with an account and a bucket each; returns the buckets."""
    with connection.cursor() as cursor:
        cursor.execute(CLIENTS, {"many": many, "entity": entity})
        cursor.execute(BUCKETS)
        return sorted(row[0] for row in cursor.fetchall())


def _opened(keys: list[AccountKey]) -> list[int]:
    ids: list[int] = []
    for start in range(0, len(keys), BATCH):
        with acting(BENCH, reason="Open accounts"):
            ids += open_accounts(keys[start : start + BATCH]).values()
    return sorted(ids)
