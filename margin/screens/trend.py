"""Equity as part of initial margin over the newest days, as a small line in a row."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef, QuerySet, TextField, Value
from django.db.models.expressions import Combinable, F
from django.db.models.functions import Cast, JSONObject, NullIf, Round

from accounts.clock import shown_day
from accounts.drawing import Spark, spark
from accounts.fields import ExactField
from accounts.figures import grouped
from accounts.states import STATES
from margin.models import MarginResult, MarginRun
from margin.run_rows import INSIDE_DAYS

DAYS: Final = 10
SHARE_PLACES: Final = 6
ONE: Final = Decimal(1)
# Drawn no higher or lower than this; the words have the figure.
DRAWN_MOST: Final = Decimal(3)


@dataclass(frozen=True)
class Trend:
    """A scope's shares, oldest first, with their days."""

    days: Sequence[tuple[date, Decimal]]
    tone: str

    @property
    def spark(self) -> Spark | None:
        shares = [share for _, share in self.days]
        return spark(shares, level=ONE, most=DRAWN_MOST, tone=self.tone)

    @property
    def words(self) -> str:
        """Every figure of the line: "3 Mar 141.2 %, 4 Mar 98.0 %"."""
        return ", ".join(f"{shown_day(day, form='short')} {percent(s)}" for day, s in self.days)


def percent(share: Decimal) -> str:
    return f"{grouped(share * 100, decimals=1)}\N{NO-BREAK SPACE}%"


def newest_days() -> list[int]:
    """The run of each of the newest days, whatever was run inside them; one query."""
    of_days = MarginRun.objects.exclude(purpose__in=INSIDE_DAYS)
    newest = of_days.order_by("-business_day", "-as_of", "-pk").distinct("business_day")
    return list(newest.values_list("pk", flat=True)[:DAYS])


def shares_of(scope: str, runs: Sequence[int]) -> Combinable:
    """What a list annotates as `trend`: day and share of a scope in each of some runs.

    Args:
        scope: path of the scope in the row.
    """
    share = Round(
        F("equity") / NullIf(F("initial_margin"), Value(Decimal(0)), output_field=ExactField()),
        precision=SHARE_PLACES,
        output_field=ExactField(),
    )
    found = (
        MarginResult.objects.filter(scope=OuterRef(scope), run__in=runs, initial_margin__gt=0)
        .order_by("run__business_day")
        .values(said=JSONObject(day="run__business_day", share=Cast(share, TextField())))
    )
    return ArraySubquery(found)


def trend_of(row: Any, state: str) -> Trend:  # noqa: ANN401 - a row with `trend`
    """The line of a row, in the tone of its state."""
    days = [(date.fromisoformat(each["day"]), Decimal(each["share"])) for each in row.trend]
    return Trend(days, STATES["margin"][state].tone)


def trend_text(row: Any) -> str:  # noqa: ANN401 - as above
    """The figures as exports have them: "2031-03-03 1.412345; 2031-03-04 0.980112"."""
    return "; ".join(f"{each['day']} {each['share']}" for each in row.trend)


def with_trend(rows: "QuerySet[Any]", *, scope: str) -> "QuerySet[Any]":
    """The rows with their trend; one query more, for the runs."""
    with_it: QuerySet[Any] = rows.annotate(trend=shares_of(scope, newest_days()))
    return with_it
