"""What a run would read beside its scopes, for questions about scopes of now."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any, Final

from django.db import connection

from accounts.groups import any_margined, pooled_buckets
from accounts.models import AgreementVersion
from margin.book.closes import Closes
from margin.book.now import MarketNow, market_now
from margin.book.options import option_prices
from margin.book.rows import ReadInputs
from margin.engine.house_rules import MODEL as HOUSE_RULES
from margin.models import Mark

# Of what is read as it stands, and never kept.
NO_HORIZON: Final = 0
# Money and instruments that scopes hold: all scopes, or those of accounts under some agreements.
# One holder of each asset is enough: asked for in an order, accounts are looked at one by one along
# their index until one does. Asked without, the planner first gathers every account of an asset.
HELD: Final = """
    SELECT x.id FROM ledger_asset x CROSS JOIN LATERAL (
        SELECT FROM ledger_ledgeraccount a
        JOIN ledger_balance b ON b.account_id = a.id
        JOIN accounts_scope s ON s.bucket_id = a.bucket_id
        JOIN accounts_bucket k ON k.id = a.bucket_id
        {pooled}
        WHERE a.asset_id BETWEEN x.id AND x.id AND a.account_class IN ('claim', 'position')
          AND b.amount <> 0
          AND (%(everyone)s OR EXISTS (
              SELECT FROM accounts_accountagreement g
              WHERE g.account_id = {account} AND g.agreement_id = ANY (%(agreements)s::bigint[])
                AND g.effective_from <= %(day)s
                AND (g.effective_to IS NULL OR g.effective_to > %(day)s)
                AND NOT EXISTS (
                    SELECT FROM accounts_accountagreement l
                    WHERE l.account_id = g.account_id AND l.effective_from <= %(day)s
                      AND l.effective_from > g.effective_from)))
        ORDER BY a.asset_id LIMIT 1) holder
"""
# Most firms have no group; asked of accounts alone it ends at the first that holds an asset.
HELD_ALONE: Final = HELD.format(pooled="", account="k.account_id")
HELD_IN_GROUPS: Final = HELD.format(
    pooled="""
        LEFT JOIN unnest(%(pooled)s::bigint[], %(groups)s::bigint[]) p (held, stands)
            ON p.held = k.id
        LEFT JOIN accounts_bucket o ON o.id = p.stands""",
    account="coalesce(o.account_id, k.account_id)",
)


def read_ground(
    *,
    marks: Mapping[int, Mark],
    as_of: datetime,
    day: date,
    besides: Iterable[int] = (),
    looks_back: bool = True,
    now: MarketNow | None = None,
) -> ReadInputs:
    """What a run at these marks would read beside its scopes and models, as it is known now.

    Args:
        marks: by asset id; closes are those up to `as_of`.
        day: whose terms hold.
        besides: assets that models are asked about though no scope of theirs holds them yet.
        looks_back: whether a model that is asked needs closes; reading five years takes longest.
        now: what is said now, where it was looked for before.
    """
    now = now or market_now()
    assets, contracts = now.assets(), now.contracts()
    market = now.market(as_of, day=day)
    asked = held_by_models(day, everyone=now.any_watched(day)) | frozenset(besides)
    return ReadInputs(
        horizon_id=NO_HORIZON,
        as_of=as_of,
        business_day=day,
        assets=dict(assets),
        scopes=[],
        claims=[],
        positions=[],
        loans=[],
        marks=dict(marks),
        terms=now.terms(day),
        contracts=contracts,
        closes=now.closes(as_of) if looks_back else Closes(),
        market=market,
        asked=asked,
        options=option_prices(
            asked, assets=assets, contracts=contracts, marks=marks, market=market
        ),
    )


def held_by_models(day: date, *, everyone: bool) -> frozenset[int]:
    """Assets that scopes under a portfolio model hold now, or all scopes.

    They are what the market of the next run is made of; see `margin.book.arrays.market_rows`.

    Args:
        everyone: of all scopes, as where a model is watched.
    """
    newest = (
        AgreementVersion.objects.filter(effective_from__lte=day)
        .order_by("agreement", "-effective_from")
        .distinct("agreement")
        .values_list("agreement", "model")
    )
    under = [agreement for agreement, model in newest if model != HOUSE_RULES]
    pooled = pooled_buckets(day) if any_margined() else {}
    asked: dict[str, Any] = {
        "everyone": everyone, "agreements": under, "day": day,
        "pooled": list(pooled), "groups": list(pooled.values()),
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(HELD_IN_GROUPS if pooled else HELD_ALONE, asked)
        return frozenset(pk for (pk,) in cursor.fetchall())
