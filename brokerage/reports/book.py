"""Reports on the book: segregation per pool, trial balance, account balances, and breaks."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from accounts.models import Act
from brokerage.inbox.result import PRICE_DECIMALS, printed, segregation_line
from brokerage.reports.report import DayReading, Report, Row
from ledger.models import Break, BreakEvent
from ledger.standing import BookStanding, Touched
from ledger.times import known, rows_as_known

SEGREGATION_COLUMNS = (
    "pool",
    "asset",
    "location",
    "client_claims",
    "residual_interest",
    "own_equity",
    "loans_receivable",
    "custody",
    "requirement",
    "resource",
    "excess",
)
BREAK_COLUMNS = (
    "found_on",
    "location",
    "kind",
    "asset",
    "reference",
    "ledger",
    "statement",
    "detail",
    "age_days",
    "status",
    "owner",
)


TRIAL_COLUMNS = ("pool", "asset", "class", "location", "debit", "credit")
BALANCE_COLUMNS = (
    "pool",
    "asset",
    "class",
    "account",
    "bucket",
    "location",
    "client",
    "amount",
    "average_cost",
)


def segregation(book: BookStanding, only: Touched | None) -> Iterator[Row]:
    """Each pool and currency, then its locations one by one."""
    for line in map(segregation_line, book.pool_assets(only)):
        yield (
            line["pool"],
            line["asset"],
            "",
            line["client_claims"],
            line["residual_interest"],
            line["own_equity"],
            line["loans_receivable"],
            line["resource"],
            line["requirement"],
            line["resource"],
            line["excess"],
        )
        for location, held in line["custody"].items():
            yield (line["pool"], line["asset"], location, *[None] * 4, held, *[None] * 3)


def trial_balance(book: BookStanding, only: Touched | None) -> Iterator[Row]:
    """Accounts by pool, asset, class and place: what stands on the debit and the credit side."""
    for (pool, asset, account_class, location), group in book.grouped(only):
        debit, credit = (printed(side, group.scale) for side in (group.debit, group.credit))
        yield (pool, asset, account_class, location, debit, credit)


def balances(book: BookStanding, only: Touched | None) -> Iterator[Row]:
    """Every account that holds or owes something, debit positive, as the book has it."""
    for facts, stood in book.held(only):
        yield (
            facts.pool,
            facts.asset,
            facts.account_class,
            facts.account,
            facts.bucket,
            facts.location,
            facts.client,
            printed(stood.amount, facts.scale),
            None if stood.average_cost is None else printed(stood.average_cost, PRICE_DECIMALS),
        )


@dataclass(slots=True)
class Standing:
    """How a break stood at an instant: its status, and whose it was."""

    status: str = Break.Status.OPEN
    owner: str = ""

    def follow(self, event: str, by: str) -> None:
        """Go on by one event of its history."""
        if event == "taken":
            self.owner = by
            if self.status == Break.Status.OPEN:
                self.status = Break.Status.INVESTIGATING
        elif event == "explained":
            self.owner = self.owner or by
            self.status = Break.Status.EXPLAINED
        elif event == "closed":
            self.status = Break.Status.CLOSED


def standings(reading: DayReading) -> dict[int, Standing]:
    """Every break that was found when the day closed, as it stood then; three queries.

    It is told from the history, not from the break as it is now: what became known after the
    close does not change it.
    """
    events = list(
        known(known(BreakEvent.objects.all(), reading.closing), reading.point)
        .order_by("pk")
        .values_list("found_id", "event", "xid")
    )
    acting = dict(
        Act.objects.filter(xid__in={xid for _, _, xid in events}).values_list("xid", "operator_id")
    )
    people = rows_as_known(
        "accounts_operator", reading.closing, keys={pk for pk in acting.values() if pk is not None}
    )
    found: dict[int, Standing] = defaultdict(Standing)
    for break_id, event, xid in events:
        found[break_id].follow(event, people.get(str(acting[xid]), {}).get("full_name", ""))
    return found


def breaks(reading: DayReading) -> Iterator[Row]:
    """Every break that was not closed when the day was, oldest first."""
    business_day, stood = reading.business_day, standings(reading)
    rows = (
        Break.objects.filter(business_day__lte=business_day.day, pk__in=list(stood))
        .select_related("location", "asset")
        .order_by("business_day", "location__code", "ordinal")
    )
    for row in rows:
        standing = stood[row.pk]
        if standing.status == Break.Status.CLOSED:
            continue
        yield (
            row.business_day,
            row.location.code,
            row.kind,
            "" if row.asset is None else row.asset.code,
            row.reference,
            row.ledger_amount,
            row.statement_amount,
            row.detail,
            (business_day.day - row.business_day).days,
            standing.status,
            standing.owner,
        )


SEGREGATION = Report(
    name="segregation",
    title="Segregation per pool",
    purpose="What each pool holds, by location, against what it owes.",
    columns=SEGREGATION_COLUMNS,
    key=("pool", "asset", "location"),
    book_rows=segregation,
)
TRIAL_BALANCE = Report(
    name="trial-balance",
    title="Trial balance",
    purpose="What stands on either side of each pool, by asset, class and place.",
    columns=TRIAL_COLUMNS,
    key=("pool", "asset", "class", "location"),
    book_rows=trial_balance,
)
BALANCES = Report(
    name="balances",
    title="Account balances",
    purpose="Every claim, position, loan and other account that holds or owes something.",
    columns=BALANCE_COLUMNS,
    key=("pool", "asset", "class", "account", "bucket", "location", "client"),
    book_rows=balances,
)
BREAKS = Report(
    name="breaks",
    title="Breaks",
    purpose="Where statements and the book differed when the day closed, with age and owner.",
    columns=BREAK_COLUMNS,
    key=("found_on", "location", "kind", "asset", "reference", "ledger", "statement", "detail"),
    rows=breaks,
)
