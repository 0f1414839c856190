"""How scopes stand now: what the newest run of everything says, and what was run again since."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Max, Q, QuerySet

from margin.models import MarginResult, MarginRun
from margin.run_rows import INCREMENTAL, settled_runs


@dataclass(frozen=True, slots=True)
class StandingRuns:
    """The runs that together speak of every scope once: the newest that does wins.

    Attributes:
        whole: the newest run of everything; None before the first.
        since: runs of what was touched since, oldest first.
    """

    whole: MarginRun | None
    since: Sequence[MarginRun]

    @property
    def newest(self) -> MarginRun | None:
        """The run of the newest prices."""
        return self.since[-1] if self.since else self.whole

    @property
    def as_of(self) -> datetime | None:
        """The instant of the newest prices that were run."""
        return None if self.newest is None else self.newest.as_of

    def results(self, **of: object) -> "QuerySet[MarginResult]":
        """One result of each scope, the newest; those alone that fit these lookups.

        What was run again is looked up once and not scope by scope, so that the plan does not
        depend on how well the server knows a table that has just grown.
        """
        of_whole = MarginResult.objects.filter(run=self.whole, **of)
        if self.whole is None or not self.since:
            return of_whole
        again = MarginResult.objects.filter(run__in=[run.pk for run in self.since], **of)
        # Ids ascend with the runs, which are made one after another.
        newest = again.order_by().values("scope").annotate(newest=Max("pk")).values("newest")
        return MarginResult.objects.filter(
            Q(~Q(scope__in=again.values("scope")), run=self.whole, **of) | Q(pk__in=newest)
        )


def standing_runs() -> StandingRuns:
    """The runs that say how scopes stand now; three queries.

    Runs count in the order in which they were made, which is that in which calls were settled by
    them. A restatement of the run of everything stands in its place.
    """
    whole = settled_runs().exclude(purpose=INCREMENTAL).last()
    if whole is None:
        return StandingRuns(None, ())
    restated = MarginRun.objects.filter(restates=whole).order_by("-pk").first()
    since = settled_runs().filter(purpose=INCREMENTAL, pk__gt=whole.pk)
    return StandingRuns(restated or whole, list(since))


def standing_results() -> "QuerySet[MarginResult]":
    """The newest result of every scope."""
    return standing_runs().results()
