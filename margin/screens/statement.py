"""The statement of an account: every posting to it, in the words of who owns the money."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Case, F, Max, OuterRef, QuerySet, Subquery, TextField, When
from django.db.models.functions import Cast, JSONObject
from django.http import HttpRequest

from accounts.columns import Column
from accounts.fields import ExactField
from accounts.figures import WIDE, grouped
from accounts.filters import Choice, Choices, Day, Text
from accounts.listing import Listing
from accounts.models import MarginAccount, SealBlock
from ledger.models import AccountClass, EntryKind, LedgerAccount, Posting
from ledger.screens.times import columns_at
from ledger.times import ReadingPoint, postings_at

ON_ACCOUNT = (AccountClass.CLAIM, AccountClass.POSITION, AccountClass.LOAN_RECEIVABLE)
NEWEST_SHOWN = 8

COLUMNS = (
    Column("entry", "Entry", value="entry.reference", sort=("entry__reference", "entry_id")),
    Column(
        "effective",
        "Effective",
        value="entry.effective_at",
        sort=("entry__effective_at", "entry_id", "account_id"),
    ),
    Column("kind", "Kind", value="entry.kind.title", sort=("entry__kind__title",)),
    Column("bucket", "Bucket", value="account.bucket.code", sort=("account__bucket__code",)),
    Column("asset", "Asset", value="asset.code", sort=("asset__code",)),
    Column(
        "held_as",
        "Held as",
        value="account.account_class",
        sort=("account__account_class",),
        is_shown=False,
    ),
    Column("amount", "Amount", value="said_amount", sort=("said_amount",), numeric=True),
    Column("balance", "Balance after", value="said_balance", numeric=True),
    Column("detail", "Detail", value=lambda posting: detail(posting)),
    Column("record", "Record", is_exported=False),
)


@dataclass(frozen=True)
class StatementLine:
    """A posting as the statement shows it."""

    posting: Posting
    amount: Decimal
    balance: Decimal
    is_loan: bool
    detail: str
    is_sealed: bool


def statement_lines(account: MarginAccount) -> "QuerySet[Posting]":
    """The postings to an account's claims, positions and loans.

    `said_amount` and `said_balance` are as people say them: what the account has or owes is
    positive. `location` and `bank_reference` tell where money came from or went, `traded` what
    was traded.
    """
    as_said = {
        name: Case(
            When(account__account_class=AccountClass.LOAN_RECEIVABLE, then=F(column)),
            default=-F(column),
            output_field=ExactField(),
        )
        for name, column in (("said_amount", "amount"), ("said_balance", "balance_after"))
    }
    custody = Posting.objects.filter(
        entry=OuterRef("entry_id"),
        asset=OuterRef("asset_id"),
        account__account_class=AccountClass.CUSTODY,
    ).order_by("account_id")
    position = Posting.objects.filter(
        entry=OuterRef("entry_id"), account__account_class=AccountClass.POSITION
    ).annotate(
        said=JSONObject(
            asset="asset__code",
            amount=Cast("amount", TextField()),
            price=Cast("price", TextField()),
        )
    )
    return (
        Posting.objects.filter(
            account__margin_account=account, account__account_class__in=ON_ACCOUNT
        )
        .annotate(
            **as_said,
            location=Subquery(custody.values("account__location__code")[:1]),
            bank_reference=Subquery(custody.values("reference")[:1]),
            traded=Subquery(position.values("said")[:1]),
        )
        .select_related("entry__kind", "asset", "account__bucket")
    )


def statement_listing(
    request: HttpRequest,
    account: MarginAccount,
    *,
    point: ReadingPoint | None = None,
) -> Listing[Posting]:
    """The statement that the address asks for, of what counts at a point."""
    lines = statement_lines(account)
    return Listing(
        request,
        lines if point is None else postings_at(lines, point),
        name=f"statement-{account.code}",
        columns=columns_at(COLUMNS, point),
        filters=[
            Choice("asset", "Asset", "asset__code", lambda: assets_of(account)),
            Choice("kind", "Kind", "entry__kind", lambda: kinds_of(account)),
            Choice("bucket", "Bucket", "account__bucket__code", lambda: buckets_of(account)),
            Day("from", "From", "entry__effective_at__date", "gte"),
            Day("to", "To", "entry__effective_at__date", "lte"),
            Text("q", "Reference", ("entry__reference",)),
        ],
        default_sort="-effective",
    )


def assets_of(account: MarginAccount) -> Choices:
    """The assets an account has or had."""
    codes = LedgerAccount.objects.filter(margin_account=account).order_by("asset__code")
    return [(code, code) for code in codes.values_list("asset__code", flat=True).distinct()]


def buckets_of(account: MarginAccount) -> Choices:
    return [
        (code, code) for code in account.buckets.order_by("code").values_list("code", flat=True)
    ]


def kinds_of(account: MarginAccount) -> Choices:
    """The kinds of entries an account can have: those that touch a client or house account."""
    kinds = EntryKind.objects.filter(accounts_max__gt=0).order_by("title")
    return list(kinds.values_list("code", "title"))


def lines_of(postings: "QuerySet[Posting] | list[Posting]") -> list[StatementLine]:
    """Postings as lines, with how far the record is sealed; one query more."""
    sealed_to: int = SealBlock.objects.aggregate(end=Max("to_xid"))["end"] or 0
    return [line(posting, sealed_to=sealed_to) for posting in postings]


def line(posting: Any, *, sealed_to: int) -> StatementLine:  # noqa: ANN401 - annotated row
    return StatementLine(
        posting=posting,
        amount=posting.said_amount,
        balance=posting.said_balance,
        is_loan=posting.account.account_class == AccountClass.LOAN_RECEIVABLE,
        detail=detail(posting),
        is_sealed=posting.xid < sealed_to,
    )


def detail(posting: Any) -> str:  # noqa: ANN401 - annotated row
    """Where the money came from or went, or what was traded and at which price."""
    if posting.account.account_class == AccountClass.POSITION:
        if posting.average_after is None:
            return ""
        return f"Average cost {figure(posting.average_after)}"
    if posting.traded is not None and posting.traded["price"] is not None:
        quantity = -Decimal(posting.traded["amount"])
        side = "Buy" if quantity > 0 else "Sell"
        price = figure(Decimal(posting.traded["price"]))
        return f"{side} {figure(abs(quantity))} {posting.traded['asset']} at {price}"
    return " · ".join(filter(None, [posting.location, posting.bank_reference]))


def figure(value: Decimal) -> str:
    """A number without the zeros it does not need."""
    return grouped(value.normalize(WIDE))
