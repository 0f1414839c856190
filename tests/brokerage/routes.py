"""Every address of the product, from the resolver itself, and an object for each argument."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from django.urls import URLPattern, URLResolver, get_resolver

from accounts.models import AccountGroup, Agreement, Approval, Client, MarginAccount, RoleGrant
from brokerage.models import BusinessDay, Job
from brokerage.step_up import DECLARED
from ledger.models import Asset, Break, Entry, LedgerAccount, Location
from margin.models import MarginCall, MarginRun, Mark, Task

NOBODY = 999_999_999
NO_UUID = "00000000-0000-0000-0000-000000000007"


class Route(NamedTuple):
    """An address of the resolver.

    Attributes:
        name: with its namespace.
        text: the pattern, for telling routes of one name apart.
        arguments: names of its arguments.
        methods: what it may be asked by; None where the view itself says (a function).
    """

    name: str
    text: str
    arguments: tuple[str, ...]
    methods: frozenset[str] | None
    view: Any


def routes() -> list[Route]:
    """All addresses, but the API's doubles with a format suffix."""
    return [each for each in _walk(get_resolver()) if "format" not in each.arguments]


def _walk(resolver: URLResolver, space: str = "", before: str = "") -> Iterator[Route]:
    for each in resolver.url_patterns:
        text = before + str(each.pattern)
        if isinstance(each, URLResolver):
            within = f"{space}{each.namespace}:" if each.namespace else space
            yield from _walk(each, within, text)
        else:
            yield _route(each, space, text)


def _route(pattern: URLPattern, space: str, text: str) -> Route:
    actions: Mapping[str, str] | None = getattr(pattern.callback, "actions", None)
    methods = None if actions is None else frozenset(name.upper() for name in actions)
    return Route(
        f"{space}{pattern.name or ''}", text, tuple(pattern.pattern.regex.groupindex), methods,
        pattern.callback,
    )  # fmt: skip


def writes(route: Route) -> bool:
    """Whether it answers to a method that may write."""
    if route.methods is not None:
        return bool(route.methods - {"GET", "HEAD", "OPTIONS"})
    allowed = allowed_methods(route.view)
    return allowed is not None and bool(allowed - {"GET", "HEAD", "OPTIONS"})


def allowed_methods(view: Any) -> frozenset[str] | None:
    """What `require_http_methods` and its like let pass; None where nobody says.

    They stand in a closure, under whatever else is wrapped around the view.
    """
    while view is not None:
        names = getattr(getattr(view, "__code__", None), "co_freevars", ())
        if "request_method_list" in names:
            cell = view.__closure__[names.index("request_method_list")]
            return frozenset(cell.cell_contents)
        view = getattr(view, "__wrapped__", None)
    return None


def objects() -> dict[tuple[str, str], Any]:
    """For each argument, by route or for all of them, an object of the book.

    What the book has none of is asked for by a number that nobody has.
    """
    client = Client.objects.order_by("code").first()
    account = MarginAccount.objects.filter(client__isnull=False).order_by("code").first()
    call = MarginCall.objects.order_by("number").first()
    run = MarginRun.objects.order_by("-pk").first()
    location = Location.objects.order_by("code").first()
    mark = Mark.objects.order_by("-pk").first()
    day = BusinessDay.objects.order_by("-day").first()
    asset = Asset.objects.filter(code="BTC").first()
    group = AccountGroup.objects.filter(account__isnull=False).first()
    agreement = Agreement.objects.order_by("code").first()
    some = {
        ("", "approval_id"): key(Approval.objects.first(), NO_UUID),
        ("approval-decide", "pk"): key(Approval.objects.first(), NO_UUID),
        ("approval-detail", "pk"): key(Approval.objects.first(), NO_UUID),
        ("", "grant_id"): key(RoleGrant.objects.order_by("pk").first()),
        ("", "break_id"): key(Break.objects.order_by("pk").first()),
        ("break-detail", "pk"): key(Break.objects.order_by("pk").first()),
        ("", "entry_id"): key(Entry.objects.order_by("pk").first()),
        ("entry-detail", "pk"): key(Entry.objects.order_by("pk").first()),
        ("", "location_id"): key(location),
        ("letter-change", "pk"): key(location),
        ("letter-close", "pk"): key(location),
        ("letter-letter", "pk"): key(location),
        ("", "account_id"): key(LedgerAccount.objects.order_by("pk").first()),
        ("ledger-account-statement", "pk"): key(LedgerAccount.objects.order_by("pk").first()),
        ("", "mark_id"): key(mark),
        ("", "asset_id"): key(asset),
        ("", "asset"): getattr(asset, "code", "BTC"),
        ("", "task_id"): key(Task.objects.order_by("pk").first()),
        ("", "job_id"): key(Job.objects.order_by("pk").first()),
        ("job-detail", "pk"): key(Job.objects.order_by("pk").first()),
        ("", "number"): getattr(call, "number", "MC-0"),
        ("", "call"): getattr(call, "number", "MC-0"),
        ("", "day"): str(getattr(day, "day", "2031-03-03")),
        ("", "name"): "delta",
        ("report-detail", "name"): "client-money",
        ("", "kind"): "source",
        ("margin:policy-new", "kind"): "haircut",
        ("", "verdict"): "amend",
        ("", "sha256"): "0" * 64,
        ("", "form"): "csv",
        ("", "what"): "calls",
        ("", "way"): "stop",
        ("", "username"): "m.okafor",
        ("", "pk"): NOBODY,
        ("", "factor_id"): NO_UUID,
        ("", "delivery_id"): NO_UUID,
        ("", "payment_id"): NO_UUID,
        ("", "hold_id"): NO_UUID,
        ("", "act"): "dispute",
        ("margin:delivery-act", "act"): "bounced",
        ("delivery-act", "act"): "bounced",
        ("delivery-act", "pk"): NO_UUID,
        ("payment-detail", "pk"): NO_UUID,
        ("payment-cancel", "pk"): NO_UUID,
        ("payment-outcome", "pk"): NO_UUID,
        ("delivery-detail", "pk"): NO_UUID,
        ("", "outcome"): "returned",
        ("margin:call-relief", "kind"): "extend",
        ("margin-call-relief", "kind"): "extend",
        ("margin:notice-text-new", "kind"): "issued",
        ("margin:call-terms", "code"): getattr(agreement, "code", "STD"),
        ("agreement-calls", "code"): getattr(agreement, "code", "STD"),
        ("", "account"): getattr(account, "code", "A"),
        ("", "bucket"): "main",
        ("", "code"): getattr(client, "code", "C"),
        ("individual-client-reconcile", "pk"): getattr(client, "code", "C"),
    }
    for name in ("margin:account", "margin:what-if", "margin:mode-switch", "margin:alternative"):
        some[name, "code"] = getattr(account, "code", "A")
    for name in ("margin:group", "margin:group-members", "margin-group-detail",
                 "margin-group-preview", "margin-group-members"):  # fmt: skip
        some[name, "code"] = getattr(group, "code", "G")
    for name in ("margin:price", "margin:override-new", "margin:contract-new"):
        some[name, "code"] = getattr(asset, "code", "BTC")
    some["ledger:location", "code"] = getattr(location, "code", "L")
    for name in ("margin:run", "margin:call-decision", "brokerage:run-restate", "margin-run-detail",
                 "margin-run-results", "margin-run-explanation"):  # fmt: skip
        some[name, "number"] = getattr(run, "number", "MR-0")
    return some


def key(found: Any, otherwise: Any = NOBODY) -> Any:
    return otherwise if found is None else found.pk


def arguments_of(route: Route, known: Mapping[tuple[str, str], Any]) -> dict[str, Any]:
    """An argument of each name for a route."""
    return {
        name: known.get((route.name, name), known.get(("", name), NOBODY))
        for name in route.arguments
    }


__all__ = ["DECLARED", "Route", "arguments_of", "objects", "routes", "writes"]
