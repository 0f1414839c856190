"""A change that is thought of, in a house of many accounts with five years of marks.

A small invented firm is opened and run for a day; its cross accounts are then copied past the
guards as often as asked, in equal parts under house rules and under each of a few portfolio
models. What is timed is the function behind the screen and the API, scope by scope.
"""

import random
import tempfile
import time
from datetime import date
from decimal import Decimal
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

from django.conf import settings
from psycopg.types.json import Jsonb

from accounts.models import Agreement, Bucket
from brokerage.benchmarks import machine
from brokerage.benchmarks.growth import without_guards
from brokerage.benchmarks.scratch import BenchmarkRefusedError, Connection, Scratch, is_scratch
from brokerage.inbox.cycle import run_day
from brokerage.synthetic import DEMO, write_firm
from margin.engine.house_rules import MODEL as HOUSE_RULES
from margin.engine.models import MODELS
from margin.engine.parameters import parameters_sha256, written_parameters
from margin.what_if import Change, ThoughtTrade, what_if

ACCOUNTS, ACCOUNTS_QUICK = 100_000, 10_000
ASKED, ASKED_QUICK = 200, 40
PAST_DAYS: Final = 1_250
FIRST_DAY: Final = date(2031, 3, 3)
SEED: Final = 20
FLOOR_MS: Final = 100.0
CODE: Final = "BENCH"
USED: Final = ("delta", "scenario", "value-at-risk")
TABLES: Final = (
    "accounts_marginaccount", "accounts_bucket", "accounts_scope", "accounts_accountagreement",
    "accounts_agreement", "accounts_agreementversion", "ledger_ledgeraccount", "ledger_balance",
    "margin_mark", "margin_parameterset", "margin_modeldecision",
)  # fmt: skip

ACCOUNT_ROWS: Final = """
    WITH base AS (
        SELECT a.*, row_number() OVER (ORDER BY a.id) AS nth, count(*) OVER () AS many
        FROM accounts_marginaccount a WHERE a.mode = 'cross' AND a.owner_class = 'CLIENT'
    )
    INSERT INTO accounts_marginaccount (legal_entity_id, code, owner_class, client_id, mode, desk,
                                        opened_on)
    SELECT base.legal_entity_id, 'N' || n || ':' || base.id, base.owner_class, base.client_id,
           base.mode, '', base.opened_on
    FROM generate_series(1, %(accounts)s::int) n JOIN base ON base.nth = 1 + n %% base.many
"""
# What hangs on a copied account, each as it hangs on the account that it was copied from.
COPIES: Final = """
    CREATE TEMP TABLE copies AS
    SELECT id, split_part(code, ':', 2)::bigint AS from_id FROM accounts_marginaccount
    WHERE code LIKE 'N%%:%%'
"""
BUCKET_ROWS: Final = """
    INSERT INTO accounts_bucket (account_id, code, role, instrument_code, is_margined)
    SELECT c.id, b.code, b.role, b.instrument_code, b.is_margined
    FROM copies c JOIN accounts_bucket b ON b.account_id = c.from_id
"""
SCOPE_ROWS: Final = """
    INSERT INTO accounts_scope (bucket_id)
    SELECT b.id FROM accounts_bucket b LEFT JOIN accounts_scope s ON s.bucket_id = b.id
    WHERE b.is_margined AND s.id IS NULL
"""
SIGNED_ROWS: Final = """
    INSERT INTO accounts_accountagreement (account_id, agreement_id, effective_from)
    SELECT c.id, (%(agreements)s::bigint[])[(1 + c.id %% %(many)s)::int], %(day)s
    FROM copies c
"""
LEDGER_ROWS: Final = """
    INSERT INTO ledger_ledgeraccount (pool_id, asset_id, account_class, bucket_id, owner_class,
                                      asset_kind, scale, margin_account_id, client_id)
    SELECT l.pool_id, l.asset_id, l.account_class, n.id, l.owner_class, l.asset_kind, l.scale,
           c.id, l.client_id
    FROM copies c
    JOIN accounts_bucket n ON n.account_id = c.id
    JOIN accounts_bucket b ON b.account_id = c.from_id AND b.code = n.code
    JOIN ledger_ledgeraccount l ON l.bucket_id = b.id
"""
BALANCE_ROWS: Final = """
    INSERT INTO ledger_balance (account_id, amount, seq, average_cost)
    SELECT l.id, x.amount, x.seq, x.average_cost
    FROM copies c
    JOIN ledger_ledgeraccount l ON l.margin_account_id = c.id
    JOIN ledger_ledgeraccount o ON o.margin_account_id = c.from_id AND o.asset_id = l.asset_id
        AND o.account_class = l.account_class
    JOIN ledger_balance x ON x.account_id = o.id
"""
MARK_ROWS: Final = """
    INSERT INTO margin_mark (asset_id, as_of, business_day, price, state, used, dropped)
    SELECT m.asset_id, m.as_of - (7 + n) * interval '1 day', m.business_day - 7 - n,
           round(m.price * (1 + 0.3 * sin(n * 0.7 + m.asset_id)::numeric), 8), 'VALID', '[]', '[]'
    FROM (SELECT DISTINCT ON (asset_id) * FROM margin_mark ORDER BY asset_id, as_of DESC) m,
         generate_series(1, %(days)s::int) n
"""
VERSION_ROWS: Final = """
    INSERT INTO accounts_agreementversion (agreement_id, version, effective_from, model, parameters,
        call_level, liquidation_level, minimum_transfer_amount, currency, call_due_for,
        eligible_collateral, segregation_regime, jurisdiction, document_sha256)
    SELECT %(agreement)s, 1, effective_from, %(model)s, %(code)s, call_level, liquidation_level,
        minimum_transfer_amount, currency, call_due_for, eligible_collateral, segregation_regime,
        jurisdiction, document_sha256
    FROM accounts_agreementversion WHERE agreement_id = %(of)s ORDER BY version LIMIT 1
"""


def measure(quick: bool, *, accounts: int | None = None) -> dict[str, Any]:
    """Milliseconds of a change that is thought of, by what decides on the scope.

    Returns:
        `name`, `figures` (p50 and p95 by model), `ratios` (the 95th percentile to the floor).
    """
    if not is_scratch() or settings.EMBEDDED_SERVER is None:
        raise BenchmarkRefusedError("A benchmark works in a cluster of its own.")
    many = accounts or (ACCOUNTS_QUICK if quick else ACCOUNTS)
    settings.EMBEDDED_SERVER.hold()
    with tempfile.TemporaryDirectory() as folder:
        (day,) = write_firm(
            Path(folder), accounts=40, seed=SEED, first_day=FIRST_DAY, days=1, profile=DEMO
        )
        run_day(day)
    scratch = Scratch(settings.EMBEDDED_SERVER, settings.DATABASE_NAME, 0, 0, (), ())
    with scratch.connect_superuser() as superuser:
        figures: dict[str, Any] = {"machine": machine.score(superuser)._asdict(), "accounts": many}
        agreements = _fill(superuser, many)
    figures |= {"scopes_asked": {}, "p50_ms": {}, "p95_ms": {}, "p95_ms_points_searched": {}}
    for model, agreement in agreements.items():
        taken, searched = _timed(agreement, ASKED_QUICK if quick else ASKED)
        figures["scopes_asked"][model] = len(taken)
        figures["p50_ms"][model], figures["p95_ms"][model] = median(taken), _p95(taken)
        figures["p95_ms_points_searched"][model] = _p95(searched)
    ratios = {
        "house_p95_over_floor": figures["p95_ms"][HOUSE_RULES] / FLOOR_MS,
        "slowest_p95_over_floor": max(figures["p95_ms"].values()) / FLOOR_MS,
        "slowest_p95_points_searched_over_floor": max(figures["p95_ms_points_searched"].values())
        / FLOOR_MS,
    }
    return {"name": "what_if", "figures": figures | {"floor_ms": FLOOR_MS}, "ratios": ratios}


def _p95(taken: list[float]) -> float:
    return quantiles(taken, n=20)[-1]


def _fill(superuser: Connection, accounts: int) -> dict[str, int]:
    """Copy accounts and give them agreements and a past; agreements by the model they name."""
    with without_guards(superuser, TABLES):
        agreements = {HOUSE_RULES: Agreement.objects.get(code="STD").pk}
        agreements |= {model: _under(superuser, model, agreements) for model in USED}
        said: dict[str, object] = {
            "accounts": accounts, "agreements": list(agreements.values()), "days": PAST_DAYS,
            "many": len(agreements), "day": FIRST_DAY,
        }  # fmt: skip
        for statement in (ACCOUNT_ROWS, COPIES, BUCKET_ROWS, SCOPE_ROWS, SIGNED_ROWS, LEDGER_ROWS,
                          BALANCE_ROWS, MARK_ROWS):  # fmt: skip
            superuser.execute(statement, said)
    superuser.execute("VACUUM ANALYZE")
    return agreements


def _under(superuser: Connection, model: str, agreements: dict[str, int]) -> int:
    """An agreement that names a model with its standard parameters, in production."""
    parameters = MODELS[model].standard
    said: dict[str, object] = {
        "model": model, "code": CODE, "day": FIRST_DAY, "of": agreements[HOUSE_RULES],
        "values": Jsonb(written_parameters(parameters)), "sha": parameters_sha256(parameters),
        "version": MODELS[model].version,
    }  # fmt: skip
    row = superuser.execute(
        "INSERT INTO accounts_agreement (legal_entity_id, code)"
        " SELECT legal_entity_id, 'UNDER ' || %(model)s FROM accounts_agreement WHERE id = %(of)s"
        " RETURNING id",
        said,
    ).fetchone()
    assert row is not None, "a row was inserted"
    superuser.execute(VERSION_ROWS, said | {"agreement": row[0]})
    superuser.execute(
        "INSERT INTO margin_parameterset (model, code, version, effective_from, values, sha256)"
        " VALUES (%(model)s, %(code)s, 1, %(day)s, %(values)s, %(sha)s)",
        said,
    )
    superuser.execute(
        "INSERT INTO margin_modeldecision (model, model_version, code, standing, effective_from,"
        " model_sha256, owner)"
        " VALUES (%(model)s, %(version)s, %(code)s, 'production', %(day)s, '', 'Benchmark')",
        said,
    )
    return int(str(row[0]))


def _timed(agreement: int, asked: int) -> tuple[list[float], list[float]]:
    """Milliseconds of each of so many scopes under an agreement, plain and with points searched.

    The scopes are drawn from all there are; one more warms up.
    """
    draw = random.Random(SEED)  # noqa: S311 - a draw that can be repeated
    ids = list(
        Bucket.objects.filter(
            account__agreements__agreement=agreement, account__code__contains=":"
        ).values_list("pk", flat=True)
    )
    chosen = draw.sample(ids, min(asked, len(ids)))
    taken: dict[bool | None, list[float]] = {None: [], True: []}
    for pk in [chosen[0], *chosen]:
        bucket = Bucket.objects.select_related("account").get(pk=pk)
        change = _drawn(draw)
        for has_points, times in taken.items():
            start = time.perf_counter()
            what_if(bucket, change, has_points=has_points)
            times.append((time.perf_counter() - start) * 1000)
    return taken[None][1:], taken[True][1:]


def _drawn(draw: random.Random) -> Change:
    """A trade of the perpetual with money brought in, every other time at another price."""
    trade = ThoughtTrade("BTC-PERP", Decimal(draw.randint(-400, 400) * 2 + 1) / 1000)
    moved = {"BTC": Decimal(draw.randint(20_000, 90_000))} if draw.random() < 0.5 else {}
    return Change(trades=(trade,), money={"USD": Decimal(draw.randint(1, 9_000))}, prices=moved)
