"""A large book to be margined: accounts with money, a loan for some, and five positions each.

It is written past the guards, as `growth` writes its history, and is sound: every balance repeats
its posting. Balances of one account lie far apart in the tables, which is the slower way to lie.
"""

from datetime import UTC, date, datetime
from typing import Final

from psycopg import sql

from brokerage.benchmarks.growth import without_guards
from brokerage.benchmarks.scratch import Scratch

UNDERLYINGS: Final = 50
INSTRUMENTS: Final = 4 * UNDERLYINGS
POSITIONS: Final = 5
DAY: Final = date(2026, 6, 1)
AS_OF: Final = datetime(2026, 6, 1, 21, tzinfo=UTC)
PLACES: Final = POSITIONS + 2
FIRST: Final = 1_000
TABLES: Final = (
    "accounts_act", "accounts_personkey", "accounts_client", "accounts_marginaccount",
    "accounts_bucket", "accounts_scope", "accounts_agreement", "accounts_agreementversion",
    "accounts_accountagreement", "ledger_asset", "ledger_ledgeraccount", "ledger_entry",
    "ledger_entrykey", "ledger_posting", "ledger_balance", "margin_haircut",
    "margin_instrumentterms", "margin_bracket", "margin_price", "margin_mark",
)  # fmt: skip

NUMBERED: Final = (
    "accounts_client", "accounts_marginaccount", "accounts_bucket", "accounts_scope",
    "accounts_agreement", "accounts_agreementversion", "accounts_accountagreement", "ledger_asset",
    "ledger_ledgeraccount", "margin_haircut", "margin_instrumentterms", "margin_bracket",
    "margin_mark",
)  # fmt: skip

# The instruments: of each underlying two securities and two perpetuals.
REFERENCE: Final = """
    INSERT INTO accounts_act (actor, channel, request_id, reason)
    VALUES ('system:command:benchmark', 'job', '', 'Fill the book');
    INSERT INTO ledger_asset (id, code, kind, scale, price_scale, settles_in_id)
    SELECT 1000 + n, format('U%s-%s', lpad((n %% 50)::text, 2, '0'), n / 50),
           CASE WHEN n / 50 < 2 THEN 'security' ELSE 'derivative' END,
           CASE WHEN n / 50 < 2 THEN 0 ELSE 3 END, 4, {asset}
    FROM generate_series(0, 199) n;
    INSERT INTO margin_haircut (asset_id, version, effective_from, haircut)
    VALUES ({asset}, 1, '2026-01-01', 0);
    INSERT INTO margin_instrumentterms (id, asset_id, version, effective_from, initial_rate,
                                        maintenance_rate)
    SELECT 1000 + n, 1000 + n, 1, '2026-01-01', CASE WHEN n < 100 THEN 0.5000 END,
           CASE WHEN n < 100 THEN 0.2500 END FROM generate_series(0, 199) n;
    INSERT INTO margin_bracket (terms_id, floor, initial_rate, maintenance_rate)
    SELECT 1000 + n, f.floor, f.initial, f.maintenance FROM generate_series(100, 199) n,
        (VALUES (0, 0.10, 0.05), (50000, 0.125, 0.0625), (250000, 0.25, 0.125))
            f(floor, initial, maintenance);
    INSERT INTO margin_mark (asset_id, as_of, business_day, price, state, used, dropped)
    SELECT 1000 + n, '{as_of}', '{day}', 10 + (n * 7919 %% 49000) / 100.0 + n / 10000.0, 'VALID',
           '[]', '[]' FROM generate_series(0, 199) n;
    INSERT INTO accounts_agreement (id, legal_entity_id, code) VALUES (1000, {entity}, 'CLIENT');
    INSERT INTO accounts_agreementversion (id, agreement_id, version, effective_from, model,
        parameters, call_level, liquidation_level, minimum_transfer_amount, currency, call_due_for,
        eligible_collateral, segregation_regime, jurisdiction, document_sha256)
    VALUES (1000, 1000, 1, '2026-01-01', 'house-rules', 'v1', 1, 0.5, 100, 'USD', '1 day',
            '[]', '', '', '')
"""
ACCOUNTS: Final = """
    WITH many AS (SELECT n FROM generate_series(0, {many} - 1) n), keys AS (
        INSERT INTO accounts_personkey (id, key)
        SELECT lpad(to_hex(n), 32, '0')::uuid, sha256(n::text::bytea) FROM many
    ), clients AS (
        INSERT INTO accounts_client (id, legal_entity_id, code, name_sealed, person_key_id,
                                     is_individually_segregated)
        SELECT 1000 + n, {entity}, 'K' || n, '\\x00', lpad(to_hex(n), 32, '0')::uuid, false
        FROM many
    ), accounts AS (
        INSERT INTO accounts_marginaccount (id, legal_entity_id, code, owner_class, client_id,
                                            mode, desk, opened_on)
        SELECT 1000 + n, {entity}, 'B' || lpad(n::text, 7, '0'), 'CLIENT', 1000 + n, 'margin', '',
               '2026-01-01' FROM many
    ), buckets AS (
        INSERT INTO accounts_bucket (id, account_id, code, role, instrument_code, is_margined)
        SELECT 1000 + n, 1000 + n, 'FREE', 'FREE', '', true FROM many
    ), scopes AS (
        INSERT INTO accounts_scope (id, bucket_id) SELECT 1000 + n, 1000 + n FROM many
    )
    INSERT INTO accounts_accountagreement (account_id, agreement_id, effective_from)
    SELECT 1000 + n, 1000, '2026-01-01' FROM many
"""
# Place 0 is money, 1 to 5 are positions, 6 is a loan of every tenth account.
BALANCES: Final = """
    CREATE TEMPORARY TABLE held ON COMMIT DROP AS
    SELECT 1000 + place * {many}::bigint + n AS id, n, place,
           (hashint8extended(n * 8 + place, 1) & 1073741823)::bigint AS draw,
           (hashint8extended(n * 8 + place, 2) & 1073741823)::bigint AS other
    FROM generate_series(0, 6) place, generate_series(0, {many} - 1) n
    WHERE place < 6 OR n %% 10 = 0;
    INSERT INTO ledger_ledgeraccount (id, pool_id, asset_id, account_class, bucket_id, owner_class,
                                      asset_kind, scale, margin_account_id, client_id)
    SELECT h.id, CASE place WHEN 6 THEN {firm_pool} ELSE {pool} END, t.id,
           CASE place WHEN 0 THEN 'claim' WHEN 6 THEN 'loan_receivable' ELSE 'position' END,
           1000 + n, CASE place WHEN 6 THEN 'FIRM' ELSE 'CLIENT' END, t.kind, t.scale, 1000 + n,
           1000 + n
    FROM held h JOIN ledger_asset t ON t.id = CASE WHEN place IN (0, 6) THEN {asset}
        ELSE 1000 + draw %% 40 + (place - 1) * 40 END;
    INSERT INTO ledger_balance (account_id, amount, seq, average_cost)
    SELECT h.id, CASE place
               WHEN 0 THEN -(20000 + (draw %% 9000000) / 100.0)::numeric(20, 2)
               WHEN 6 THEN (1000 + (draw %% 100000) / 100.0)::numeric(20, 2)
               ELSE CASE other %% 3 WHEN 0 THEN 1 ELSE -1 END
                    * CASE a.asset_kind WHEN 'security' THEN 1 + other %% 300
                      ELSE (1 + other %% 300000) / 1000.0 END::numeric(20, 3) END, 1,
           CASE WHEN place BETWEEN 1 AND 5
                THEN round(m.price * (0.9 + (other %% 1999) / 10000.0), 8) END
    FROM held h JOIN ledger_ledgeraccount a ON a.id = h.id
    LEFT JOIN margin_mark m ON m.asset_id = a.asset_id;
    INSERT INTO ledger_entry (id, kind_id, effective_at, reference, narrative, posting_count)
    SELECT 1000 + part, 'opening', '2026-05-29 12:00Z', 'OPENING-' || part, '', count(*)
    FROM (SELECT n / 1000 AS part FROM held) h GROUP BY part;
    INSERT INTO ledger_entrykey (key, entry_id, digest)
    SELECT 'filled:' || id, id, sha256(id::text::bytea) FROM ledger_entry WHERE id >= 1000;
    INSERT INTO ledger_posting (account_id, account_seq, entry_id, pool_id, asset_id, amount,
                                balance_after, average_after)
    SELECT h.id, 1, 1000 + h.n / 1000, a.pool_id, a.asset_id, b.amount, b.amount, b.average_cost
    FROM held h JOIN ledger_ledgeraccount a ON a.id = h.id JOIN ledger_balance b
        ON b.account_id = h.id
"""


def fill(scratch: Scratch, *, accounts: int) -> None:
    """Write the book past the guards, move the counters of ids beyond it, and analyse it."""
    with scratch.connect_superuser() as superuser:
        row = superuser.execute(
            "SELECT p.legal_entity_id, coalesce((SELECT min(id) FROM ledger_pool"
            " WHERE owner_class <> 'CLIENT'), p.id) FROM ledger_pool p WHERE p.id = %s",
            [scratch.pool],
        ).fetchone()
        assert row is not None, "the scratch has its pool"
        said = {
            "asset": scratch.asset, "pool": scratch.pool, "entity": row[0], "firm_pool": row[1],
            "many": accounts, "as_of": AS_OF.isoformat(), "day": DAY.isoformat(),
        }  # fmt: skip
        superuser.execute("SET work_mem = '512MB'")
        with without_guards(superuser, TABLES):
            for part in (REFERENCE, ACCOUNTS, BALANCES):
                with superuser.transaction():
                    for statement in part.format(**said).replace("%%", "%").split(";\n"):
                        superuser.execute(statement.encode())
            for table in NUMBERED:
                superuser.execute(
                    sql.SQL(
                        "SELECT setval(pg_get_serial_sequence({0}, 'id'), max(id)) FROM {1}"
                    ).format(sql.Literal(table), sql.Identifier(table))
                )
            superuser.execute("SELECT setval('ledger_entry_id', max(id)) FROM ledger_entry")
        superuser.execute("VACUUM ANALYZE")
        superuser.execute("CHECKPOINT")
