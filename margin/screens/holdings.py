"""What an account has and owes now, at the newest marks: balances, positions, loans."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from accounts.clock import shown_instant
from accounts.figures import WIDE, grouped
from accounts.models import Bucket, MarginAccount
from ledger.models import AccountClass, Asset, Balance
from margin.engine.collateral import counted
from margin.engine.exact import exact
from margin.market.marks import BASE
from margin.models import Contract, Mark
from margin.terms import TermsInForce, terms_in_force

ONE = Decimal(1)
ZERO = Decimal(0)


@dataclass(frozen=True)
class MoneyRow:
    """A money claim; `counts` is None in a bucket that no requirement is computed for."""

    account_id: int
    bucket: Bucket
    asset: Asset
    amount: Decimal
    haircut: Decimal | None
    counts: Decimal | None


@dataclass(frozen=True)
class PositionRow:
    """An open position; figures at the mark are None while there is none."""

    account_id: int
    bucket: Bucket
    asset: Asset
    quantity: Decimal
    average_cost: Decimal | None
    mark: Mark | None
    unrealised: Decimal | None
    carried_from: date | None
    contract: Contract | None = None

    @property
    def terms(self) -> str:
        """Of an option, what it is, in a line; its cost is that of a whole contract."""
        if self.contract is None or self.contract.strike is None:
            return ""
        assert self.contract.expires_at is not None, "an option expires"
        right = "call" if self.contract.is_call else "put"
        strike, units = grouped(self.contract.strike), grouped(self.contract.multiplier)
        day = shown_instant(self.contract.expires_at, form="full")
        return f"{right} {strike} on {self.contract.underlying.code}, {units} a contract, {day}"

    @property
    def is_uncertain(self) -> bool:
        return self.mark is None or self.mark.state != Mark.State.VALID


@dataclass(frozen=True)
class LoanRow:
    """What a bucket owes the firm."""

    account_id: int
    bucket: Bucket
    asset: Asset
    amount: Decimal


@dataclass(frozen=True)
class Holdings:
    """Everything of an account that is not zero, by bucket and asset."""

    money: tuple[MoneyRow, ...]
    positions: tuple[PositionRow, ...]
    loans: tuple[LoanRow, ...]

    @property
    def counts_total(self) -> Decimal:
        """What all money counts as collateral."""
        return exact_total(row.counts for row in self.money)

    @property
    def unrealised_total(self) -> Decimal:
        return exact_total(row.unrealised for row in self.positions)


def exact_total(amounts: Iterable[Decimal | None]) -> Decimal:
    total = ZERO
    for amount in amounts:
        total = WIDE.add(total, amount or ZERO)
    return total


def holdings_of(account: MarginAccount, *, day: date) -> Holdings:
    """Balances from the book as it is, marks and terms as of a day; seven queries at most."""
    balances = list(
        Balance.objects.filter(account__margin_account=account)
        .exclude(amount=0)
        .select_related("account__bucket", "account__asset__contract__underlying")
        .order_by("account__bucket__code", "account__asset__code")
    )
    asset_ids = {balance.account.asset_id for balance in balances}
    marks = newest_marks_of(asset_ids)
    terms = terms_in_force(day)
    valid = valid_days([mark for mark in marks.values() if mark.state != Mark.State.VALID])

    def of_class(wanted: str) -> list[Balance]:
        return [balance for balance in balances if balance.account.account_class == wanted]

    claims = of_class(AccountClass.CLAIM)
    pools = money_pools(claims, marks)
    return Holdings(
        money=tuple(money_row(b, marks, terms, pools) for b in claims),
        positions=tuple(position_row(b, marks, valid) for b in of_class(AccountClass.POSITION)),
        loans=tuple(
            LoanRow(b.account_id, bucket_of(b), b.account.asset, b.amount)
            for b in of_class(AccountClass.LOAN_RECEIVABLE)
        ),
    )


def bucket_of(balance: Balance) -> Bucket:
    assert balance.account.bucket is not None, "what an account has lies in a bucket"
    return balance.account.bucket


def money_pools(claims: Iterable[Balance], marks: dict[int, Mark]) -> dict[int, Decimal]:
    """By bucket the value of all money in it that is above 0, before any haircut."""
    pools: dict[int, Decimal] = {}
    for balance in claims:
        price = price_of(balance.account.asset, marks)
        if balance.amount < 0 and price is not None:
            key, value = bucket_of(balance).pk, WIDE.multiply(-balance.amount, price)
            pools[key] = WIDE.add(pools.get(key, ZERO), value)
    return pools


def price_of(asset: Asset, marks: dict[int, Mark]) -> Decimal | None:
    """The newest mark; 1 for the currency itself."""
    mark = marks.get(asset.pk)
    return ONE if asset.code == BASE else None if mark is None else mark.price


def money_row(
    balance: Balance, marks: dict[int, Mark], terms: TermsInForce, pools: dict[int, Decimal]
) -> MoneyRow:
    """A claim with what it counts as: amount x mark x (1 - haircut), or by its tiers.

    Of tiers the haircut shown is the share of this very holding that does not count.
    """
    bucket, asset, amount = bucket_of(balance), balance.account.asset, -balance.amount
    found = terms.haircuts.get(asset.pk)
    price = price_of(asset, marks)
    if not bucket.is_margined or found is None or price is None:
        return MoneyRow(balance.account_id, bucket, asset, amount, None, None)
    tiered = terms.collateral.get(asset.pk)
    if tiered is not None:
        with exact():
            value = amount * price
            said = counted(value, price=price, pool=pools.get(bucket.pk, ZERO), terms=tiered)
            counts = said.amount
        share = WIDE.divide(WIDE.subtract(value, counts), value) if value > 0 else ZERO
        return MoneyRow(balance.account_id, bucket, asset, amount, share, counts)
    counts = WIDE.multiply(WIDE.multiply(amount, price), WIDE.subtract(ONE, found.haircut))
    return MoneyRow(balance.account_id, bucket, asset, amount, found.haircut, counts)


def position_row(balance: Balance, marks: dict[int, Mark], valid: dict[int, date]) -> PositionRow:
    """A position with what it would gain at the mark."""
    asset, quantity, cost = balance.account.asset, -balance.amount, balance.average_cost
    mark = marks.get(asset.pk)
    contract = asset.contract if asset.is_option else None
    unrealised = None
    if mark is not None and cost is not None:
        price = mark.price if contract is None else WIDE.multiply(mark.price, contract.multiplier)
        unrealised = WIDE.multiply(quantity, WIDE.subtract(price, cost))
    return PositionRow(
        balance.account_id,
        bucket_of(balance),
        asset,
        quantity,
        cost,
        mark,
        unrealised,
        valid.get(asset.pk),
        contract,
    )


def newest_marks_of(asset_ids: Iterable[int]) -> dict[int, Mark]:
    """The newest mark of each asset, by its id."""
    rows = Mark.objects.filter(asset__in=set(asset_ids)).order_by("asset_id", "-as_of", "-revision")
    return {mark.asset_id: mark for mark in rows.distinct("asset_id")}


def valid_days(carried: Iterable[Mark]) -> dict[int, date]:
    """By asset the day of the valid mark that a carried one comes from."""
    wanted = {mark.asset_id for mark in carried}
    if not wanted:
        return {}
    rows = Mark.objects.filter(asset__in=wanted, state=Mark.State.VALID)
    newest = rows.order_by("asset_id", "-as_of", "-revision").distinct("asset_id")
    return {mark.asset_id: mark.business_day for mark in newest}
