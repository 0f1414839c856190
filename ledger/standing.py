"""The whole book as it stood at a reading point, account by account.

A standing can be moved on by the legs of an entry, so that one can see what each entry changed.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from django.db import connection

from accounts.figures import WIDE
from ledger.models import AssetKind, Pool
from ledger.segregation import (
    AssetName,
    PoolAsset,
    Tally,
    carried_assets,
    in_order,
    pool_asset,
    pools_at,
)
from ledger.times import ReadingPoint

ZERO = Decimal(0)


class AccountFacts(NamedTuple):
    """What a ledger account is; it never changes."""

    account_id: int
    pool_id: int
    asset_id: int
    pool: str
    asset: str
    scale: int
    account_class: str
    account: str
    bucket: str
    client: str
    location: str

    @property
    def group(self) -> tuple[str, str, str, str]:
        return (self.pool, self.asset, self.account_class, self.location)


@dataclass(slots=True)
class Stood:
    """How an account stood: debit positive; the newest posting that counts; average cost."""

    amount: Decimal = ZERO
    seq: int = 0
    average_cost: Decimal | None = None


class MovedLeg(NamedTuple):
    """A leg of an entry as far as it moves a standing."""

    account_id: int
    account_seq: int
    amount: Decimal
    average_after: Decimal | None


PoolAssetKey = tuple[int, int]
# Pool, asset, class and place of a ledger account, by their codes.
GroupKey = tuple[str, str, str, str]


@dataclass(slots=True)
class Group:
    """Accounts of one pool, asset, class and place: what stands on either side."""

    scale: int
    debit: Decimal = ZERO
    credit: Decimal = ZERO


@dataclass(slots=True)
class BookStanding:
    """All ledger accounts that a point knows, and what they add up to.

    Attributes:
        tallies: money that locations of a pool carry, by ids of pool and asset.
        groups: every account, by codes.
    """

    facts: dict[int, AccountFacts]
    pools: dict[int, Pool]
    tallies: dict[PoolAssetKey, Tally]
    names: dict[int, AssetName]
    stood: dict[int, Stood] = field(default_factory=dict)
    groups: dict[GroupKey, Group] = field(default_factory=dict)

    def move(self, leg: MovedLeg) -> None:
        """Count one leg more; or a whole balance, where nothing was counted yet."""
        facts = self.facts[leg.account_id]
        stood = self.stood.setdefault(leg.account_id, Stood())
        before, after = stood.amount, WIDE.add(stood.amount, leg.amount)
        stood.amount = after
        if leg.account_seq > stood.seq:
            stood.seq, stood.average_cost = leg.account_seq, leg.average_after
        tally = self.tallies.get((facts.pool_id, facts.asset_id))
        if tally is not None:
            owed = WIDE.subtract(min(after, ZERO), min(before, ZERO))
            tally.add(facts.account_class, facts.location, leg.amount, owed)
        group = self.groups.setdefault(facts.group, Group(facts.scale))
        group.debit = WIDE.add(group.debit, WIDE.subtract(max(after, ZERO), max(before, ZERO)))
        group.credit = WIDE.add(group.credit, WIDE.subtract(min(before, ZERO), min(after, ZERO)))

    def emptied(self) -> "BookStanding":
        """The same accounts and places, holding nothing."""
        tallies = {
            key: Tally(custody=dict.fromkeys(tally.custody, ZERO))
            for key, tally in self.tallies.items()
        }
        return BookStanding(self.facts, self.pools, tallies, self.names)

    def touched(self, legs: Iterable[MovedLeg]) -> "Touched":
        """What a change of some accounts can show in."""
        facts = [self.facts[leg.account_id] for leg in legs]
        return Touched(
            accounts={each.account_id for each in facts},
            pool_assets={(each.pool_id, each.asset_id) for each in facts},
            groups={each.group for each in facts},
        )

    def held(self, only: "Touched | None" = None) -> list[tuple[AccountFacts, Stood]]:
        """Accounts that hold something, in the order of their names."""
        asked = self.stood if only is None else only.accounts & self.stood.keys()
        found = [(self.facts[pk], self.stood[pk]) for pk in asked if self.stood[pk].amount]
        return sorted(found, key=lambda pair: pair[0][3:])

    def grouped(self, only: "Touched | None" = None) -> list[tuple[GroupKey, Group]]:
        """Groups of accounts of which one holds something."""
        asked = self.groups if only is None else only.groups & self.groups.keys()
        found = [(key, self.groups[key]) for key in asked]
        return sorted(
            ((key, group) for key, group in found if group.debit or group.credit),
            key=lambda pair: pair[0],
        )

    def pool_assets(self, only: "Touched | None" = None) -> list[PoolAsset]:
        """What pools hold and owe in money, as `ledger.segregation` adds it up."""
        asked = self.tallies if only is None else only.pool_assets & self.tallies.keys()
        return in_order(
            pool_asset(self.pools[pool_id], self.names[asset_id], self.tallies[pool_id, asset_id])
            for pool_id, asset_id in asked
        )


class Touched(NamedTuple):
    """What a change of some accounts can show in: these accounts, and sums over them."""

    accounts: set[int]
    pool_assets: set[PoolAssetKey]
    groups: set[GroupKey]


STANDING = """
    SELECT a.id, a.pool_id, a.asset_id, p.code, t.code, a.scale, a.account_class,
           coalesce(m.code, ''), coalesce(b.code, ''), coalesce(c.code, ''), coalesce(l.code, ''),
           n.amount, n.account_seq, n.average_cost
    FROM ledger.balances_at(%s::pg_snapshot, %s::date) n
    JOIN ledger_ledgeraccount a ON a.id = n.account_id
    JOIN ledger_pool p ON p.id = a.pool_id
    JOIN ledger_asset t ON t.id = a.asset_id
    LEFT JOIN accounts_marginaccount m ON m.id = a.margin_account_id
    LEFT JOIN accounts_bucket b ON b.id = a.bucket_id
    LEFT JOIN accounts_client c ON c.id = a.client_id
    LEFT JOIN ledger_location l ON l.id = a.location_id
    WHERE %s::bigint[] IS NULL OR p.legal_entity_id = ANY (%s::bigint[])
"""


def book_standing(point: ReadingPoint, *, entities: Collection[int] | None = None) -> BookStanding:
    """The book at a point; a fixed number of queries.

    Args:
        entities: ids of the legal entities whose pools are asked for; all if None.
    """
    wanted = None if entities is None else list(entities)
    with connection.cursor() as cursor:
        cursor.execute(STANDING, [point.snapshot, point.as_of, wanted, wanted])
        rows = cursor.fetchall()
    pools = pools_at(point, entities=entities)
    tallies, names = carried_assets(pools, kinds=[AssetKind.MONEY], point=point)
    facts = {row[0]: AccountFacts(*row[:11]) for row in rows}
    book = BookStanding(facts, pools, tallies, names)
    for row in rows:
        amount, seq, average_cost = row[11:]
        book.move(MovedLeg(row[0], seq, amount, average_cost))
    return book


def balances_at(point: ReadingPoint, *, account_ids: Collection[int]) -> dict[int, Stood]:
    """How some ledger accounts stood at a point; those that it does not know are not there."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT n.account_id, n.amount, n.account_seq, n.average_cost"
            " FROM unnest(%s::bigint[]) a"
            " CROSS JOIN LATERAL ledger.balance_of(a, %s::pg_snapshot, %s::date) n",
            [list(account_ids), point.snapshot, point.as_of],
        )
        return {row[0]: Stood(*row[1:]) for row in cursor.fetchall()}
