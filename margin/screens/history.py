"""How a scope stood from run to run, as a chart and as a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

from django.db.models import Q, Subquery, Value
from django.db.models.functions import Coalesce

from accounts.clock import shown_day
from accounts.drawing import Chart, chart
from accounts.figures import WIDE, grouped
from margin.levels import levels_of
from margin.models import MarginResult
from margin.run_rows import INSIDE_DAYS

DAYS_SHOWN = 30
RATIO_SHOWN_MAX = Decimal(200)
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class ScopeHistory:
    """One result a business day, oldest first, the newest of each day."""

    results: Sequence[MarginResult]

    def before(self, result_id: int) -> MarginResult | None:
        """The result before one of them, if it is shown."""
        earlier = None
        for result in self.results:
            if result.pk == result_id:
                return earlier
            earlier = result
        return None

    @property
    def chart(self) -> Chart | None:
        """Equity against the levels; none for a single day, which is no line."""
        if len(self.results) < 2:
            return None
        return chart(
            [
                ("lq", [levels_of(each).liquidation for each in self.results]),
                ("mm", [each.maintenance_margin for each in self.results]),
                ("im", [each.initial_margin for each in self.results]),
                ("eq", [each.equity for each in self.results]),
            ],
            days=axis_days([each.run.business_day for each in self.results]),
            words=self.words,
        )

    @property
    def ratios(self) -> list[Decimal | None]:
        """Maintenance margin over equity on each day; None where equity is not above 0."""
        return [
            WIDE.divide(each.maintenance_margin, each.equity) if each.equity > 0 else None
            for each in self.results
        ]

    @property
    def lines(self) -> list[tuple[MarginResult, Decimal | None]]:
        """Each day with its ratio, for the table."""
        return list(zip(self.results, self.ratios, strict=True))

    @property
    def ratio_chart(self) -> Chart | None:
        """The margin ratio in per cent; at its top where it is more, or nothing is left."""
        if len(self.results) < 2:
            return None
        shown = [
            RATIO_SHOWN_MAX if ratio is None else min(ratio * 100, RATIO_SHOWN_MAX)
            for ratio in self.ratios
        ]
        first, last = ("nothing left" if r is None else f"{r:.1%}" for r in self._ends)
        return chart(
            [("lq", [Decimal(100)] * len(shown)), ("eq", shown)],
            days=axis_days([each.run.business_day for each in self.results]),
            words=f"Maintenance margin over equity, per cent: {first} at first, {last} at last; "
            "the line at 100 is where nothing is spare; figures in the table below",
        )

    @property
    def _ends(self) -> tuple[Decimal | None, Decimal | None]:
        return self.ratios[0], self.ratios[-1]

    @property
    def words(self) -> str:
        """The chart in one sentence; the table has the figures."""
        first, last = self.results[0], self.results[-1]
        verb = "fell" if last.equity < first.equity else "rose"
        return (
            f"Equity {verb} from {grouped(first.equity, decimals=2)} on "
            f"{shown_day(first.run.business_day, form='short')} to "
            f"{grouped(last.equity, decimals=2)} on "
            f"{shown_day(last.run.business_day, form='short')}; figures in the table below"
        )


def scope_history(scope_id: int, *, until: datetime | None = None) -> ScopeHistory:
    """The newest days of a scope, up to a run; one query."""
    results = MarginResult.objects.filter(scope=scope_id).select_related(
        "run", "agreement_version", "moved"
    )
    if until is not None:
        results = results.filter(run__as_of__lte=until)
    # Of a day that is over its own run counts; what was run inside days, only behind the last one.
    of_days = results.exclude(run__purpose__in=INSIDE_DAYS).order_by("-run__as_of")
    last = Coalesce(Subquery(of_days.values("run__as_of")[:1]), Value(LONG_AGO))
    results = results.filter(~Q(run__purpose__in=INSIDE_DAYS) | Q(run__as_of__gt=last))
    newest = results.order_by("-run__business_day", "-run__as_of", "-run").distinct(
        "run__business_day"
    )
    return ScopeHistory(list(newest[:DAYS_SHOWN])[::-1])


def axis_days(business_days: Sequence[date]) -> list[str]:
    """Labels for the axis: six at most, the first and the last among them."""
    days = [shown_day(day, form="short") for day in business_days]
    if len(days) <= 6:
        return days
    step = (len(days) - 1) / 5
    return [days[round(place * step)] for place in range(6)]
