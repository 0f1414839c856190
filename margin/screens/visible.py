"""What an operator may see of margin: rows of the legal entities, and desks, where a role reads.

Lists show the legal entity one works at; the page of one object, any of one's own.
"""

from collections.abc import Iterable

from django.core.exceptions import PermissionDenied
from django.db.models import (
    BigIntegerField,
    CharField,
    Exists,
    Func,
    OuterRef,
    Q,
    QuerySet,
    Value,
)
from django.db.models.functions import Cast, Concat
from django.http import Http404

from accounts.models import Bucket, GroupMember, LegalEntity, MarginAccount, Scope
from accounts.roles import DeskRequest, Roles, check, refusal
from ledger.models import Payment, Posting
from margin.models import MarginCall, MarginResult, MarginRun, RunException, Task
from margin.run_rows import whole_runs
from margin.standing_results import StandingRuns

NO_PAGE = "There is no such page."
# What makes a list of margin load itself again.
MARGIN_MOVED = "every 5s, desk:margin from:body"
CALL_ACCOUNT = "scope__bucket__account"
# Tasks about one scope, though it may be named by their key alone, about one pool, or about money
# of one firm; all others without a scope, of prices, feeds or jobs, concern the whole desk.
OF_SOMEBODY = (
    Task.Kind.LIQUIDATE, Task.Kind.DEFICIT, Task.Kind.UNPRICED, Task.Kind.NO_AGREEMENT,
    Task.Kind.ELIGIBILITY, Task.Kind.UNCOVERED, Task.Kind.PAYMENT, Task.Kind.TRANSIT,
    Task.Kind.SWITCH,
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
            within &= _on_desks(prefix, sorted(desks))
        found |= within
    return found


def check_account(request: DeskRequest, act: str, account: MarginAccount) -> None:
    """Let an act on something of an account pass, from a screen or a program, or refuse it.

    An account that a group is margined as is of a desk where every member is.

    Raises:
        PermissionDenied: none of the person's roles may do it there, or only for other desks; the
            text says who can.
    """
    check(request, act, account.legal_entity_id)
    desks = request.roles.desks(act, account.legal_entity_id)
    if desks is None:
        return
    if not MarginAccount.objects.filter(_on_desks("", sorted(desks)), pk=account.pk).exists():
        raise PermissionDenied(refusal(act, account.legal_entity_id))


def _on_desks(prefix: str, desks: list[str]) -> Q:
    """Accounts of these desks; one that a group is margined as where all of its members are."""
    of_groups = GroupMember.objects.filter(group__account__isnull=False)
    elsewhere = of_groups.exclude(account__desk__in=desks).values("group__account")
    here = of_groups.filter(account__desk__in=desks).values("group__account")
    seen = Q(**{f"{prefix}desk__in": desks}) | Q(**{f"{prefix}pk__in": here})
    return seen & ~Q(**{f"{prefix}pk__in": elsewhere})


def entity_here(request: DeskRequest) -> LegalEntity:
    """The legal entity the person works at.

    Raises:
        Http404: they work at none.
    """
    if request.legal_entity is None:
        raise Http404(NO_PAGE)
    return request.legal_entity


def calls_here(request: DeskRequest, *, act: str = "read") -> "QuerySet[MarginCall]":
    """The calls of a list, or those of them with which the person may do something."""
    here = entity_here(request).pk
    if here in request.roles.entities(act) and request.roles.desks(act, here) is None:
        return MarginCall.objects.filter(legal_entity=here)
    mine = of_accounts(request.roles, [here], path=CALL_ACCOUNT, act=act)
    return MarginCall.objects.filter(mine)


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
            "last_result__moved__call_terms",
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
    entity = entity_here(request)
    here = [entity.pk]
    named = Bucket.objects.annotate(
        key=Concat(Value("scope:"), "account__code", Value(":"), "code")
    ).filter(of_accounts(request.roles, here, path="account"), key=OuterRef("key"))
    # The key names the payment, `late:P...`, or the entry, `transit:42:USD`.
    reference = Func(
        OuterRef("key"), Value(":"), Value(2), function="split_part", output_field=CharField()
    )
    paid = Payment.objects.filter(
        of_accounts(request.roles, here, path="bucket__account"), end_to_end_id=reference
    )
    # Keys of other kinds hold no number to read.
    number = Func(
        OuterRef("key"), Value(r"^transit:(\d{1,18}):"), function="substring",
        output_field=CharField(),
    )  # fmt: skip
    moved = Posting.objects.filter(
        pool__legal_entity=entity, entry_id=Cast(number, BigIntegerField())
    )
    return Task.objects.filter(
        of_accounts(request.roles, here, path=CALL_ACCOUNT)
        | (Q(scope__isnull=True) & ~Q(kind__in=OF_SOMEBODY))
        | Q(kind=Task.Kind.UNCOVERED, key__startswith=f"shortfall:{entity.code}:")
        | Q(kind=Task.Kind.SWITCH, key__contains=f":{entity.code}:")
        | _of_reports(request)
        | Q(Exists(named), scope__isnull=True)
        | Q(Exists(paid), kind=Task.Kind.PAYMENT, scope__isnull=True)
        | Q(Exists(moved), kind=Task.Kind.TRANSIT)
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
