"""What a run asks of people: tasks opened with an owner and a clock, and closed when it is over."""

from collections.abc import Iterable
from datetime import timedelta

from ledger.models import Balance
from margin.eligibility_checks import eligibility_tasks
from margin.incidents import market_left_alone, market_tasks
from margin.models import MarginResult, MarginRun, MarginState, Task
from margin.run_rows import INCREMENTAL
from margin.transit import transit_tasks
from margin.worklist import OPERATIONS, RISK, TREASURY, Needed, close_tasks, open_tasks

TASK_DUE_FOR = timedelta(hours=1)


def why(result: MarginResult) -> str:
    """The figures behind a step, in one sentence."""
    return (
        f"{MarginState(result.state).label}: equity {result.equity:,.2f},"
        f" initial margin {result.initial_margin:,.2f},"
        f" maintenance margin {result.maintenance_margin:,.2f}"
    )


def settle_tasks(run: MarginRun, results: Iterable[MarginResult]) -> int:
    """Open a task, with an owner, for whatever a person must look at; close what is over."""
    needed = [
        *_scope_tasks(run, results),
        *market_tasks(run),
        *_exception_tasks(run),
        *_shortfall_tasks(run),
        *transit_tasks(run),
        *eligibility_tasks(run, results),
    ]
    at, left = run.as_of, _left_alone(run)
    for kind in (
        Task.Kind.LIQUIDATE,
        Task.Kind.DEFICIT,
        Task.Kind.PRICE,
        Task.Kind.UNPRICED,
        Task.Kind.NO_AGREEMENT,
        Task.Kind.UNCOVERED,
        Task.Kind.TRANSIT,
        Task.Kind.ELIGIBILITY,
        Task.Kind.DISLOCATION,
        Task.Kind.FEED,
    ):
        keys = {each.key for each in needed if each.kind == kind} | left.get(kind, set())
        close_tasks(kind, still_needed=keys, at=at, reason=f"No longer so in run {run.number}")
    return open_tasks(needed, business_day=run.business_day, at=at)


def _left_alone(run: MarginRun) -> dict[str, set[str]]:
    """Open tasks, by kind, of which a run of some scopes, or inside a day, says nothing."""
    found = market_left_alone(run)
    if run.purpose != INCREMENTAL:
        return found
    spoken_of = MarginResult.objects.filter(run=run).values("scope")
    kinds = (
        Task.Kind.LIQUIDATE, Task.Kind.DEFICIT, Task.Kind.UNPRICED, Task.Kind.NO_AGREEMENT,
        Task.Kind.ELIGIBILITY,
    )  # fmt: skip
    for kind, key in (
        Task.objects.filter(kind__in=kinds, closed_at__isnull=True)
        .exclude(scope__in=spoken_of)
        .values_list("kind", "key")
    ):
        found.setdefault(kind, set()).add(key)
    return found


def _scope_tasks(run: MarginRun, results: Iterable[MarginResult]) -> Iterable[Needed]:
    kinds = {
        MarginState.LIQUIDATE: Task.Kind.LIQUIDATE,
        MarginState.DEFICIT: Task.Kind.DEFICIT,
    }
    for result in results:
        kind = kinds.get(MarginState(result.state))
        bucket = None if kind is None else result.scope.bucket
        if kind is None or bucket is None:
            continue
        yield Needed(
            kind=kind,
            key=f"scope:{bucket.account.code}:{bucket.code}",
            subject=f"{bucket.account.code} {bucket.code} is at"
            f" {MarginState(result.state).label.lower()}",
            detail=why(result),
            due_at=run.as_of + TASK_DUE_FOR,
            owner_role=RISK,
            scope=result.scope,
        )


def _shortfall_tasks(run: MarginRun) -> Iterable[Needed]:
    """Client money that lacks something is an incident until the firm has paid it in."""
    for entity, pool, asset, missing in Balance.objects.filter(
        account__account_class="shortfall", amount__gt=0
    ).values_list(
        "account__pool__legal_entity__code", "account__pool__code", "account__asset__code", "amount"
    ):
        yield Needed(
            kind=Task.Kind.UNCOVERED,
            key=f"shortfall:{entity}:{pool}:{asset}",
            subject=f"{entity} {pool} lacks {missing:,.2f} {asset}",
            detail="Nobody covered a loss. Withdrawals from the pool are frozen until the firm"
            " pays it in.",
            due_at=run.as_of + TASK_DUE_FOR,
            owner_role=TREASURY,
        )


def _exception_tasks(run: MarginRun) -> Iterable[Needed]:
    for each in run.exceptions.select_related("account"):
        yield Needed(
            kind=Task.Kind.NO_AGREEMENT if each.reason == "no_agreement" else Task.Kind.UNPRICED,
            key=f"scope:{each.account.code}:{each.bucket_code}",
            subject=f"{each.account.code} {each.bucket_code} could not be margined",
            detail=each.detail,
            due_at=run.as_of + TASK_DUE_FOR,
            owner_role=OPERATIONS,
        )
