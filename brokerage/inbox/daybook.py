"""The book as a day's events find it: read once, then carried along event by event.

What is decided here is checked again by the database when the entries are posted: balances,
floors, average costs, realised amounts and the versions that releases are bound to.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from accounts.models import Bucket, Client, MarginAccount
from ledger.blocks import blocked_accounts
from ledger.bucket_moves import matrix
from ledger.debts import pledged_lots
from ledger.models import Asset, Balance, Location, LocationAsset, MoveGuard, Pool
from ledger.positions import Position
from ledger.posting import AccountKey, Leg, open_accounts
from margin.models import Contract, Switch
from margin.option_listing import listed_options, may_hold_options
from margin.switches import newest_versions

ZERO = Decimal(0)
FLAT = Position(quantity=ZERO, average_cost=ZERO)


@dataclass(frozen=True, slots=True)
class BucketInfo:
    """A bucket with what the rules ask of it."""

    id: int
    code: str
    account: str
    mode: str
    owner_class: str
    is_margined: bool
    role: str
    client_id: int | None
    account_id: int


@dataclass(slots=True)
class DayBook:
    """Balances by what they mean, with the counts of postings behind them.

    Claims, positions and loans are positive here as people say them; custody is what is held.
    `options` are those that are listed, `optioned` the accounts whose model knows options;
    `stopped` are the legal entities whose withdrawals are stopped.
    """

    assets: dict[str, Asset]
    pools: dict[str, Pool]
    locations: dict[str, Location]
    carried: set[tuple[str, str]]
    buckets: dict[tuple[str, str], BucketInfo]
    accounts: set[str]
    claims: dict[tuple[int, str], Decimal] = field(default_factory=dict)
    positions: dict[tuple[int, str], Position] = field(default_factory=dict)
    loans: dict[int, Decimal] = field(default_factory=dict)
    custody: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    versions: dict[int, int] = field(default_factory=dict)
    wanted: dict[AccountKey, None] = field(default_factory=dict)
    guards: dict[tuple[str, str], MoveGuard] = field(default_factory=dict)
    pledged: dict[tuple[int, str], Decimal] = field(default_factory=dict)
    apart: frozenset[int] = frozenset()
    blocked: frozenset[str] = frozenset()
    stopped: frozenset[int] = frozenset()
    options: dict[str, Contract] = field(default_factory=dict)
    optioned: frozenset[int] = frozenset()

    # ------------------------------------------------------------------ reading

    def bucket(self, account: str, code: str) -> BucketInfo:
        return self.buckets[account, code]

    def claim(self, bucket: BucketInfo, asset: str) -> Decimal:
        return self.claims.get((bucket.id, asset), ZERO)

    def spare(self, bucket: BucketInfo, asset: str) -> Decimal:
        """What of a claim or a security is not pledged."""
        held = self.claim(bucket, asset) or self.position(bucket, asset).quantity
        return held - self.pledged.get((bucket.id, asset), ZERO)

    def lets(self, from_role: str, to_role: str) -> bool:
        """Whether value may go from a role to another without a second person."""
        return self.guards.get((from_role, to_role)) in (MoveGuard.FREE, MoveGuard.MARGIN)

    def goes_through(self, bucket: BucketInfo, location: str) -> bool:
        """Whether an owner's assets may lie at a location: a client held apart has their own."""
        of_client = self.locations[location].individual_client_id
        if bucket.client_id in self.apart:
            return of_client == bucket.client_id
        return of_client is None or of_client == bucket.client_id

    def position(self, bucket: BucketInfo, instrument: str) -> Position:
        return self.positions.get((bucket.id, instrument), FLAT)

    def held(self, location: str, asset: str) -> Decimal:
        return self.custody.get((location, asset), ZERO)

    def claims_of(self, bucket: BucketInfo) -> dict[str, Decimal]:
        """Money claims of a bucket other than zero."""
        found = {asset: self.claims.get((bucket.id, asset), ZERO) for asset in self.assets}
        return {asset: amount for asset, amount in found.items() if amount}

    def positions_of(self, bucket: BucketInfo) -> dict[str, Position]:
        """Open positions of a bucket."""
        found = {asset: self.positions.get((bucket.id, asset), FLAT) for asset in self.assets}
        return {asset: position for asset, position in found.items() if position.quantity}

    def carries(self, location: str, asset: str) -> bool:
        return (location, asset) in self.carried

    # ------------------------------------------------------------------ carrying along

    def apply(self, moves: Iterable["Move"]) -> None:
        """Carry the balances over an entry that was decided on."""
        for move in moves:
            move.carry(self)

    def touch(self, bucket_id: int) -> None:
        self.versions[bucket_id] = self.versions.get(bucket_id, 0) + 1

    # ------------------------------------------------------------------ ledger accounts

    def claim_key(self, bucket: BucketInfo, asset: str) -> AccountKey:
        pool = self.pools[bucket.owner_class]
        return self._want(AccountKey(pool.pk, self.assets[asset].pk, "claim", bucket.id))

    def position_key(self, bucket: BucketInfo, instrument: str) -> AccountKey:
        pool = self.pools[bucket.owner_class]
        return self._want(AccountKey(pool.pk, self.assets[instrument].pk, "position", bucket.id))

    def loan_key(self, bucket: BucketInfo, asset: str) -> AccountKey:
        house = self.pools["HOUSE"]
        return self._want(AccountKey(house.pk, self.assets[asset].pk, "loan_receivable", bucket.id))

    def custody_key(self, location: str, asset: str) -> AccountKey:
        place = self.locations[location]
        return self._want(
            AccountKey(place.pool_id, self.assets[asset].pk, "custody", None, place.pk)
        )

    def firm_key(self, pool: str, asset: str) -> AccountKey:
        """Where a pool's gains go: residual interest of CLIENT, own equity elsewhere."""
        account_class = "residual_interest" if pool == "CLIENT" else "own_equity"
        return self._want(AccountKey(self.pools[pool].pk, self.assets[asset].pk, account_class))

    def shortfall_key(self, asset: str) -> AccountKey:
        return self._want(AccountKey(self.pools["CLIENT"].pk, self.assets[asset].pk, "shortfall"))

    def _want(self, key: AccountKey) -> AccountKey:
        self.wanted[key] = None
        return key

    def ledger_account_ids(self) -> dict[AccountKey, int]:
        """Ids of every ledger account an entry asked for, opening the new ones."""
        return open_accounts(list(self.wanted))


@dataclass(frozen=True, slots=True)
class Move:
    """One leg of an entry in the terms of the day book.

    Attributes:
        kind: claim, position, loan, custody or firm.
        amount: the change as people say it: a claim that grows is positive.
    """

    kind: str
    key: AccountKey
    amount: Decimal
    asset: str
    bucket_id: int | None = None
    location: str | None = None
    reference: str | None = None
    price: Decimal | None = None
    position_after: Position | None = None

    def carry(self, book: DayBook) -> None:
        if self.bucket_id is not None:
            book.touch(self.bucket_id)
        if self.kind == "claim":
            assert self.bucket_id is not None
            held = (self.bucket_id, self.asset)
            book.claims[held] = book.claims.get(held, ZERO) + self.amount
        elif self.kind == "position":
            assert self.bucket_id is not None
            assert self.position_after is not None
            book.positions[self.bucket_id, self.asset] = self.position_after
        elif self.kind == "loan":
            assert self.bucket_id is not None
            book.loans[self.bucket_id] = book.loans.get(self.bucket_id, ZERO) + self.amount
        elif self.kind == "custody":
            assert self.location is not None
            place = (self.location, self.asset)
            book.custody[place] = book.custody.get(place, ZERO) + self.amount

    def leg(self, ids: dict[AccountKey, int]) -> Leg:
        """The leg as the book stores it: debit positive, so what is owed grows negative."""
        debit = self.kind in ("custody", "loan", "shortfall")
        return Leg(
            account_id=ids[self.key],
            amount=self.amount if debit else self.amount.copy_negate(),
            reference=self.reference,
            price=self.price,
        )


def read_day_book(day: date) -> DayBook:
    """Read the whole book in a fixed number of queries, with the rules of moves of a day."""
    assets = {a.code: a for a in Asset.objects.order_by("pk")}
    codes = {a.pk: a.code for a in assets.values()}
    pools = {p.code: p for p in Pool.objects.all()}
    locations = {place.code: place for place in Location.objects.select_related("pool")}
    place_codes = {place.pk: place.code for place in locations.values()}
    options = listed_options() if any(a.is_option for a in assets.values()) else {}
    book = DayBook(
        assets=assets,
        pools=pools,
        locations=locations,
        carried={
            (place_codes[place], codes[asset])
            for place, asset in LocationAsset.objects.values_list("location_id", "asset_id")
        },
        buckets={
            (info.account, info.code): info
            for info in (
                BucketInfo(*row)
                for row in Bucket.objects.values_list(
                    "pk",
                    "code",
                    "account__code",
                    "account__mode",
                    "account__owner_class",
                    "is_margined",
                    "role",
                    "account__client_id",
                    "account_id",
                )
            )
        },
        accounts=set(MarginAccount.objects.values_list("code", flat=True)),
        guards={pair: cell.guard for pair, cell in matrix(day).items()},
        pledged=pledged_lots(),
        apart=frozenset(
            Client.objects.filter(is_individually_segregated=True).values_list("pk", flat=True)
        ),
        blocked=blocked_accounts(),
        stopped=frozenset(
            each.legal_entity_id
            for each in newest_versions()
            if each.is_stopped and each.what == Switch.What.WITHDRAWALS
        ),
        options=options,
        optioned=may_hold_options(day) if options else frozenset(),
    )
    for account_class, asset, bucket, location, amount, seq, average in Balance.objects.values_list(
        "account__account_class",
        "account__asset_id",
        "account__bucket_id",
        "account__location_id",
        "amount",
        "seq",
        "average_cost",
    ):
        if bucket is not None:
            book.versions[bucket] = book.versions.get(bucket, 0) + seq
        code = codes[asset]
        if account_class == "claim":
            book.claims[bucket, code] = amount.copy_negate()
        elif account_class == "position":
            book.positions[bucket, code] = Position(
                quantity=amount.copy_negate(), average_cost=ZERO if average is None else average
            )
        elif account_class == "loan_receivable":
            book.loans[bucket] = amount
        elif account_class == "custody":
            book.custody[place_codes[location], code] = amount
    return book
