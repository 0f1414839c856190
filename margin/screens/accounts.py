"""Accounts and their scopes as the newest run found them."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.db.models import Case, ExpressionWrapper, F, IntegerField, Q, QuerySet, Value, When
from django.db.models.functions import NullIf
from django.http import HttpResponse
from django.views.decorators.http import require_GET

from accounts.columns import Column
from accounts.drawing import MiniBar
from accounts.fields import ExactField
from accounts.filters import Choice, Option, Text
from accounts.listing import Listing
from accounts.live import live_answer
from accounts.models import MarginAccount, OwnerClass
from accounts.roles import DeskRequest, require
from margin.book.options import CARRIED, EXPIRED, MODELLED
from margin.eligibility import BELOW_MINIMUM_EQUITY, CLIENT_NOT_APPROVED
from margin.engine.house_rules import (
    BELOW_MTA,
    CALL_WAITS,
    INSUFFICIENT_MARK,
    OVERRIDDEN_MARK,
)
from margin.levels import SEVERITY, equity_share
from margin.models import MarginResult, MarginState
from margin.screens.calls import agreements, result_bar
from margin.screens.trend import Trend, trend_of, trend_text, with_trend
from margin.screens.visible import (
    CALL_ACCOUNT,
    MARGIN_MOVED,
    entity_here,
    exceptions_here,
    standing_here,
)
from margin.standing_results import standing_runs

FLAGS = {
    INSUFFICIENT_MARK: "Price insufficient",
    OVERRIDDEN_MARK: "Price overridden",
    BELOW_MTA: "Below minimum transfer",
    BELOW_MINIMUM_EQUITY: "Below minimum equity",
    CLIENT_NOT_APPROVED: "Client not approved",
    CALL_WAITS: "Call waits for a price",
    "stale_mark": "Price stale",
    "dislocated_mark": "Price dislocated",
    "non_positive_mark": "Price not positive",
    "too_volatile_mark": "Price too volatile",
    "too_uncertain_mark": "Price too uncertain",
    "market_closed_mark": "Market closed",
    "doubted_mark": "Price doubted",
    MODELLED: "Option priced by volatility",
    CARRIED: "Option price carried",
    EXPIRED: "Option over, not settled",
}

COLUMNS = (
    Column(
        "account",
        "Account",
        value="scope.bucket.account.code",
        sort=(f"{CALL_ACCOUNT}__code", "scope__bucket__code"),
    ),
    Column("bucket", "Bucket", value="scope.bucket.code", is_shown=False),
    Column(
        "client",
        "Client",
        value="scope.bucket.account.client.code",
        sort=(f"{CALL_ACCOUNT}__client__code", f"{CALL_ACCOUNT}__code"),
    ),
    Column(
        "client_name",
        "Client's name",
        value="scope.bucket.account.client.name",
        is_shown=False,
    ),
    Column("state", "State", sort=("severity", "missing")),
    Column("equity", "Equity", sort=("equity",), numeric=True),
    Column("initial_margin", "Initial", sort=("initial_margin",), numeric=True),
    Column("maintenance_margin", "Maintenance", sort=("maintenance_margin",), numeric=True),
    Column(
        "share",
        "Equity / initial",
        value=lambda result: equity_share(result),
        sort=("share",),
        numeric=True,
    ),
    Column("trend", "Trend", value=trend_text),
    Column("mode", "Mode", value="scope.bucket.account.mode", sort=(f"{CALL_ACCOUNT}__mode",)),
    Column(
        "agreement",
        "Agreement",
        value="agreement_version.agreement.code",
        sort=("agreement_version__agreement__code", "agreement_version__version"),
    ),
    Column(
        "pool",
        "Pool",
        value="scope.bucket.account.owner_class",
        sort=(f"{CALL_ACCOUNT}__owner_class",),
        is_shown=False,
    ),
    Column("flags", "Flags", is_shown=False),
)


@dataclass(frozen=True)
class ScopeRow:
    """A scope as a row shows it."""

    result: MarginResult
    bar: MiniBar
    share: Decimal | None
    trend: Trend
    has_insufficient_mark: bool


@dataclass(frozen=True)
class HasFlag:
    """Scopes that carry a flag of the run."""

    key: str = "flag"
    label: str = "Flag"
    control: str = "select"

    def options(self) -> list[Option]:
        """The flags by name."""
        return [Option(flag, word) for flag, word in FLAGS.items()]

    def condition(self, values: Sequence[str]) -> Q:
        return Q(flags__overlap=list(values))

    def words(self, values: Sequence[str]) -> str:
        return ", ".join(FLAGS.get(value, value) for value in values)


@require_GET
@require("read")
def account_list(request: DeskRequest) -> HttpResponse:
    """The scopes, as a page, as its live region, or as a file."""
    entity = entity_here(request)
    runs = standing_runs()
    listing = Listing(
        request,
        with_trend(drawn_results(standing_here(request, runs)), scope="scope"),
        name="accounts",
        columns=COLUMNS,
        filters=[
            Choice("state", "State", "state", [(s.value, s.label) for s in reversed(MarginState)]),
            Choice("mode", "Mode", f"{CALL_ACCOUNT}__mode", MarginAccount.Mode.choices),
            Choice("pool", "Pool", f"{CALL_ACCOUNT}__owner_class", OwnerClass.choices),
            Choice(
                "agreement",
                "Agreement",
                "agreement_version__agreement__code",
                lambda: agreements(entity),
            ),
            HasFlag(),
            Text(
                "q", "Account or client", (f"{CALL_ACCOUNT}__code", f"{CALL_ACCOUNT}__client__code")
            ),
        ],
        default_sort="-state",
        tabs="state",
        by_keys=True,
        # Results of a run are numbered in one order by rows and in another in columns.
        ties=(f"{CALL_ACCOUNT}__code", "scope__bucket__code"),
    )
    if listing.format:
        return listing.export()
    context = {
        "listing": listing,
        "run": runs.newest,
        "rows": [scope_row(result) for result in listing.page],
        "left_out": exceptions_here(request, runs.whole).count(),
        "pause": listing.address(live=["off"]),
        "resume": listing.address(live=[]),
    }
    return live_answer(
        request,
        context,
        page="margin/accounts.html",
        region="margin/_accounts.html",
        triggers=MARGIN_MOVED,
        name="accounts",
    )


def drawn_results(results: "QuerySet[MarginResult]") -> "QuerySet[MarginResult]":
    """Results with what their rows show and sort by."""
    severity = Case(
        *(When(state=state, then=Value(rank)) for state, rank in SEVERITY.items()),
        output_field=IntegerField(),
    )
    missing = ExpressionWrapper(F("initial_margin") - F("equity"), output_field=ExactField())
    share = ExpressionWrapper(
        F("equity") / NullIf(F("initial_margin"), Value(Decimal(0))), output_field=ExactField()
    )
    return results.annotate(severity=severity, missing=missing, share=share).select_related(
        "scope__bucket__account__client__person_key", "agreement_version__agreement", "moved"
    )


def scope_row(result: MarginResult) -> ScopeRow:
    return ScopeRow(
        result=result,
        bar=result_bar(result),
        share=equity_share(result),
        trend=trend_of(result, result.state),
        has_insufficient_mark=INSUFFICIENT_MARK in result.flags,
    )
