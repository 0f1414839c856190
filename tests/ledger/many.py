"""A firm with many clients, made in bulk, each with money of its own."""

from datetime import datetime

from django.db import connection

from accounts.audit import acting
from ledger.posting import AccountKey, Draft, Leg, open_accounts, post_entries
from tests.ledger.book import DESK, Book

BATCH = 1_000

PEOPLE = """
    WITH keys AS (
        INSERT INTO accounts_personkey (id, key)
        SELECT gen_random_uuid(), sha256(n::text::bytea) FROM generate_series(1, %(many)s) n
        RETURNING id
    ), clients AS (
        INSERT INTO accounts_client (legal_entity_id, code, name_sealed, person_key_id,
                                     is_individually_segregated)
        SELECT %(entity)s, 'M' || row_number() OVER (), '\\x00', k.id, false FROM keys k
        RETURNING id, code
    )
    INSERT INTO accounts_marginaccount (legal_entity_id, code, owner_class, client_id, mode, desk,
                                        opened_on)
    SELECT %(entity)s, c.code, 'CLIENT', c.id, 'cash', '', '2026-02-05' FROM clients c
"""
BUCKETS = """
    INSERT INTO accounts_bucket (account_id, code, role, instrument_code, is_margined)
    SELECT a.id, 'FREE', 'FREE', '', false FROM accounts_marginaccount a WHERE a.code LIKE 'M%%'
    RETURNING id
"""


def add_clients(book: Book, many: int, *, amount: str, at: datetime) -> list[int]:
    """Clients with `amount` dollars each; returns the ledger accounts of their claims."""
    with acting(DESK, reason="Many clients"), connection.cursor() as cursor:
        cursor.execute(PEOPLE, {"many": many, "entity": book.desk.entity.pk})
        cursor.execute(BUCKETS)
        buckets = sorted(row[0] for row in cursor.fetchall())
    claims: list[int] = []
    for start in range(0, many, BATCH):
        with acting(DESK, reason="Many deposits"):
            wanted = [
                AccountKey(book.pools["CLIENT"].pk, book.assets["USD"].pk, "claim", bucket)
                for bucket in buckets[start : start + BATCH]
            ]
            ids = list(open_accounts(wanted).values())
            post_entries(deposit(book, claim, amount=amount, at=at) for claim in ids)
        claims += ids
    return claims


def deposit(book: Book, claim: int, *, amount: str, at: datetime) -> Draft:
    """Money of one of them."""
    return book.draft(
        "deposit",
        ("client_bank", amount),
        Leg(claim, -book.leg("client_bank", amount).amount),
        key=f"many:{claim}:{at:%Y-%m-%d}",
        at=at,
    )
