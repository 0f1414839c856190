"""What reference.yaml says: who trades what, where, on which terms, and the opening state."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal

BASE = "USD"  # house rules v1: cash, fees, loans and realised amounts are USD, its mark is 1
FIRM = "FIRM"  # owner of the accounts that live in HOUSE
FREE = "FREE"  # the bucket every account has


@dataclass(frozen=True, slots=True)
class Asset:
    """A money asset; `haircut` is the share of its value that is no collateral."""

    code: str
    scale: int
    haircut: Decimal


@dataclass(frozen=True, slots=True)
class SecurityTerms:
    """A security; the rates are shares of its market value."""

    code: str
    quantity_scale: int
    price_scale: int
    initial_rate: Decimal
    maintenance_rate: Decimal


@dataclass(frozen=True, slots=True)
class Bracket:
    """Rates that hold for the notional from `floor` on, in the settlement asset."""

    floor: Decimal
    initial_rate: Decimal
    maintenance_rate: Decimal


@dataclass(frozen=True, slots=True)
class PerpTerms:
    """A linear perpetual; the brackets ascend from a floor of 0."""

    code: str
    quantity_scale: int
    price_scale: int
    settles_in: str
    brackets: tuple[Bracket, ...]

    @property
    def isolated_bucket(self) -> str:
        """The bucket in which an isolated account holds it."""
        return f"ISO-{self.code}"


Instrument = SecurityTerms | PerpTerms


@dataclass(frozen=True, slots=True)
class Location:
    """A place that keeps assets of one pool; only a bank has an account number."""

    code: str
    pool: str
    kind: str
    assets: tuple[str, ...]
    account_id: str | None


@dataclass(frozen=True, slots=True)
class Agreement:
    """When a scope is called and liquidated, in multiples of its maintenance margin."""

    code: str
    call_level: Decimal
    liquidation_level: Decimal
    minimum_transfer_amount: Decimal


@dataclass(frozen=True, slots=True)
class Client:
    """An owner of accounts in the CLIENT pool."""

    code: str
    name: str


@dataclass(frozen=True, slots=True)
class Account:
    """A margin account; the owner is a client, or FIRM."""

    code: str
    owner: str
    pool: str
    mode: str
    buckets: tuple[str, ...]
    agreement: str


@dataclass(frozen=True, slots=True)
class Claim:
    """Money the firm owes to a bucket."""

    account: str
    bucket: str
    asset: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Position:
    """Holding of an instrument; a negative quantity is short, perpetuals only."""

    account: str
    bucket: str
    instrument: str
    quantity: Decimal
    average_cost: Decimal


@dataclass(frozen=True, slots=True)
class Loan:
    """What HOUSE has lent to a cross account, in USD."""

    account: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Custody:
    """What a location keeps; net contracts, so of either sign, for a perpetual."""

    location: str
    asset: str
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class FirmBalance:
    """What a pool holds beyond the claims on it: residual interest, own equity, the fund."""

    pool: str
    asset: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Opening:
    """The state on the evening of `business_day`; what is not listed is zero."""

    business_day: date
    marks: Mapping[str, Decimal]
    claims: tuple[Claim, ...]
    positions: tuple[Position, ...]
    loans: tuple[Loan, ...]
    custody: tuple[Custody, ...]
    firm_balance: tuple[FirmBalance, ...]
    statement_closing: Mapping[str, Decimal]  # every bank is here


@dataclass(frozen=True, slots=True)
class Reference:
    """reference.yaml, proven consistent; mappings are by code, in the order of the file."""

    firm_name: str
    as_of_time: time
    pools: tuple[str, ...]
    assets: Mapping[str, Asset]
    instruments: Mapping[str, Instrument]
    locations: Mapping[str, Location]
    agreements: Mapping[str, Agreement]
    clients: Mapping[str, Client]
    accounts: Mapping[str, Account]
    opening: Opening
    content_sha256: str

    @property
    def priced(self) -> frozenset[str]:
        """Names that need a mark: every instrument, and every money asset but USD."""
        return frozenset(self.instruments) | (frozenset(self.assets) - {BASE})

    def as_of(self, business_day: date) -> datetime:
        """The instant at which a business day is measured."""
        return datetime.combine(business_day, self.as_of_time, tzinfo=UTC)

    def scale_of(self, code: str) -> int:
        """Decimals of amounts of a money asset or of quantities of an instrument."""
        instrument = self.instruments.get(code)
        return self.assets[code].scale if instrument is None else instrument.quantity_scale
