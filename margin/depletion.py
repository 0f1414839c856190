"""What positions cost as time passes, and how long the equity of each scope bears it.

Burn is what fees and interest of the last days took from a scope's claims, less what interest
brought, at the newest marks; and what holding its positions costs from now on, the decay of options
and funding (`margin/running_costs.py`). Costs of single trades are part of the trades and no burn.
The forecast holds prices and positions as they are.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from django.db import connection
from django.db.models import Q, QuerySet

from margin.engine.depletion import hours_until
from margin.engine.exact import ONE, ZERO, exact
from margin.levels import levels_of
from margin.market.marks import BASE, known_marks
from margin.models import MarginResult
from margin.pools import Pools
from margin.running_costs import Costs, holding_buckets, holding_costs

# Kinds of entries that come again as time passes.
RUNNING_KINDS: Final = ("fee", "borrow_interest", "credit_interest", "interest")
LOOKED_BACK: Final = timedelta(days=7)
NEVER: Final = Decimal("Infinity")

# What such entries did to claims, by bucket and asset; an entry that was reversed did nothing.
FLOWS: Final = """
    SELECT a.bucket_id, s.code, sum(-p.amount)
    FROM ledger_entry e
    JOIN ledger_posting p ON p.entry_id = e.id
    JOIN ledger_ledgeraccount a ON a.id = p.account_id
    JOIN ledger_asset s ON s.id = a.asset_id
    WHERE e.kind_id = ANY (%(kinds)s) AND e.effective_at > %(since)s AND e.effective_at <= %(until)s
      AND a.account_class = 'claim' AND a.bucket_id IS NOT NULL
      AND NOT EXISTS (SELECT FROM ledger_entry r WHERE r.reverses_id = e.id)
    GROUP BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class Depletion:
    """One scope on its way down.

    Attributes:
        burn: lost in an hour, in the base currency, unrounded: booked fees and interest, and
            `costs` of holding.
        to_call, to_liquidation, to_nothing: hours until equity falls to the level, to a tenth; 0
            where it is below already, None where it is not reached in ten years.
    """

    result: MarginResult
    burn: Decimal
    costs: Costs
    to_call: Decimal | None
    to_liquidation: Decimal | None
    to_nothing: Decimal | None

    @property
    def order(self) -> tuple[Decimal, Decimal]:
        """What comes soonest first: liquidation, then a call."""
        return (
            NEVER if self.to_liquidation is None else self.to_liquidation,
            NEVER if self.to_call is None else self.to_call,
        )


def burning(results: "QuerySet[MarginResult]", *, at: datetime) -> list[Depletion]:
    """Scopes that lose as time passes, those that reach their liquidation level soonest first.

    Args:
        results: the newest of each scope that is asked about.
        at: until when what was lost is looked at.
    """
    booked = burn_by_bucket(at)
    at_stake = Q(scope__bucket__in=booked) | Q(scope__bucket__in=holding_buckets())
    every = list(
        results.filter(at_stake).select_related(
            "agreement_version", "moved", "scope__bucket__account"
        )
    )
    costs = holding_costs(every, at=at)
    found = []
    for result in every:
        bucket = result.scope.bucket_id
        assert bucket is not None, "they were asked for with one"
        own = costs.get(bucket, Costs())
        with exact():
            burn = booked.get(bucket, ZERO) + own.decay + own.funding
        if burn > ZERO:
            found.append(depletion_of(result, burn=burn, costs=own))
    return sorted(found, key=lambda each: (each.order, each.result.scope_id))


def depletion_of(result: MarginResult, *, burn: Decimal, costs: Costs) -> Depletion:
    """How long one scope lasts."""
    levels = levels_of(result)
    to_call, to_liquidation, to_nothing = (
        hours_until(result.equity, level=level, burn=burn)
        for level in (levels.call, levels.liquidation, ZERO)
    )
    return Depletion(result, burn, costs, to_call, to_liquidation, to_nothing)


def burn_by_bucket(until: datetime) -> Mapping[int, Decimal]:
    """What an hour took from each bucket on average over the last days, in the base currency.

    What members of a margined group lose, the group loses. Below 0 where interest brought more;
    assets without a mark are left out.
    """
    marks = {code: mark.price for code, mark in known_marks().items()} | {BASE: ONE}
    with connection.cursor() as cursor:
        cursor.execute(
            FLOWS, {"kinds": list(RUNNING_KINDS), "since": until - LOOKED_BACK, "until": until}
        )
        rows = cursor.fetchall()
    lost: dict[int, Decimal] = defaultdict(lambda: ZERO)
    groups = Pools.newest().groups
    with exact():
        for bucket, code, gained in rows:
            if code in marks:
                lost[groups.get(bucket, bucket)] -= gained * marks[code]
    hours = Decimal(LOOKED_BACK // timedelta(hours=1))
    return {bucket: amount / hours for bucket, amount in lost.items()}
