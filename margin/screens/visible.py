"""What an operator may see of margin: rows of the legal entities, and desks, where a role reads.

Lists show the legal entity one works at; the page of one object, any of one's own.
"""

from collections.abc import Iterable

from django.db.models import Exists, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Concat
from django.http import Http404

from accounts.models import Bucket, LegalEntity, MarginAccount, Scope
from accounts.roles import DeskRequest, Roles
from margin.models import MarginCall, MarginResult, MarginRun, RunException, Task
from margin.run_rows import whole_runs
from margin.standing_results import StandingRuns

NO_PAGE = "There is no such page."
# What makes a list of margin load itself again.
MARGIN_MOVED = "every 5s, desk:margin from:body"
CALL_ACCOUNT = "scope__bucket__account"
# Tasks about one scope, though it may be named by their key alone, and about one pool; all others
# without a scope, of prices, feeds or jobs, concern the whole desk.
OF_SOMEBODY = (
    Task.Kind.LIQUIDATE, Task.Kind.DEFICIT, Task.Kind.UNPRICED, Task.Kind.NO_AGREEMENT,
    Task.Kind.ELIGIBILITY, Task.Kind.UNCOVERED,
)  # fmt: skip


def of_accounts(roles: Roles, entities: Iterable[int], *, path: str, act: str = "read") -> Q:
    """Rows whose account lies at one of the entities, with a desk where the role is limited.

    Args:
        path: of the account in the row, such as `scope__bucket__account`; "" for an account.
    """
    prefix = f"{path}__" if path else ""
    found = Q(pk__in=[])
    for entity_id in sorted(set(entities) & roles.entities(act)):
        within = Q(**{f"{prefix}legal_entity": entity_id})
        desks = roles.desks(act, entity_id)
        if desks is not None:
            within &= Q(**{f"{prefix}desk__in": sorted(desks)})
        found |= within
    return found


def entity_here(request: DeskRequest) -> LegalEntity:
    """The legal entity the person works at.

    Raises:
        Http404: they work at none.
    """
    if request.legal_entity is None:
        raise Http404(NO_PAGE)
    return request.legal_entity


def calls_here(request: DeskRequest) -> "QuerySet[MarginCall]":
    """The calls of a list."""
    here = [entity_here(request).pk]
    return MarginCall.objects.filter(of_accounts(request.roles, here, path=CALL_ACCOUNT))


def call_or_404(request: DeskRequest, number: str) -> MarginCall:
    """One call with its scope, client, owner and newest result, unless it is not theirs to see."""
    mine = of_accounts(request.roles, request.roles.entities("read"), path=CALL_ACCOUNT)
    found = (
        MarginCall.objects.filter(mine, number=number)
        .select_related(
            "scope__bucket__account__client__person_key",
            "scope__bucket__account__legal_entity",
            "owner",
            "acknowledged_by",
            "first_result",
            "last_result__run",
            "last_result__agreement_version__agreement",
        )
        .first()
    )
    if found is None:
        raise Http404(NO_PAGE)
    return found


def account_or_404(request: DeskRequest, code: str) -> MarginAccount:
    """One account with its client; of two legal entities' the one of where the person works."""
    here = entity_here(request).pk
    mine = of_accounts(request.roles, request.roles.entities("read"), path="")
    found = MarginAccount.objects.filter(mine, code=code).select_related(
        "client__person_key", "legal_entity", "parent"
    )
    nearest = sorted(found, key=lambda account: account.legal_entity_id != here)
    if not nearest:
        raise Http404(NO_PAGE)
    return nearest[0]


def scope_name(result: MarginResult) -> str:
    """Account and bucket, as commands and exports name a scope."""
    bucket = result.scope.bucket
    assert bucket is not None, "runs compute buckets"
    return f"{bucket.account.code}/{bucket.code}"


def newest_run() -> MarginRun | None:
    """The newest run of everything; what was touched since is in `standing_here`."""
    return whole_runs().order_by("-as_of", "-pk").first()


def scopes_here(request: DeskRequest, scopes: "QuerySet[Scope]") -> "QuerySet[Scope]":
    """Those of some scopes that the person may see."""
    here = [entity_here(request).pk]
    return scopes.filter(of_accounts(request.roles, here, path="bucket__account"))


def results_here(request: DeskRequest, run: MarginRun | None) -> "QuerySet[MarginResult]":
    """What a run says of the scopes of a list."""
    here = [entity_here(request).pk]
    mine = of_accounts(request.roles, here, path=CALL_ACCOUNT)
    return MarginResult.objects.filter(mine, run=run)


def standing_here(request: DeskRequest, runs: StandingRuns) -> "QuerySet[MarginResult]":
    """How the scopes of a list stand now: the newest result of each."""
    here = [entity_here(request).pk]
    return runs.results().filter(of_accounts(request.roles, here, path=CALL_ACCOUNT))


def exceptions_here(request: DeskRequest, run: MarginRun | None) -> "QuerySet[RunException]":
    """The scopes a run could not compute."""
    mine = of_accounts(request.roles, [entity_here(request).pk], path="account")
    return RunException.objects.filter(mine, run=run)


def tasks_here(request: DeskRequest) -> "QuerySet[Task]":
    """Tasks about scopes that the person may see, and those about the whole desk.

    A scope that could not be computed is named by the task's key alone.
    """
    here = [entity_here(request).pk]
    named = Bucket.objects.annotate(
        key=Concat(Value("scope:"), "account__code", Value(":"), "code")
    ).filter(of_accounts(request.roles, here, path="account"), key=OuterRef("key"))
    return Task.objects.filter(
        of_accounts(request.roles, here, path=CALL_ACCOUNT)
        | (Q(scope__isnull=True) & ~Q(kind__in=OF_SOMEBODY))
        | Q(kind=Task.Kind.UNCOVERED, key__startswith=f"shortfall:{entity_here(request).code}:")
        | _of_reports(request)
        | Q(Exists(named), scope__isnull=True)
    )


def _of_reports(request: DeskRequest) -> Q:
    """Tasks about reports of banks as a whole; they concern payments of all desks."""
    entity = entity_here(request)
    if request.roles.desks("read", entity.pk) is not None:
        return Q(pk__in=[])
    return Q(
        kind=Task.Kind.PAYMENT, scope__isnull=True, key__startswith="report:",
        key__endswith=f":{entity.code}",
    )  # fmt: skip
