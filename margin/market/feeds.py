"""How late prices are: from the event until they are received, and until a mark uses them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from django.db import connection

from margin.engine.price_rules import FeedRules
from margin.market.rules import rules_in_force
from margin.models import MarketRule

# Upper ends of the histogram's buckets, in seconds; the last has none.
BUCKETS: Final = (1, 5, 15, 30, 60, 120, 300, 900, 3600, 86_400)
RECEIVED, USED = "received", "used"
STAGES: Final = (RECEIVED, USED)


@dataclass(frozen=True, slots=True)
class Latency:
    """How late the prices of one source were at one stage.

    Attributes:
        stage: "received": from the event until it came; "used": until a mark was made of it.
        counts: by bucket of `BUCKETS` and one more beyond the last, not added up.
        seconds: of all together; a price from before its own event counts as it is, below 0.
        longest: of one price.
    """

    source: str
    stage: str
    counts: tuple[int, ...]
    seconds: float
    longest: float

    @property
    def count(self) -> int:
        return sum(self.counts)

    @property
    def mean(self) -> float:
        return self.seconds / self.count


@dataclass(frozen=True, slots=True)
class Feed:
    """One source on a day, with what it promised.

    Attributes:
        latencies: by stage; none of a stage that nothing reached.
        late: prices received later than promised.
    """

    source: str
    rules: FeedRules | None
    rule: MarketRule | None
    latencies: dict[str, Latency]
    late: int

    @property
    def is_silent(self) -> bool:
        """It is expected every day and sent nothing."""
        return self.rules is not None and self.rules.is_expected and not self.latencies

    @property
    def is_breached(self) -> bool:
        return self.late > 0 or self.is_silent


def latencies(day: date | None = None) -> list[Latency]:
    """The latencies of every source and stage, of the prices of a day or of all, by source.

    A price is used when the act that made a mark of it was recorded, and not before it came.
    """
    ends = list(BUCKETS)
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH late AS ("
            "  SELECT p.source, 'received' AS stage,"
            "         extract(epoch FROM p.received_at - p.observed_at)::float8 AS seconds"
            "  FROM margin_price p WHERE %(day)s::date IS NULL OR p.business_day = %(day)s::date"
            "  UNION ALL"
            "  SELECT p.source, 'used', extract(epoch FROM"
            "         greatest(a.recorded_at, p.received_at) - p.observed_at)::float8"
            "  FROM margin_mark m JOIN accounts_act a ON a.xid = m.xid"
            "  CROSS JOIN LATERAL jsonb_array_elements(m.used) u"
            "  JOIN margin_price p ON p.id = (u ->> 'price_id')::bigint"
            "  WHERE %(day)s::date IS NULL OR m.business_day = %(day)s::date)"
            " SELECT source, stage, width_bucket(-seconds, %(ends)s::float8[]) AS bucket,"
            "        count(*), sum(seconds), max(seconds)"
            " FROM late GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
            {"day": day, "ends": [-float(end) for end in reversed(ends)]},
        )
        rows = cursor.fetchall()
    found: dict[tuple[str, str], list[tuple[int, int, float, float]]] = {}
    for source, stage, bucket, *rest in rows:
        # Counted from the far end, so that a price exactly at an end belongs to that bucket.
        found.setdefault((source, stage), []).append((len(ends) - bucket, *rest))
    return [_latency(*key, parts) for key, parts in found.items()]


def _latency(source: str, stage: str, parts: Sequence[tuple[int, int, float, float]]) -> Latency:
    counts = [0] * (len(BUCKETS) + 1)
    for bucket, count, _, _ in parts:
        counts[bucket] = count
    return Latency(
        source, stage, tuple(counts), sum(part[2] for part in parts), max(part[3] for part in parts)
    )


def feeds_of(day: date) -> list[Feed]:
    """Every source that sent something for a day or promised to, by name."""
    rules = rules_in_force(day, MarketRule.Kind.FEED)
    found: dict[str, dict[str, Latency]] = {}
    for each in latencies(day):
        found.setdefault(each.source, {})[each.stage] = each
    late = _late(day, {name: each.rules.seconds_most for name, each in rules.items()})
    return [
        Feed(
            source=source,
            rules=rules[source].rules if source in rules else None,
            rule=rules[source].row if source in rules else None,
            latencies=found.get(source, {}),
            late=late.get(source, 0),
        )
        for source in sorted({*found, *rules})
    ]


def _late(day: date, promised: dict[str, float]) -> dict[str, int]:
    """How many prices of a day came later than their source promised."""
    limits = {source: seconds for source, seconds in promised.items() if seconds}
    if not limits:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT p.source, count(*) FROM margin_price p"
            " JOIN unnest(%s::text[], %s::float8[]) AS l(source, seconds) ON l.source = p.source"
            " WHERE p.business_day = %s"
            "   AND extract(epoch FROM p.received_at - p.observed_at) > l.seconds GROUP BY 1",
            [list(limits), list(limits.values()), day],
        )
        return dict(cursor.fetchall())


def breached(day: date) -> list[Feed]:
    """The feeds that did not keep on a day what they promised; one query where none did promise."""
    if not MarketRule.objects.filter(kind=MarketRule.Kind.FEED, effective_from__lte=day).exists():
        return []
    return [feed for feed in feeds_of(day) if feed.is_breached]
