"""The board of margin calls: open ones, worst first."""

from dataclasses import dataclass, replace
from decimal import Decimal

from django.db.models import (
    Case,
    ExpressionWrapper,
    F,
    IntegerField,
    QuerySet,
    Value,
    When,
)
from django.db.models.functions import NullIf
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET

from accounts.clock import zone_label
from accounts.columns import Column
from accounts.drawing import MiniBar, mini_bar
from accounts.fields import ExactField
from accounts.filters import Choice, Choices, Day, Figure, Option, Owner, Text
from accounts.listing import Listing
from accounts.live import live_answer
from accounts.models import Agreement, LegalEntity, OwnerClass
from accounts.roles import DeskRequest, may, require
from accounts.states import STATES
from margin.calls.acts import ACTS
from margin.engine.house_rules import BELOW_MTA, INSUFFICIENT_MARK
from margin.levels import SEVERITY, equity_share, levels_of
from margin.models import MarginCall, MarginResult, MarginRun, MarginState
from margin.screens.holdings import exact_total
from margin.screens.switches import stopped_here
from margin.screens.trend import Trend, trend_of, trend_text, with_trend
from margin.screens.visible import (
    CALL_ACCOUNT,
    MARGIN_MOVED,
    calls_here,
    entity_here,
    exceptions_here,
    of_accounts,
    standing_here,
)
from margin.standing_results import StandingRuns, standing_runs

ACKNOWLEDGE = "call.acknowledge"
# What may be done with many calls at once, besides acknowledging them.
BULK_ACTS = ("issue", "escalate")
TIMES = frozenset({"due", "issued"})
# The foot, in the order of `Totals`.
SUMS = {
    "called": "amount",
    "held": "last_result__equity",
    "required": "last_result__initial_margin",
}

COLUMNS = (
    Column(
        "scope",
        "Scope",
        value=lambda call: scope_name(call),
        sort=("scope__bucket__account__code", "scope__bucket__code"),
    ),
    Column("number", "Call", sort=("number",), is_shown=False),
    Column("state", "State", value="last_result.state", sort=("severity", "amount")),
    Column("amount", "Call amount", sort=("amount",), numeric=True),
    Column(
        "equity", "Equity", value="last_result.equity", sort=("last_result__equity",), numeric=True
    ),
    Column(
        "initial_margin",
        "Initial margin",
        value="last_result.initial_margin",
        sort=("last_result__initial_margin",),
        numeric=True,
    ),
    Column(
        "maintenance_margin",
        "Maintenance margin",
        value="last_result.maintenance_margin",
        sort=("last_result__maintenance_margin",),
        numeric=True,
        is_shown=False,
    ),
    Column(
        "share",
        "Equity / initial",
        value=lambda call: equity_share(call.last_result),
        sort=("share",),
        numeric=True,
    ),
    Column("trend", "Trend", value=trend_text),
    Column("due", "Due", value="due_at", sort=("due_at",)),
    Column("call_state", "Call and owner", value="state", sort=("state", "owner__full_name")),
    Column("owner", "Owner", value="owner.full_name", sort=("owner__full_name",), is_shown=False),
    Column("issued", "Issued", value="issued_at", sort=("issued_at",), is_shown=False),
    Column(
        "client",
        "Client",
        value="scope.bucket.account.client.code",
        sort=("scope__bucket__account__client__code",),
        is_shown=False,
    ),
    Column(
        "agreement",
        "Agreement",
        value="last_result.agreement_version.agreement.code",
        sort=("last_result__agreement_version__agreement__code",),
        is_shown=False,
    ),
)


@dataclass(frozen=True)
class CallRow:
    """A call as a row shows it."""

    call: MarginCall
    bar: MiniBar
    share: Decimal | None
    trend: Trend
    has_insufficient_mark: bool


@dataclass(frozen=True)
class Totals:
    """The foot of the list: sums over the whole filter, none where currencies mix."""

    count: int
    currency: str
    amount: Decimal | None
    equity: Decimal | None
    initial_margin: Decimal | None

    @property
    def share(self) -> Decimal | None:
        if not self.initial_margin or self.equity is None:
            return None
        return self.equity / self.initial_margin


@dataclass(frozen=True)
class Checked:
    """What the newest run looked at, for the words of an empty list."""

    run: MarginRun | None
    scopes: int
    left_out: int

    @property
    def all_scopes(self) -> int:
        return self.scopes + self.left_out


def scope_name(call: MarginCall) -> str:
    """ "A00015/FREE"."""
    bucket = call.scope.bucket
    assert bucket is not None, "calls are made on buckets"
    return f"{bucket.account.code}/{bucket.code}"


@require_GET
@require("read")
def call_board(request: DeskRequest) -> HttpResponse:
    """The calls, as a page, as its live region, or as a file."""
    runs = standing_runs()
    listing = board_listing(request, runs)
    if listing.format:
        return listing.export()
    context = {
        "listing": listing,
        "rows": [call_row(call) for call in listing.page],
        "totals": totals_of(listing),
        "checked": None if listing.total else checked(request, runs),
        "below_minimum": below_minimum(request, runs),
        "can_acknowledge": may(request, ACKNOWLEDGE, entity_here(request)),
        "bulk_acts": [("acknowledge", "Acknowledge")],
        "more_acts": more_acts(request),
        "pause": listing.address(live=["off"]),
        "resume": listing.address(live=[]),
        **stopped_here(request),
    }
    return live_answer(
        request,
        context,
        page="margin/calls.html",
        region="margin/_calls.html",
        triggers=MARGIN_MOVED,
        name="calls",
    )


def more_acts(request: DeskRequest) -> list[tuple[str, str, str]]:
    """What the person may do with selected calls besides: code, word and address of each act."""
    entity, address = entity_here(request), reverse("margin:calls-carry")
    acts = (ACTS[code] for code in BULK_ACTS)
    return [(act.code, act.title, address) for act in acts if may(request, act.right, entity)]


def board_listing(request: DeskRequest, runs: StandingRuns) -> Listing[MarginCall]:
    """The list that the address asks for."""
    return Listing(
        request,
        with_trend(drawn_calls(calls_here(request)), scope="scope"),
        name="margin-calls",
        columns=board_columns(runs),
        filters=board_filters(request),
        default_sort="-state",
        tabs="state",
        page_size=25,
        by_keys=True,
        sums=SUMS,
        apart_by="currency",
    )


def board_columns(runs: StandingRuns) -> list[Column]:
    """The columns, times under the label of the desk's zone."""
    zone = zone_label(runs.as_of or timezone.now())
    return [
        replace(column, label=f"{column.label}, {zone}") if column.key in TIMES else column
        for column in COLUMNS
    ]


def drawn_calls(calls: "QuerySet[MarginCall]") -> "QuerySet[MarginCall]":
    """Calls with what their rows show and sort by."""
    severity = Case(
        *(When(last_result__state=state, then=Value(rank)) for state, rank in SEVERITY.items()),
        output_field=IntegerField(),
    )
    share = ExpressionWrapper(
        F("last_result__equity") / NullIf(F("last_result__initial_margin"), Value(Decimal(0))),
        output_field=ExactField(),
    )
    return calls.annotate(severity=severity, share=share).select_related(
        "scope__bucket__account__client",
        "last_result__agreement_version__agreement",
        "last_result__moved",
        "owner",
    )


def board_filters(request: DeskRequest) -> list[Choice | Owner | Text | Day | Figure]:
    """What the list can be narrowed to."""
    entity = entity_here(request)
    return [
        Choice("state", "State", "last_result__state", lambda: margin_states(request)),
        Choice("call", "Call", "state", call_states(), default="open"),
        Choice("pool", "Pool", "scope__bucket__account__owner_class", OwnerClass.choices),
        Choice(
            "agreement",
            "Agreement",
            "last_result__agreement_version__agreement__code",
            lambda: agreements(entity),
        ),
        Owner(request.user.pk or 0, entity),
        Text(
            "q",
            "Account, client or call",
            ("scope__bucket__account__code", "scope__bucket__account__client__code", "number"),
        ),
        Day("day", "Issued on", "business_day"),
        Figure("from", "Amount from", "amount"),
    ]


def margin_states(request: HttpRequest) -> Choices:
    """The states as tabs, worst first; OK only where ended calls are asked for."""
    shown = [*reversed(MarginState)] if request.GET.get("call") else [*reversed(MarginState)][:-1]
    return [(state.value, state.label) for state in shown]


def call_states() -> Choices:
    """Open or ended, and each state of a call."""
    ended = MarginCall.ENDED
    still_open = tuple(state.value for state in MarginCall.State if state.value not in ended)
    return [
        Option("open", "Open", still_open),
        Option("ended", "Ended", ended),
        Option("all", "Open or ended", (*still_open, *ended)),
        *((state.value, STATES["call"][state.value].word) for state in MarginCall.State),
    ]


def agreements(entity: LegalEntity) -> Choices:
    """The agreements of a legal entity, by code."""
    codes = Agreement.objects.filter(legal_entity=entity).order_by("code")
    return [(code, code) for code in codes.values_list("code", flat=True)]


def call_row(call: MarginCall) -> CallRow:
    """A call with its bar."""
    result = call.last_result
    return CallRow(
        call=call,
        bar=result_bar(result),
        share=equity_share(result),
        trend=trend_of(call, result.state),
        has_insufficient_mark=INSUFFICIENT_MARK in result.flags,
    )


def result_bar(result: MarginResult) -> MiniBar:
    """Equity as part of initial margin."""
    return mini_bar(
        result.equity,
        initial=result.initial_margin,
        maintenance=result.maintenance_margin,
        liquidation=levels_of(result).liquidation,
        tone=STATES["margin"][result.state].tone,
    )


def totals_of(listing: Listing[MarginCall]) -> Totals:
    """Sums of every call of the filter, as the list has read them with its counts."""
    assert listing.groups is not None, "the board has tabs"
    groups = listing.groups.kept
    currencies = {group["currency"] for group in groups}
    if len(currencies) > 1:
        return Totals(listing.total, "", None, None, None)
    return Totals(
        listing.total,
        next(iter(currencies), ""),
        *(exact_total(group[name] for group in groups) if groups else None for name in SUMS),
    )


def checked(request: DeskRequest, runs: StandingRuns) -> Checked:
    """How many scopes were looked at, and as of when the newest of them."""
    return Checked(
        run=runs.newest,
        scopes=standing_here(request, runs).count(),
        left_out=exceptions_here(request, runs.whole).count(),
    )


def below_minimum(request: DeskRequest, runs: StandingRuns) -> int:
    """Scopes that lack less than the minimum transfer amount, and so are not called."""
    small = runs.results(flags__contains=[BELOW_MTA])
    here = [entity_here(request).pk]
    return small.filter(of_accounts(request.roles, here, path=CALL_ACCOUNT)).count()
