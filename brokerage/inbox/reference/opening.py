"""The opening state of reference.yaml, and the proof that its pools hold what they owe."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, localcontext

from brokerage.inbox.reference.record import Record
from brokerage.inbox.reference.sections import CENTS, POOLS
from brokerage.inbox.reference.terms import (
    BASE,
    Account,
    Asset,
    Claim,
    Custody,
    FirmBalance,
    Instrument,
    Loan,
    Location,
    Opening,
    PerpTerms,
    Position,
)
from brokerage.inbox.reference.tree import refused
from brokerage.inbox.refusal import FolderRefusedError, quoted

# What is not listed is zero, so each of these may be absent.
SECTIONS = ("claims", "positions", "loans", "custody", "firm_balance", "statement_closing")
AVERAGE_COST_SCALE = 8
# Wide enough for the sum of a file of the longest numbers; a sum that does not fit raises.
EXACT = Context(prec=100, traps=[Inexact])


@dataclass(frozen=True, slots=True)
class Standing:
    """The standing data that the opening state refers to."""

    assets: Mapping[str, Asset]
    instruments: Mapping[str, Instrument]
    locations: Mapping[str, Location]
    accounts: Mapping[str, Account]

    def scale_of(self, code: str) -> int:
        """Decimals of a money asset, or of quantities of an instrument."""
        instrument = self.instruments.get(code)
        return self.assets[code].scale if instrument is None else instrument.quantity_scale

    def is_perpetual(self, code: str) -> bool:
        """Whether the code is that of a perpetual."""
        return isinstance(self.instruments.get(code), PerpTerms)


class _Once:
    """Refuses the second row for the same thing: the two would have to be added or chosen from."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, ...]] = set()

    def check(self, record: Record, key: str, *, of: tuple[str, ...]) -> None:
        """Note `of`, which `record` lists; `key` is where a repetition is pointed out."""
        if of in self.seen:
            raise record.refused(key, f"{' '.join(of)} is listed twice")
        self.seen.add(of)


def read_opening(book: Record, *, standing: Standing) -> Opening:
    """The state before the first day, complete and consistent.

    Raises:
        FolderRefusedError: a row that does not resolve or cannot be, a priced name without a
            mark, or a pool that does not hold what it owes.
    """
    record = book.record("opening")
    record.check_keys("business_day", "marks", optional=SECTIONS)
    opening = Opening(
        business_day=record.day("business_day"),
        marks=_marks(record, standing=standing),
        claims=_claims(record, standing=standing),
        positions=_positions(record, standing=standing),
        loans=_loans(record, accounts=standing.accounts),
        custody=_custody(record, standing=standing),
        firm_balance=_firm_balance(record, standing=standing),
        statement_closing=_statement_closing(record, locations=standing.locations),
    )
    _check_identity(record, opening=opening, standing=standing)
    return opening


def _marks(opening: Record, *, standing: Standing) -> dict[str, Decimal]:
    """A mark above 0 for every priced name."""
    priced = [*standing.instruments, *(code for code in standing.assets if code != BASE)]
    once = _Once()
    marks: dict[str, Decimal] = {}
    for record in opening.records("marks"):
        record.check_keys("instrument", "mark")
        code = record.code("instrument", among=priced, what="a priced name")
        once.check(record, "instrument", of=(code,))
        marks[code] = record.number("mark")
        if marks[code] <= 0:
            raise record.refused("mark", f"{marks[code]:f} is not above 0")
    for code in priced:
        if code not in marks:
            raise opening.refused("marks", f"{code} has no mark")
    return marks


def _claims(opening: Record, *, standing: Standing) -> tuple[Claim, ...]:
    once = _Once()
    claims: list[Claim] = []
    for record in opening.records("claims"):
        record.check_keys("account", "bucket", "asset", "amount")
        account = _account(record, accounts=standing.accounts)
        bucket = _bucket(record, account=account)
        asset = record.code("asset", among=standing.assets, what="a money asset")
        once.check(record, "account", of=(account.code, bucket, asset))
        amount = record.amount("amount", unit=asset, scale=standing.scale_of(asset))
        claims.append(Claim(account.code, bucket, asset, amount))
    return tuple(claims)


def _positions(opening: Record, *, standing: Standing) -> tuple[Position, ...]:
    once = _Once()
    positions: list[Position] = []
    for record in opening.records("positions"):
        record.check_keys("account", "bucket", "instrument", "quantity", "average_cost")
        account = _account(record, accounts=standing.accounts)
        bucket = _bucket(record, account=account)
        code = record.code("instrument", among=standing.instruments, what="an instrument")
        _check_holds(record, account=account, bucket=bucket, term=standing.instruments[code])
        once.check(record, "account", of=(account.code, bucket, code))
        signed = standing.is_perpetual(code)
        scale = standing.scale_of(code)
        quantity = record.amount("quantity", unit=code, scale=scale, signed=signed)
        cost = record.amount("average_cost", unit="an average cost", scale=AVERAGE_COST_SCALE)
        positions.append(Position(account.code, bucket, code, quantity, cost))
    return tuple(positions)


def _check_holds(record: Record, *, account: Account, bucket: str, term: Instrument) -> None:
    """Refuse a position in a bucket in which the instrument cannot be traded or margined."""
    is_perpetual = isinstance(term, PerpTerms)
    if account.mode == "isolated":
        fits = isinstance(term, PerpTerms) and bucket == term.isolated_bucket
    else:
        fits = account.mode == "cross" or not is_perpetual
    if not fits:
        what = f"{bucket} of {account.code} ({account.mode}) does not hold {term.code}"
        raise record.refused("bucket", what)


def _loans(opening: Record, *, accounts: Mapping[str, Account]) -> tuple[Loan, ...]:
    once = _Once()
    loans: list[Loan] = []
    for record in opening.records("loans"):
        record.check_keys("account", "amount")
        account = _account(record, accounts=accounts)
        if account.pool != "CLIENT" or account.mode != "cross":
            what = (
                f"{account.code} ({account.pool}, {account.mode}) is not a cross account of CLIENT"
            )
            raise record.refused("account", what)
        once.check(record, "account", of=(account.code,))
        loans.append(Loan(account.code, record.amount("amount", unit=BASE, scale=CENTS)))
    return tuple(loans)


def _custody(opening: Record, *, standing: Standing) -> tuple[Custody, ...]:
    once = _Once()
    custody: list[Custody] = []
    for record in opening.records("custody"):
        record.check_keys("location", "asset", "quantity")
        code = record.code("location", among=standing.locations, what="a location")
        carried = standing.locations[code].assets
        asset = record.code("asset", among=carried, what=f"an asset that {code} carries")
        once.check(record, "location", of=(code, asset))
        signed = standing.is_perpetual(asset)
        scale = standing.scale_of(asset)
        quantity = record.amount("quantity", unit=asset, scale=scale, signed=signed)
        custody.append(Custody(code, asset, quantity))
    return tuple(custody)


def _firm_balance(opening: Record, *, standing: Standing) -> tuple[FirmBalance, ...]:
    """Of either sign: less than nothing is what the firm owes the pool."""
    once = _Once()
    balances: list[FirmBalance] = []
    for record in opening.records("firm_balance"):
        record.check_keys("pool", "asset", "amount")
        pool = record.code("pool", among=POOLS, what="a pool")
        asset = record.code("asset")
        if asset not in standing.assets and asset not in standing.instruments:
            raise record.refused("asset", f"{quoted(asset)} is not an asset")
        if standing.is_perpetual(asset):
            raise record.refused("asset", f"contracts of {asset} belong to accounts alone")
        once.check(record, "pool", of=(pool, asset))
        scale = standing.scale_of(asset)
        amount = record.amount("amount", unit=asset, scale=scale, signed=True)
        balances.append(FirmBalance(pool, asset, amount))
    return tuple(balances)


def _statement_closing(opening: Record, *, locations: Mapping[str, Location]) -> dict[str, Decimal]:
    """The closing balance of every bank; 0 where none is listed, below 0 if overdrawn."""
    banks = [location.code for location in locations.values() if location.kind == "bank"]
    once = _Once()
    closing = dict.fromkeys(banks, Decimal(0))
    for record in opening.records("statement_closing"):
        record.check_keys("location", "amount")
        code = record.code("location", among=banks, what="a bank")
        once.check(record, "location", of=(code,))
        closing[code] = record.amount("amount", unit=BASE, scale=CENTS, signed=True)
    return closing


def _account(record: Record, *, accounts: Mapping[str, Account]) -> Account:
    return accounts[record.code("account", among=accounts, what="an account")]


def _bucket(record: Record, *, account: Account) -> str:
    return record.code("bucket", among=account.buckets, what=f"a bucket of {account.code}")


PoolAsset = tuple[str, str]


def _check_identity(record: Record, *, opening: Opening, standing: Standing) -> None:
    """Refuse a pool that does not hold, asset by asset, exactly what it owes.

    custody + loans receivable = claims and positions + firm balance; with no tolerance.
    """
    with localcontext(EXACT):
        sums = _sums(opening, standing=standing)
        for pool in POOLS:
            for asset in (*standing.assets, *standing.instruments):
                custody, loans, claims, firm = (part[pool, asset] for part in sums)
                if custody + loans != claims + firm:
                    what = (
                        f"{pool} {asset} holds {custody + loans:,f} (custody {custody:,f}, "
                        f"loans {loans:,f}) but owes {claims + firm:,f} "
                        f"(claims and positions {claims:,f}, firm balance {firm:,f})"
                    )
                    raise _unbalanced(record, pool=pool, asset=asset, what=what)


def _sums(opening: Opening, *, standing: Standing) -> tuple[dict[PoolAsset, Decimal], ...]:
    """Custody, loans receivable, claims and positions, firm balance: each by pool and asset."""
    custody: dict[PoolAsset, Decimal] = defaultdict(Decimal)
    loans: dict[PoolAsset, Decimal] = defaultdict(Decimal)
    claims: dict[PoolAsset, Decimal] = defaultdict(Decimal)
    firm: dict[PoolAsset, Decimal] = defaultdict(Decimal)
    for kept in opening.custody:
        custody[standing.locations[kept.location].pool, kept.asset] += kept.quantity
    for loan in opening.loans:
        loans["HOUSE", BASE] += loan.amount
    for claim in opening.claims:
        claims[standing.accounts[claim.account].pool, claim.asset] += claim.amount
    for position in opening.positions:
        pool = standing.accounts[position.account].pool
        claims[pool, position.instrument] += position.quantity
    for balance in opening.firm_balance:
        firm[balance.pool, balance.asset] += balance.amount
    return custody, loans, claims, firm


def _unbalanced(opening: Record, *, pool: str, asset: str, what: str) -> FolderRefusedError:
    """The refusal, at the firm balance that would have to close the gap if there is one."""
    for record in opening.records("firm_balance"):
        if record.code("pool") == pool and record.code("asset") == asset:
            return record.refused("amount", what)
    return refused(what, line=opening.line, path=opening.path)
